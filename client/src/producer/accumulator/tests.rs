//! Batching, memory and time, without a network.

use anabranch_protocol::ErrorCode;

use super::*;
use crate::metadata::PartitionMetadata;

fn at(milliseconds: u64) -> Instant {
    Instant::from_start(Duration::from_millis(milliseconds))
}

const IDENTITY: ProducerIdentity = ProducerIdentity { id: 1, epoch: 0 };

fn accumulator(pairs: &[(&str, &str)], partitions: usize) -> Accumulator {
    let config = ProducerConfig::from_pairs(pairs.iter().copied()).unwrap();
    let mut accumulator = Accumulator::new(&config, Duration::from_secs(30));
    let partition =
        PartitionMetadata { leader: Some(1), leader_epoch: 0, replicas: vec![1], in_sync: vec![1] };
    accumulator.learn_topic(&TopicMetadata {
        name: "t".into(),
        id: anabranch_protocol::Uuid::ZERO,
        is_internal: false,
        partitions: vec![partition; partitions],
        learnt: at(0),
    });
    accumulator.identify(at(0), IDENTITY);
    accumulator.queues.iter_mut().for_each(|queue| queue.way.be_known(IDENTITY));
    accumulator
}

fn send(accumulator: &mut Accumulator, now: Instant, record: ProducerRecord<'_>) -> Taken<Delivery> {
    accumulator.append(now, &record, 0, || 0).unwrap()
}

/// What is sent at `now`, as records per batch.
fn drain(accumulator: &mut Accumulator, now: Instant) -> Vec<(i32, usize)> {
    assert!(accumulator.advance(now).is_empty());
    let mut sent = Vec::new();
    loop {
        let ready: Vec<_> = accumulator.ready().into_iter().map(|(id, _)| id).collect();
        let drained = accumulator.drain(now, &ready);
        if drained.is_empty() {
            return sent;
        }
        sent.extend(drained.iter().map(|one| {
            let records = match &one.outgoing.payload {
                Payload::Builder(builder) => builder.record_count(),
                _ => 0,
            };
            (one.name.partition, records)
        }));
    }
}

#[test]
fn batches_go_when_full_or_when_they_have_lingered() {
    let mut accumulator = accumulator(&[("batch.size", "1000"), ("linger.ms", "5")], 1);
    let value = [0; 100];
    let record = ProducerRecord::new("t").value(&value);
    for _ in 0..20 {
        assert!(matches!(send(&mut accumulator, at(0), record), Taken::Accepted { .. }));
    }
    // 8 records of about 107 bytes and the header of 61 fit into 1000.
    assert_eq!(drain(&mut accumulator, at(0)), [(0, 8), (0, 8)]);
    assert_eq!(drain(&mut accumulator, at(4)), []);
    assert_eq!(drain(&mut accumulator, at(5)), [(0, 4)]);
    assert!(!accumulator.is_empty(), "they are not acknowledged");
}

#[test]
fn only_what_changes_the_plans_wakes_the_sender() {
    let mut accumulator = accumulator(&[("batch.size", "1000"), ("linger.ms", "5")], 2);
    let value = [0; 100];
    let wakes = |accumulator: &mut Accumulator, partition| {
        let record = ProducerRecord::new("t").value(&value).partition(partition);
        matches!(send(accumulator, at(0), record), Taken::Accepted { wake: true, .. })
    };
    assert_eq!(accumulator.sleep_until(at(300_000)), at(300_000));
    assert!(wakes(&mut accumulator, 0), "it must wake earlier");
    assert_eq!(accumulator.sleep_until(at(300_000)), at(5));
    assert!(!wakes(&mut accumulator, 0), "one more record in the same batch");
    assert!(!wakes(&mut accumulator, 1), "another batch that lingers as long");
    let woken = (0..20).filter(|_| wakes(&mut accumulator, 0)).count();
    assert_eq!(woken, 1, "the first full batch, not those behind it");
}

#[test]
fn without_an_identity_every_new_batch_wakes_the_sender() {
    let mut accumulator = accumulator(&[("batch.size", "1000"), ("linger.ms", "5")], 2);
    accumulator.identity = None;
    let value = [0; 100];
    for (partition, wakes) in [(0, true), (0, false), (1, true)] {
        let record = ProducerRecord::new("t").value(&value).partition(partition);
        let taken = send(&mut accumulator, at(0), record);
        assert!(matches!(taken, Taken::Accepted { wake, .. } if wake == wakes), "{taken:?}");
    }
    assert!(accumulator.needs_identity());
    accumulator.identify(at(5), IDENTITY);
    assert_eq!(drain(&mut accumulator, at(5)), [(1, 1), (0, 2)]);
}

