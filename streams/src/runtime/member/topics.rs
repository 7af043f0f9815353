//! How the member follows topics that come, go and grow while it runs.
//!
//! What the leader has planned with comes with the assignment. A task that runs on reads a new topic beside the others, and
//! commits no offsets of one that is gone, which nobody would take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anabranch_client::{
    ErrorCode, IsolationLevel, OffsetAndMetadata, OffsetSpec, TopicMetadata, TopicPartition, Uuid,
};
use tokio::sync::oneshot;

use super::Member;
use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::runtime::assignment::holdings::Role;
use crate::runtime::assignment::user_data::Assignment;
use crate::runtime::offsets::Offsets;
use crate::runtime::running_task::another_changelog;
use crate::runtime::worker::{ToWorker, client_error};
use crate::task::{OffsetMetadata, noted_id, topic_memo};

/// Whether a topic has fewer partitions than that.
fn is_beyond(partition: &TopicPartition, topic: &TopicMetadata) -> bool {
    usize::try_from(partition.partition).is_ok_and(|index| index >= topic.partitions.len())
}

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
        let (tasks, active) = (plan.tasks(), self.shared.holdings.open(Role::Active));
        let ended: BTreeSet<TaskId> = active.difference(&tasks).copied().collect();
        self.close(&ended, |tasks, reply| ToWorker::Lose { tasks, reply }).await?;
        let all: Vec<TaskId> = self.shared.placed.lock().keys().copied().collect();
        for task in all {
            self.let_read(task, Offsets::new(), Offsets::new());
        }
        Ok(())
    }

    /// Lets tasks read what they are assigned: those that run go on with what they have beside; those that are to be opened
    /// begin with their last commit.
    ///
    /// # Errors
    /// If the group does not say what it has committed, and this instance is to end by that.
    pub(super) async fn read_more(
        &mut self,
        tasks: &BTreeSet<TaskId>,
        assigned: &[TopicPartition],
    ) -> Result<()> {
        let active = self.shared.holdings.open(Role::Active);
        for task in tasks {
            let is_new = |input: &TopicPartition| assigned.contains(input);
            let (new, kept): (Vec<_>, Vec<_>) = self.inputs(*task).into_iter().partition(is_new);
            match active.contains(task) {
                true if new.is_empty() => {}
                true => {
                    let (committed, beginnings) = match self.where_to_read(&new).await {
                        Ok(found) => found,
                        Err(error) => {
                            self.not_read(*task, error).await?;
                            continue;
                        }
                    };
                    if self.restoring.contains(task) {
                        self.pause(&new);
                    }
                    self.let_read(*task, committed, beginnings);
                }
                // The consumer is further than what has been processed of them.
                false => {
                    if let Err(error) = self.seek_to_committed(&kept).await {
                        self.not_opened(BTreeSet::from([*task]), error).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Another topic has taken the name of the one that a partition was read from. All of it is new.
    ///
    /// # Errors
    /// If it is a repartition topic: records that were on their way are lost. If the broker does not answer. And this instance
    /// is to end by that.
    pub(super) async fn begin_anew(&mut self, partition: TopicPartition, topic: Uuid) -> Result<()> {
        let task = self.shared.plan().reader_of(&partition);
        if let (Err(error), Some(task)) = (self.check_repartition_topic(&partition), task) {
            return self.not_read(task, error).await;
        }
        tracing::warn!(%partition, "its topic was deleted and made anew: all of that is read");
        let worker = self.worker_of(&partition);
        if let Some(worker) = worker {
            let (reply, answer) = oneshot::channel();
            self.tell(worker, ToWorker::BeginAnew { partition: partition.clone(), reply });
            self.hear_until(answer, worker, true).await?;
        }
        for commit in &mut self.deferred {
            commit.offsets.remove(&partition);
        }
        let start = match (self.start_of(&partition, topic).await, task) {
            (Ok(start), _) => start,
            (Err(error), Some(task)) => return self.not_read(task, error).await,
            // Nobody reads it here any more.
            (Err(_), None) => return Ok(()),
        };
        self.seek_to(&start);
        if let Some(worker) = worker {
            self.tell(worker, ToWorker::BeginAt(start));
        }
        Ok(())
    }

    /// What was on its way in a repartition topic that was deleted is lost, and nobody can bring it back.
    fn check_repartition_topic(&self, partition: &TopicPartition) -> Result<()> {
        let plan = self.shared.plan();
        let is_internal = plan.internal.iter().any(|(_, topic)| *topic.name == *partition.topic);
        match is_internal {
            true => Err(Error::invalid(format_args!(
                "the repartition topic `{}` was deleted and made anew, so records on their way are lost: reset the \
                 application, or give it another application id",
                partition.topic
            ))),
            false => Ok(()),
        }
    }

    /// Looks whether committed offsets are of the topics that are there, and whether the changelogs are those that they
    /// count on. Those of a topic that is gone, whose name another has taken, mean nothing: gives the start of that instead.
    ///
    /// # Errors
    /// If state or records on their way are lost; if the broker does not answer.
    pub(super) async fn check_committed(&mut self, committed: &mut Offsets) -> Result<Offsets> {
        let noted = |(name, at): (&TopicPartition, &OffsetAndMetadata)| {
            let noted = OffsetMetadata::decode(&at.metadata)?;
            Some((name.clone(), noted.topic(&name.topic, at.offset), noted.changelogs(at.offset)))
        };
        let noted: Vec<_> = committed.iter().filter_map(noted).collect();
        let read = noted.iter().filter(|(_, topic, _)| topic.is_some()).map(|(name, ..)| &*name.topic);
        let plan = self.shared.plan();
        let changelogs_of = |partition: &TopicPartition| {
            let task = plan.reader_of(partition);
            task.and_then(|task| plan.subtopology(task.subtopology)).into_iter().flat_map(|s| &s.changelogs)
        };
        let written = noted.iter().filter(|(.., changelogs)| !changelogs.is_empty());
        let written = written.flat_map(|(name, ..)| changelogs_of(name)).map(String::as_str);
        let topics: BTreeSet<&str> = read.chain(written).collect();
        if topics.is_empty() {
            return Ok(Offsets::new());
        }
        let topics: Vec<&str> = topics.into_iter().collect();
        // What was heard of them before may be too old.
        let described = self.shared.client.admin().describe_topics(&topics).await;
        let described = described.map_err(|error| client_error("looking up topics", error))?;
        let id_of = |topic: &str| match described.get(topic) {
            Some(Ok(known)) => Some(known.id).filter(|id| !id.is_zero()),
            _ => None,
        };
        let mut others = Vec::new();
        for (partition, topic, written) in &noted {
            let is_another = |changelog: &&String| {
                id_of(changelog).is_some_and(|known| written.has_another(changelog, known))
            };
            if let Some(changelog) = changelogs_of(partition).find(is_another) {
                return Err(another_changelog(changelog));
            }
            let (Some(before), Some(now)) = (topic, id_of(&partition.topic)) else { continue };
            if noted_id(now) == *before {
                // It may yet go before the first record comes.
                self.known_inputs.read_from(partition, now);
                continue;
            }
            self.check_repartition_topic(partition)?;
            let exists = match described.get(&*partition.topic) {
                Some(Ok(topic)) => !is_beyond(partition, topic),
                _ => false,
            };
            match exists {
                true => {
                    tracing::warn!(%partition, "its topic was deleted and made anew: all of that is read")
                }
                // The group is about to hear of it.
                false => {
                    tracing::warn!(%partition, "its topic was deleted and made anew with fewer partitions")
                }
            }
            others.push((partition.clone(), exists.then_some(now)));
        }
        let mut starts = Offsets::new();
        for (partition, topic) in others {
            committed.remove(&partition);
            if let Some(topic) = topic {
                starts.extend(self.start_of(&partition, topic).await?);
            }
        }
        Ok(starts)
    }

    /// Where a partition of this topic begins, which is read from now on.
    async fn start_of(&mut self, partition: &TopicPartition, topic: Uuid) -> Result<Offsets> {
        let wanted = BTreeMap::from([(partition.clone(), OffsetSpec::Earliest)]);
        let listed = self.shared.client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        let mut starts = Offsets::new();
        for (partition, start) in listed {
            let start =
                start.map_err(|error| client_error(&format!("asking where {partition} begins"), error))?;
            let memos = vec![topic_memo(&partition.topic, start.offset, noted_id(topic))];
            let metadata = OffsetMetadata { partition_time: -1, memos }.encode();
            self.known_inputs.read_from(&partition, topic);
            starts.insert(partition, OffsetAndMetadata::new(start.offset).with_metadata(metadata));
        }
        // Whatever opens the task again begins there too.
        self.known_inputs.begin(starts.clone());
        Ok(starts)
    }

    /// Takes offsets out that nobody takes, since their topics are gone: whoever reads has not heard of it yet. Whether there
    /// were some.
    pub(super) async fn leave_out_what_is_gone(&self, offsets: &mut Offsets) -> bool {
        let topics: BTreeSet<&str> = offsets.keys().map(|partition| &*partition.topic).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let Ok(described) = self.shared.client.admin().describe_topics(&topics).await else { return false };
        let is_gone = |partition: &TopicPartition| match described.get(&*partition.topic) {
            Some(Err(error)) => error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            // Made anew with fewer.
            Some(Ok(topic)) => is_beyond(partition, topic),
            None => false,
        };
        let before = offsets.len();
        offsets.retain(|partition, _| !is_gone(partition));
        offsets.len() != before
    }

    fn let_read(&mut self, task: TaskId, committed: Offsets, beginnings: Offsets) {
        if self.shared.holdings.open(Role::Active).contains(&task) {
            self.watch_lags(task);
        }
        let plan = self.shared.plan();
        let (topology, inputs) = (Arc::clone(&plan.topology), plan.inputs(task));
        let worker = self.shared.placed.lock().get(&task).copied();
        if let Some(worker) = worker {
            self.tell(worker, ToWorker::ReadTopics { task, topology, inputs, committed, beginnings });
        }
    }
}
