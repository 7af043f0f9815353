//! What the layers of configuration come to for one topic.

use std::collections::BTreeMap;

use super::key::split_list;
use super::{BrokerConfig, ConfigError, ConfigKey, TOPIC_KEYS, broker_key, topic_key, unknown};

/// From which layer a value comes; the numbers are those of DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic = 1,
    /// Set on this broker while it runs.
    DynamicBroker = 2,
    /// Set on all brokers while they run.
    DynamicDefaultBroker = 3,
    /// Written in the file.
    StaticBroker = 4,
    /// Nobody set it.
    Default = 5,
    /// What a logger of the broker says.
    DynamicBrokerLogger = 6,
    /// Set on a subscription to client metrics.
    DynamicClientMetrics = 7,
    /// Set on a group.
    DynamicGroup = 8,
}

/// The layers above the defaults, the strongest first. A layer that is not there is empty.
#[derive(Clone, Copy, Debug)]
pub struct ConfigLayers<'a> {
    /// Set on this broker while it runs.
    pub dynamic_broker: &'a BTreeMap<String, String>,
    /// Set on all brokers while they run.
    pub dynamic_default_broker: &'a BTreeMap<String, String>,
    /// The file.
    pub broker: &'a BrokerConfig,
}

/// One place where a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key it is written under.
    pub name: &'static str,
    /// The value.
    pub value: Option<String>,
    /// The layer.
    pub source: ConfigSource,
}

impl ConfigLayers<'_> {
    /// Where a broker's key is written, the strongest first. Never empty: the default is the last.
    #[must_use]
    pub fn of_broker_key(&self, key: &'static ConfigKey) -> Vec<ConfigSynonym> {
        let mut synonyms = self.written(key);
        synonyms.push(ConfigSynonym {
            name: key.name,
            value: key.default.map(str::to_string),
            source: ConfigSource::Default,
        });
        synonyms
    }

    /// Where a topic's key is written, the strongest first. Never empty: the default is the last.
    #[must_use]
    pub fn of_topic_key(
        &self,
        key: &'static ConfigKey,
        topic: &BTreeMap<String, String>,
    ) -> Vec<ConfigSynonym> {
        let mut synonyms = Vec::new();
        if let Some(value) = topic.get(key.name) {
            let value = Some(value.clone());
            synonyms.push(ConfigSynonym { name: key.name, value, source: ConfigSource::DynamicTopic });
        }
        for (name, factor) in key.synonyms {
            let Some(broker_key) = broker_key(name) else { continue };
            for mut synonym in self.written(broker_key) {
                synonym.value = synonym.value.map(|value| in_topic_unit(&value, *factor));
                synonyms.push(synonym);
            }
        }
        let name = key.synonyms.first().map_or(key.name, |(name, _)| name);
        let value = key.default.map(str::to_string);
        synonyms.push(ConfigSynonym { name, value, source: ConfigSource::Default });
        synonyms
    }

    /// The value of a broker's key as it is right now: the strongest that is one and that `read` understands.
    #[must_use]
    pub fn broker_value<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let key = broker_key(name)?;
        let written = self.of_broker_key(key).into_iter().filter_map(|synonym| synonym.value);
        written.filter(|value| key.check(value).is_ok()).find_map(|value| read(&value))
    }

    pub(super) fn written(&self, key: &'static ConfigKey) -> Vec<ConfigSynonym> {
        let layers = [
            (self.dynamic_broker.get(key.name).map(String::as_str), ConfigSource::DynamicBroker),
            (
                self.dynamic_default_broker.get(key.name).map(String::as_str),
                ConfigSource::DynamicDefaultBroker,
            ),
            (self.broker.explicit(key.name), ConfigSource::StaticBroker),
        ];
        let write = |(value, source): (Option<&str>, ConfigSource)| {
            value.map(|value| ConfigSynonym { name: key.name, value: Some(value.to_string()), source })
        };
        layers.into_iter().filter_map(write).collect()
    }
}

/// Hours and minutes of a broker's key as the milliseconds of the topic's.
fn in_topic_unit(value: &str, factor: i64) -> String {
    match value.parse::<i64>() {
        Ok(number) if factor > 1 && number >= 0 => number.saturating_mul(factor).to_string(),
        _ => value.to_string(),
    }
}

