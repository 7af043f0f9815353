//! Committing: how far the group has read, kept by its coordinator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anabranch_protocol::ErrorCode;

use super::Consumer;
use super::group::Group;
use crate::cluster::{Client, CoordinatorKind};
use crate::config::IsolationLevel;
use crate::error::{ClientError, Result};
use crate::group_offsets::{self, Committer, OffsetAndMetadata};
use crate::topic_partition::TopicPartition;

impl Consumer {
    pub(super) fn auto_commits(&self) -> bool {
        self.config.enable_auto_commit && self.config.group_id.is_some()
    }

    /// Commits the positions without waiting; at most one such commit is on its way.
    pub(super) fn commit_beside(&mut self) {
        self.auto_commit_at = self.now() + Duration::from_millis(self.config.auto_commit_interval_ms);
        let offsets = self.fetcher.state.lock().positions.to_commit();
        let Some(commit) = self.commit_task(offsets) else { return };
        if !self.auto_commit_running.swap(true, Ordering::Relaxed) {
            let running = Arc::clone(&self.auto_commit_running);
            self.client.host().spawn(async move {
                if let Err(error) = commit.run().await {
                    tracing::warn!(%error, "automatic commit failed");
                }
                running.store(false, Ordering::Relaxed);
            });
        }
    }

    fn commit_task(&self, offsets: BTreeMap<TopicPartition, OffsetAndMetadata>) -> Option<Commit> {
        let group_id = self.config.group_id.as_deref()?;
        (!offsets.is_empty()).then(|| Commit {
            client: self.client.clone(),
            group_id: Arc::from(group_id),
            group: self.group.clone(),
            offsets,
        })
    }

    /// Commits the positions: all that polls have returned counts as processed.
    ///
    /// # Errors
    /// As [`Consumer::commit_offsets`].
    pub async fn commit(&self) -> Result<()> {
        let offsets = self.fetcher.state.lock().positions.to_commit();
        self.commit_offsets(&offsets).await
    }

    /// Commits these offsets, each that of the next record to read.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time or the group rebalances and waits for this consumer to
    /// poll; Fenced, if the partitions may belong to somebody else; Invalid, without a `group.id` or if they are refused.
    pub async fn commit_offsets(&self, offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>) -> Result<()> {
        self.check_open()?;
        if self.config.group_id.is_none() {
            return Err(ClientError::invalid("committing needs a group.id"));
        }
        match self.commit_task(offsets.clone()) {
            Some(commit) => commit.run().await,
            None => Ok(()),
        }
    }

    /// The group's committed offsets of these partitions; those without are left out.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time; Invalid, without a `group.id`.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        let Some(group_id) = &self.config.group_id else {
            return Err(ClientError::invalid("committed offsets need a group.id"));
        };
        let stable = self.config.isolation_level == IsolationLevel::ReadCommitted;
        let mut retry = self.client.retry();
        loop {
            let attempt = async {
                let address = self.client.find_coordinator(CoordinatorKind::Group, group_id).await?;
                let connection = self.client.shared_lane().connection(&address).await?;
                group_offsets::fetch(&connection, group_id, Some(partitions), stable).await
            };
            match retry.attempt(attempt).await {
                Ok(offsets) => return Ok(offsets),
                Err(error) => retry.after(error).await?,
            }
        }
    }
}

/// A commit on its way.
struct Commit {
    client: Client,
    group_id: Arc<str>,
    group: Option<Arc<Group>>,
    offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
}

impl Commit {
    async fn run(mut self) -> Result<()> {
        let client = self.client.clone();
        let mut retry = client.retry();
        loop {
            let Err(error) = retry.attempt(self.attempt()).await else { return Ok(()) };
            // A topic that is gone does not come back for being waited for.
            if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) {
                return Err(error);
            }
            if error.code() == Some(ErrorCode::REBALANCE_IN_PROGRESS) {
                let waits_for_us =
                    self.group.as_ref().is_none_or(|group| !group.membership.lock().goes_on_by_itself());
                if waits_for_us {
                    return Err(error);
                }
            }
            retry.after(error).await?;
        }
    }

    /// One request; what is committed is taken out of `offsets`.
    async fn attempt(&mut self) -> Result<()> {
        let (committer, known) = match &self.group {
            Some(group) => {
                let membership = group.membership.lock();
                (membership.committer(), membership.coordinator().map(str::to_string))
            }
            None => (Committer::outsider(&self.group_id), None),
        };
        if self.group.is_some() && committer.generation < 0 {
            // A group without members would take it from anybody, and its next member would go on from there.
            let text = format!("committing for group {}: this consumer is no member of it", self.group_id);
            return Err(ClientError::fenced(text));
        }
        let address = match known {
            Some(address) => address,
            None => self.client.find_coordinator(CoordinatorKind::Group, &self.group_id).await?,
        };
        let connection = self.client.shared_lane().connection(&address).await?;
        let codes = group_offsets::commit(&connection, &committer, &self.offsets).await?;
        let overtaken =
            |group: &Group| group.membership.lock().has_overtaken(&committer, self.offsets.keys());
        let overtaken = self.group.as_deref().is_some_and(overtaken);
        let mut failure = None;
        for (name, mut code) in codes {
            // Kafka's consumer too takes it for what it is: nobody else has the partitions yet.
            if code == ErrorCode::ILLEGAL_GENERATION && overtaken {
                code = ErrorCode::REBALANCE_IN_PROGRESS;
            }
            if code == ErrorCode::NONE {
                self.offsets.remove(&name);
                continue;
            }
            let error =
                ClientError::from_code(&format!("committing {name} for group {}", self.group_id), code);
            // What no retry mends speaks for the whole.
            if failure.as_ref().is_none_or(|(before, _): &(ClientError, _)| before.is_retriable()) {
                failure = Some((error, code));
            }
        }
        let Some((error, code)) = failure else { return Ok(()) };
        if let Some(group) = &self.group {
            let host = self.client.host();
            let retry_at = host.now() + self.client.backoff().delay(1, host.random_u64());
            let mut membership = group.membership.lock();
            if matches!(code, ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE) {
                membership.coordinator_moved();
            }
            membership.commit_answered(&committer, code, retry_at);
            drop(membership);
            group.wake.notify_one();
        }
        Err(error)
    }
}
