//! Kafka Streams' configuration keys, checked by name and value.
//!
//! A key means what it means in Kafka Streams 4.3; one is ours, `statestore.memory.max.bytes`, and two are
//! from proposals that are not in it yet, `statestore.uncommitted.max.bytes` (KIP-892) and `input.buffer.max.bytes` (KIP-770).
//! One that does not apply here (Java classes, RocksDB) is refused with what to use instead, an unknown one with the nearest
//! known name. Client settings pass through by their own names or by Kafka's prefixes (`consumer.`, `producer.`, `admin.`, ...);
//! the later, narrower prefix wins. `topic.` settings go to internal topics.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use anabranch_client::ClientConfig;

pub use super::config_clients::ClientRole;
use super::config_clients::{nearest, takers, without_effect, without_prefix};
use super::config_keys::{ELSEWHERE, SETTLED};

/// A setting that cannot be used; the text names the key and says what would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// Delivery guarantee (`processing.guarantee`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// Every record is processed; after a crash some may be twice.
    #[default]
    AtLeastOnce,
    /// Every record takes effect once: outputs, state and offsets in one transaction.
    ExactlyOnce,
}

pub use Guarantee::{AtLeastOnce, ExactlyOnce};

/// The settings of one application instance.
#[derive(Clone, Debug)]
pub struct StreamsConfig {
    /// `commit.interval.ms`: 30,000; 100 under exactly-once. Unless it is set, a worker under exactly-once commits earlier when
    /// it has no input at hand, if its last commit began 10 ms ago: results come at once when it is quiet, in at most a
    /// hundred transactions a second. (Kafka Streams lets them wait for the interval.)
    pub commit_interval_ms: u64,
    /// Whether `commit.interval.ms` is set: then it is kept.
    pub(crate) commit_interval_is_set: bool,
    /// `statestore.cache.max.bytes`, over all workers; 0 switches caching off.
    pub cache_max_bytes: usize,
    /// `statestore.memory.max.bytes`, over all workers: rows of stores in memory. What the disk has is dropped beyond it,
    /// the longest unused first. Global tables, stores in memory and records that wait (suppressed, within grace, not joined
    /// yet) are in memory alone: they take their part first, and if they take nearly all, that is logged. (Kafka Streams
    /// has a cache in RocksDB for each store.)
    pub memory_max_bytes: usize,
    /// `statestore.uncommitted.max.bytes` (KIP-892), over all workers: 64 MiB; `usize::MAX` (-1): no limit. What is held to
    /// undo writes, and records that wait for a transaction, beyond it are committed at once.
    pub uncommitted_max_bytes: usize,
    /// `num.stream.threads`: workers, each on a thread of its own.
    pub threads: usize,
    /// `state.dir`; none: state lives in memory and comes back from changelogs.
    pub state_dir: Option<String>,
    /// `processing.guarantee`.
    pub guarantee: Guarantee,
    /// `replication.factor` of internal topics; -1: the broker's default.
    pub replication_factor: i16,
    /// `buffered.records.per.partition`: above it a partition is paused. 50,000 where Kafka Streams has 1,000: whole
    /// batches are fetched, and a pause costs a round trip.
    pub buffered_records_per_partition: usize,
    /// `input.buffer.max.bytes` (KIP-770), over all workers: 512 MiB of records that were fetched and wait. Above it
    /// partitions are paused of which something waits. (Kafka Streams has no such limit.)
    pub input_buffer_max_bytes: usize,
    /// `max.task.idle.ms`: how long a task that reads several partitions waits for one that is empty, on the broker too,
    /// before it processes records of the others; 0: only for what is still to be fetched; -1: not at all.
    pub max_task_idle_ms: i64,
    /// `repartition.purge.interval.ms`: how often processed records of repartition topics are deleted; 0 is after each commit.
    pub repartition_purge_interval_ms: u64,
    /// `task.timeout.ms`: how long a task tries again what fails for the moment, from its first failure on; 0: not at all.
    pub task_timeout_ms: u64,
    /// `poll.ms`: how long a poll waits for records.
    pub poll_ms: u64,
    /// `num.standby.replicas`: copies of each task's state on other instances, for a quick take-over.
    pub num_standby_replicas: usize,
    /// `acceptable.recovery.lag`: a copy of state not farther behind its changelog is as good as the original.
    pub acceptable_recovery_lag: u64,
    /// `max.warmup.replicas`: so many tasks may prepare to move at a time.
    pub max_warmup_replicas: usize,
    /// `probing.rebalance.interval.ms`: how often it is asked whether what is to move can. A copy that has caught up is
    /// told of at once, so this matters only if that is lost.
    pub probing_rebalance_interval_ms: u64,
    /// `rack.aware.assignment.tags`: standbys differ from their task in these tags as far as they can.
    pub rack_aware_assignment_tags: Vec<String>,
    /// `application.server`: where this instance can be asked for its state, as host:port; empty: nowhere. Others are told
    /// of it, and nothing listens there but what its user starts.
    pub application_server: String,
    /// `client.tag.*`: what the instance says of itself.
    pub client_tags: BTreeMap<String, String>,
    /// `state.cleanup.delay.ms`: state of tasks that have been gone for so long is removed.
    pub state_cleanup_delay_ms: u64,
    /// `client.id`; empty: the application id.
    pub client_id: String,
    /// `errors.dead.letter.queue.topic.name`: where records go that fail and that no policy was given for; none:
    /// `<application.id>-dead-letter`.
    pub dead_letter_topic: Option<String>,
    /// `ensure.explicit.internal.resource.naming`: stores and internal topics whose names were made up are refused.
    pub explicit_names: bool,
    /// `windowstore.changelog.additional.retention.ms`: how much longer than the store a changelog of windows keeps them.
    pub window_changelog_additional_retention_ms: i64,
    /// Client settings, with their prefixes if they have one.
    client: BTreeMap<String, String>,
    /// Everything under `topic.`, for internal topics.
    pub topic: BTreeMap<String, String>,
}

