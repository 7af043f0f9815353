//! Looking up offsets: of a time, of the beginning, of the end. What is looked up changes no position.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Consumer;
use crate::error::{ClientError, Result};
use crate::list_offsets::{ListedOffset, OffsetSpec, list_offsets};
use crate::topic_partition::TopicPartition;

impl Consumer {
    /// The first record of each partition that is of its time (milliseconds since 1970) or later; partitions without one
    /// are left out. They need not be assigned.
    ///
    /// # Errors
    /// Retriable, if a leader does not answer in time; Invalid, if a time is negative or a partition does not exist.
    pub async fn offsets_for_times(
        &self,
        times: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>> {
        if let Some((name, time)) = times.iter().find(|(_, time)| **time < 0) {
            return Err(ClientError::invalid(format!("{name}: there is no time {time}")));
        }
        let wanted = times.iter().map(|(name, time)| (name.clone(), OffsetSpec::Timestamp(*time))).collect();
        let mut found = self.look_up(&wanted).await?;
        found.retain(|_, listed| listed.offset >= 0);
        Ok(found)
    }

    /// The offset of the first record that is there, of each partition.
    ///
    /// # Errors
    /// Retriable, if a leader does not answer in time; Invalid, if a partition does not exist.
    pub async fn beginning_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.offsets(partitions, OffsetSpec::Earliest).await
    }

    /// The offset behind the last record that this consumer may see, of each partition: with `read_committed`, before the
    /// first transaction that is not decided.
    ///
    /// # Errors
    /// Retriable, if a leader does not answer in time; Invalid, if a partition does not exist.
    pub async fn end_offsets(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, i64>> {
        self.offsets(partitions, OffsetSpec::Latest).await
    }

    async fn offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let wanted = partitions.iter().map(|name| (name.clone(), spec)).collect();
        let found = self.look_up(&wanted).await?;
        Ok(found.into_iter().map(|(name, listed)| (name, listed.offset)).collect())
    }

    async fn look_up(
        &self,
        wanted: &BTreeMap<TopicPartition, OffsetSpec>,
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>> {
        let time = Duration::from_millis(self.client.config().default_api_timeout_ms);
        let found = list_offsets(&self.client, wanted, self.config.isolation_level, time).await;
        found.into_iter().map(|(name, listed)| Ok((name, listed?))).collect()
    }
}
