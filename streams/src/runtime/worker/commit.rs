//! How a worker commits, and how it goes back.
//!
//! The commit, in one order: flush, outputs and then changelogs acknowledged (`sending`), offsets, then the undo lists are
//! forgotten. Work goes on meanwhile in the next epoch. Under exactly-once all of it is a transaction: what the next epoch
//! writes waits for its end, and if it is lost, all tasks of the worker go back to their last commit and read on from there.
//! How often is told in `pace`.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use anabranch_client::{ClientError, TopicPartition};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::sending::HeldChangelogs;
use super::{FromWorker, ToInstance, Worker, client_error};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::acknowledgements::{AcknowledgedOffsets, Acknowledgements};
use crate::runtime::offsets::Offsets;
use crate::runtime::refusals;
use crate::runtime::running_task::RunningTask;
use crate::runtime::task_timeout::may_pass;
use crate::runtime::transaction::{WorkerTransaction, ends_the_transaction};

/// Outputs acknowledged and offsets committed, or not.
pub(super) type CommitInFlight = Pin<Box<dyn Future<Output = Result<AcknowledgedOffsets, ClientError>>>>;

/// What an epoch commits.
#[derive(Default)]
struct Sealed {
    /// Those that have moved.
    offsets: Offsets,
    /// Those of tasks that move none and have written something.
    ties: Offsets,
}

/// So many commits after records were refused come as early as they can.
const CAREFUL_COMMITS: u32 = 16;

impl Worker {
    pub(super) fn commit_is_due(&self, worked: bool) -> bool {
        if self.fenced || self.commit.is_some() || !self.tasks.values().any(RunningTask::needs_commit) {
            return false;
        }
        self.context.host.now() >= self.pace.due_at(!worked)
            || (self.careful > 0 && !self.is_fresh())
            || (self.commit_requested && !worked)
            || self.tasks.values().any(RunningTask::commit_requested)
            || self.uncommitted_is_full()
            || self.is_short_of_memory()
    }

    /// Whether a transaction has only just ended.
    pub(super) fn is_fresh(&self) -> bool {
        self.pace.is_fresh(self.context.host.now())
    }

    /// Seals the epoch; the commit itself goes on beside the work.
    pub(super) async fn begin_commit(&mut self) -> Result<()> {
        self.flush_all().await?;
        let sealed = self.seal()?;
        self.send_ready().await?;
        let settled = self.acknowledgements.settled(self.epoch);
        let span = tracing::debug_span!("commit", epoch = self.epoch);
        self.epoch += 1;
        self.commit_requested = false;
        self.pace.begins(self.context.host.now());
        let commit = self.commit_of(sealed, settled)?;
        self.commit = Some(Box::pin(commit.instrument(span)));
        Ok(())
    }

    /// Ends the epoch of all tasks.
    fn seal(&mut self) -> Result<Sealed> {
        let mut sealed = Sealed::default();
        let wall_clock_ms = self.context.host.wall_clock_ms();
        let mut moving = BTreeSet::new();
        for task in self.tasks.values_mut().filter(|task| task.is_restored()) {
            let moved = task.seal(wall_clock_ms)?;
            if !moved.is_empty() {
                moving.insert(task.id());
            }
            sealed.ties.extend(task.tie(&moved));
            sealed.offsets.extend(moved);
        }
        self.owing.begins(moving);
        self.sealed_at_ms = wall_clock_ms;
        Ok(sealed)
    }

    /// What commits an epoch once all that it wrote is `settled`.
    fn commit_of(
        &mut self,
        Sealed { offsets, ties }: Sealed,
        settled: impl Future<Output = Result<AcknowledgedOffsets, ClientError>> + 'static,
    ) -> Result<CommitInFlight> {
        let to_instance = self.context.to_instance.clone();
        let Some(transaction) = &mut self.context.transaction else {
            return Ok(Box::pin(async move {
                let acknowledged = settled.await?;
                if !offsets.is_empty() {
                    ask_instance(&to_instance, |reply| FromWorker::Commit { offsets, reply }).await??;
                }
                Ok(acknowledged)
            }));
        };
        if offsets.is_empty() && !transaction.is_open() {
            return Ok(Box::pin(settled));
        }
        transaction.begin().map_err(|error| transaction_lost("beginning a transaction", error))?;
        let asker = to_instance.clone();
        let group = async move { ask_instance(&asker, |reply| FromWorker::Group { reply }).await? };
        let ended = transaction.commit(offsets, ties, group);
        Ok(Box::pin(async move {
            ended.await?;
            to_instance.send(FromWorker::Committed);
            settled.await
        }))
    }

