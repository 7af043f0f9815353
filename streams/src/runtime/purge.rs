//! Records of repartition topics are deleted once they are processed (KIP-811): nobody reads them again, and these topics
//! keep what they have for ever.
//!
//! Each instance does so for the tasks it runs, up to the offsets that the group has committed.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anabranch_client::{ClientError, TopicPartition};
use anabranch_host::Host;

use super::assignment::holdings::{Holdings, Role};
use super::shared::Shared;

/// Deletes after a commit, and every so often at most, until the instance is gone. A failure is tried again the next time.
pub(crate) async fn purge_regularly(
    host: Host,
    instance: Weak<Shared>,
    holdings: Arc<Holdings>,
    interval: Duration,
) {
    let mut purged = BTreeMap::new();
    let Some(mut committed) = instance.upgrade().map(|shared| shared.committed.subscribe()) else { return };
    loop {
        host.sleep(interval).await;
        // It is an error when the instance is gone.
        let _ = committed.changed().await;
        let Some(shared) = instance.upgrade() else { return };
        if let Err(error) = purge(&shared, &holdings, &mut purged).await {
            tracing::warn!(%error, "processed records of repartition topics are not deleted");
        }
    }
}

/// Deletes what is processed; `purged` says up to where that was done before.
async fn purge(
    shared: &Shared,
    holdings: &Holdings,
    purged: &mut BTreeMap<TopicPartition, i64>,
) -> Result<(), ClientError> {
    let (tasks, plan) = (holdings.open(Role::Active), shared.plan());
    let inputs = tasks.into_iter().flat_map(|task| plan.repartition_inputs(task));
    let inputs: Vec<TopicPartition> = inputs.collect();
    if inputs.is_empty() {
        return Ok(());
    }
    let admin = shared.client.admin();
    let committed = admin.stable_offsets(&shared.application_id, Some(&inputs)).await?;
    let mut before: BTreeMap<TopicPartition, i64> =
        committed.into_iter().map(|(name, committed)| (name, committed.offset)).collect();
    before.retain(|name, offset| purged.get(name).copied().unwrap_or(0) < *offset);
    if before.is_empty() {
        return Ok(());
    }
    for (name, deleted) in admin.delete_records(&before).await? {
        let first = deleted?;
        tracing::debug!(partition = %name, first, "processed records are deleted");
        purged.insert(name, first);
    }
    Ok(())
}
