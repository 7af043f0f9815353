//! `anabranch configs`: what `kafka-configs` does for topics, brokers, groups and client metrics.

use std::path::PathBuf;

use anabranch_client::{Admin, ConfigEntry, ConfigResource, ConfigSource};
use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args, ValueEnum};
use serde_json::{Value, json};

use crate::connect::{Connection, read_properties};

/// What the command takes.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("action").required(true).args(["describe", "alter"]))]
pub(crate) struct ConfigsArguments {
    #[command(flatten)]
    connection: Connection,
    /// Show settings.
    #[arg(long)]
    describe: bool,
    /// Change settings.
    #[arg(long)]
    alter: bool,
    /// What has the settings.
    #[arg(long, value_enum, value_name = "TYPE", default_value = "topics")]
    entity_type: EntityType,
    /// Its name: a topic, the number of a broker, a group, a subscription to metrics of clients.
    #[arg(long, value_name = "NAME")]
    entity_name: Option<String>,
    /// The same as `--entity-type topics --entity-name`.
    #[arg(long, value_name = "NAME", conflicts_with = "entity_name")]
    topic: Option<String>,
    /// The same as `--entity-type brokers --entity-name`.
    #[arg(long, value_name = "ID", conflicts_with_all = ["entity_name", "topic"])]
    broker: Option<String>,
    /// The same as `--entity-type groups --entity-name`.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["entity_name", "topic", "broker"])]
    group: Option<String>,
    /// The same as `--entity-type client-metrics --entity-name`.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["entity_name", "topic", "broker", "group"])]
    client_metrics: Option<String>,
    /// All brokers.
    #[arg(long)]
    entity_default: bool,
    /// The same as `--entity-type brokers --entity-default`.
    #[arg(long)]
    broker_defaults: bool,
    /// Also settings that nobody has made.
    #[arg(long)]
    all: bool,
    /// Settings to make: `k1=v1,k2=[a,b]`
    #[arg(long, value_name = "KEY=VALUE,..")]
    add_config: Option<String>,
    /// A file of settings to make, a `key=value` on each line.
    #[arg(long, value_name = "FILE", conflicts_with = "add_config")]
    add_config_file: Option<PathBuf>,
    /// Settings to take back: k1,k2
    #[arg(long, value_name = "KEY,..")]
    delete_config: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What may have settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EntityType {
    Topics,
    Brokers,
    Groups,
    ClientMetrics,
}

/// What the arguments name, in whichever of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entity<'a> {
    kind: EntityType,
    name: Option<&'a str>,
    is_default: bool,
}

impl ConfigsArguments {
    fn entity(&self) -> Entity<'_> {
        let short = [
            (EntityType::Topics, &self.topic),
            (EntityType::Brokers, &self.broker),
            (EntityType::Groups, &self.group),
            (EntityType::ClientMetrics, &self.client_metrics),
        ];
        let named = short.into_iter().find_map(|(kind, name)| Some((kind, name.as_deref()?)));
        match named {
            Some((kind, name)) => Entity { kind, name: Some(name), is_default: false },
            None if self.broker_defaults => {
                Entity { kind: EntityType::Brokers, name: None, is_default: true }
            }
            None => Entity {
                kind: self.entity_type,
                name: self.entity_name.as_deref(),
                is_default: self.entity_default,
            },
        }
    }

    fn added(&self) -> Result<Vec<(String, String)>> {
        match (&self.add_config, &self.add_config_file) {
            (Some(text), _) => parse_settings(text),
            (None, Some(path)) => read_properties(path),
            (None, None) => Ok(Vec::new()),
        }
    }
}