impl Default for StreamsConfig {
    fn default() -> Self {
        StreamsConfig {
            commit_interval_ms: 30_000,
            commit_interval_is_set: false,
            cache_max_bytes: 10 * 1024 * 1024,
            memory_max_bytes: 256 * 1024 * 1024,
            uncommitted_max_bytes: 64 * 1024 * 1024,
            threads: 1,
            state_dir: None,
            guarantee: Guarantee::AtLeastOnce,
            replication_factor: -1,
            buffered_records_per_partition: 50_000,
            input_buffer_max_bytes: 512 * 1024 * 1024,
            max_task_idle_ms: 0,
            repartition_purge_interval_ms: 30_000,
            task_timeout_ms: 300_000,
            poll_ms: 100,
            num_standby_replicas: 0,
            acceptable_recovery_lag: 10_000,
            max_warmup_replicas: 2,
            probing_rebalance_interval_ms: 600_000,
            rack_aware_assignment_tags: Vec::new(),
            application_server: String::new(),
            client_tags: BTreeMap::new(),
            state_cleanup_delay_ms: 600_000,
            client_id: String::new(),
            dead_letter_topic: None,
            explicit_names: false,
            window_changelog_additional_retention_ms: 24 * 60 * 60 * 1000,
            client: BTreeMap::new(),
            topic: BTreeMap::new(),
        }
    }
}

/// Kafka Streams' `transaction.timeout.ms`, which is not the producer's.
const TRANSACTION_TIMEOUT_MS: u64 = 10_000;
/// Kafka Streams' limits of tags.
const MAX_TAGS: usize = 5;
const MAX_TAG_KEY: usize = 20;
const MAX_TAG_VALUE: usize = 30;

