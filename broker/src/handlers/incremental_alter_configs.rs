//! IncrementalAlterConfigs (44): sets and unsets single keys of topics, of this broker or all brokers, of groups, and of
//! subscriptions to client metrics; and the levels of this broker's loggers.
//!
//! All changes of one resource are made, or none. Which keys of a broker may change while it runs, and why, says
//! `config::dynamic`.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::cluster_metadata::{ConfigRecord, MetadataRecord};
use anabranch_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::broker_loggers;
use super::repeated::Repeated;
use crate::config::key::{ConfigKind, split_list};
use crate::config::topic::{ConfigLayers, check_topic_configs};
use crate::config::{
    BROKER_KEYS, CLIENT_METRICS_KEYS, ConfigError, ConfigKey, GROUP_KEYS, TOPIC_KEYS, check_client_metrics,
    check_dynamic, check_group, unknown,
};
use crate::metadata::creation::{Refusal, check_name};
use crate::metadata::image::{
    BROKER_LOGGER_RESOURCE, BROKER_RESOURCE, CLIENT_METRICS_RESOURCE, Configs, GROUP_RESOURCE, MetadataImage,
    TOPIC_RESOURCE,
};
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
    let named =
        |resource: &AlterConfigsResource<'_>| (resource.resource_type, resource.resource_name.to_owned());
    let repeated = Repeated::among(message.resources.iter().map(named));
    for resource in &message.resources {
        let outcome = if repeated.has(&named(resource)) {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once."))
        } else if resource.resource_type == BROKER_LOGGER_RESOURCE {
            broker_loggers::alter(node, resource, message.validate_only)
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

/// What is to change.
struct Subject<'a> {
    resource_type: i8,
    /// All keys that it may have, but for those that plug-ins of a broker may bring.
    keys: &'static [ConfigKey],
    /// What is set now.
    present: &'a Configs,
    /// A broker's answer to a bad value differs from the others'.
    on_bad_value: ErrorCode,
}

/// Finds what is to change.
fn subject<'a>(node: &Node, image: &'a MetadataImage, kind: i8, name: &str) -> Result<Subject<'a>, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    let (keys, on_bad_value) = match kind {
        TOPIC_RESOURCE if name.is_empty() => {
            return invalid("Default topic resources are not allowed.".to_string());
        }
        TOPIC_RESOURCE => {
            check_name(name)?;
            (TOPIC_KEYS, ErrorCode::INVALID_CONFIG)
        }
        BROKER_RESOURCE if name.is_empty() || name == node.name => (BROKER_KEYS, ErrorCode::INVALID_REQUEST),
        BROKER_RESOURCE => {
            return invalid(format!(
                "Unexpected broker id, expected {} or empty string, but received {name}",
                node.name
            ));
        }
        GROUP_RESOURCE if name.is_empty() => {
            return invalid("Default group resources are not allowed.".to_string());
        }
        GROUP_RESOURCE => (GROUP_KEYS, ErrorCode::INVALID_CONFIG),
        CLIENT_METRICS_RESOURCE if name.is_empty() => {
            return invalid("Subscription name can't be empty".to_string());
        }
        CLIENT_METRICS_RESOURCE => (CLIENT_METRICS_KEYS, ErrorCode::INVALID_CONFIG),
        other => return invalid(format!("Unsupported resource type: {other}")),
    };
    Ok(Subject { resource_type: kind, keys, present: image.configs(kind, name), on_bad_value })
}