    /// Whether an error ends no more than the transaction under way, or what is not committed is to be done again.
    pub(super) fn may_undo(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Aborted
            || self.context.transaction.is_some() && error.kind() == ErrorKind::Migrated
    }

    /// Whether memory can be trusted.
    ///
    /// # Errors
    /// If nobody knows whether what it holds was committed, now that no commit is in flight.
    pub(super) fn check_outcome(&self) -> Result<()> {
        match self.context.transaction.as_ref().is_some_and(WorkerTransaction::is_unsure) {
            true => Err(Error::new(ErrorKind::Corrupted, "nobody knows whether a transaction was committed")),
            false => Ok(()),
        }
    }

    /// What an error of the producer ends: the transaction, where there is one; else, if it may pass, what is not committed.
    pub(super) fn failure(&self) -> fn(&str, ClientError) -> Error {
        match self.context.transaction {
            Some(_) => transaction_lost,
            None => work_lost,
        }
    }

    /// What it means that records were not written. If it is for what they are, the rest is done again without them.
    pub(super) fn not_written(&self, doing: &str, error: ClientError) -> Error {
        match self.acknowledgements.has_refused() {
            true => refusals::lost(doing, error),
            false => self.failure()(doing, error),
        }
    }

    /// Lets the tasks know of records that were refused.
    fn note_refused(&mut self, why: &Error) -> Result<()> {
        let refused = self.acknowledgements.take_refused();
        if refused.is_empty() {
            return Ok(());
        }
        let mut met = false;
        for task in self.tasks.values_mut() {
            met |= task.outbox().refuse(&refused);
        }
        self.careful = CAREFUL_COMMITS;
        match self.patience.lasts(met) {
            true => Ok(()),
            false => Err(Error::fatal(format_args!(
                "records are refused by their topic, and are others each time they are made: {why}"
            ))),
        }
    }

    /// Undoes what is not committed, so that it is done again; unless that was of no use for too long.
    pub(super) async fn try_again(&mut self, why: &Error) -> Result<()> {
        // What is no failure of a call (a rebalance has taken the transaction) counts if it happens again.
        let is_excused = !may_pass(why) && !self.owing.timeout().has_begun();
        match self.owing.timeout().is_over(self.context.host.now()) && !is_excused {
            true => Err(self.owing.timeout().over(why)),
            false => self.undo(why).await,
        }
    }

    /// Ends the transaction without effect, where there is one: all tasks go back to their last commit, and what they had read
    /// since then is read again.
    pub(super) async fn undo(&mut self, why: &Error) -> Result<()> {
        tracing::warn!(error = %why, "what is not committed is undone");
        self.end_commit().await?;
        self.abort_transaction(why).await?;
        self.settled();
        self.note_refused(why)?;
        self.acknowledgements = Acknowledgements::default();
        self.held = HeldChangelogs::default();
        self.epoch += 1;
        self.go_back()
    }

