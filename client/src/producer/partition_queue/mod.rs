//! The batches of one partition on their way, and the numbers that keep a retry from writing twice. Pure.
//!
//! ```text
//!   records -> open batch -> waiting (closed, no number yet) -> numbered, in flight -> acknowledged
//!                                                                 ^       |
//!                                                                 +-retry-+
//! ```
//! A leader remembers the last five batches of a producer and takes only the one whose sequence follows. Hence:
//! - At most so many batches are numbered at a time as the leader remembers; a batch that is sent again keeps its number.
//! - After a failure only the oldest numbered batch is sent, one at a time, and nothing new is numbered until all that
//!   failed are through: a younger one would be refused, or, if only the answer was lost, push the failed one out of the
//!   leader's memory.
//! - A leader that does not know the producer takes any sequence. So until it has acknowledged a first batch, that one
//!   goes alone: else, if it were lost and the second not, the second would be written before it.
//! - A refusal for the sequence means little for a younger batch (an older one is still missing: it goes again). For
//!   the oldest it is a proof: the leader lacks what came before it and has none of what is numbered here (a batch was
//!   given up, or a leader lost its tail). Then the producer takes a new epoch, and once nothing is in flight all that
//!   is numbered starts again from sequence 0. Since the proof is needed, a batch of unknown fate is not renumbered, and
//!   not written twice.
//! - A request that was given up without an answer may still arrive and bring what is missing, and the refused batch too.
//!   Its connection is reset, so nothing of it leaves any more; but a leader may have it and not have come to it. So for
//!   another `request.timeout.ms` a refusal is no proof: the same is sent again under the same number, and if the late
//!   request has written it by then, the leader knows it. Only a request that a leader takes up even later than that,
//!   after the refusal and before the new epoch, is written twice. Kafka's producer does not wait at all.

mod cut;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use anabranch_host::Instant;
use anabranch_protocol::ErrorCode;
use anabranch_protocol::records::BatchBuilder;
use bytes::{Bytes, BytesMut};

use self::cut::{for_halves, halves, records_at};
use super::delivery::{BatchError, BatchMetadata, Outcome, RefusedRecord};
use crate::error::{ClientError, Result};
use crate::topic_partition::TopicPartition;

/// Who a producer is to the leaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProducerIdentity {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// Called with a batch's outcome.
pub(super) type OnAck = Box<dyn FnOnce(Result<BatchMetadata, BatchError>) + Send>;

/// The bytes of a batch in their states.
#[derive(Debug)]
pub(super) enum Payload {
    /// Not yet finished (and compressed).
    Builder(BatchBuilder),
    /// Finished, without the producer's numbers.
    Unstamped(BytesMut),
    /// As it was sent; to be sent again like this.
    Sealed(Bytes),
    /// With the sender.
    Away,
}

/// A closed batch.
pub(super) struct Batch {
    /// Its number in this queue, in the order of the records.
    id: u64,
    pub(super) payload: Payload,
    pub(super) records: i32,
    /// What it takes of the producer's memory.
    pub(super) bytes: usize,
    /// When its first record came.
    pub(super) created: Instant,
    pub(super) outcome: Arc<Outcome>,
    pub(super) on_ack: Option<OnAck>,
    attempts: u32,
    last_error: Option<ClientError>,
}

/// A batch that takes records.
pub(super) struct OpenBatch {
    pub(super) builder: BatchBuilder,
    pub(super) created: Instant,
    pub(super) outcome: Arc<Outcome>,
}

struct NumberedBatch {
    batch: Batch,
    identity: ProducerIdentity,
    sequence: i32,
    in_flight: bool,
    /// Whether an attempt has failed.
    failed: bool,
}

/// A batch to be sent now.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) batch_id: u64,
    pub(super) payload: Payload,
    pub(super) identity: ProducerIdentity,
    pub(super) sequence: i32,
}

/// What an answer says of a batch.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It is written.
    Written(BatchMetadata),
    /// It may be written or not; ask again.
    Retry(ClientError),
    /// Nobody says. It may be written or not, or yet be: the request may arrive late.
    Unanswered(ClientError),
    /// It is not written, for its number does not follow.
    OutOfOrder(ClientError),
    /// It is not written, for it is too large; a part of it may not be.
    TooLarge(ClientError),
    /// It is not written and never will be because of its records at these places, or of any of them if none are named.
    BadRecords(ClientError, Vec<i32>),
    /// It is not written and never will be.
    Refused(ClientError),
}

