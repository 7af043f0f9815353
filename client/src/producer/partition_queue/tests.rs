//! One partition's queue, step by step. A case is a list of steps and what each must show.

use std::time::Duration;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::records::Compression;

use super::*;

const LIMITS: Limits = Limits {
    max_in_flight: 5,
    retries: 10,
    linger: Duration::from_millis(5),
    delivery_timeout: Duration::from_secs(120),
    late: Duration::from_secs(30),
    may_renumber: true,
};

const FIRST: ProducerIdentity = ProducerIdentity { id: 1, epoch: 0 };
const SECOND: ProducerIdentity = ProducerIdentity { id: 1, epoch: 1 };

fn at(milliseconds: u64) -> Instant {
    Instant::from_start(Duration::from_millis(milliseconds))
}

fn batch(records: i32, created: Instant) -> Batch {
    let payload = Payload::Unstamped(BytesMut::from(&[0_u8; 100][..]));
    Batch::new(payload, records, 100, created, Outcome::new("t".into(), 0), None)
}

fn error(code: ErrorCode) -> ClientError {
    ClientError::from_code("writing", code)
}

fn retry() -> Verdict {
    Verdict::Retry(error(ErrorCode::NOT_LEADER_OR_FOLLOWER))
}

fn unanswered() -> Verdict {
    Verdict::Unanswered(ClientError::retriable("no answer"))
}

fn out_of_order() -> Verdict {
    Verdict::OutOfOrder(error(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER))
}

fn refused() -> Verdict {
    Verdict::Refused(error(ErrorCode::MESSAGE_TOO_LARGE))
}

fn written() -> Verdict {
    Verdict::Written(BatchMetadata { base_offset: 0, log_append_time: -1 })
}

/// Takes whatever can be sent now, as (batch, epoch, sequence).
fn take_all(queue: &mut PartitionQueue, identity: ProducerIdentity) -> Vec<(u64, i16, i32)> {
    let mut taken = Vec::new();
    while queue.sendable_at(Some(identity), false, &LIMITS).is_some_and(|time| time <= at(1_000_000)) {
        let Some(outgoing) = queue.take(identity) else { break };
        taken.push((outgoing.batch_id, outgoing.identity.epoch, outgoing.sequence));
    }
    taken
}

/// An answer, as (whether it settled the batch well or badly, whether a new epoch is needed).
fn answer(queue: &mut PartitionQueue, id: u64, verdict: Verdict) -> (Option<bool>, bool) {
    answer_at(0, queue, id, verdict)
}

/// The same at this time, in milliseconds.
fn answer_at(ms: u64, queue: &mut PartitionQueue, id: u64, verdict: Verdict) -> (Option<bool>, bool) {
    let (settled, gap) = queue.answered(id, Bytes::from_static(&[0; 100]), verdict, at(ms), at(ms), &LIMITS);
    (settled.map(|settled| settled.result.is_ok()), gap)
}

/// A queue of so many batches, whose leader knows the producer.
fn queue(batches: u64) -> PartitionQueue {
    let mut queue = PartitionQueue::new(TopicPartition::new("t", 0));
    queue.be_known(FIRST);
    for _ in 0..batches {
        queue.push(batch(10, at(0)));
    }
    queue
}

const NOTHING: (Option<bool>, bool) = (None, false);
const WELL: (Option<bool>, bool) = (Some(true), false);
const BADLY: (Option<bool>, bool) = (Some(false), false);

#[test]
fn five_are_numbered_at_a_time() {
    let mut queue = queue(7);
    assert_eq!(take_all(&mut queue, FIRST), [(0, 0, 0), (1, 0, 10), (2, 0, 20), (3, 0, 30), (4, 0, 40)]);
    assert_eq!(answer(&mut queue, 0, written()), WELL);
    assert_eq!(take_all(&mut queue, FIRST), [(5, 0, 50)]);
}

#[test]
fn the_first_goes_alone() {
    let mut queue = queue(3);
    queue.is_known = false;
    assert_eq!(take_all(&mut queue, FIRST), [(0, 0, 0)]);
    assert_eq!(answer(&mut queue, 0, retry()), NOTHING);
    assert_eq!(take_all(&mut queue, FIRST), [(0, 0, 0)]);
    assert_eq!(answer(&mut queue, 0, written()), WELL);
    assert_eq!(take_all(&mut queue, FIRST), [(1, 0, 10), (2, 0, 20)]);
}

