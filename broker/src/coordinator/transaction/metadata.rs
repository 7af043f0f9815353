//! The state of one transactional id, and the transitions between its states. Each gives the state that follows; whether
//! it may be is the requests' business.

use std::collections::BTreeSet;
use std::sync::Arc;

/// No producer id.
pub(crate) const NO_PRODUCER_ID: i64 = -1;
/// No producer epoch.
pub(crate) const NO_PRODUCER_EPOCH: i16 = -1;
/// The level of `transaction.version` at which the epoch rises with every transaction.
pub(crate) const EPOCH_BUMP: i16 = 2;

/// How a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TransactionState {
    /// There was none yet, since the producer was initialised.
    Empty,
    /// It has partitions.
    Ongoing,
    /// It is committed; not all markers are written.
    PrepareCommit,
    /// It is aborted; not all markers are written.
    PrepareAbort,
    /// It was committed.
    CompleteCommit,
    /// It was aborted.
    CompleteAbort,
}

impl TransactionState {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [TransactionState; 6] = [
        TransactionState::Empty,
        TransactionState::Ongoing,
        TransactionState::PrepareCommit,
        TransactionState::PrepareAbort,
        TransactionState::CompleteCommit,
        TransactionState::CompleteAbort,
    ];

    /// Kafka's number of the state, as records have it.
    pub(crate) fn id(self) -> i8 {
        self as i8
    }

    /// The state of a number. Two more have one, but no record ever holds them.
    pub(crate) fn from_id(id: i8) -> Option<TransactionState> {
        TransactionState::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// Kafka's name of the state.
    pub(crate) fn name(self) -> &'static str {
        match self {
            TransactionState::Empty => "Empty",
            TransactionState::Ongoing => "Ongoing",
            TransactionState::PrepareCommit => "PrepareCommit",
            TransactionState::PrepareAbort => "PrepareAbort",
            TransactionState::CompleteCommit => "CompleteCommit",
            TransactionState::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether it is decided, and not yet written to all partitions.
    pub(crate) fn is_prepared(self) -> bool {
        matches!(self, TransactionState::PrepareCommit | TransactionState::PrepareAbort)
    }
}

/// The state of one transactional id: what a record holds (Kafka's `TransactionLogValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransactionMetadata {
    pub(crate) producer_id: i64,
    /// The producer id before the last change, so that a request sent again under it is understood.
    pub(crate) previous_producer_id: i64,
    /// The producer id from the end of this transaction on, if the epochs of this one are used up.
    pub(crate) next_producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) state: TransactionState,
    pub(crate) partitions: BTreeSet<(Arc<str>, i32)>,
    /// When the transaction began; -1 if there was none yet.
    pub(crate) start_ms: i64,
    pub(crate) last_update_ms: i64,
    /// The level of `transaction.version` in which the transaction was begun or ended.
    pub(crate) client_version: i16,
}

impl TransactionMetadata {
    /// A transactional id that was not known, before its producer has an epoch.
    pub(crate) fn new(producer_id: i64) -> TransactionMetadata {
        TransactionMetadata {
            producer_id,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms: 0,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            start_ms: -1,
            last_update_ms: -1,
            client_version: 0,
        }
    }

    /// Whether the epochs of the producer id are used up: the last one is kept for fencing.
    pub(crate) fn is_epoch_exhausted(&self) -> bool {
        is_exhausted(self.producer_epoch)
    }

    pub(crate) fn has_partition(&self, topic: &str, partition: i32) -> bool {
        self.partitions.iter().any(|(name, index)| *index == partition && **name == *topic)
    }

    /// A producer takes the id, with this epoch and maybe another producer id.
    pub(crate) fn initialized(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        timeout_ms: i32,
        now_ms: i64,
    ) -> TransactionMetadata {
        TransactionMetadata {
            producer_id,
            previous_producer_id: self.producer_id,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            start_ms: -1,
            last_update_ms: now_ms,
            client_version: self.client_version,
        }
    }

    /// Partitions become part of the transaction, which begins if there is none.
    pub(crate) fn with_partitions(
        &self,
        added: impl IntoIterator<Item = (Arc<str>, i32)>,
        client_version: i16,
        now_ms: i64,
    ) -> TransactionMetadata {
        let is_ongoing = self.state == TransactionState::Ongoing;
        let mut partitions = if is_ongoing { self.partitions.clone() } else { BTreeSet::new() };
        partitions.extend(added);
        TransactionMetadata {
            previous_producer_id: self.producer_id,
            state: TransactionState::Ongoing,
            partitions,
            start_ms: if is_ongoing { self.start_ms } else { now_ms },
            last_update_ms: now_ms,
            client_version,
            ..self.clone()
        }
    }

    /// The transaction is decided. In the newer protocol the epoch rises with it; `next_producer_id` takes over when it is
    /// complete, if that is the last epoch.
    pub(crate) fn prepared(
        &self,
        is_commit: bool,
        client_version: i16,
        next_producer_id: i64,
        now_ms: i64,
    ) -> TransactionMetadata {
        let bump = i16::from(client_version >= EPOCH_BUMP);
        let state = if is_commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort };
        let is_ongoing = self.state == TransactionState::Ongoing;
        TransactionMetadata {
            previous_producer_id: self.producer_id,
            next_producer_id,
            // The requests see to it that there is one more epoch.
            producer_epoch: self.producer_epoch.saturating_add(bump),
            state,
            // What is aborted before it had partitions begins with its end.
            partitions: if is_ongoing { self.partitions.clone() } else { BTreeSet::new() },
            start_ms: if is_ongoing { self.start_ms } else { now_ms },
            last_update_ms: now_ms,
            client_version,
            ..self.clone()
        }
    }

    /// All markers are written.
    pub(crate) fn complete(&self, now_ms: i64) -> TransactionMetadata {
        let next = self.after_completion();
        TransactionMetadata {
            producer_id: next.0,
            previous_producer_id: self.producer_id,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: next.1,
            state: match self.state {
                TransactionState::PrepareCommit => TransactionState::CompleteCommit,
                _ => TransactionState::CompleteAbort,
            },
            partitions: BTreeSet::new(),
            last_update_ms: now_ms,
            ..self.clone()
        }
    }

    /// The epoch of the batches of the transaction under way, or being ended, if there is one.
    pub(crate) fn last_batch_epoch(&self) -> Option<i16> {
        match self.state {
            TransactionState::Ongoing => Some(self.producer_epoch),
            // In the newer protocol the epoch has risen with the decision: what has that one is of the next transaction.
            state if state.is_prepared() && self.client_version >= EPOCH_BUMP => {
                Some(self.producer_epoch - 1)
            }
            state if state.is_prepared() => Some(self.producer_epoch),
            _ => None,
        }
    }

    /// The producer id and epoch with which the producer goes on when its decided transaction is complete.
    pub(crate) fn after_completion(&self) -> (i64, i16) {
        match self.next_producer_id {
            NO_PRODUCER_ID => (self.producer_id, self.producer_epoch),
            next if self.client_version >= EPOCH_BUMP => (next, 0),
            _ => (self.producer_id, self.producer_epoch),
        }
    }
}

/// Whether an epoch is the last that a producer may have; the one above it fences.
pub(crate) fn is_exhausted(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}