pub(crate) fn run(arguments: ConfigsArguments) -> Result<()> {
    let added = arguments.added()?;
    if arguments.alter && added.is_empty() && arguments.delete_config.is_none() {
        bail!("--alter needs --add-config, --add-config-file or --delete-config");
    }
    arguments.connection.run(async |client| {
        let admin = client.admin();
        if arguments.alter {
            return alter(&admin, &arguments, &added).await;
        }
        let mut all = serde_json::Map::new();
        for resource in resources(&admin, arguments.entity()).await? {
            let mut entries = admin.describe_configs(&resource).await?;
            entries.retain(|entry| arguments.all || is_dynamic(entry));
            let name = describe_name(&resource);
            if arguments.json {
                all.insert(name, Value::Array(entries.iter().map(as_json).collect()));
            } else {
                print(&resource, &name, &entries, arguments.all);
            }
        }
        if arguments.json {
            println!("{}", Value::Object(all));
        }
        Ok(())
    })
}

/// Whether somebody has made the setting while the broker ran.
fn is_dynamic(entry: &ConfigEntry) -> bool {
    use ConfigSource::{AllBrokers, Broker, ClientMetrics, Group, Topic};
    matches!(entry.source, Topic | Broker | AllBrokers | Group | ClientMetrics)
}

/// What the arguments name; all of its kind if they name none.
async fn resources(admin: &Admin, entity: Entity<'_>) -> Result<Vec<ConfigResource>> {
    match (entity.kind, entity.name) {
        (EntityType::Topics, None) => {
            let topics = admin.list_topics().await?;
            Ok(topics.iter().map(|topic| ConfigResource::Topic(topic.name.to_string())).collect())
        }
        (EntityType::Brokers, None) if !entity.is_default => {
            let cluster = admin.describe_cluster().await?;
            let mut all: Vec<_> =
                cluster.brokers.iter().map(|(broker, _)| ConfigResource::Broker(broker.id)).collect();
            all.push(ConfigResource::AllBrokers);
            Ok(all)
        }
        (EntityType::Groups | EntityType::ClientMetrics, None) => {
            let mut all = admin.list_config_resources().await?;
            all.retain(|resource| match resource {
                ConfigResource::Group(_) => entity.kind == EntityType::Groups,
                ConfigResource::ClientMetrics(_) => entity.kind == EntityType::ClientMetrics,
                _ => false,
            });
            Ok(all)
        }
        _ => Ok(vec![resource(entity)?]),
    }
}

fn resource(entity: Entity<'_>) -> Result<ConfigResource> {
    match (entity.kind, entity.name) {
        (EntityType::Brokers, None) if entity.is_default => Ok(ConfigResource::AllBrokers),
        (_, None) => bail!("--entity-name is missing"),
        (EntityType::Topics, Some(name)) => Ok(ConfigResource::Topic(name.to_string())),
        (EntityType::Groups, Some(name)) => Ok(ConfigResource::Group(name.to_string())),
        (EntityType::ClientMetrics, Some(name)) => Ok(ConfigResource::ClientMetrics(name.to_string())),
        (EntityType::Brokers, Some(name)) => {
            let id = name.parse().with_context(|| format!("'{name}' is no number of a broker"))?;
            Ok(ConfigResource::Broker(id))
        }
    }
}

fn describe_name(resource: &ConfigResource) -> String {
    match resource {
        ConfigResource::Topic(name) => format!("topic {name}"),
        ConfigResource::Group(name) => format!("group {name}"),
        ConfigResource::Broker(id) => format!("broker {id}"),
        ConfigResource::AllBrokers => "brokers in the cluster".to_string(),
        ConfigResource::BrokerLogger(id) => format!("broker-logger {id}"),
        ConfigResource::ClientMetrics(name) => format!("client-metrics {name}"),
    }
}

/// Where a value comes from, by the names that Kafka's tool prints.
fn source_name(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::Broker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::AllBrokers => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
        ConfigSource::BrokerLogger => "DYNAMIC_BROKER_LOGGER_CONFIG",
        ConfigSource::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
        ConfigSource::Group => "DYNAMIC_GROUP_CONFIG",
        ConfigSource::Unknown => "UNKNOWN",
    }
}

