//! Partitions become part of a transaction: by AddPartitionsToTxn and AddOffsetsToTxn in the older protocol, by the
//! partitions themselves as they are written to in the newer one; or a partition asks whether it is part (KIP-890).

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use tracing::warn;

use super::effects::Effects;
use super::metadata::TransactionState;
use super::records::TransactionRecord;
use super::{Caller, TransactionCoordinator};
use crate::coordinator::Now;

impl TransactionCoordinator {
    /// Adds partitions; the transaction begins if there is none.
    ///
    /// # Errors
    /// What the producer is told; none of them was added then.
    pub(crate) fn add_partitions(
        &mut self,
        now: Now,
        caller: &Caller<'_>,
        partitions: &[(Arc<str>, i32)],
        client_version: i16,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let (transactional_id, known) = self.known(caller)?;
        let metadata = &known.metadata;
        // First of all: the producer may have been told of the producer id that comes with completion.
        if metadata.state.is_prepared() {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        if metadata.producer_id != caller.producer.producer_id {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        if metadata.producer_epoch != caller.producer.epoch {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        let is_ongoing = metadata.state == TransactionState::Ongoing;
        if is_ongoing && partitions.iter().all(|partition| metadata.partitions.contains(partition)) {
            return Ok(());
        }
        let added = metadata.with_partitions(partitions.iter().cloned(), client_version, now.wall_clock_ms);
        let transactional_id = transactional_id.clone();
        let record = TransactionRecord { transactional_id: transactional_id.clone(), value: Some(added) };
        if !effects.fits(&record) {
            warn!(
                transactional_id = &*transactional_id,
                "a transaction of more partitions than a record holds"
            );
            return Err(ErrorCode::UNKNOWN_SERVER_ERROR);
        }
        self.write_record(record, effects);
        if !is_ongoing {
            self.set_deadline(now, &transactional_id);
        }
        Ok(())
    }

    /// Whether partitions are part of the transaction: one answer for each, in their order.
    ///
    /// # Errors
    /// What the producer is told of all of them.
    pub(crate) fn verify_partitions(
        &self,
        caller: &Caller<'_>,
        partitions: &[(Arc<str>, i32)],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let (_, known) = self.known(caller)?;
        let metadata = &known.metadata;
        if metadata.producer_id != caller.producer.producer_id {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        if metadata.producer_epoch != caller.producer.epoch {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        if metadata.state.is_prepared() {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        let answer = |partition: &(Arc<str>, i32)| match metadata.partitions.contains(partition) {
            true => ErrorCode::NONE,
            false => ErrorCode::TRANSACTION_ABORTABLE,
        };
        Ok(partitions.iter().map(answer).collect())
    }
}
