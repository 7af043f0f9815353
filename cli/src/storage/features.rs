//! Features and their levels: one release's, for its metadata records are the ones that are written here.

use anabranch_broker::storage::FINALIZED_FEATURES;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

/// The release whose metadata is written, by Kafka's name.
pub(super) const RELEASE: &str = "4.3-IV0";
/// What may stand for it.
const RELEASE_NAMES: [&str; 2] = [RELEASE, "4.3"];
/// The feature that a release is.
const METADATA: &str = "metadata.version";
/// Features that are known and not in force: a broker without them is at their level 0.
const AT_ZERO: [&str; 5] = [
    "eligible.leader.replicas.version",
    "group.version",
    "kraft.version",
    "share.version",
    "streams.version",
];

/// What version-mapping takes.
#[derive(Debug, Args)]
pub(super) struct MappingArguments {
    /// The release; there is only one here.
    #[arg(short = 'r', long, value_name = "RELEASE", default_value = RELEASE)]
    release_version: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What feature-dependencies takes.
#[derive(Debug, Args)]
pub(super) struct DependenciesArguments {
    /// A feature and its level; may be given many times.
    #[arg(short = 'f', long, value_name = "FEATURE=LEVEL", required = true)]
    feature: Vec<String>,
}

/// Refuses a release that is not the one there is.
pub(super) fn check_release(name: &str) -> Result<()> {
    match RELEASE_NAMES.contains(&name) {
        true => Ok(()),
        false => bail!("Unknown metadata.version '{name}'. Supported metadata.version are: {RELEASE}"),
    }
}

/// The level of each feature.
fn levels() -> impl Iterator<Item = (&'static str, i16)> {
    FINALIZED_FEATURES.iter().copied().chain(AT_ZERO.map(|name| (name, 0)))
}

/// `feature=level`, of a feature that is known; and the level that it has here.
fn parse(text: &str) -> Result<(&str, i16, i16)> {
    let (name, level) = text
        .split_once('=')
        .with_context(|| format!("Can't parse feature=level string {text}: equals sign not found."))?;
    let level = level.parse().with_context(|| format!("Can't parse feature=level string {text}"))?;
    match levels().find(|(known, _)| *known == name) {
        Some((_, here)) => Ok((name, level, here)),
        None => {
            let known: Vec<&str> = levels().map(|(name, _)| name).collect();
            bail!("Unsupported feature: {name}. Supported features are: {}", known.join(", "))
        }
    }
}

/// Refuses a level at which a feature cannot be here.
pub(super) fn check_level(text: &str) -> Result<()> {
    match parse(text)? {
        (_, level, here) if level == here => Ok(()),
        (name, level, here) => bail!("--feature {name}={level}: here it is always at level {here}"),
    }
}

/// The release that a level of the metadata stands for.
fn release_of(name: &str) -> String {
    if name == METADATA { format!(" ({RELEASE})") } else { String::new() }
}

pub(super) fn print_mapping(arguments: &MappingArguments) -> Result<()> {
    check_release(&arguments.release_version)?;
    if arguments.json {
        let rows = levels().map(|(name, level)| json!({ "feature": name, "level": level }));
        println!("{}", Value::Array(rows.collect()));
        return Ok(());
    }
    for (name, level) in levels() {
        println!("{name}={level}{}", release_of(name));
    }
    Ok(())
}

pub(super) fn print_dependencies(arguments: &DependenciesArguments) -> Result<()> {
    for text in &arguments.feature {
        let (name, level, here) = parse(text)?;
        if level != here {
            bail!("Feature level {level} is not supported for feature {name}");
        }
        println!("{name}={level}{} has no dependencies.", release_of(name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_force_can_be_asked_for() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(check_level(text).err().map(|error| error.to_string()).as_deref(), expected);
        };
        check("metadata.version=30", None);
        check("transaction.version=2", None);
        check("group.version=0", None);
        check("group.version=1", Some("--feature group.version=1: here it is always at level 0"));
        check("metadata.version=29", Some("--feature metadata.version=29: here it is always at level 30"));
        check(
            "transaction.version",
            Some("Can't parse feature=level string transaction.version: equals sign not found."),
        );
        assert!(
            check_level("nonsense=1").unwrap_err().to_string().starts_with("Unsupported feature: nonsense.")
        );
        assert!(check_release("4.3").is_ok() && check_release("3.0").is_err());
    }
}
