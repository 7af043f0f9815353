//! How the member opens tasks on its workers, lets them follow, and closes them.

use std::collections::{BTreeMap, BTreeSet};

use anabranch_client::TopicPartition;
use tokio::sync::oneshot;

use super::{Member, Shared};
use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::runtime::assignment::holdings::Role;
use crate::runtime::offsets::Offsets;
use crate::runtime::running_task::RunningTask;
use crate::runtime::task_timeout::may_pass;
use crate::runtime::worker::{ToWorker, client_error};

impl Member {
    /// Runs tasks: those that are followed already go on from there, others are made.
    ///
    /// # Errors
    /// If one cannot be opened, and this instance is to end by that.
    pub(super) async fn open(&mut self, tasks: &BTreeSet<TaskId>) -> Result<()> {
        let (active, followed) =
            (self.shared.holdings.open(Role::Active), self.shared.holdings.open(Role::Standby));
        let (mut waiting, mut failed) = (BTreeSet::new(), None);
        for id in tasks.difference(&active) {
            if failed.as_ref().is_some_and(may_pass) {
                // Nobody would answer for this one either.
                waiting.insert(*id);
                continue;
            }
            let opened = match followed.contains(id) {
                true => self.promote(*id).await,
                false => self.place(*id, Role::Active).await,
            };
            if let Err(error) = opened {
                waiting.insert(*id);
                failed = Some(error);
            }
        }
        match failed {
            Some(error) => self.not_opened(waiting, error).await,
            None => {
                self.waiting.opened();
                Ok(())
            }
        }
    }

    /// Follows what is to be followed, and nothing else.
    pub(super) async fn follow_standbys(&mut self) -> Result<()> {
        let (active, followed) =
            (self.shared.holdings.open(Role::Active), self.shared.holdings.open(Role::Standby));
        // Who waits to be promoted is still followed.
        let is_left = |task: &&TaskId| !self.standing.contains(task) && !self.waiting.contains(**task);
        let closed = followed.iter().filter(is_left).copied().collect();
        self.close(&closed, |tasks, reply| ToWorker::Close { tasks, reply }).await?;
        let plan = self.shared.plan();
        for id in plan.tasks() {
            let is_missing = self.standing.contains(&id) && !active.contains(&id) && !followed.contains(&id);
            if is_missing && let Err(error) = self.place(id, Role::Standby).await {
                return self.not_opened(BTreeSet::new(), error).await;
            }
        }
        Ok(())
    }

    /// Makes a task and gives it to the worker with the fewest.
    pub(super) async fn place(&mut self, id: TaskId, role: Role) -> Result<()> {
        let running = self.make_task(id, role).await?;
        self.shared.holdings.opened(id, role, running.progress());
        if role == Role::Active && !running.is_restored() {
            self.wait_for_state(id);
        }
        let worker = self.worker_with_fewest(role)?;
        self.shared.placed.lock().insert(id, worker);
        if role == Role::Active {
            self.watch_lags(id);
        }
        self.tell(worker, ToWorker::Open(Box::new(running)));
        Ok(())
    }

    /// The worker that has the fewest tasks of a kind.
    pub(super) fn worker_with_fewest(&self, role: Role) -> Result<usize> {
        let placed = self.shared.placed.lock();
        let alike = self.shared.holdings.open(role);
        let load =
            |worker: &usize| placed.iter().filter(|(task, at)| *at == worker && alike.contains(task)).count();
        let worker = self.workers.open().into_iter().min_by_key(load);
        worker.ok_or_else(|| Error::fatal("there is no worker left"))
    }

    /// Its partitions are not fetched until its state is there.
    fn wait_for_state(&mut self, id: TaskId) {
        self.restoring.insert(id);
        let partitions = self.inputs(id);
        self.pause(&partitions);
    }

    /// Runs a task that is followed here already.
    async fn promote(&mut self, id: TaskId) -> Result<()> {
        let (committed, beginnings) = self.where_to_read(&self.inputs(id)).await?;
        let Some(worker) = self.shared.placed.lock().get(&id).copied() else { return Ok(()) };
        if let Some(progress) = self.shared.holdings.progress(id) {
            self.shared.holdings.opened(id, Role::Active, progress);
        }
        self.wait_for_state(id);
        self.watch_lags(id);
        self.tell(worker, ToWorker::Promote { task: id, committed, beginnings });
        Ok(())
    }

