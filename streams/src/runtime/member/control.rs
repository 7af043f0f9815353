//! What its user, and its own workers' failures, ask of a running instance: more or fewer workers, a rest, an end. How others
//! take the place of workers is told in `replacing`.

use std::collections::BTreeSet;
use std::time::Duration;

use anabranch_client::TopicPartition;
use tokio::sync::oneshot;

use super::phase::Phase;
use super::{Member, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::processor::{TaskId, calling};
use crate::runtime::assignment::holdings::Role;
use crate::runtime::assignment::user_data::Processes;
use crate::runtime::local_state::{self, Damage};
use crate::runtime::state_directory::hex;
use crate::runtime::transaction::WorkerTransaction;
use crate::runtime::uncaught::{UncaughtErrorAnswer, UncaughtErrorHandler};
use crate::runtime::worker::ToWorker;

/// So long the open transactions of workers that are gone may take to end; they end by themselves in the end.
const FENCE_WITHIN: Duration = Duration::from_secs(10);
/// The leader's answer to the wish that the application ends everywhere is awaited for so long.
const SHUT_DOWN_WITHIN: Duration = Duration::from_secs(30);
/// Who has got that answer stays in the group for so long. The first to leave would begin another rebalance, before others
/// have fetched the answer.
const LEAVE_AFTER: Duration = Duration::from_secs(1);

impl Member {
    /// Starts one worker more and gives it a share of the tasks. Its number.
    pub(super) async fn add_thread(&mut self) -> Result<usize> {
        let number = self.workers.start_one_more()?;
        self.level().await?;
        // The group gives tasks by workers.
        self.consumer.enforce_rebalance("a worker was added");
        Ok(number)
    }

    /// Ends the worker of the highest number; the others take over its tasks. Its number.
    pub(super) async fn remove_thread(&mut self) -> Result<usize> {
        let numbers = self.workers.numbers();
        let Some(number) = numbers.last().copied().filter(|_| numbers.len() > 1) else {
            return Err(Error::invalid("the last worker cannot be removed: close the application"));
        };
        let tasks: BTreeSet<TaskId> = self.tasks_on(number);
        self.workers.close_to_new(number);
        if !self.hand_over(number, &tasks).await? {
            // It commits no more; the loop hears of it by itself.
            return Err(Error::fatal(format_args!("worker {number} could not commit before it was to end")));
        }
        let (reply, answer) = oneshot::channel();
        self.tell(number, ToWorker::Stop { reply });
        let stopped = self.hear_until(answer, number, false).await?;
        self.workers.remove(number).await;
        self.consumer.enforce_rebalance("a worker was removed");
        stopped.unwrap_or(Ok(())).map(|()| number)
    }

    pub(super) fn tasks_on(&self, worker: usize) -> BTreeSet<TaskId> {
        let placed = self.shared.placed.lock();
        placed.iter().filter(|(_, at)| **at == worker).map(|(task, _)| *task).collect()
    }

    /// Moves tasks between workers until none has two more than another.
    async fn level(&mut self) -> Result<()> {
        for role in [Role::Active, Role::Standby] {
            loop {
                let alike = self.shared.holdings.open(role);
                let loads = self.workers.open().into_iter().map(|worker| {
                    let tasks = self.tasks_on(worker);
                    (tasks.intersection(&alike).copied().collect::<Vec<_>>(), worker)
                });
                let mut loads: Vec<_> = loads.collect();
                loads.sort_by_key(|(tasks, worker)| (tasks.len(), *worker));
                let (Some((least, _)), Some((most, from))) = (loads.first(), loads.last()) else {
                    return Ok(());
                };
                if most.len() < least.len() + 2 {
                    break;
                }
                let Some(task) = most.last().copied() else { break };
                if !self.hand_over(*from, &BTreeSet::from([task])).await? {
                    // It commits no more; the loop hears of it by itself.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes tasks from a worker, after a commit, and gives them to those with the fewest. False if they stay.
    async fn hand_over(&mut self, from: usize, tasks: &BTreeSet<TaskId>) -> Result<bool> {
        let (reply, answer) = oneshot::channel();
        self.tell(from, ToWorker::Give { tasks: tasks.clone(), reply });
        let Some(given) = self.hear_until(answer, from, true).await? else { return Ok(false) };
        for mut running in given {
            // All that its worker has asked for is heard, and the way back is gone: whatever comes now is read again.
            running.has_gone_back();
            let id = running.id();
            self.shared.placed.lock().remove(&id);
            let worker = self.worker_with_fewest(running.role())?;
            self.shared.placed.lock().insert(id, worker);
            self.tell(worker, ToWorker::Open(Box::new(running)));
        }
        Ok(true)
    }

    /// A worker has ended with an error: the handler says what follows.
    pub(super) async fn worker_failed(&mut self, worker: usize, error: Error) -> Result<()> {
        // What ends a transaction and what it was made with is no failure of the application's: the tasks go on from what
        // the group and the changelogs have.
        let has_lost_transactions = self.timing.has_transactions
            && matches!(error.kind(), ErrorKind::Migrated | ErrorKind::Corrupted);
        if self.phase == Phase::Stopping {
            tracing::warn!(worker, %error, "a worker has failed at the end: the next start goes on from its last commit");
            self.workers.forget(worker).await;
            // Unless its tasks are others' already.
            let is_migrated = has_lost_transactions && error.kind() == ErrorKind::Migrated;
            return if is_migrated { Ok(()) } else { Err(error) };
        }
        let damage = local_state::damage(&error);
        if let Some(damage @ (Damage::Task(_) | Damage::All)) = damage {
            tracing::warn!(worker, %error, "local state is damaged: it is removed and restored");
            return self.replace_damaged(worker, damage, error).await;
        }
        if has_lost_transactions {
            tracing::warn!(worker, %error, "a worker has lost its transactions: its tasks are opened anew");
            return self.replace(worker).await;
        }
        let answer = self.what_follows(&error);
        tracing::error!(worker, %error, ?answer, "a worker has failed");
        self.shared.metrics.thread_failed();
        match answer {
            UncaughtErrorAnswer::ShutdownClient => Err(error),
            UncaughtErrorAnswer::ReplaceThread if damage.is_some() => {
                self.replace_damaged(worker, Damage::Broken, error).await
            }
            UncaughtErrorAnswer::ReplaceThread => self.replace(worker).await,
            UncaughtErrorAnswer::ShutdownApplication => {
                self.end_everywhere(error);
                Ok(())
            }
        }
    }

    /// The reader of global stores has ended with an error. Nobody can take its place.
    pub(super) fn reader_failed(&mut self, error: Error) -> Result<()> {
        if self.phase == Phase::Stopping {
            tracing::warn!(%error, "the reader of global stores has failed at the end");
            return Err(error);
        }
        let answer = self.what_follows(&error);
        tracing::error!(%error, ?answer, "the reader of global stores has failed");
        self.shared.metrics.thread_failed();
        match answer {
            UncaughtErrorAnswer::ShutdownClient => {}
            UncaughtErrorAnswer::ReplaceThread => {
                tracing::warn!("it cannot be replaced: the instance ends");
                self.phase.end();
            }
            UncaughtErrorAnswer::ShutdownApplication => {
                self.end_everywhere(error);
                return Ok(());
            }
        }
        Err(error)
    }

    /// What the handler says to an error that no policy has answered.
    pub(super) fn what_follows(&mut self, error: &Error) -> UncaughtErrorAnswer {
        let asked = |handler: &UncaughtErrorHandler| calling("the uncaught error handler", || handler(error));
        let answer = match self.uncaught.as_ref().map(asked) {
            None => UncaughtErrorAnswer::default(),
            Some(Ok(answer)) => answer,
            Some(Err(panic)) => {
                tracing::error!(%panic, "it has not answered");
                UncaughtErrorAnswer::default()
            }
        };
        if answer == UncaughtErrorAnswer::ShutdownClient {
            self.phase.end();
        }
        answer
    }

    /// Asks the leader that the application ends everywhere, and ends with this error.
    pub(super) fn end_everywhere(&mut self, error: Error) {
        self.shared.holdings.ask_to_shut_down();
        self.consumer.enforce_rebalance("the application is to end everywhere");
        let by = self.shared.client.host().now() + SHUT_DOWN_WITHIN;
        self.ending = Some((error, by));
    }

    /// Ends soon, since the leader says that the application ends everywhere. Until then this instance asks for it too, so
    /// that one that has missed the word hears it in the next rebalance.
    pub(super) fn shut_down_with_all(&mut self) {
        self.shared.holdings.ask_to_shut_down();
        self.workers.set_asleep(true);
        let leave = self.shared.client.host().now() + LEAVE_AFTER;
        let asked = || Error::fatal("an instance has asked that the application ends everywhere");
        let (error, by) = self.ending.take().unwrap_or_else(|| (asked(), leave));
        self.ending = Some((error, by.min(leave)));
    }

    /// Reads partitions from where the group has committed them, or from their start.
    pub(super) async fn seek_to_committed(&mut self, inputs: &[TopicPartition]) -> Result<()> {
        let committed = self.committed(inputs).await?;
        for input in inputs {
            let sought = match committed.get(input) {
                Some(offset) => self.consumer.seek(input, offset.offset),
                // Where the policy says otherwise, its offset is committed when the task is made.
                None => self.consumer.seek_to_beginning(input),
            };
            if let Err(error) = sought {
                tracing::debug!(partition = %input, %error, "not assigned any more");
            }
        }
        Ok(())
    }

    /// Looks for workers that do not come back from user code: their tasks are given up, to others if there are any.
    pub(super) async fn look_for_stuck_workers(&mut self) -> Result<()> {
        let now = self.shared.client.host().now();
        if self.workers.retired_have_ended() {
            self.shared.holdings.refuse_nothing();
        }
        for (worker, task, time) in self.workers.stuck(self.timing.max_poll_interval, now) {
            let Shared { application_id, .. } = &*self.shared;
            tracing::error!(
                "the worker {application_id}-StreamThread-{worker} has been in user code of task {task} for {time:?}, \
                 longer than max.poll.interval.ms: its tasks are given up"
            );
            let tasks = self.tasks_on(worker);
            let process = self.shared.holdings.process_id();
            self.workers.retire(worker);
            // What it has begun must not end after others have gone on.
            if let Ok(number) = u16::try_from(worker) {
                self.fence_workers([(process, number)]).await;
            }
            let active = self.taken_from_worker(&tasks, false);
            self.waiting.give_up(&active);
            self.shared.holdings.refuse(active);
            self.consumer.enforce_rebalance("a worker does not come back from user code");
            self.workers.start_missing()?;
        }
        Ok(())
    }

    /// Ends the transactions that processes have left open which are gone: they would hold up restoration and offsets
    /// until they time out.
    pub(super) async fn fence(&self, gone: &Processes) {
        let workers = |(process, workers): (&[u8; 16], &u16)| {
            let process = *process;
            (1..=*workers).map(move |worker| (process, worker))
        };
        self.fence_workers(gone.iter().flat_map(workers)).await;
    }

    /// Ends what workers have left open, each known by its process and number.
    pub(super) async fn fence_workers(&self, workers: impl IntoIterator<Item = ([u8; 16], u16)>) {
        if !self.timing.has_transactions {
            return;
        }
        let Shared { client, application_id, .. } = &*self.shared;
        let fence = |(process, worker): ([u8; 16], u16)| async move {
            let id = WorkerTransaction::id(application_id, &hex(&process), usize::from(worker));
            tracing::info!(transactional_id = %id, "its worker is gone: what it has left open is ended");
            if let Err(error) = client.admin().fence_producers(&id).await {
                tracing::warn!(transactional_id = %id, %error, "not ended; its timeout will end it");
            }
        };
        let all = futures::future::join_all(workers.into_iter().map(fence));
        if client.host().timeout(FENCE_WITHIN, all).await.is_err() {
            tracing::warn!("transactions of workers that are gone are not ended in time");
        }
    }
}