#[test]
fn after_a_failure_the_oldest_goes_alone_under_its_number() {
    let mut queue = queue(4);
    assert_eq!(take_all(&mut queue, FIRST).len(), 4);
    queue.push(batch(10, at(0)));
    assert_eq!(answer(&mut queue, 0, retry()), NOTHING);
    assert_eq!(take_all(&mut queue, FIRST), [(0, 0, 0)]);
    assert_eq!(answer(&mut queue, 1, out_of_order()), NOTHING, "an older one is still missing");
    assert_eq!(answer(&mut queue, 2, out_of_order()), NOTHING);
    assert_eq!(answer(&mut queue, 3, out_of_order()), NOTHING);
    assert_eq!(take_all(&mut queue, FIRST), [], "they wait for the oldest");
    assert_eq!(answer(&mut queue, 0, written()), WELL);
    assert_eq!(take_all(&mut queue, FIRST), [(1, 0, 10)]);
    assert_eq!(answer(&mut queue, 1, written()), WELL);
    assert_eq!(take_all(&mut queue, FIRST), [(2, 0, 20)]);
    assert_eq!(answer(&mut queue, 2, written()), WELL);
    assert_eq!(take_all(&mut queue, FIRST), [(3, 0, 30)]);
    assert_eq!(answer(&mut queue, 3, written()), WELL);
    assert_eq!(take_all(&mut queue, FIRST), [(4, 0, 40)], "all that failed are through");
}

#[test]
fn a_younger_failure_waits_for_the_oldest() {
    let mut queue = queue(2);
    assert_eq!(take_all(&mut queue, FIRST).len(), 2);
    assert_eq!(answer(&mut queue, 1, retry()), NOTHING);
    assert_eq!(take_all(&mut queue, FIRST), []);
    assert_eq!(answer(&mut queue, 0, written()), WELL);
    assert_eq!(take_all(&mut queue, FIRST), [(1, 0, 10)]);
}

#[test]
fn the_oldest_out_of_order_starts_a_new_epoch_when_all_have_answered() {
    let mut queue = queue(3);
    assert_eq!(take_all(&mut queue, FIRST).len(), 3);
    assert_eq!(answer(&mut queue, 0, refused()), BADLY);
    assert_eq!(answer(&mut queue, 1, out_of_order()), (None, true), "the proof of a gap");
    assert_eq!(take_all(&mut queue, SECOND), [], "one is in flight still");
    assert_eq!(answer(&mut queue, 2, out_of_order()), NOTHING, "known already");
    assert_eq!(take_all(&mut queue, SECOND), [(1, 1, 0)], "the first of the new epoch goes alone");
    assert_eq!(answer(&mut queue, 1, written()), WELL);
    assert_eq!(take_all(&mut queue, SECOND), [(2, 1, 10)]);
}

#[test]
fn a_gap_is_no_proof_while_a_request_may_come_late() {
    let begun = || {
        let mut queue = queue(2);
        assert_eq!(take_all(&mut queue, FIRST), [(0, 0, 0), (1, 0, 10)]);
        assert_eq!(answer(&mut queue, 1, unanswered()), NOTHING);
        // The first of them is given up with its fate unknown.
        assert_eq!(queue.expire(at(120_000), &LIMITS).len(), 2);
        assert_eq!(answer_at(120_001, &mut queue, 0, unanswered()), NOTHING);
        queue.push(batch(10, at(119_000)));
        assert_eq!(take_all(&mut queue, FIRST), [(2, 0, 20)]);
        assert_eq!(answer_at(120_002, &mut queue, 2, out_of_order()), NOTHING, "they may yet arrive");
        assert_eq!(take_all(&mut queue, FIRST), [(2, 0, 20)], "again, under its number");
        queue
    };
    // They have arrived.
    let mut late = begun();
    assert_eq!(answer_at(120_100, &mut late, 2, written()), WELL);
    // They never do.
    let mut lost = begun();
    assert_eq!(answer_at(150_000, &mut lost, 2, out_of_order()), NOTHING);
    assert_eq!(take_all(&mut lost, FIRST), [(2, 0, 20)]);
    assert_eq!(answer_at(150_001, &mut lost, 2, out_of_order()), (None, true));
    assert_eq!(take_all(&mut lost, SECOND), [(2, 1, 0)]);
    // Once the last that was numbered is written, none that comes late is taken.
    let mut settled = queue(2);
    take_all(&mut settled, FIRST);
    assert_eq!(answer(&mut settled, 0, unanswered()), NOTHING);
    assert_eq!(answer(&mut settled, 1, out_of_order()), NOTHING);
    take_all(&mut settled, FIRST);
    assert_eq!(answer(&mut settled, 0, written()), WELL);
    take_all(&mut settled, FIRST);
    assert_eq!(answer(&mut settled, 1, written()), WELL);
    settled.push(batch(10, at(0)));
    take_all(&mut settled, FIRST);
    assert_eq!(answer(&mut settled, 2, out_of_order()), (None, true), "the leader has lost its tail");
}

