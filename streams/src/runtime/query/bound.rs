//! What a store must reflect before it answers, and how it is found out what a copy reflects.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_client::{IsolationLevel, OffsetSpec, TopicPartition};

use crate::error::{Error, ErrorKind, Result};
use crate::processor::TaskId;
use crate::runtime::instance::InstanceHandle;
use crate::runtime::position::Position;
use crate::runtime::running_task::position_of;

/// Refuses unless `position` reaches `bound` in these partitions; topics that nobody reads for the store are refused for
/// good.
pub(super) fn check(
    store: &str,
    position: &Position,
    bound: &Position,
    partitions: impl Fn(i32) -> bool,
    reads: impl Fn(&str) -> bool,
) -> Result<()> {
    for (topic, partition, offset) in bound.iter().filter(|(_, partition, _)| partitions(*partition)) {
        if !reads(topic) {
            return Err(unread(store, topic));
        }
        let reflected = position.offset(topic, partition);
        if reflected < Some(offset) {
            let reflected =
                reflected.map_or_else(|| "nothing".to_string(), |offset| format!("offset {offset}"));
            return Err(Error::new(
                ErrorKind::NotUpToBound,
                format_args!(
                    "the store `{store}` reflects {reflected} of {topic}-{partition}, not {offset} yet"
                ),
            ));
        }
    }
    Ok(())
}

#[cold]
fn unread(store: &str, topic: &str) -> Error {
    Error::invalid(format_args!(
        "the store `{store}` can never reflect `{topic}`, which its tasks do not read: a bound is of topics that the \
         store's own part of the topology reads, a repartition topic among them"
    ))
}

/// Refuses a bound in topics that a task does not read. Where a pattern says what it reads, that may change.
pub(super) fn is_readable(
    instance: &InstanceHandle,
    store: &str,
    task: TaskId,
    bound: &Position,
) -> Result<()> {
    if bound.is_empty() {
        return Ok(());
    }
    let plan = instance.plan();
    if plan.subtopology(task.subtopology).is_none_or(|subtopology| subtopology.reads_by_pattern) {
        return Ok(());
    }
    let inputs = plan.inputs(task);
    let mut topics = bound.iter().filter(|(_, partition, _)| *partition == task.partition);
    let strange = topics.find(|(topic, _, _)| !inputs.iter().any(|input| *input.topic == **topic));
    strange.map_or(Ok(()), |(topic, _, _)| Err(unread(store, topic)))
}

/// Looks what is committed for a task, then where the changelog of one of its stores ends, and tells the copy here, which
/// reflects the one once it has reached the other. False if nobody knows.
pub(super) async fn look_ahead(instance: &InstanceHandle, store: &str, task: TaskId) -> bool {
    let Some((changelog, is_source)) = instance.restored_from(store) else { return false };
    let admin = instance.client().admin();
    let inputs = instance.plan().inputs(task);
    // What an open transaction is about to commit is not waited for.
    let committed = match admin.committed_offsets(instance.application_id(), Some(&inputs)).await {
        Ok(committed) => committed,
        Err(error) => {
            tracing::debug!(%task, %error, "what is committed is not known");
            return false;
        }
    };
    let changelog = TopicPartition::new(changelog.as_str(), task.partition);
    let end = match is_source {
        // It is followed as far as it is committed.
        true => committed.get(&changelog).map_or(0, |committed| committed.offset),
        false => {
            let wanted = BTreeMap::from([(changelog.clone(), OffsetSpec::Latest)]);
            let listed = admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
            match listed.into_values().next() {
                Some(Ok(end)) => end.offset,
                _ => {
                    tracing::debug!(%changelog, "where it ends is not known");
                    return false;
                }
            }
        }
    };
    let (reached, name) = (position_of(&committed), store.to_string());
    let _ = instance.ask(
        task,
        true,
        Box::new(move |running| {
            if let Some(running) = running {
                running.look_ahead(&name, end, reached);
            }
        }),
    );
    true
}

impl InstanceHandle {
    /// The topic that brings a store of a task back, if there is one, and whether it is one that the task reads.
    pub(crate) fn restored_from(&self, store: &str) -> Option<(String, bool)> {
        let plan = self.shared.plan();
        let store = plan.topology.store(store)?;
        let topic = store.restored_from(&plan.topology, &self.shared.application_id)?;
        Some((topic, store.source_topic.is_some()))
    }

    /// Whether records of a topic go to a global store.
    pub(crate) fn feeds_global(&self, topic: &str, store: &str) -> bool {
        self.shared.globals.lock().feeds(topic, store)
    }

    /// How far each partition of the topics is read that feed a global store.
    pub(crate) fn global_positions(&self, store: &str) -> Position {
        let mut position = Position::new();
        if let Some(read) = &self.shared.globals_read {
            let globals = self.shared.globals.lock();
            for (place, next) in read.borrow().iter() {
                if *next > 0 && globals.feeds(&place.topic, store) {
                    position.raise(Arc::clone(&place.topic), place.partition, next - 1);
                }
            }
        }
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_holds_in_the_partitions_that_it_names() {
        let position = Position::of("a", 0, 5).and("b", 1, 7);
        for (bound, of_partition, expected) in [
            (Position::new(), 0, Ok(())),
            (Position::of("a", 0, 5), 0, Ok(())),
            (Position::of("a", 0, 6), 1, Ok(())),
            (Position::of("a", 0, 6), 0, Err("the store `s` reflects offset 5 of a-0, not 6 yet")),
            (
                Position::of("a", 0, 5).and("b", 0, 0),
                0,
                Err("the store `s` reflects nothing of b-0, not 0 yet"),
            ),
        ] {
            let checked = check("s", &position, &bound, |partition| partition == of_partition, |_| true);
            let said = checked.map_err(|error| {
                assert_eq!(error.kind(), ErrorKind::NotUpToBound);
                error.to_string()
            });
            assert_eq!(said, expected.map_err(str::to_string), "{bound}");
        }
        let refused = check("s", &position, &Position::of("c", 0, 0), |_| true, |topic| topic != "c");
        assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Invalid));
    }
}
