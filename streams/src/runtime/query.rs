//! Questions to the stores of a running application, typed.
//!
//! The worker that owns a task answers between two records, from committed rows: what an abort could still undo is not
//! shown. Answers come from the tasks of this instance; a key that another instance has is not found here.

use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use anabranch_client::murmur2_partition;
use anabranch_state_store::{KeyRange, Order, RowBuffer};
use tokio::sync::oneshot;

use super::instance::InstanceHandle;
use super::running_task::RunningTask;
use crate::data::{Data, Nullable};
use crate::error::{Error, ErrorKind, Result};
use crate::processor::TaskId;
use crate::serdes::{Serde, SerdeContext};
use crate::state::{KeyValue, Store};
use crate::task::KeyBounds;

/// Reads a key-value store of a running application.
pub struct ReadOnlyKeyValueStore<K, V> {
    instance: InstanceHandle,
    name: String,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Data, V: Data> ReadOnlyKeyValueStore<K, V> {
    pub(crate) fn new(instance: InstanceHandle, store: &Store<KeyValue<K, V>>) -> Result<Self> {
        let is_global = instance.global_rows(store.name()).is_some();
        if !is_global && instance.subtopology_of(store.name()).is_none() {
            return Err(Error::invalid(format_args!("the topology has no store named `{}`", store.name())));
        }
        Ok(ReadOnlyKeyValueStore {
            instance,
            name: store.name().to_string(),
            key: store.settings.key_serde().unwrap_or_else(K::default_serde),
            value: store.settings.value_serde().unwrap_or_else(V::default_serde),
            types: PhantomData,
        })
    }

    /// The value of a key, as of the last commit; `None` if there is none here.
    ///
    /// # Errors
    /// If the application has stopped, or the task that would have the key is being restored or is not of this instance.
    pub async fn get(&self, key: &K) -> Result<Option<V>> {
        let key = self.key_bytes(key)?;
        if let Some(rows) = self.instance.global_rows(&self.name) {
            let mut row = RowBuffer::default();
            return rows.get(&key, &mut row).then(|| self.read(&row.value)).transpose();
        }
        let (subtopology, tasks) = self.tasks()?;
        // The default partitioner wrote the records, so it knows the task. Where a partitioner of the user's did, the
        // other tasks are asked as well.
        let likely = TaskId { subtopology, partition: murmur2_partition(&key, tasks.max(1)) };
        let mut order = vec![likely];
        order.extend(
            (0..tasks).map(|partition| TaskId { subtopology, partition }).filter(|task| *task != likely),
        );
        let mut missing = None;
        for task in order {
            let (name, key) = (self.name.clone(), key.clone());
            match self.ask(task, move |running| running.task_mut().committed_row(&name, &key)).await {
                Ok(Some(value)) => return self.read(&value).map(Some),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Migrated => {
                    missing = Some(error).filter(|_| task == likely).or(missing)
                }
                Err(error) => return Err(error),
            }
        }
        missing.map_or(Ok(None), Err)
    }

    /// All rows of this instance's tasks, by key.
    ///
    /// # Errors
    /// As [`ReadOnlyKeyValueStore::get`].
    pub async fn all(&self) -> Result<Vec<(K, V)>> {
        self.rows((Bound::Unbounded, Bound::Unbounded)).await
    }

    /// The rows of a range of keys, by key: in the order of the serialised keys, as Kafka Streams has it.
    ///
    /// # Errors
    /// As [`ReadOnlyKeyValueStore::get`].
    pub async fn range(&self, range: impl RangeBounds<K>) -> Result<Vec<(K, V)>> {
        let bound = |bound: Bound<&K>| -> Result<Bound<Vec<u8>>> {
            Ok(match bound {
                Bound::Included(key) => Bound::Included(self.key_bytes(key)?),
                Bound::Excluded(key) => Bound::Excluded(self.key_bytes(key)?),
                Bound::Unbounded => Bound::Unbounded,
            })
        };
        let bounds = (bound(range.start_bound())?, bound(range.end_bound())?);
        self.rows(bounds).await
    }

    async fn rows(&self, bounds: KeyBounds) -> Result<Vec<(K, V)>> {
        let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        if let Some(global) = self.instance.global_rows(&self.name) {
            let (first, last) = (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice));
            let found = global.scan(&KeyRange::new(first, last), Order::Forward);
            rows.extend(found.into_iter().map(|(key, row)| (key, row.value)));
            return self.read_rows(&rows);
        }
        let (subtopology, tasks) = self.tasks()?;
        for partition in 0..tasks {
            let task = TaskId { subtopology, partition };
            let (name, bounds) = (self.name.clone(), bounds.clone());
            match self.ask(task, move |running| running.task_mut().committed_rows(&name, &bounds)).await {
                Ok(found) => rows.extend(found),
                // Another instance's.
                Err(error) if error.kind() == ErrorKind::Migrated => {}
                Err(error) => return Err(error),
            }
        }
        rows.sort();
        self.read_rows(&rows)
    }

    fn read_rows(&self, rows: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<(K, V)>> {
        rows.iter()
            .map(|(key, value)| {
                let key = self.key.deserialize(&SerdeContext::key(&self.name), key);
                Ok((key.map_err(|error| self.unreadable(&error))?, self.read(value)?))
            })
            .collect()
    }

    /// The sub-topology that has the store, and how many tasks it has.
    fn tasks(&self) -> Result<(u32, i32)> {
        let found = self.instance.subtopology_of(&self.name);
        found.ok_or_else(|| Error::invalid(format_args!("the topology has no store named `{}`", self.name)))
    }

    async fn ask<T: Send + 'static>(
        &self,
        task: TaskId,
        question: impl FnOnce(&mut RunningTask) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let elsewhere =
            move || Error::new(ErrorKind::Migrated, format_args!("task {task} is not running here"));
        self.instance.ask(
            task,
            Box::new(move |running| {
                // Whoever asked may have given up.
                let _ = sender.send(running.map_or_else(|| Err(elsewhere()), question));
            }),
        );
        answer.await.unwrap_or_else(|_| Err(elsewhere()))
    }

    fn key_bytes(&self, key: &K) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let written = self.key.serialize(&SerdeContext::key(&self.name), key, &mut bytes);
        written.map_err(|error| {
            Error::record(format_args!("store `{}`: the key cannot be written: {error}", self.name))
        })?;
        Ok(bytes)
    }

    fn read(&self, value: &[u8]) -> Result<V> {
        self.value
            .deserialize(&SerdeContext::value(&self.name), value)
            .map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &crate::serdes::SerdeError) -> Error {
        Error::record(format_args!(
            "store `{}`: a row is not readable as the types of this constant: {error}",
            self.name
        ))
    }
}
