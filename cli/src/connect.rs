//! What all commands that talk to a broker share: where it is, and how its answers become one line of error.

use std::path::{Path, PathBuf};

use anabranch_broker::config::properties::parse_properties;
use anabranch_client::{Client, ClientConfig};
use anabranch_host::Host;
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

/// Where a broker is asked for if nothing is said.
const DEFAULT_SERVER: &str = "127.0.0.1:9092";

/// Where the brokers are.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// The brokers to connect to [default: bootstrap.servers of the file, or 127.0.0.1:9092]
    #[arg(long, alias = "broker-list", value_name = "HOST:PORT,..", global = true)]
    bootstrap_server: Option<String>,
    /// A file of client properties.
    #[arg(long, value_name = "FILE", global = true)]
    command_config: Option<PathBuf>,
}

/// A file that the user names, as keys and values.
pub(crate) fn read_properties(path: &Path) -> Result<Vec<(String, String)>> {
    parse_properties(&read_text(path)?).map_err(|wrong| anyhow!("{}: {wrong}", path.display()))
}

/// A file that the user names.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    #[allow(clippy::disallowed_methods, reason = "the command line reads a file its user names")]
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// `key=value` of an argument.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String)> {
    let (key, value) =
        text.split_once('=').with_context(|| format!("'{text}' is not of the form key=value"))?;
    Ok((key.trim().to_string(), value.to_string()))
}

impl Connection {
    /// The configuration of a client; keys of producers and consumers in the file are not its.
    fn config(&self) -> Result<ClientConfig> {
        let mut config = ClientConfig {
            // Somebody waits at a terminal.
            default_api_timeout_ms: 15_000,
            socket_connection_setup_timeout_ms: 5_000,
            ..ClientConfig::default()
        };
        if let Some(path) = &self.command_config {
            for (key, value) in read_properties(path)? {
                config.set(&key, &value).with_context(|| path.display().to_string())?;
            }
        }
        if let Some(servers) = &self.bootstrap_server {
            config.set("bootstrap.servers", servers)?;
        } else if config.bootstrap_servers.is_empty() {
            config.set("bootstrap.servers", DEFAULT_SERVER)?;
        }
        config.validate()?;
        Ok(config)
    }

    /// Goes to these servers, unless an option says where to.
    pub(crate) fn or_servers(mut self, servers: Option<String>) -> Self {
        self.bootstrap_server = self.bootstrap_server.or(servers);
        self
    }

    /// Runs `work` with a client.
    pub(crate) fn run<T>(&self, work: impl AsyncFnOnce(Client) -> Result<T>) -> Result<T> {
        let config = self.config()?;
        let (host, runtime) = Host::real(2).context("cannot start threads")?;
        runtime.block_on(async {
            let address = config.bootstrap_servers.join(",");
            let client = Client::connect(&host, host.dialer(), config)
                .await
                .with_context(|| format!("no broker answers at {address}"))?;
            work(client).await
        })
    }
}

/// The names that `pattern` chooses: names, or regular expressions, between commas, as Kafka's tools take them.
pub(crate) struct Pattern(regex_lite::Regex);

impl Pattern {
    pub(crate) fn new(pattern: &str) -> Result<Pattern> {
        let alternatives = pattern.trim().replace(',', "|").replace(' ', "");
        let regex = regex_lite::Regex::new(&format!("^(?:{alternatives})$"));
        match regex {
            Ok(regex) if !alternatives.is_empty() => Ok(Pattern(regex)),
            Ok(_) => bail!("'{pattern}' names nothing"),
            Err(error) => bail!("'{pattern}' is neither a name nor a regular expression: {error}"),
        }
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_topics_as_kafkas_does() {
        let check = |pattern: &str, names: &[&str]| {
            let pattern = Pattern::new(pattern).unwrap();
            let all = ["a", "ab", "b.c", "bxc"];
            assert_eq!(all.into_iter().filter(|name| pattern.matches(name)).collect::<Vec<_>>(), names);
        };
        check("a", &["a"]);
        check("a.*", &["a", "ab"]);
        check("a, b.c", &["a", "b.c", "bxc"]);
        check(".*", &["a", "ab", "b.c", "bxc"]);
        assert!(Pattern::new("").is_err() && Pattern::new("(").is_err());
    }

    #[test]
    fn pairs_keep_what_follows_the_first_equals_sign() {
        assert_eq!(parse_pair("a=b=c").unwrap(), ("a".to_string(), "b=c".to_string()));
        assert_eq!(parse_pair("ab").unwrap_err().to_string(), "'ab' is not of the form key=value");
    }
}
