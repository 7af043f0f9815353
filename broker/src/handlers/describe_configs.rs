//! DescribeConfigs (32): every key of a topic, of this broker, of a group or of a subscription to client metrics, with its
//! value and where that is written; and the loggers of this broker.
//!
//! Tools rely on *every* key being there: Connect looks for `cleanup.policy`, consoles show defaults, and those that
//! change a configuration read it first.

use std::borrow::Cow;
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::broker_loggers;
use super::repeated::Told;
use crate::config::key::ConfigKind;
use crate::config::topic::{ConfigSource, ConfigSynonym};
use crate::config::{
    BROKER_KEYS, CLIENT_METRICS_KEYS, ConfigKey, GROUP_KEYS, TOPIC_KEYS, broker_key, dynamic_key, is_dynamic,
    reason_without_effect,
};
use crate::loggers;
use crate::metadata::creation::check_name;
use crate::metadata::image::{
    BROKER_LOGGER_RESOURCE, BROKER_RESOURCE, CLIENT_METRICS_RESOURCE, GROUP_RESOURCE, MetadataImage,
    TOPIC_RESOURCE,
};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// How many keys an answer may tell of: those of some ten thousand topics. It lies in memory before it is sent.
const MAX_ENTRIES: usize = 400_000;

/// One key, and where it is written.
struct Entry {
    name: Cow<'static, str>,
    /// What is known of it; none: nothing, it was set for a plug-in, or it is a logger.
    key: Option<&'static ConfigKey>,
    read_only: bool,
    /// What holds, and whence.
    effective: Option<Written>,
    /// Where the key is written, the strongest first.
    synonyms: Vec<Written>,
}

/// One place where a value is written.
#[derive(Clone)]
struct Written {
    name: Cow<'static, str>,
    value: Option<String>,
    source: ConfigSource,
}

impl From<ConfigSynonym> for Written {
    fn from(synonym: ConfigSynonym) -> Written {
        Written { name: Cow::Borrowed(synonym.name), value: synonym.value, source: synonym.source }
    }
}

impl Entry {
    fn new(
        key: &'static ConfigKey,
        read_only: bool,
        effective: Vec<ConfigSynonym>,
        synonyms: Vec<ConfigSynonym>,
    ) -> Entry {
        Entry {
            name: Cow::Borrowed(key.name),
            key: Some(key),
            read_only,
            effective: effective.into_iter().next().map(Written::from),
            synonyms: synonyms.into_iter().map(Written::from).collect(),
        }
    }

    /// A logger, and how much it says.
    fn logger(name: String, level: &str) -> Entry {
        let name: Cow<'static, str> = Cow::Owned(name);
        let level = Some(level.to_string());
        let effective =
            Some(Written { name: name.clone(), value: level, source: ConfigSource::DynamicBrokerLogger });
        Entry { name, key: None, read_only: false, effective, synonyms: Vec::new() }
    }

    /// A key that is told only because it was set, here or there; the strongest first.
    fn set(name: &str, written: &[(&String, ConfigSource)]) -> Option<Entry> {
        let written: Vec<Written> = written
            .iter()
            .map(|(value, source)| Written {
                name: Cow::Owned(name.to_string()),
                value: Some((*value).clone()),
                source: *source,
            })
            .collect();
        let key = dynamic_key(name);
        Some(Entry {
            name: Cow::Owned(name.to_string()),
            key,
            read_only: key.is_none(),
            effective: Some(written.first()?.clone()),
            synonyms: written,
        })
    }
}

