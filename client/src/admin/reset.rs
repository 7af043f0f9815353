//! Resetting the offsets of a group: where it shall read on, said in one of Kafka's ways.

use std::collections::BTreeMap;

use super::Admin;
use crate::config::IsolationLevel;
use crate::error::{ClientError, Result};
use crate::group_offsets::OffsetAndMetadata;
use crate::list_offsets::OffsetSpec;
use crate::topic_partition::TopicPartition;

/// Where a group shall read on. What lies outside of the log is moved to its nearer end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetTo {
    /// At the first record that is there.
    Earliest,
    /// At the end.
    Latest,
    /// At this offset.
    Offset(i64),
    /// So many records further, or back.
    ShiftBy(i64),
    /// At the first record of this time (milliseconds since 1970) or later; at the end, if there is none.
    Timestamp(i64),
    /// Where it is; at the end, if it is nowhere.
    Current,
}

/// Where a partition is to be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedReset {
    /// What was asked for.
    pub wanted: i64,
    /// The same, within the log.
    pub offset: i64,
}

impl Admin {
    /// Where [`Admin::reset_offsets`] would lead; nothing is changed. Answers for each partition.
    ///
    /// # Errors
    /// Retriable, if the coordinator or a leader does not answer in time.
    pub async fn plan_reset(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        to: ResetTo,
    ) -> Result<BTreeMap<TopicPartition, Result<PlannedReset>>> {
        let all = |spec| partitions.iter().map(|name| (name.clone(), spec)).collect::<BTreeMap<_, _>>();
        let level = IsolationLevel::ReadUncommitted;
        let starts = self.list_offsets(&all(OffsetSpec::Earliest), level).await;
        let ends = self.list_offsets(&all(OffsetSpec::Latest), level).await;
        let at_times = match to {
            ResetTo::Timestamp(time) => self.list_offsets(&all(OffsetSpec::Timestamp(time)), level).await,
            _ => BTreeMap::new(),
        };
        let committed = match to {
            ResetTo::Current | ResetTo::ShiftBy(_) => self.committed_offsets(group, Some(partitions)).await?,
            _ => BTreeMap::new(),
        };
        let mut plan = BTreeMap::new();
        for name in partitions {
            let listed = |from: &BTreeMap<TopicPartition, Result<crate::list_offsets::ListedOffset>>| {
                let no_answer = || Err(ClientError::corrupt(format!("{name}: no answer")));
                from.get(name).cloned().unwrap_or_else(no_answer).map(|listed| listed.offset)
            };
            let target = || {
                let known = Known {
                    start: listed(&starts)?,
                    end: listed(&ends)?,
                    committed: committed.get(name).map(|offset| offset.offset),
                    at_time: if at_times.is_empty() { None } else { Some(listed(&at_times)?) },
                };
                target(to, known).ok_or_else(|| {
                    ClientError::invalid(format!("{name}: group {group} has no offset that could be shifted"))
                })
            };
            plan.insert(name.clone(), target());
        }
        Ok(plan)
    }

    /// Makes a group without members read on elsewhere; answers where for each partition. Partitions that have a leader no
    /// more, or no offset to shift, are left as they are.
    ///
    /// # Errors
    /// Retriable, if the coordinator or a leader does not answer in time. A partition's own result is Fenced, if the group
    /// has members.
    pub async fn reset_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        to: ResetTo,
    ) -> Result<BTreeMap<TopicPartition, Result<i64>>> {
        let planned = self.plan_reset(group, partitions, to).await?.into_iter();
        let mut results: BTreeMap<TopicPartition, Result<i64>> =
            planned.map(|(name, planned)| (name, planned.map(|planned| planned.offset))).collect();
        let good = results.iter().filter_map(|(name, offset)| Some((name.clone(), *offset.as_ref().ok()?)));
        let offsets = good.map(|(name, offset)| (name, OffsetAndMetadata::new(offset))).collect();
        for (name, committed) in self.commit_offsets(group, &offsets).await? {
            if let Err(error) = committed {
                results.insert(name, Err(error));
            }
        }
        Ok(results)
    }
}

/// What is known of a partition.
#[derive(Clone, Copy, Debug)]
struct Known {
    start: i64,
    end: i64,
    committed: Option<i64>,
    /// The offset of the time asked for, -1 if no record is as late.
    at_time: Option<i64>,
}

/// Where a reset leads; nowhere, if there is nothing to shift.
fn target(to: ResetTo, known: Known) -> Option<PlannedReset> {
    let Known { start, end, committed, at_time } = known;
    let wanted = match to {
        ResetTo::Earliest => start,
        ResetTo::Latest => end,
        ResetTo::Offset(offset) => offset,
        ResetTo::ShiftBy(records) => committed?.saturating_add(records),
        ResetTo::Timestamp(_) => at_time.filter(|offset| *offset >= 0).unwrap_or(end),
        ResetTo::Current => committed.unwrap_or(end),
    };
    Some(PlannedReset { wanted, offset: wanted.min(end).max(start) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_leads_into_the_log() {
        let check = |to, committed, at_time, expected| {
            let known = Known { start: 10, end: 20, committed, at_time };
            let offset = target(to, known).map(|planned| planned.offset);
            assert_eq!(offset, expected, "{to:?} {known:?}");
        };
        check(ResetTo::Earliest, None, None, Some(10));
        check(ResetTo::Latest, Some(12), None, Some(20));
        check(ResetTo::Offset(15), None, None, Some(15));
        check(ResetTo::Offset(5), None, None, Some(10));
        check(ResetTo::Offset(25), None, None, Some(20));
        check(ResetTo::ShiftBy(3), Some(12), None, Some(15));
        check(ResetTo::ShiftBy(-3), Some(12), None, Some(10));
        check(ResetTo::ShiftBy(i64::MAX), Some(12), None, Some(20));
        check(ResetTo::ShiftBy(3), None, None, None);
        check(ResetTo::Timestamp(7), None, Some(13), Some(13));
        check(ResetTo::Timestamp(7), None, Some(-1), Some(20));
        check(ResetTo::Current, Some(12), None, Some(12));
        check(ResetTo::Current, Some(2), None, Some(10));
        check(ResetTo::Current, None, None, Some(20));
    }
}
