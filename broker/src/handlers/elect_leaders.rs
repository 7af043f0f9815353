//! ElectLeaders (43): of a partition whose only replica leads, no election is needed; of one that is not there, none is
//! possible.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};

use crate::metadata::image::MetadataImage;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The preferred replica, and any that lives.
const ELECTION_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: ElectLeadersRequest<'_>,
) -> Reply {
    if !ELECTION_TYPES.contains(&message.election_type) {
        let response = ElectLeadersResponse { error_code: ErrorCode::INVALID_REQUEST, ..Default::default() };
        return request.answer(&response);
    }
    let image = node.metadata.image();
    // Asked for all, Kafka leaves out those of which no election was needed: here, all.
    let asked = message.topic_partitions.as_deref().unwrap_or_default();
    let refused: Vec<Vec<_>> = asked
        .iter()
        .map(|topic| topic.partitions.iter().map(|index| refuse(&image, topic.topic, *index)).collect())
        .collect();
    let results = asked.iter().zip(&refused).map(|(topic, refused)| ReplicaElectionResult {
        topic: topic.topic,
        partition_result: (topic.partitions.iter().zip(refused))
            .map(|(partition_id, (error_code, message))| PartitionResult {
                partition_id: *partition_id,
                error_code: *error_code,
                error_message: Some(message),
            })
            .collect(),
    });
    let response = ElectLeadersResponse { replica_election_results: results.collect(), ..Default::default() };
    request.answer_settled(node.metadata.settled(), &response)
}

fn refuse(image: &MetadataImage, name: &str, index: i32) -> (ErrorCode, String) {
    let unknown = |message| (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message);
    let Some(topic) = image.topic(name) else {
        return unknown(format!("No such topic as {name}"));
    };
    match usize::try_from(index).ok().and_then(|index| topic.partitions.get(index)) {
        None => unknown(format!("No such partition as {name}-{index}")),
        Some(_) => {
            let message = "Leader election not needed for topic partition.".to_string();
            (ErrorCode::ELECTION_NOT_NEEDED, message)
        }
    }
}
