//! A worker: an async loop on a thread of its own, which owns tasks and drives them.
//!
//! Everything that can wake it is on one list, [`ToWorker`], plus two more: the commit in flight and the next deadline.
//! A turn of the loop takes what has arrived, processes a slice of records of each task, sends the batches that are
//! full, and commits when it is due. When a turn finds nothing to process the caches are flushed and every batch goes
//! out, so results come at once when it is quiet and are merged under load; within a transaction, whose results nobody
//! sees before its end, they gather as long as something is on its way.
//!
//! What it hears and says is in `messages`, what it sends in `sending`. How it commits, and how it goes back, is told in
//! `commit`, how tasks leave it in `handover`, how often it commits in `pace`, what it owes after failures in `owing`, how its
//! stores keep within their memory in `memory`.

mod commit;
mod handover;
mod memory;
mod messages;
mod owing;
mod pace;
mod sending;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use anabranch_client::{ClientError, FetchedBatches, Producer, TopicPartition};
use anabranch_host::{Host, Instant};
use tokio::sync::{Notify, mpsc, oneshot};

use self::commit::CommitInFlight;
pub(crate) use self::messages::{FromWorker, Question, Teller, ToInstance, ToWorker};
use self::owing::Owing;
pub(crate) use self::pace::CommitIntervals;
use self::pace::Pace;
use self::sending::HeldChangelogs;
use super::acknowledgements::{AcknowledgedOffsets, Acknowledgements};
use super::backlog::Backlog;
use super::busy::Busy;
use super::metrics::ThreadMetrics;
use super::refusals::Patience;
use super::running_task::{Enqueued, RestoreStep, RunningTask, Slice};
use super::transaction::WorkerTransaction;
use crate::error::{Error, ErrorKind, Result};
use crate::processor::TaskId;

/// Records a task may process before the worker looks at its messages again...
const RECORDS_PER_TURN: usize = 2000;
/// ...and for how long all of them may: commits go on, and transactions end in time, however slow the code of users is.
const TURN_TIME: Duration = Duration::from_millis(100);
/// Why the end of a worker was not clean.
const NOT_COMMITTED: &str = "the last work could not be committed: whoever runs its tasks next does it again";
/// Committed rows of a task that may wait for their engine while records are processed.
const UNSTORED_ROWS: usize = 100_000;

/// What a worker needs.
pub(crate) struct WorkerContext {
    pub(crate) host: Host,
    pub(crate) producer: Producer,
    /// Under exactly-once; the producer is its.
    pub(crate) transaction: Option<WorkerTransaction>,
    pub(crate) commit_intervals: CommitIntervals,
    /// `task.timeout.ms`.
    pub(crate) task_timeout: Duration,
    /// Undo lists and unsent batches beyond this force a commit; this worker's part of `statestore.uncommitted.max.bytes`.
    pub(crate) uncommitted_max_bytes: Arc<AtomicUsize>,
    /// Rows waiting to be forwarded beyond this force a flush; this worker's part of `statestore.cache.max.bytes`.
    pub(crate) cache_max_bytes: Arc<AtomicUsize>,
    /// Rows of stores on disk that may be in memory too; this worker's part of `statestore.memory.max.bytes`.
    pub(crate) memory_max_bytes: Arc<AtomicUsize>,
    /// `buffered.records.per.partition`.
    pub(crate) buffered_records: usize,
    /// What was sent to it and is not processed yet.
    pub(crate) backlog: Backlog,
    /// What it is at, for its instance to see.
    pub(crate) busy: Busy,
    pub(crate) metrics: ThreadMetrics,
    /// Nothing is processed for a while.
    pub(crate) asleep: bool,
    /// Told when it is to end at once, as a crash would end it; user code is not interrupted.
    pub(crate) abandoned: Arc<Notify>,
    pub(crate) to_instance: ToInstance,
}

