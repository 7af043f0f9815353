//! Offsets: of partitions, and those that groups have committed.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_protocol::ErrorCode;

use super::{Admin, outcome, settle};
use crate::config::IsolationLevel;
use crate::error::{ClientError, Result};
use crate::group_offsets::{self, Committer, OffsetAndMetadata};
use crate::list_offsets::{ListedOffset, OffsetSpec, list_offsets};
use crate::topic_partition::TopicPartition;

impl Admin {
    /// Offsets of partitions as far as `isolation` sees; answers for each.
    pub async fn list_offsets(
        &self,
        wanted: &BTreeMap<TopicPartition, OffsetSpec>,
        isolation: IsolationLevel,
    ) -> BTreeMap<TopicPartition, Result<ListedOffset>> {
        let time = Duration::from_millis(self.client.config().default_api_timeout_ms);
        list_offsets(&self.client, wanted, isolation, time).await
    }

    /// The offsets that `group` has committed: of `partitions`, or of all. Those without are left out.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time; Invalid, if it refuses.
    pub async fn committed_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        self.fetch_offsets(group, partitions, false).await
    }

    /// As [`Admin::committed_offsets`], and waits until transactions that have given offsets for the group are decided.
    ///
    /// # Errors
    /// As [`Admin::committed_offsets`]; Retriable also if they are not decided in time.
    pub async fn stable_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        self.fetch_offsets(group, partitions, true).await
    }

    async fn fetch_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
        stable: bool,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        let mut retry = self.client.retry();
        loop {
            let attempt = async {
                let connection = self.group_connection(group).await?;
                group_offsets::fetch(&connection, group, partitions, stable).await
            };
            match retry.attempt(attempt).await {
                Ok(offsets) => return Ok(offsets),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Commits offsets for `group`, which must have no members; answers for each partition.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time.
    pub async fn commit_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
    ) -> Result<BTreeMap<TopicPartition, Result<()>>> {
        let committer = Committer::outsider(group);
        let mut results = BTreeMap::new();
        let mut missing = offsets.clone();
        let mut retry = self.client.retry();
        while !missing.is_empty() {
            let attempt = async {
                let connection = self.group_connection(group).await?;
                let codes = group_offsets::commit(&connection, &committer, &missing).await?;
                let answer = |(name, code): (TopicPartition, ErrorCode)| {
                    let what = format!("committing {name} for group {group}");
                    (name, outcome(&what, code, None, ()))
                };
                Ok::<Vec<_>, ClientError>(codes.into_iter().map(answer).collect())
            };
            let reason = settle(retry.attempt(attempt).await, &mut results);
            missing.retain(|name, _| !results.contains_key(name));
            if let Some(error) = reason {
                retry.after(error).await?;
            }
        }
        Ok(results)
    }
}
