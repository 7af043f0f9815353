//! The broker's configuration: Kafka's keys, Kafka's `.properties` text, Kafka's defaults.
//!
//! A value is settled in layers, the strongest first: set on the topic, set on this broker while it runs, set on all
//! brokers while they run, written in the file, the default. [`BrokerConfig`] holds the file's layer, checked at once:
//! an unknown key or a bad value is an error that names it. [`TopicConfig`] is what results for one topic.
//!
//! Reading order: [`key`] (what is known of a key), the three tables, [`properties`] (the text), [`connections`], [`listeners`],
//! [`topic`], `cleaner`, `metadata_log`, `dynamic` (what may change while the broker runs), `synonyms`, `without_effect`.

pub mod key;

mod broker_keys;
mod group_keys;
mod topic_keys;

pub mod connections;
pub mod listeners;
pub mod properties;
pub mod topic;

mod cleaner;
mod dynamic;
mod metadata_log;
mod synonyms;
mod without_effect;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use broker_keys::BROKER_KEYS;
pub use cleaner::CleanerConfig;
pub use connections::{ConnectionLimits, ConnectionsPerIp};
pub use dynamic::{THROTTLES, is_dynamic};
pub(crate) use dynamic::{check_dynamic, dynamic_key};
pub use group_keys::{CLIENT_METRICS_KEYS, GROUP_KEYS};
pub(crate) use group_keys::{check_client_metrics, check_group};
pub use key::ConfigKey;
pub use listeners::Endpoint;
pub use metadata_log::MetadataLogConfig;
pub use topic::TopicConfig;
pub use topic_keys::TOPIC_KEYS;
pub(crate) use without_effect::reason as reason_without_effect;

/// A key or a value that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{key}: {problem}", value.as_ref().map(|value| format!("Invalid value {value} for configuration ")).unwrap_or_default())]
pub struct ConfigError {
    /// The key at fault.
    pub key: String,
    /// Its value, if that is at fault.
    pub value: Option<String>,
    /// What is wrong with it.
    pub problem: String,
}

impl ConfigError {
    pub(crate) fn new(key: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError { key: key.to_string(), value: None, problem: problem.into() }
    }

    /// As Kafka says it of a single value.
    pub(crate) fn invalid(key: &str, value: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError { value: Some(value.to_string()), ..ConfigError::new(key, problem) }
    }
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// The record survives a power cut.
    Commit,
    /// The record survives the end of this process; the operating system writes it to the disk when it likes.
    Os,
}

/// The configuration of one broker. Make it by [`BrokerConfig::from_properties`] or [`BrokerConfig::default`] and
/// [`BrokerConfig::set`].
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    values: BTreeMap<&'static str, String>,
    /// What an acknowledgement promises (`flush`).
    pub flush: Flush,
    /// The number of this broker.
    pub node_id: i32,
    /// The rack it stands in.
    pub rack: Option<String>,
    /// Where it listens.
    pub listeners: Vec<Endpoint>,
    /// Where clients are told to go, one for each of `listeners`.
    pub advertised_listeners: Vec<Endpoint>,
    /// Where `/metrics` and `/health` are served, `host:port`; none: nowhere.
    pub metrics_listener: Option<String>,
    /// The data directory; none: a temporary one, removed at the end.
    pub log_dir: Option<PathBuf>,
    /// Whether a topic that is asked for is created.
    pub auto_create_topics_enable: bool,
    /// Whether topics may be deleted.
    pub delete_topic_enable: bool,
    /// Partitions of a topic created without a number.
    pub num_partitions: i32,
    /// Replicas of a topic created without a number.
    pub default_replication_factor: i16,
    /// The largest request.
    pub socket_request_max_bytes: usize,
    /// When an idle connection is closed; none: never.
    pub connections_max_idle_ms: Option<u64>,
    /// How long a request may take to arrive once its first byte is there, besides what its size buys.
    pub socket_request_timeout_ms: u64,
    /// The most connections at one time.
    pub max_connections: usize,
    /// The most of one address.
    pub max_connections_per_ip: ConnectionsPerIp,
    /// The most requests of one connection that wait for their answers.
    pub queued_max_requests: usize,
    /// The most bytes of requests that arrive or wait for their answers.
    pub queued_max_request_bytes: usize,
    /// The most bytes of records in one fetch.
    pub fetch_max_bytes: usize,
    /// The most incremental fetch sessions.
    pub max_incremental_fetch_session_cache_slots: usize,
    /// How often retention looks for old segments.
    pub log_retention_check_interval_ms: u64,
    /// How often it is written down how far each log is on the disk.
    pub log_flush_offset_checkpoint_interval_ms: u64,
    /// The log of the metadata, and its snapshots.
    pub metadata_log: MetadataLogConfig,
    /// When the state of an idle producer expires.
    pub producer_id_expiration_ms: i64,
    /// Worker threads.
    pub num_io_threads: usize,
    /// Of groups and their offsets.
    pub group: GroupConfig,
    /// Of transactions.
    pub transaction: TransactionConfig,
}