impl Verdict {
    /// Whether it is asked again in a moment: the transaction before is just being ended.
    pub(super) fn passes_soon(&self) -> bool {
        matches!(self, Verdict::Retry(error) if error.code() == Some(ErrorCode::CONCURRENT_TRANSACTIONS))
    }
}

/// A batch whose fate is known, to be told.
pub(super) struct Settled {
    pub(super) bytes: usize,
    outcome: Arc<Outcome>,
    on_ack: Option<OnAck>,
    result: Result<BatchMetadata>,
    /// Those of its records that are why.
    refused: Vec<RefusedRecord>,
}

/// The bounds that a queue keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_in_flight: usize,
    pub(super) retries: u32,
    pub(super) linger: std::time::Duration,
    pub(super) delivery_timeout: std::time::Duration,
    /// So long after it was given up a request may still be carried out.
    pub(super) late: std::time::Duration,
    /// Whether the producer may take a new epoch by itself. In a transaction a gap is the end of it instead.
    pub(super) may_renumber: bool,
}

/// The way of one partition.
pub(super) struct PartitionQueue {
    pub(super) name: TopicPartition,
    next_id: u64,
    open: Option<OpenBatch>,
    waiting: VecDeque<Batch>,
    numbered: VecDeque<NumberedBatch>,
    /// Batches with the sender, those included that were given up meanwhile.
    in_flight: usize,
    identity: Option<ProducerIdentity>,
    next_sequence: i32,
    /// Whether the leader has acknowledged a batch of this identity.
    is_known: bool,
    /// All that is numbered starts anew under a new epoch once nothing is in flight.
    renumber: bool,
    /// Until then a request that was given up may be carried out and write what is not known to be written.
    late_until: Option<Instant>,
    /// Failures in a row, and when the next attempt may be.
    pub(super) failures: u32,
    retry_at: Instant,
}

impl Batch {
    pub(super) fn new(
        payload: Payload,
        records: i32,
        bytes: usize,
        created: Instant,
        outcome: Arc<Outcome>,
        on_ack: Option<OnAck>,
    ) -> Self {
        Batch { id: 0, payload, records, bytes, created, outcome, on_ack, attempts: 0, last_error: None }
    }

    fn settle(self, result: Result<BatchMetadata>) -> Settled {
        let refused = Vec::new();
        Settled { bytes: self.bytes, outcome: self.outcome, on_ack: self.on_ack, result, refused }
    }

    fn expire(self, name: &TopicPartition, limit: std::time::Duration) -> Settled {
        let text = format!("records for {name} were not acknowledged within {} ms", limit.as_millis());
        let error = match &self.last_error {
            Some(last) => ClientError::retriable(format!("{text}; last: {last}")),
            None => ClientError::retriable(text),
        };
        self.settle(Err(error))
    }
}

impl Settled {
    /// Why the batch was not written.
    pub(super) fn error(&self) -> Option<&ClientError> {
        self.result.as_ref().err()
    }

    /// Tells everybody, the callback before those who wait, so that a flush comes after all of them. Not under a lock:
    /// it runs the user's code.
    pub(super) fn tell(mut self) {
        if let Some(on_ack) = self.on_ack.take() {
            let Settled { result, refused, .. } = &mut self;
            let refused = std::mem::take(refused);
            on_ack(result.clone().map_err(|error| BatchError { error, refused }));
        }
        self.outcome.settle(self.result);
    }
}

impl PartitionQueue {
    pub(super) fn new(name: TopicPartition) -> Self {
        PartitionQueue {
            name,
            next_id: 0,
            open: None,
            waiting: VecDeque::new(),
            numbered: VecDeque::new(),
            in_flight: 0,
            identity: None,
            next_sequence: 0,
            is_known: false,
            renumber: false,
            late_until: None,
            failures: 0,
            retry_at: Instant::default(),
        }
    }

    /// The batch that takes records, if there is one.
    pub(super) fn open_batch(&mut self) -> Option<&mut OpenBatch> {
        self.open.as_mut()
    }

    /// Begins a batch.
    pub(super) fn open(&mut self, batch: OpenBatch) -> &mut OpenBatch {
        debug_assert!(self.open.is_none(), "the one before is closed first");
        self.open.insert(batch)
    }

