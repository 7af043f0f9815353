//! `--reset-offsets`: where a group is to go on, shown (`--dry-run`), as CSV (`--export`), or done (`--execute`).

use std::collections::{BTreeMap, BTreeSet};

use anabranch_client::{Admin, ErrorCode, OffsetAndMetadata, TopicPartition};
use anyhow::{Context, Result, bail};
use clap::Args;

use super::parse_topics;
use crate::output::Table;
use crate::reset_target::{Target, TargetArguments};

/// Which partitions, and where to.
#[derive(Debug, Args)]
pub(super) struct ResetArguments {
    /// A topic, or some of its partitions as topic:0,1; may be given many times.
    #[arg(long, value_name = "TOPIC[:N,..]")]
    topic: Vec<String>,
    /// All topics the group has offsets of.
    #[arg(long)]
    all_topics: bool,
    #[command(flatten)]
    target: TargetArguments,
    /// Only show.
    #[arg(long)]
    dry_run: bool,
    /// Do it.
    #[arg(long)]
    execute: bool,
    /// Print CSV.
    #[arg(long)]
    export: bool,
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    arguments: &'a ResetArguments,
    target: Target,
}

impl ResetArguments {
    /// Checks the arguments.
    pub(super) fn plan(&self) -> Result<Plan<'_>> {
        let Some(target) = self.target.target()? else {
            bail!(
                "say where to: --to-earliest, --to-latest, --to-current, --to-offset, --to-datetime, --shift-by, --by-duration or --from-file"
            );
        };
        if self.execute && (self.dry_run || self.export) {
            bail!("--execute and --dry-run (or --export) contradict each other");
        }
        if self.topic.is_empty() && !self.all_topics && !matches!(target, Target::File(_)) {
            bail!("say which topics: --topic or --all-topics");
        }
        if !self.execute && !self.dry_run && !self.export {
            eprintln!("nothing is changed; give --execute to do it");
        }
        Ok(Plan { arguments: self, target })
    }

    /// The partitions that `--topic` names; `known` for `--all-topics`.
    pub(super) async fn partitions(
        &self,
        admin: &Admin,
        known: BTreeSet<TopicPartition>,
    ) -> Result<BTreeSet<TopicPartition>> {
        if self.topic.is_empty() {
            return Ok(known);
        }
        let topics = parse_topics(&self.topic)?;
        let names: Vec<&str> = topics.iter().map(|(name, _)| name.as_str()).collect();
        let described = admin.describe_topics(&names).await?;
        let mut partitions = BTreeSet::new();
        for (name, wanted) in &topics {
            let count = match described.get(name) {
                Some(Ok(topic)) => topic.partitions.len() as i32,
                Some(Err(error)) => bail!("{error}"),
                None => bail!("{name} is not described"),
            };
            match wanted {
                None => partitions.extend((0..count).map(|index| TopicPartition::new(name.as_str(), index))),
                Some(wanted) => match wanted.iter().find(|index| !(0..count).contains(index)) {
                    Some(stranger) => bail!("{name} has no partition {stranger}"),
                    None => partitions
                        .extend(wanted.iter().map(|index| TopicPartition::new(name.as_str(), *index))),
                },
            }
        }
        Ok(partitions)
    }
}

pub(super) async fn reset(admin: &Admin, groups: &[String], plan: &Plan<'_>, as_json: bool) -> Result<()> {
    let mut table = Table::aligned(&[("GROUP", 15), ("TOPIC", 15), ("PARTITION", 10), ("NEW-OFFSET", 0)]);
    let mut refused = Vec::new();
    for group in groups {
        if let Some(state) = state_in_the_way(admin, group).await? {
            refused.push(format!(
                "Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
            ));
            continue;
        }
        let offsets = settle(admin, group, plan).await?;
        if plan.arguments.execute {
            let commits =
                offsets.iter().map(|(name, offset)| (name.clone(), OffsetAndMetadata::new(*offset)));
            let commits = commits.collect();
            for (name, result) in admin.commit_offsets(group, &commits).await? {
                result.with_context(|| {
                    format!("{name} is not reset; offsets change only while group '{group}' has no members")
                })?;
            }
        }
        for (name, offset) in offsets {
            if plan.arguments.export {
                match groups.len() {
                    1 => println!("{},{},{offset}", name.topic, name.partition),
                    _ => println!("{group},{},{},{offset}", name.topic, name.partition),
                }
            }
            table.push(vec![
                group.as_str().into(),
                name.topic.to_string().into(),
                name.partition.into(),
                offset.into(),
            ]);
        }
    }
    if !plan.arguments.export {
        if !as_json {
            println!();
        }
        table.print(as_json);
    }
    match refused.is_empty() {
        true => Ok(()),
        false => bail!("{}", refused.join(" ")),
    }
}

/// The state of a group that somebody reads in; none if its offsets are free to be set.
async fn state_in_the_way(admin: &Admin, group: &str) -> Result<Option<String>> {
    match admin.describe_group(group).await {
        Ok(described) if !matches!(described.state.as_str(), "Empty" | "Dead") => Ok(Some(described.state)),
        Ok(_) => Ok(None),
        // Offsets make it.
        Err(error) if error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The new offset of each partition, within what there is.
async fn settle(admin: &Admin, group: &str, plan: &Plan<'_>) -> Result<BTreeMap<TopicPartition, i64>> {
    let partitions = match &plan.target {
        Target::To(_) => {
            let known = admin.committed_offsets(group, None).await?.into_keys().collect();
            plan.arguments.partitions(admin, known).await?
        }
        Target::File(_) => BTreeSet::new(),
    };
    plan.target.settle(admin, group, &partitions.into_iter().collect::<Vec<_>>()).await
}
