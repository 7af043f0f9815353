//! The cluster: its brokers, and the quorum that keeps its metadata.

use anabranch_protocol::messages::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use anabranch_protocol::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, PartitionRequest, ReplicaState, TopicRequest,
};

use super::{Admin, outcome};
use crate::error::{ClientError, Result};
use crate::metadata::{Broker, address};

/// The topic of the metadata.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: String,
    /// The node id to which changes are sent, if it is known.
    pub controller: Option<i32>,
    /// Its brokers by node id, with whether each is fenced: registered, but not (yet) taking part.
    pub brokers: Vec<(Broker, bool)>,
}

/// The quorum that keeps the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    /// Who leads it, if that is known.
    pub leader: Option<i32>,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The offset behind what a majority has.
    pub high_watermark: i64,
    /// Those who vote.
    pub voters: Vec<QuorumReplica>,
    /// Those who only follow.
    pub observers: Vec<QuorumReplica>,
}

/// A node of the quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Its node id.
    pub id: i32,
    /// The end of its log, -1 if unknown.
    pub log_end_offset: i64,
    /// When it has fetched last by the leader's clock, milliseconds since 1970; -1 if unknown.
    pub last_fetch_timestamp: i64,
    /// When it had all there was, likewise.
    pub last_caught_up_timestamp: i64,
}

impl Admin {
    /// The cluster and its brokers, fenced ones included.
    ///
    /// # Errors
    /// Retriable, if no broker answers in time.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription> {
        self.until_done(|| async {
            let connection = self.client.any_connection().await?;
            let request = DescribeClusterRequest { include_fenced_brokers: true, ..Default::default() };
            let answer = connection.call(&request).await?;
            let response: DescribeClusterResponse<'_> = answer.decode()?;
            outcome("describing the cluster", response.error_code, response.error_message, ())?;
            let mut brokers: Vec<_> = response
                .brokers
                .iter()
                .map(|broker| {
                    let (id, rack) = (broker.broker_id, broker.rack.map(str::to_string));
                    (Broker { id, address: address(broker.host, broker.port), rack }, broker.is_fenced)
                })
                .collect();
            brokers.sort_by_key(|(broker, _)| broker.id);
            Ok(ClusterDescription {
                cluster_id: response.cluster_id.to_string(),
                controller: (response.controller_id >= 0).then_some(response.controller_id),
                brokers,
            })
        })
        .await
    }

    /// The quorum of the metadata.
    ///
    /// # Errors
    /// Retriable, if no broker answers in time; Invalid, if the cluster has none.
    pub async fn describe_quorum(&self) -> Result<QuorumDescription> {
        let what = "describing the metadata quorum";
        self.until_done(|| async {
            let partitions = vec![PartitionRequest { partition_index: 0 }];
            let topics = vec![TopicRequest { topic_name: METADATA_TOPIC, partitions }];
            let answer = self.client.any_connection().await?.call(&DescribeQuorumRequest { topics }).await?;
            let response: DescribeQuorumResponse<'_> = answer.decode()?;
            outcome(what, response.error_code, response.error_message, ())?;
            let partition = response.topics.iter().flat_map(|topic| &topic.partitions).next();
            let partition = partition.ok_or_else(|| ClientError::corrupt(format!("{what}: no answer")))?;
            outcome(what, partition.error_code, partition.error_message, ())?;
            Ok(QuorumDescription {
                leader: (partition.leader_id >= 0).then_some(partition.leader_id),
                leader_epoch: partition.leader_epoch,
                high_watermark: partition.high_watermark,
                voters: partition.current_voters.iter().map(replica).collect(),
                observers: partition.observers.iter().map(replica).collect(),
            })
        })
        .await
    }
}

fn replica(state: &ReplicaState) -> QuorumReplica {
    QuorumReplica {
        id: state.replica_id,
        log_end_offset: state.log_end_offset,
        last_fetch_timestamp: state.last_fetch_timestamp,
        last_caught_up_timestamp: state.last_caught_up_timestamp,
    }
}
