//! How tasks leave a worker: to another, to follow their changelogs, or for good. What they have done is committed first, or
//! undone. If neither can be, the worker fails with all of its tasks: under exactly-once what they have done is in the transaction
//! of those that stay, and would be committed with theirs, without the offsets that it was read from.

use std::collections::BTreeSet;

use super::{FromWorker, Worker};
use crate::error::Result;
use crate::processor::TaskId;
use crate::runtime::assignment::holdings::Role;
use crate::runtime::running_task::RunningTask;

impl Worker {
    /// Commits what these tasks have done. False if it is undone, or refused, instead: whoever gets
    /// them goes on from their last commit.
    async fn commit_before_the_end(&mut self, tasks: &BTreeSet<TaskId>) -> Result<bool> {
        if tasks.iter().all(|task| self.tasks.get(task).is_none_or(|task| task.role() == Role::Standby)) {
            return Ok(true);
        }
        let settled = match self.commit_all().await {
            Err(error) if self.may_undo(&error) => self.try_again(&error).await.map(|()| false),
            // Who is fenced has committed nothing.
            committed => committed.map(|()| !self.fenced),
        };
        self.is_stuck_with_tasks |= settled.is_err();
        settled
    }

    /// Commits, then gives these tasks away as they are.
    pub(super) async fn give(&mut self, tasks: &BTreeSet<TaskId>) -> Result<Vec<RunningTask>> {
        self.commit_before_the_end(tasks).await?;
        let given: Vec<_> = tasks.iter().filter_map(|id| self.tasks.remove(id)).collect();
        self.context.metrics.closed.inc_by(given.len() as u64);
        // Whoever gets them looks himself how much they hold.
        let (gone, stay): (BTreeSet<_>, BTreeSet<_>) = std::mem::take(&mut self.paused)
            .into_iter()
            .partition(|partition| given.iter().any(|task| task.reads(partition)));
        self.paused = stay;
        gone.into_iter().for_each(|partition| self.tell(FromWorker::Resume(partition)));
        self.free_if_idle();
        Ok(given)
    }

    /// Commits, then lets these tasks follow their changelogs.
    pub(super) async fn demote(&mut self, tasks: &BTreeSet<TaskId>) -> Result<()> {
        self.commit_before_the_end(tasks).await?;
        for id in tasks {
            if let Some(task) = self.tasks.remove(id) {
                self.paused.retain(|partition| !task.reads(partition));
                // Its processors are made anew.
                self.context.busy.begin(*id, self.context.host.now());
                self.tasks.insert(*id, task.demote()?);
            }
        }
        self.come_back()?;
        self.free_if_idle();
        Ok(())
    }

    /// Commits, then ends these tasks; what they had fetched and not processed is dropped. False if they end without a commit.
    pub(super) async fn close(&mut self, tasks: &BTreeSet<TaskId>) -> Result<bool> {
        let is_committed = self.commit_before_the_end(tasks).await?;
        for id in tasks {
            if let Some(task) = self.tasks.remove(id) {
                self.context.metrics.closed.inc();
                self.paused.retain(|partition| !task.reads(partition));
                self.context.busy.begin(*id, self.context.host.now());
                task.close();
            }
        }
        self.come_back()?;
        self.free_if_idle();
        Ok(is_committed)
    }

    /// Tasks have left. Whoever runs none any more runs none that belong to others.
    pub(super) fn free_if_idle(&mut self) {
        self.forget_who_left();
        self.fenced &= !self.runs_nothing();
    }

    /// What was undone of tasks that do not run here any more is for others to do again.
    pub(super) fn forget_who_left(&mut self) {
        let tasks = &self.tasks;
        self.owing.forget_who_left(|id| tasks.get(id).is_some_and(|task| task.role() == Role::Active));
    }

    /// Whether it has no task that processes, or will.
    pub(super) fn runs_nothing(&self) -> bool {
        self.tasks.values().all(|task| task.role() == Role::Standby)
    }
}
