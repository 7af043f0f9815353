//! How many partitions the internal topics get, and with that how many tasks there are.
//!
//! Kafka Streams' rule: a repartition topic gets the number it was given, else the largest number of partitions among the
//! source topics of all sub-topologies that write to it, found along chains of repartition topics until nothing changes.
//! Topics that are read together by key (the sides of a join) have the same number: that of the topics among them that are
//! there already, else the number given, else the largest.
//! A sub-topology has as many tasks, and each of its changelogs as many partitions, as its widest source topic.

use std::collections::{BTreeMap, BTreeSet};

/// The topics of one sub-topology, by their full names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SubtopologyTopics {
    /// Topics it reads, repartition topics among them.
    pub(crate) sources: BTreeSet<String>,
    /// Repartition topics it writes.
    pub(crate) repartition_sinks: BTreeSet<String>,
}

/// Why the numbers cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PartitionCountError {
    /// A source topic is not there.
    #[error("the source topic `{0}` does not exist: create it before the application starts")]
    MissingSource(String),
    /// Repartition topics that feed only each other.
    #[error(
        "the partitions of the repartition topic `{0}` cannot be derived: no source topic leads to it; name a number in `Repartitioned`"
    )]
    Underivable(String),
    /// Topics that are there differ.
    #[error("topics that are joined need the same number of partitions: {0}")]
    NotCopartitioned(String),
}