struct Worker {
    context: WorkerContext,
    tasks: BTreeMap<TaskId, RunningTask>,
    acknowledgements: Acknowledgements,
    held: HeldChangelogs,
    /// The epoch being written; what is sent belongs to it.
    epoch: u64,
    commit: Option<CommitInFlight>,
    pace: Pace,
    commit_requested: bool,
    /// When the epoch was sealed whose commit is in flight, by the wall clock: its stores have all up to then. They need not
    /// have all up to when the answer is looked at, since a process may be stopped in between.
    sealed_at_ms: i64,
    /// Told when the commit in flight has ended.
    settling: Vec<oneshot::Sender<()>>,
    /// Partitions that rest, until little of them waits.
    paused: BTreeSet<TopicPartition>,
    /// When it was told last that memory is full.
    told_of_memory: Option<Instant>,
    /// With records that brokers refuse for what they are.
    patience: Patience,
    /// With what fails and may pass.
    owing: Owing,
    /// So many commits come as soon as there is something to commit: records were refused, and little is to be done again
    /// if more are.
    careful: u32,
    /// The group has given its tasks to others: nothing is processed until they are taken away.
    fenced: bool,
    /// The last task that had its turn, if time was up then.
    turn_of: Option<TaskId>,
    /// Tasks were to leave, and what they had done could be neither committed nor undone.
    is_stuck_with_tasks: bool,
}

/// Runs a worker until it is told to stop or fails.
pub(crate) async fn run(context: WorkerContext, mut messages: mpsc::UnboundedReceiver<ToWorker>) {
    let to_instance = context.to_instance.clone();
    let now = context.host.now();
    let mut worker = Worker {
        owing: Owing::new(context.task_timeout),
        pace: Pace::new(context.commit_intervals, now),
        context,
        tasks: BTreeMap::new(),
        acknowledgements: Acknowledgements::default(),
        held: HeldChangelogs::default(),
        epoch: 1,
        commit: None,
        commit_requested: false,
        sealed_at_ms: 0,
        settling: Vec::new(),
        paused: BTreeSet::new(),
        told_of_memory: None,
        patience: Patience::default(),
        careful: 0,
        fenced: false,
        is_stuck_with_tasks: false,
        turn_of: None,
    };
    let abandoned = Arc::clone(&worker.context.abandoned);
    let ended = tokio::select! {
        biased;
        () = abandoned.notified() => return,
        ended = worker.turn_until_stopped(&mut messages) => ended,
    };
    if let Err(error) = ended {
        to_instance.send(FromWorker::Failed(error));
        // Nobody goes on with it, and as long as it is there the producer waits for it.
        worker.commit = None;
        if let Some(transaction) = &worker.context.transaction {
            transaction.close().await;
        }
    }
}

/// What ended a wait.
enum Woken {
    Message(Option<ToWorker>),
    Committed(Result<AcknowledgedOffsets, ClientError>),
    Deadline,
}

