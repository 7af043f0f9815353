//! `--reset-offsets`: where a group is to go on, shown (`--dry-run`), as CSV (`--export`), or done (`--execute`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anabranch_client::{Admin, OffsetAndMetadata, PlannedReset, ResetTo, TopicPartition};
use anyhow::{Context, Result, bail};
use clap::Args;

use super::parse_topics;
use crate::connect::read_text;
use crate::datetime::{now_ms, parse_datetime_ms, parse_duration_ms};
use crate::output::Table;

/// Which partitions, and where to.
#[derive(Debug, Args)]
pub(super) struct ResetArguments {
    /// A topic, or some of its partitions as topic:0,1; may be given many times.
    #[arg(long, value_name = "TOPIC[:N,..]")]
    topic: Vec<String>,
    /// All topics the group has offsets of.
    #[arg(long)]
    all_topics: bool,
    /// To the first record.
    #[arg(long)]
    to_earliest: bool,
    /// To the end.
    #[arg(long)]
    to_latest: bool,
    /// To where the group is.
    #[arg(long)]
    to_current: bool,
    /// To this offset.
    #[arg(long, value_name = "OFFSET")]
    to_offset: Option<i64>,
    /// To the first record of this time: 2026-01-31T12:00:00.000
    #[arg(long, value_name = "TIME")]
    to_datetime: Option<String>,
    /// So much forth, or back if negative.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// To the first record of so long ago: P1DT2H
    #[arg(long, value_name = "DURATION")]
    by_duration: Option<String>,
    /// To the offsets in a file of lines topic,partition,offset or group,topic,partition,offset
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
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

/// Where to.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    To(ResetTo),
    /// By group, if the file names groups.
    File(Vec<(Option<String>, TopicPartition, i64)>),
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
        let mut targets = Vec::new();
        targets.extend(self.to_earliest.then_some(Target::To(ResetTo::Earliest)));
        targets.extend(self.to_latest.then_some(Target::To(ResetTo::Latest)));
        targets.extend(self.to_current.then_some(Target::To(ResetTo::Current)));
        targets.extend(self.to_offset.map(|offset| Target::To(ResetTo::Offset(offset))));
        targets.extend(self.shift_by.map(|records| Target::To(ResetTo::ShiftBy(records))));
        if let Some(text) = &self.to_datetime {
            targets.push(Target::To(ResetTo::Timestamp(parse_datetime_ms(text)?)));
        }
        if let Some(text) = &self.by_duration {
            let since_ms = now_ms().saturating_sub(parse_duration_ms(text)?);
            targets.push(Target::To(ResetTo::Timestamp(since_ms)));
        }
        if let Some(path) = &self.from_file {
            let offsets = parse_file(&read_text(path)?).with_context(|| path.display().to_string())?;
            targets.push(Target::File(offsets));
        }
        if targets.len() > 1 {
            bail!(
                "give only one of --to-earliest, --to-latest, --to-current, --to-offset, --to-datetime, --shift-by, --by-duration, --from-file"
            );
        }
        let Some(target) = targets.pop() else {
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
    let mut table = Table::new(&["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"]);
    for group in groups {
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
        table.print(as_json);
    }
    Ok(())
}

/// The new offset of each partition, within what there is.
async fn settle(admin: &Admin, group: &str, plan: &Plan<'_>) -> Result<BTreeMap<TopicPartition, i64>> {
    let mut planned = BTreeMap::new();
    match &plan.target {
        Target::To(to) => {
            let known = admin.committed_offsets(group, None).await?.into_keys().collect();
            let partitions = plan.arguments.partitions(admin, known).await?;
            let partitions: Vec<TopicPartition> = partitions.into_iter().collect();
            planned.extend(admin.plan_reset(group, &partitions, *to).await?);
        }
        Target::File(offsets) => {
            for (_, name, offset) in
                offsets.iter().filter(|(of, ..)| of.as_ref().is_none_or(|of| of == group))
            {
                let to = ResetTo::Offset(*offset);
                planned.extend(admin.plan_reset(group, std::slice::from_ref(name), to).await?);
            }
        }
    }
    let mut settled = BTreeMap::new();
    for (name, planned) in planned {
        let PlannedReset { wanted, offset } = planned?;
        if wanted != offset {
            eprintln!("{name}: offset {wanted} is out of range, {offset} is taken");
        }
        settled.insert(name, offset);
    }
    Ok(settled)
}

/// Lines of three columns, or of four with the group first; quotes are dropped.
fn parse_file(text: &str) -> Result<Vec<(Option<String>, TopicPartition, i64)>> {
    let mut offsets = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split(',').map(|cell| cell.trim().trim_matches('"')).collect();
        let (group, topic, partition, offset) = match cells.as_slice() {
            [topic, partition, offset] => (None, topic, partition, offset),
            [group, topic, partition, offset] => (Some((*group).to_string()), topic, partition, offset),
            _ => bail!("'{line}' is not of the form topic,partition,offset"),
        };
        match (partition.parse(), offset.parse()) {
            (Ok(partition), Ok(offset)) => {
                offsets.push((group, TopicPartition::new(*topic, partition), offset))
            }
            _ => bail!("'{line}' is not of the form topic,partition,offset"),
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_three_columns_or_four() {
        let parsed = parse_file("\"t\",0,5\n\ng,t,1,7\n").unwrap();
        let expected =
            [(None, TopicPartition::new("t", 0), 5), (Some("g".to_string()), TopicPartition::new("t", 1), 7)];
        assert_eq!(parsed, expected);
        assert!(parse_file("t,x,5").is_err() && parse_file("t,5").is_err());
    }
}
