//! `anabranch storage`: what `kafka-storage` does: makes ids, formats a data directory before the first start, says what
//! one is.

mod features;
mod format;

use std::path::{Path, PathBuf};

use anabranch_broker::{BrokerConfig, storage};
use anabranch_client::Uuid;
use anabranch_host::Host;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::connect::read_text;

/// What the command takes.
#[derive(Debug, Args)]
pub(crate) struct StorageArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print an id for a new cluster.
    RandomUuid,
    /// Make a directory that of a cluster. A broker does it by itself at its first start, with an id of its own.
    Format(format::FormatArguments),
    /// Print the levels of features.
    VersionMapping(features::MappingArguments),
    /// Print what levels of features need.
    FeatureDependencies(features::DependenciesArguments),
    /// Say what a directory is.
    Info {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// Which directory.
#[derive(Debug, Args)]
struct Place {
    /// The broker's file of keys; log.dirs says which directory.
    #[arg(short = 'c', long, value_name = "FILE", required_unless_present = "data_dir")]
    config: Option<PathBuf>,
    /// The directory, stronger than the file.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn settle(&self) -> Result<(BrokerConfig, PathBuf)> {
        let config = match &self.config {
            None => BrokerConfig::default(),
            Some(path) => BrokerConfig::from_properties(&read_text(path)?)
                .with_context(|| path.display().to_string())?,
        };
        match self.data_dir.clone().or(config.log_dir.clone()) {
            Some(path) => Ok((config, path)),
            None => {
                bail!("there is no data directory: give --data-dir DIR, or log.dirs in the file of --config")
            }
        }
    }
}

pub(crate) fn run(arguments: StorageArguments) -> Result<()> {
    let (host, runtime) = Host::real(1).context("cannot start threads")?;
    runtime.block_on(async {
        match arguments.command {
            Command::RandomUuid => {
                println!("{}", Uuid(host.random_uuid()));
                Ok(())
            }
            Command::Format(arguments) => arguments.run(&host).await,
            Command::VersionMapping(arguments) => features::print_mapping(&arguments),
            Command::FeatureDependencies(arguments) => features::print_dependencies(&arguments),
            Command::Info { json, place } => info(&host, json, &place),
        }
    })
}

fn info(host: &Host, as_json: bool, place: &Place) -> Result<()> {
    let (_, path) = place.settle()?;
    let properties = storage::describe(host, &path)?;
    if as_json {
        let metadata: serde_json::Map<String, Value> =
            properties.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        println!("{}", json!({ "log_dir": path, "formatted": properties.is_some(), "metadata": metadata }));
        return match properties {
            Some(_) => Ok(()),
            None => bail!("{} is not formatted", path.display()),
        };
    }
    println!("Found log directory:\n  {}\n", path.display());
    let Some(properties) = properties else {
        bail!("{} is not formatted", shown(&path));
    };
    let pairs: Vec<String> = properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
    println!("Found metadata: {{{}}}", pairs.join(", "));
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
