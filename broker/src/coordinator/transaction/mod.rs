//! The transaction coordinator: transactional ids, their producers, and how their transactions stand.
//!
//! One [`TransactionCoordinator`] serves the transactional ids of one partition of `__transaction_state` and is folded
//! from it. Its rule is that of all [coordinators](super): each change is a record that holds the whole state of one
//! transactional id. A transaction goes this way:
//!
//! ```text
//! Empty --> Ongoing --> PrepareCommit --(markers in all partitions)--> CompleteCommit --> Ongoing --> ...
//!                  \--> PrepareAbort  --(markers in all partitions)--> CompleteAbort  --> Ongoing --> ...
//! ```
//! `Prepare*` decides: when its record is durable, nothing can change the outcome any more, and the [markers] follow, if
//! need be after a restart. So a coordinator tells its driver which markers to write ([`effects`]), and is told when they
//! are durable ([`TransactionCoordinator::markers_written`]).
//!
//! Two protocols are spoken (KIP-890). In the older one clients add partitions themselves, and the epoch rises with each
//! InitProducerId; in the newer one (`transaction.version` 2) it rises with every transaction, so that what comes late
//! from the one before is told apart, and partitions are added as they are written to.
//!
//! Reading order: [`metadata`], the state of one id and its transitions; the requests [`init_producer_id`],
//! [`add_partitions`], [`end_transaction`]; [`admin`], [`expiration`]; then [`records`] and [`effects`].

pub(crate) mod add_partitions;
pub(crate) mod admin;
pub(crate) mod effects;
mod end_transaction;
mod expiration;
pub(crate) mod init_producer_id;
pub(crate) mod metadata;
pub(crate) mod records;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_host::Instant;
use anabranch_protocol::ErrorCode;

use self::effects::{Effects, Markers};
use self::metadata::TransactionMetadata;
use self::records::TransactionRecord;
use super::Now;
use crate::config::TransactionConfig;

/// A producer's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerIdAndEpoch {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// Who sends a request, and with which identity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) transactional_id: &'a str,
    pub(crate) producer: ProducerIdAndEpoch,
}

/// The coordinator of the transactional ids of one partition of `__transaction_state`.
#[derive(Debug)]
pub(crate) struct TransactionCoordinator {
    config: TransactionConfig,
    transactions: BTreeMap<Arc<str>, Known>,
    /// When timed out transactions are looked for next, and when idle ids are.
    next_abort: Option<Instant>,
    next_expiration: Option<Instant>,
}

/// What is known of a transactional id.
#[derive(Debug)]
struct Known {
    metadata: TransactionMetadata,
    /// The epoch before the last InitProducerId, or the last EndTxn that raised it, if the same producer asked for both: so that
    /// it may ask once more when the answer was lost. Kafka's records have no place for it, so it does not survive a restart.
    last_epoch: Option<i16>,
    /// When the time of its transaction is up, by the clock that never jumps; set by whoever sees it begin or loads it.
    deadline: Option<Instant>,
}

impl TransactionCoordinator {
    /// A coordinator of no transactional ids. To load one, [replay](TransactionCoordinator::replay) its records, then say
    /// that they are [all](TransactionCoordinator::loaded).
    pub(crate) fn new(config: TransactionConfig) -> TransactionCoordinator {
        TransactionCoordinator {
            config,
            transactions: BTreeMap::new(),
            next_abort: None,
            next_expiration: None,
        }
    }

    /// Folds a record into the state.
    pub(crate) fn replay(&mut self, record: &TransactionRecord) {
        match &record.value {
            None => {
                self.transactions.remove(&record.transactional_id);
            }
            Some(metadata) => match self.transactions.get_mut(&record.transactional_id) {
                Some(known) => known.metadata.clone_from(metadata),
                None => {
                    let known = Known { metadata: metadata.clone(), last_epoch: None, deadline: None };
                    self.transactions.insert(record.transactional_id.clone(), known);
                }
            },
        }
    }

    /// The log has been replayed to its end: what was decided is carried out.
    pub(crate) fn loaded(&mut self, now: Now, effects: &mut Effects) {
        let decided = self.transactions.iter().filter(|(_, known)| known.metadata.state.is_prepared());
        effects.markers.extend(decided.map(|(id, known)| Markers::of(id, &known.metadata)));
        self.set_deadlines(now);
        self.set_timers(now);
    }

    /// The markers of a decided transaction are durable in all its partitions, or the partitions are gone: it is complete.
    pub(crate) fn markers_written(&mut self, now: Now, markers: &Markers, effects: &mut Effects) {
        let Some(known) = self.transactions.get(&markers.transactional_id) else { return };
        // It may have been folded anew meanwhile, and the markers been written twice.
        if self.is_decided(markers) {
            let complete = known.metadata.complete(now.wall_clock_ms);
            self.write(&markers.transactional_id.clone(), complete, effects);
        }
    }

    /// Whether these are the markers of a transaction that is decided and not complete.
    pub(crate) fn is_decided(&self, markers: &Markers) -> bool {
        self.transactions.get(&markers.transactional_id).is_some_and(|known| {
            known.metadata.state.is_prepared()
                && *markers == Markers::of(&markers.transactional_id, &known.metadata)
        })
    }

    /// Whether a transaction of this producer, with this partition, is under way or being ended, and none that came before what
    /// has this epoch.
    pub(crate) fn is_under_way(&self, producer: ProducerIdAndEpoch, topic: &str, partition: i32) -> bool {
        self.transactions.values().any(|known| {
            let metadata = &known.metadata;
            metadata.producer_id == producer.producer_id
                && metadata.last_batch_epoch().is_some_and(|last| producer.epoch <= last)
                && metadata.has_partition(topic, partition)
        })
    }

    /// The state of the caller's transactional id, if it is who it says to be.
    fn known(&self, caller: &Caller<'_>) -> Result<(&Arc<str>, &Known), ErrorCode> {
        if caller.transactional_id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        self.transactions.get_key_value(caller.transactional_id).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)
    }

    /// The new state of a transactional id: a record, folded as it will be from the log.
    fn write(&mut self, transactional_id: &Arc<str>, metadata: TransactionMetadata, effects: &mut Effects) {
        let record = TransactionRecord { transactional_id: transactional_id.clone(), value: Some(metadata) };
        self.write_record(record, effects);
    }

    fn write_record(&mut self, record: TransactionRecord, effects: &mut Effects) {
        self.replay(&record);
        effects.records.push(record);
    }

    /// The new state of a transactional id whose transaction is decided, and the markers that follow.
    fn decide(&mut self, transactional_id: &Arc<str>, metadata: TransactionMetadata, effects: &mut Effects) {
        effects.markers.push(Markers::of(transactional_id, &metadata));
        self.write(transactional_id, metadata, effects);
    }
}
