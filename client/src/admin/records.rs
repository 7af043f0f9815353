//! Records: delete the oldest ones.

use std::collections::BTreeMap;

use anabranch_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};

use super::{Admin, outcome, settle};
use crate::cluster::leader_of;
use crate::error::{ClientError, Result};
use crate::topic_partition::TopicPartition;

/// Deletes up to the end.
pub const TO_THE_END: i64 = -1;

impl Admin {
    /// Deletes the records of partitions before an offset (or [`TO_THE_END`]); answers the first offset that is left.
    ///
    /// # Errors
    /// Retriable, if leaders do not answer in time.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, Result<i64>>> {
        let mut results = BTreeMap::new();
        let mut missing = before.clone();
        let mut retry = self.client.retry();
        loop {
            let reason = settle(retry.attempt(self.delete_once(&missing)).await, &mut results);
            missing.retain(|name, _| !results.contains_key(name));
            if missing.is_empty() {
                return Ok(results);
            }
            let reason = reason.unwrap_or_else(|| ClientError::retriable("deleting records: no answer"));
            retry.after(reason).await?;
        }
    }

    /// One request to each leader.
    async fn delete_once(
        &self,
        before: &BTreeMap<TopicPartition, i64>,
    ) -> Result<Vec<(TopicPartition, Result<i64>)>> {
        let mut topics: Vec<_> = before.keys().map(|name| name.topic.clone()).collect();
        topics.dedup();
        let metadata = self.client.refresh_topics(&topics, self.client.host().now(), false).await?;
        let mut answers = Vec::new();
        let mut by_leader: BTreeMap<i32, Vec<(&TopicPartition, i64)>> = BTreeMap::new();
        for (name, offset) in before {
            match leader_of(&metadata, name) {
                Ok((leader, _)) => by_leader.entry(leader).or_default().push((name, *offset)),
                Err(reason) => answers.push((name.clone(), Err(reason))),
            }
        }
        for (leader, partitions) in by_leader {
            let mut topics: BTreeMap<&str, Vec<DeleteRecordsPartition>> = BTreeMap::new();
            for (name, offset) in &partitions {
                let partition = DeleteRecordsPartition { partition_index: name.partition, offset: *offset };
                topics.entry(&name.topic).or_default().push(partition);
            }
            let topics = topics.into_iter().map(|(name, partitions)| DeleteRecordsTopic { name, partitions });
            let request =
                DeleteRecordsRequest { topics: topics.collect(), timeout_ms: self.broker_timeout_ms() };
            let answer = self.client.connection(leader).await?.call(&request).await?;
            let response: DeleteRecordsResponse<'_> = answer.decode()?;
            for topic in &response.topics {
                for partition in &topic.partitions {
                    let name = TopicPartition::new(topic.name, partition.partition_index);
                    let what = format!("deleting records of {name}");
                    answers.push((name, outcome(&what, partition.error_code, None, partition.low_watermark)));
                }
            }
        }
        Ok(answers)
    }
}
