//! The group's member: the loop that owns the consumer.
//!
//! It routes raw batches to the worker that owns the task, opens and closes tasks as the group says, and commits for the
//! workers, all of whom are one member. It never looks into a record.
//!
//! Reading order: `phase`, `waiting`, `probing`, `known_inputs`, `lags` (what it keeps); `rebalance`, `making`, `tasks`, `topics`
//! (it follows its group); `commits` (for its workers); `control` (what its user asks for, workers that fail), `replacing`,
//! `failing`, `ending`.

mod commits;
mod control;
mod ending;
mod failing;
mod known_inputs;
mod lags;
mod making;
mod phase;
mod probing;
mod rebalance;
mod replacing;
mod tasks;
mod topics;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::{ClientError, Consumer, FetchedBatches, Polled, TopicPartition};
use anabranch_host::Instant;
use tokio::sync::mpsc;
use tokio::sync::oneshot::error::RecvError;
use tracing::Instrument;

use self::commits::DeferredCommit;
use self::known_inputs::KnownInputs;
use self::lags::ToldLags;
pub(crate) use self::making::TaskMaker;
use self::phase::Phase;
use self::probing::Probing;
use self::waiting::Waiting;
use super::beginnings::OffsetResets;
use super::global::Reading;
use super::local_state;
use super::plan::Planner;
use super::running_task::Rewind;
use super::shared::{Command, Shared, Stop};
use super::state::{State, StateListener};
use super::state_directory::StateDirectory;
use super::uncaught::{Pauses, UncaughtErrorHandler};
use super::worker::{FromWorker, Teller, ToWorker};
use super::workers::Workers;
use crate::error::{Error, Result};
use crate::processor::TaskId;

/// After which a commit is tried again while a worker's answer is awaited.
const COMMIT_AGAIN: Duration = Duration::from_millis(50);
/// How often it is looked whether a worker whose answer is awaited comes back at all.
const LOOK_FOR_STUCK: Duration = Duration::from_secs(1);
/// How often it is looked for state that nobody uses any more.
const CLEAN_EVERY: Duration = Duration::from_secs(60);

/// What a member is made of.
pub(crate) struct MemberParts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) planner: Arc<Planner>,
    pub(crate) consumer: Consumer,
    /// Where topics begin that nobody has read.
    pub(crate) offset_resets: OffsetResets,
    pub(crate) workers: Workers,
    pub(crate) from_workers: mpsc::UnboundedReceiver<(Teller, FromWorker)>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) maker: TaskMaker,
    /// Held for its lock.
    pub(crate) directory: Option<StateDirectory>,
    /// Reads the topics of global stores, if there are any.
    pub(crate) global: Option<Reading>,
    pub(crate) listener: Option<StateListener>,
    pub(crate) uncaught: Option<UncaughtErrorHandler>,
    pub(crate) timing: Timing,
}

/// What the loop needs and keeps.
pub(crate) struct Member {
    shared: Arc<Shared>,
    planner: Arc<Planner>,
    consumer: Consumer,
    offset_resets: OffsetResets,
    workers: Workers,
    from_workers: mpsc::UnboundedReceiver<(Teller, FromWorker)>,
    commands: mpsc::UnboundedReceiver<Command>,
    maker: TaskMaker,
    directory: Option<StateDirectory>,
    global: Option<Reading>,
    listener: Option<StateListener>,
    uncaught: Option<UncaughtErrorHandler>,
    timing: Timing,
    phase: Phase,
    /// Why the application is to end everywhere, and until when the group's word for it is awaited.
    ending: Option<(Error, Instant)>,
    /// Tasks that are assigned and that nobody here runs for now.
    waiting: Waiting,
    /// Tasks whose state is coming back.
    restoring: BTreeSet<TaskId>,
    /// What is to be followed.
    standing: BTreeSet<TaskId>,
    probing: Probing,
    /// Commits that the group did not take yet.
    deferred: Vec<DeferredCommit>,
    known_inputs: KnownInputs,
    /// What workers know of records that are still to be fetched.
    lags: ToldLags,
    /// How long it takes until what has failed is tried again.
    pauses: Pauses,
    /// When to poll again, after that has failed.
    poll_at: Option<Instant>,
    clean_at: Instant,
}

/// Settings of the member's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// `probing.rebalance.interval.ms`.
    pub(crate) probing_interval: Duration,
    /// `acceptable.recovery.lag`.
    pub(crate) acceptable_lag: u64,
    /// `state.cleanup.delay.ms`.
    pub(crate) cleanup_delay: Duration,
    /// `max.poll.interval.ms`: so long a worker may be in user code.
    pub(crate) max_poll_interval: Duration,
    /// `task.timeout.ms`: so long it is tried to commit.
    pub(crate) task_timeout: Duration,
    /// `poll.ms`: how long one poll waits when nothing is fetched; commands interrupt it.
    pub(crate) poll: Duration,
    /// Under exactly-once a process has transactions, one a worker.
    pub(crate) has_transactions: bool,
}