#[test]
fn a_refused_batch_gives_its_number_back_only_if_nobody_can_have_seen_it() {
    // Refused at the first attempt and nobody behind: the next takes its number.
    let mut only = queue(1);
    take_all(&mut only, FIRST);
    assert_eq!(answer(&mut only, 0, refused()), BADLY);
    only.push(batch(10, at(0)));
    assert_eq!(take_all(&mut only, FIRST), [(1, 0, 0)]);
    // Refused at a second attempt: the first may have been written, so its number is spent.
    let mut again = queue(1);
    take_all(&mut again, FIRST);
    assert_eq!(answer(&mut again, 0, retry()), NOTHING);
    take_all(&mut again, FIRST);
    assert_eq!(answer(&mut again, 0, refused()), BADLY);
    again.push(batch(10, at(0)));
    assert_eq!(take_all(&mut again, FIRST), [(1, 0, 10)]);
}

#[test]
fn a_batch_that_is_too_large_is_cut_and_keeps_its_place() {
    let too_large = || Verdict::TooLarge(error(ErrorCode::MESSAGE_TOO_LARGE));
    let sealed = |records: u8| {
        let mut builder = BatchBuilder::new(Compression::Gzip);
        for number in 0..records {
            builder.append(0, None, Some(&[number]), []).unwrap();
        }
        builder.finish().freeze()
    };
    let mut queue = queue(1);
    queue.push(batch(3, at(0)));
    queue.push(batch(1, at(0)));
    queue.push(batch(1, at(0)));
    assert_eq!(take_all(&mut queue, FIRST), [(0, 0, 0), (1, 0, 10), (2, 0, 13), (3, 0, 14)]);
    let (settled, gap) = queue.answered(1, sealed(3), too_large(), at(0), at(0), &LIMITS);
    assert!(settled.is_none() && !gap, "an older one is on its way");
    assert_eq!(answer(&mut queue, 0, written()), WELL);
    assert_eq!(take_all(&mut queue, FIRST), [(1, 0, 10)]);
    let (settled, gap) = queue.answered(1, sealed(3), too_large(), at(0), at(0), &LIMITS);
    assert!(settled.is_none() && gap, "the halves need numbers of their own");
    assert_eq!(take_all(&mut queue, SECOND), [], "two are in flight");
    assert_eq!(answer(&mut queue, 2, out_of_order()), NOTHING);
    assert_eq!(answer(&mut queue, 3, out_of_order()), NOTHING);
    let Some(half) = queue.take(SECOND) else { panic!("the first half is next") };
    assert_eq!((half.sequence, half.identity), (0, SECOND));
    let Payload::Builder(mut builder) = half.payload else { panic!("it is not finished") };
    assert_eq!((builder.record_count(), builder.compression()), (1, Compression::Gzip));
    // Of one record there are no halves.
    let (settled, _) =
        queue.answered(half.batch_id, builder.finish().freeze(), too_large(), at(0), at(0), &LIMITS);
    assert!(settled.unwrap().result.is_err());
    let taken = take_all(&mut queue, SECOND);
    assert_eq!(taken, [(half.batch_id - 1, 1, 0)], "the second half, before those that were behind it");
    assert_eq!(answer(&mut queue, taken[0].0, written()), WELL);
    assert_eq!(take_all(&mut queue, SECOND), [(2, 1, 2), (3, 1, 3)]);
}

