//! How a task's stores come back from their changelogs, and how they are read from outside.

use anabranch_state_store::Checkpoint;

use std::sync::Arc;
use std::task::Context;

use super::stream_task::Task;
use crate::error::{Error, Result};
use crate::outbox::{OutTopic, Outbox};

use crate::state::{StoreAccess, TaskStore, WriteContext};

/// What brings a store back.
#[derive(Clone, Debug)]
pub(crate) struct StoreChangelog {
    /// Its name on the broker.
    pub(crate) topic: Arc<str>,
    /// It is a topic that the task reads: the store is its table.
    pub(crate) is_source: bool,
    /// What the store's engine reflects of it.
    pub(crate) reflected: Option<Checkpoint>,
    /// The store.
    pub(crate) store: Arc<str>,
}

impl Task {
    /// The changelog of each store and what the store's engine reflects of it, by the store's index; none for a store
    /// without one of its own.
    pub(crate) fn changelogs(&self) -> Vec<Option<(OutTopic, Option<Checkpoint>)>> {
        let changelog = |store: &dyn TaskStore| Some((store.changelog()?.clone(), store.reflected()));
        self.state.stores.iter().map(|store| changelog(&**store)).collect()
    }

    /// What brings each store back, by the store's index; none for a store that nothing brings back.
    pub(crate) fn restored_from(&self) -> Vec<Option<StoreChangelog>> {
        let changelog = |store: &dyn TaskStore| {
            let definition = self.topology.store(store.name())?;
            Some(StoreChangelog {
                topic: definition.restored_from(&self.topology, &self.config.application_id)?.into(),
                is_source: definition.source_topic.is_some(),
                reflected: store.reflected(),
                store: store.name().into(),
            })
        };
        self.state.stores.iter().map(|store| changelog(&**store)).collect()
    }

    /// The task as it was when it was new, but with its stores as they are committed: nodes, times and queues are made
    /// anew.
    ///
    /// # Errors
    /// If a node cannot be made.
    pub(crate) fn renewed(mut self) -> Result<Task> {
        self.state.stores.iter_mut().for_each(|store| store.abort());
        let stores = std::mem::take(&mut self.state.stores);
        let topics = std::mem::take(&mut self.state.topics);
        let gone: Vec<Arc<str>> =
            self.inputs.iter().filter(|input| input.is_gone).map(|input| Arc::clone(&input.topic)).collect();
        let mut task = Task::of_stores(self.topology, self.chosen, self.id, self.config, stores, topics)?;
        task.inputs.iter_mut().for_each(|input| input.is_gone = gone.contains(&input.topic));
        Ok(task)
    }

    /// Notes that a store's changelog has been restored to its end.
    ///
    /// # Errors
    /// If the store's engine cannot be read.
    pub(crate) fn restored_to(&mut self, store: usize, checkpoint: Checkpoint) -> Result<()> {
        self.state.stores.get(store).restored_to(checkpoint)
    }

    /// Notes the highest acknowledged changelog offset of the epoch that is about to be committed.
    pub(crate) fn acknowledged(&mut self, store: usize, checkpoint: Checkpoint) {
        self.state.stores.get(store).acknowledged(checkpoint);
    }

    /// Committed rows that the engine does not have yet.
    pub(crate) fn unstored_rows(&self) -> usize {
        self.state.stores.iter().map(|store| store.unstored_rows()).sum()
    }

    /// Writes a chunk of them; false if nothing is left.
    ///
    /// # Errors
    /// If the engine cannot be written.
    pub(crate) fn write_behind(&mut self) -> Result<bool> {
        let mut more = false;
        for store in self.state.stores.iter_mut() {
            more |= store.write_behind()?;
        }
        Ok(more)
    }

    /// Bytes of rows in memory before an engine, by store.
    pub(crate) fn resident_bytes(&self) -> impl Iterator<Item = usize> {
        self.state.stores.iter().map(|store| store.resident_bytes())
    }

