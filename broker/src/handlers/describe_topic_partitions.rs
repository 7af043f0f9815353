//! DescribeTopicPartitions (75): the partitions of topics, page by page, in the order of the names.
//!
//! A page holds at most `response_partition_limit` partitions (and never more than two thousand); where the next one
//! begins is the cursor, with which the client comes again (KIP-966).

use std::collections::BTreeSet;
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};

use crate::authorization;
use crate::metadata::creation::{check_name, is_internal};
use crate::metadata::image::{PartitionImage, TopicImage};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The leader of a partition that has none.
const NO_LEADER: i32 = -1;
/// `max.request.partition.size.limit`
const MAX_PARTITIONS: usize = 2000;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DescribeTopicPartitionsRequest<'_>,
) -> Reply {
    let mut left = usize::try_from(message.response_partition_limit).unwrap_or(0).clamp(1, MAX_PARTITIONS);
    if message.cursor.as_ref().is_some_and(|cursor| cursor.partition_index < 0) {
        return request.answer(&DescribeTopicPartitionsResponse {
            topics: message.topics.iter().map(|topic| refused(topic.name)).collect(),
            ..Default::default()
        });
    }
    let image = node.metadata.image();
    let (first_topic, first_partition) = match &message.cursor {
        Some(cursor) => (cursor.topic_name, usize::try_from(cursor.partition_index).unwrap_or(0)),
        None => ("", 0),
    };
    // A topic of the cursor that is gone meanwhile is passed over; the page goes on behind it.
    let names: BTreeSet<&str> = if message.topics.is_empty() {
        image.topics_from(first_topic).map(|topic| &*topic.name).collect()
    } else {
        message.topics.iter().map(|topic| topic.name).filter(|name| *name >= first_topic).collect()
    };
    let mut topics = Vec::new();
    let mut next_cursor = None;
    for name in names {
        if left == 0 {
            next_cursor = Some(Cursor { topic_name: name, partition_index: 0 });
            break;
        }
        let Some(topic) = image.topic(name) else {
            topics.push(missing(name));
            continue;
        };
        let from = if name == first_topic { first_partition.min(topic.partitions.len()) } else { 0 };
        let to = topic.partitions.len().min(from + left);
        left -= to - from;
        topics.push(describe(node, topic, from, to));
        if to < topic.partitions.len() {
            next_cursor = Some(Cursor { topic_name: name, partition_index: to as i32 });
            break;
        }
    }
    let response = DescribeTopicPartitionsResponse { topics, next_cursor, ..Default::default() };
    request.answer_settled(node.metadata.settled(), &response)
}

/// A cursor that stands nowhere is an error of everything asked for.
fn refused(name: &str) -> DescribeTopicPartitionsResponseTopic<'_> {
    let error_code = ErrorCode::INVALID_REQUEST;
    DescribeTopicPartitionsResponseTopic { error_code, name: Some(name), ..Default::default() }
}

fn missing(name: &str) -> DescribeTopicPartitionsResponseTopic<'_> {
    let error_code = match check_name(name) {
        Ok(()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Err(refusal) => refusal.error_code,
    };
    DescribeTopicPartitionsResponseTopic {
        error_code,
        name: Some(name),
        is_internal: is_internal(name),
        // What one might do with it, if it were there.
        topic_authorized_operations: authorization::TOPIC,
        ..Default::default()
    }
}

fn describe<'a>(
    node: &Node,
    topic: &'a TopicImage,
    from: usize,
    to: usize,
) -> DescribeTopicPartitionsResponseTopic<'a> {
    let offline = node.topics.offline_partitions(&topic.id);
    let partitions = topic.partitions[from..to].iter().zip(from..).map(|(partition, index)| {
        let has_leader = partition.leader >= 0 && !offline.contains(&index);
        describe_partition(partition, index as i32, has_leader)
    });
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(&topic.name),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: authorization::TOPIC,
    }
}

/// That there is no leader is no error here, as with Kafka.
fn describe_partition(
    partition: &PartitionImage,
    partition_index: i32,
    has_leader: bool,
) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode::NONE,
        partition_index,
        leader_id: if has_leader { partition.leader } else { NO_LEADER },
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.clone(),
        isr_nodes: partition.isr.clone(),
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: if has_leader { Vec::new() } else { partition.replicas.clone() },
    }
}
