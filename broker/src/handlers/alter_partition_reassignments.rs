//! AlterPartitionReassignments (45): where there is one broker, a partition can only be moved to where it is.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};

use crate::metadata::creation::Refusal;
use crate::metadata::image::MetadataImage;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: AlterPartitionReassignmentsRequest<'_>,
) -> Reply {
    let image = node.metadata.image();
    let outcomes: Vec<Vec<_>> = message
        .topics
        .iter()
        .map(|topic| {
            let allows = message.allow_replication_factor_change;
            let move_one = |wanted| reassign(node, &image, topic.name, wanted, allows);
            topic.partitions.iter().map(move_one).collect()
        })
        .collect();
    let responses = message.topics.iter().zip(&outcomes).map(|(topic, outcomes)| {
        let partitions = topic.partitions.iter().zip(outcomes);
        ReassignableTopicResponse {
            name: topic.name,
            partitions: partitions.map(|(wanted, outcome)| respond(wanted, outcome)).collect(),
        }
    });
    let response = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: message.allow_replication_factor_change,
        responses: responses.collect(),
        ..Default::default()
    };
    request.answer_settled(node.metadata.settled(), &response)
}

fn respond<'a>(
    wanted: &ReassignablePartition,
    outcome: &'a Result<(), Refusal>,
) -> ReassignablePartitionResponse<'a> {
    let partition_index = wanted.partition_index;
    match outcome {
        Ok(()) => ReassignablePartitionResponse { partition_index, ..Default::default() },
        Err(refusal) => ReassignablePartitionResponse {
            partition_index,
            error_code: refusal.error_code,
            error_message: Some(&refusal.message),
        },
    }
}

fn reassign(
    node: &Node,
    image: &MetadataImage,
    name: &str,
    wanted: &ReassignablePartition,
    allows_other_factor: bool,
) -> Result<(), Refusal> {
    let index = wanted.partition_index;
    let refuse = |error_code, message: String| Err(Refusal::new(error_code, message));
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let Some(topic) = image.topic(name) else {
        return refuse(unknown, format!("Unable to find a topic named {name}."));
    };
    let partition = usize::try_from(index).ok().and_then(|index| topic.partitions.get(index));
    let Some(partition) = partition else {
        return refuse(unknown, format!("Unable to find partition {name}:{index}."));
    };
    let Some(replicas) = &wanted.replicas else {
        let message = "No partition reassignment is in progress.";
        return refuse(ErrorCode::NO_REASSIGNMENT_IN_PROGRESS, message.to_string());
    };
    let invalid = ErrorCode::INVALID_REPLICA_ASSIGNMENT;
    if replicas.is_empty() {
        let message = "The manual partition assignment includes an empty replica list.";
        return refuse(invalid, message.to_string());
    }
    if let Some(stranger) = replicas.iter().find(|broker| **broker != node.config.node_id) {
        let message = format!(
            "The manual partition assignment includes broker {stranger}, but no such broker is registered."
        );
        return refuse(invalid, message);
    }
    if replicas.len() > 1 {
        let message = format!(
            "The manual partition assignment includes the broker {} more than once.",
            node.config.node_id
        );
        return refuse(invalid, message);
    }
    if !allows_other_factor && replicas.len() != partition.replicas.len() {
        let message = format!(
            "The replication factor is changed from {} to {}",
            partition.replicas.len(),
            replicas.len()
        );
        return refuse(ErrorCode::INVALID_REPLICATION_FACTOR, message);
    }
    Ok(())
}
