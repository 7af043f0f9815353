//! Where a group is to go on: the flags that say it, and the offsets that come of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anabranch_client::{Admin, PlannedReset, ResetTo, TopicPartition};
use anyhow::{Context, Result, bail};
use clap::Args;

use crate::connect::read_text;
use crate::datetime::{now_ms, parse_datetime_ms, parse_duration_ms};

/// Where to.
#[derive(Debug, Args)]
pub(crate) struct TargetArguments {
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
}

/// Where to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    To(ResetTo),
    /// By group, if the file names groups.
    File(Vec<(Option<String>, TopicPartition, i64)>),
}

impl TargetArguments {
    /// What they say; none if they say nothing.
    pub(crate) fn target(&self) -> Result<Option<Target>> {
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
        Ok(targets.pop())
    }
}

impl Target {
    /// The new offset of each partition, within what there is. A file names the partitions itself.
    pub(crate) async fn settle(
        &self,
        admin: &Admin,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let mut planned = BTreeMap::new();
        match self {
            Target::To(to) => planned.extend(admin.plan_reset(group, partitions, *to).await?),
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
