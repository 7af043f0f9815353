//! Which keys of a broker may change while it runs, and which values then.
//!
//! A key is taken if something follows it here, or if what it would change is not here in any case (Kafka's threads and
//! buffers, its security, of which no listener can have any yet): then nothing is promised that does not hold. One whose
//! change Kafka's clients would see and which we cannot make, as another listener, is refused.

use super::key::{ConfigKey, ConfigKind, Update};
use super::topic::ConfigLayers;
use super::{CleanerConfig, ConfigError, ConnectionLimits, TOPIC_KEYS, broker_key, topic_key};

/// Keys that are known only while the broker runs, and shown only when they are set: what copying to other brokers and
/// directories may take. A single node with one directory copies nothing.
pub const THROTTLES: &[ConfigKey] = &[
    ConfigKey::new("leader.replication.throttled.rate", ConfigKind::Long, None).at_least(0).dynamic(),
    ConfigKey::new("follower.replication.throttled.rate", ConfigKind::Long, None).at_least(0).dynamic(),
    ConfigKey::new("replica.alter.log.dirs.io.max.bytes.per.second", ConfigKind::Long, None)
        .at_least(0)
        .dynamic(),
];

/// Kafka's threads, which are not here: a script may change them as far as Kafka lets it, from half to double.
const THREADS: &[&str] = &[
    "background.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
];

/// Other things of Kafka's that are not here, in the file or otherwise; scripts that set them go on working. A partition is
/// always verified to be part of the transaction that is written to it, whoever would leave that out.
const WITHOUT_EFFECT: &[&str] = &[
    "config.providers",
    "cordoned.log.dirs",
    "follower.fetch.last.tiered.offset.enable",
    "group.consumer.assignment.interval.ms",
    "group.coordinator.cached.buffer.max.bytes",
    "group.share.assignment.interval.ms",
    "group.streams.assignment.interval.ms",
    "log.cleaner.io.buffer.size",
    "log.cleaner.threads",
    "metric.reporters",
    "principal.builder.class",
    "share.coordinator.cached.buffer.max.bytes",
    "transaction.partition.verification.enable",
];

/// Security keys that only a single listener can have, by a prefix.
const OF_LISTENERS: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// What a key of one listener begins with; the listener's name and the key follow.
const LISTENER_PREFIX: &str = "listener.name.";

/// Whether a key of the broker may change while it runs.
#[must_use]
pub fn is_dynamic(key: &ConfigKey) -> bool {
    let is_default = |topic_key: &ConfigKey| topic_key.synonyms.iter().any(|(name, _)| *name == key.name);
    let is_followed = CleanerConfig::DYNAMIC.contains(&key.name)
        || ConnectionLimits::DYNAMIC.contains(&key.name)
        || key.name == "producer.id.expiration.ms"
        || TOPIC_KEYS.iter().any(is_default);
    let has_no_effect = THREADS.contains(&key.name)
        || WITHOUT_EFFECT.contains(&key.name)
        || key.name.starts_with("remote.")
        || is_security(key.name);
    key.update == Update::Dynamic && (is_followed || has_no_effect)
}

fn is_security(name: &str) -> bool {
    name.starts_with("ssl.") || name.starts_with("sasl.")
}

/// Whether each broker has a value of its own, and never all together.
fn is_of_one_broker(name: &str) -> bool {
    is_security(name) || ["cordoned.log.dirs", "principal.builder.class"].contains(&name)
}

/// What is known of a key that is set on a running broker; none: nothing. Kafka keeps such keys for plug-ins.
pub(crate) fn dynamic_key(name: &str) -> Option<&'static ConfigKey> {
    broker_key(name).or_else(|| THROTTLES.iter().find(|key| key.name == name))
}

/// Checks that a key may be set on a running broker (or on all, by default), and gives the value in its usual form.
///
/// # Errors
/// What is wrong with key or value.
pub(crate) fn check_dynamic(
    layers: &ConfigLayers<'_>,
    on_all: bool,
    name: &str,
    value: &str,
) -> Result<String, String> {
    let Some(key) = dynamic_key(name) else {
        let of_listener = name.strip_prefix(LISTENER_PREFIX).and_then(|rest| rest.split_once('.'));
        let base = of_listener.and_then(|(_, base)| broker_key(base));
        return match base {
            // Limits of one listener would be promises: they are not kept by listener.
            Some(base) if ConnectionLimits::DYNAMIC.contains(&base.name) => {
                Err(format!("Cannot update these configs dynamically: [{name}]"))
            }
            Some(base) => base.check(value).map_err(|problem| invalid(name, value, &problem)),
            None => Ok(value.to_string()),
        };
    };
    if !is_dynamic(key) && !THROTTLES.iter().any(|throttle| throttle.name == name) {
        return Err(format!("Cannot update these configs dynamically: [{name}]"));
    }
    if OF_LISTENERS.contains(&name) {
        return Err(format!(
            "These security configs can be dynamically updated only per-listener using the listener prefix: [{name}]"
        ));
    }
    if on_all && is_of_one_broker(name) {
        return Err(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: [{name}]"
        ));
    }
    let checked = key
        .check(value)
        .and_then(|value| ConnectionLimits::check(layers, key.name, &value).map(|()| value))
        .and_then(|value| check_defaults_of_topics(key, &value).map(|()| value))
        .and_then(|value| check_threads(layers, key, &value).map(|()| value));
    checked.map_err(|problem| invalid(name, value, &problem))
}