    /// Closes the batch that takes records.
    pub(super) fn close_open(&mut self) {
        if let Some(open) = self.open.take() {
            let records = i32::try_from(open.builder.record_count()).unwrap_or(i32::MAX);
            let bytes = open.builder.size_bytes();
            let payload = Payload::Builder(open.builder);
            self.add(Batch::new(payload, records, bytes, open.created, open.outcome, None));
        }
    }

    fn add(&mut self, mut batch: Batch) {
        batch.id = self.new_id();
        self.waiting.push_back(batch);
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Adds a whole batch behind all that is there.
    pub(super) fn push(&mut self, batch: Batch) {
        self.close_open();
        self.add(batch);
    }

    /// The outcomes of all that is not settled yet.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = &Arc<Outcome>> {
        let numbered = self.numbered.iter().map(|numbered| &numbered.batch.outcome);
        let waiting = self.waiting.iter().map(|batch| &batch.outcome);
        numbered.chain(waiting).chain(self.open.iter().map(|open| &open.outcome))
    }

    /// When the oldest batch is given up.
    pub(super) fn expires_at(&self, limits: &Limits) -> Option<Instant> {
        let numbered = self.numbered.front().map(|numbered| numbered.batch.created);
        let waiting = self.waiting.front().map(|batch| batch.created);
        let open = self.open.as_ref().map(|open| open.created);
        numbered.or(waiting).or(open).map(|created| created + limits.delivery_timeout)
    }

    /// From when on a batch can be sent; none if an answer must come first. `hurry` sends an open batch at once.
    pub(super) fn sendable_at(
        &self,
        identity: Option<ProducerIdentity>,
        hurry: bool,
        limits: &Limits,
    ) -> Option<Instant> {
        let identity = identity?;
        if self.renumber {
            return (self.in_flight == 0).then_some(self.retry_at);
        }
        if let Some(failed) = self.numbered.iter().position(|numbered| !numbered.in_flight) {
            return (failed == 0).then_some(self.retry_at);
        }
        let failed = self.numbered.iter().any(|numbered| numbered.failed);
        let alone = !self.is_known && !self.numbered.is_empty();
        let full = self.numbered.len().max(self.in_flight) >= limits.max_in_flight;
        let other_identity = !self.numbered.is_empty() && self.identity != Some(identity);
        if failed || alone || full || other_identity {
            return None;
        }
        if !self.waiting.is_empty() {
            return Some(self.retry_at);
        }
        let lingered = |open: &OpenBatch| if hurry { open.created } else { open.created + limits.linger };
        self.open.as_ref().map(|open| lingered(open).max(self.retry_at))
    }

    /// How large the batch is that would be sent next.
    pub(super) fn next_bytes(&self) -> usize {
        let failed = self.numbered.iter().find(|numbered| !numbered.in_flight);
        let next = failed.map(|numbered| &numbered.batch).or(self.waiting.front());
        next.map_or_else(
            || self.open.as_ref().map_or(0, |open| open.builder.size_bytes()),
            |batch| batch.bytes,
        )
    }

    /// Takes the next batch; call it when [`PartitionQueue::sendable_at`] has come.
    pub(super) fn take(&mut self, identity: ProducerIdentity) -> Option<Outgoing> {
        if self.renumber {
            self.start_anew();
        }
        let failed = self.numbered.front_mut().filter(|numbered| !numbered.in_flight);
        let next = match failed {
            Some(failed) => failed,
            None => {
                if self.waiting.is_empty() {
                    self.close_open();
                }
                let batch = self.waiting.pop_front()?;
                if self.numbered.is_empty() && self.identity != Some(identity) {
                    // Who is known under one epoch is known under the next, which must begin at 0.
                    self.is_known &= self.identity.is_some_and(|before| before.id == identity.id);
                    self.identity = Some(identity);
                    self.next_sequence = 0;
                }
                let sequence = self.next_sequence;
                self.next_sequence = sequence_after(sequence, batch.records);
                self.numbered.push_back(NumberedBatch {
                    batch,
                    identity,
                    sequence,
                    in_flight: false,
                    failed: false,
                });
                self.numbered.back_mut()?
            }
        };
        next.in_flight = true;
        self.in_flight += 1;
        Some(Outgoing {
            batch_id: next.batch.id,
            payload: std::mem::replace(&mut next.batch.payload, Payload::Away),
            identity: next.identity,
            sequence: next.sequence,
        })
    }