impl StreamsConfig {
    /// The default settings under these overrides.
    ///
    /// # Errors
    /// The first key that is unknown or does not apply, or whose value is out of range, by name.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<StreamsConfig, ConfigError> {
        let mut config = StreamsConfig::default();
        for (key, value) in pairs {
            config.set(key, value)?;
        }
        if config.guarantee == ExactlyOnce && !config.commit_interval_is_set {
            config.commit_interval_ms = 100;
        }
        config.check_transactions()?;
        Ok(config)
    }

    /// Under exactly-once: gives transactions their time, unless it is set, and refuses to commit more rarely than that.
    fn check_transactions(&mut self) -> Result<(), ConfigError> {
        if self.guarantee != ExactlyOnce {
            return Ok(());
        }
        let key = "transaction.timeout.ms";
        // What a vanished instance has left open holds up readers for so long.
        self.client.entry(key.to_string()).or_insert_with(|| TRANSACTION_TIMEOUT_MS.to_string());
        let settings = self.client_settings(ClientRole::Producer);
        let timeout = settings.get(key).map(String::as_str).unwrap_or_default();
        // One that is no number is refused by the producer.
        match timeout.parse::<u64>() {
            Ok(timeout_ms) if self.commit_interval_ms >= timeout_ms => Err(ConfigError(format!(
                "`commit.interval.ms` = `{}`: must be below `producer.{key}` = `{timeout_ms}`, or every transaction is \
                 aborted before it is committed",
                self.commit_interval_ms
            ))),
            _ => Ok(()),
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        match key {
            "commit.interval.ms" => {
                self.commit_interval_ms = number(key, value, 0, u64::MAX)?;
                self.commit_interval_is_set = true;
            }
            "statestore.cache.max.bytes" => self.cache_max_bytes = number(key, value, 0, usize::MAX)?,
            "statestore.memory.max.bytes" => self.memory_max_bytes = number(key, value, 0, usize::MAX)?,
            "statestore.uncommitted.max.bytes" => {
                let bytes: i64 = number(key, value, -1, i64::MAX)?;
                self.uncommitted_max_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            }
            "num.stream.threads" => self.threads = number(key, value, 1, 1024)?,
            "state.dir" => self.state_dir = Some(not_empty(key, value)?),
            "processing.guarantee" => {
                self.guarantee = match value {
                    "at_least_once" => AtLeastOnce,
                    "exactly_once_v2" => ExactlyOnce,
                    _ => return Err(refused(key, value, "at_least_once or exactly_once_v2")),
                }
            }
            "replication.factor" => self.replication_factor = number(key, value, -1, i16::MAX)?,
            "input.buffer.max.bytes" => {
                self.input_buffer_max_bytes = number(key, value, 0, usize::MAX)?;
            }
            "buffered.records.per.partition" => {
                self.buffered_records_per_partition = number(key, value, 1, usize::MAX)?;
            }
            "max.task.idle.ms" => self.max_task_idle_ms = number(key, value, -1, i64::MAX)?,
            "repartition.purge.interval.ms" => {
                self.repartition_purge_interval_ms = number(key, value, 0, u64::MAX)?
            }
            "application.server" if is_host_and_port(value) => self.application_server = value.to_string(),
            "application.server" => return Err(refused(key, value, "host:port")),
            "task.timeout.ms" => self.task_timeout_ms = number(key, value, 0, u64::MAX)?,
            "poll.ms" => self.poll_ms = number(key, value, 0, 60_000)?,
            "num.standby.replicas" => self.num_standby_replicas = number(key, value, 0, 1000)?,
            "acceptable.recovery.lag" => {
                self.acceptable_recovery_lag = number(key, value, 0, i64::MAX as u64)?
            }
            "max.warmup.replicas" => self.max_warmup_replicas = number(key, value, 1, 1_000_000)?,
            "probing.rebalance.interval.ms" => {
                self.probing_rebalance_interval_ms = number(key, value, 60_000, i64::MAX as u64)?;
            }
            "rack.aware.assignment.tags" => {
                let tags = value.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                self.rack_aware_assignment_tags = tags.map(str::to_string).collect();
                if self.rack_aware_assignment_tags.len() > MAX_TAGS {
                    return Err(refused(key, value, &format!("at most {MAX_TAGS} tags, with commas")));
                }
            }
            "state.cleanup.delay.ms" => self.state_cleanup_delay_ms = number(key, value, 0, i64::MAX as u64)?,
            "client.id" => self.client_id = value.to_string(),
            "errors.dead.letter.queue.topic.name" => self.dead_letter_topic = Some(not_empty(key, value)?),
            "ensure.explicit.internal.resource.naming" => {
                self.explicit_names = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(refused(key, value, "true or false")),
                }
            }
            "windowstore.changelog.additional.retention.ms" => {
                self.window_changelog_additional_retention_ms = number(key, value, 0, i64::MAX)?;
            }
            _ => return self.set_other(key, value),
        }
        Ok(())
    }

    fn set_other(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        if let Some(name) = key.strip_prefix("topic.") {
            self.topic.insert(name.to_string(), value.to_string());
        } else if let Some(tag) = key.strip_prefix("client.tag.") {
            if tag.is_empty() || tag.len() > MAX_TAG_KEY || value.is_empty() || value.len() > MAX_TAG_VALUE {
                let wanted =
                    format!("a tag of 1 to {MAX_TAG_KEY} letters with a value of 1 to {MAX_TAG_VALUE}");
                return Err(refused(key, value, &wanted));
            }
            self.client_tags.insert(tag.to_string(), value.to_string());
        } else if let Some((_, instead)) = ELSEWHERE.iter().find(|(name, _)| *name == without_prefix(key)) {
            return Err(ConfigError(format!("`{key}` cannot be set here: {instead}")));
        } else if let Some((_, only, why)) =
            SETTLED.iter().find(|(name, ..)| *name == key || *name == without_prefix(key))
        {
            if value != *only {
                return Err(ConfigError(format!("`{key}` = `{value}`: must be {only} ({why})")));
            }
        } else if takers(key).next().is_some() {
            if let Some(why) = without_effect(key) {
                tracing::warn!(key, value, "this setting changes nothing: {why}");
            }
            self.client.insert(key.to_string(), value.to_string());
        } else if without_effect(key).is_some() {
            tracing::warn!(
                key,
                value,
                "this setting changes nothing: {}",
                without_effect(key).unwrap_or_default()
            );
        } else if ClientConfig::KEYS.contains(&without_prefix(key)) {
            let name = without_prefix(key);
            return Err(ConfigError(format!(
                "`{key}` cannot be set here: all clients of an instance share their connections, so set `{name}`"
            )));
        } else {
            let nearest = nearest(key).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            return Err(ConfigError(format!("unknown configuration key `{key}`{nearest}")));
        }
        Ok(())
    }

    /// The client settings for `role`: those plain keys that it takes, then its prefixes from wide to narrow.
    #[must_use]
    pub fn client_settings(&self, role: ClientRole) -> BTreeMap<String, String> {
        let plain = self.client.iter().filter(|(key, _)| role.keys().contains(&key.as_str()));
        let mut settings: BTreeMap<String, String> =
            plain.map(|(key, value)| (key.clone(), value.clone())).collect();
        for prefix in role.prefixes() {
            for (key, value) in &self.client {
                if let Some(name) = key.strip_prefix(prefix) {
                    settings.insert(name.to_string(), value.clone());
                }
            }
        }
        settings
    }
}

