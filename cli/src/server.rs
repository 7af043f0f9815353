//! `anabranch server`: one broker in this process, until ctrl-c or SIGTERM.

use std::path::PathBuf;

use anabranch_broker::{Broker, BrokerConfig};
use anabranch_host::Host;
use anyhow::{Context, Result, bail};
use clap::Args;
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
}

pub(crate) fn run(arguments: ServerArguments) -> Result<()> {
    let config = configure(&arguments)?;
    if config.log_dir.is_none() {
        bail!("there is no data directory: give --data-dir DIR, or log.dirs in the file of --config");
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let (host, runtime) =
        Host::real(config.num_io_threads.min(processors)).context("cannot start threads")?;
    runtime.block_on(serve(host, config))
}

async fn serve(host: Host, config: BrokerConfig) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for ctrl-c")?;
    let broker = Broker::open(host, config).await?;
    if let Err(error) = broker.listen().await {
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
    broker.shutdown().await;
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
        check("--config /not/there", Err("/not/there: No such file or directory (os error 2)"));
    }
}
