//! The range assignor: what belongs together by its number meets at one member.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Assignor, GroupView, MemberAssignment, in_order};
use crate::error::Result;
use crate::topic_partition::TopicPartition;

/// Per topic, each member gets neighbouring partitions, in the order of the members: topics of as many partitions are
/// cut alike, so that partitions of the same number meet at one member. Kafka's default.
#[derive(Clone, Copy, Debug, Default)]
pub struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &str {
        "range"
    }

    fn assign(&self, group: GroupView<'_>) -> Result<BTreeMap<String, MemberAssignment>> {
        let members = in_order(group.members);
        let mut assignments: BTreeMap<String, MemberAssignment> =
            group.members.keys().map(|id| (id.clone(), MemberAssignment::default())).collect();
        let topics: BTreeSet<&Arc<str>> = group.members.values().flat_map(|member| &member.topics).collect();
        for topic in topics {
            let partitions = group.metadata.partition_count(topic).unwrap_or(0);
            let takers: Vec<&String> = members
                .iter()
                .filter(|(_, member)| member.topics.contains(topic))
                .map(|(id, _)| *id)
                .collect();
            let count = i32::try_from(takers.len()).unwrap_or(i32::MAX);
            let (each, more) = (partitions / count, partitions % count);
            let mut next = 0;
            for (index, taker) in (0..).zip(takers) {
                let end = next + each + i32::from(index < more);
                let names = (next..end).map(|partition| TopicPartition::new(Arc::clone(topic), partition));
                if let Some(assignment) = assignments.get_mut(taker) {
                    assignment.partitions.extend(names);
                }
                next = end;
            }
        }
        Ok(assignments)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::*;

    #[test]
    fn ranges_are_kafkas() {
        let check = |topics: &[(&str, i32)], members: &[&str], expected: &str| {
            tests::check(&RangeAssignor, topics, members, expected);
        };
        check(&[("t", 3)], &["a:t"], "a:t-0 t-1 t-2");
        check(&[("t", 3)], &["a:t", "b:t"], "a:t-0 t-1 b:t-2");
        check(&[("t", 3), ("u", 3)], &["a:t,u", "b:t,u"], "a:t-0 t-1 u-0 u-1 b:t-2 u-2");
        check(&[("t", 1)], &["a:t", "b:t"], "a:t-0 b:");
        check(&[("t", 2)], &["a:t", "b:u"], "a:t-0 t-1 b:");
        check(&[("t", 2)], &["a:t,u"], "a:t-0 t-1");
        check(&[("t", 2)], &["a:t", "b=1:t"], "a:t-1 b:t-0");
        check(&[("t", 2)], &["a:"], "a:");
    }
}
