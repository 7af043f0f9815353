//! OffsetCommit (8): a group stores how far it has read. Answered when that is durable, partition by partition.
//!
//! Topics are named up to version 9, and known by their id from version 10 on. Offsets of partitions that do not exist
//! are refused: nobody would ever remove them.

use std::sync::Arc;

use anabranch_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use anabranch_protocol::{ErrorCode, Uuid};

use super::repeated::merged;
use crate::coordinator::group::offset_commit::{CommitOffsets, PartitionCommit};
use crate::metadata::image::MetadataImage;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The first version that knows topics by id.
const TOPIC_ID_VERSION: i16 = 10;
/// The first version whose clients know GROUP_ID_NOT_FOUND.
const GROUP_ID_NOT_FOUND_VERSION: i16 = 9;

/// A topic of the request.
struct Topic<'a> {
    asked: &'a OffsetCommitRequestTopic<'a>,
    /// Its name and id, or why there is none.
    found: Result<(Arc<str>, Uuid), ErrorCode>,
    partition_count: usize,
}

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: OffsetCommitRequest<'_>,
) -> Reply {
    let version = request.api_version();
    let topics: Vec<Topic<'_>> = {
        let image = node.metadata.image();
        message.topics.iter().map(|topic| find(&image, topic, version)).collect()
    };
    let mut partitions = Vec::new();
    for topic in &topics {
        let Ok((name, topic_id)) = &topic.found else { continue };
        partitions.extend(
            topic.asked.partitions.iter().filter(|partition| topic.has(partition.partition_index)).map(
                |partition| PartitionCommit {
                    topic: name,
                    topic_id: *topic_id,
                    partition: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata,
                },
            ),
        );
    }
    if partitions.is_empty() {
        return request.answer(&response(&topics, |_| ErrorCode::NONE));
    }
    let commit = CommitOffsets {
        group_id: message.group_id,
        generation_id: message.generation_id_or_member_epoch,
        member_id: message.member_id,
        instance_id: message.group_instance_id,
        retention_time_ms: (message.retention_time_ms >= 0).then_some(message.retention_time_ms),
        knows_group_id_not_found: version >= GROUP_ID_NOT_FOUND_VERSION,
        partitions,
    };
    let outcome = node.groups.call(message.group_id, |coordinator, now, effects| {
        coordinator.commit_offsets(now, &commit, effects)
    });
    match outcome {
        Ok((Ok(errors), durable)) => {
            let response_of_each =
                response(&topics, |index| errors.get(index).copied().unwrap_or(ErrorCode::NONE));
            node.groups.answer(request, [durable], &response_of_each, || {
                response(&topics, |_| ErrorCode::NOT_COORDINATOR)
            })
        }
        Ok((Err(error_code), _)) | Err(error_code) => request.answer(&response(&topics, |_| error_code)),
    }
}

impl Topic<'_> {
    fn has(&self, partition: i32) -> bool {
        usize::try_from(partition).is_ok_and(|partition| partition < self.partition_count)
    }
}

fn find<'a>(image: &MetadataImage, asked: &'a OffsetCommitRequestTopic<'a>, version: i16) -> Topic<'a> {
    let (topic, missing) = if version >= TOPIC_ID_VERSION {
        (image.topic_by_id(&asked.topic_id), ErrorCode::UNKNOWN_TOPIC_ID)
    } else {
        (image.topic(asked.name), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    };
    Topic {
        asked,
        found: topic.map(|topic| (topic.name.clone(), topic.id)).ok_or(missing),
        partition_count: topic.map_or(0, |topic| topic.partitions.len()),
    }
}

/// The answer; `error_of` tells what became of the partition that was the n-th to be committed.
fn response<'a>(topics: &[Topic<'a>], error_of: impl Fn(usize) -> ErrorCode) -> OffsetCommitResponse<'a> {
    let mut committed = 0;
    let topics = topics.iter().map(|topic| {
        let partitions = topic.asked.partitions.iter().map(|partition| {
            let error_code = match &topic.found {
                Err(error_code) => *error_code,
                Ok(_) if !topic.has(partition.partition_index) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                Ok(_) => {
                    committed += 1;
                    error_of(committed - 1)
                }
            };
            OffsetCommitResponsePartition { partition_index: partition.partition_index, error_code }
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic { name: topic.asked.name, topic_id: topic.asked.topic_id, partitions }
    });
    let topics = merged(topics, |topic| (topic.name, topic.topic_id), |topic| &mut topic.partitions);
    OffsetCommitResponse { throttle_time_ms: 0, topics }
}
