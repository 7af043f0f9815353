//! AlterReplicaLogDirs (34): a replica may stay in the one data directory there is; there is no other to move it to.

use std::path::Path;
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};

use super::repeated::{last_of_each, merged};
use crate::metadata::creation::CLUSTER_METADATA_TOPIC;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: AlterReplicaLogDirsRequest<'_>,
) -> Reply {
    // Of a partition that is named more than once the last directory counts.
    let wanted = message.dirs.iter().flat_map(|directory| {
        let path = Path::new(directory.path);
        let topics = directory.topics.iter();
        topics.flat_map(move |topic| topic.partitions.iter().map(move |index| (topic.name, *index, path)))
    });
    let wanted = last_of_each(wanted, |(topic, index, _)| (*topic, *index));
    let results = wanted.into_iter().map(|(topic_name, partition_index, path)| {
        let error_code = move_to(node, path, topic_name, partition_index);
        let partitions = vec![AlterReplicaLogDirPartitionResult { partition_index, error_code }];
        AlterReplicaLogDirTopicResult { topic_name, partitions }
    });
    // A topic is told once, whichever directories its partitions are to lie in.
    let results = merged(results, |topic| topic.topic_name, |topic| &mut topic.partitions);
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
