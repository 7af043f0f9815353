//! Folding a coordinator from its log.

use std::sync::Arc;

use bytes::Bytes;

use super::Transactions;
use super::shard::Load;
use crate::coordinator::transaction::TransactionCoordinator;
use crate::coordinator::transaction::records::TransactionRecord;
use crate::internal_log::{InternalLog, InternalLogError, replay};

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
    let mut coordinator = TransactionCoordinator::new(transactions.config.clone());
    replay(&transactions.host, log, |header, record| {
        if header.is_control() {
            return Ok(());
        }
        let key = Bytes::copy_from_slice(record.key.ok_or("a record without a key")?);
        let value = record.value.map(Bytes::copy_from_slice);
        let record = TransactionRecord::decode(&key, value.as_ref()).map_err(|error| error.to_string())?;
        coordinator.replay(&record);
        Ok(())
    })
    .await?;
    Ok(coordinator)
}
