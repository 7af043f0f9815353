//! What a partition knows of its producers: who may append, and what has been appended before.
//!
//! For each producer id the log keeps the epoch and the last five batches. A batch whose sequence numbers are among
//! those is a duplicate and is answered with the old offset; the next new one must follow the last without a gap
//! (KIP-98). Of transactions it keeps where each open one began, which bounds what may be read committed.
//!
//! The state is a fold over the batches of the log: recovery and a follower replay the same batches and get the same.

pub(super) mod verifications;

use std::collections::{BTreeMap, VecDeque};

use anabranch_host::HashMap;
use anabranch_protocol::records::{BatchHeader, ControlRecord, ControlType, NO_PRODUCER_EPOCH, NO_SEQUENCE};

use crate::log::error::AppendError;
use crate::log::transaction_index::AbortedTransaction;

/// Batches kept for each producer: as many as it may have in flight.
pub(super) const KEPT_BATCHES: usize = 5;

/// The producers of one log.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ProducerStates {
    producers: HashMap<i64, ProducerState>,
    /// Open transactions: first offset to producer.
    open_transactions: BTreeMap<i64, i64>,
    /// Transactions that ended, by first offset, with the offset of their marker: undecided for readers until the high
    /// watermark passes that.
    ended_transactions: BTreeMap<i64, i64>,
}

/// A producer, as a log knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The newest epoch seen.
    pub epoch: i16,
    /// The last batches, oldest first.
    pub batches: VecDeque<AppendedBatch>,
    /// The epoch of the coordinator that wrote the last marker, -1 if none did.
    pub coordinator_epoch: i32,
    /// Where its open transaction began.
    pub transaction_first_offset: Option<i64>,
    /// Whether the coordinator has said, since this log was opened, that the open transaction is known to it. It may have
    /// lost at a power cut what the log has kept.
    pub is_verified: bool,
    /// The largest timestamp of its last batch.
    pub last_timestamp: i64,
    /// When it was last heard of by the broker's clock; records may carry any timestamp (KAFKA-9144).
    pub last_seen_ms: i64,
}

/// A batch that a producer appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedBatch {
    /// Its last sequence number.
    pub last_sequence: i32,
    /// Its last offset.
    pub last_offset: i64,
    /// From its first to its last offset.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: i64,
}

impl AppendedBatch {
    /// Its first offset.
    #[must_use]
    pub fn base_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }

    /// Its first sequence number; they wrap from 2^31-1 to 0.
    #[must_use]
    pub fn base_sequence(&self) -> i32 {
        if self.last_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        self.last_sequence.wrapping_sub(self.offset_delta) & i32::MAX
    }
}

impl ProducerState {
    fn new(epoch: i16) -> Self {
        ProducerState {
            epoch,
            batches: VecDeque::new(),
            coordinator_epoch: -1,
            transaction_first_offset: None,
            is_verified: false,
            last_timestamp: -1,
            last_seen_ms: 0,
        }
    }

    /// The last sequence number taken in the newest epoch, -1 if none was.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }
}

/// A transaction that a marker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndedTransaction {
    /// What is to be noted of it if it was aborted.
    pub(super) ended: AbortedTransaction,
    pub(super) is_aborted: bool,
}

/// A transaction that no marker has ended yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// In this epoch.
    pub producer_epoch: i16,
    /// Of the last marker of that producer, -1 for none.
    pub coordinator_epoch: i32,
    /// Where it began.
    pub first_offset: i64,
}

/// What is known, besides what the log knows, of whether a batch belongs to a transaction that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Nothing.
    Unknown,
    /// The coordinator says that it does.
    Verified,
    /// The coordinator has made it so, for a producer whose epoch rises with every transaction (KIP-890).
    Added,
}

/// What is to be done with a batch of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Append it.
    New,
    /// It was appended before, here.
    Duplicate(AppendedBatch),
}

/// Whether `next` is the sequence number after `last`.
fn follows(last: i32, next: i32) -> bool {
    i64::from(next) == i64::from(last) + 1 || (next == 0 && last == i32::MAX)
}

