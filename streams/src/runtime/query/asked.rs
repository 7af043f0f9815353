//! A store of a running application as its readers reach it: the tasks that have it, its name and its serdes.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::murmur2_partition;
use anabranch_host::Instant;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::bound::{check, is_readable, look_ahead};
use crate::data::{Data, Nullable};
use crate::error::{Error, ErrorKind, Result};
use crate::processor::TaskId;
use crate::runtime::assignment::user_data::Hosts;
use crate::runtime::instance::InstanceHandle;
use crate::runtime::position::Position;
use crate::serdes::{SerdeContext, SerdeError};
use crate::state::{GlobalRows, KeyBounds, Store, StoreKind, StoreSerdes, TaskStore};
use crate::topology::changelog_name;

/// How long a task that is behind is left alone before it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// A running application, to make a reader of its stores.
#[doc(hidden)]
pub struct AskedInstance(pub(crate) InstanceHandle);

/// A store that is asked.
pub(super) struct Asked<K, V> {
    instance: InstanceHandle,
    name: String,
    /// Whether tasks that do not process answer too.
    stale: bool,
    /// What an answer must reflect.
    bound: Position,
    /// How long a task is waited for that does not.
    patience: Duration,
    /// What the answers have reflected.
    seen: Mutex<Position>,
    /// Those that the store is written with.
    serdes: StoreSerdes<K, V>,
    /// What serdes hear that they work for.
    topic: String,
}

