//! Balanced and sticky: nobody has more than its share, and within that everybody keeps what it had.
//!
//! The share of a member is in proportion to its workers. A task goes, in this order, to the member that runs it, to one
//! that holds its state on disk, to the member farthest below its share. The result depends on its arguments alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::processor::TaskId;

/// What a member brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// Worker threads; a member with none is treated as having one.
    pub(crate) workers: usize,
    /// Tasks it runs now.
    pub(crate) running: BTreeSet<TaskId>,
    /// Tasks whose state it has on disk.
    pub(crate) stored: BTreeSet<TaskId>,
}

/// Gives every task to exactly one member.
pub(crate) fn assign(
    tasks: &BTreeSet<TaskId>,
    members: &BTreeMap<String, Member>,
) -> BTreeMap<String, BTreeSet<TaskId>> {
    let mut given: BTreeMap<String, BTreeSet<TaskId>> =
        members.keys().map(|name| (name.clone(), BTreeSet::new())).collect();
    let workers: usize = members.values().map(|member| member.workers.max(1)).sum();
    if workers == 0 {
        return given;
    }
    // Rounded up: with shares rounded down some tasks would find no member to stay with.
    let share = |member: &Member| (tasks.len() * member.workers.max(1)).div_ceil(workers);
    let mut left = tasks.clone();
    let claims: [fn(&Member) -> &BTreeSet<TaskId>; 2] = [|member| &member.running, |member| &member.stored];
    for claim in claims {
        for (name, member) in members {
            let mine = given.get_mut(name).expect("one entry a member");
            for task in claim(member) {
                if mine.len() < share(member) && left.remove(task) {
                    mine.insert(*task);
                }
            }
        }
    }
    for task in left {
        // Tasks per worker, compared without fractions; the first name wins a tie.
        let lightest = members
            .iter()
            .min_by(|(a, x), (b, y)| {
                let load = |name: &String, other: &Member| given[name].len() * other.workers.max(1);
                load(a, y).cmp(&load(b, x))
            })
            .map(|(name, _)| name.clone())
            .expect("there is a member");
        given.get_mut(&lightest).expect("one entry a member").insert(task);
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(text: &str) -> TaskId {
        let (subtopology, partition) = text.split_once('_').expect("s_p");
        TaskId {
            subtopology: subtopology.parse().expect("number"),
            partition: partition.parse().expect("number"),
        }
    }

    fn tasks(text: &str) -> BTreeSet<TaskId> {
        text.split_whitespace().map(task).collect()
    }

    /// `members`: name, workers, running, stored.
    fn check(all: &str, members: &[(&str, usize, &str, &str)], expected: &str) {
        let members = members
            .iter()
            .map(|(name, workers, running, stored)| {
                let member = Member { workers: *workers, running: tasks(running), stored: tasks(stored) };
                ((*name).to_string(), member)
            })
            .collect();
        let shown: Vec<String> = assign(&tasks(all), &members)
            .into_iter()
            .map(|(name, tasks)| {
                let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
                format!("{name}:{}", tasks.join(","))
            })
            .collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn cases() {
        check("0_0 0_1", &[], "");
        check("0_0 0_1", &[("a", 1, "", "")], "a:0_0,0_1");
        check("0_0 0_1 0_2", &[("a", 1, "", ""), ("b", 1, "", "")], "a:0_0,0_2 b:0_1");
        // Keeps what it runs, gives up what is over its share.
        check("0_0 0_1 0_2 0_3", &[("a", 1, "0_0 0_1 0_2 0_3", ""), ("b", 1, "", "")], "a:0_0,0_1 b:0_2,0_3");
        // State on disk counts, a running copy more.
        check("0_0 0_1", &[("a", 1, "", "0_1 0_0"), ("b", 1, "0_1", "")], "a:0_0 b:0_1");
        // Shares follow workers.
        check("0_0 0_1 0_2 0_3", &[("a", 3, "", ""), ("b", 1, "", "")], "a:0_0,0_2,0_3 b:0_1");
        // Claims to tasks that are no more.
        check("0_0", &[("a", 1, "0_9", "7_7"), ("b", 1, "", "")], "a:0_0 b:");
    }

    /// Over random groups: complete, disjoint, balanced, and a second round without a change moves nothing.
    #[test]
    fn complete_balanced_and_sticky() {
        for seed in 0..500u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut below = |bound: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % bound
            };
            let all: BTreeSet<TaskId> = (0..below(20))
                .map(|_| TaskId { subtopology: below(3) as u32, partition: below(8) as i32 })
                .collect();
            let mut members = BTreeMap::new();
            for n in 0..1 + below(5) {
                let pick = |below: &mut dyn FnMut(u64) -> u64| {
                    all.iter().copied().filter(|_| below(3) == 0).collect()
                };
                let member = Member {
                    workers: 1 + below(4) as usize,
                    running: pick(&mut below),
                    stored: pick(&mut below),
                };
                members.insert(format!("m{n}"), member);
            }
            let given = assign(&all, &members);
            let total: usize = given.values().map(BTreeSet::len).sum();
            let union: BTreeSet<TaskId> = given.values().flatten().copied().collect();
            assert_eq!((total, &union), (all.len(), &all), "seed {seed}: every task once");
            let workers: usize = members.values().map(|member| member.workers).sum();
            for (name, member) in &members {
                let share = (all.len() * member.workers).div_ceil(workers);
                assert!(
                    given[name].len() <= share,
                    "seed {seed}: {name} has {} of {share}",
                    given[name].len()
                );
            }
            for (name, member) in &mut members {
                member.running = given[name].clone();
            }
            assert_eq!(assign(&all, &members), given, "seed {seed}: a round without a change moves nothing");
        }
    }
}