    /// Takes the numbers back from all that has one, to be numbered from 0 under the new epoch.
    fn start_anew(&mut self) {
        while let Some(mut numbered) = self.numbered.pop_back() {
            if let Payload::Sealed(bytes) = numbered.batch.payload {
                let bytes = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
                numbered.batch.payload = Payload::Unstamped(bytes);
            }
            self.waiting.push_front(numbered.batch);
        }
        self.renumber = false;
        self.late_until = None;
        self.identity = None;
    }

    /// Takes an answer in. Gives back what is settled, and whether the producer needs a new epoch.
    pub(super) fn answered(
        &mut self,
        batch_id: u64,
        payload: Bytes,
        verdict: Verdict,
        now: Instant,
        retry_at: Instant,
        limits: &Limits,
    ) -> (Option<Settled>, bool) {
        self.in_flight -= 1;
        if matches!(verdict, Verdict::Unanswered(_)) {
            self.late_until = Some(now + limits.late);
        }
        let index = self.numbered.iter().position(|numbered| numbered.batch.id == batch_id);
        let Some(index) = index else {
            // Given up while it was in flight.
            return (None, false);
        };
        let numbered = &mut self.numbered[index];
        numbered.in_flight = false;
        numbered.batch.payload = Payload::Sealed(payload);
        let (error, out_of_order) = match verdict {
            Verdict::Written(metadata) => {
                self.failures = 0;
                let is_current = Some(numbered.identity) == self.identity;
                self.is_known |= is_current;
                if is_current
                    && sequence_after(numbered.sequence, numbered.batch.records) == self.next_sequence
                {
                    // All that was sent before it is written, or is refused from now on.
                    self.late_until = None;
                }
                let batch = self.remove(index);
                return (batch.map(|batch| batch.settle(Ok(metadata))), false);
            }
            Verdict::TooLarge(error) => match self.split(index, limits) {
                Ok(gap) => return (None, gap),
                Err(()) => return (self.refuse(index, error, Some(&[])), false),
            },
            Verdict::BadRecords(error, places) => return (self.refuse(index, error, Some(&places)), false),
            Verdict::Refused(error) => return (self.refuse(index, error, None), false),
            Verdict::OutOfOrder(error) if index == 0 && !limits.may_renumber => {
                return (self.refuse(index, error, None), false);
            }
            Verdict::OutOfOrder(error) => (error, true),
            Verdict::Retry(error) | Verdict::Unanswered(error) => (error, false),
        };
        numbered.failed = true;
        let may_come_late = self.late_until.is_some_and(|until| now < until);
        let gap = out_of_order && index == 0 && !self.renumber && !may_come_late;
        if !out_of_order || index == 0 {
            numbered.batch.attempts += 1;
            self.failures += 1;
            self.retry_at = self.retry_at.max(retry_at);
        }
        if numbered.batch.attempts > limits.retries {
            let batch = self.remove(index);
            return (batch.map(|batch| batch.settle(Err(error))), false);
        }
        numbered.batch.last_error = Some(error);
        self.renumber |= gap;
        (None, gap)
    }

    /// Gives a batch up that is not written; because of its records at these places, if it is for the records (of any of
    /// them, if none is named). Only a callback wants to know which they are.
    fn refuse(&mut self, index: usize, error: ClientError, places: Option<&[i32]>) -> Option<Settled> {
        let last = index + 1 == self.numbered.len();
        let numbered = &self.numbered[index];
        // If it was never written, its numbers were not used and can be given again, unless somebody has the ones
        // behind: those are then refused for their order, which leads to a new epoch. After more than one attempt nobody
        // knows whether an earlier one wrote it.
        if last && numbered.batch.attempts == 0 && !self.renumber {
            self.next_sequence = numbered.sequence;
        }
        let batch = self.remove(index)?;
        let refused = match (&batch.payload, places) {
            (Payload::Sealed(bytes), Some(places)) if batch.on_ack.is_some() => records_at(bytes, places),
            _ => Ok(Vec::new()),
        };
        Some(Settled { refused: refused.unwrap_or_default(), ..batch.settle(Err(error)) })
    }