/// The part of the configuration that the transaction coordinator reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionConfig {
    /// The longest timeout a producer may ask for.
    pub max_timeout_ms: i32,
    /// How often transactions whose time is up are looked for.
    pub abort_interval_ms: i64,
    /// How long a transactional id is kept that nobody uses.
    pub id_expiration_ms: i64,
    /// How often such ids are looked for.
    pub expiration_interval_ms: i64,
    /// Partitions of `__transaction_state`.
    pub state_log_num_partitions: i32,
    /// `min.insync.replicas` of `__transaction_state`.
    pub state_log_min_isr: i32,
    /// Segment size of `__transaction_state`.
    pub state_log_segment_bytes: i32,
}

/// The part of the configuration that the group coordinator reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// The shortest session timeout a member may ask for.
    pub min_session_timeout_ms: i32,
    /// The longest.
    pub max_session_timeout_ms: i32,
    /// How long an empty group waits for more members after the first.
    pub initial_rebalance_delay_ms: i32,
    /// The most members of a group.
    pub max_size: usize,
    /// How long the offsets of an empty group are kept.
    pub offsets_retention_ms: i64,
    /// How often expired offsets are looked for.
    pub offsets_retention_check_interval_ms: i64,
    /// The longest text that may be committed with an offset.
    pub offset_metadata_max_bytes: usize,
    /// How long a commit may take.
    pub offsets_commit_timeout_ms: i32,
    /// Partitions of `__consumer_offsets`.
    pub offsets_topic_num_partitions: i32,
    /// Replicas of `__consumer_offsets`, if there are as many brokers.
    pub offsets_topic_replication_factor: i16,
    /// Segment size of `__consumer_offsets`.
    pub offsets_topic_segment_bytes: i32,
}

/// Bytes of requests that all connections may hold unless `queued.max.request.bytes` says otherwise.
const QUEUED_REQUEST_BYTES: usize = 32 * 1024 * 1024;

impl Default for BrokerConfig {
    fn default() -> Self {
        BrokerConfig::settle(BTreeMap::new()).expect("a test shows that the defaults are valid")
    }
}

impl BrokerConfig {
    /// Reads the text of a `server.properties`.
    ///
    /// # Errors
    /// The first key that is unknown or has a bad value.
    pub fn from_properties(text: &str) -> Result<BrokerConfig, ConfigError> {
        let pairs =
            properties::parse_properties(text).map_err(|problem| ConfigError::new("properties", problem))?;
        BrokerConfig::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }

