//! How many connections there may be, and of one address: `max.connections`, `max.connections.per.ip` and its overrides;
//! and the addresses of what is no listener for Kafka's clients.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::ConfigError;
use super::key::split_list;
use super::topic::ConfigLayers;

/// The limits of connections, as they are right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The most at one time.
    pub all: usize,
    /// The most of one address.
    pub per_ip: ConnectionsPerIp,
    /// The most that are accepted in a second; none: any number.
    pub creation_rate: Option<u32>,
}

impl ConnectionLimits {
    /// The keys that take effect while the broker runs: whoever connects next is counted by them.
    pub const DYNAMIC: [&'static str; 4] =
        ["max.connections", "max.connections.per.ip", OVERRIDES, "max.connection.creation.rate"];

    /// Settles the layers. A stored value that is not understood counts as unset.
    #[must_use]
    pub fn settle(layers: &ConfigLayers<'_>) -> ConnectionLimits {
        let number = |name| layers.broker_value(name, |value| value.parse().ok()).unwrap_or(usize::MAX);
        let limit = number("max.connections.per.ip");
        let per_ip = layers.broker_value(OVERRIDES, |value| ConnectionsPerIp::settle(limit, value).ok());
        ConnectionLimits {
            all: number("max.connections"),
            per_ip: per_ip.unwrap_or(ConnectionsPerIp { limit, overrides: BTreeMap::new() }),
            creation_rate: u32::try_from(number("max.connection.creation.rate"))
                .ok()
                .filter(|rate| *rate < i32::MAX as u32),
        }
    }

    /// What is wrong with a value that one of the keys is to have from now on, beyond its kind.
    pub(crate) fn check(layers: &ConfigLayers<'_>, name: &str, value: &str) -> Result<(), String> {
        match name {
            OVERRIDES => ConnectionsPerIp::settle(0, value).map(drop).map_err(|error| error.problem),
            // Nobody could come to set it back.
            "max.connections" if value == "0" => Err("it must be at least 1".to_string()),
            "max.connections.per.ip" if value == "0" => {
                let overrides = layers.broker_value(OVERRIDES, |value| Some(value.to_string()));
                match overrides.is_some_and(|overrides| !overrides.is_empty()) {
                    true => Ok(()),
                    false => Err(format!("it can be zero only if {OVERRIDES} is set")),
                }
            }
            _ => Ok(()),
        }
    }
}

const OVERRIDES: &str = "max.connections.per.ip.overrides";

/// The most connections of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionsPerIp {
    /// Of any address that is not named.
    pub limit: usize,
    /// Of those that are named.
    pub overrides: BTreeMap<IpAddr, usize>,
}

impl ConnectionsPerIp {
    /// Reads the two keys; the second is of the form `address:limit,...`.
    pub(super) fn settle(limit: usize, overrides: &str) -> Result<ConnectionsPerIp, ConfigError> {
        let parse = |entry: &str| {
            let (address, limit) = entry
                .rsplit_once(':')
                .ok_or_else(|| format!("'{entry}' is not of the form address:limit"))?;
            let address = match address {
                "localhost" => IpAddr::from([127, 0, 0, 1]),
                // Kafka asks the name service at the start; what it answers may change later, unseen.
                _ => address
                    .parse::<IpAddr>()
                    .map_err(|_| format!("'{address}' is no address; names are not looked up"))?,
            };
            let limit = limit.parse::<u32>().map_err(|_| format!("'{limit}' is no number of connections"))?;
            Ok((address.to_canonical(), limit as usize))
        };
        let overrides = split_list(overrides)
            .map(parse)
            .collect::<Result<_, String>>()
            .map_err(|problem| ConfigError::new(OVERRIDES, problem))?;
        Ok(ConnectionsPerIp { limit, overrides })
    }

    /// The most connections of `address`.
    #[must_use]
    pub fn limit_of(&self, address: &IpAddr) -> usize {
        self.overrides.get(address).copied().unwrap_or(self.limit)
    }
}

/// A value of the form `host:port`; none if it is empty.
pub(super) fn address(key: &str, text: &str) -> Result<Option<String>, ConfigError> {
    let is_address = |text: &str| {
        let (host, port) = text.rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok()).then_some(())
    };
    match text {
        "" => Ok(None),
        _ if is_address(text).is_some() => Ok(Some(text.to_string())),
        _ => Err(ConfigError::new(key, format!("'{text}' is not of the form host:port"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(overrides: &str, expect: Result<&[(&str, usize)], &str>) {
        let found = ConnectionsPerIp::settle(7, overrides).map_err(|error| error.problem);
        match expect {
            Ok(limits) => {
                let found = found.unwrap();
                for (address, limit) in limits {
                    assert_eq!(found.limit_of(&address.parse().unwrap()), *limit, "{address} by {overrides}");
                }
            }
            Err(problem) => assert_eq!(found.unwrap_err(), problem, "{overrides}"),
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        let check = |text, expected: Result<Option<&str>, &str>| {
            let found = address("k", text).map_err(|error| error.to_string());
            assert_eq!(found, expected.map(|text| text.map(str::to_string)).map_err(str::to_string));
        };
        check("", Ok(None));
        check("127.0.0.1:0", Ok(Some("127.0.0.1:0")));
        check("[::1]:9464", Ok(Some("[::1]:9464")));
        for bad in ["9464", ":9464", "host:99999"] {
            check(bad, Err(&format!("k: '{bad}' is not of the form host:port")));
        }
    }

    #[test]
    fn addresses_have_the_limit_or_their_own() {
        check("", Ok(&[("10.0.0.1", 7), ("::1", 7)]));
        check("10.0.0.1:0, ::1:3,localhost:9", Ok(&[("10.0.0.1", 0), ("::1", 3), ("127.0.0.1", 9)]));
        check("::ffff:10.0.0.1:2", Ok(&[("10.0.0.1", 2)]));
        check("10.0.0.1", Err("'10.0.0.1' is not of the form address:limit"));
        check("host.example:3", Err("'host.example' is no address; names are not looked up"));
        check("10.0.0.1:-1", Err("'-1' is no number of connections"));
    }
}
