//! OffsetDelete (47): a group's offsets go, for topics that none of its members reads.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::repeated::merged;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: OffsetDeleteRequest<'_>,
) -> Reply {
    let counts: Vec<usize> = {
        let image = node.metadata.image();
        let count = |name: &str| image.topic(name).map_or(0, |topic| topic.partitions.len());
        message.topics.iter().map(|topic| count(topic.name)).collect()
    };
    let exists =
        |count: usize, partition: i32| usize::try_from(partition).is_ok_and(|partition| partition < count);
    let mut wanted: Vec<(&str, i32)> = Vec::new();
    for (topic, count) in message.topics.iter().zip(&counts) {
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
        let existing = partitions.filter(|partition| exists(*count, *partition));
        wanted.extend(existing.map(|partition| (topic.name, partition)));
    }
    let outcome = node.groups.call(message.group_id, |coordinator, now, effects| {
        coordinator.delete_offsets(now, message.group_id, &wanted, effects)
    });
    let refused = |error_code| OffsetDeleteResponse { error_code, ..Default::default() };
    match outcome {
        Ok((Ok(errors), durable)) => {
            let mut errors = errors.into_iter();
            let topics = message.topics.iter().zip(&counts).map(|(topic, count)| {
                let partitions = topic.partitions.iter().map(|partition| {
                    let partition_index = partition.partition_index;
                    let error_code = if exists(*count, partition_index) {
                        errors.next().unwrap_or(ErrorCode::NONE)
                    } else {
                        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                    };
                    OffsetDeleteResponsePartition { partition_index, error_code }
                });
                OffsetDeleteResponseTopic { name: topic.name, partitions: partitions.collect() }
            });
            let topics = merged(topics, |topic| topic.name, |topic| &mut topic.partitions);
            let response = OffsetDeleteResponse { topics, ..Default::default() };
            node.groups.answer(request, [durable], &response, || refused(ErrorCode::NOT_COORDINATOR))
        }
        Ok((Err(error_code), _)) | Err(error_code) => request.answer(&refused(error_code)),
    }
}