impl ProducerStates {
    /// Checks a batch that a client wants to append at `log_end_offset`.
    pub(super) fn admit(
        &self,
        header: &BatchHeader,
        membership: Membership,
        log_end_offset: i64,
    ) -> Result<Admission, AppendError> {
        if !header.has_producer_id() {
            return Ok(Admission::New);
        }
        let known = self.producers.get(&header.producer_id);
        let admission = match known {
            Some(known) => self.admit_known(header, known, log_end_offset)?,
            // A producer that keeps to the newer protocol of transactions begins each epoch at 0, so it has not been
            // forgotten: something before this batch is missing.
            None if membership == Membership::Added && header.base_sequence != 0 => {
                return Err(self.out_of_order(header, NO_SEQUENCE, log_end_offset));
            }
            // Else it may have been forgotten: any sequence number will do.
            None => Admission::New,
        };
        let is_open = known.is_some_and(|known| known.transaction_first_offset.is_some());
        match admission {
            Admission::New if header.is_transactional() => {
                let is_ongoing = self.has_open_transaction(header.producer_id, header.producer_epoch);
                if !is_ongoing && membership == Membership::Unknown {
                    return Err(AppendError::NotInTransaction { producer_id: header.producer_id });
                }
            }
            Admission::New if is_open => {
                return Err(AppendError::InTransaction { producer_id: header.producer_id });
            }
            _ => {}
        }
        Ok(admission)
    }

    fn admit_known(
        &self,
        header: &BatchHeader,
        known: &ProducerState,
        log_end_offset: i64,
    ) -> Result<Admission, AppendError> {
        self.check_epoch(header, known)?;
        let sequence = header.base_sequence;
        if header.producer_epoch == known.epoch {
            let last_sequence = header.last_sequence();
            let duplicate = known.batches.iter().find(|batch| {
                batch.last_sequence == last_sequence && batch.base_sequence() == sequence && sequence >= 0
            });
            if let Some(duplicate) = duplicate {
                return Ok(Admission::Duplicate(*duplicate));
            }
        }
        let last_sequence =
            if header.producer_epoch == known.epoch { known.last_sequence() } else { NO_SEQUENCE };
        if follows(last_sequence, sequence) || known.epoch == NO_PRODUCER_EPOCH {
            return Ok(Admission::New);
        }
        Err(self.out_of_order(header, last_sequence, log_end_offset))
    }

    fn out_of_order(&self, header: &BatchHeader, last_sequence: i32, log_end_offset: i64) -> AppendError {
        AppendError::OutOfOrderSequence {
            producer_id: header.producer_id,
            sequence: header.base_sequence,
            last_sequence,
            log_end_offset,
        }
    }

    /// The newest epoch of a producer, if it is known.
    pub(super) fn epoch(&self, producer_id: i64) -> Option<i16> {
        self.producers.get(&producer_id).map(|known| known.epoch)
    }