fn print(resource: &ConfigResource, name: &str, entries: &[ConfigEntry], all: bool) {
    match (resource, all) {
        (ConfigResource::AllBrokers, _) => println!("Default configs for {name} are:"),
        (_, true) => println!("All configs for {name} are:"),
        (_, false) => println!("Dynamic configs for {name} are:"),
    }
    for entry in entries {
        let synonyms: Vec<String> = (entry.synonyms.iter())
            .map(|synonym| {
                let value = synonym.value.as_deref().unwrap_or("null");
                format!("{}:{}={value}", source_name(synonym.source), synonym.name)
            })
            .collect();
        println!(
            "  {}={} sensitive={} synonyms={{{}}}",
            entry.name,
            entry.value.as_deref().unwrap_or("null"),
            entry.is_sensitive,
            synonyms.join(", ")
        );
    }
}

fn as_json(entry: &ConfigEntry) -> Value {
    json!({
        "name": entry.name,
        "value": entry.value,
        "source": source_name(entry.source),
        "sensitive": entry.is_sensitive,
        "read_only": entry.is_read_only,
    })
}

async fn alter(admin: &Admin, arguments: &ConfigsArguments, added: &[(String, String)]) -> Result<()> {
    let resource = resource(arguments.entity())?;
    let deleted = arguments.delete_config.as_deref().unwrap_or_default();
    let deleted = deleted.split(',').map(str::trim).filter(|key| !key.is_empty());
    let mut changes: Vec<(&str, Option<&str>)> =
        added.iter().map(|(key, value)| (key.as_str(), Some(value.as_str()))).collect();
    changes.extend(deleted.map(|key| (key, None)));
    admin.alter_configs(&resource, &changes).await?;
    match &resource {
        ConfigResource::AllBrokers => {
            println!("Completed updating default config for brokers in the cluster.")
        }
        other => println!("Completed updating config for {}.", describe_name(other)),
    }
    Ok(())
}

/// `a=b,c=[d,e]`: commas within brackets belong to the value.
fn parse_settings(text: &str) -> Result<Vec<(String, String)>> {
    let mut settings = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .with_context(|| format!("--add-config: '{rest}' is not of the form key=value"))?;
        let (value, after) = match after.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((inner, after)) => (inner, after.strip_prefix(',').unwrap_or(after)),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        settings.push((key.trim().to_string(), value.trim().to_string()));
        rest = after;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        configs: ConfigsArguments,
    }

    #[test]
    fn an_entity_is_named_in_two_ways() {
        let check = |line: &str, kind: EntityType, name: Option<&str>, is_default: bool| {
            let words = ["configs", "--describe"].into_iter().chain(line.split_whitespace());
            let parsed = Command::try_parse_from(words).unwrap();
            assert_eq!(parsed.configs.entity(), Entity { kind, name, is_default }, "{line}");
        };
        check("", EntityType::Topics, None, false);
        check("--topic t", EntityType::Topics, Some("t"), false);
        check("--entity-type topics --entity-name t", EntityType::Topics, Some("t"), false);
        check("--broker 1", EntityType::Brokers, Some("1"), false);
        check("--broker-defaults", EntityType::Brokers, None, true);
        check("--entity-type brokers --entity-default", EntityType::Brokers, None, true);
        check("--group g", EntityType::Groups, Some("g"), false);
        check("--client-metrics m", EntityType::ClientMetrics, Some("m"), false);
        check("--entity-type client-metrics", EntityType::ClientMetrics, None, false);
        assert!(Command::try_parse_from(["configs", "--describe", "--topic", "t", "--broker", "1"]).is_err());
    }

    #[test]
    fn settings_are_split_at_commas_outside_brackets() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let parsed = parse_settings(text).unwrap();
            let parsed: Vec<_> = parsed.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(parsed, expected, "{text}");
        };
        check("a=1", &[("a", "1")]);
        check("a=1,b=[c,d],e=", &[("a", "1"), ("b", "c,d"), ("e", "")]);
        check("cleanup.policy=[compact,delete]", &[("cleanup.policy", "compact,delete")]);
        assert!(parse_settings("a").is_err());
    }
}
