//! `anabranch configs`: what `kafka-configs` does: settings of topics, brokers, groups and subscriptions to metrics of
//! clients, levels of loggers, quotas and passwords.

mod entity;
mod quotas;

use std::path::PathBuf;

use anabranch_client::{Admin, ConfigEntry, ConfigResource, ConfigSource};
use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use crate::connect::{Connection, read_properties};
use entity::{Entity, EntityArguments, EntityName, EntityType};

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
    #[command(flatten)]
    entity: EntityArguments,
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

impl ConfigsArguments {
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
    let entities = arguments.entity.entities()?;
    let has_quotas = entities.iter().any(|entity| entity.kind.has_quotas());
    arguments.connection.run(async |client| {
        let admin = client.admin();
        match (has_quotas, arguments.alter, entities.first()) {
            (true, true, _) => {
                quotas::alter(&admin, &entities, &changes(&arguments, &added)).await?;
                entities.first().into_iter().for_each(print_done);
                Ok(())
            }
            (true, false, _) => quotas::describe(&admin, &entities, arguments.json).await,
            (false, true, Some(entity)) => {
                admin.alter_configs(&resource(*entity)?, &changes(&arguments, &added)).await?;
                print_done(entity);
                Ok(())
            }
            (false, false, Some(entity)) => describe(&admin, *entity, &arguments).await,
            (false, _, None) => Ok(()),
        }
    })
}

/// What is to be set (some) and taken back (none).
fn changes<'a>(
    arguments: &'a ConfigsArguments,
    added: &'a [(String, String)],
) -> Vec<(&'a str, Option<&'a str>)> {
    let deleted = arguments.delete_config.as_deref().unwrap_or_default();
    let deleted = deleted.split(',').map(str::trim).filter(|key| !key.is_empty());
    let added = added.iter().map(|(key, value)| (key.as_str(), Some(value.as_str())));
    added.chain(deleted.map(|key| (key, None))).collect()
}

fn print_done(entity: &Entity<'_>) {
    let Entity { kind, name } = entity;
    match name {
        EntityName::Named(name) => println!("Completed updating config for {} {name}.", kind.one()),
        _ => println!("Completed updating default config for {} in the cluster.", kind.word()),
    }
}

async fn describe(admin: &Admin, entity: Entity<'_>, arguments: &ConfigsArguments) -> Result<()> {
    let mut all = Vec::new();
    for resource in resources(admin, entity).await? {
        let mut entries = admin.describe_configs(&resource).await?;
        entries.retain(|entry| arguments.all || is_own(&resource, entry));
        let (kind, name) = kind_and_name(&resource);
        if arguments.json {
            let configs: Vec<Value> = entries.iter().map(as_json).collect();
            all.push(json!({ "entity": [{ "type": kind.word(), "name": name }], "configs": configs }));
        } else {
            print(kind, name.as_deref(), &entries, arguments.all);
        }
    }
    if arguments.json {
        println!("{}", Value::Array(all));
    }
    Ok(())
}

/// Whether somebody has made the setting for this resource while the broker ran: one of all brokers is not one broker's.
fn is_own(resource: &ConfigResource, entry: &ConfigEntry) -> bool {
    let own = match resource {
        ConfigResource::Topic(_) => ConfigSource::Topic,
        ConfigResource::Group(_) => ConfigSource::Group,
        ConfigResource::Broker(_) => ConfigSource::Broker,
        ConfigResource::AllBrokers => ConfigSource::AllBrokers,
        ConfigResource::BrokerLogger(_) => ConfigSource::BrokerLogger,
        ConfigResource::ClientMetrics(_) => ConfigSource::ClientMetrics,
    };
    entry.source == own
}

/// What an entity is; all of its kind if it has no name.
async fn resources(admin: &Admin, entity: Entity<'_>) -> Result<Vec<ConfigResource>> {
    match (entity.kind, entity.name) {
        (EntityType::Topics, EntityName::Any) => {
            let topics = admin.list_topics().await?;
            Ok(topics.iter().map(|topic| ConfigResource::Topic(topic.name.to_string())).collect())
        }
        (EntityType::Brokers, EntityName::Any) => {
            let cluster = admin.describe_cluster().await?;
            let mut all: Vec<_> =
                cluster.brokers.iter().map(|(broker, _)| ConfigResource::Broker(broker.id)).collect();
            all.push(ConfigResource::AllBrokers);
            Ok(all)
        }
        (EntityType::Groups | EntityType::ClientMetrics, EntityName::Any) => {
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

fn resource(Entity { kind, name }: Entity<'_>) -> Result<ConfigResource> {
    let name = match name {
        EntityName::Default => return Ok(ConfigResource::AllBrokers),
        EntityName::Any => bail!("An entity name must be specified for {}: --entity-name", kind.word()),
        EntityName::Named(name) => name,
    };
    let id = || name.parse().with_context(|| format!("'{name}' is no number of a broker"));
    match kind {
        EntityType::Topics => Ok(ConfigResource::Topic(name.to_string())),
        EntityType::Groups => Ok(ConfigResource::Group(name.to_string())),
        EntityType::ClientMetrics => Ok(ConfigResource::ClientMetrics(name.to_string())),
        EntityType::Brokers => Ok(ConfigResource::Broker(id()?)),
        EntityType::BrokerLoggers => Ok(ConfigResource::BrokerLogger(id()?)),
        EntityType::Users | EntityType::Clients | EntityType::Ips => {
            bail!("{} have quotas only", kind.word())
        }
    }
}

/// What a resource is called, none for all brokers.
fn kind_and_name(resource: &ConfigResource) -> (EntityType, Option<String>) {
    match resource {
        ConfigResource::Topic(name) => (EntityType::Topics, Some(name.clone())),
        ConfigResource::Group(name) => (EntityType::Groups, Some(name.clone())),
        ConfigResource::Broker(id) => (EntityType::Brokers, Some(id.to_string())),
        ConfigResource::AllBrokers => (EntityType::Brokers, None),
        ConfigResource::BrokerLogger(id) => (EntityType::BrokerLoggers, Some(id.to_string())),
        ConfigResource::ClientMetrics(name) => (EntityType::ClientMetrics, Some(name.clone())),
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

fn print(kind: EntityType, name: Option<&str>, entries: &[ConfigEntry], all: bool) {
    match (name, all) {
        (None, _) => println!("Default configs for {} in the cluster are:", kind.word()),
        (Some(name), true) => println!("All configs for {} {name} are:", kind.one()),
        (Some(name), false) => println!("Dynamic configs for {} {name} are:", kind.one()),
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
