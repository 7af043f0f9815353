//! A store of a running application as its readers reach it: the tasks that have it, its name and its serdes.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use anabranch_client::murmur2_partition;
use tokio::sync::oneshot;

use crate::data::{Data, Nullable};
use crate::error::{Error, ErrorKind, Result};
use crate::processor::TaskId;
use crate::runtime::assignment::user_data::Hosts;
use crate::runtime::instance::InstanceHandle;
use crate::serdes::{Serde, SerdeContext, SerdeError};
use crate::state::{GlobalRows, KeyBounds, Store, StoreKind, TaskStore};

/// A running application, to make a reader of its stores.
#[doc(hidden)]
pub struct AskedInstance(pub(crate) InstanceHandle);

/// A store that is asked.
pub(super) struct Asked<K, V> {
    instance: InstanceHandle,
    name: String,
    /// Whether tasks that do not process answer too.
    stale: bool,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
}

impl<K: Data, V: Data> Asked<K, V> {
    pub(super) fn new<S>(instance: InstanceHandle, store: &Store<S>) -> Result<Self>
    where
        S: StoreKind<Key = K, Value = V>,
    {
        let asked = Asked {
            instance,
            name: store.name().to_string(),
            stale: false,
            key: store.settings.key_serde().unwrap_or_else(K::default_serde),
            value: store.settings.value_serde().unwrap_or_else(V::default_serde),
        };
        if asked.global_rows().is_none() {
            asked.tasks()?;
        }
        Ok(asked)
    }

    pub(super) fn with_stale(self) -> Self {
        Asked { stale: true, ..self }
    }

    /// The rows, if it is a global store.
    pub(super) fn global_rows(&self) -> Option<Arc<GlobalRows>> {
        self.instance.global_rows(&self.name)
    }

    /// Asks the tasks here until one has an answer for a serialised key.
    pub(super) async fn first<S: TaskStore, T: Send + 'static>(
        &self,
        key: &[u8],
        question: impl Fn(&mut S) -> Result<Option<T>> + Clone + Send + 'static,
    ) -> Result<Option<T>> {
        let (subtopology, tasks) = self.tasks()?;
        // Where a partitioner of the user's wrote the records, the other tasks are asked as well.
        let likely = self.task_of(key)?;
        let mut order = vec![likely];
        order.extend(
            (0..tasks).map(|partition| TaskId { subtopology, partition }).filter(|task| *task != likely),
        );
        let mut missing = None;
        for task in order {
            match self.ask(task, question.clone()).await {
                Ok(Some(answer)) => return Ok(Some(answer)),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Migrated => {
                    missing = Some(error).filter(|_| task == likely).or(missing)
                }
                Err(error) => return Err(error),
            }
        }
        missing.map_or(Ok(None), Err)
    }

    /// The answers of all tasks here.
    pub(super) async fn every<S: TaskStore, T: Send + 'static>(
        &self,
        question: impl Fn(&mut S) -> Result<T> + Clone + Send + 'static,
    ) -> Result<Vec<T>> {
        let (subtopology, tasks) = self.tasks()?;
        let mut answers = Vec::new();
        for partition in 0..tasks {
            match self.ask(TaskId { subtopology, partition }, question.clone()).await {
                Ok(answer) => answers.push(answer),
                // Another instance's.
                Err(error) if error.kind() == ErrorKind::Migrated => {}
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }

    /// The task that has a serialised key if the default partitioner wrote its records.
    pub(super) fn task_of(&self, key: &[u8]) -> Result<TaskId> {
        let (subtopology, tasks) = self.tasks()?;
        Ok(TaskId { subtopology, partition: murmur2_partition(key, tasks.max(1)) })
    }

    /// Where whose state can be asked for.
    pub(super) fn hosts(&self) -> Hosts {
        self.instance.hosts()
    }

    /// The sub-topology that has the store, and how many tasks it has.
    fn tasks(&self) -> Result<(u32, i32)> {
        let found = self.instance.subtopology_of(&self.name);
        found.ok_or_else(|| Error::invalid(format_args!("the topology has no store named `{}`", self.name)))
    }

    async fn ask<S: TaskStore, T: Send + 'static>(
        &self,
        task: TaskId,
        question: impl FnOnce(&mut S) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let elsewhere =
            move || Error::new(ErrorKind::Migrated, format_args!("task {task} is not running here"));
        let name = self.name.clone();
        self.instance.ask(
            task,
            self.stale,
            Box::new(move |running| {
                let answer = running.map_or_else(
                    || Err(elsewhere()),
                    |running| running.task_mut().typed_store(&name).and_then(question),
                );
                // Whoever asked may have given up.
                let _ = sender.send(answer);
            }),
        );
        answer.await.unwrap_or_else(|_| Err(elsewhere()))
    }

    pub(super) fn key_bytes(&self, key: &K) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let written = self.key.serialize(&SerdeContext::key(&self.name), key, &mut bytes);
        written.map_err(|error| {
            Error::record(format_args!("store `{}`: the key cannot be written: {error}", self.name))
        })?;
        Ok(bytes)
    }

    pub(super) fn bounds(&self, range: &impl RangeBounds<K>) -> Result<KeyBounds> {
        let bound = |bound: Bound<&K>| -> Result<Bound<Vec<u8>>> {
            Ok(match bound {
                Bound::Included(key) => Bound::Included(self.key_bytes(key)?),
                Bound::Excluded(key) => Bound::Excluded(self.key_bytes(key)?),
                Bound::Unbounded => Bound::Unbounded,
            })
        };
        Ok((bound(range.start_bound())?, bound(range.end_bound())?))
    }

    pub(super) fn read_key(&self, key: &[u8]) -> Result<K> {
        self.key.deserialize(&SerdeContext::key(&self.name), key).map_err(|error| self.unreadable(&error))
    }

    pub(super) fn read_value(&self, value: &[u8]) -> Result<V> {
        self.value
            .deserialize(&SerdeContext::value(&self.name), value)
            .map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &SerdeError) -> Error {
        Error::record(format_args!(
            "store `{}`: a row is not readable as the types of this constant: {error}",
            self.name
        ))
    }
}

/// The bounds of one serialised key.
pub(super) fn only(key: &[u8]) -> KeyBounds {
    (Bound::Included(key.to_vec()), Bound::Included(key.to_vec()))
}