    /// Puts two halves in the place of a batch that is too large. Says whether a new epoch is needed: all behind it take
    /// new numbers. An error if it cannot be cut. In a transaction the halves share the numbers of the whole, and it is
    /// cut only if no attempt before may have written it.
    fn split(&mut self, index: usize, limits: &Limits) -> Result<bool, ()> {
        let numbered = &mut self.numbered[index];
        let unsure = !limits.may_renumber && numbered.batch.attempts > 0;
        if numbered.batch.records < 2 || unsure {
            return Err(());
        }
        if index > 0 {
            // Its turn comes when the older ones are through: only then is it sure what the leader has.
            numbered.failed = true;
            return Ok(false);
        }
        let Payload::Sealed(bytes) = &numbered.batch.payload else { return Err(()) };
        let at = numbered.batch.records / 2;
        let (first, second) = halves(bytes, at).map_err(drop)?;
        let Some(NumberedBatch { batch, identity, sequence, .. }) = self.numbered.pop_front() else {
            return Err(());
        };
        let (first_outcome, second_outcome) = batch.outcome.split(u32::try_from(at).unwrap_or(0));
        let (first_ack, second_ack) = batch.on_ack.map(for_halves).unzip();
        let mut half = |builder, records, bytes, outcome, on_ack, sequence| NumberedBatch {
            batch: Batch {
                id: self.new_id(),
                payload: Payload::Builder(builder),
                records,
                // Together as much as before, for whoever counts the memory.
                bytes,
                created: batch.created,
                outcome,
                on_ack,
                attempts: 0,
                last_error: None,
            },
            identity,
            sequence,
            in_flight: false,
            failed: true,
        };
        let (less, more) = (batch.bytes / 2, batch.bytes - batch.bytes / 2);
        let after = sequence_after(sequence, at);
        let second = half(second, batch.records - at, more, second_outcome, second_ack, after);
        let first = half(first, at, less, first_outcome, first_ack, sequence);
        self.numbered.push_front(second);
        self.numbered.push_front(first);
        let gap = limits.may_renumber && !self.renumber;
        self.renumber |= limits.may_renumber;
        Ok(gap)
    }

    /// Whether a batch has numbers that the leader may have seen.
    pub(super) fn has_numbered(&self) -> bool {
        !self.numbered.is_empty()
    }

    /// Batches with the sender, those included that were given up meanwhile.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// As if its leader had acknowledged a batch before.
    #[cfg(test)]
    pub(super) fn be_known(&mut self, identity: ProducerIdentity) {
        self.identity = Some(identity);
        self.is_known = true;
    }

    /// Under which identity the next batch is numbered, if one is settled.
    pub(super) fn identity(&self) -> Option<ProducerIdentity> {
        self.identity
    }

    fn remove(&mut self, index: usize) -> Option<Batch> {
        self.numbered.remove(index).map(|numbered| numbered.batch)
    }

    /// Gives up what is too old, with what never will be sent.
    pub(super) fn expire(&mut self, now: Instant, limits: &Limits) -> Vec<Settled> {
        let mut settled = Vec::new();
        let old = |created: Instant| created + limits.delivery_timeout <= now;
        while self.numbered.front().is_some_and(|numbered| old(numbered.batch.created)) {
            settled.extend(self.remove(0).map(|batch| batch.expire(&self.name, limits.delivery_timeout)));
        }
        while self.waiting.front().is_some_and(|batch| old(batch.created)) {
            let batch = self.waiting.pop_front();
            settled.extend(batch.map(|batch| batch.expire(&self.name, limits.delivery_timeout)));
        }
        if self.open.as_ref().is_some_and(|open| old(open.created)) {
            self.close_open();
            let batch = self.waiting.pop_front();
            settled.extend(batch.map(|batch| batch.expire(&self.name, limits.delivery_timeout)));
        }
        settled
    }

    /// Gives up everything.
    pub(super) fn fail_all(&mut self, error: &ClientError) -> Vec<Settled> {
        self.close_open();
        let numbered = self.numbered.drain(..).map(|numbered| numbered.batch);
        numbered.chain(self.waiting.drain(..)).map(|batch| batch.settle(Err(error.clone()))).collect()
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none() && self.waiting.is_empty() && self.numbered.is_empty()
    }
}

/// The sequence `records` after `sequence`; it wraps from 2^31-1 to 0.
fn sequence_after(sequence: i32, records: i32) -> i32 {
    sequence.wrapping_add(records) & i32::MAX
}

impl fmt::Debug for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settled({:?}, {:?})", self.outcome, self.result)
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({}, {} records)", self.id, self.records)
    }
}

#[cfg(test)]
mod tests;
