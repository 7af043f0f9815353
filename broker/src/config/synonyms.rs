//! Where DescribeConfigs says that a key is written: under which names, in which layers.
//!
//! Kafka lets an age be given in hours, minutes or milliseconds, each a key of its own, and tells of them together, as
//! they stand. What the layers come to is the business of [`ConfigLayers::of_topic_key`].

use std::collections::BTreeMap;

use super::topic::{ConfigLayers, ConfigSource, ConfigSynonym};
use super::{ConfigKey, broker_key};

/// Keys of the broker that say the same in other units, the strongest first.
const UNITS: &[&[&str]] = &[
    &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
    &["log.roll.ms", "log.roll.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
];

impl ConfigLayers<'_> {
    /// Where a broker's key, or the same in another unit, is written, the strongest first; the default last.
    #[must_use]
    pub fn synonyms_of_broker_key(&self, key: &'static ConfigKey) -> Vec<ConfigSynonym> {
        let units: Vec<&'static ConfigKey> = match UNITS.iter().find(|names| names.contains(&key.name)) {
            Some(names) => names.iter().filter_map(|name| broker_key(name)).collect(),
            None => vec![key],
        };
        let mut synonyms: Vec<ConfigSynonym> = units.iter().flat_map(|key| self.written(key)).collect();
        // A default in another unit is told only beside what somebody wrote.
        let is_told = key.default.is_some() || !synonyms.is_empty();
        if let Some(key) = units.iter().find(|key| key.default.is_some() && is_told) {
            let value = key.default.map(str::to_string);
            synonyms.push(ConfigSynonym { name: key.name, value, source: ConfigSource::Default });
        }
        synonyms
    }

    /// Where a topic's key is written, the strongest first: on the topic, and under the broker's names for it.
    #[must_use]
    pub fn synonyms_of_topic_key(
        &self,
        key: &'static ConfigKey,
        topic: &BTreeMap<String, String>,
    ) -> Vec<ConfigSynonym> {
        let own = topic.get(key.name).map(|value| ConfigSynonym {
            name: key.name,
            value: Some(value.clone()),
            source: ConfigSource::DynamicTopic,
        });
        let of_broker = key.synonyms.first().and_then(|(name, _)| broker_key(name));
        own.into_iter()
            .chain(of_broker.into_iter().flat_map(|key| self.synonyms_of_broker_key(key)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BrokerConfig, topic_key};
    use super::*;

    fn check(topic: &str, key: &str, expected: &[(&str, &str, i8)]) {
        let broker = BrokerConfig::from_properties("log.roll.hours=3\nmin.insync.replicas=2").unwrap();
        let set: BTreeMap<String, String> = [("log.roll.ms".to_string(), "5".to_string())].into();
        let none = BTreeMap::new();
        let layers = ConfigLayers { dynamic_broker: &set, dynamic_default_broker: &none, broker: &broker };
        let own = topic.split_once('=').map(|(key, value)| (key.to_string(), value.to_string()));
        let own: BTreeMap<String, String> = own.into_iter().collect();
        let found = match topic_key(key) {
            Some(key) => layers.synonyms_of_topic_key(key, &own),
            None => layers.synonyms_of_broker_key(broker_key(key).unwrap()),
        };
        let found: Vec<_> =
            found.iter().map(|it| (it.name, it.value.as_deref().unwrap(), it.source as i8)).collect();
        assert_eq!(found, expected, "{key}");
    }

    #[test]
    fn a_key_is_told_with_its_other_units_and_as_it_was_written() {
        check("", "log.retention.ms", &[]);
        check("", "log.retention.hours", &[("log.retention.hours", "168", 5)]);
        check("", "retention.ms", &[]);
        check("retention.ms=7", "retention.ms", &[("retention.ms", "7", 1)]);
        let rolls = [("log.roll.ms", "5", 2), ("log.roll.hours", "3", 4), ("log.roll.hours", "168", 5)];
        check("", "segment.ms", &rolls);
        check("", "log.roll.hours", &rolls);
        check("", "min.insync.replicas", &[("min.insync.replicas", "2", 4), ("min.insync.replicas", "1", 5)]);
        // No default of the broker's, or no key of it.
        check("", "flush.ms", &[]);
        check("", "leader.replication.throttled.replicas", &[]);
    }
}
