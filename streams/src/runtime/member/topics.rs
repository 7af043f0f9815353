//! How the member follows topics that come, go and grow while it runs.
//!
//! What the leader has planned with comes with the assignment. A task that runs on reads a new topic beside the others, and
//! commits no offsets of one that is gone, which nobody would take.

use std::collections::BTreeSet;
use std::sync::Arc;

use anabranch_client::{ErrorCode, TopicPartition};

use super::Member;
use crate::error::Result;
use crate::processor::TaskId;
use crate::runtime::assignment::holdings::Role;
use crate::runtime::assignment::user_data::Assignment;
use crate::runtime::worker::{Offsets, ToWorker};

impl Member {
    /// Takes over the topics that the leader has planned with.
    ///
    /// # Errors
    /// If they are not enough to run this topology.
    pub(super) async fn take_sources(&mut self, assignment: &Assignment) -> Result<()> {
        let before = self.shared.plan();
        if assignment.sources == before.sources {
            return Ok(());
        }
        tracing::info!(topics = ?assignment.sources, "the topics that are read have changed");
        let plan = Arc::new(self.planner.plan(&assignment.sources)?);
        // Before the consumer looks where it is to read them.
        self.offset_resets.follow(&plan, &self.shared.application_id);
        self.offset_resets.tell(&mut self.consumer);
        *self.shared.plan.lock() = Arc::clone(&plan);
        // Tasks that the plan does not have any more have no input that is there.
        let (tasks, active) = (plan.tasks(), self.holdings.open(Role::Active));
        let ended: BTreeSet<TaskId> = active.difference(&tasks).copied().collect();
        self.close(&ended, |tasks, reply| ToWorker::Lose { tasks, reply }).await?;
        let all: Vec<TaskId> = self.shared.placed.lock().keys().copied().collect();
        for task in all {
            self.let_read(task, Offsets::new());
        }
        Ok(())
    }

    /// Lets tasks read what they are assigned: those that run go on with what they have beside; those that are to be opened
    /// begin with their last commit.
    ///
    /// # Errors
    /// If the group does not say what it has committed.
    pub(super) async fn read_more(
        &mut self,
        tasks: &BTreeSet<TaskId>,
        assigned: &[TopicPartition],
    ) -> Result<()> {
        let active = self.holdings.open(Role::Active);
        for task in tasks {
            let is_new = |input: &TopicPartition| assigned.contains(input);
            let (new, kept): (Vec<_>, Vec<_>) = self.inputs(*task).into_iter().partition(is_new);
            match active.contains(task) {
                true if new.is_empty() => {}
                true => {
                    let committed = self.committed(&new).await?;
                    let unread = new.iter().filter(|input| !committed.contains_key(input));
                    let beginnings = self.offset_resets.beginnings(&self.shared.client, unread).await?;
                    self.begin(beginnings).await;
                    if self.restoring.contains(task) {
                        self.pause(&new);
                    }
                    self.let_read(*task, committed);
                }
                // The consumer is further than what has been processed of them.
                false => self.seek_to_committed(&kept).await?,
            }
        }
        Ok(())
    }

    /// Takes offsets out that nobody takes, since their topics are gone: whoever reads has not heard of it yet. Whether there
    /// were some.
    pub(super) async fn leave_out_what_is_gone(&self, offsets: &mut Offsets) -> bool {
        let topics: BTreeSet<&str> = offsets.keys().map(|partition| &*partition.topic).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let Ok(described) = self.shared.client.admin().describe_topics(&topics).await else { return false };
        let is_gone = |partition: &TopicPartition| match described.get(&*partition.topic) {
            Some(Err(error)) => error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            _ => false,
        };
        let before = offsets.len();
        offsets.retain(|partition, _| !is_gone(partition));
        offsets.len() != before
    }

    fn let_read(&mut self, task: TaskId, committed: Offsets) {
        if self.holdings.open(Role::Active).contains(&task) {
            self.watch_lags(task);
        }
        let plan = self.shared.plan();
        let (topology, inputs) = (Arc::clone(&plan.topology), plan.inputs(task));
        let worker = self.shared.placed.lock().get(&task).copied();
        if let Some(worker) = worker {
            self.tell(worker, ToWorker::ReadTopics { task, topology, inputs, committed });
        }
    }
}
