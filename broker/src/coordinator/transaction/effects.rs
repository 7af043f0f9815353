//! What a call on the coordinator gives besides its own answer: records to append, and markers to write once those are
//! durable.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::metadata::{TransactionMetadata, TransactionState};
use super::records::TransactionRecord;
use crate::internal_log::batch_bytes;

/// The markers that end a decided transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Markers {
    pub(crate) transactional_id: Arc<str>,
    pub(crate) producer_id: i64,
    /// In the newer protocol one above that of the records.
    pub(crate) producer_epoch: i16,
    pub(crate) is_commit: bool,
    pub(crate) client_version: i16,
    /// One in each of these.
    pub(crate) partitions: BTreeSet<(Arc<str>, i32)>,
}

impl Markers {
    /// Those of a decided transaction.
    pub(super) fn of(transactional_id: &Arc<str>, metadata: &TransactionMetadata) -> Markers {
        Markers {
            transactional_id: transactional_id.clone(),
            producer_id: metadata.producer_id,
            producer_epoch: metadata.producer_epoch,
            is_commit: metadata.state == TransactionState::PrepareCommit,
            client_version: metadata.client_version,
            partitions: metadata.partitions.clone(),
        }
    }
}

/// What has to be done after a call. Its answer must not leave, and no marker be written, before the records are durable.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// To append as they stand; the state has them already.
    pub(crate) records: Vec<TransactionRecord>,
    /// To write when the records are durable; then call
    /// [`markers_written`](super::TransactionCoordinator::markers_written).
    pub(crate) markers: Vec<Markers>,
    /// How large a batch the log takes; none: of any size. What may grow is asked for [before](Effects::fits).
    pub(crate) max_batch_bytes: Option<usize>,
}

impl Effects {
    /// Whether the log takes this record, and those that will end the transaction.
    pub(super) fn fits(&self, record: &TransactionRecord) -> bool {
        /// What those say more: the producer ids before and after.
        const MORE_BYTES: usize = 64;
        self.max_batch_bytes.is_none_or(|most| {
            let (key, value) = record.encode();
            batch_bytes(&key, value.as_deref()).saturating_add(MORE_BYTES) <= most
        })
    }
}