fn invalid(name: &str, value: &str, problem: &str) -> String {
    ConfigError::invalid(name, value, problem).to_string()
}

/// What is a topic's default must be good for a topic.
fn check_defaults_of_topics(key: &ConfigKey, value: &str) -> Result<(), String> {
    if key.name == "log.retention.ms" && value == "0" {
        return Err("it must be unlimited (-1), or at least 1".to_string());
    }
    let of_topics = TOPIC_KEYS.iter().find(|topic_key| topic_key.synonyms.first() == Some(&(key.name, 1)));
    match of_topics.and_then(|found| topic_key(found.name)) {
        Some(topic_key) => topic_key.check(value).map(drop),
        None => Ok(()),
    }
}

fn check_threads(layers: &ConfigLayers<'_>, key: &ConfigKey, value: &str) -> Result<(), String> {
    let is_cleaner = key.name == "log.cleaner.threads";
    if !is_cleaner && !THREADS.contains(&key.name) {
        return Ok(());
    }
    let wanted: i64 = value.parse().unwrap_or_default();
    let present = layers.broker_value(key.name, |value| value.parse::<i64>().ok()).unwrap_or(1);
    if wanted < 1 {
        return Err("it must be at least 1".to_string());
    }
    if wanted > 2 * present {
        return Err(format!("it should not be greater than double the current value {present}"));
    }
    if wanted < present / 2 {
        return Err(format!("it should be at least half the current value {present}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{BROKER_KEYS, BrokerConfig};
    use super::*;

    /// `*` before a key stands for all brokers.
    fn check(pair: &str, expected: Result<&str, &str>) {
        let (broker, none) = (BrokerConfig::default(), BTreeMap::new());
        let layers = ConfigLayers { dynamic_broker: &none, dynamic_default_broker: &none, broker: &broker };
        let (name, value) = pair.split_once('=').unwrap();
        let (on_all, name) = name.strip_prefix('*').map_or((false, name), |name| (true, name));
        let found = check_dynamic(&layers, on_all, name, value);
        match expected {
            Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{pair}"),
            Err(part) => {
                assert!(found.as_ref().is_err_and(|problem| problem.contains(part)), "{pair}: {found:?}")
            }
        }
    }

    #[test]
    fn keys_are_taken_and_refused_as_kafka_does() {
        check("num.io.threads=16", Ok("16"));
        check("*num.io.threads=4", Ok("4"));
        check("num.io.threads=17", Err("double the current value 8"));
        check("num.io.threads=3", Err("half the current value 8"));
        check("num.network.threads=0", Err("at least 1"));
        check("log.cleaner.threads=3", Err("double the current value 1"));
        check("max.connections=0", Err("0"));
        check("max.connection.creation.rate=5", Ok("5"));
        check("max.connection.creation.rate=0", Err("0"));
        check("max.connections.per.ip=0", Err("max.connections.per.ip.overrides"));
        check("log.retention.ms=0", Err("unlimited"));
        check("log.retention.ms=-1", Ok("-1"));
        check("compression.gzip.level=0", Err("0"));
        check("transaction.partition.verification.enable=FALSE", Ok("false"));
        check("leader.replication.throttled.rate=1000", Ok("1000"));
        check("follower.replication.throttled.rate=-1", Err("at least 0"));
        check("a.plug.ins.key= x ", Ok(" x "));
        check("listener.name.internal.ssl.client.auth=required", Ok("required"));
        check("listener.name.internal.max.connections=9", Err("dynamically"));
        check("sasl.enabled.mechanisms=PLAIN", Ok("PLAIN"));
        check("*sasl.enabled.mechanisms=PLAIN", Err("at default cluster level"));
        check("ssl.keystore.password=x", Err("per-listener"));
        check("cordoned.log.dirs=", Ok(""));
        check("cordoned.log.dirs=*", Err("not supported"));
        for fixed in ["node.id=2", "listeners=PLAINTEXT://:9", "group.coordinator.threads=4"] {
            check(fixed, Err("Cannot update these configs dynamically"));
        }
    }

    #[test]
    fn what_is_listed_here_is_known() {
        for name in THREADS.iter().chain(WITHOUT_EFFECT).chain(OF_LISTENERS) {
            let key = BROKER_KEYS.iter().find(|key| key.name == *name).unwrap();
            assert!(is_dynamic(key), "{name} may change with Kafka");
        }
    }
}
