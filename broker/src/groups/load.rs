//! Folding a coordinator from its log.

use std::sync::Arc;

use anabranch_protocol::records::{ControlRecord, ControlType};
use bytes::Bytes;

use super::Groups;
use super::shard::{Load, Refused};
use crate::coordinator::group::GroupCoordinator;
use crate::coordinator::group::records::GroupRecord;
use crate::internal_log::{InternalLog, InternalLogError, replay};

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
    let mut coordinator = GroupCoordinator::new(groups.config.clone());
    replay(&groups.host, log, |header, record| {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        if header.is_control() {
            let control = ControlRecord::parse(record).map_err(|error| text(&error))?;
            match control.control_type {
                ControlType::Commit => coordinator.replay_end_of_transaction(header.producer_id, true),
                ControlType::Abort => coordinator.replay_end_of_transaction(header.producer_id, false),
                _ => {}
            }
            return Ok(());
        }
        let key = Bytes::copy_from_slice(record.key.ok_or("a record without a key")?);
        let value = record.value.map(Bytes::copy_from_slice);
        if let Some(record) = GroupRecord::decode(&key, value.as_ref()).map_err(|error| text(&error))? {
            let producer_id = header.is_transactional().then_some(header.producer_id);
            coordinator.replay(groups.now(), &record, producer_id);
        }
        Ok(())
    })
    .await?;
    Ok(coordinator)
}