    /// Bytes of rows that are in memory and nowhere else, by store.
    pub(crate) fn pinned_bytes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.state.stores.iter().map(|store| (store.name(), store.pinned_bytes()))
    }

    /// How many keys stores in memory have.
    pub(crate) fn num_keys(&self) -> impl Iterator<Item = (&str, usize)> {
        self.state.stores.iter().filter_map(|store| Some((store.name(), store.num_keys()?)))
    }

    /// What suppressions hold back: the store, how many records, and their bytes.
    pub(crate) fn held_back(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.state.stores.iter().filter_map(|store| {
            let (records, bytes) = store.held_back()?;
            Some((store.name(), records, bytes))
        })
    }

    /// Forgets rows that an engine has, until each store has at most so many bytes of them in memory.
    ///
    /// # Errors
    /// If rows that are being restored have to be put aside, and the disk fails.
    pub(crate) fn evict(&mut self, bytes: usize) -> Result<()> {
        self.state.stores.iter_mut().try_for_each(|store| store.evict(bytes))
    }

    /// A store is going to be restored from the start of its changelog.
    ///
    /// # Errors
    /// If the store's engine cannot be read.
    pub(crate) fn begin_restore(&mut self, store: usize) -> Result<()> {
        self.state.stores.get(store).begin_restore()
    }

    /// A store has been restored to the end; false if its rows cannot be read yet, and this is to be called again.
    ///
    /// # Errors
    /// If the store's engine fails.
    pub(crate) fn end_restore(&mut self, store: usize) -> Result<bool> {
        self.state.stores.get(store).end_restore()
    }

    /// Whether [`Task::end_restore`] would go on now; wakes the caller when it would.
    pub(crate) fn poll_load(&mut self, store: usize, context: &mut Context<'_>) -> bool {
        self.state.stores.get(store).poll_load(context)
    }

    /// Whether a store's rows cannot be read for now.
    pub(crate) fn hides_rows(&self) -> bool {
        self.state.stores.iter().any(|store| store.hides_rows())
    }

    /// Waits until the engines have what they are still being given after a restoration.
    ///
    /// # Errors
    /// If an engine fails.
    pub(crate) fn finish_loads(&mut self) -> Result<()> {
        self.state.stores.iter_mut().try_for_each(|store| store.finish_load())
    }

    /// Takes a record of a store's changelog straight into its committed rows.
    ///
    /// # Errors
    /// If the store refuses it.
    pub(crate) fn restore(
        &mut self,
        store: usize,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: i64,
        headers: &[u8],
    ) -> Result<()> {
        self.state.stores.get(store).restore(key, value, timestamp, headers)
    }

    /// A store of this name, if it is of these types.
    ///
    /// # Errors
    /// If the task has no such store, or it is of others.
    pub(crate) fn typed_store<S: TaskStore>(&mut self, store: &str) -> Result<&mut S> {
        let index = self.find(store)?;
        if !self.state.stores.as_any(index).is::<S>() {
            return Err(Error::invalid(format_args!(
                "the store `{store}` is of another kind, or of other types, than the constant that it is asked by"
            )));
        }
        self.state.stores.typed(index)
    }

    /// A store as it is now, between two records. What is written to it has no record that it comes from.
    ///
    /// # Errors
    /// If the task has no such store.
    pub(crate) fn store_access<'a>(
        &'a mut self,
        store: &str,
        outbox: &'a mut dyn Outbox,
    ) -> Result<StoreAccess<'a>> {
        let Some(index) = self.state.stores.find(store) else {
            let known: Vec<String> =
                self.state.stores.iter().map(|store| format!("`{}`", store.name())).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Error::invalid(format_args!(
                "the topology has no store named `{store}`; it has {known}"
            )));
        };
        let write = WriteContext {
            outbox,
            task_partition: self.state.partition,
            timestamp: 0,
            headers: &[],
            topic: None,
            partition: -1,
            offset: -1,
        };
        Ok(StoreAccess { stores: &mut self.state.stores, index, write })
    }

    /// The index of a store.
    ///
    /// # Errors
    /// If the task has no such store.
    pub(crate) fn find(&self, store: &str) -> Result<usize> {
        let found = self.state.stores.find(store);
        found.ok_or_else(|| Error::invalid(format_args!("the task has no store named `{store}`")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use anabranch_state_store::MemoryEngine;

    use super::*;
    use crate::outbox::{OutRecord, OutTopic};
    use crate::prelude::*;
    use crate::processor::{RawInput, TaskId};
    use crate::task::TaskConfig;

    /// Remembers the last count.
    #[derive(Default)]
    struct Last(Option<Vec<u8>>);

    impl Outbox for Last {
        fn partition_count(&mut self, _: &OutTopic) -> Result<i32> {
            Ok(1)
        }

        fn append(&mut self, _: &OutTopic, _: Option<i32>, record: OutRecord<'_>) -> Result<()> {
            self.0 = record.value.map(<[u8]>::to_vec);
            Ok(())
        }
    }

    #[test]
    fn a_task_counts_on_with_little_in_memory() {
        let builder = StreamsBuilder::new();
        let words = builder.stream(Topic::<String, i64>::new("words"));
        words.group_by_key().count().updates().to("counts");
        let topology = builder.build().unwrap();
        let nodes = (0..topology.nodes.len()).collect();
        let config = TaskConfig { engine: Some(Arc::new(MemoryEngine::new())), ..TaskConfig::of_test() };
        let id = TaskId { subtopology: 0, partition: 0 };
        let mut task = Task::new(Arc::new(topology), nodes, id, config).unwrap();
        let mut last = Last::default();
        for round in 1..=3i64 {
            for number in 0..5_000 {
                let (key, value) = (format!("word-{number}"), 0i64.to_be_bytes());
                let (key, value) = (Some(key.as_bytes()), Some(&value[..]));
                task.enqueue(0, RawInput { offset: number, timestamp: 0, key, value, headers: &[] });
                while task.process(0, &mut last).unwrap() {}
                if number % 100 == 99 {
                    task.seal_and_commit(&mut last).unwrap();
                    assert_eq!(last.0.as_deref(), Some(&round.to_be_bytes()[..]), "{number}");
                    while task.write_behind().unwrap() {}
                    task.evict(50_000).unwrap();
                    let resident: Vec<usize> = task.resident_bytes().collect();
                    assert!(resident.iter().all(|bytes| *bytes <= 50_000), "{resident:?}");
                }
            }
        }
    }
}
