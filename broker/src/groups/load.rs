//! Folding a coordinator from its log.

use std::sync::Arc;
use std::time::Duration;

use anabranch_protocol::records::{Batch, ControlRecord, ControlType, batches};
use bytes::Bytes;

use super::Groups;
use super::shard::{Load, Refused};
use crate::coordinator::Now;
use crate::coordinator::group::GroupCoordinator;
use crate::coordinator::group::records::GroupRecord;
use crate::internal_log::{InternalLog, InternalLogError};

/// How much is read before others get their turn.
const READ_BYTES: usize = 1024 * 1024;

/// Reads the log and lets the shard serve.
pub(super) async fn load_shard(groups: Arc<Groups>, partition: i32, load: Load) {
    let coordinator = match fold(&groups, &*load.log).await {
        Ok(coordinator) => Some(coordinator),
        Err(error) => {
            tracing::error!(partition, %error, "the group coordinator of this partition cannot be loaded");
            None
        }
    };
    let Some(shard) = groups.shard(partition) else { return };
    let (outcome, deadline) = {
        let mut shard = shard.lock();
        let outcome = shard.loaded(groups.now(), load, coordinator);
        (outcome, shard.next_deadline())
    };
    groups.wake_by(deadline);
    if outcome == Err(Refused::Failed) {
        groups.reload(partition);
    }
}

async fn fold(groups: &Groups, log: &dyn InternalLog) -> Result<GroupCoordinator, InternalLogError> {
    // Only what is durable can be read, and what was appended before a failure belongs to the state.
    log.settled().await?;
    let mut coordinator = GroupCoordinator::new(groups.config.clone());
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
            replay(&mut coordinator, groups.now(), &batch, &mut scratch).map_err(|problem| {
                InternalLogError::Corrupt(format!("{problem}, in the batch before offset {offset}"))
            })?;
        }
        if offset <= before {
            return Err(corrupt(offset, &"no whole batch there"));
        }
        // Reading does not wait; others on this thread do.
        groups.host.sleep(Duration::ZERO).await;
    }
}

fn corrupt(offset: i64, problem: &dyn std::fmt::Display) -> InternalLogError {
    InternalLogError::Corrupt(format!("{problem}, at offset {offset}"))
}

fn replay(
    coordinator: &mut GroupCoordinator,
    now: Now,
    batch: &Batch,
    scratch: &mut Vec<u8>,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let header = &batch.header;
    let records = batch.records(scratch).map_err(|error| text(&error))?;
    for record in records {
        let record = record.map_err(|error| text(&error))?;
        if header.is_control() {
            let control = ControlRecord::parse(&record).map_err(|error| text(&error))?;
            match control.control_type {
                ControlType::Commit => coordinator.replay_end_of_transaction(header.producer_id, true),
                ControlType::Abort => coordinator.replay_end_of_transaction(header.producer_id, false),
                _ => {}
            }
            continue;
        }
        let key = Bytes::copy_from_slice(record.key.ok_or("a record without a key")?);
        let value = record.value.map(Bytes::copy_from_slice);
        if let Some(record) = GroupRecord::decode(&key, value.as_ref()).map_err(|error| text(&error))? {
            let producer_id = header.is_transactional().then_some(header.producer_id);
            coordinator.replay(now, &record, producer_id);
        }
    }
    Ok(())
}