/// What is wrong with the question.
type Refused = (ErrorCode, String);

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DescribeConfigsRequest<'_>,
) -> Reply {
    let image = node.metadata.image();
    let mut entries_left = MAX_ENTRIES;
    let mut told = Told::new();
    let found: Vec<Result<Vec<Entry>, Refused>> = message
        .resources
        .iter()
        .map(|resource| {
            let asked = (resource.resource_type, resource.resource_name);
            if entries_left == 0 || !told.may_tell(&asked) {
                let message = "The request asks for too many resources.";
                return Err((ErrorCode::INVALID_REQUEST, message.to_string()));
            }
            let entries = find(node, &image, resource)?;
            entries_left = entries_left.saturating_sub(entries.len());
            told.tell(asked, size_of_val(&*entries));
            Ok(entries)
        })
        .collect();
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
    let is_asked = |name: &str| match &resource.configuration_keys {
        None => true,
        // Kafka takes an empty list for all of them.
        Some(names) => names.is_empty() || names.contains(&name),
    };
    let wanted = |key: &&'static ConfigKey| is_asked(key.name);
    match resource.resource_type {
        TOPIC_RESOURCE => {
            check_name(name).map_err(|refusal| (refusal.error_code, refusal.message.into_owned()))?;
            if image.topic(name).is_none() {
                return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("There is no topic {name}.")));
            }
            let configs = image.topic_configs(name);
            let entry = |key| {
                let effective = layers.of_topic_key(key, configs);
                Entry::new(key, false, effective, layers.synonyms_of_topic_key(key, configs))
            };
            Ok(TOPIC_KEYS.iter().filter(wanted).map(entry).collect())
        }
        // What was set for all brokers; the rest is each broker's.
        BROKER_RESOURCE if name.is_empty() => {
            let on_all = image.broker_configs("");
            let entry = |(name, value): (&String, &String)| {
                Entry::set(name, &[(value, ConfigSource::DynamicDefaultBroker)])
            };
            Ok(on_all.iter().filter(|(name, _)| is_asked(name)).filter_map(entry).collect())
        }
        BROKER_RESOURCE if name == node.name => {
            let entry = |key| {
                let effective = layers.of_broker_key(key);
                Entry::new(key, !is_dynamic(key), effective, layers.synonyms_of_broker_key(key))
            };
            let known = BROKER_KEYS.iter().filter(wanted).map(entry);
            // What was set besides: for plug-ins, and to throttle.
            let (own, on_all) = (image.broker_configs(name), image.broker_configs(""));
            let mut others: Vec<&String> = own.keys().chain(on_all.keys()).collect();
            others.retain(|name| broker_key(name).is_none() && is_asked(name));
            others.sort_unstable();
            others.dedup();
            let set = others.into_iter().filter_map(|name| {
                let own = own.get(name).map(|value| (value, ConfigSource::DynamicBroker));
                let on_all = on_all.get(name).map(|value| (value, ConfigSource::DynamicDefaultBroker));
                Entry::set(name, &own.into_iter().chain(on_all).collect::<Vec<_>>())
            });
            Ok(known.chain(set).collect())
        }
        BROKER_LOGGER_RESOURCE => {
            let levels = broker_loggers::of(node, name);
            let levels = levels.map_err(|refusal| (refusal.error_code, refusal.message.into_owned()))?;
            let asked = levels.into_iter().filter(|(logger, _)| is_asked(logger));
            Ok(asked.map(|(logger, level)| Entry::logger(logger, loggers::name(level))).collect())
        }
        GROUP_RESOURCE if name.is_empty() => {
            Err((ErrorCode::INVALID_REQUEST, "Group name must not be empty".to_string()))
        }
        // A group has all of them, whether it is there or not.
        GROUP_RESOURCE => {
            let configs = image.configs(GROUP_RESOURCE, name);
            let entry = |key: &'static ConfigKey| {
                let set = configs.get(key.name).map(|value| ConfigSynonym {
                    name: key.name,
                    value: Some(value.clone()),
                    source: ConfigSource::DynamicGroup,
                });
                let of_broker = key.synonyms.first().and_then(|(name, _)| broker_key(name));
                let below = match of_broker {
                    Some(key) => layers.of_broker_key(key),
                    None => vec![by_default(key)],
                };
                let written: Vec<_> = set.into_iter().chain(below).collect();
                Entry::new(key, false, written.clone(), written)
            };
            Ok(GROUP_KEYS.iter().filter(wanted).map(entry).collect())
        }
        CLIENT_METRICS_RESOURCE if name.is_empty() => Err((
            ErrorCode::INVALID_REQUEST,
            "Client metrics subscription name must not be empty".to_string(),
        )),
        CLIENT_METRICS_RESOURCE => {
            let configs = image.configs(CLIENT_METRICS_RESOURCE, name);
            let entry = |key: &'static ConfigKey| {
                let set: Vec<_> = configs
                    .get(key.name)
                    .map(|value| ConfigSynonym {
                        name: key.name,
                        value: Some(value.clone()),
                        source: ConfigSource::DynamicClientMetrics,
                    })
                    .into_iter()
                    .collect();
                Entry::new(key, false, set.iter().cloned().chain([by_default(key)]).collect(), set)
            };
            Ok(CLIENT_METRICS_KEYS.iter().filter(wanted).map(entry).collect())
        }
        BROKER_RESOURCE => Err((
            ErrorCode::INVALID_REQUEST,
            format!("Unexpected broker id, expected {} or empty string, but received {name}", node.name),
        )),
        other => Err((ErrorCode::INVALID_REQUEST, format!("Unsupported resource type: {other}"))),
    }
}

/// The default, as it is told.
fn by_default(key: &'static ConfigKey) -> ConfigSynonym {
    let value = key.default.map(str::to_string);
    ConfigSynonym { name: key.name, value, source: ConfigSource::Default }
}

fn describe<'a>(entry: &'a Entry, message: &DescribeConfigsRequest<'_>) -> DescribeConfigsResourceResult<'a> {
    let effective = entry.effective.as_ref();
    let is_logger = effective.is_some_and(|written| written.source == ConfigSource::DynamicBrokerLogger);
    // Nobody knows what a plug-in keeps secret.
    let is_sensitive = entry.key.map_or(!is_logger, ConfigKey::is_sensitive);
    let shown = |written: &'a Written| written.value.as_deref().filter(|_| !is_sensitive);
    let synonyms = entry.synonyms.iter().filter(|_| message.include_synonyms);
    DescribeConfigsResourceResult {
        name: &entry.name,
        value: effective.and_then(shown),
        read_only: entry.read_only,
        config_source: effective.map_or(ConfigSource::Default, |written| written.source) as i8,
        is_sensitive,
        synonyms: synonyms
            .map(|written| DescribeConfigsSynonym {
                name: &written.name,
                value: shown(written),
                source: written.source as i8,
            })
            .collect(),
        config_type: entry.key.map_or(UNKNOWN_TYPE, |key| type_number(key.kind)),
        documentation: match entry.key {
            Some(key) if message.include_documentation => key.doc.or(reason_without_effect(key.name)),
            Some(_) => None,
            // Kafka leaves it empty.
            None if is_logger => Some(""),
            None => None,
        },
    }
}

const UNKNOWN_TYPE: i8 = 0;

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
