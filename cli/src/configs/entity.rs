//! What has settings, as the flags name it: `--entity-type` with `--entity-name` or `--entity-default`, or one flag for both.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

/// Which flags name what has settings.
#[derive(Debug, Args)]
pub(super) struct EntityArguments {
    /// What has the settings [default: topics]; users and clients may be named together.
    #[arg(long, value_enum, value_name = "TYPE")]
    entity_type: Vec<EntityType>,
    /// Its name: a topic, the number of a broker, a group, a subscription to metrics of clients, a user, what a client
    /// calls itself, an address.
    #[arg(long, value_name = "NAME")]
    entity_name: Vec<String>,
    /// All that have none of their own: brokers, users, clients, addresses.
    #[arg(long, action = clap::ArgAction::Count)]
    entity_default: u8,
    /// The same as `--entity-type topics --entity-name`.
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// The same as `--entity-type clients --entity-name`.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// The same as `--entity-type clients --entity-default`.
    #[arg(long)]
    client_defaults: bool,
    /// The same as `--entity-type users --entity-name`.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The same as `--entity-type users --entity-default`.
    #[arg(long)]
    user_defaults: bool,
    /// The same as `--entity-type brokers --entity-name`.
    #[arg(long, value_name = "ID")]
    broker: Option<String>,
    /// The same as `--entity-type brokers --entity-default`.
    #[arg(long)]
    broker_defaults: bool,
    /// The same as `--entity-type broker-loggers --entity-name`.
    #[arg(long, value_name = "ID")]
    broker_logger: Option<String>,
    /// The same as `--entity-type ips --entity-name`.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// The same as `--entity-type ips --entity-default`.
    #[arg(long)]
    ip_defaults: bool,
    /// The same as `--entity-type client-metrics --entity-name`.
    #[arg(long, value_name = "NAME")]
    client_metrics: Option<String>,
    /// The same as `--entity-type groups --entity-name`.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

/// What may have settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum EntityType {
    Topics,
    Clients,
    Users,
    Brokers,
    BrokerLoggers,
    Ips,
    ClientMetrics,
    Groups,
}

/// Which of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntityName<'a> {
    /// All of them.
    Any,
    /// Those without settings of their own.
    Default,
    /// This one.
    Named(&'a str),
}

/// Something that may have settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entity<'a> {
    pub(super) kind: EntityType,
    pub(super) name: EntityName<'a>,
}

impl EntityType {
    /// As the flags name it.
    pub(super) fn word(self) -> &'static str {
        match self {
            EntityType::Topics => "topics",
            EntityType::Clients => "clients",
            EntityType::Users => "users",
            EntityType::Brokers => "brokers",
            EntityType::BrokerLoggers => "broker-loggers",
            EntityType::Ips => "ips",
            EntityType::ClientMetrics => "client-metrics",
            EntityType::Groups => "groups",
        }
    }

    /// One of them.
    pub(super) fn one(self) -> &'static str {
        let word = self.word();
        if self == EntityType::ClientMetrics { word } else { word.trim_end_matches('s') }
    }

    /// Whether its settings are quotas, which requests of their own are about.
    pub(super) fn has_quotas(self) -> bool {
        matches!(self, EntityType::Clients | EntityType::Users | EntityType::Ips)
    }

    fn has_default(self) -> bool {
        self.has_quotas() || self == EntityType::Brokers
    }
}

