//! IncrementalAlterConfigs (44): sets and unsets single keys of topics, of this broker, or of all brokers.
//!
//! All changes of one resource are made, or none. Of a broker only those keys change while it runs that give topics
//! their defaults; to take another and do nothing would be a false success.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::cluster_metadata::{ConfigRecord, MetadataRecord};
use anabranch_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use crate::config::key::{ConfigKind, split_list};
use crate::config::topic::check_topic_configs;
use crate::config::{BROKER_KEYS, ConfigKey, ConnectionLimits, TOPIC_KEYS, is_dynamic, unknown};
use crate::metadata::creation::Refusal;
use crate::metadata::image::{BROKER_RESOURCE, Configs, MetadataImage, TOPIC_RESOURCE};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) const SET: i8 = 0;
pub(super) const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
/// What is told of a change of which nobody knows whether it lasts.
pub(super) const LOST: &str = "The metadata log went offline before the change was durable.";

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: IncrementalAlterConfigsRequest<'_>,
) -> Reply {
    let mut outcomes = Vec::with_capacity(message.resources.len());
    for resource in &message.resources {
        let same = |other: &&AlterConfigsResource<'_>| {
            other.resource_type == resource.resource_type && other.resource_name == resource.resource_name
        };
        let outcome = if message.resources.iter().filter(same).count() > 1 {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once."))
        } else {
            alter(node, resource, message.validate_only)
        };
        outcomes.push((resource, outcome));
    }
    let respond = |lost: bool| IncrementalAlterConfigsResponse {
        responses: outcomes.iter().map(|(resource, outcome)| result(resource, outcome, lost)).collect(),
        ..Default::default()
    };
    request.answer_after(node.metadata.settled(), &respond(false), || respond(true))
}

/// Makes all changes of one resource, or none.
pub(super) fn alter(
    node: &Node,
    resource: &AlterConfigsResource<'_>,
    validate_only: bool,
) -> Result<(), Refusal> {
    let change = node.metadata.begin();
    let changes = decide(node, change.image(), resource)?;
    let records: Vec<_> = changes
        .iter()
        .map(|(name, value)| {
            MetadataRecord::Config(ConfigRecord {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                name,
                value: value.as_deref(),
            })
        })
        .collect();
    if !validate_only {
        // The answer waits until everything it shows is decided.
        change.commit(node.host.wall_clock_ms(), &records)?;
    }
    Ok(())
}

/// The keys that change, and to what; `None` unsets.
fn decide<'a>(
    node: &Node,
    image: &MetadataImage,
    resource: &AlterConfigsResource<'a>,
) -> Result<Vec<(&'a str, Option<String>)>, Refusal> {
    let name = resource.resource_name;
    let (keys, present): (&'static [ConfigKey], &Configs) = match resource.resource_type {
        TOPIC_RESOURCE if image.topic(name).is_some() => (TOPIC_KEYS, image.topic_configs(name)),
        TOPIC_RESOURCE => {
            let message = format!("The topic '{name}' does not exist.");
            return Err(Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
        }
        BROKER_RESOURCE if name.is_empty() || name == node.name => (BROKER_KEYS, image.broker_configs(name)),
        BROKER_RESOURCE => {
            let message =
                format!("Unexpected broker id, expected {} or empty string, but received {name}", node.name);
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
        other => {
            let message = format!("Unsupported resource type: {other}");
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
    };
    let mut after = present.clone();
    let mut changes = Vec::with_capacity(resource.configs.len());
    for config in &resource.configs {
        if changes.iter().any(|(name, _)| *name == config.name) {
            let message = format!("{} is changed twice in one request", config.name);
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
        let value = apply(node, image, resource, keys, present, config)?;
        match &value {
            Some(value) => after.insert(config.name.to_string(), value.clone()),
            None => after.remove(config.name),
        };
        changes.push((config.name, value));
    }
    if resource.resource_type == TOPIC_RESOURCE {
        // Keys that must fit together are looked at together.
        check_topic_configs(after.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            .map_err(|error| Refusal::new(ErrorCode::INVALID_CONFIG, error.to_string()))?;
    }
    Ok(changes)
}

/// The value after one change; `None` unsets.
fn apply(
    node: &Node,
    image: &MetadataImage,
    resource: &AlterConfigsResource<'_>,
    keys: &'static [ConfigKey],
    present: &Configs,
    config: &AlterableConfig<'_>,
) -> Result<Option<String>, Refusal> {
    let invalid = |message: String| Refusal::new(ErrorCode::INVALID_CONFIG, message);
    let Some(key) = keys.iter().find(|key| key.name == config.name) else {
        return Err(invalid(unknown(config.name, keys).to_string()));
    };
    if resource.resource_type == BROKER_RESOURCE && !is_dynamic(key) {
        let message = format!("Cannot update these configs dynamically: {}", key.name);
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    }
    let operation = config.config_operation;
    if operation == DELETE {
        return Ok(None);
    }
    let Some(value) = config.value else {
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, format!("{} has no value", key.name)));
    };
    let wanted = match operation {
        SET => value.to_string(),
        APPEND | SUBTRACT if key.kind != ConfigKind::List => {
            let message =
                format!("Can't append to or subtract from key {} because its type is not LIST.", key.name);
            return Err(invalid(message));
        }
        APPEND | SUBTRACT => {
            let effective = match present.get(key.name) {
                Some(value) => Some(value.clone()),
                None => {
                    let layers = node.layers(image);
                    let written = match resource.resource_type {
                        TOPIC_RESOURCE => layers.of_topic_key(key, present),
                        _ => layers.of_broker_key(key),
                    };
                    written.into_iter().next().and_then(|written| written.value)
                }
            };
            let effective = effective.unwrap_or_default();
            let mut items: Vec<&str> = split_list(&effective).collect();
            for item in split_list(value) {
                items.retain(|present| *present != item);
                if operation == APPEND {
                    items.push(item);
                }
            }
            items.join(",")
        }
        other => {
            let message = format!("Unknown operation {other}");
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
    };
    key.check(&wanted)
        .and_then(|value| ConnectionLimits::check(key.name, &value).map(|()| Some(value)))
        .map_err(|problem| invalid(format!("{}: {problem}", key.name)))
}

fn result<'a>(
    resource: &AlterConfigsResource<'a>,
    outcome: &'a Result<(), Refusal>,
    lost: bool,
) -> AlterConfigsResourceResponse<'a> {
    let (error_code, error_message) = match outcome {
        Ok(()) if lost => (ErrorCode::KAFKA_STORAGE_ERROR, Some(LOST)),
        Ok(()) => (ErrorCode::NONE, None),
        Err(refusal) => (refusal.error_code, Some(&*refusal.message)),
    };
    AlterConfigsResourceResponse {
        error_code,
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
    }
}
