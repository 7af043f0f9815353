//! The round-robin assignor: all partitions of all topics, dealt out one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Assignor, GroupView, MemberAssignment, in_order};
use crate::error::Result;
use crate::topic_partition::TopicPartition;

/// Deals the partitions out one by one, each to the next member that wants its topic.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &str {
        "roundrobin"
    }

    fn assign(&self, group: GroupView<'_>) -> Result<BTreeMap<String, MemberAssignment>> {
        let members = in_order(group.members);
        let mut assignments: BTreeMap<String, MemberAssignment> =
            group.members.keys().map(|id| (id.clone(), MemberAssignment::default())).collect();
        let topics: BTreeSet<&Arc<str>> = group.members.values().flat_map(|member| &member.topics).collect();
        let mut turn = members.iter().cycle();
        for topic in topics {
            for partition in 0..group.metadata.partition_count(topic).unwrap_or(0) {
                // Somebody wants it, so this ends.
                let taker = turn.find(|(_, member)| member.topics.contains(topic)).map(|(id, _)| *id);
                if let Some(assignment) = taker.and_then(|taker| assignments.get_mut(taker)) {
                    assignment.partitions.push(TopicPartition::new(Arc::clone(topic), partition));
                }
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
    fn partitions_are_dealt_out_as_kafka_does() {
        let check = |topics: &[(&str, i32)], members: &[&str], expected: &str| {
            tests::check(&RoundRobinAssignor, topics, members, expected);
        };
        check(&[("t", 3)], &["a:t"], "a:t-0 t-1 t-2");
        check(&[("t", 3), ("u", 3)], &["a:t,u", "b:t,u"], "a:t-0 t-2 u-1 b:t-1 u-0 u-2");
        check(&[("t", 3), ("u", 2)], &["a:t", "b:t,u"], "a:t-0 t-2 b:t-1 u-0 u-1");
        check(&[("t", 2)], &["a:t", "b=1:t"], "a:t-1 b:t-0");
        check(&[("t", 2)], &["a:", "b:v"], "a: b:");
    }
}