impl EntityArguments {
    /// What the flags name: one thing, or a user and a client.
    pub(super) fn entities(&self) -> Result<Vec<Entity<'_>>> {
        let mut entities = self.in_one_flag();
        let EntityArguments { entity_type, entity_name, entity_default, .. } = self;
        let defaults = usize::from(*entity_default);
        let mut types = entity_type.clone();
        if types.is_empty() && entities.is_empty() {
            types.push(EntityType::Topics);
        }
        match (entity_name.len(), defaults) {
            (0, 0) => entities.extend(types.iter().map(|kind| Entity { kind: *kind, name: EntityName::Any })),
            (names, 0) if names == types.len() => {
                let named = types.iter().zip(entity_name);
                entities
                    .extend(named.map(|(kind, name)| Entity { kind: *kind, name: EntityName::Named(name) }));
            }
            (0, defaults) if defaults == types.len() => {
                entities.extend(types.iter().map(|kind| Entity { kind: *kind, name: EntityName::Default }));
            }
            _ => bail!(
                "each --entity-type needs one --entity-name or --entity-default; --user, --client, --user-defaults and \
                 --client-defaults say both at once"
            ),
        }
        for entity in &entities {
            if entity.name == EntityName::Default && !entity.kind.has_default() {
                bail!("--entity-default must not be specified with --entity-type {}", entity.kind.word());
            }
        }
        match entities.iter().map(|entity| entity.kind).collect::<Vec<_>>()[..] {
            [_] | [EntityType::Users, EntityType::Clients] | [EntityType::Clients, EntityType::Users] => {
                Ok(entities)
            }
            _ => bail!("only a user and a client may be named together"),
        }
    }

    fn in_one_flag(&self) -> Vec<Entity<'_>> {
        use EntityType::{BrokerLoggers, Brokers, ClientMetrics, Clients, Groups, Ips, Topics, Users};
        let named = [
            (Topics, &self.topic, false),
            (Clients, &self.client, self.client_defaults),
            (Users, &self.user, self.user_defaults),
            (Brokers, &self.broker, self.broker_defaults),
            (BrokerLoggers, &self.broker_logger, false),
            (Ips, &self.ip, self.ip_defaults),
            (ClientMetrics, &self.client_metrics, false),
            (Groups, &self.group, false),
        ];
        let mut entities = Vec::new();
        for (kind, name, is_default) in named {
            entities.extend(name.as_deref().map(|name| Entity { kind, name: EntityName::Named(name) }));
            entities.extend(is_default.then_some(Entity { kind, name: EntityName::Default }));
        }
        entities
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        entity: EntityArguments,
    }

    #[test]
    fn an_entity_is_named_in_two_ways() {
        use EntityName::{Any, Default, Named};
        use EntityType::{BrokerLoggers, Brokers, ClientMetrics, Clients, Groups, Ips, Topics, Users};
        let check = |line: &str, expected: Option<&[(EntityType, EntityName<'_>)]>| {
            let words = ["configs"].into_iter().chain(line.split_whitespace());
            let parsed = Command::try_parse_from(words).unwrap();
            let expected: Option<Vec<_>> = expected
                .map(|all| all.iter().map(|(kind, name)| Entity { kind: *kind, name: *name }).collect());
            assert_eq!(parsed.entity.entities().ok(), expected, "{line}");
        };
        check("", Some(&[(Topics, Any)]));
        check("--topic t", Some(&[(Topics, Named("t"))]));
        check("--entity-type topics --entity-name t", Some(&[(Topics, Named("t"))]));
        check("--entity-name t", Some(&[(Topics, Named("t"))]));
        check("--broker 1", Some(&[(Brokers, Named("1"))]));
        check("--broker-defaults", Some(&[(Brokers, Default)]));
        check("--entity-type brokers --entity-default", Some(&[(Brokers, Default)]));
        check("--broker-logger 1", Some(&[(BrokerLoggers, Named("1"))]));
        check("--group g", Some(&[(Groups, Named("g"))]));
        check("--client-metrics m", Some(&[(ClientMetrics, Named("m"))]));
        check("--entity-type client-metrics", Some(&[(ClientMetrics, Any)]));
        check("--ip-defaults", Some(&[(Ips, Default)]));
        check("--user a --client c", Some(&[(Clients, Named("c")), (Users, Named("a"))]));
        check("--user-defaults --client c", Some(&[(Clients, Named("c")), (Users, Default)]));
        let pair = "--entity-type users --entity-name a --entity-type clients --entity-name c";
        check(pair, Some(&[(Users, Named("a")), (Clients, Named("c"))]));
        check("--entity-type users --entity-type clients", Some(&[(Users, Any), (Clients, Any)]));
        check("--entity-type users --entity-name a --entity-type clients", None);
        check("--topic t --broker 1", None);
        check("--ip 1.1.1.1 --user a", None);
        check("--entity-type topics --entity-default", None);
        check("--topic t --entity-name u", None);
    }
}