    /// Waits for the commit in flight: it may succeed after all, or is undone with the rest.
    async fn end_commit(&mut self) -> Result<()> {
        let Some(done) = self.commit_ended().await else { return Ok(()) };
        self.commit = None;
        match self.apply(done) {
            Err(error) if !self.may_undo(&error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn abort_transaction(&mut self, why: &Error) -> Result<()> {
        let Some(transaction) = &mut self.context.transaction else { return Ok(()) };
        let undone = transaction.undo(self.owing.timeout()).await;
        undone
            .map_err(|error| client_error(&format!("undoing a transaction that was lost ({why})"), error))?;
        self.context.producer = transaction.producer().clone();
        Ok(())
    }

    /// Takes all tasks back to their last commit, and asks for what they had read since then.
    fn go_back(&mut self) -> Result<()> {
        let mut again = Vec::new();
        for task in self.tasks.values_mut().filter(|task| task.is_restored()) {
            if task.has_uncommitted_records() {
                self.owing.lost(task.id());
            }
            // Its processors are made anew.
            self.context.busy.begin(task.id(), self.context.host.now());
            again.extend(task.abort()?);
        }
        self.come_back()?;
        for partition in std::mem::take(&mut self.paused) {
            self.tell(FromWorker::Resume(partition));
        }
        self.tell(FromWorker::Rewind(again));
        Ok(())
    }

    /// Forgets the offsets of a partition whose topic was deleted and made anew, committed or not: no commit may name them
    /// any more, also none that is under way.
    pub(super) async fn begin_anew(&mut self, partition: &TopicPartition) -> Result<()> {
        if !self.tasks.values().any(|task| task.reads(partition)) {
            return Ok(());
        }
        if self.context.transaction.is_some() {
            let lost = Error::new(ErrorKind::Aborted, format_args!("{partition} was deleted and made anew"));
            self.undo(&lost).await?;
        } else if let Some(done) = self.commit_ended().await {
            match self.committed(done) {
                // Here, since it would else go back to an offset of the topic that is gone.
                Err(error) if self.may_undo(&error) => self.try_again(&error).await?,
                committed => committed?,
            }
        }
        self.tasks.values_mut().for_each(|task| task.begin_anew(partition));
        Ok(())
    }

    /// Tells those who wait that no commit is in flight.
    pub(super) fn settled(&mut self) {
        for reply in self.settling.drain(..) {
            // Whoever asked may have given up.
            let _ = reply.send(());
        }
    }

    /// The outcome of the commit in flight, if it is there.
    pub(super) async fn commit_if_done(&mut self) -> Option<Result<AcknowledgedOffsets, ClientError>> {
        let commit = self.commit.as_mut()?;
        std::future::poll_fn(|context| match commit.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    pub(super) fn committed(&mut self, done: Result<AcknowledgedOffsets, ClientError>) -> Result<()> {
        self.commit = None;
        self.pace.ends(self.context.host.now());
        let applied = self.apply(done);
        if applied.is_ok() {
            self.careful = self.careful.saturating_sub(1);
            self.context.metrics.committed(self.pace.since_begun(self.context.host.now()));
            self.settled();
        }
        applied
    }

    fn apply(&mut self, done: Result<AcknowledgedOffsets, ClientError>) -> Result<()> {
        let acknowledged = match done {
            Ok(acknowledged) => acknowledged,
            Err(error) if self.context.transaction.is_some() => {
                return Err(match self.check_outcome() {
                    Err(unsure) => unsure.with_source(error),
                    Ok(()) => transaction_lost("committing", error),
                });
            }
            Err(error) if error.kind() == anabranch_client::ErrorKind::Fenced => {
                tracing::warn!(%error, "the tasks of this worker belong to others");
                self.fenced = true;
                self.held.forget(|_| true);
                return Ok(());
            }
            Err(error) => return Err(self.not_written("committing", error)),
        };
        if let Some(transaction) = &mut self.context.transaction {
            transaction.committed();
        }
        self.owing.committed();
        self.forget_who_left();
        for task in self.tasks.values_mut() {
            task.committed(&acknowledged, self.sealed_at_ms)?;
        }
        Ok(())
    }

    /// Commits everything and waits for it.
    pub(super) async fn commit_all(&mut self) -> Result<()> {
        let began = self.context.host.now();
        let committed = self.commit_and_wait().await;
        self.context.metrics.blocked(self.context.host.now() - began);
        committed
    }

    async fn commit_and_wait(&mut self) -> Result<()> {
        if let Some(done) = self.commit_ended().await {
            self.committed(done)?;
        }
        if !self.fenced && self.tasks.values().any(RunningTask::needs_commit) {
            self.begin_commit().await?;
            if let Some(done) = self.commit_ended().await {
                self.committed(done)?;
            }
        }
        Ok(())
    }
}

/// Asks the instance, and waits for its answer.
async fn ask_instance<T>(
    to_instance: &ToInstance,
    question: impl FnOnce(oneshot::Sender<T>) -> FromWorker,
) -> Result<T, ClientError> {
    let (reply, answer) = oneshot::channel();
    if !to_instance.send(question(reply)) {
        return Err(ClientError::closed("instance"));
    }
    answer.await.map_err(|_| ClientError::closed("instance"))
}

/// Where there is no transaction: an error after which what is not committed may be done again.
fn work_lost(doing: &str, error: ClientError) -> Error {
    match error.is_retriable() {
        true => Error::new(ErrorKind::Aborted, doing).with_source(error),
        false => client_error(doing, error),
    }
}

/// An error that ends a transaction, if another may succeed where it has failed.
fn transaction_lost(doing: &str, error: ClientError) -> Error {
    match ends_the_transaction(&error) {
        true => Error::new(ErrorKind::Aborted, doing).with_source(error),
        false => client_error(doing, error),
    }
}
