//! A store of a running application as its readers reach it: the tasks that have it, its name and its serdes.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::murmur2_partition;
use anabranch_host::Instant;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::bound::{check, is_readable, look_ahead};
use super::iterator::{KeyValueIterator, Shown, View};
use super::stored::Stored;
use crate::data::{Data, Nullable};
use crate::error::{Error, ErrorKind, Result};
use crate::processor::TaskId;
use crate::runtime::assignment::user_data::Hosts;
use crate::runtime::instance::InstanceHandle;
use crate::runtime::position::Position;
use crate::state::{GlobalRows, KeyBounds, Store, StoreKind, StoreSerdes, TaskStore};
use crate::topology::changelog_name;

/// How long a task that is behind is left alone before it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(5);
/// In place of a task, in the metrics of global stores.
const GLOBAL: &str = "global";

/// A running application, to make a reader of its stores.
#[doc(hidden)]
pub struct AskedInstance(pub(crate) InstanceHandle);

/// A store that is asked.
pub(super) struct Asked<K, V> {
    instance: InstanceHandle,
    /// Its bytes, and its name.
    pub(super) stored: Arc<Stored<K, V>>,
    /// Whether tasks that do not process answer too.
    stale: bool,
    /// What an answer must reflect.
    bound: Position,
    /// How long a task is waited for that does not.
    patience: Duration,
    /// What the answers have reflected.
    seen: Mutex<Position>,
}

/// The answers of the tasks here to a question about a key, the likely one's first.
pub(super) struct Answers<'a, K, V> {
    asked: &'a Asked<K, V>,
    likely: TaskId,
    order: std::vec::IntoIter<TaskId>,
    deadline: Instant,
    /// The likely task is not here.
    missing: Option<Error>,
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
        // Operators give a store the serdes of their stream, which this constant need not name.
        let serdes = written_with(&instance, &name).unwrap_or_else(own);
        let topic = changelog_name(&instance.shared.application_id, &name);
        let asked = Asked {
            stored: Arc::new(Stored { name, topic, serdes }),
            instance,
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
        self.instance.global_rows(&self.stored.name)
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
            let position = self.instance.global_positions(&self.stored.name);
            let feeds = |topic: &str| self.instance.feeds_global(topic, &self.stored.name);
            match check(&self.stored.name, &position, &self.bound, |_| true, feeds) {
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
        let mut answers = self.answers(key)?;
        while let Some((_, answer)) = answers.next(question.clone()).await? {
            if answer.is_some() {
                return Ok(answer);
            }
        }
        answers.nothing(None)
    }

    /// Asks the tasks here for views of a serialised key's rows, until one has some.
    pub(super) async fn open_key<S: TaskStore, T: Send + 'static, R: Shown, W: Shown>(
        &self,
        key: &[u8],
        question: impl Fn(&mut S) -> Result<T> + Clone + Send + 'static,
        view: impl Fn(T) -> View<R, W>,
    ) -> Result<KeyValueIterator<R, W>> {
        let mut answers = self.answers(key)?;
        while let Some((task, answer)) = answers.next(question.clone()).await? {
            let mut found = self.iterator(vec![(task.to_string(), view(answer))]);
            if !found.is_empty().await? {
                return Ok(found);
            }
        }
        answers.nothing(self.iterator(Vec::new()))
    }

    /// Asks all tasks here for views of their rows.
    pub(super) async fn open_all<S: TaskStore, T: Send + 'static, R: Shown, W: Shown>(
        &self,
        question: impl Fn(&mut S) -> Result<T> + Clone + Send + 'static,
        view: impl Fn(T) -> View<R, W>,
    ) -> Result<KeyValueIterator<R, W>> {
        let answers = self.every(question).await?.into_iter();
        Ok(self.iterator(answers.map(|(task, answer)| (task.to_string(), view(answer))).collect()))
    }

    /// The rows of a global store.
    pub(super) fn open_global<R: Shown, W: Shown>(&self, view: View<R, W>) -> KeyValueIterator<R, W> {
        self.iterator(vec![(GLOBAL.to_string(), view)])
    }

    fn iterator<R: Shown, W: Shown>(&self, views: Vec<(String, View<R, W>)>) -> KeyValueIterator<R, W> {
        let (shared, host) = (&self.instance.shared, self.instance.client().host());
        let iterators = shared.metrics.iterators();
        let counted =
            views.into_iter().map(|(task, view)| (view, iterators.opened(task, &self.stored.name, host)));
        KeyValueIterator::new(counted.collect(), &shared.iterators)
    }

    /// Asks the tasks here, one after the other, about a serialised key.
    fn answers(&self, key: &[u8]) -> Result<Answers<'_, K, V>> {
        let (subtopology, tasks) = self.tasks()?;
        // Where a partitioner of the user's wrote the records, the other tasks are asked as well.
        let likely = self.task_of(key)?;
        let others = (0..tasks).map(|partition| TaskId { subtopology, partition });
        let order: Vec<TaskId> =
            std::iter::once(likely).chain(others.filter(|task| *task != likely)).collect();
        Ok(Answers {
            asked: self,
            likely,
            order: order.into_iter(),
            deadline: self.deadline(),
            missing: None,
        })
    }

    /// The answers of all tasks here.
    pub(super) async fn every<S: TaskStore, T: Send + 'static>(
        &self,
        question: impl Fn(&mut S) -> Result<T> + Clone + Send + 'static,
    ) -> Result<Vec<(TaskId, T)>> {
        let (subtopology, tasks) = self.tasks()?;
        let (mut answers, deadline) = (Vec::new(), self.deadline());
        for partition in 0..tasks {
            let task = TaskId { subtopology, partition };
            match self.ask(task, question.clone(), deadline).await {
                Ok(answer) => answers.push((task, answer)),
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
        let found = self.instance.subtopology_of(&self.stored.name);
        found.ok_or_else(|| {
            Error::invalid(format_args!("the topology has no store named `{}`", self.stored.name))
        })
    }

    /// Asks a task once it is at the bound, or until it is too late.
    async fn ask<S: TaskStore, T: Send + 'static>(
        &self,
        task: TaskId,
        question: impl Fn(&mut S) -> Result<T> + Clone + Send + 'static,
        deadline: Instant,
    ) -> Result<T> {
        is_readable(&self.instance, &self.stored.name, task, &self.bound)?;
        loop {
            let mut answer = self.ask_now(task, question.clone()).await;
            if is_behind(&answer) && self.stale && look_ahead(&self.instance, &self.stored.name, task).await {
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
        let name = self.stored.name.clone();
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
}

impl<K: Data, V: Data> Answers<'_, K, V> {
    /// The answer of the next task that is here.
    pub(super) async fn next<S: TaskStore, T: Send + 'static>(
        &mut self,
        question: impl Fn(&mut S) -> Result<T> + Clone + Send + 'static,
    ) -> Result<Option<(TaskId, T)>> {
        for task in self.order.by_ref() {
            match self.asked.ask(task, question.clone(), self.deadline).await {
                Ok(answer) => return Ok(Some((task, answer))),
                Err(error) if error.kind() == ErrorKind::Migrated => {
                    self.missing = Some(error).filter(|_| task == self.likely).or(self.missing.take());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// No task here has something: an error if the likely one is elsewhere.
    fn nothing<T>(self, nothing: T) -> Result<T> {
        self.missing.map_or(Ok(nothing), Err)
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