impl Worker {
    async fn turn_until_stopped(&mut self, messages: &mut mpsc::UnboundedReceiver<ToWorker>) -> Result<()> {
        if let Some(transaction) = &self.context.transaction {
            let claimed = transaction.claim(self.owing.timeout()).await;
            claimed.map_err(|error| client_error("claiming the worker's transactional id", error))?;
            self.owing.timeout().progressed();
        }
        loop {
            match self.turn(messages).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if self.may_undo(&error) && !self.is_stuck_with_tasks => {
                    self.try_again(&error).await?
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One turn; true if it was the last.
    async fn turn(&mut self, messages: &mut mpsc::UnboundedReceiver<ToWorker>) -> Result<bool> {
        while let Ok(message) = messages.try_recv() {
            if self.take(message).await? {
                return Ok(true);
            }
        }
        if let Some(done) = self.commit_if_done().await {
            self.committed(done)?;
        }
        if self.commit.is_none() {
            self.check_outcome()?;
        }
        self.send_due().await?;
        let worked = self.work().await?;
        if !worked && !self.gathers() {
            self.flush_all().await?;
        }
        if self.commit_is_due(worked) {
            self.tell_of_full_memory();
            self.begin_commit().await?;
        }
        if let Some(error) = self.acknowledgements.error() {
            return Err(self.not_written("writing records", error));
        }
        self.resume_worked_off();
        let restored = self.restore()?;
        if self.write_behind(worked || restored)? || worked || restored {
            return Ok(false);
        }
        let began = self.context.host.now();
        let woken = self.wait(messages).await;
        self.context.metrics.idled(self.context.host.now() - began);
        match woken {
            Woken::Message(None) => return Ok(true),
            Woken::Message(Some(message)) => return self.take(message).await,
            Woken::Committed(done) => self.committed(done)?,
            Woken::Deadline => {}
        }
        Ok(false)
    }

    /// Takes a message; true if it was the last.
    async fn take(&mut self, message: ToWorker) -> Result<bool> {
        match message {
            ToWorker::Open(task) => {
                if task.is_restored() {
                    self.tell(FromWorker::Restored(task.id()));
                }
                self.context.metrics.created.inc();
                self.tasks.insert(task.id(), *task);
            }
            ToWorker::Promote { task, committed, beginnings } => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    self.context.busy.begin(task.id(), self.context.host.now());
                    task.promote(committed);
                    self.context.busy.end();
                    task.begin_at(&beginnings);
                    if task.is_restored() {
                        let task = task.id();
                        self.tell(FromWorker::Restored(task));
                    }
                }
            }
            ToWorker::ReadTopics { task, topology, inputs, committed, beginnings } => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.read_topics(&topology, &inputs, committed);
                    task.begin_at(&beginnings);
                }
            }
            ToWorker::Sleep(asleep) => self.context.asleep = asleep,
            ToWorker::Give { tasks, reply } => {
                let given = self.give(&tasks).await?;
                // Whoever asked waits for it.
                let _ = reply.send(given);
            }
            ToWorker::Demote { tasks, reply } => {
                self.demote(&tasks).await?;
                let _ = reply.send(());
            }
            ToWorker::Records { fetched, rests } => self.enqueue(&fetched, rests)?,
            ToWorker::Close { tasks, reply } => {
                self.close(&tasks).await?;
                let _ = reply.send(());
            }
            ToWorker::Rewound { partition, number } => {
                self.tasks.values_mut().for_each(|task| task.rewound(&partition, number));
            }
            ToWorker::BeginAnew { partition, reply } => {
                self.begin_anew(&partition).await?;
                let _ = reply.send(());
            }
            ToWorker::BeginAt(offsets) => {
                self.tasks.values_mut().for_each(|task| task.begin_at(&offsets));
            }
            ToWorker::Lags(lags) => {
                for (partition, lag) in &lags {
                    self.tasks.values_mut().for_each(|task| task.note_lag(partition, *lag));
                }
            }
            ToWorker::Lose { tasks, reply } => {
                // What they have done is in the same transaction as what stays.
                if self.context.transaction.is_some()
                    && tasks.iter().any(|task| self.tasks.contains_key(task))
                {
                    let lost = Error::new(ErrorKind::Migrated, "tasks belong to another instance");
                    self.undo(&lost).await?;
                }
                self.held.forget(|task| tasks.contains(task));
                for task in tasks {
                    if let Some(task) = self.tasks.remove(&task) {
                        self.context.metrics.closed.inc();
                        self.context.busy.begin(task.id(), self.context.host.now());
                        task.given_up();
                    }
                }
                self.come_back()?;
                if self.context.transaction.is_none() && self.runs_nothing() {
                    // Its answer would be about tasks that are gone, and stop those that come next.
                    self.commit = None;
                    self.settled();
                }
                self.free_if_idle();
                let _ = reply.send(());
            }
            ToWorker::Commit => self.commit_requested = true,
            ToWorker::Settle { reply } if self.commit.is_some() => self.settling.push(reply),
            ToWorker::Settle { reply } => {
                // Whoever asked may have given up.
                let _ = reply.send(());
            }
            ToWorker::Ask { task, stale, question } => {
                let task = self.tasks.get_mut(&task);
                question(task.filter(|task| task.is_restored() || stale && !task.hides_rows()));
            }
            ToWorker::Stop { reply } => {
                let all: BTreeSet<TaskId> = self.tasks.keys().copied().collect();
                let closed = self.close(&all).await;
                if let Some(transaction) = &self.context.transaction {
                    transaction.close().await;
                }
                let closed = closed.and_then(|is_committed| match is_committed {
                    true => Ok(()),
                    false => Err(Error::fatal(NOT_COMMITTED)),
                });
                let _ = reply.send(closed);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn enqueue(&mut self, fetched: &FetchedBatches, rests: bool) -> Result<()> {
        let partition = &TopicPartition { topic: fetched.topic.clone(), partition: fetched.partition };
        let sent_bytes = fetched.records.len();
        if rests {
            self.paused.insert(partition.clone());
        }
        // A partition of a task that has just gone: whoever has the task now reads it.
        let Some(task) = self.tasks.values_mut().find(|task| task.reads(partition)) else {
            self.context.backlog.take(sent_bytes, 0);
            return Ok(());
        };
        let Enqueued { records, waiting, bytes } = task.enqueue(fetched)?;
        self.context.backlog.take(sent_bytes, bytes);
        self.context.metrics.consumed(&fetched.topic, records, sent_bytes);
        let is_much =
            waiting > self.context.buffered_records || waiting > 0 && self.context.backlog.is_full();
        if is_much {
            self.paused.insert(partition.clone());
            // Also if it rests: it may have been told to go on meanwhile.
            self.tell(FromWorker::Pause(partition.clone()));
        }
        Ok(())
    }

    /// A slice of records of each task, and what is due by the clock, as many as have their turn in time; the next turn goes on
    /// with the others. False if there was nothing to do.
    async fn work(&mut self) -> Result<bool> {
        let wall_clock_ms = self.context.host.wall_clock_ms();
        let mut worked = false;
        // The commit in flight makes room.
        let waits = self.commit.is_some() && self.uncommitted_is_full();
        if self.fenced || self.context.asleep || waits {
            return Ok(false);
        }
        let uncommitted_max = self.context.uncommitted_max_bytes.load(Ordering::Relaxed);
        let WorkerContext { busy, host, metrics, .. } = &self.context;
        let until = host.now() + TURN_TIME;
        let slice = Slice { records: RECORDS_PER_TURN, uncommitted_max_bytes: uncommitted_max, host, until };
        let before = self.turn_of.take();
        worked |= before.is_some();
        let after = (before.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        for task in self.tasks.range_mut(after).map(|(_, task)| task).filter(|task| task.is_restored()) {
            let _span = tracing::trace_span!("process", task = %task.id()).entered();
            let began = host.now();
            busy.begin(task.id(), began);
            let records = task.process(slice, wall_clock_ms)?;
            let processed = host.now();
            if records > 0 {
                metrics.processed(records, processed - began);
                task.took(processed - began);
            }
            let punctuated = task.punctuate(wall_clock_ms)?;
            if punctuated {
                metrics.punctuated(host.now() - processed);
            }
            worked |= records > 0 || punctuated;
            if host.now() >= until {
                self.turn_of = Some(task.id());
                break;
            }
        }
        self.come_back()?;
        if worked {
            self.send_worked().await?;
        }
        Ok(worked)
    }

    /// Back from user code: processors, their makers, listeners. If that took so long that its tasks were given up, nothing of
    /// it may have an effect.
    pub(super) fn come_back(&self) -> Result<()> {
        self.context.busy.end();
        match self.context.busy.is_retired() {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::Fatal, "its tasks were given up")),
        }
    }

    /// Applies what changelogs have brought to tasks that come back, and to standbys; whether there was something.
    fn restore(&mut self) -> Result<bool> {
        if self.fenced {
            return Ok(false);
        }
        let wall_clock_ms = self.context.host.wall_clock_ms();
        let mut applied = false;
        let mut truncated = Vec::new();
        let WorkerContext { busy, host, .. } = &self.context;
        for task in self.tasks.values_mut().filter(|task| !task.is_restored()) {
            let _span = tracing::trace_span!("restore", task = %task.id()).entered();
            // A listener is told of it.
            busy.begin(task.id(), host.now());
            let step = task.restore_step(wall_clock_ms)?;
            applied |= step != RestoreStep::Idle;
            match step {
                RestoreStep::Done => drop(self.context.to_instance.send(FromWorker::Restored(task.id()))),
                RestoreStep::Truncated => truncated.push(task.id()),
                RestoreStep::Idle | RestoreStep::Applied => {}
            }
        }
        for id in truncated {
            if let Some(task) = self.tasks.remove(&id) {
                self.context.metrics.closed.inc();
                task.given_up();
            }
            self.tell(FromWorker::Truncated(id));
        }
        self.come_back()?;
        Ok(applied)
    }

    /// Lets partitions go on that rested and of which little waits by now.
    fn resume_worked_off(&mut self) {
        self.context.backlog.queue(self.tasks.values().map(RunningTask::queued_bytes).sum());
        if self.paused.is_empty() {
            return;
        }
        let low = if self.context.backlog.has_room() { self.context.buffered_records / 2 } else { 0 };
        let is_low =
            |task: &RunningTask, partition| task.buffered(partition).is_none_or(|count| count <= low);
        let tasks = &self.tasks;
        let worked_off = self.paused.iter().filter(|name| tasks.values().all(|task| is_low(task, name)));
        let worked_off: Vec<TopicPartition> = worked_off.cloned().collect();
        for partition in worked_off {
            self.paused.remove(&partition);
            self.tell(FromWorker::Resume(partition));
        }
    }

    /// Writes committed rows to the engines, a chunk a turn: when there is nothing else to do, when many wait, or when
    /// memory is short.
    fn write_behind(&mut self, worked: bool) -> Result<bool> {
        if self.is_over_budget() {
            return self.evict();
        }
        let mut more = false;
        for task in self.tasks.values_mut() {
            if !worked || task.unstored_rows() > UNSTORED_ROWS {
                more |= task.write_behind()?;
            }
        }
        Ok(more)
    }

    async fn wait(&mut self, messages: &mut mpsc::UnboundedReceiver<ToWorker>) -> Woken {
        let deadline = self.next_deadline();
        let held = self.held_is_due();
        let host = self.context.host.clone();
        let sleep = async {
            match deadline {
                Some(deadline) => host.sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let commit = async {
            match self.commit.as_mut() {
                Some(commit) => commit.await,
                None => std::future::pending().await,
            }
        };
        let (tasks, fenced) = (&mut self.tasks, self.fenced);
        let restored = async {
            // Woken by the first task whose changelog has brought something, if it would be applied.
            std::future::poll_fn(|context| {
                let ready = !fenced && tasks.values_mut().any(|task| task.poll_restore(context));
                if ready { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        };
        tokio::select! {
            biased;
            done = commit => Woken::Committed(done),
            message = messages.recv() => Woken::Message(message),
            () = restored => Woken::Deadline,
            () = held => Woken::Deadline,
            () = sleep => Woken::Deadline,
        }
    }

    /// When the clock alone gives something to do: the next commit, if there is something to commit; a punctuation.
    fn next_deadline(&self) -> Option<Instant> {
        let uncommitted =
            !self.fenced && self.commit.is_none() && self.tasks.values().any(RunningTask::needs_commit);
        let commit = uncommitted.then(|| self.pace.due_at(true));
        let tasks = self.tasks.values().filter(|task| task.is_restored());
        let punctuation =
            tasks.flat_map(|task| [task.next_punctuation(), task.waits_until()]).flatten().min();
        let punctuation = punctuation.filter(|_| !self.fenced && !self.context.asleep).map(|due| {
            let wait_ms = due.saturating_sub(self.context.host.wall_clock_ms()).max(1);
            self.context.host.now() + Duration::from_millis(wait_ms.unsigned_abs())
        });
        [commit, punctuation].into_iter().flatten().min()
    }

    fn tell(&self, word: FromWorker) {
        self.context.to_instance.send(word);
    }
}

/// A client's error in the words of this crate.
pub(crate) fn client_error(doing: &str, error: ClientError) -> Error {
    let kind = match error.kind() {
        anabranch_client::ErrorKind::Fenced => ErrorKind::Migrated,
        anabranch_client::ErrorKind::Invalid => ErrorKind::Invalid,
        _ => ErrorKind::Fatal,
    };
    Error::new(kind, doing).with_source(error)
}
