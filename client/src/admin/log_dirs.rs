//! The directories in which brokers keep their partitions.

use std::collections::BTreeMap;

use anabranch_protocol::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
};

use super::{Admin, outcome};
use crate::error::Result;
use crate::topic_partition::{TopicPartition, by_topic};

/// A directory of a broker.
#[derive(Clone, Debug, PartialEq)]
pub struct LogDirDescription {
    /// Its absolute path.
    pub path: String,
    /// The partitions in it, or what is wrong with it.
    pub replicas: Result<BTreeMap<TopicPartition, LogDirReplica>, String>,
    /// The size of its volume in bytes, if the broker tells.
    pub total_bytes: Option<i64>,
    /// What of that can be used, if the broker tells.
    pub usable_bytes: Option<i64>,
    /// Whether it takes no new partitions.
    pub is_cordoned: bool,
}

/// A partition in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogDirReplica {
    /// The bytes of its segments.
    pub size_bytes: i64,
    /// How far its end lies behind.
    pub offset_lag: i64,
    /// Whether it will take the place of the current one.
    pub is_future: bool,
}

impl Admin {
    /// The directories of brokers (none named: of all) with the partitions of these topics (none: of all).
    ///
    /// # Errors
    /// Retriable, if a broker does not answer in time.
    pub async fn describe_log_dirs(
        &self,
        brokers: &[i32],
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<i32, Vec<LogDirDescription>>> {
        self.until_done(|| async {
            let mut nodes = brokers.to_vec();
            if nodes.is_empty() {
                let metadata = self.client.refresh_topics(&[], self.client.host().now(), false).await?;
                nodes = metadata.brokers().map(|broker| broker.id).collect();
            }
            let topic = |(topic, partitions)| DescribableLogDirTopic { topic, partitions };
            let topics = partitions.map(|partitions| by_topic(partitions).into_iter().map(topic).collect());
            let request = DescribeLogDirsRequest { topics };
            let mut described = BTreeMap::new();
            for node in nodes {
                let answer = self.client.connection(node).await?.call(&request).await?;
                let response: DescribeLogDirsResponse<'_> = answer.decode()?;
                outcome(&format!("directories of broker {node}"), response.error_code, None, ())?;
                described.insert(node, response.results.iter().map(describe).collect());
            }
            Ok(described)
        })
        .await
    }
}

fn describe(directory: &DescribeLogDirsResult<'_>) -> LogDirDescription {
    let mut replicas = BTreeMap::new();
    for topic in &directory.topics {
        for partition in &topic.partitions {
            let replica = LogDirReplica {
                size_bytes: partition.partition_size,
                offset_lag: partition.offset_lag,
                is_future: partition.is_future_key,
            };
            replicas.insert(TopicPartition::new(topic.name, partition.partition_index), replica);
        }
    }
    let is_good = !directory.error_code.is_error();
    LogDirDescription {
        path: directory.log_dir.to_string(),
        replicas: if is_good { Ok(replicas) } else { Err(directory.error_code.to_string()) },
        total_bytes: (directory.total_bytes >= 0).then_some(directory.total_bytes),
        usable_bytes: (directory.usable_bytes >= 0).then_some(directory.usable_bytes),
        is_cordoned: directory.is_cordoned,
    }
}
