//! The keys of a group and of a subscription to client metrics: Kafka 4.3's names, kinds and defaults.
//!
//! They are for consumer, share and streams groups (KIP-848, KIP-932, KIP-1071) and for telemetry (KIP-714), none of which
//! is here yet. What is set is checked and kept as Kafka does, so that whoever prepares a cluster, or moves one, finds it
//! again; no group of today reads it.

use super::key::ConfigKind::{Boolean, Int, List, String};
use super::key::{ConfigKey, Valid, split_list};
use super::topic::ConfigLayers;
use super::{ConfigError, broker_key};

/// All keys of a group. The values must also lie within what the broker allows: `group.consumer.min.session.timeout.ms` and
/// its like.
pub const GROUP_KEYS: &[ConfigKey] = &[
    ConfigKey::new("consumer.assignment.interval.ms", Int, Some("1000"))
        .at_least(0)
        .synonyms(&[("group.consumer.assignment.interval.ms", 1)]),
    ConfigKey::new("consumer.heartbeat.interval.ms", Int, Some("5000"))
        .at_least(1)
        .synonyms(&[("group.consumer.heartbeat.interval.ms", 1)]),
    ConfigKey::new("consumer.session.timeout.ms", Int, Some("45000"))
        .at_least(1)
        .synonyms(&[("group.consumer.session.timeout.ms", 1)]),
    ConfigKey::new("share.assignment.interval.ms", Int, Some("1000"))
        .at_least(0)
        .synonyms(&[("group.share.assignment.interval.ms", 1)]),
    ConfigKey::new("share.auto.offset.reset", String, Some("latest")),
    ConfigKey::new("share.delivery.count.limit", Int, Some("5"))
        .at_least(2)
        .synonyms(&[("group.share.delivery.count.limit", 1)]),
    ConfigKey::new("share.heartbeat.interval.ms", Int, Some("5000"))
        .at_least(1)
        .synonyms(&[("group.share.heartbeat.interval.ms", 1)]),
    ConfigKey::new("share.isolation.level", String, Some("read_uncommitted"))
        .valid(Valid::OneOf(&["read_committed", "read_uncommitted"])),
    ConfigKey::new("share.partition.max.record.locks", Int, Some("2000"))
        .at_least(100)
        .synonyms(&[("group.share.partition.max.record.locks", 1)]),
    ConfigKey::new("share.record.lock.duration.ms", Int, Some("30000"))
        .at_least(1000)
        .synonyms(&[("group.share.record.lock.duration.ms", 1)]),
    ConfigKey::new("share.renew.acknowledge.enable", Boolean, Some("true")),
    ConfigKey::new("share.session.timeout.ms", Int, Some("45000"))
        .at_least(1)
        .synonyms(&[("group.share.session.timeout.ms", 1)]),
    ConfigKey::new("streams.assignment.interval.ms", Int, Some("1000"))
        .at_least(0)
        .synonyms(&[("group.streams.assignment.interval.ms", 1)]),
    ConfigKey::new("streams.heartbeat.interval.ms", Int, Some("5000"))
        .at_least(1)
        .synonyms(&[("group.streams.heartbeat.interval.ms", 1)]),
    ConfigKey::new("streams.initial.rebalance.delay.ms", Int, Some("3000"))
        .at_least(0)
        .synonyms(&[("group.streams.initial.rebalance.delay.ms", 1)]),
    ConfigKey::new("streams.num.standby.replicas", Int, Some("0"))
        .at_least(0)
        .synonyms(&[("group.streams.num.standby.replicas", 1)]),
    ConfigKey::new("streams.session.timeout.ms", Int, Some("45000"))
        .at_least(1)
        .synonyms(&[("group.streams.session.timeout.ms", 1)]),
];

/// All keys of a subscription to client metrics.
pub const CLIENT_METRICS_KEYS: &[ConfigKey] = &[
    ConfigKey::new("interval.ms", Int, Some("300000")),
    ConfigKey::new("match", List, Some("")),
    ConfigKey::new("metrics", List, Some("")),
];

/// By what a subscription may choose clients.
const SELECTORS: [&str; 6] = [
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// What is wrong with the values of a group, beyond each one's kind; the first counts.
pub(crate) fn check_group<'a>(
    layers: &ConfigLayers<'_>,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), ConfigError> {
    for (name, value) in pairs {
        if name == "share.auto.offset.reset" && !is_offset_reset(value) {
            let problem = format!("'{value}' is none of earliest, latest and by_duration:<PnDTnHnMn.nS>");
            return Err(ConfigError::new(name, problem));
        }
        let Some((kind, rest)) = name.split_once('.') else { continue };
        let rest = rest.strip_prefix("num.").unwrap_or(rest);
        let Ok(number) = value.parse::<i64>() else { continue };
        let bound = |which: &str| {
            let bound = broker_key(&format!("group.{kind}.{which}.{rest}"))?;
            layers.broker_value(bound.name, |value| value.parse::<i64>().ok()).map(|most| (bound.name, most))
        };
        if let Some((bound, _)) = bound("min").filter(|(_, least)| number < *least) {
            return Err(ConfigError::new(name, format!("{number} is less than {bound}")));
        }
        if let Some((bound, _)) = bound("max").filter(|(_, most)| number > *most) {
            return Err(ConfigError::new(name, format!("{number} is more than {bound}")));
        }
    }
    Ok(())
}

fn is_offset_reset(value: &str) -> bool {
    match value.strip_prefix("by_duration:") {
        None => ["earliest", "latest"].contains(&value),
        Some(duration) => is_duration(duration),
    }
}

