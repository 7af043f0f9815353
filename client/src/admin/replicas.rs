//! Where replicas are and who leads: elections and moves.

use std::collections::BTreeMap;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignableTopic,
};
use anabranch_protocol::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, TopicPartitions,
};
use anabranch_protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, ListPartitionReassignmentsTopics,
};

use super::{Admin, outcome};
use crate::error::Result;
use crate::topic_partition::{TopicPartition, by_topic};

/// Who is to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionType {
    /// The first of the replicas, if it is in sync.
    Preferred = 0,
    /// Whoever lives, if none in sync does: records may be lost.
    Unclean = 1,
}

/// A partition on the move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// The brokers that have it now.
    pub replicas: Vec<i32>,
    /// Those that will have it.
    pub adding: Vec<i32>,
    /// Those that will not.
    pub removing: Vec<i32>,
}

impl Admin {
    /// Elects leaders of partitions, or of all that need it; answers for each. One that is led already as it should be is
    /// Invalid with ELECTION_NOT_NEEDED.
    ///
    /// # Errors
    /// Retriable, if no broker took the request in time; Invalid, if it refuses.
    pub async fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, Result<()>>> {
        let topic = |(topic, partitions)| TopicPartitions { topic, partitions };
        let request = ElectLeadersRequest {
            election_type: election as i8,
            topic_partitions: partitions.map(|names| by_topic(names).into_iter().map(topic).collect()),
            timeout_ms: self.broker_timeout_ms(),
        };
        self.until_done(|| async {
            let answer = self.client.controller_connection().await?.call(&request).await?;
            let response: ElectLeadersResponse<'_> = answer.decode()?;
            outcome("electing leaders", response.error_code, None, ())?;
            let mut results = BTreeMap::new();
            for topic in &response.replica_election_results {
                for partition in &topic.partition_result {
                    let name = TopicPartition::new(topic.topic, partition.partition_id);
                    let what = format!("electing a leader of {name}");
                    let result = outcome(&what, partition.error_code, partition.error_message, ());
                    results.insert(name, result);
                }
            }
            Ok(results)
        })
        .await
    }

    /// Moves partitions to these brokers, or calls a move off (none); answers for each.
    ///
    /// # Errors
    /// Retriable, if no broker took the request in time; Invalid, if it refuses.
    pub async fn alter_reassignments(
        &self,
        targets: &BTreeMap<TopicPartition, Option<Vec<i32>>>,
    ) -> Result<BTreeMap<TopicPartition, Result<()>>> {
        let mut topics: BTreeMap<&str, Vec<ReassignablePartition>> = BTreeMap::new();
        for (name, replicas) in targets {
            let partition =
                ReassignablePartition { partition_index: name.partition, replicas: replicas.clone() };
            topics.entry(&name.topic).or_default().push(partition);
        }
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: self.broker_timeout_ms(),
            allow_replication_factor_change: true,
            topics: topics
                .into_iter()
                .map(|(name, partitions)| ReassignableTopic { name, partitions })
                .collect(),
        };
        self.until_done(|| async {
            let answer = self.client.controller_connection().await?.call(&request).await?;
            let response: AlterPartitionReassignmentsResponse<'_> = answer.decode()?;
            outcome("moving partitions", response.error_code, response.error_message, ())?;
            let mut results = BTreeMap::new();
            for topic in &response.responses {
                for partition in &topic.partitions {
                    let name = TopicPartition::new(topic.name, partition.partition_index);
                    let what = format!("moving {name}");
                    let result = outcome(&what, partition.error_code, partition.error_message, ());
                    results.insert(name, result);
                }
            }
            Ok(results)
        })
        .await
    }

    /// Those of these partitions (none: of all) that are on the move.
    ///
    /// # Errors
    /// Retriable, if no broker answers in time; Invalid, if it refuses.
    pub async fn list_reassignments(
        &self,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, Reassignment>> {
        let topic = |(name, partition_indexes)| ListPartitionReassignmentsTopics { name, partition_indexes };
        let request = ListPartitionReassignmentsRequest {
            timeout_ms: self.broker_timeout_ms(),
            topics: partitions.map(|names| by_topic(names).into_iter().map(topic).collect()),
        };
        self.until_done(|| async {
            let answer = self.client.controller_connection().await?.call(&request).await?;
            let response: ListPartitionReassignmentsResponse<'_> = answer.decode()?;
            if response.error_code != ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
                outcome("listing moves", response.error_code, response.error_message, ())?;
            }
            let mut moves = BTreeMap::new();
            for topic in &response.topics {
                for partition in &topic.partitions {
                    let name = TopicPartition::new(topic.name, partition.partition_index);
                    let one = Reassignment {
                        replicas: partition.replicas.clone(),
                        adding: partition.adding_replicas.clone(),
                        removing: partition.removing_replicas.clone(),
                    };
                    moves.insert(name, one);
                }
            }
            Ok(moves)
        })
        .await
    }
}
