//! The group's member: the loop that owns the consumer.
//!
//! ```text
//! Created -> Rebalancing <-> Running -> PendingShutdown -> NotRunning
//!                 \            |
//!                  +-----------+------> PendingError -> Error
//! ```
//! It routes raw batches to the worker that owns the task, opens and closes tasks as the group says, and commits for the
//! workers, all of whom are one member. It never looks into a record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::records::Compression;
use anabranch_client::{
    AutoOffsetReset, ClientError, Consumer, ConsumerConfig, FetchedBatches, Polled, RebalanceEvent,
    TopicPartition,
};
use anabranch_host::JoinHandle;
use anabranch_state_store::{Checkpoint, Engine};
use tokio::sync::{mpsc, oneshot};

use super::application::State;
use super::assignment::assignor::Holdings;
use super::batch_outbox::BatchOutbox;
use super::beginnings::beginnings;
use super::global::Reading;
use super::instance::{Command, Shared};
use super::restore::{Changelog, Restoration};
use super::running_task::RunningTask;
use super::state_directory::StateDirectory;
use super::worker::{FromWorker, Offsets, ToWorker, client_error};
use crate::error::{Error, ErrorKind, Result};
use crate::outbox::OutTopic;
use crate::processor::TaskId;
use crate::task::{Task, TaskConfig};

/// A batch of this size is sent without waiting for more.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;
/// How long one poll waits when nothing is fetched; commands interrupt it.
const POLL: Duration = Duration::from_millis(100);
/// State older than this is restored from the start of its changelog.
pub(crate) const STALE_AFTER_MS: i64 = 12 * 60 * 60 * 1000;
/// After which a commit is tried again while a worker's answer is awaited.
const COMMIT_AGAIN: Duration = Duration::from_millis(50);

/// Told of the new state and the old one.
pub(crate) type StateListener = Arc<dyn Fn(State, State) + Send + Sync>;

/// What the loop needs and keeps.
pub(crate) struct Member {
    pub(crate) shared: Arc<Shared>,
    pub(crate) consumer: Consumer,
    pub(crate) from_workers: mpsc::UnboundedReceiver<FromWorker>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) task_config: TaskConfig,
    /// Where topics begin that nobody has read.
    pub(crate) offset_resets: BTreeMap<String, AutoOffsetReset>,
    /// How changelogs are read.
    pub(crate) restore: ConsumerConfig,
    pub(crate) compression: Compression,
    pub(crate) holdings: Holdings,
    /// Held for its lock.
    pub(crate) directory: Option<StateDirectory>,
    pub(crate) listener: Option<StateListener>,
    /// Commits that the group did not take yet.
    pub(crate) deferred: Vec<(Offsets, oneshot::Sender<Result<(), ClientError>>)>,
    /// Its user has let go of it: nothing is to be committed.
    pub(crate) abandoned: bool,
    /// Those who wait for the workers' threads.
    pub(crate) threads: Vec<JoinHandle<()>>,
    /// Reads the topics of global stores, if there are any.
    pub(crate) global: Option<Reading>,
    /// Tasks whose state is coming back.
    pub(crate) restoring: BTreeSet<TaskId>,
    /// The first assignment is there.
    pub(crate) joined: bool,
}

impl Member {
    /// Runs until it is stopped or fails.
    pub(crate) async fn run(mut self) {
        self.enter(State::Rebalancing);
        let reply = match self.turn_until_stopped().await {
            Ok(reply) => Some(reply),
            Err(error) => {
                if self.abandoned {
                    self.abandon_workers();
                } else {
                    tracing::error!(%error, "the application fails");
                }
                *self.shared.error.lock() = Some(Arc::new(error));
                self.enter(State::PendingError);
                None
            }
        };
        let failed = reply.is_none();
        if !failed {
            self.enter(State::PendingShutdown);
        }
        let stopped = self.stop_workers().await;
        let Member { shared, consumer, directory, listener, task_config, threads, global, .. } = self;
        for thread in threads {
            // A panic has been told as a failure.
            let _ = thread.await;
        }
        if let Some(global) = global {
            global.end(!failed).await;
        }
        if let Err(error) = consumer.close().await {
            tracing::warn!(%error, "leaving the group");
        }
        // Durable and unlocked before anybody is told.
        if let Some(engine) = &task_config.engine
            && let Err(error) = engine.sync()
        {
            tracing::warn!(%error, "the state is not synced: the next start reads more of the changelogs");
        }
        drop((task_config, directory));
        shared.enter(if failed { State::Error } else { State::NotRunning }, listener.as_ref());
        if let Some(reply) = reply {
            // Whoever asked may have given up.
            let _ = reply.send(stopped);
        }
    }