#[test]
fn keys_and_names_choose_the_partition() {
    let mut accumulator = accumulator(&[("linger.ms", "0")], 3);
    let mut check = |record: ProducerRecord<'_>, expected: i32| {
        assert!(matches!(send(&mut accumulator, at(0), record), Taken::Accepted { .. }));
        assert_eq!(drain(&mut accumulator, at(0)), [(expected, 1)]);
    };
    check(ProducerRecord::new("t").key("a"), murmur2_partition(b"a", 3));
    check(ProducerRecord::new("t").key("b"), murmur2_partition(b"b", 3));
    check(ProducerRecord::new("t").key("a").partition(1), 1);
    check(ProducerRecord::new("t"), 0);
}

#[test]
fn what_cannot_be_taken_is_said() {
    let keys = [("buffer.memory", "2000"), ("batch.size", "500"), ("max.request.size", "1500")];
    let mut accumulator = accumulator(&keys, 1);
    let value = vec![0; 3000];
    let mut check = |record: ProducerRecord<'_>, expected: &str| {
        let taken = accumulator.append(at(0), &record, 0, || 0);
        let shown = match taken {
            Ok(Taken::Accepted { .. }) => "accepted".to_string(),
            Ok(Taken::Unknown) => "unknown".to_string(),
            Ok(Taken::Full) => "full".to_string(),
            Err(error) => format!("{:?}", error.kind()),
        };
        assert_eq!(shown, expected);
    };
    check(ProducerRecord::new("other"), "unknown");
    check(ProducerRecord::new("t").partition(1), "unknown");
    check(ProducerRecord::new("t").partition(-1), "Invalid");
    check(ProducerRecord::new("t").value(&value), "Invalid");
    check(ProducerRecord::new("t").value(&value[..1400]), "accepted");
    check(ProducerRecord::new("t").value(&value[..500]), "full");
    check(ProducerRecord::new("t").value(&value[..100]), "accepted");
    accumulator.close(ClientError::closed("producer"));
    assert!(accumulator.append(at(0), &ProducerRecord::new("t"), 0, || 0).is_err());
}

#[test]
fn a_request_holds_about_so_many_bytes_and_nobody_is_passed_over() {
    let keys = [("batch.size", "400"), ("max.request.size", "1000"), ("linger.ms", "0")];
    let mut accumulator = accumulator(&keys, 5);
    let value = [0; 390];
    for _ in 0..2 {
        for partition in 0..5 {
            let record = ProducerRecord::new("t").value(&value).partition(partition);
            assert!(matches!(send(&mut accumulator, at(0), record), Taken::Accepted { .. }));
        }
    }
    let mut requests = Vec::new();
    loop {
        let ready: Vec<_> = accumulator.ready().into_iter().map(|(id, _)| id).collect();
        let drained = accumulator.drain(at(0), &ready);
        if drained.is_empty() {
            break;
        }
        requests.push(drained.iter().map(|one| one.name.partition).collect::<Vec<_>>());
    }
    assert_eq!(requests, [vec![1, 2], vec![3, 4], vec![0, 1], vec![2, 3], vec![4, 0]]);
}

#[test]
fn memory_is_free_again_when_a_batch_is_settled() {
    let keys = [("buffer.memory", "1000"), ("batch.size", "1000"), ("linger.ms", "0")];
    let mut accumulator = accumulator(&keys, 1);
    let value = [0; 800];
    let record = ProducerRecord::new("t").value(&value);
    assert!(matches!(send(&mut accumulator, at(0), record), Taken::Accepted { .. }));
    assert!(matches!(send(&mut accumulator, at(0), record), Taken::Full));
    accumulator.advance(at(0));
    let ready: Vec<_> = accumulator.ready().into_iter().map(|(id, _)| id).collect();
    let drained = accumulator.drain(at(0), &ready);
    let verdict = Verdict::Refused(ClientError::from_code("x", ErrorCode::MESSAGE_TOO_LARGE));
    let batch_id = drained[0].outgoing.batch_id;
    let settled = accumulator.answered(at(0), 0, batch_id, Bytes::new(), verdict, |_| Duration::ZERO);
    assert!(settled.is_some());
    assert!(matches!(send(&mut accumulator, at(0), record), Taken::Accepted { .. }));
    let settled = accumulator.advance(at(120_000));
    assert_eq!(settled.len(), 1, "given up");
    assert!(matches!(send(&mut accumulator, at(120_000), record), Taken::Accepted { .. }));
}
