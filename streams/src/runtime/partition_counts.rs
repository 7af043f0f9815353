//! How many partitions the internal topics get, and with that how many tasks there are.
//!
//! Kafka Streams' rule: a repartition topic gets the number it was given, else the largest number of partitions among the
//! source topics of all sub-topologies that write to it, found along chains of repartition topics until nothing changes.
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
}

/// Partitions of every topic of the application: `existing` (topics that are there and were not made by us), `fixed`
/// (repartition topics with a given number), and the derived rest.
///
/// # Errors
/// [`PartitionCountError`] names the topic.
pub(crate) fn resolve(
    subtopologies: &[SubtopologyTopics],
    existing: &BTreeMap<String, i32>,
    fixed: &BTreeMap<String, i32>,
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
    loop {
        let mut changed = false;
        for topic in &repartition {
            if fixed.contains_key(*topic) {
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
        let subtopologies: Vec<SubtopologyTopics> = subtopologies
            .iter()
            .map(|(sources, sinks)| SubtopologyTopics {
                sources: names(sources),
                repartition_sinks: names(sinks),
            })
            .collect();
        let shown = resolve(&subtopologies, &numbers(existing), &numbers(fixed))
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
    fn tasks_follow_the_widest_source() {
        let topics = SubtopologyTopics { sources: names("a b"), ..SubtopologyTopics::default() };
        assert_eq!(task_count(&topics, &numbers("a=2 b=5 c=9")), 5);
    }
}