/// As Kafka Streams has it: empty, or a host, a colon and a port.
fn is_host_and_port(text: &str) -> bool {
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    text.is_empty() || text.rsplit_once(':').is_some_and(|(host, after)| !host.is_empty() && port(after))
}

fn number<T>(key: &str, value: &str, min: T, max: T) -> Result<T, ConfigError>
where
    T: FromStr + PartialOrd + fmt::Display + Copy,
{
    match value.trim().parse::<T>() {
        Ok(number) if number >= min && number <= max => Ok(number),
        _ => Err(refused(key, value, &format!("a whole number from {min} to {max}"))),
    }
}

fn not_empty(key: &str, value: &str) -> Result<String, ConfigError> {
    if value.is_empty() { Err(refused(key, value, "some text")) } else { Ok(value.to_string()) }
}

fn refused(key: &str, value: &str, wanted: &str) -> ConfigError {
    ConfigError(format!("`{key}` = `{value}`: must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)], expected: Result<&str, &str>) {
        let shown = StreamsConfig::from_pairs(pairs.iter().copied()).map(|config| {
            format!("{} {} {}", config.commit_interval_ms, config.threads, config.cache_max_bytes)
        });
        assert_eq!(
            shown.as_deref().map_err(ToString::to_string),
            expected.map_err(ToString::to_string),
            "{pairs:?}"
        );
    }

    #[test]
    fn keys_and_values() {
        check(&[], Ok("30000 1 10485760"));
        check(&[("commit.interval.ms", "10"), ("num.stream.threads", "4")], Ok("10 4 10485760"));
        check(&[("processing.guarantee", "exactly_once_v2")], Ok("100 1 10485760"));
        check(
            &[("processing.guarantee", "exactly_once_v2"), ("commit.interval.ms", "7")],
            Ok("7 1 10485760"),
        );
        check(
            &[("processing.guarantee", "exactly_once_v2"), ("commit.interval.ms", "10000")],
            Err(
                "`commit.interval.ms` = `10000`: must be below `producer.transaction.timeout.ms` = `10000`, or every \
                 transaction is aborted before it is committed",
            ),
        );
        check(
            &[
                ("processing.guarantee", "exactly_once_v2"),
                ("commit.interval.ms", "10000"),
                ("producer.transaction.timeout.ms", "20000"),
            ],
            Ok("10000 1 10485760"),
        );
        check(
            &[("processing.guarantee", "exactly_once_v2"), ("transaction.timeout.ms", "100")],
            Err(
                "`commit.interval.ms` = `100`: must be below `producer.transaction.timeout.ms` = `100`, or every \
                 transaction is aborted before it is committed",
            ),
        );
        check(&[("consumer.fetch.max.bytes", "1")], Ok("30000 1 10485760"));
        check(
            &[("statestore.memory.max.bytes", "much")],
            Err(&format!(
                "`statestore.memory.max.bytes` = `much`: must be a whole number from 0 to {}",
                usize::MAX
            )),
        );
        check(
            &[("num.stream.threads", "0")],
            Err("`num.stream.threads` = `0`: must be a whole number from 1 to 1024"),
        );
        check(
            &[("comit.interval.ms", "1")],
            Err("unknown configuration key `comit.interval.ms`; did you mean `commit.interval.ms`?"),
        );
        check(
            &[("topology.optimization", "all")],
            Err(
                "`topology.optimization` cannot be set here: use `StreamsBuilder::build_with(Optimization::ALL)`",
            ),
        );
        check(
            &[("processing.guarantee", "twice")],
            Err("`processing.guarantee` = `twice`: must be at_least_once or exactly_once_v2"),
        );
        check(&[("statestore.uncommitted.max.bytes", "-1")], Ok("30000 1 10485760"));
        check(&[("max.task.idle.ms", "-1")], Ok("30000 1 10485760"));
        check(&[("application.server", "[::1]:80")], Ok("30000 1 10485760"));
        check(&[("application.server", "host")], Err("`application.server` = `host`: must be host:port"));
        check(
            &[("main.consumer.enable.auto.commit", "true")],
            Err(
                "`main.consumer.enable.auto.commit` cannot be set here: offsets are committed with the state that reflects \
                 them",
            ),
        );
        check(
            &[("group.protocol", "classic"), ("rack.aware.assignment.strategy", "none")],
            Ok("30000 1 10485760"),
        );
        check(
            &[("group.protocol", "streams")],
            Err("`group.protocol` = `streams`: must be classic (the protocol `streams` is not there yet)"),
        );
        check(
            &[("cache.max.bytes.buffering", "1")],
            Err("`cache.max.bytes.buffering` cannot be set here: it is called `statestore.cache.max.bytes`"),
        );
        check(
            &[("ensure.explicit.internal.resource.naming", "yes")],
            Err("`ensure.explicit.internal.resource.naming` = `yes`: must be true or false"),
        );
        check(
            &[("consumer.fetch.max.byte", "1")],
            Err(
                "unknown configuration key `consumer.fetch.max.byte`; did you mean `consumer.fetch.max.bytes`?",
            ),
        );
        check(
            &[("consumer.request.timeout.ms", "1")],
            Err(
                "`consumer.request.timeout.ms` cannot be set here: all clients of an instance share their connections, \
                 so set `request.timeout.ms`",
            ),
        );
        check(
            &[("admin.request.timeout.ms", "1"), ("main.consumer.check.crcs", "true")],
            Ok("30000 1 10485760"),
        );
        check(
            &[("consumer.check.crcs", "false")],
            Err("`consumer.check.crcs` = `false`: must be true (a damaged record is never processed)"),
        );
        check(
            &[("restore.consumer.auto.offset.reset", "earliest")],
            Err(
                "`restore.consumer.auto.offset.reset` = `earliest`: must be none (a changelog that was cut off is restored \
                 from its start)",
            ),
        );
        check(
            &[("producer.linger.ms", "1"), ("partitioner.availability.timeout.ms", "0")],
            Ok("30000 1 10485760"),
        );
        check(
            &[("max.poll.record", "1")],
            Err("unknown configuration key `max.poll.record`; did you mean `max.poll.records`?"),
        );
    }

    /// Every key of Kafka Streams 4.3 is applied, passed to a client, or answered with what to do.
    #[test]
    fn no_key_of_kafka_streams_is_unknown() {
        const KEYS: &str = "application.id bootstrap.servers num.standby.replicas state.dir \
            ensure.explicit.internal.resource.naming processing.exception.handler.global.enabled \
            acceptable.recovery.lag statestore.cache.max.bytes cache.max.bytes.buffering client.id default.key.serde \
            default.value.serde default.list.key.serde.inner default.list.key.serde.type \
            default.list.value.serde.inner default.list.value.serde.type deserialization.exception.handler \
            default.deserialization.exception.handler processing.exception.handler production.exception.handler \
            default.production.exception.handler default.timestamp.extractor errors.dead.letter.queue.topic.name \
            max.task.idle.ms max.warmup.replicas num.stream.threads processing.guarantee task.assignor.class \
            replication.factor security.protocol task.timeout.ms topology.optimization group.protocol \
            application.server buffered.records.per.partition built.in.metrics.version commit.interval.ms \
            repartition.purge.interval.ms poll.ms probing.rebalance.interval.ms state.cleanup.delay.ms \
            state.cleanup.dir.max.age.ms dsl.store.suppliers.class default.dsl.store dsl.store.format \
            processor.wrapper.class rocksdb.config.setter rack.aware.assignment.strategy rack.aware.assignment.tags \
            rack.aware.assignment.traffic_cost rack.aware.assignment.non_overlap_cost \
            windowstore.changelog.additional.retention.ms windowed.inner.class.serde window.size.ms upgrade.from \
            default.client.supplier metric.reporters metrics.recording.level metrics.num.samples \
            metrics.sample.window.ms enable.metrics.push log.summary.interval.ms config.providers \
            connections.max.idle.ms metadata.max.age.ms receive.buffer.bytes send.buffer.bytes reconnect.backoff.ms \
            reconnect.backoff.max.ms retry.backoff.ms request.timeout.ms metadata.recovery.strategy \
            metadata.recovery.rebootstrap.trigger.ms allow.os.group.write.access";
        for key in KEYS.split_whitespace() {
            let answer = StreamsConfig::from_pairs([(key, "?")]);
            let answer = answer.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!answer.contains("unknown"), "{answer}");
        }
    }

    #[test]
    fn the_narrower_prefix_wins() {
        let config = StreamsConfig::from_pairs([
            ("request.timeout.ms", "1"),
            ("main.consumer.fetch.max.bytes", "3"),
            ("consumer.fetch.max.bytes", "2"),
            ("producer.linger.ms", "5"),
            ("max.poll.records", "7"),
        ])
        .expect("known keys");
        let of = |role| {
            config.client_settings(role).into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>()
        };
        assert_eq!(of(ClientRole::MainConsumer), ["fetch.max.bytes=3", "max.poll.records=7"]);
        assert_eq!(of(ClientRole::RestoreConsumer), ["fetch.max.bytes=2", "max.poll.records=7"]);
        assert_eq!(of(ClientRole::Producer), ["linger.ms=5"]);
        // All use the same connections.
        assert_eq!(of(ClientRole::Admin), ["request.timeout.ms=1"]);
    }
}