    /// Whether the producer has a transaction open, in this epoch, of which its coordinator is known to know.
    pub(super) fn has_open_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        self.producers.get(&producer_id).is_some_and(|known| {
            known.epoch == producer_epoch && known.transaction_first_offset.is_some() && known.is_verified
        })
    }

    /// The coordinator knows of the producer's open transaction.
    pub(super) fn verified(&mut self, producer_id: i64) {
        if let Some(known) = self.producers.get_mut(&producer_id) {
            known.is_verified = known.transaction_first_offset.is_some();
        }
    }

    /// Checks that the epoch of a batch has not passed. That is all for a coordinator's batch that is part of a transaction, as it
    /// has no sequence numbers, and comes first for a client's.
    pub(super) fn admit_epoch(&self, header: &BatchHeader) -> Result<(), AppendError> {
        match self.producers.get(&header.producer_id) {
            Some(known) => self.check_epoch(header, known),
            None => Ok(()),
        }
    }

    /// Checks a marker that a coordinator wants to append. If `bumps_epoch`, the coordinator raises the epoch with every
    /// transaction (KIP-890), and so a marker of an epoch that is known here comes late, unless it is one that is written
    /// again, with nothing open any more.
    pub(super) fn admit_marker(
        &self,
        header: &BatchHeader,
        control: ControlRecord,
        bumps_epoch: bool,
    ) -> Result<(), AppendError> {
        let Some(known) = self.producers.get(&header.producer_id) else { return Ok(()) };
        self.check_epoch(header, known)?;
        if bumps_epoch && header.producer_epoch == known.epoch && known.transaction_first_offset.is_some() {
            return Err(self.old_epoch(header, known));
        }
        match control.coordinator_epoch {
            Some(epoch) if epoch < known.coordinator_epoch => {
                Err(AppendError::TransactionCoordinatorFenced {
                    epoch,
                    current_epoch: known.coordinator_epoch,
                })
            }
            _ => Ok(()),
        }
    }

    fn check_epoch(&self, header: &BatchHeader, known: &ProducerState) -> Result<(), AppendError> {
        if header.producer_epoch >= known.epoch {
            return Ok(());
        }
        Err(self.old_epoch(header, known))
    }

    fn old_epoch(&self, header: &BatchHeader, known: &ProducerState) -> AppendError {
        AppendError::InvalidProducerEpoch {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            current_epoch: known.epoch,
        }
    }

    /// Takes note of a batch of records that was appended.
    pub(super) fn appended(&mut self, header: &BatchHeader, now_ms: i64) {
        if !header.has_producer_id() || header.is_control() {
            return;
        }
        let state = self.producer(header);
        state.last_timestamp = header.max_timestamp;
        state.last_seen_ms = now_ms;
        if state.batches.len() == KEPT_BATCHES {
            state.batches.pop_front();
        }
        state.batches.push_back(AppendedBatch {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        if header.is_transactional() && state.transaction_first_offset.is_none() {
            state.transaction_first_offset = Some(header.base_offset);
            self.open_transactions.insert(header.base_offset, header.producer_id);
        }
    }

    /// Takes note of a marker that was appended, and says which transaction it ended, if there was one.
    pub(super) fn marked(
        &mut self,
        header: &BatchHeader,
        control: ControlRecord,
        now_ms: i64,
    ) -> Option<EndedTransaction> {
        let is_aborted = match control.control_type {
            ControlType::Abort => true,
            ControlType::Commit => false,
            _ => return None,
        };
        let state = self.producer(header);
        state.last_timestamp = header.max_timestamp;
        state.last_seen_ms = now_ms;
        state.coordinator_epoch = control.coordinator_epoch.unwrap_or(-1);
        state.is_verified = false;
        let first_offset = state.transaction_first_offset.take()?;
        self.open_transactions.remove(&first_offset);
        self.ended_transactions.insert(first_offset, header.last_offset());
        let oldest_open = self.open_transactions.keys().next().copied();
        let ended = AbortedTransaction {
            producer_id: header.producer_id,
            first_offset,
            last_offset: header.last_offset(),
            last_stable_offset: oldest_open.unwrap_or(header.next_offset()),
        };
        Some(EndedTransaction { ended, is_aborted })
    }

    /// The producers that have a transaction open: id, epoch, first offset, by the order in which they began.
    pub(super) fn open_transactions(&self) -> Vec<OpenTransaction> {
        let open = self.open_transactions.iter().filter_map(|(first_offset, producer_id)| {
            let state = self.producers.get(producer_id)?;
            Some(OpenTransaction {
                producer_id: *producer_id,
                producer_epoch: state.epoch,
                coordinator_epoch: state.coordinator_epoch,
                first_offset: *first_offset,
            })
        });
        open.collect()
    }

    /// The producer of a batch, in the batch's epoch.
    fn producer(&mut self, header: &BatchHeader) -> &mut ProducerState {
        let state = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(|| ProducerState::new(header.producer_epoch));
        if state.epoch != header.producer_epoch {
            state.epoch = header.producer_epoch;
            state.batches.clear();
        }
        state
    }

    /// The first offset that no reader of committed records may see, given the high watermark; none if nothing is
    /// undecided.
    pub(super) fn first_undecided_offset(&self, high_watermark: i64) -> Option<i64> {
        let open = self.open_transactions.keys().next().copied();
        let ended = self
            .ended_transactions
            .iter()
            .find(|(_, marker)| **marker >= high_watermark)
            .map(|(first, _)| *first);
        match (open, ended) {
            (Some(open), Some(ended)) => Some(open.min(ended)),
            (open, ended) => open.or(ended),
        }
    }

    /// Forgets the ended transactions whose markers lie below the high watermark.
    pub(super) fn decide_up_to(&mut self, high_watermark: i64) {
        self.ended_transactions.retain(|_, marker| *marker >= high_watermark);
    }

    /// Forgets producers that have not been heard of for `expiration_ms` and have no transaction open.
    pub(super) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.producers.retain(|_, state| {
            state.transaction_first_offset.is_some()
                || now_ms.saturating_sub(state.last_seen_ms) < expiration_ms
        });
    }

    /// Puts a producer as a snapshot holds it.
    pub(super) fn restore(&mut self, producer_id: i64, state: ProducerState) {
        if let Some(first_offset) = state.transaction_first_offset {
            self.open_transactions.insert(first_offset, producer_id);
        }
        self.producers.insert(producer_id, state);
    }

    /// All producers, by rising id.
    pub(super) fn sorted(&self) -> Vec<(i64, &ProducerState)> {
        let mut all: Vec<_> = self.producers.iter().map(|(id, state)| (*id, state)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }
}

#[cfg(test)]
mod tests;
