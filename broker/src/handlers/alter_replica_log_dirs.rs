//! AlterReplicaLogDirs (34): a replica may stay in the one data directory there is; there is no other to move it to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};

use crate::metadata::creation::CLUSTER_METADATA_TOPIC;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: AlterReplicaLogDirsRequest<'_>,
) -> Reply {
    let mut results: Vec<AlterReplicaLogDirTopicResult<'_>> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for directory in &message.dirs {
        for topic in &directory.topics {
            let partitions = topic.partitions.iter().map(|index| AlterReplicaLogDirPartitionResult {
                partition_index: *index,
                error_code: move_to(node, Path::new(directory.path), topic.name, *index),
            });
            // A topic is told once, whichever directories its partitions are to lie in.
            let place = *places.entry(topic.name).or_insert(results.len());
            match results.get_mut(place) {
                Some(result) => result.partitions.extend(partitions),
                None => results.push(AlterReplicaLogDirTopicResult {
                    topic_name: topic.name,
                    partitions: partitions.collect(),
                }),
            }
        }
    }
    request.answer(&AlterReplicaLogDirsResponse { throttle_time_ms: 0, results })
}

fn move_to(node: &Node, path: &Path, topic: &str, index: i32) -> ErrorCode {
    if topic == CLUSTER_METADATA_TOPIC {
        return ErrorCode::INVALID_TOPIC_EXCEPTION;
    }
    let directory = node.topics.directory();
    if path != directory.path() {
        return ErrorCode::LOG_DIR_NOT_FOUND;
    }
    match node.topics.by_name(topic).and_then(|topic| topic.partition(index)) {
        _ if directory.is_offline() => ErrorCode::KAFKA_STORAGE_ERROR,
        None => ErrorCode::REPLICA_NOT_AVAILABLE,
        Some(_) => ErrorCode::NONE,
    }
}