    /// Takes keys and values; the last of a repeated key counts.
    ///
    /// # Errors
    /// The first key that is unknown or has a bad value.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<BrokerConfig, ConfigError> {
        BrokerConfig::default().with(pairs)
    }

    /// The same with more keys set; the last of a repeated key counts.
    ///
    /// # Errors
    /// The first key that is unknown or has a bad value.
    pub fn with<'a>(
        &self,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<BrokerConfig, ConfigError> {
        let mut values = self.values.clone();
        for (name, value) in pairs {
            // Settings of one listener's security; the listeners that would read them are refused by `listeners`.
            if name.starts_with("listener.name.") {
                continue;
            }
            let key = broker_key(name).ok_or_else(|| unknown(name, BROKER_KEYS))?;
            let value = key.check(value).map_err(|problem| ConfigError::invalid(name, value, problem))?;
            values.insert(key.name, value);
        }
        BrokerConfig::settle(values)
    }

    /// Sets one key.
    ///
    /// # Errors
    /// If the key is unknown or the value bad; nothing is changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        *self = self.with([(key, value)])?;
        Ok(())
    }

    /// The value written for a key, if one is.
    #[must_use]
    pub fn explicit(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The keys that were set but do nothing in this broker, and why.
    #[must_use]
    pub fn without_effect(&self) -> Vec<(&'static str, &'static str)> {
        let is_idle = |name: &&'static str| broker_key(name).is_some_and(|key| key.doc.is_none());
        let idle = self.values.keys().copied().filter(is_idle);
        // Of a key that may only say what holds there is none.
        idle.filter_map(|name| Some((name, without_effect::reason(name)?))).collect()
    }

    fn settle(values: BTreeMap<&'static str, String>) -> Result<BrokerConfig, ConfigError> {
        let read = Reader { values: &values };
        let data_dirs = values.get("log.dirs").or(values.get("log.dir"));
        let log_dir = match data_dirs.map(|text| key::split_list(text).collect::<Vec<_>>()) {
            None => None,
            Some(dirs) if dirs.len() == 1 => Some(PathBuf::from(dirs[0])),
            Some(dirs) => {
                let problem =
                    format!("{} directories are named; this broker keeps its data in one", dirs.len());
                return Err(ConfigError::new("log.dirs", problem));
            }
        };
        let node_id = match (values.get("node.id"), values.get("broker.id")) {
            (None, None) => 1,
            (None, Some(_)) => read.number("broker.id").max(0) as i32,
            (Some(_), _) => read.number("node.id") as i32,
        };
        check_quorum(&values, node_id)?;
        let (listeners, advertised_listeners) = listeners::settle(
            read.text("listeners"),
            values.get("advertised.listeners").map(String::as_str),
            read.text("listener.security.protocol.map"),
            values.get("controller.listener.names").map_or("", String::as_str),
        )?;
        let size = |name: &str| usize::try_from(read.number(name)).unwrap_or(usize::MAX);
        let group = GroupConfig {
            min_session_timeout_ms: read.number("group.min.session.timeout.ms") as i32,
            max_session_timeout_ms: read.number("group.max.session.timeout.ms") as i32,
            initial_rebalance_delay_ms: read.number("group.initial.rebalance.delay.ms") as i32,
            max_size: size("group.max.size"),
            offsets_retention_ms: read.number("offsets.retention.minutes") * 60_000,
            offsets_retention_check_interval_ms: read.number("offsets.retention.check.interval.ms"),
            offset_metadata_max_bytes: size("offset.metadata.max.bytes"),
            offsets_commit_timeout_ms: read.number("offsets.commit.timeout.ms") as i32,
            offsets_topic_num_partitions: read.number("offsets.topic.num.partitions") as i32,
            offsets_topic_replication_factor: read.number("offsets.topic.replication.factor") as i16,
            offsets_topic_segment_bytes: read.number("offsets.topic.segment.bytes") as i32,
        };
        let transaction = TransactionConfig {
            max_timeout_ms: read.number("transaction.max.timeout.ms") as i32,
            abort_interval_ms: read.number("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
            id_expiration_ms: read.number("transactional.id.expiration.ms"),
            expiration_interval_ms: read.number("transaction.remove.expired.transaction.cleanup.interval.ms"),
            state_log_num_partitions: read.number("transaction.state.log.num.partitions") as i32,
            state_log_min_isr: read.number("transaction.state.log.min.isr") as i32,
            state_log_segment_bytes: read.number("transaction.state.log.segment.bytes") as i32,
        };
        let ages = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
        // The first that is set counts.
        if let Some(name) = ages.into_iter().find(|name| values.contains_key(name))
            && values[name] == "0"
        {
            return Err(ConfigError::invalid(name, "0", "Value must be unlimited (-1) or at least 1"));
        }
        if group.min_session_timeout_ms > group.max_session_timeout_ms {
            let problem = format!(
                "{} is more than group.max.session.timeout.ms, {}",
                group.min_session_timeout_ms, group.max_session_timeout_ms
            );
            return Err(ConfigError::new("group.min.session.timeout.ms", problem));
        }
        let config = BrokerConfig {
            flush: if read.text("flush") == "os" { Flush::Os } else { Flush::Commit },
            node_id,
            rack: values.get("broker.rack").filter(|rack| !rack.is_empty()).cloned(),
            listeners,
            advertised_listeners,
            metrics_listener: connections::address("metrics.listener", read.text("metrics.listener"))?,
            log_dir,
            auto_create_topics_enable: read.text("auto.create.topics.enable") == "true",
            delete_topic_enable: read.text("delete.topic.enable") == "true",
            num_partitions: read.number("num.partitions") as i32,
            default_replication_factor: read.number("default.replication.factor") as i16,
            socket_request_max_bytes: size("socket.request.max.bytes"),
            connections_max_idle_ms: u64::try_from(read.number("connections.max.idle.ms")).ok(),
            socket_request_timeout_ms: read.number("socket.request.timeout.ms") as u64,
            max_connections: size("max.connections"),
            max_connections_per_ip: ConnectionsPerIp::settle(
                size("max.connections.per.ip"),
                read.text("max.connections.per.ip.overrides"),
            )?,
            queued_max_requests: size("queued.max.requests"),
            queued_max_request_bytes: usize::try_from(read.number("queued.max.request.bytes"))
                .unwrap_or(QUEUED_REQUEST_BYTES),
            fetch_max_bytes: size("fetch.max.bytes"),
            max_incremental_fetch_session_cache_slots: size("max.incremental.fetch.session.cache.slots"),
            log_retention_check_interval_ms: read.number("log.retention.check.interval.ms") as u64,
            log_flush_offset_checkpoint_interval_ms: read.number("log.flush.offset.checkpoint.interval.ms")
                as u64,
            metadata_log: MetadataLogConfig::read(&read),
            producer_id_expiration_ms: read.number("producer.id.expiration.ms"),
            num_io_threads: size("num.io.threads"),
            group,
            transaction,
            values: BTreeMap::new(),
        };
        Ok(BrokerConfig { values, ..config })
    }
}

/// A controller quorum of others would be a cluster, which this broker cannot join yet.
fn check_quorum(values: &BTreeMap<&'static str, String>, node_id: i32) -> Result<(), ConfigError> {
    let voters = values.get("controller.quorum.voters").map_or("", String::as_str);
    let ours = node_id.to_string();
    match key::split_list(voters).find(|voter| voter.split('@').next() != Some(&ours)) {
        None => Ok(()),
        Some(stranger) => {
            let problem = format!("{stranger} is not this node, {node_id}; this broker is a cluster of one");
            Err(ConfigError::new("controller.quorum.voters", problem))
        }
    }
}

/// Reads checked values and defaults.
struct Reader<'a> {
    values: &'a BTreeMap<&'static str, String>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(value) => value,
            None => broker_key(name).and_then(|key| key.default).unwrap_or_default(),
        }
    }

    fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }
}

