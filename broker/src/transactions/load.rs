//! Folding a coordinator from its log.

use std::sync::Arc;
use std::time::Duration;

use anabranch_protocol::records::{Batch, batches};
use bytes::Bytes;

use super::Transactions;
use super::shard::Load;
use crate::coordinator::transaction::TransactionCoordinator;
use crate::coordinator::transaction::records::TransactionRecord;
use crate::internal_log::{InternalLog, InternalLogError};

/// How much is read before others get their turn.
const READ_BYTES: usize = 1024 * 1024;

/// Reads the log, lets the shard serve, and has carried out what was decided before.
pub(super) async fn load_shard(transactions: Arc<Transactions>, partition: i32, load: Load) {
    let coordinator = match fold(&transactions, &*load.log).await {
        Ok(coordinator) => Some(coordinator),
        Err(error) => {
            tracing::error!(partition, %error, "the transaction coordinator of this partition cannot be loaded");
            None
        }
    };
    let Some(shard) = transactions.shard(partition) else { return };
    {
        let mut shard = shard.lock();
        if shard.loaded(load, coordinator) {
            // It is broken, or a failure has been seen to where it happened.
            let _ = transactions
                .run(&mut shard, partition, |coordinator, now, effects| coordinator.loaded(now, effects));
        }
    }
    transactions.loaded.notify_waiters();
}

async fn fold(
    transactions: &Transactions,
    log: &dyn InternalLog,
) -> Result<TransactionCoordinator, InternalLogError> {
    // Only what is durable can be read, and what was appended before a failure belongs to the state.
    log.settled().await?;
    let mut coordinator = TransactionCoordinator::new(transactions.config.clone());
    let mut offset = log.start_offset();
    let mut scratch = Vec::new();
    loop {
        let bytes = log.read(offset, READ_BYTES)?;
        if bytes.is_empty() {
            return Ok(coordinator);
        }
        let before = offset;
        for batch in batches(&bytes) {
            let batch = batch.map_err(|error| corrupt(offset, &error))?;
            offset = batch.header.next_offset();
            replay(&mut coordinator, &batch, &mut scratch).map_err(|problem| {
                InternalLogError::Corrupt(format!("{problem}, in the batch before offset {offset}"))
            })?;
        }
        if offset <= before {
            return Err(corrupt(offset, &"no whole batch there"));
        }
        // Reading does not wait; others on this thread do.
        transactions.host.sleep(Duration::ZERO).await;
    }
}

fn corrupt(offset: i64, problem: &dyn std::fmt::Display) -> InternalLogError {
    InternalLogError::Corrupt(format!("{problem}, at offset {offset}"))
}

fn replay(
    coordinator: &mut TransactionCoordinator,
    batch: &Batch,
    scratch: &mut Vec<u8>,
) -> Result<(), String> {
    if batch.header.is_control() {
        return Ok(());
    }
    let text = |error: &dyn std::fmt::Display| error.to_string();
    for record in batch.records(scratch).map_err(|error| text(&error))? {
        let record = record.map_err(|error| text(&error))?;
        let key = Bytes::copy_from_slice(record.key.ok_or("a record without a key")?);
        let value = record.value.map(Bytes::copy_from_slice);
        let record = TransactionRecord::decode(&key, value.as_ref()).map_err(|error| text(&error))?;
        coordinator.replay(&record);
    }
    Ok(())
}