impl Member {
    /// One that is about to join its group.
    pub(crate) fn new(parts: MemberParts) -> Self {
        let now = parts.shared.client.host().now();
        Member {
            shared: parts.shared,
            planner: parts.planner,
            consumer: parts.consumer,
            offset_resets: parts.offset_resets,
            workers: parts.workers,
            from_workers: parts.from_workers,
            commands: parts.commands,
            maker: parts.maker,
            directory: parts.directory,
            global: parts.global,
            listener: parts.listener,
            uncaught: parts.uncaught,
            timing: parts.timing,
            phase: Phase::default(),
            ending: None,
            waiting: Waiting::new(parts.timing.task_timeout),
            restoring: BTreeSet::new(),
            standing: BTreeSet::new(),
            probing: Probing::new(now),
            deferred: Vec::new(),
            known_inputs: KnownInputs::default(),
            lags: ToldLags::default(),
            pauses: Pauses::default(),
            poll_at: None,
            clean_at: now,
        }
    }

    async fn turn_until_stopped(&mut self) -> Result<Stop> {
        enum Woken {
            Command(Option<Command>),
            Worker(Option<(Teller, FromWorker)>),
            Polled(Result<Polled<FetchedBatches>, ClientError>),
        }
        loop {
            let host = self.shared.client.host().clone();
            let poll = async {
                if let Some(at) = self.poll_at {
                    host.sleep_until(at).await;
                }
                let span = tracing::trace_span!("poll");
                self.consumer.poll_batches(self.timing.poll).instrument(span).await
            };
            let woken = tokio::select! {
                biased;
                command = self.commands.recv() => Woken::Command(command),
                word = self.from_workers.recv() => Woken::Worker(word),
                polled = poll => Woken::Polled(polled),
            };
            match woken {
                Woken::Command(Some(Command::Stop(stop))) => return Ok(stop),
                Woken::Command(Some(Command::AddThread { reply })) => {
                    let added = self.add_thread().await;
                    self.answer(reply, added)?;
                }
                Woken::Command(Some(Command::RemoveThread { reply })) => {
                    let removed = self.remove_thread().await;
                    self.answer(reply, removed)?;
                }
                Woken::Command(Some(Command::Sleep(asleep))) => self.workers.set_asleep(asleep),
                Woken::Command(Some(Command::Abandon) | None) => {
                    self.phase.abandon();
                    return Err(Error::fatal("the application was dropped"));
                }
                Woken::Worker(Some((teller, word))) => self.hear(teller, word).await?,
                Woken::Worker(None) => return Err(Error::fatal("the workers have ended")),
                Woken::Polled(Err(error)) => self.not_polled(error)?,
                Woken::Polled(Ok(polled)) => {
                    self.poll_at = None;
                    self.commit_deferred().await;
                    if !polled.events.is_empty() {
                        self.shared.metrics.rebalanced();
                        let span = tracing::debug_span!("rebalance");
                        self.rebalance(polled.events).instrument(span).await?;
                    }
                    self.look_around().await?;
                    if !polled.records.is_empty() {
                        self.shared.metrics.polled();
                    }
                    let mut anew = BTreeMap::new();
                    for fetched in polled.records {
                        let partition =
                            TopicPartition { topic: fetched.topic.clone(), partition: fetched.partition };
                        if anew.contains_key(&partition)
                            || self.known_inputs.is_of_another_topic(&partition, fetched.topic_id)
                        {
                            anew.insert(partition, fetched.topic_id);
                        } else if let Some(worker) = self.worker_of(&partition) {
                            self.send_records(worker, partition, fetched);
                        }
                    }
                    for (partition, topic) in anew {
                        self.begin_anew(partition, topic).await?;
                    }
                    self.tell_lags();
                }
            }
        }
    }

    /// Sends records to their worker. If more waits for it than should, their partition rests until it says otherwise.
    fn send_records(&mut self, worker: usize, partition: TopicPartition, fetched: FetchedBatches) {
        let rests = self.workers.sends(worker, fetched.records.len());
        if rests {
            self.pause(&[partition]);
        }
        self.tell(worker, ToWorker::Records { fetched, rests });
    }

    /// Does what somebody asks for. Nothing of it waits for a worker's answer: whoever waits for one hears others meanwhile.
    async fn hear(&mut self, teller: Teller, word: FromWorker) -> Result<()> {
        if let Teller::Worker { number, thread } = teller
            && !self.workers.has(number, thread)
        {
            // It was given up or replaced; a question that it asks is answered by silence.
            return Ok(());
        }
        match word {
            FromWorker::Pause(partition) => self.pause(&[partition]),
            FromWorker::Resume(partition) => self.resume(&[partition]),
            FromWorker::Restored(task) => {
                let partitions = self.inputs(task);
                self.resume(&partitions);
                self.restoring.remove(&task);
                self.settle();
            }
            FromWorker::Truncated(task) => self.start_over(task).await?,
            FromWorker::Commit { offsets, reply } => {
                self.commit(DeferredCommit::new(offsets, reply, self.timing.task_timeout)).await;
            }
            FromWorker::Group { reply } => {
                // A broker takes offsets from whoever names no member, as older clients do.
                let group = self.consumer.group_metadata().filter(|group| group.generation_id >= 0);
                let outside = || ClientError::fenced("this instance is no member of its group any more");
                // A worker that has been closed meanwhile does not wait.
                let _ = reply.send(group.ok_or_else(outside));
            }
            FromWorker::Committed => self.shared.committed.send_modify(|count| *count += 1),
            FromWorker::Rewind(asked) => self.rewind(asked),
            FromWorker::Failed(error) => match teller {
                Teller::Worker { number, .. } => self.worker_failed(number, error).await?,
                Teller::GlobalReader => self.reader_failed(error)?,
            },
        }
        Ok(())
    }

