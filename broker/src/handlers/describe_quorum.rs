//! DescribeQuorum (55): who decides on the metadata. It is this broker alone.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, PartitionResponse, QuorumListener, QuorumNode,
    ReplicaState, TopicResponse,
};

use crate::metadata::creation::CLUSTER_METADATA_TOPIC;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DescribeQuorumRequest<'_>,
) -> Reply {
    let is_metadata = match message.topics.as_slice() {
        [topic] => {
            topic.topic_name == CLUSTER_METADATA_TOPIC
                && matches!(topic.partitions.as_slice(), [partition] if partition.partition_index == 0)
        }
        _ => false,
    };
    let topics = message.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| match is_metadata {
            true => describe(node),
            false => PartitionResponse {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                ..Default::default()
            },
        });
        TopicResponse { topic_name: topic.topic_name, partitions: partitions.collect() }
    });
    let listener =
        QuorumListener { name: "PLAINTEXT", host: &request.endpoint.host, port: request.endpoint.port };
    let nodes = match is_metadata {
        true => vec![QuorumNode { node_id: node.config.node_id, listeners: vec![listener] }],
        false => Vec::new(),
    };
    let response = DescribeQuorumResponse { topics: topics.collect(), nodes, ..Default::default() };
    // What is told to be decided is, when the answer leaves.
    request.answer_settled(node.metadata.settled(), &response)
}

fn describe(node: &Node) -> PartitionResponse<'static> {
    let (now_ms, end_offset) = (node.host.wall_clock_ms(), node.metadata.end_offset());
    let voter = ReplicaState {
        replica_id: node.config.node_id,
        replica_directory_id: node.directory_id,
        log_end_offset: end_offset,
        last_fetch_timestamp: now_ms,
        last_caught_up_timestamp: now_ms,
    };
    PartitionResponse {
        leader_id: node.config.node_id,
        leader_epoch: 0,
        high_watermark: end_offset,
        current_voters: vec![voter],
        ..Default::default()
    }
}
