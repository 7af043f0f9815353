//! `storage format`: makes a directory that of a broker. A broker here is the whole cluster and its only controller.

use anabranch_broker::storage;
use anabranch_client::Uuid;
use anabranch_host::Host;
use anyhow::{Context, Result, bail};
use clap::Args;

use super::Place;
use super::features::{RELEASE, check_level, check_release};

/// What format takes.
#[derive(Debug, Args)]
pub(super) struct FormatArguments {
    /// The id of the cluster.
    #[arg(short = 't', long, value_name = "ID", allow_hyphen_values = true)]
    cluster_id: String,
    /// Not an error if the directory is formatted already.
    #[arg(short = 'g', long)]
    ignore_formatted: bool,
    /// There is one broker, and it is the only controller; as it always is here.
    #[arg(short = 's', long, conflicts_with_all = ["no_initial_controllers", "initial_controllers"])]
    standalone: bool,
    /// Name no controllers; the broker is its own.
    #[arg(short = 'N', long, conflicts_with = "initial_controllers")]
    no_initial_controllers: bool,
    /// The controllers, of which there is one here, this broker; and the id of its directory.
    #[arg(short = 'I', long, value_name = "NODE@HOST:PORT:DIRECTORY")]
    initial_controllers: Option<String>,
    /// The release whose metadata is written; there is only one here.
    #[arg(short = 'r', long, value_name = "RELEASE", default_value = RELEASE)]
    release_version: String,
    /// The level of a feature, which must be the one it has here; may be given many times.
    #[arg(short = 'f', long, value_name = "FEATURE=LEVEL")]
    feature: Vec<String>,
    /// A password of a user; refused, for nobody logs in here.
    #[arg(short = 'S', long, value_name = "MECHANISM=[..]")]
    add_scram: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// The id of the directory, of `1@localhost:9093:JEXY6aqzQY-32P5TStzaFg`.
fn directory_of(controllers: &str, node_id: i32) -> Result<Uuid> {
    let problem =
        || format!("--initial-controllers: '{controllers}' is not of the form 1@localhost:9093:directory-id");
    if controllers.contains(',') {
        bail!("--initial-controllers: there is one controller here, which is the broker itself");
    }
    let (id, address) = controllers.split_once('@').with_context(problem)?;
    let (address, directory) = address.rsplit_once(':').with_context(problem)?;
    let (_, port) = address.rsplit_once(':').with_context(problem)?;
    port.parse::<u16>().with_context(problem)?;
    if id.parse::<i32>().with_context(problem)? != node_id {
        bail!("--initial-controllers: the only controller is this broker, which is node {node_id}, not {id}");
    }
    directory.parse().ok().with_context(problem)
}

impl FormatArguments {
    pub(super) async fn run(&self, host: &Host) -> Result<()> {
        if self.cluster_id.parse::<Uuid>().is_err() {
            bail!("--cluster-id: '{}' is no id; `anabranch storage random-uuid` makes one", self.cluster_id);
        }
        if !self.add_scram.is_empty() {
            bail!("--add-scram: nobody logs in here, so a password would protect nothing");
        }
        check_release(&self.release_version)?;
        self.feature.iter().try_for_each(|feature| check_level(feature))?;
        let (config, path) = self.place.settle()?;
        let controllers = self.initial_controllers.as_deref();
        let directory_id = controllers.map(|text| directory_of(text, config.node_id)).transpose()?;
        let kind =
            if self.standalone || directory_id.is_some() { "dynamic metadata voter" } else { "metadata" };
        match storage::format(host, &path, config.node_id, &self.cluster_id, directory_id).await? {
            true => {
                println!("Formatting {kind} directory {} with metadata.version {RELEASE}.", path.display())
            }
            false if self.ignore_formatted => println!("All of the log directories are already formatted."),
            false => bail!(
                "Log directory {} is already formatted. Use --ignore-formatted to ignore this directory and format the others.",
                path.display()
            ),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_controller_is_the_broker() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = directory_of(text, 1).map(|id| id.to_string()).map_err(|error| error.to_string());
            match expected {
                Ok(id) => assert_eq!(found.as_deref(), Ok(id), "{text}"),
                Err(problem) => assert!(found.unwrap_err().contains(problem), "{text}"),
            }
        };
        check("1@localhost:9093:JEXY6aqzQY-32P5TStzaFg", Ok("JEXY6aqzQY-32P5TStzaFg"));
        check("1@[::1]:9093:JEXY6aqzQY-32P5TStzaFg", Ok("JEXY6aqzQY-32P5TStzaFg"));
        check("2@localhost:9093:JEXY6aqzQY-32P5TStzaFg", Err("which is node 1, not 2"));
        check("1@a:1:JEXY6aqzQY-32P5TStzaFg,2@b:1:JEXY6aqzQY-32P5TStzaFg", Err("one controller"));
        for bad in ["nonsense", "1@localhost", "1@localhost:9093", "1@localhost:9093:x", "1@h:p:x"] {
            check(bad, Err("is not of the form"));
        }
    }
}
