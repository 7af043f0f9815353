//! Other workers in the place of those that have failed: the tasks go on from their last commit, after a pause if it was not
//! the first failure of late.
//!
//! Where a failure is of no one worker (the local state, the member itself), all of them are replaced: nothing is trusted
//! that was not committed.

use std::collections::BTreeSet;
use std::time::Duration;

use anabranch_host::Instant;

use super::Member;
use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::runtime::assignment::holdings::Role;
use crate::runtime::local_state::{self, Damage, damage};

/// After which an engine that has failed is opened again, and for how long that is tried.
const OPEN_AGAIN: Duration = Duration::from_millis(500);
const OPEN_WITHIN: Duration = Duration::from_secs(10);

impl Member {
    /// Starts another worker in the place of one that has failed; its tasks go on from their last commit.
    pub(super) async fn replace(&mut self, worker: usize) -> Result<()> {
        let tasks = self.tasks_on(worker);
        self.workers.forget(worker).await;
        let at = self.try_again_at();
        self.replace_later(&tasks, at);
        self.workers.start_missing()
    }

    /// Removes what is damaged of the local state, and opens again what was open of it: the tasks of a worker that has
    /// failed, or, if it is the engine that has failed, all of them.
    pub(super) async fn replace_damaged(
        &mut self,
        worker: usize,
        damage: Damage,
        error: Error,
    ) -> Result<()> {
        if self.maker.engine().is_none() {
            return Err(error);
        }
        let Damage::Task(task) = damage else {
            let at = self.try_again_at();
            return self.replace_all(Some(damage), at, error).await;
        };
        let tasks = self.tasks_on(worker);
        self.workers.forget(worker).await;
        self.maker.drop_stores(task)?;
        let at = self.try_again_at();
        self.replace_later(&tasks, at);
        self.workers.start_missing()
    }

    /// The loop has failed, and the handler has said that the instance goes on: with other workers, and after a pause if that
    /// fails too.
    ///
    /// # Errors
    /// If it cannot, for now or, if the instance is to end, for good.
    pub(super) async fn begin_again(&mut self, error: Error) -> Result<()> {
        tracing::warn!(%error, "all workers are replaced");
        let host = self.shared.client.host().clone();
        let at = self.try_again_at();
        let replaced = self.replace_all(damage(&error), at, error).await;
        if replaced.is_err() && self.phase.may_go_on() {
            host.sleep_until(at).await;
        }
        replaced
    }

    /// Starts others in the place of all workers; what is assigned here is opened `at` some time, from its last commit. The
    /// local state is opened again before if it has failed.
    async fn replace_all(&mut self, damage: Option<Damage>, at: Instant, error: Error) -> Result<()> {
        let opens_state = self.directory.is_some() && (damage.is_some() || self.maker.engine().is_none());
        if opens_state && self.global.is_some() {
            tracing::warn!(
                "stores of global tables are open in a reader that cannot be replaced: the instance ends"
            );
            self.phase.end();
            return Err(error);
        }
        self.abandon_workers().await;
        let all: BTreeSet<TaskId> = self.shared.placed.lock().keys().copied().collect();
        self.taken_from_worker(&all, self.directory.is_some());
        // Also what was just being assigned.
        let assigned = self.shared.plan().readers_of(&self.consumer.assignment());
        self.open_later(&assigned, at);
        if opens_state {
            self.open_state_again(damage == Some(Damage::All)).await?;
        }
        self.workers.start_missing()
    }

    /// Ends all workers at once. One that does not come back from user code is not waited for longer than others are.
    async fn abandon_workers(&mut self) {
        self.workers.abandon();
        for number in self.workers.numbers() {
            if !self.workers.forget_in_time(number, self.timing.max_poll_interval).await {
                let process = self.shared.holdings.process_id();
                if let Ok(number) = u16::try_from(number) {
                    self.fence_workers([(process, number)]).await;
                }
            }
        }
        // Nobody waits for them any more; what else they have said is not heard.
        self.deferred.clear();
    }

    /// Opens the local state again after it has failed: all of it, or, if it `is_damaged`, nothing.
    async fn open_state_again(&mut self, is_damaged: bool) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let (host, disk) = (self.shared.client.host().clone(), self.shared.client.host().disk());
        self.maker.set_engine(None);
        if is_damaged {
            let removed = directory.remove_stores(&disk);
            removed.map_err(|error| Error::fatal("the state cannot be removed").with_source(error))?;
        }
        let by = host.now() + OPEN_WITHIN;
        let engine = loop {
            // Not again and again without a pause; and whoever reads a snapshot still holds the old one.
            host.sleep(OPEN_AGAIN).await;
            match local_state::open_engine(&disk, directory, &self.shared.plan().topology) {
                Ok(engine) => break engine,
                Err(error) if host.now() >= by => return Err(error),
                Err(error) => tracing::warn!(%error, "it is tried again"),
            }
        };
        self.maker.set_engine(Some(engine));
        Ok(())
    }

    /// Tasks whose worker is gone with all that it had not committed are opened anew then.
    fn replace_later(&mut self, tasks: &BTreeSet<TaskId>, at: Instant) {
        let active = self.taken_from_worker(tasks, self.maker.engine().is_some());
        self.open_later(&active, at);
    }

    /// Tasks are on no worker any more, and their state on the disk or not. Those of them that ran.
    pub(super) fn taken_from_worker(&mut self, tasks: &BTreeSet<TaskId>, on_disk: bool) -> BTreeSet<TaskId> {
        let now = self.shared.client.host().now();
        let mut active = self.shared.holdings.open(Role::Active);
        active.retain(|task| tasks.contains(task));
        for task in tasks {
            self.shared.placed.lock().remove(task);
            self.restoring.remove(task);
            self.shared.holdings.closed(*task, on_disk, now);
        }
        active
    }
}