    /// Lets tasks that have run here be followed.
    pub(super) async fn demote(&mut self, tasks: &BTreeSet<TaskId>) -> Result<()> {
        let mut by_worker: BTreeMap<usize, BTreeSet<TaskId>> = BTreeMap::new();
        for task in tasks {
            self.restoring.remove(task);
            if let Some(worker) = self.shared.placed.lock().get(task).copied() {
                by_worker.entry(worker).or_default().insert(*task);
            }
        }
        for (worker, tasks) in by_worker {
            let (reply, answer) = oneshot::channel();
            self.tell(worker, ToWorker::Demote { tasks: tasks.clone(), reply });
            // A failure is told as one of the worker.
            if self.hear_until(answer, worker, true).await?.is_none() {
                // They are another instance's already.
                self.waiting.forget(&tasks);
            }
            for task in tasks {
                // If its worker is known to have gone, it is not open any more, and will be followed anew.
                let is_there = self.shared.placed.lock().get(&task) == Some(&worker);
                if let Some(progress) = self.shared.holdings.progress(task).filter(|_| is_there) {
                    self.shared.holdings.opened(task, Role::Standby, progress);
                }
            }
        }
        Ok(())
    }

    /// A task's state does not fit its changelogs any more: it is opened again without.
    pub(super) async fn start_over(&mut self, id: TaskId) -> Result<()> {
        tracing::warn!(task = %id, "its changelog does not reach back to its state: it is restored from the start");
        let role = match self.shared.holdings.open(Role::Active).contains(&id) {
            true => Role::Active,
            false => Role::Standby,
        };
        self.shared.placed.lock().remove(&id);
        self.shared.holdings.closed(id, false, self.shared.client.host().now());
        self.maker.drop_stores(id)?;
        match (self.place(id, role).await, role) {
            (Ok(()), _) => Ok(()),
            (Err(error), Role::Active) => self.not_opened(BTreeSet::from([id]), error).await,
            (Err(error), Role::Standby) => self.not_opened(BTreeSet::new(), error).await,
        }
    }

    /// What the group has committed for partitions. A transaction that is not decided yet is waited for.
    pub(super) async fn committed(&self, inputs: &[TopicPartition]) -> Result<Offsets> {
        let Shared { client, application_id, .. } = &*self.shared;
        let committed = client.admin().stable_offsets(application_id, Some(inputs)).await;
        committed.map_err(|error| client_error("asking for committed offsets", error))
    }

    async fn make_task(&mut self, id: TaskId, role: Role) -> Result<RunningTask> {
        let plan = self.shared.plan();
        let mut task = self.maker.make(&plan, id).await?;
        let inputs = self.inputs(id);
        task.read_topics(&plan.topology, |topic| inputs.iter().any(|input| *input.topic == *topic));
        let mut offsets = (Offsets::new(), Offsets::new());
        if role == Role::Active {
            offsets = self.where_to_read(&inputs).await?;
            for (input, offset) in &offsets.0 {
                task.resume(&input.topic, &offset.metadata);
            }
        }
        Ok(self.maker.run(id, task, role, offsets))
    }

    /// What is committed for these inputs of a task, and where those begin of which nothing is: they are read from there,
    /// and the task commits that.
    ///
    /// # Errors
    /// If state or records on their way are lost; if the group or a leader does not answer.
    pub(super) async fn where_to_read(&mut self, inputs: &[TopicPartition]) -> Result<(Offsets, Offsets)> {
        let mut committed = self.committed(inputs).await?;
        let unread = || inputs.iter().filter(|input| !committed.contains_key(*input));
        let is_new = |input: &&TopicPartition| self.known_inputs.beginning(input).is_none();
        // A transaction of a task that has read nothing names where that begins.
        let starts = self.timing.has_transactions && committed.is_empty();
        let begun =
            self.offset_resets.beginnings(&self.shared.client, unread().filter(is_new), starts).await?;
        self.known_inputs.begin(begun);
        let known =
            |input: &TopicPartition| Some((input.clone(), self.known_inputs.beginning(input)?.clone()));
        let mut beginnings: Offsets = unread().filter_map(known).collect();
        beginnings.extend(self.check_committed(&mut committed).await?);
        self.seek_to(&beginnings);
        Ok((committed, beginnings))
    }

    /// Reads partitions from there on.
    pub(super) fn seek_to(&mut self, offsets: &Offsets) {
        for (partition, offset) in offsets {
            if let Err(error) = self.consumer.seek(partition, offset.offset) {
                tracing::debug!(%partition, %error, "not assigned any more");
            }
        }
    }

    /// Ends tasks on their workers and waits for it.
    pub(super) async fn close<R: Send + 'static>(
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
            self.hear_until(answer, worker, true).await?;
        }
        let (now, on_disk) = (self.shared.client.host().now(), self.maker.engine().is_some());
        tasks.iter().for_each(|task| self.shared.holdings.closed(*task, on_disk, now));
        Ok(())
    }
}
