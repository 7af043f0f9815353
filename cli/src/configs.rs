//! `anabranch configs`: what `kafka-configs` does for topics and brokers.

use anabranch_client::{Admin, ConfigEntry, ConfigResource, ConfigSource};
use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use crate::connect::Connection;

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
    /// What has the settings: topics, brokers or groups.
    #[arg(long, value_name = "TYPE", default_value = "topics")]
    entity_type: String,
    /// Its name: a topic, the number of a broker, a group.
    #[arg(long, alias = "topic", alias = "broker", alias = "group", value_name = "NAME")]
    entity_name: Option<String>,
    /// All brokers.
    #[arg(long, alias = "broker-defaults")]
    entity_default: bool,
    /// Also settings that nobody has made.
    #[arg(long)]
    all: bool,
    /// Settings to make: `k1=v1,k2=[a,b]`
    #[arg(long, value_name = "KEY=VALUE,..")]
    add_config: Option<String>,
    /// Settings to take back: k1,k2
    #[arg(long, value_name = "KEY,..")]
    delete_config: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: ConfigsArguments) -> Result<()> {
    let added = arguments.add_config.as_deref().map(parse_settings).transpose()?.unwrap_or_default();
    if arguments.alter && added.is_empty() && arguments.delete_config.is_none() {
        bail!("--alter needs --add-config or --delete-config");
    }
    arguments.connection.run(async |client| {
        let admin = client.admin();
        if arguments.alter {
            return alter(&admin, &arguments, &added).await;
        }
        let mut all = serde_json::Map::new();
        for resource in resources(&admin, &arguments).await? {
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
    use ConfigSource::{AllBrokers, Broker, Group, Topic};
    matches!(entry.source, Topic | Broker | AllBrokers | Group)
}

/// What the arguments name; all topics or brokers if they name none.
async fn resources(admin: &Admin, arguments: &ConfigsArguments) -> Result<Vec<ConfigResource>> {
    match (arguments.entity_type.as_str(), &arguments.entity_name) {
        ("topics", None) => {
            let topics = admin.list_topics().await?;
            Ok(topics.iter().map(|topic| ConfigResource::Topic(topic.name.to_string())).collect())
        }
        ("brokers", None) if !arguments.entity_default => {
            let cluster = admin.describe_cluster().await?;
            let mut all: Vec<_> =
                cluster.brokers.iter().map(|(broker, _)| ConfigResource::Broker(broker.id)).collect();
            all.push(ConfigResource::AllBrokers);
            Ok(all)
        }
        _ => Ok(vec![resource(arguments)?]),
    }
}

fn resource(arguments: &ConfigsArguments) -> Result<ConfigResource> {
    match (arguments.entity_type.as_str(), &arguments.entity_name) {
        ("topics", Some(name)) => Ok(ConfigResource::Topic(name.clone())),
        ("groups", Some(name)) => Ok(ConfigResource::Group(name.clone())),
        ("brokers", Some(name)) => {
            let id =
                name.parse().with_context(|| format!("--entity-name: '{name}' is no number of a broker"))?;
            Ok(ConfigResource::Broker(id))
        }
        ("brokers", None) if arguments.entity_default => Ok(ConfigResource::AllBrokers),
        ("topics" | "brokers" | "groups", None) => bail!("--entity-name is missing"),
        (other, _) => bail!("--entity-type: '{other}' is not one of topics, brokers, groups"),
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
    let resource = resource(arguments)?;
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
    use super::*;

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