/// What `compression.type` of a topic asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// Batches stay as the producer made them.
    Producer,
    /// Batches are stored without compression.
    Uncompressed,
    /// By this codec, with the topic's level for it.
    Gzip(i32),
    /// By snappy.
    Snappy,
    /// By lz4.
    Lz4(i32),
    /// By zstd.
    Zstd(i32),
}

/// The settled configuration of one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// Old records are deleted by age and size.
    pub cleanup_delete: bool,
    /// Only the last record of a key is kept.
    pub cleanup_compact: bool,
    /// In which codec batches are stored.
    pub compression_type: CompressionType,
    /// How long a tombstone stays.
    pub delete_retention_ms: i64,
    /// How long the file of a deleted segment stays.
    pub file_delete_delay_ms: i64,
    /// Bytes between two entries of the offset index.
    pub index_interval_bytes: i32,
    /// The largest batch.
    pub max_message_bytes: i32,
    /// How far a timestamp may lie in the past.
    pub message_timestamp_before_max_ms: i64,
    /// How far a timestamp may lie in the future.
    pub message_timestamp_after_max_ms: i64,
    /// Whether records carry the time of the append.
    pub log_append_time: bool,
    /// Age before which a record may not be compacted.
    pub min_compaction_lag_ms: i64,
    /// Age at which a record must be compacted.
    pub max_compaction_lag_ms: i64,
    /// The share of a log that must be dirty for it to be compacted.
    pub min_cleanable_dirty_ratio: f64,
    /// In-sync replicas below which acks=all is refused.
    pub min_insync_replicas: i32,
    /// Size above which old segments go; none: never.
    pub retention_bytes: Option<u64>,
    /// Age above which segments go; none: never.
    pub retention_ms: Option<i64>,
    /// Size at which a segment is closed.
    pub segment_bytes: i32,
    /// Size at which an index is full.
    pub segment_index_bytes: i32,
    /// Age at which a segment is closed.
    pub segment_ms: i64,
    /// The most that chance takes off `segment_ms`.
    pub segment_jitter_ms: i64,
}

impl TopicConfig {
    /// Settles the layers for a topic with these keys of its own. Values are expected to be checked; an unknown or bad
    /// one, as an older or newer broker may have stored, counts as unset.
    #[must_use]
    pub fn settle(layers: &ConfigLayers<'_>, topic: &BTreeMap<String, String>) -> TopicConfig {
        let text = |name: &str| -> String {
            let Some(key) = topic_key(name) else { return String::new() };
            let written = layers.of_topic_key(key, topic).into_iter();
            written
                .filter_map(|synonym| synonym.value)
                .find(|value| key.check(value).is_ok())
                .unwrap_or_default()
        };
        let number = |name: &str| -> i64 { text(name).parse().unwrap_or_default() };
        let number32 = |name: &str| -> i32 { text(name).parse().unwrap_or_default() };
        let cleanup = text("cleanup.policy");
        TopicConfig {
            cleanup_delete: split_list(&cleanup).any(|policy| policy == "delete"),
            cleanup_compact: split_list(&cleanup).any(|policy| policy == "compact"),
            compression_type: match text("compression.type").as_str() {
                "uncompressed" => CompressionType::Uncompressed,
                "gzip" => CompressionType::Gzip(number32("compression.gzip.level")),
                "snappy" => CompressionType::Snappy,
                "lz4" => CompressionType::Lz4(number32("compression.lz4.level")),
                "zstd" => CompressionType::Zstd(number32("compression.zstd.level")),
                _ => CompressionType::Producer,
            },
            delete_retention_ms: number("delete.retention.ms"),
            file_delete_delay_ms: number("file.delete.delay.ms"),
            index_interval_bytes: number32("index.interval.bytes"),
            max_message_bytes: number32("max.message.bytes"),
            message_timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            message_timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            log_append_time: text("message.timestamp.type") == "LogAppendTime",
            min_compaction_lag_ms: number("min.compaction.lag.ms"),
            max_compaction_lag_ms: number("max.compaction.lag.ms"),
            min_cleanable_dirty_ratio: text("min.cleanable.dirty.ratio").parse().unwrap_or(0.5),
            min_insync_replicas: number32("min.insync.replicas"),
            retention_bytes: u64::try_from(number("retention.bytes")).ok(),
            retention_ms: Some(number("retention.ms")).filter(|age_ms| *age_ms >= 0),
            segment_bytes: number32("segment.bytes"),
            segment_index_bytes: number32("segment.index.bytes"),
            segment_ms: number("segment.ms"),
            segment_jitter_ms: number("segment.jitter.ms"),
        }
    }