/// Each key is changed once, and only what is deleted has no value.
pub(super) fn check_keys(configs: &[AlterableConfig<'_>]) -> Result<(), Refusal> {
    let repeated = Repeated::among(configs.iter().map(|config| config.name));
    if let Some(config) = configs.iter().find(|config| repeated.has(&config.name)) {
        let message = format!("{} is changed twice in one request", config.name);
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    }
    let lack = configs.iter().filter(|config| config.value.is_none() && config.config_operation != DELETE);
    let without_value: Vec<&str> = lack.map(|config| config.name).collect();
    if without_value.is_empty() {
        return Ok(());
    }
    let message = format!("Null value not supported for : {}", without_value.join(", "));
    Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
}

/// The keys that change, and to what; `None` unsets.
fn decide<'a>(
    node: &Node,
    image: &MetadataImage,
    resource: &AlterConfigsResource<'a>,
) -> Result<Vec<(&'a str, Option<String>)>, Refusal> {
    let name = resource.resource_name;
    check_keys(&resource.configs)?;
    let subject = subject(node, image, resource.resource_type, name)?;
    let layers = node.layers(image);
    let mut after = subject.present.clone();
    let mut changes = Vec::with_capacity(resource.configs.len());
    for config in &resource.configs {
        let value = match wanted(&layers, &subject, config)? {
            // What is set for a broker's plug-ins is nobody's business.
            Some(value) if resource.resource_type == BROKER_RESOURCE => Some(
                check_dynamic(&layers, name.is_empty(), config.name, &value)
                    .map_err(|problem| Refusal::new(subject.on_bad_value, problem))?,
            ),
            Some(value) => Some(check(&subject, config.name, &value)?),
            None => None,
        };
        match &value {
            Some(value) => after.insert(config.name.to_string(), value.clone()),
            None => after.remove(config.name),
        };
        changes.push((config.name, value));
    }
    // Keys that must fit together, or to the broker, are looked at together.
    let pairs = after.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let together = match resource.resource_type {
        TOPIC_RESOURCE => check_topic_configs(pairs).map(drop),
        GROUP_RESOURCE => check_group(&layers, pairs),
        _ => Ok(()),
    };
    together.map_err(|error| Refusal::new(subject.on_bad_value, error.to_string()))?;
    // As in Kafka, what is wrong in itself is told before what nobody has.
    if resource.resource_type == TOPIC_RESOURCE && image.topic(name).is_none() {
        let message = format!("The topic '{name}' does not exist.");
        return Err(Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
    }
    Ok(changes)
}

/// The value after one change, unchecked; `None` unsets. Whatever is not set, known or not, may be unset.
fn wanted(
    layers: &ConfigLayers<'_>,
    subject: &Subject<'_>,
    config: &AlterableConfig<'_>,
) -> Result<Option<String>, Refusal> {
    let value = config.value.unwrap_or_default();
    let operation = config.config_operation;
    match operation {
        DELETE => Ok(None),
        SET => Ok(Some(value.to_string())),
        APPEND | SUBTRACT => {
            let Some(key) = subject.keys.iter().find(|key| key.name == config.name) else {
                let message = format!("Unknown config name: {}", config.name);
                return Err(Refusal::new(ErrorCode::INVALID_CONFIG, message));
            };
            // Kafka does not take the lists of client metrics for lists.
            if key.kind != ConfigKind::List || subject.resource_type == CLIENT_METRICS_RESOURCE {
                let message = format!(
                    "Can't {} to key {} because its type is not LIST.",
                    if operation == APPEND { "APPEND" } else { "SUBTRACT" },
                    key.name
                );
                return Err(Refusal::new(ErrorCode::INVALID_CONFIG, message));
            }
            let effective = match subject.present.get(key.name) {
                Some(value) => Some(value.clone()),
                None => {
                    let written = match subject.resource_type {
                        BROKER_RESOURCE => layers.of_broker_key(key),
                        _ => layers.of_topic_key(key, subject.present),
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
            Ok(Some(items.join(",")))
        }
        other => Err(Refusal::new(ErrorCode::INVALID_REQUEST, format!("Unknown operation {other}"))),
    }
}

/// Checks a value of anything but a broker, and gives it in its usual form.
fn check(subject: &Subject<'_>, name: &str, value: &str) -> Result<String, Refusal> {
    let Some(key) = subject.keys.iter().find(|key| key.name == name) else {
        let (error_code, message) = match subject.resource_type {
            GROUP_RESOURCE => (ErrorCode::INVALID_CONFIG, format!("Unknown group config name: {name}")),
            CLIENT_METRICS_RESOURCE => {
                (ErrorCode::INVALID_REQUEST, format!("Unknown client metrics configuration: {name}"))
            }
            _ => (ErrorCode::INVALID_CONFIG, unknown(name, subject.keys).to_string()),
        };
        return Err(Refusal::new(error_code, message));
    };
    let value = key.check(value).map_err(|problem| {
        let error = ConfigError::invalid(key.name, value, problem);
        Refusal::new(subject.on_bad_value, error.to_string())
    })?;
    if subject.resource_type == CLIENT_METRICS_RESOURCE {
        check_client_metrics(name, &value).map_err(|(is_value, error)| {
            let error_code = if is_value { ErrorCode::INVALID_CONFIG } else { ErrorCode::INVALID_REQUEST };
            Refusal::new(error_code, error.to_string())
        })?;
    }
    Ok(value)
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