    async fn turn_until_stopped(&mut self) -> Result<oneshot::Sender<Result<()>>> {
        enum Woken {
            Command(Option<Command>),
            Worker(Option<FromWorker>),
            Polled(Result<Polled<FetchedBatches>, ClientError>),
        }
        loop {
            let woken = tokio::select! {
                biased;
                command = self.commands.recv() => Woken::Command(command),
                word = self.from_workers.recv() => Woken::Worker(word),
                polled = self.consumer.poll_batches(POLL) => Woken::Polled(polled),
            };
            match woken {
                Woken::Command(Some(Command::Stop { reply })) => return Ok(reply),
                Woken::Command(Some(Command::Abandon) | None) => {
                    self.abandoned = true;
                    return Err(Error::fatal("the application was dropped"));
                }
                Woken::Worker(Some(word)) => self.hear(word).await?,
                Woken::Worker(None) => return Err(Error::fatal("the workers have ended")),
                Woken::Polled(polled) => {
                    let polled = polled.map_err(|error| client_error("reading the source topics", error))?;
                    self.commit_deferred().await;
                    for event in polled.events {
                        self.rebalance(event).await?;
                    }
                    for fetched in polled.records {
                        let partition =
                            TopicPartition { topic: fetched.topic.clone(), partition: fetched.partition };
                        if let Some(worker) = self.worker_of(&partition) {
                            self.tell(worker, ToWorker::Records(fetched));
                        }
                    }
                }
            }
        }
    }

