//! Metadata (3): the brokers, and the topics with their partitions and leaders.
//!
//! No topics in version 0, or null later, means all; an empty list none. A name that is not there is created if both the
//! client and `auto.create.topics.enable` allow it, and shown at once: its creation is decided before the answer leaves.
//! A partition that is offline has no leader.
//! Topics are asked for by id from version 12 on. The controller is this broker; the address is the listener's by which
//! the client came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};

use crate::authorization;
use crate::metadata::creation::{MAX_PARTITIONS_PER_REQUEST, check_name, is_internal};
use crate::metadata::image::TopicImage;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The leader of a partition that has none.
const NO_LEADER: i32 = -1;
/// The first version that may name topics by id.
const TOPIC_ID_VERSION: i16 = 12;

pub(super) fn handle(node: &Arc<Node>, request: &RequestContext<'_>, message: MetadataRequest<'_>) -> Reply {
    let version = request.api_version();
    let asked = message.topics.filter(|topics| version > 0 || !topics.is_empty());
    let ask_topic = message.include_topic_authorized_operations;
    let may_create = message.allow_auto_topic_creation && node.config.auto_create_topics_enable;
    let refused = match &asked {
        Some(topics) if may_create => create_missing(node, topics),
        _ => BTreeMap::new(),
    };
    let image = node.metadata.image();
    let topics = match &asked {
        None => image.topics().map(|topic| describe(node, topic, ask_topic)).collect(),
        Some(topics) => {
            let mut answers = Vec::with_capacity(topics.len());
            let mut seen = BTreeSet::new();
            for topic in topics.iter().filter(|topic| seen.insert((topic.name, topic.topic_id))) {
                let found = match topic.name {
                    _ if version < TOPIC_ID_VERSION
                        && (topic.name.is_none() || !topic.topic_id.is_zero()) =>
                    {
                        Err(ErrorCode::INVALID_REQUEST)
                    }
                    // Both may be given; then the id counts.
                    _ if !topic.topic_id.is_zero() => {
                        image.topic_by_id(&topic.topic_id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)
                    }
                    Some(name) => image.topic(name).ok_or_else(|| missing(name, &refused)),
                    None => Err(ErrorCode::INVALID_REQUEST),
                };
                answers.push(match found {
                    Ok(found) => describe(node, found, ask_topic),
                    Err(error_code) => failed(topic, error_code, version),
                });
            }
            answers
        }
    };
    let response = MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: node.config.node_id,
            host: &request.endpoint.host,
            port: i32::from(request.endpoint.port),
            rack: node.config.rack.as_deref(),
        }],
        cluster_id: Some(&node.cluster_id),
        controller_id: node.config.node_id,
        topics,
        cluster_authorized_operations: authorization::if_asked(
            message.include_cluster_authorized_operations,
            authorization::CLUSTER,
        ),
        ..Default::default()
    };
    request.answer_settled(node.metadata.settled(), &response)
}

/// Creates the topics that are not there; the names that were refused, and why. One request makes no more partitions
/// than Kafka's controller would for it; what is left over is unknown, so the client asks for it again.
fn create_missing<'a>(node: &Node, asked: &[MetadataRequestTopic<'a>]) -> BTreeMap<&'a str, ErrorCode> {
    let mut refused = BTreeMap::new();
    let mut partitions_left = MAX_PARTITIONS_PER_REQUEST;
    for name in asked.iter().filter(|topic| topic.topic_id.is_zero()).filter_map(|topic| topic.name) {
        if refused.contains_key(name) || node.metadata.image().topic(name).is_some() {
            continue;
        }
        // The first one hears what is wrong if it is more than any may have.
        let is_first = partitions_left == MAX_PARTITIONS_PER_REQUEST;
        if !is_first && partitions_left < node.config.num_partitions as usize {
            break;
        }
        match node.create_missing_topic(name) {
            Ok(partitions) => partitions_left = partitions_left.saturating_sub(partitions),
            Err(refusal) => {
                refused.insert(name, refusal.error_code);
            }
        }
    }
    refused
}

fn missing(name: &str, refused: &BTreeMap<&str, ErrorCode>) -> ErrorCode {
    match refused.get(name) {
        Some(error_code) => *error_code,
        None => match check_name(name) {
            Ok(()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Err(refusal) => refusal.error_code,
        },
    }
}

fn failed<'a>(
    topic: &MetadataRequestTopic<'a>,
    error_code: ErrorCode,
    version: i16,
) -> MetadataResponseTopic<'a> {
    // A name may be null only in versions that ask by id.
    let name = topic.name.or((version < TOPIC_ID_VERSION).then_some(""));
    let is_internal = topic.name.is_some_and(is_internal);
    MetadataResponseTopic { error_code, name, topic_id: topic.topic_id, is_internal, ..Default::default() }
}

fn describe<'a>(node: &Node, topic: &'a TopicImage, ask_operations: bool) -> MetadataResponseTopic<'a> {
    let offline = node.topics.offline_partitions(&topic.id);
    let partitions = topic.partitions.iter().enumerate().map(|(index, partition)| {
        let has_leader = partition.leader >= 0 && !offline.contains(&index);
        MetadataResponsePartition {
            error_code: if has_leader { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
            partition_index: index as i32,
            leader_id: if has_leader { partition.leader } else { NO_LEADER },
            leader_epoch: partition.leader_epoch,
            replica_nodes: partition.replicas.clone(),
            isr_nodes: partition.isr.clone(),
            offline_replicas: if has_leader { Vec::new() } else { partition.replicas.clone() },
        }
    });
    MetadataResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(&topic.name),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: authorization::if_asked(ask_operations, authorization::TOPIC),
    }
}
