//! Draining: all input up to now is processed and committed, through every repartition hop.
//!
//! Sub-topologies are taken in the order in which records flow. For each, the ends of its source topics are asked for once
//! everything before it is committed (a commit covers its outputs, so what the hop before has written is there by then);
//! then the group's committed offsets must reach these ends. At last the reader of the global stores must reach the ends of
//! its topics, to which streams may have written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::{Client, ErrorCode, IsolationLevel, OffsetSpec, TopicPartition};
use tokio::sync::watch;

use super::global::Positions;
use super::plan::{Plan, PlannedSubtopology};
use super::worker::client_error;
use crate::error::{Error, Result};

/// How often the group's offsets are asked for when another instance must commit them.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Ends of topics that are not told by then are asked for again, of those topics that are still there.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Waits until everything written to the source topics before this call is processed and committed. `plan` gives what the
/// group runs by now: topics that a pattern has matched may go meanwhile, and nobody can read those to their ends.
///
/// `hurry` asks the workers of this instance to commit; `committed` changes whenever one has.
///
/// # Errors
/// If the broker does not answer, a topic that is read by name is gone, or the instance ends first.
pub(crate) async fn drain(
    client: &Client,
    application_id: &str,
    plan: impl Fn() -> Arc<Plan>,
    hurry: impl Fn(),
    mut committed: watch::Receiver<u64>,
) -> Result<()> {
    let stopped = || Error::fatal("the application has stopped before its input was drained");
    let planned = plan();
    for subtopology in in_order_of_flow(&planned.subtopologies) {
        let sources = &subtopology.topics.sources;
        let mut ends = loop {
            if committed.has_changed().is_err() {
                return Err(stopped());
            }
            let partitions = partitions_left(client, sources, &planned).await?;
            // The answer for a topic that goes just now would be awaited for long.
            match client.host().timeout(ENDS_WITHIN, ends_of(client, &partitions)).await {
                Ok(ends) => break ends?,
                Err(_) => tracing::debug!("the ends of topics are asked for again"),
            }
        };
        let partitions: Vec<TopicPartition> = ends.keys().cloned().collect();
        loop {
            committed.mark_unchanged();
            let offsets = client
                .admin()
                .committed_offsets(application_id, Some(&partitions))
                .await
                .map_err(|error| client_error("asking for committed offsets", error))?;
            let now = plan();
            ends.retain(|partition, _| now.reader_of(partition).is_some());
            let reached = |(partition, end): (&TopicPartition, &i64)| {
                *end == 0 || offsets.get(partition).is_some_and(|offset| offset.offset >= *end)
            };
            let Some((partition, end)) = ends.iter().find(|one| !reached(*one)) else { break };
            tracing::trace!(%partition, end, "its input is not all committed yet");
            hurry();
            let changed = client.host().timeout(ASK_AGAIN, committed.changed()).await;
            if let Ok(Err(_)) = changed {
                return Err(stopped());
            }
        }
    }
    Ok(())
}

/// The partitions of these topics that are there.
async fn partitions_left(
    client: &Client,
    topics: &BTreeSet<String>,
    plan: &Plan,
) -> Result<Vec<TopicPartition>> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let described = client.admin().describe_topics(&names).await;
    let described = described.map_err(|error| client_error("looking up topics", error))?;
    let mut partitions = Vec::new();
    for topic in topics {
        if let Some(Err(error)) = described.get(topic)
            && error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        {
            if plan.is_read_by_pattern(topic) {
                continue;
            }
            return Err(Error::invalid(format_args!("the topic `{topic}` is gone before it was drained")));
        }
        let count = plan.partitions.get(topic).copied().unwrap_or(0);
        partitions.extend((0..count).map(|partition| TopicPartition::new(topic.as_str(), partition)));
    }
    Ok(partitions)
}

/// Waits until the global stores of this instance show everything that is in their topics by now.
///
/// # Errors
/// If the broker does not answer, or the reader ends first.
pub(crate) async fn drain_globals(
    client: &Client,
    topics: &BTreeMap<String, i32>,
    mut positions: watch::Receiver<Positions>,
) -> Result<()> {
    let of = |(topic, count): (&String, &i32)| {
        let topic = topic.clone();
        (0..*count).map(move |partition| TopicPartition::new(topic.as_str(), partition))
    };
    let partitions: Vec<TopicPartition> = topics.iter().flat_map(of).collect();
    let ends = ends_of(client, &partitions).await?;
    let reached = |positions: &Positions| ends.iter().all(|(place, end)| positions.get(place) >= Some(end));
    let read = positions.wait_for(reached).await.map(drop);
    read.map_err(|_| Error::fatal("the application has stopped before its global stores were read"))
}

async fn ends_of(client: &Client, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, i64>> {
    let wanted = partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
    let listed = client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
    listed
        .into_iter()
        .map(|(partition, offset)| match offset {
            Ok(offset) => Ok((partition, offset.offset)),
            Err(error) => Err(client_error(&format!("asking for the end of {partition}"), error)),
        })
        .collect()
}

/// Sub-topologies, each behind those that write its repartition topics. Those that write to each other, as the two sides
/// of a foreign-key join do, come several times.
fn in_order_of_flow(subtopologies: &[PlannedSubtopology]) -> Vec<&PlannedSubtopology> {
    let mut waiting: Vec<&PlannedSubtopology> = subtopologies.iter().collect();
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let written: BTreeSet<&String> = waiting.iter().flat_map(|s| &s.topics.repartition_sinks).collect();
        let (ready, later): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|s| s.topics.sources.iter().all(|source| !written.contains(source)));
        if ready.is_empty() {
            // Nodes never form a circle, so on its way a record takes each topic once at most.
            for _ in 0..=written.len() {
                ordered.extend(later.iter().copied());
            }
            return ordered;
        }
        ordered.extend(ready);
        waiting = later;
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::partition_counts::SubtopologyTopics;

    fn check(subtopologies: &[(u32, &str, &str)], expected: &[u32]) {
        let names = |text: &str| text.split_whitespace().map(str::to_string).collect();
        let planned: Vec<PlannedSubtopology> = subtopologies
            .iter()
            .map(|(id, sources, sinks)| PlannedSubtopology {
                id: *id,
                nodes: Vec::new(),
                topics: SubtopologyTopics { sources: names(sources), repartition_sinks: names(sinks) },
                tasks: 1,
                changelogs: BTreeSet::new(),
                reads_by_pattern: false,
            })
            .collect();
        let order: Vec<u32> = in_order_of_flow(&planned).iter().map(|s| s.id).collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn records_flow_downwards() {
        check(&[(0, "lines", "r"), (1, "r", "")], &[0, 1]);
        check(&[(0, "s", ""), (1, "r", "s"), (2, "lines", "r")], &[2, 1, 0]);
        check(&[(0, "a", "r"), (1, "b", "r"), (2, "r", "")], &[0, 1, 2]);
        // There and back: each topic is passed once, and what is behind it once more.
        check(&[(0, "left answers", "asked"), (1, "right asked", "answers")], &[0, 1, 0, 1, 0, 1]);
    }
}
