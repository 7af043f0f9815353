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
    #[arg(long, aliases = ["broker-list", "bootstrap-controller"], value_name = "HOST:PORT,..", global = true)]
    bootstrap_server: Option<String>,
    /// A file of properties of the client, and of the producer or consumer if there is one.
    #[arg(long, aliases = ["producer.config", "consumer.config", "config-file"], value_name = "FILE", global = true)]
    command_config: Option<PathBuf>,
    /// Settings of the client that come from elsewhere, stronger than the file.
    #[arg(skip)]
    settings: Vec<(String, String)>,
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

/// An option of Kafka's tools that has nothing to set here: scripts go on, and whoever reads is told.
pub(crate) fn ignored<T>(option: &str, value: &Option<T>, why: &str) {
    if value.is_some() {
        eprintln!("{option} is ignored: {why}");
    }
}

impl Connection {
    /// Settings of a producer or consumer and of the client beneath it, the strongest last: those of the file, then those
    /// of `properties`, each `key=value`, as `option` gives them, then `settings`, which have options of their own. `set`
    /// takes what is not the client's, and says whether it knows the key.
    pub(crate) fn configure(
        &mut self,
        settings: &[(&str, Option<String>)],
        (option, properties): (&str, &[String]),
        mut set: impl FnMut(&str, &str) -> anabranch_client::Result<bool>,
    ) -> Result<()> {
        if let Some(path) = &self.command_config {
            for (key, value) in read_properties(path)? {
                set(&key, &value).with_context(|| path.display().to_string())?;
            }
        }
        let mut pairs = properties.iter().map(|text| parse_pair(text)).collect::<Result<Vec<_>>>()?;
        let named = settings.iter().filter_map(|(key, value)| Some(((*key).to_string(), value.clone()?)));
        pairs.extend(named);
        for (key, value) in pairs {
            if ClientConfig::KEYS.contains(&key.as_str()) {
                self.settings.push((key, value));
            } else if !set(&key, &value)? {
                bail!("{option}: {key} is no setting that is known here");
            }
        }
        Ok(())
    }

    /// Gives every call so long.
    pub(crate) fn within_ms(mut self, timeout_ms: Option<u64>) -> Self {
        let setting = timeout_ms.map(|time| ("default.api.timeout.ms".to_string(), time.to_string()));
        self.settings.extend(setting);
        self
    }

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
        for (key, value) in &self.settings {
            config.set(key, value)?;
        }
        if let Some(servers) = &self.bootstrap_server {
            config.set("bootstrap.servers", servers)?;
        } else if config.bootstrap_servers.is_empty() {
            config.set("bootstrap.servers", DEFAULT_SERVER)?;
        }
        config.validate()?;
        Ok(config)
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
    fn the_strongest_setting_is_the_one_named_last() {
        let mut connection =
            Connection { bootstrap_server: None, command_config: None, settings: Vec::new() };
        let mut taken = Vec::new();
        let named =
            [("linger.ms", Some("5".to_string())), ("client.id", Some("a".to_string())), ("acks", None)];
        let properties = ["client.id=b", "bootstrap.servers=h:1", "linger.ms=6"].map(str::to_string);
        let set = |key: &str, value: &str| {
            taken.push(format!("{key}={value}"));
            Ok(key == "linger.ms")
        };
        connection.configure(&named, ("--command-property", &properties), set).unwrap();
        assert_eq!(taken, ["linger.ms=6", "linger.ms=5"]);
        let config = connection.config().unwrap();
        assert_eq!(
            (config.client_id.as_str(), &config.bootstrap_servers[..]),
            ("a", &["h:1".to_string()][..])
        );
        let unknown = ["linger=6".to_string()];
        let error =
            connection.configure(&[], ("--command-property", &unknown), |_, _| Ok(false)).unwrap_err();
        assert_eq!(error.to_string(), "--command-property: linger is no setting that is known here");
        connection.bootstrap_server = Some("i:2".to_string());
        assert_eq!(connection.config().unwrap().bootstrap_servers, ["i:2"]);
    }

    #[test]
    fn pairs_keep_what_follows_the_first_equals_sign() {
        assert_eq!(parse_pair("a=b=c").unwrap(), ("a".to_string(), "b=c".to_string()));
        assert_eq!(parse_pair("ab").unwrap_err().to_string(), "'ab' is not of the form key=value");
    }
}