/// What is known of a broker's key.
#[must_use]
pub fn broker_key(name: &str) -> Option<&'static ConfigKey> {
    BROKER_KEYS.iter().find(|key| key.name == name)
}

/// What is known of a topic's key.
#[must_use]
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_KEYS.iter().find(|key| key.name == name)
}

/// An error for an unknown key, with the known key that looks most like it.
pub(crate) fn unknown(name: &str, keys: &[ConfigKey]) -> ConfigError {
    let nearest = keys.iter().map(|key| (edit_distance(name, key.name), key.name)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 3 => {
            ConfigError::new(name, format!("unknown key; '{nearest}' is known"))
        }
        _ => ConfigError::new(name, "unknown key"),
    }
}

/// How many characters must be put in, taken out or changed to make one text of the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, left_byte) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, right_byte) in right.bytes().enumerate() {
            let changed = diagonal + usize::from(left_byte != right_byte);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        BrokerConfig::from_properties(text).unwrap_err().to_string()
    }

    #[test]
    fn every_default_in_the_tables_is_valid_in_its_usual_form_and_keys_are_unique() {
        for keys in [BROKER_KEYS, TOPIC_KEYS, GROUP_KEYS, CLIENT_METRICS_KEYS, THROTTLES] {
            let mut names = std::collections::BTreeSet::new();
            for key in keys {
                assert!(names.insert(key.name), "{} twice", key.name);
                if let Some(default) = key.default {
                    assert_eq!(key.check(default).as_deref(), Ok(default), "{}", key.name);
                }
                for (synonym, _) in key.synonyms {
                    assert!(broker_key(synonym).is_some(), "{} has the unknown synonym {synonym}", key.name);
                }
            }
        }
        BrokerConfig::default();
    }

    #[test]
    fn the_file_that_kafka_starts_with_is_understood() {
        let config = BrokerConfig::from_properties(
            "process.roles=broker,controller\n\
             node.id=7\n\
             controller.quorum.voters=7@127.0.0.1:9193\n\
             listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9193\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             log.dirs=/var/lib/data\n\
             num.network.threads=3\n\
             security.inter.broker.protocol=PLAINTEXT\n\
             offsets.retention.minutes=2\n",
        )
        .unwrap();
        assert_eq!(config.node_id, 7);
        assert_eq!(config.log_dir.as_deref(), Some(std::path::Path::new("/var/lib/data")));
        assert_eq!(config.listeners.len(), 1, "the controller's listener is not opened");
        assert_eq!(config.group.offsets_retention_ms, 120_000);
        let idle: Vec<&str> = config.without_effect().into_iter().map(|(name, _)| name).collect();
        assert_eq!(idle, ["num.network.threads"]);
    }

    #[test]
    fn what_cannot_be_taken_is_refused_by_name() {
        assert_eq!(error("num.partitons=3"), "num.partitons: unknown key; 'num.partitions' is known");
        assert_eq!(error("nonsense=3"), "nonsense: unknown key");
        assert_eq!(
            error("num.partitions=0"),
            "Invalid value 0 for configuration num.partitions: Value must be at least 1"
        );
        assert_eq!(
            error("num.partitions=many"),
            "Invalid value many for configuration num.partitions: Not a number of type INT"
        );
        assert_eq!(
            error("num.network.threads=0"),
            "Invalid value 0 for configuration num.network.threads: Value must be at least 1"
        );
        assert_eq!(
            error("compression.zstd.level=23"),
            "Invalid value 23 for configuration compression.zstd.level: Value must be no more than 22"
        );
        assert_eq!(
            error("log.retention.hours=0"),
            "Invalid value 0 for configuration log.retention.hours: Value must be unlimited (-1) or at least 1"
        );
        assert_eq!(
            error("log.dirs=/a,/b"),
            "log.dirs: 2 directories are named; this broker keeps its data in one"
        );
        assert_eq!(
            error("authorizer.class.name=Acls"),
            "Invalid value Acls for configuration authorizer.class.name: not supported by this broker; only '' is"
        );
        assert_eq!(
            error("node.id=1\ncontroller.quorum.voters=1@a:1,2@b:1"),
            "controller.quorum.voters: 2@b:1 is not this node, 1; this broker is a cluster of one"
        );
        assert_eq!(
            error("group.min.session.timeout.ms=10\ngroup.max.session.timeout.ms=9"),
            "group.min.session.timeout.ms: 10 is more than group.max.session.timeout.ms, 9"
        );
    }

    #[test]
    fn the_last_of_a_repeated_key_counts_and_a_bad_value_changes_nothing() {
        let mut config = BrokerConfig::from_properties("num.partitions=3\nnum.partitions=4").unwrap();
        assert_eq!(config.num_partitions, 4);
        assert!(config.set("num.partitions", "-1").is_err());
        config.set("broker.rack", "r1").unwrap();
        assert_eq!((config.num_partitions, config.rack.as_deref()), (4, Some("r1")));
    }
}