    /// Age at which a segment is closed: nothing in the open one can be compacted, so a compacted topic's does not wait for
    /// longer than the compaction may.
    #[must_use]
    pub fn max_segment_ms(&self) -> i64 {
        if self.cleanup_compact && self.max_compaction_lag_ms > 0 {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }
}

/// Checks the keys and values a client gives for a topic.
///
/// # Errors
/// The first that is unknown or bad.
pub fn check_topic_configs<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut checked = BTreeMap::new();
    for (name, value) in pairs {
        let key = topic_key(name).ok_or_else(|| unknown(name, TOPIC_KEYS))?;
        let value = key.check(value).map_err(|problem| ConfigError::invalid(name, value, problem))?;
        checked.insert(name.to_string(), value);
    }
    let number = |name: &str| checked.get(name).and_then(|value| value.parse::<i64>().ok());
    if let (Some(least), Some(most)) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"))
        && least > most
    {
        let problem = format!("{least} is more than max.compaction.lag.ms, {most}");
        return Err(ConfigError::new("min.compaction.lag.ms", problem));
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn the_strongest_layer_wins_and_hours_become_milliseconds() {
        let broker =
            BrokerConfig::from_properties("log.retention.hours=1\nlog.roll.ms=5\nmessage.max.bytes=1000")
                .unwrap();
        let (on_broker, on_all) =
            (map(&[("message.max.bytes", "2000")]), map(&[("message.max.bytes", "3000")]));
        let layers =
            ConfigLayers { dynamic_broker: &on_broker, dynamic_default_broker: &on_all, broker: &broker };
        let config =
            TopicConfig::settle(&layers, &map(&[("cleanup.policy", "compact"), ("retention.bytes", "-1")]));
        assert_eq!(config.retention_ms, Some(3_600_000));
        assert_eq!(config.segment_ms, 5);
        assert_eq!(config.max_message_bytes, 2000);
        assert_eq!((config.cleanup_compact, config.cleanup_delete), (true, false));
        assert_eq!(config.retention_bytes, None);
        assert_eq!(config.message_timestamp_after_max_ms, 3_600_000);

        let key = topic_key("max.message.bytes").unwrap();
        let written = layers.of_topic_key(key, &map(&[("max.message.bytes", "7")]));
        let shown: Vec<_> =
            written.iter().map(|s| (s.name, s.value.as_deref().unwrap(), s.source as i8)).collect();
        let name = "message.max.bytes";
        assert_eq!(
            shown,
            [
                ("max.message.bytes", "7", 1),
                (name, "2000", 2),
                (name, "3000", 3),
                (name, "1000", 4),
                (name, "1048588", 5)
            ]
        );
    }

    #[test]
    fn a_stored_value_that_is_not_understood_counts_as_unset() {
        let (broker, none) = (BrokerConfig::default(), BTreeMap::new());
        let layers = ConfigLayers { dynamic_broker: &none, dynamic_default_broker: &none, broker: &broker };
        let config = TopicConfig::settle(&layers, &map(&[("segment.bytes", "3"), ("from.the.future", "x")]));
        assert_eq!(config.segment_bytes, 1_073_741_824);
    }

    #[test]
    fn a_clients_keys_are_checked() {
        let check = |pairs: &[(&str, &str)]| {
            check_topic_configs(pairs.iter().copied()).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[("retention.ms", " 5 ")]), Ok(map(&[("retention.ms", "5")])));
        assert_eq!(
            check(&[("retention.m", "5")]).unwrap_err(),
            "retention.m: unknown key; 'retention.ms' is known"
        );
        assert_eq!(
            check(&[("segment.bytes", "5")]).unwrap_err(),
            "Invalid value 5 for configuration segment.bytes: Value must be at least 1048576"
        );
        assert_eq!(
            check(&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "4")]).unwrap_err(),
            "min.compaction.lag.ms: 5 is more than max.compaction.lag.ms, 4"
        );
        assert_eq!(
            check(&[("cleanup.policy", "")]),
            Ok(map(&[("cleanup.policy", "")])),
            "keep all, since 4.2"
        );
    }
}