/// Partitions of every topic of the application: `existing` (topics that are there and were not made by us), `fixed`
/// (repartition topics with a given number), and the derived rest. `together`: groups of topics that are read by key
/// together.
///
/// # Errors
/// [`PartitionCountError`] names the topic.
pub(crate) fn resolve(
    subtopologies: &[SubtopologyTopics],
    existing: &BTreeMap<String, i32>,
    fixed: &BTreeMap<String, i32>,
    together: &[BTreeSet<String>],
) -> Result<BTreeMap<String, i32>, PartitionCountError> {
    let repartition: BTreeSet<&String> =
        subtopologies.iter().flat_map(|topics| &topics.repartition_sinks).collect();
    let mut counts = fixed.clone();
    for topic in
        subtopologies.iter().flat_map(|topics| &topics.sources).filter(|topic| !repartition.contains(topic))
    {
        let count = existing.get(topic).ok_or_else(|| PartitionCountError::MissingSource(topic.clone()))?;
        counts.insert(topic.clone(), *count);
    }
    let settled = settle_groups(&mut counts, together)?;
    loop {
        let mut changed = false;
        for group in together {
            let widest = group.iter().filter_map(|topic| counts.get(topic)).max().copied();
            for topic in group.iter().filter(|topic| !settled.contains(*topic)) {
                changed |= widest.is_some_and(|widest| counts.insert(topic.clone(), widest) != Some(widest));
            }
        }
        for topic in &repartition {
            if settled.contains(*topic) {
                continue;
            }
            let writers = subtopologies.iter().filter(|topics| topics.repartition_sinks.contains(*topic));
            let widest = writers
                .flat_map(|topics| &topics.sources)
                .filter_map(|source| counts.get(source))
                .max()
                .copied();
            if let Some(widest) = widest
                && counts.get(*topic).is_none_or(|known| *known < widest)
            {
                counts.insert((*topic).clone(), widest);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    match repartition.into_iter().find(|topic| !counts.contains_key(*topic)) {
        Some(topic) => Err(PartitionCountError::Underivable(topic.clone())),
        None => Ok(counts),
    }
}

/// Gives the number of the topics of a group that have one to the others of the group, from group to group. Gives the
/// topics whose numbers are settled by that.
fn settle_groups(
    counts: &mut BTreeMap<String, i32>,
    together: &[BTreeSet<String>],
) -> Result<BTreeSet<String>, PartitionCountError> {
    let mut settled: BTreeSet<String> = counts.keys().cloned().collect();
    loop {
        let before = settled.len();
        for group in together {
            let known: BTreeMap<&String, i32> =
                group.iter().filter_map(|topic| Some((topic, *counts.get(topic)?))).collect();
            let numbers: BTreeSet<i32> = known.values().copied().collect();
            if numbers.len() > 1 {
                let list: Vec<String> =
                    known.iter().map(|(topic, count)| format!("`{topic}` has {count}")).collect();
                return Err(PartitionCountError::NotCopartitioned(list.join(", ")));
            }
            if let Some(number) = numbers.first() {
                for topic in group {
                    counts.insert(topic.clone(), *number);
                    settled.insert(topic.clone());
                }
            }
        }
        if settled.len() == before {
            return Ok(settled);
        }
    }
}

/// Tasks of a sub-topology: the partitions of its widest source.
pub(crate) fn task_count(topics: &SubtopologyTopics, counts: &BTreeMap<String, i32>) -> i32 {
    topics.sources.iter().filter_map(|source| counts.get(source)).max().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> BTreeSet<String> {
        text.split_whitespace().map(str::to_string).collect()
    }

    fn numbers(text: &str) -> BTreeMap<String, i32> {
        text.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, count)| (name.to_string(), count.parse().expect("a number")))
            .collect()
    }

    /// `subtopologies`: sources and repartition sinks of each.
    fn check(subtopologies: &[(&str, &str)], existing: &str, fixed: &str, expected: Result<&str, &str>) {
        check_together(subtopologies, existing, fixed, &[], expected);
    }

    fn check_together(
        subtopologies: &[(&str, &str)],
        existing: &str,
        fixed: &str,
        together: &[&str],
        expected: Result<&str, &str>,
    ) {
        let subtopologies: Vec<SubtopologyTopics> = subtopologies
            .iter()
            .map(|(sources, sinks)| SubtopologyTopics {
                sources: names(sources),
                repartition_sinks: names(sinks),
            })
            .collect();
        let together: Vec<BTreeSet<String>> = together.iter().copied().map(names).collect();
        let shown = resolve(&subtopologies, &numbers(existing), &numbers(fixed), &together)
            .map(|counts| {
                counts.iter().map(|(name, count)| format!("{name}={count}")).collect::<Vec<_>>().join(" ")
            })
            .map_err(|error| error.to_string());
        assert_eq!(shown, expected.map(str::to_string).map_err(str::to_string));
    }

    #[test]
    fn cases() {
        check(&[("lines", "r"), ("r", "")], "lines=3", "", Ok("lines=3 r=3"));
        check(&[("a b", "r"), ("r", "")], "a=2 b=5", "", Ok("a=2 b=5 r=5"));
        // Along a chain, in whatever order the sub-topologies stand.
        check(&[("s", ""), ("r", "s"), ("a", "r")], "a=4", "", Ok("a=4 r=4 s=4"));
        // A given number holds, and is the source's number further down.
        check(&[("a", "r"), ("r", "s"), ("s", "")], "a=4", "r=7", Ok("a=4 r=7 s=7"));
        // Two writers: the wider one.
        check(&[("a", "r"), ("b", "r"), ("r", "")], "a=1 b=2", "", Ok("a=1 b=2 r=2"));
        check(
            &[("lines", "")],
            "",
            "",
            Err("the source topic `lines` does not exist: create it before the application starts"),
        );
        check(
            &[("r", "s"), ("s", "r")],
            "",
            "",
            Err(
                "the partitions of the repartition topic `r` cannot be derived: no source topic leads to it; name a number in `Repartitioned`",
            ),
        );
    }

    #[test]
    fn what_is_joined_has_as_many_partitions() {
        // A stream that is repartitioned for a join with a table.
        check_together(&[("s", "r"), ("r t", "")], "s=5 t=2", "", &["r t"], Ok("r=2 s=5 t=2"));
        // Subscriptions lie where the right table lies, answers where the left one does.
        let foreign_key = [("left answers", "asked"), ("right asked", "answers")];
        let groups = ["asked right", "answers left"];
        check_together(&foreign_key, "left=2 right=5", "", &groups, Ok("answers=2 asked=5 left=2 right=5"));
        // Two repartition topics: the wider, or the one with a number of its own.
        check_together(
            &[("a", "r"), ("b", "s"), ("r s", "")],
            "a=1 b=3",
            "",
            &["r s"],
            Ok("a=1 b=3 r=3 s=3"),
        );
        check_together(
            &[("a", "r"), ("b", "s"), ("r s", "")],
            "a=1 b=3",
            "r=2",
            &["r s"],
            Ok("a=1 b=3 r=2 s=2"),
        );
        check_together(
            &[("a b", "")],
            "a=1 b=3",
            "",
            &["a b"],
            Err("topics that are joined need the same number of partitions: `a` has 1, `b` has 3"),
        );
        check_together(
            &[("a", "r"), ("r b", "")],
            "a=1 b=3",
            "r=2",
            &["b r"],
            Err("topics that are joined need the same number of partitions: `b` has 3, `r` has 2"),
        );
    }

    #[test]
    fn tasks_follow_the_widest_source() {
        let topics = SubtopologyTopics { sources: names("a b"), ..SubtopologyTopics::default() };
        assert_eq!(task_count(&topics, &numbers("a=2 b=5 c=9")), 5);
    }
}
