//! `anabranch server`: one broker in this process, until ctrl-c or SIGTERM.
//!
//! The first signal lets what is under way end, within `--shutdown-timeout`; a second one ends the process at once. What
//! was acknowledged is kept in any case: the next start then recovers it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anabranch_broker::{Broker, BrokerConfig};
use anabranch_host::Host;
use anyhow::{Context, Result, bail};
use clap::Args;

use crate::loggers::Levels;
use crate::logging::LogFormat;
use tokio::signal::unix::{SignalKind, signal};

/// What the command takes.
#[derive(Debug, Args)]
pub(crate) struct ServerArguments {
    /// Where the broker keeps its data; made if it is not there.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where it listens for clients (0.0.0.0:9092 if neither this nor the file says so).
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// A file of Kafka's keys, as a server.properties is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One of Kafka's keys, stronger than the file; may be given many times.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Where /metrics (Prometheus) and /health are answered; `none`: nowhere.
    #[arg(long, value_name = "HOST:PORT")]
    metrics: Option<String>,
    /// The form of the log.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
    /// Seconds that a clean stop may take; after them the process ends as it is.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    shutdown_timeout: u64,
}

/// Where `/metrics` is answered if nobody says so; if it is taken, nowhere.
const DEFAULT_METRICS: &str = "127.0.0.1:9464";

pub(crate) fn run(arguments: ServerArguments, levels: Levels) -> Result<()> {
    let config = configure(&arguments)?;
    if config.log_dir.is_none() {
        bail!("there is no data directory: give --data-dir DIR, or log.dirs in the file of --config");
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let (host, runtime) =
        Host::real(config.num_io_threads.min(processors)).context("cannot start threads")?;
    let shutdown_timeout = Duration::from_secs(arguments.shutdown_timeout);
    runtime.block_on(serve(host, config, levels, shutdown_timeout))
}

async fn serve(host: Host, config: BrokerConfig, levels: Levels, shutdown_timeout: Duration) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for ctrl-c")?;
    let is_default = config.metrics_listener.as_deref() == Some(DEFAULT_METRICS);
    let broker = Broker::open(host.clone(), config).await?;
    broker.set_loggers(Arc::new(levels));
    let opened = match broker.listen().await {
        Ok(_) => match broker.listen_for_metrics().await {
            Err(error) if is_default => {
                tracing::warn!(%error, "/metrics and /health are not answered: `--metrics` takes another address, or `none`");
                Ok(())
            }
            opened => opened.map(drop),
        },
        Err(error) => Err(error),
    };
    if let Err(error) = opened {
        broker.shutdown().await;
        return Err(error.into());
    }
    tracing::info!(cluster = broker.cluster_id(), "ready");
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    let stopped = tokio::select! {
        biased;
        stopped = host.timeout(shutdown_timeout, broker.shutdown()) => stopped.is_ok(),
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
    };
    if !stopped {
        bail!("the stop was not waited for; the next start recovers what was acknowledged");
    }
    tracing::info!("stopped");
    Ok(())
}

fn configure(arguments: &ServerArguments) -> Result<BrokerConfig> {
    let mut config = match &arguments.config {
        None => BrokerConfig::default(),
        Some(path) => {
            // The user's file, read once before there is a broker: no part of what `host` is the door to.
            #[allow(clippy::disallowed_methods, reason = "the command line reads a file its user names")]
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            BrokerConfig::from_properties(&text).with_context(|| path.display().to_string())?
        }
    };
    let overrides: Vec<(&str, &str)> = arguments
        .overrides
        .iter()
        .map(|pair| {
            pair.split_once('=')
                .with_context(|| format!("--override {pair}: it must have the form key=value"))
        })
        .collect::<Result<_>>()?;
    config = config.with(overrides)?;
    if let Some(data_dir) = &arguments.data_dir {
        let path = data_dir.to_str().context("--data-dir: the path must be UTF-8")?;
        config.set("log.dirs", path)?;
    }
    match arguments.metrics.as_deref() {
        Some("none") => config.set("metrics.listener", "")?,
        Some(address) => config.set("metrics.listener", address).context("--metrics")?,
        None if config.explicit("metrics.listener").is_none() => {
            config.set("metrics.listener", DEFAULT_METRICS)?;
        }
        None => {}
    }
    if let Some(address) = &arguments.listen {
        config.set("listeners", &format!("PLAINTEXT://{address}")).context("--listen")?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        server: ServerArguments,
    }

    fn check(line: &str, expect: Result<(&str, &str), &str>) {
        let words = std::iter::once("server").chain(line.split_whitespace());
        let config = configure(&Line::try_parse_from(words).unwrap().server);
        let found = config.as_ref().map(|config| {
            (config.log_dir.as_ref().unwrap().display().to_string(), config.listeners[0].to_string())
        });
        let expect = expect.map(|(dir, listener)| (dir.to_string(), listener.to_string()));
        assert_eq!(found.map_err(|error| format!("{error:#}")), expect.map_err(str::to_string), "{line}");
    }

    #[test]
    fn metrics_are_answered_on_loopback_unless_somebody_says_otherwise() {
        for (line, expected) in [
            ("", Some(DEFAULT_METRICS)),
            ("--override metrics.listener=", None),
            ("--override metrics.listener=h:1", Some("h:1")),
            ("--metrics h:2 --override metrics.listener=h:1", Some("h:2")),
            ("--metrics none", None),
        ] {
            let words = std::iter::once("server").chain(line.split_whitespace());
            let config = configure(&Line::try_parse_from(words).unwrap().server).unwrap();
            assert_eq!(config.metrics_listener.as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn arguments_are_stronger_than_overrides_and_these_than_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file.as_file(), b"log.dirs=/file\nlisteners=PLAINTEXT://file:1\n")
            .unwrap();
        let path = file.path().display();
        check(&format!("--config {path}"), Ok(("/file", "PLAINTEXT://file:1")));
        check(&format!("--config {path} --override log.dirs=/o"), Ok(("/o", "PLAINTEXT://file:1")));
        check(
            "--override log.dirs=/o --data-dir /d --listen 127.0.0.1:5",
            Ok(("/d", "PLAINTEXT://127.0.0.1:5")),
        );
        check("--override log.dirs", Err("--override log.dirs: it must have the form key=value"));
        check("--override a.b=c", Err("a.b: unknown key"));
        check(
            "--listen nowhere",
            Err("--listen: listeners: 'PLAINTEXT://nowhere' is not of the form NAME://host:port"),
        );
        check("--metrics 9464", Err("--metrics: metrics.listener: '9464' is not of the form host:port"));
        check("--config /not/there", Err("/not/there: No such file or directory (os error 2)"));
    }
}