    /// Seeks back. Batches fetched before the seek are still in the worker's queue; `Rewound` is queued behind them and
    /// marks where re-read records begin.
    fn rewind(&mut self, asked: Vec<Rewind>) {
        for Rewind { partition, offset, number } in asked {
            match self.consumer.seek(&partition, offset) {
                Ok(()) => {
                    self.lags.forget(&partition);
                    if let Some(worker) = self.worker_of(&partition) {
                        self.tell(worker, ToWorker::Rewound { partition, number });
                    }
                }
                // It has been taken away, and its task with it.
                Err(error) => tracing::debug!(%partition, %error, "not read again"),
            }
        }
    }

    /// What the clock brings: another placement, state that nobody uses.
    async fn look_around(&mut self) -> Result<()> {
        let now = self.shared.client.host().now();
        self.workers.share_memory(self.maker.shared_bytes());
        let has_caught_up = |task: &TaskId| {
            let behind = self.shared.holdings.progress(*task).and_then(|progress| progress.behind());
            behind.is_some_and(|behind| behind <= self.timing.acceptable_lag)
        };
        if let Some(why) = self.probing.is_due(now, has_caught_up) {
            self.consumer.enforce_rebalance(why);
        }
        if now >= self.clean_at {
            self.clean_at = now + CLEAN_EVERY.min(self.timing.cleanup_delay.max(Duration::from_secs(1)));
            self.clean(now);
        }
        self.open_what_waits().await?;
        if let Some((error, _)) = self.ending.take_if(|(_, by)| now >= *by) {
            self.phase.end();
            return Err(error);
        }
        self.look_for_stuck_workers().await
    }

    /// Removes the state of tasks that have not been here for long.
    fn clean(&self, now: Instant) {
        let Some(engine) = self.maker.engine() else { return };
        let age = now.since_start().checked_sub(self.timing.cleanup_delay);
        let Some(before) = age.map(Instant::from_start) else { return };
        for task in self.shared.holdings.take_unused(before) {
            tracing::info!(%task, "nobody has used its state for long (state.cleanup.delay.ms): it is removed");
            if let Err(error) = local_state::drop_stores(&**engine, task) {
                tracing::warn!(%task, %error, "its state is not removed");
            }
        }
    }

    /// Waits for a worker's answer and goes on committing meanwhile: the worker commits before it answers. What it has said
    /// before is heard before: where it would read again after an abort means nothing once its partitions are read from
    /// elsewhere. None if it has failed; or, if it `may_give_up`, when it does not come back from user code.
    ///
    /// Workers may be replaced meanwhile, and tasks come to wait: whoever calls this looks at those anew.
    async fn hear_until<R>(
        &mut self,
        mut answer: impl Future<Output = Result<R, RecvError>> + Unpin,
        worker: usize,
        may_give_up: bool,
    ) -> Result<Option<R>> {
        let host = self.shared.client.host().clone();
        let look = self.timing.max_poll_interval.min(LOOK_FOR_STUCK);
        let mut look_at = host.now() + look;
        loop {
            enum Woken {
                Look,
                Word(Option<(Teller, FromWorker)>),
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
                word = self.from_workers.recv() => Woken::Word(word),
                answer = &mut answer => return Ok(answer.ok()),
                () = again => Woken::Again,
                () = host.sleep_until(look_at) => Woken::Look,
            };
            match woken {
                Woken::Word(Some((teller, word))) => self.hear(teller, word).await?,
                Woken::Word(None) => return Ok(None),
                Woken::Again => self.commit_deferred().await,
                Woken::Look => {
                    look_at = host.now() + look;
                    if may_give_up {
                        self.look_for_stuck_workers().await?;
                    }
                    // A question that came while its channel was taken down may lie there, and its answer never be dropped.
                    if !self.workers.is_there(worker) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn inputs(&self, task: TaskId) -> Vec<TopicPartition> {
        self.shared.plan().inputs(task)
    }

    fn worker_of(&self, partition: &TopicPartition) -> Option<usize> {
        let task = self.shared.plan.lock().reader_of(partition)?;
        self.shared.placed.lock().get(&task).copied()
    }

    fn tell(&self, worker: usize, message: ToWorker) {
        self.shared.tell(worker, message);
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
