//! Where the broker listens and what it tells clients: `listeners`, `advertised.listeners` and the keys around them.
//!
//! Kafka's form is `NAME://host:port`. The name leads to a security protocol by `listener.security.protocol.map`; only
//! PLAINTEXT is there, and any other is refused instead of being served in the clear. Listeners named in
//! `controller.listener.names` are for the controllers of a cluster; a single node is its own and does not open them.

use std::fmt;

use super::ConfigError;
use super::key::split_list;

/// One listener, or the address it is advertised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name, which clients never see.
    pub name: String,
    /// The host; empty: all addresses of this machine.
    pub host: String,
    /// The port; 0: a free one.
    pub port: u16,
}

impl Endpoint {
    /// Whether it stands for all addresses of this machine, and so cannot be told to a client.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::")
    }

    /// `host:port`, as one listens on it.
    #[must_use]
    pub fn address(&self) -> String {
        let host = if self.host.is_empty() { "0.0.0.0" } else { &self.host };
        if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, self.address())
    }
}

/// The listeners to open, and for each the endpoint told to clients.
pub(super) fn settle(
    listeners: &str,
    advertised: Option<&str>,
    protocol_map: &str,
    controller_names: &str,
) -> Result<(Vec<Endpoint>, Vec<Endpoint>), ConfigError> {
    let is_controller = |endpoint: &Endpoint| split_list(controller_names).any(|name| name == endpoint.name);
    let mut open = Vec::new();
    for text in split_list(listeners) {
        let endpoint = parse(text).map_err(|problem| ConfigError::new("listeners", problem))?;
        if is_controller(&endpoint) {
            continue;
        }
        match protocol_of(&endpoint.name, protocol_map) {
            Some("PLAINTEXT") => open.push(endpoint),
            Some(protocol) => {
                let problem = format!("{text} asks for {protocol}; this broker speaks PLAINTEXT only");
                return Err(ConfigError::new("listeners", problem));
            }
            None => {
                let problem = format!("{} is not in listener.security.protocol.map", endpoint.name);
                return Err(ConfigError::new("listeners", problem));
            }
        }
    }
    if open.is_empty() {
        return Err(ConfigError::new("listeners", "there is none for clients"));
    }
    let mut told = open.clone();
    for text in split_list(advertised.unwrap_or_default()) {
        let endpoint = parse(text).map_err(|problem| ConfigError::new("advertised.listeners", problem))?;
        if is_controller(&endpoint) {
            continue;
        }
        if endpoint.is_wildcard() {
            let problem = format!("{text} cannot be told to clients; name an address they can reach");
            return Err(ConfigError::new("advertised.listeners", problem));
        }
        match open.iter().position(|listener| listener.name == endpoint.name) {
            Some(index) => told[index] = endpoint,
            None => {
                let problem = format!("{text} has no listener of that name");
                return Err(ConfigError::new("advertised.listeners", problem));
            }
        }
    }
    Ok((open, told))
}

fn protocol_of<'a>(name: &str, protocol_map: &'a str) -> Option<&'a str> {
    split_list(protocol_map)
        .filter_map(|entry| entry.split_once(':'))
        .find(|(mapped, _)| *mapped == name)
        .map(|(_, protocol)| protocol)
}

fn parse(text: &str) -> Result<Endpoint, String> {
    let form = || format!("'{text}' is not of the form NAME://host:port");
    let (name, address) = text.split_once("://").ok_or_else(form)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(form)?;
    let port = port.parse().map_err(|_| format!("'{port}' is not a port"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if name.is_empty() {
        return Err(form());
    }
    Ok(Endpoint { name: name.to_string(), host: host.to_string(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listeners: &str, advertised: Option<&str>, expect: Result<(&str, &str), &str>) {
        let map = "PLAINTEXT:PLAINTEXT,CLIENT:PLAINTEXT,SECURE:SASL_SSL";
        let show =
            |endpoints: &[Endpoint]| endpoints.iter().map(Endpoint::to_string).collect::<Vec<_>>().join(" ");
        let found =
            settle(listeners, advertised, map, "CONTROLLER").map(|(open, told)| (show(&open), show(&told)));
        let expect = expect.map(|(open, told)| (open.to_string(), told.to_string())).map_err(str::to_string);
        assert_eq!(found.map_err(|error| error.to_string()), expect);
    }

    #[test]
    fn listeners_and_what_is_told_of_them() {
        check("PLAINTEXT://:9092", None, Ok(("PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://0.0.0.0:9092")));
        check("PLAINTEXT://[::1]:1", None, Ok(("PLAINTEXT://[::1]:1", "PLAINTEXT://[::1]:1")));
        check(
            "PLAINTEXT://0.0.0.0:1,CONTROLLER://:2,CLIENT://h:3",
            Some("CLIENT://public:30"),
            Ok(("PLAINTEXT://0.0.0.0:1 CLIENT://h:3", "PLAINTEXT://0.0.0.0:1 CLIENT://public:30")),
        );
        check(
            "SECURE://h:1",
            None,
            Err("listeners: SECURE://h:1 asks for SASL_SSL; this broker speaks PLAINTEXT only"),
        );
        check("OTHER://h:1", None, Err("listeners: OTHER is not in listener.security.protocol.map"));
        check("localhost:9092", None, Err("listeners: 'localhost:9092' is not of the form NAME://host:port"));
        check("PLAINTEXT://h:70000", None, Err("listeners: '70000' is not a port"));
        check("CONTROLLER://h:1", None, Err("listeners: there is none for clients"));
        check(
            "PLAINTEXT://h:1",
            Some("PLAINTEXT://0.0.0.0:1"),
            Err(
                "advertised.listeners: PLAINTEXT://0.0.0.0:1 cannot be told to clients; name an address they can reach",
            ),
        );
        check(
            "PLAINTEXT://h:1",
            Some("CLIENT://h:1"),
            Err("advertised.listeners: CLIENT://h:1 has no listener of that name"),
        );
    }
}