#[test]
fn a_new_epoch_waits_until_nothing_is_numbered_under_the_old_one() {
    let mut queue = queue(2);
    assert_eq!(take_all(&mut queue, FIRST).len(), 2);
    queue.push(batch(10, at(0)));
    assert_eq!(take_all(&mut queue, SECOND), []);
    assert_eq!(answer(&mut queue, 0, retry()), NOTHING);
    assert_eq!(take_all(&mut queue, SECOND), [(0, 0, 0)], "what is numbered keeps its epoch");
    assert_eq!(answer(&mut queue, 0, written()), WELL);
    assert_eq!(answer(&mut queue, 1, written()), WELL);
    assert_eq!(take_all(&mut queue, SECOND), [(2, 1, 0)]);
}

#[test]
fn what_is_too_old_is_given_up_wherever_it_is() {
    let mut queue = queue(3);
    assert_eq!(take_all(&mut queue, FIRST).len(), 3);
    queue.push(batch(10, at(60_000)));
    assert_eq!(answer(&mut queue, 1, retry()), NOTHING);
    assert_eq!(queue.expires_at(&LIMITS), Some(at(120_000)));
    assert_eq!(queue.expire(at(119_999), &LIMITS).len(), 0);
    let settled = queue.expire(at(120_000), &LIMITS);
    assert_eq!(settled.len(), 3);
    let texts: Vec<_> = settled.iter().map(|one| one.result.as_ref().unwrap_err().to_string()).collect();
    assert_eq!(texts[0], "records for t-0 were not acknowledged within 120000 ms");
    assert!(texts[1].ends_with("; last: writing: NOT_LEADER_OR_FOLLOWER (6)"), "{}", texts[1]);
    assert_eq!(answer(&mut queue, 0, written()), NOTHING, "nobody asks for it any more");
    assert_eq!(take_all(&mut queue, FIRST), [(3, 0, 30)], "its predecessors may have been written");
    assert_eq!(answer(&mut queue, 3, out_of_order()), (None, true), "they were not");
    assert_eq!(take_all(&mut queue, SECOND), [], "batch 2 was never answered");
    assert_eq!(answer(&mut queue, 2, retry()), NOTHING);
    assert_eq!(take_all(&mut queue, SECOND), [(3, 1, 0)]);
}

#[test]
fn retries_have_an_end() {
    let mut queue = queue(1);
    for _ in 0..LIMITS.retries {
        assert_eq!(take_all(&mut queue, FIRST), [(0, 0, 0)]);
        assert_eq!(answer(&mut queue, 0, retry()), NOTHING);
    }
    assert_eq!(take_all(&mut queue, FIRST), [(0, 0, 0)]);
    assert_eq!(answer(&mut queue, 0, retry()), BADLY);
    assert!(queue.is_empty());
}

#[test]
fn sequences_wrap() {
    let check = |sequence, records, expected| assert_eq!(sequence_after(sequence, records), expected);
    check(0, 10, 10);
    check(i32::MAX, 1, 0);
    check(i32::MAX - 1, 3, 1);
}

#[test]
fn an_open_batch_goes_when_it_has_lingered() {
    let mut queue = queue(0);
    let open = queue.open(OpenBatch {
        builder: BatchBuilder::new(Compression::None),
        created: at(100),
        outcome: Outcome::new("t".into(), 0),
    });
    open.builder.append(0, None, None, []).unwrap();
    let check = |queue: &PartitionQueue, identity, hurry, expected| {
        assert_eq!(queue.sendable_at(identity, hurry, &LIMITS), expected);
    };
    check(&queue, None, false, None);
    check(&queue, Some(FIRST), false, Some(at(105)));
    check(&queue, Some(FIRST), true, Some(at(100)));
    queue.push(batch(1, at(101)));
    check(&queue, Some(FIRST), false, Some(at(0)));
    assert_eq!(take_all(&mut queue, FIRST), [(0, 0, 0), (1, 0, 1)], "in the order of the calls");
}
