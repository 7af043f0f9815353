//! DescribeConfigs (32): every key of a topic or of this broker, with its value and where that is written.
//!
//! Tools rely on *every* key being there: Connect looks for `cleanup.policy`, consoles show defaults, and those that
//! change a configuration read it first.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};

use crate::config::key::ConfigKind;
use crate::config::topic::{ConfigSource, ConfigSynonym};
use crate::config::{BROKER_KEYS, ConfigKey, TOPIC_KEYS, is_dynamic};
use crate::metadata::creation::check_name;
use crate::metadata::image::{BROKER_RESOURCE, MetadataImage, TOPIC_RESOURCE};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// One key, and where it is written.
struct Entry {
    key: &'static ConfigKey,
    read_only: bool,
    /// What holds, and whence.
    effective: Option<ConfigSynonym>,
    /// Where the key is written, the strongest first.
    synonyms: Vec<ConfigSynonym>,
}

/// What is wrong with the question.
type Refused = (ErrorCode, String);

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DescribeConfigsRequest<'_>,
) -> Reply {
    let image = node.metadata.image();
    let found: Vec<Result<Vec<Entry>, Refused>> =
        message.resources.iter().map(|resource| find(node, &image, resource)).collect();
    let results = message.resources.iter().zip(&found).map(|(resource, found)| {
        let (resource_type, resource_name) = (resource.resource_type, resource.resource_name);
        match found {
            Ok(entries) => DescribeConfigsResult {
                resource_type,
                resource_name,
                configs: entries.iter().map(|entry| describe(entry, &message)).collect(),
                ..Default::default()
            },
            Err((error_code, problem)) => DescribeConfigsResult {
                resource_type,
                resource_name,
                error_code: *error_code,
                error_message: Some(problem),
                ..Default::default()
            },
        }
    });
    let response = DescribeConfigsResponse { results: results.collect(), ..Default::default() };
    request.answer_settled(node.metadata.settled(), &response)
}

fn find(
    node: &Node,
    image: &MetadataImage,
    resource: &DescribeConfigsResource<'_>,
) -> Result<Vec<Entry>, Refused> {
    let layers = node.layers(image);
    let name = resource.resource_name;
    let wanted = |key: &&'static ConfigKey| match &resource.configuration_keys {
        None => true,
        // Kafka takes an empty list for all of them.
        Some(names) => names.is_empty() || names.contains(&key.name),
    };
    match resource.resource_type {
        TOPIC_RESOURCE => {
            check_name(name).map_err(|refusal| (refusal.error_code, refusal.message.into_owned()))?;
            if image.topic(name).is_none() {
                return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("There is no topic {name}.")));
            }
            let configs = image.topic_configs(name);
            let entry = |key| Entry {
                key,
                read_only: false,
                effective: layers.of_topic_key(key, configs).into_iter().next(),
                synonyms: layers.synonyms_of_topic_key(key, configs),
            };
            Ok(TOPIC_KEYS.iter().filter(wanted).map(entry).collect())
        }
        // What was set for all brokers; the rest is each broker's.
        BROKER_RESOURCE if name.is_empty() => {
            let entry = |key: &'static ConfigKey| {
                let value = Some(image.broker_configs("").get(key.name)?.clone());
                let source = ConfigSource::DynamicDefaultBroker;
                let written = ConfigSynonym { name: key.name, value, source };
                Some(Entry {
                    key,
                    read_only: false,
                    effective: Some(written.clone()),
                    synonyms: vec![written],
                })
            };
            Ok(BROKER_KEYS.iter().filter(wanted).filter_map(entry).collect())
        }
        BROKER_RESOURCE if name == node.name => {
            let entry = |key| Entry {
                key,
                read_only: !is_dynamic(key),
                effective: layers.of_broker_key(key).into_iter().next(),
                synonyms: layers.synonyms_of_broker_key(key),
            };
            Ok(BROKER_KEYS.iter().filter(wanted).map(entry).collect())
        }
        BROKER_RESOURCE => Err((
            ErrorCode::INVALID_REQUEST,
            format!("Unexpected broker id, expected {} or empty string, but received {name}", node.name),
        )),
        other => Err((ErrorCode::INVALID_REQUEST, format!("Unsupported resource type: {other}"))),
    }
}

fn describe<'a>(entry: &'a Entry, message: &DescribeConfigsRequest<'_>) -> DescribeConfigsResourceResult<'a> {
    let key = entry.key;
    let is_sensitive = key.is_sensitive();
    let shown = |written: &'a ConfigSynonym| written.value.as_deref().filter(|_| !is_sensitive);
    let effective = entry.effective.as_ref();
    let synonyms = entry.synonyms.iter().filter(|_| message.include_synonyms);
    DescribeConfigsResourceResult {
        name: key.name,
        value: effective.and_then(shown),
        read_only: entry.read_only,
        config_source: effective.map_or(ConfigSource::Default, |written| written.source) as i8,
        is_sensitive,
        synonyms: synonyms
            .map(|written| DescribeConfigsSynonym {
                name: written.name,
                value: shown(written),
                source: written.source as i8,
            })
            .collect(),
        config_type: type_number(key.kind),
        documentation: key.doc.filter(|_| message.include_documentation),
    }
}

fn type_number(kind: ConfigKind) -> i8 {
    match kind {
        ConfigKind::Boolean => 1,
        ConfigKind::String => 2,
        ConfigKind::Int => 3,
        ConfigKind::Short => 4,
        ConfigKind::Long => 5,
        ConfigKind::Double => 6,
        ConfigKind::List => 7,
        ConfigKind::Class => 8,
        ConfigKind::Password => 9,
    }
}
