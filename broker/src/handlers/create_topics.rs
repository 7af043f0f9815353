//! CreateTopics (19): makes topics, or says for each why not. The answer leaves when they are decided.
//!
//! -1 partitions or replicas mean the broker's defaults (version 4 on; accepted before, too). From version 5 on the
//! answer shows the whole configuration of each new topic, as the Java client relies on.

use std::sync::Arc;

use anabranch_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use anabranch_protocol::{ErrorCode, Uuid};

use super::repeated::Repeated;
use crate::config::topic::{ConfigSource, ConfigSynonym, check_topic_configs};
use crate::config::{ConfigKey, TOPIC_KEYS};
use crate::metadata::creation::{
    Granted, Layout, MAX_PARTITIONS_PER_REQUEST, NewTopic, Refusal, check_new_name, grant,
    too_many_partitions,
};
use crate::metadata::image::{Configs, MetadataImage};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// What became of one wish.
struct Outcome<'a> {
    name: &'a str,
    id: Uuid,
    made: Result<Made, Refusal>,
}

struct Made {
    num_partitions: i32,
    replication_factor: i16,
    shown: Vec<Shown>,
}

/// One key of the new topic.
struct Shown {
    name: &'static str,
    value: Option<String>,
    source: ConfigSource,
    is_sensitive: bool,
}

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: CreateTopicsRequest<'_>,
) -> Reply {
    let mut outcomes: Vec<Outcome<'_>> = Vec::with_capacity(message.topics.len());
    let mut partitions_left = MAX_PARTITIONS_PER_REQUEST;
    let mut names = Repeated::among(message.topics.iter().map(|topic| topic.name));
    for topic in &message.topics {
        let Some(repeated) = names.take(&topic.name) else { continue };
        let id = Uuid(node.host.random_uuid());
        let made = if repeated {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else {
            create(node, topic, id, message.validate_only, &mut partitions_left)
        };
        outcomes.push(Outcome { name: topic.name, id, made });
    }
    let respond = |lost: bool| CreateTopicsResponse {
        topics: outcomes.iter().map(|outcome| result(outcome, lost)).collect(),
        ..Default::default()
    };
    request.answer_after(node.metadata.settled(), &respond(false), || respond(true))
}

fn create(
    node: &Node,
    topic: &CreatableTopic<'_>,
    id: Uuid,
    validate_only: bool,
    partitions_left: &mut usize,
) -> Result<Made, Refusal> {
    let defaults = node.topic_defaults();
    let change = node.metadata.begin();
    // In Kafka's order: the name, its configuration, how many partitions.
    check_new_name(change.image(), topic.name)?;
    let wish = NewTopic { name: topic.name, id, configs: configs(topic)?, layout: layout(topic)? };
    let granted = grant(change.image(), &defaults, &wish)?;
    let partitions = granted.num_partitions as usize;
    *partitions_left = partitions_left.checked_sub(partitions).ok_or_else(too_many_partitions)?;
    let Granted { records, num_partitions, replication_factor } = granted;
    let made = Made { num_partitions, replication_factor, shown: shown(node, change.image(), &wish.configs) };
    if !validate_only {
        // The answer waits until everything it shows is decided.
        change.commit(node.host.wall_clock_ms(), &records)?;
    }
    Ok(made)
}

fn layout(topic: &CreatableTopic<'_>) -> Result<Layout, Refusal> {
    if topic.assignments.is_empty() {
        let (num_partitions, replication_factor) = (topic.num_partitions, topic.replication_factor);
        return Ok(Layout::Counts { num_partitions, replication_factor });
    }
    if topic.num_partitions != -1 {
        return Err(Refusal::new(
            ErrorCode::INVALID_REQUEST,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        ));
    }
    if topic.replication_factor != -1 {
        return Err(Refusal::new(
            ErrorCode::INVALID_REQUEST,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        ));
    }
    let assignments = topic.assignments.iter();
    Ok(Layout::Manual(assignments.map(|part| (part.partition_index, part.broker_ids.clone())).collect()))
}

fn configs(topic: &CreatableTopic<'_>) -> Result<Configs, Refusal> {
    let mut pairs = Vec::with_capacity(topic.configs.len());
    for config in &topic.configs {
        let Some(value) = config.value else {
            let message = format!("Null value not supported for topic configs: {}", config.name);
            return Err(Refusal::new(ErrorCode::INVALID_CONFIG, message));
        };
        pairs.push((config.name, value));
    }
    check_topic_configs(pairs).map_err(|error| Refusal::new(ErrorCode::INVALID_CONFIG, error.to_string()))
}

fn result<'a>(outcome: &'a Outcome<'_>, lost: bool) -> CreatableTopicResult<'a> {
    let made = match &outcome.made {
        Ok(made) if !lost => made,
        // What is there already, may be there no more after a restart.
        Err(refusal) if !lost || refusal.error_code != ErrorCode::TOPIC_ALREADY_EXISTS => {
            return CreatableTopicResult {
                name: outcome.name,
                error_code: refusal.error_code,
                error_message: Some(&*refusal.message),
                // Kafka leaves the list empty, not null.
                configs: Some(Vec::new()),
                ..Default::default()
            };
        }
        Ok(_) | Err(_) => {
            return CreatableTopicResult {
                name: outcome.name,
                error_code: ErrorCode::KAFKA_STORAGE_ERROR,
                error_message: Some("The metadata log went offline before the topic was durable."),
                ..Default::default()
            };
        }
    };
    CreatableTopicResult {
        name: outcome.name,
        topic_id: outcome.id,
        error_code: ErrorCode::NONE,
        error_message: None,
        num_partitions: made.num_partitions,
        replication_factor: made.replication_factor,
        configs: Some(made.shown.iter().map(config).collect()),
        topic_config_error_code: ErrorCode::NONE,
    }
}

fn config(shown: &Shown) -> CreatableTopicConfigs<'_> {
    CreatableTopicConfigs {
        name: shown.name,
        value: shown.value.as_deref(),
        read_only: false,
        config_source: shown.source as i8,
        is_sensitive: shown.is_sensitive,
    }
}

/// The whole configuration of a topic with these keys of its own.
fn shown(node: &Node, image: &MetadataImage, configs: &Configs) -> Vec<Shown> {
    let layers = node.layers(image);
    let effective = |key: &'static ConfigKey| {
        let ConfigSynonym { value, source, .. } = layers.of_topic_key(key, configs).into_iter().next()?;
        let is_sensitive = key.is_sensitive();
        Some(Shown { name: key.name, value: value.filter(|_| !is_sensitive), source, is_sensitive })
    };
    TOPIC_KEYS.iter().filter_map(effective).collect()
}