/// A duration of ISO 8601 in days, hours, minutes and seconds that is not negative, as Java reads it.
fn is_duration(text: &str) -> bool {
    let Some(text) = text.strip_prefix('P') else { return false };
    let (days, time) = text.split_once('T').map_or((text, None), |(days, time)| (days, Some(time)));
    // The units must come in their order, each once.
    let reads = |mut text: &str, units: &[char]| {
        for unit in units {
            let Some((number, rest)) = text.split_once(*unit) else { continue };
            let is_number = match unit {
                'S' => number.parse::<f64>().is_ok() && !number.contains(['e', 'E', '-']),
                _ => !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()),
            };
            if !is_number {
                return false;
            }
            text = rest;
        }
        text.is_empty()
    };
    let has_days = !days.is_empty();
    reads(days, &['D'])
        && time.is_none_or(|time| !time.is_empty() && reads(time, &['H', 'M', 'S']))
        && (has_days || time.is_some())
}

/// What is wrong with the values of a subscription, beyond each one's kind, and whether it is the value (or what is asked).
pub(crate) fn check_client_metrics(name: &str, value: &str) -> Result<(), (bool, ConfigError)> {
    match name {
        "interval.ms"
            if !value.parse::<i64>().is_ok_and(|interval| (100..=3_600_000).contains(&interval)) =>
        {
            let problem = format!("{value} must be between 100 and 3600000 (1 hour)");
            Err((false, ConfigError::new(name, problem)))
        }
        "match" => {
            let is_selector = |item: &str| {
                let mut parts = item.split('=').map(str::trim);
                let (selector, pattern, more) = (parts.next(), parts.next(), parts.next());
                selector.is_some_and(|selector| SELECTORS.contains(&selector))
                    && pattern.is_some_and(is_pattern)
                    && more.is_none()
            };
            match split_list(value).find(|item| !is_selector(item)) {
                None => Ok(()),
                Some(item) => {
                    let problem = format!("'{item}' is not of the form selector=pattern");
                    Err((true, ConfigError::new(name, problem)))
                }
            }
        }
        _ => Ok(()),
    }
}

/// Whether a text may be a regular expression. Nobody matches by it here, so only what is plainly none is refused:
/// parentheses and brackets that do not close, and nothing at all.
fn is_pattern(text: &str) -> bool {
    let (mut depth, mut in_class, mut escaped) = (0_i32, false, false);
    for character in text.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' if in_class => in_class = false,
            '[' if !in_class => in_class = true,
            '(' if !in_class => depth += 1,
            ')' if !in_class => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    !text.is_empty() && depth == 0 && !in_class && !escaped
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::BrokerConfig;
    use super::*;

    #[test]
    fn a_groups_values_lie_within_what_the_broker_allows() {
        let broker = BrokerConfig::from_properties("group.consumer.max.session.timeout.ms=50000").unwrap();
        let none = BTreeMap::new();
        let layers = ConfigLayers { dynamic_broker: &none, dynamic_default_broker: &none, broker: &broker };
        let check = |pair: &str, expected: Option<&str>| {
            let (name, value) = pair.split_once('=').unwrap();
            let found = check_group(&layers, [(name, value)]).err().map(|error| error.to_string());
            assert_eq!(found.as_deref(), expected, "{pair}");
        };
        check("consumer.session.timeout.ms=45000", None);
        check(
            "consumer.session.timeout.ms=44999",
            Some("consumer.session.timeout.ms: 44999 is less than group.consumer.min.session.timeout.ms"),
        );
        check(
            "consumer.session.timeout.ms=50001",
            Some("consumer.session.timeout.ms: 50001 is more than group.consumer.max.session.timeout.ms"),
        );
        check(
            "streams.num.standby.replicas=3",
            Some("streams.num.standby.replicas: 3 is more than group.streams.max.standby.replicas"),
        );
        check("streams.initial.rebalance.delay.ms=100000", None);
        check(
            "share.partition.max.record.locks=4001",
            Some(
                "share.partition.max.record.locks: 4001 is more than group.share.max.partition.max.record.locks",
            ),
        );
        for good in ["earliest", "latest", "by_duration:PT1H", "by_duration:P1DT2M3.5S", "by_duration:P3D"] {
            check(&format!("share.auto.offset.reset={good}"), None);
        }
        for bad in [
            "none",
            "by_duration:",
            "by_duration:P",
            "by_duration:PT",
            "by_duration:1H",
            "by_duration:PT1M1H",
        ] {
            let problem = format!(
                "share.auto.offset.reset: '{bad}' is none of earliest, latest and by_duration:<PnDTnHnMn.nS>"
            );
            check(&format!("share.auto.offset.reset={bad}"), Some(&problem));
        }
    }

    #[test]
    fn a_subscription_says_which_clients_and_how_often() {
        let check = |name, value, expected: Option<bool>| {
            let found = check_client_metrics(name, value).err().map(|(is_value, _)| is_value);
            assert_eq!(found, expected, "{name}={value}");
        };
        for (value, expected) in
            [("100", None), ("3600000", None), ("99", Some(false)), ("3600001", Some(false))]
        {
            check("interval.ms", value, expected);
        }
        for good in ["", "client_id=a", "client_id=[(],client_source_port=90.*", r"client_software_name=a\(b"]
        {
            check("match", good, None);
        }
        for bad in
            ["client_id", "client_id=", "=a", "client_id=a=b", "nonsense=1", "client_id=(", "client_id=a)"]
        {
            check("match", bad, Some(true));
        }
        check("metrics", "org.apache.kafka.,*", None);
    }
}