impl<K: Data, V: Data> Asked<K, V> {
    pub(super) fn new<S>(instance: InstanceHandle, store: &Store<S>) -> Result<Self>
    where
        S: StoreKind<Key = K, Value = V>,
    {
        let name = store.name().to_string();
        let own = || {
            let key = store.settings.key_serde().unwrap_or_else(K::default_serde);
            (key, store.settings.value_serde().unwrap_or_else(V::default_serde))
        };
        let asked = Asked {
            // Operators give a store the serdes of their stream, which this constant need not name.
            serdes: written_with(&instance, &name).unwrap_or_else(own),
            topic: changelog_name(&instance.shared.application_id, &name),
            instance,
            name,
            stale: false,
            bound: Position::new(),
            patience: Duration::ZERO,
            seen: Mutex::default(),
        };
        if asked.global_rows().is_none() {
            asked.tasks()?;
        }
        Ok(asked)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What serdes hear that they work for.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn with_stale(self) -> Self {
        Asked { stale: true, ..self }
    }

    pub(super) fn at_least(mut self, bound: &Position) -> Self {
        self.bound.merge(bound);
        self
    }

    pub(super) fn wait_up_to(self, patience: Duration) -> Self {
        Asked { patience, ..self }
    }

    /// What the answers have reflected so far.
    pub(super) fn position(&self) -> Position {
        self.seen.lock().clone()
    }

    fn global_rows(&self) -> Option<Arc<GlobalRows>> {
        self.instance.global_rows(&self.name)
    }

    /// Whether every instance has all of it.
    pub(super) fn is_global(&self) -> bool {
        self.global_rows().is_some()
    }

    /// The rows, if it is a global store.
    pub(super) async fn global_rows_at_bound(&self) -> Result<Option<Arc<GlobalRows>>> {
        let Some(rows) = self.global_rows() else { return Ok(None) };
        let deadline = self.deadline();
        loop {
            let position = self.instance.global_positions(&self.name);
            let feeds = |topic: &str| self.instance.feeds_global(topic, &self.name);
            match check(&self.name, &position, &self.bound, |_| true, feeds) {
                Err(error) if !self.wait(deadline, &error).await => return Err(error),
                Err(_) => {}
                Ok(()) => {
                    self.seen.lock().merge(&position);
                    return Ok(Some(rows));
                }
            }
        }
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
        let (mut missing, deadline) = (None, self.deadline());
        for task in order {
            match self.ask(task, question.clone(), deadline).await {
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
        let (mut answers, deadline) = (Vec::new(), self.deadline());
        for partition in 0..tasks {
            match self.ask(TaskId { subtopology, partition }, question.clone(), deadline).await {
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

    /// Asks a task once it is at the bound, or until it is too late.
    async fn ask<S: TaskStore, T: Send + 'static>(
        &self,
        task: TaskId,
        question: impl Fn(&mut S) -> Result<T> + Clone + Send + 'static,
        deadline: Instant,
    ) -> Result<T> {
        is_readable(&self.instance, &self.name, task, &self.bound)?;
        loop {
            let mut answer = self.ask_now(task, question.clone()).await;
            if is_behind(&answer) && self.stale && look_ahead(&self.instance, &self.name, task).await {
                answer = self.ask_now(task, question.clone()).await;
            }
            match answer {
                Err(error) if error.kind() == ErrorKind::NotUpToBound => {
                    self.instance.hurry(task);
                    if !self.wait(deadline, &error).await {
                        return Err(error);
                    }
                }
                answered => {
                    let (answer, position) = answered?;
                    self.seen.lock().merge(&position);
                    return Ok(answer);
                }
            }
        }
    }

    fn deadline(&self) -> Instant {
        self.instance.client().host().now() + self.patience
    }

    /// Waits for a moment if a store is behind and it is not yet too late.
    async fn wait(&self, deadline: Instant, error: &Error) -> bool {
        let host = self.instance.client().host();
        let goes_on = error.kind() == ErrorKind::NotUpToBound && host.now() < deadline;
        if goes_on {
            host.sleep(ASK_AGAIN).await;
        }
        goes_on
    }

    async fn ask_now<S: TaskStore, T: Send + 'static>(
        &self,
        task: TaskId,
        question: impl FnOnce(&mut S) -> Result<T> + Send + 'static,
    ) -> Result<(T, Position)> {
        let (sender, answer) = oneshot::channel();
        let bound = self.bound.clone();
        let elsewhere =
            move || Error::new(ErrorKind::Migrated, format_args!("task {task} is not running here"));
        let name = self.name.clone();
        let worker = self.instance.ask(
            task,
            self.stale,
            Box::new(move |running| {
                let answer = running.map_or_else(
                    || Err(elsewhere()),
                    |running| {
                        let position = running.position(&name);
                        let of_task = |partition| partition == task.partition;
                        check(&name, &position, &bound, of_task, |_| true)?;
                        let answer = running.task_mut().typed_store(&name).and_then(question)?;
                        Ok((answer, position))
                    },
                );
                // Whoever asked may have given up.
                let _ = sender.send(answer);
            }),
        );
        let answer = match worker {
            Some(worker) => self.instance.answer_of(worker, answer).await,
            None => answer.await.ok(),
        };
        answer.unwrap_or_else(|| Err(elsewhere()))
    }

    pub(super) fn key_bytes(&self, key: &K) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let written = self.serdes.0.serialize(&SerdeContext::key(&self.topic), key, &mut bytes);
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
        let (serde, _) = &self.serdes;
        serde.deserialize(&SerdeContext::key(&self.topic), key).map_err(|error| self.unreadable(&error))
    }

    pub(super) fn read_value(&self, value: &[u8]) -> Result<V> {
        let (_, serde) = &self.serdes;
        serde.deserialize(&SerdeContext::value(&self.topic), value).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &SerdeError) -> Error {
        Error::record(format_args!(
            "store `{}`: a row is not readable as the types of this constant: {error}",
            self.name
        ))
    }
}

/// The serdes that the running topology writes a store with, if these are its types.
fn written_with<K: Data, V: Data>(instance: &InstanceHandle, store: &str) -> Option<StoreSerdes<K, V>> {
    instance.shared.plan().topology.store(store)?.supplier.serdes()
}

fn is_behind<T>(answer: &Result<T>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotUpToBound)
}

/// The bounds of one serialised key.
pub(super) fn only(key: &[u8]) -> KeyBounds {
    (Bound::Included(key.to_vec()), Bound::Included(key.to_vec()))
}
