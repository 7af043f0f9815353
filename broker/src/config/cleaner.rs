//! How the log cleaner works: `log.cleaner.*`, as it is right now.

use std::str::FromStr;

use super::topic::ConfigLayers;

/// The configuration of the log cleaner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CleanerConfig {
    /// Whether anything is cleaned.
    pub is_enabled: bool,
    /// How long the cleaner waits when there is nothing to clean.
    pub backoff_ms: u64,
    /// The most memory for the keys of a log.
    pub map_bytes: usize,
    /// The share of it that is filled.
    pub map_load_factor: f64,
    /// Bytes read and written in a second, at most.
    pub max_bytes_per_second: f64,
}

impl CleanerConfig {
    /// The keys that take effect while the broker runs.
    pub const DYNAMIC: [&'static str; 4] = [
        "log.cleaner.backoff.ms",
        "log.cleaner.dedupe.buffer.size",
        "log.cleaner.io.buffer.load.factor",
        "log.cleaner.io.max.bytes.per.second",
    ];

    /// Settles the layers.
    #[must_use]
    pub fn settle(layers: &ConfigLayers<'_>) -> CleanerConfig {
        CleanerConfig {
            is_enabled: layers.broker_value("log.cleaner.enable", |value| Some(value == "true"))
                == Some(true),
            backoff_ms: number(layers, "log.cleaner.backoff.ms").unwrap_or_default(),
            map_bytes: number(layers, "log.cleaner.dedupe.buffer.size").unwrap_or_default(),
            map_load_factor: number(layers, "log.cleaner.io.buffer.load.factor").unwrap_or_default(),
            max_bytes_per_second: number(layers, "log.cleaner.io.max.bytes.per.second").unwrap_or(f64::MAX),
        }
    }
}

fn number<T: FromStr>(layers: &ConfigLayers<'_>, name: &str) -> Option<T> {
    layers.broker_value(name, |value| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::BrokerConfig;
    use super::*;

    #[test]
    fn what_is_set_while_the_broker_runs_is_stronger_than_the_file() {
        let broker = BrokerConfig::from_properties("log.cleaner.backoff.ms=5").unwrap();
        let (none, set) = (BTreeMap::new(), [("log.cleaner.backoff.ms", "7")]);
        let set = set.map(|(key, value)| (key.to_string(), value.to_string())).into();
        let settle = |dynamic| {
            CleanerConfig::settle(&ConfigLayers {
                dynamic_broker: dynamic,
                dynamic_default_broker: &none,
                broker: &broker,
            })
        };
        let settled = settle(&none);
        assert_eq!((settled.backoff_ms, settled.map_bytes), (5, 128 << 20));
        assert_eq!((settled.is_enabled, settled.map_load_factor), (true, 0.9));
        assert_eq!(settled.max_bytes_per_second, f64::MAX);
        assert_eq!(settle(&set).backoff_ms, 7);
    }
}