    async fn hear(&mut self, word: FromWorker) -> Result<()> {
        match word {
            FromWorker::Pause(partition) => self.pause(&[partition]),
            FromWorker::Resume(partition) => self.resume(&[partition]),
            FromWorker::Restored(task) => {
                let partitions = self.inputs(task);
                self.resume(&partitions);
                self.restoring.remove(&task);
                self.settle();
            }
            FromWorker::Commit { offsets, reply } => self.commit(offsets, reply).await,
            FromWorker::Group { reply } => {
                if let Some(group) = self.consumer.group_metadata() {
                    // A worker that has been closed meanwhile does not wait.
                    let _ = reply.send(group);
                }
            }
            FromWorker::Committed => self.shared.committed.send_modify(|count| *count += 1),
            FromWorker::Rewind(offsets) => self.rewind(&offsets),
            FromWorker::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Commits. What the group does not take for the moment (it is being rebalanced, its coordinator moves) is tried again
    /// after the next poll: only polling lets a rebalance go on.
    async fn commit(&mut self, offsets: Offsets, reply: oneshot::Sender<Result<(), ClientError>>) {
        match self.consumer.commit_offsets(&offsets).await {
            Err(error) if error.is_retriable() => {
                tracing::debug!(%error, "the commit is tried again");
                self.deferred.push((offsets, reply));
            }
            committed => {
                let done = committed.is_ok();
                // A worker that has been closed meanwhile does not wait.
                let _ = reply.send(committed);
                if done {
                    self.shared.committed.send_modify(|count| *count += 1);
                }
            }
        }
    }

    /// Reads partitions again. What was fetched before is on its way to the worker already, so the word that all that
    /// comes behind it is anew finds its place in the same queue.
    fn rewind(&mut self, offsets: &[(TopicPartition, i64)]) {
        for (partition, offset) in offsets {
            match self.consumer.seek(partition, *offset) {
                Ok(()) => {
                    if let Some(worker) = self.worker_of(partition) {
                        self.tell(worker, ToWorker::Rewound(partition.clone()));
                    }
                }
                // It has been taken away, and its task with it.
                Err(error) => tracing::debug!(%partition, %error, "not read again"),
            }
        }
    }

    async fn commit_deferred(&mut self) {
        for (offsets, reply) in std::mem::take(&mut self.deferred) {
            self.commit(offsets, reply).await;
        }
    }

    async fn rebalance(&mut self, event: RebalanceEvent) -> Result<()> {
        match event {
            RebalanceEvent::Assigned { partitions, .. } => {
                let opened = self.tasks_of(&partitions);
                self.open(&opened).await?;
                self.joined = true;
                self.settle();
            }
            RebalanceEvent::Revoked(partitions) => {
                let tasks = self.tasks_of(&partitions);
                self.enter_rebalancing();
                self.close(&tasks, |tasks, reply| ToWorker::Close { tasks, reply }).await?;
            }
            RebalanceEvent::Lost(partitions) => {
                let tasks = self.tasks_of(&partitions);
                self.enter_rebalancing();
                self.close(&tasks, |tasks, reply| ToWorker::Lose { tasks, reply }).await?;
            }
        }
        Ok(())
    }

    fn enter_rebalancing(&mut self) {
        if self.joined {
            self.enter(State::Rebalancing);
        }
    }

    /// Running, once every task it has got is.
    fn settle(&mut self) {
        if self.joined && self.restoring.is_empty() {
            self.enter(State::Running);
        }
    }

    /// Makes tasks and gives each to the worker with the fewest.
    async fn open(&mut self, tasks: &BTreeSet<TaskId>) -> Result<()> {
        let placed: BTreeSet<TaskId> = self.shared.placed.lock().keys().copied().collect();
        for id in tasks.difference(&placed) {
            let running = self.make_task(*id).await?;
            if !running.is_restored() {
                self.restoring.insert(*id);
                let partitions = self.inputs(*id);
                self.pause(&partitions);
            }
            let worker = {
                let mut placed = self.shared.placed.lock();
                let load = |worker: &usize| placed.values().filter(|at| *at == worker).count();
                let worker = (0..self.shared.workers.len()).min_by_key(load).unwrap_or(0);
                placed.insert(*id, worker);
                worker
            };
            self.tell(worker, ToWorker::Open(Box::new(running)));
        }
        self.note_holdings();
        Ok(())
    }

    async fn make_task(&mut self, id: TaskId) -> Result<RunningTask> {
        let shared = Arc::clone(&self.shared);
        let Shared { plan, topology, client, application_id, .. } = &*shared;
        let subtopology = plan.subtopology(id.subtopology);
        let nodes = subtopology.map(|subtopology| subtopology.nodes.clone());
        let nodes = nodes.ok_or_else(|| {
            Error::new(ErrorKind::Migrated, format_args!("task {id} is of another topology"))
        })?;
        let mut task = Task::new(Arc::clone(topology), nodes.clone(), id, self.task_config.clone())?;
        if let Some(engine) = &self.task_config.engine
            && is_stale(&task, client.host().wall_clock_ms())
        {
            tracing::info!(task = %id, "its state is too old to be caught up with: it is restored from the start");
            drop(task);
            drop_stores(&**engine, id)?;
            task = Task::new(Arc::clone(topology), nodes, id, self.task_config.clone())?;
        }
        let inputs: Vec<TopicPartition> = task
            .inputs()
            .iter()
            .map(|input| TopicPartition::new(Arc::clone(&input.topic), input.partition))
            .collect();
        // Those of a transaction that is not decided yet are waited for.
        let committed = client.admin().stable_offsets(application_id, Some(&inputs)).await;
        let committed = committed.map_err(|error| client_error("asking for committed offsets", error))?;
        for (index, input) in inputs.iter().enumerate() {
            if let Some(offset) = committed.get(input) {
                task.resume(index, &offset.metadata);
            }
        }
        let unread = inputs.iter().filter(|input| !committed.contains_key(input));
        self.begin(beginnings(client, &self.offset_resets, unread).await?).await;
        let changelog = |(topic, reflected): (OutTopic, Option<Checkpoint>)| Changelog {
            topic: topic.name,
            reflected: reflected.map(|checkpoint| checkpoint.offset),
        };
        let changelogs: Vec<Option<Changelog>> =
            task.changelogs().into_iter().map(|store| store.map(changelog)).collect();
        let restoration = Restoration::begin(client, &self.restore, &changelogs, id.partition);
        let outbox = BatchOutbox::new(client.clone(), self.compression, BATCH_BYTES);
        Ok(RunningTask::new(task, outbox, changelogs, restoration))
    }

    /// Reads and commits from where the policies of the topics say.
    async fn begin(&mut self, offsets: Offsets) {
        if offsets.is_empty() {
            return;
        }
        for (partition, offset) in &offsets {
            if let Err(error) = self.consumer.seek(partition, offset.offset) {
                tracing::debug!(%partition, %error, "not assigned any more");
            }
        }
        // Nobody waits for it: what the group does not take now is tried again.
        let (reply, _) = oneshot::channel();
        self.commit(offsets, reply).await;
    }

    /// Ends tasks on their workers and waits for it.
    async fn close<R: Send + 'static>(
        &mut self,
        tasks: &BTreeSet<TaskId>,
        message: impl Fn(BTreeSet<TaskId>, oneshot::Sender<R>) -> ToWorker,
    ) -> Result<()> {
        let mut by_worker: BTreeMap<usize, BTreeSet<TaskId>> = BTreeMap::new();
        {
            let mut placed = self.shared.placed.lock();
            for task in tasks {
                if let Some(worker) = placed.remove(task) {
                    by_worker.entry(worker).or_default().insert(*task);
                }
                self.restoring.remove(task);
            }
        }
        for (worker, tasks) in by_worker {
            let (reply, answer) = oneshot::channel();
            self.tell(worker, message(tasks, reply));
            self.hear_until(answer).await?;
        }
        self.note_holdings();
        Ok(())
    }

    /// Waits for a worker's answer and goes on committing meanwhile: the worker commits before it answers.
    async fn hear_until<R>(&mut self, mut answer: oneshot::Receiver<R>) -> Result<Option<R>> {
        let host = self.shared.client.host().clone();
        loop {
            enum Woken {
                Word(Option<FromWorker>),
                Again,
            }
            let again = async {
                match self.deferred.is_empty() {
                    true => std::future::pending().await,
                    false => host.sleep(COMMIT_AGAIN).await,
                }
            };
            let woken = tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer.ok()),
                word = self.from_workers.recv() => Woken::Word(word),
                () = again => Woken::Again,
            };
            match woken {
                Woken::Word(Some(word)) => Box::pin(self.hear(word)).await?,
                Woken::Word(None) => return Ok(None),
                Woken::Again => self.commit_deferred().await,
            }
        }
    }

    /// Lets every worker end at once, so that nothing more is committed.
    fn abandon_workers(&self) {
        for worker in 0..self.shared.workers.len() {
            self.tell(worker, ToWorker::Abandon);
        }
    }

    async fn stop_workers(&mut self) -> Result<()> {
        let mut stopped = Ok(());
        for worker in 0..self.shared.workers.len() {
            let (reply, answer) = oneshot::channel();
            self.tell(worker, ToWorker::Stop { reply });
            match self.hear_until(answer).await {
                Ok(Some(result)) => stopped = stopped.and(result),
                // It has failed before and is gone.
                Ok(None) => {}
                Err(error) => stopped = stopped.and(Err(error)),
            }
        }
        self.shared.placed.lock().clear();
        stopped
    }

    /// What the leader is told at the next rebalance.
    fn note_holdings(&self) {
        self.holdings.lock().running = self.shared.placed.lock().keys().copied().collect();
    }

    /// Tasks of which a partition is among these.
    fn tasks_of(&self, partitions: &[TopicPartition]) -> BTreeSet<TaskId> {
        let partitions: BTreeSet<&TopicPartition> = partitions.iter().collect();
        let reads = |task: &TaskId| self.inputs(*task).iter().any(|input| partitions.contains(input));
        self.shared.plan.tasks().into_iter().filter(reads).collect()
    }

    fn inputs(&self, task: TaskId) -> Vec<TopicPartition> {
        let inputs = self.shared.plan.inputs(task).into_iter();
        inputs.map(|(topic, partition)| TopicPartition::new(topic, partition)).collect()
    }

    fn worker_of(&self, partition: &TopicPartition) -> Option<usize> {
        let task = self.shared.reader_of(partition)?;
        self.shared.placed.lock().get(&task).copied()
    }

    fn tell(&self, worker: usize, message: ToWorker) {
        // A worker that has failed is gone; the loop hears of it by `FromWorker::Failed`.
        let _ = self.shared.workers[worker].send(message);
    }

    /// Stops fetching partitions; those that are no longer assigned need it no more.
    fn pause(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Err(error) = self.consumer.pause(std::slice::from_ref(partition)) {
                tracing::debug!(%partition, %error, "not paused");
            }
        }
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Err(error) = self.consumer.resume(std::slice::from_ref(partition)) {
                tracing::debug!(%partition, %error, "not resumed");
            }
        }
    }

    fn enter(&self, state: State) {
        self.shared.enter(state, self.listener.as_ref());
    }
}

/// Whether a store reflects its changelog as it was so long ago that deletions since then may have been compacted away:
/// half of `delete.retention.ms`, whose default is a day.
fn is_stale(task: &Task, wall_clock_ms: i64) -> bool {
    let reflected =
        |store: Option<(OutTopic, Option<Checkpoint>)>| store.and_then(|(_, reflected)| reflected);
    let age_ms = |checkpoint: Checkpoint| wall_clock_ms.saturating_sub(checkpoint.wall_clock_ms);
    task.changelogs().into_iter().filter_map(reflected).any(|checkpoint| age_ms(checkpoint) > STALE_AFTER_MS)
}

/// Removes what the engine has of a task.
fn drop_stores(engine: &dyn Engine, task: TaskId) -> Result<()> {
    let prefix = format!("{task}-");
    let failed =
        |error: anabranch_state_store::Error| Error::fatal("dropping stale state").with_source(error);
    for name in engine.store_names().map_err(failed)?.iter().filter(|name| name.starts_with(&prefix)) {
        engine.drop_store(name).map_err(failed)?;
    }
    Ok(())
}
