//! A task on its worker: the task itself, its outbox, its state coming back (`restoring`), what that reflects (`position`), what
//! is committed of its inputs (`task_offsets`), and what is read again after an undo (`rewinding`).
//!
//! A standby is a task whose nodes rest: its stores follow their changelogs. When it is promoted it lacks only what has
//! been written last; when a task is demoted its stores are followed from where its last commit has left them.

mod position;
mod restoring;
mod rewinding;
mod task_offsets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::records::batches;
use anabranch_client::{FetchedBatches, OffsetAndMetadata, TopicPartition, Uuid};
use anabranch_host::{Host, Instant};
use anabranch_state_store::Checkpoint;

pub(crate) use self::position::position_of;
use self::restoring::LoggedStore;
pub(crate) use self::restoring::RestoreStep;
pub(crate) use self::rewinding::Rewind;
use self::rewinding::Rewinding;
use self::task_offsets::TaskOffsets;
use super::acknowledgements::AcknowledgedOffsets;
use super::assignment::holdings::{Progress, Role};
use super::batch_outbox::BatchOutbox;
use super::metrics::TaskMetrics;
use super::offsets::Offsets;
use super::restore::Changelogs;
use super::restore_listener::{Listeners, SuspendReason};
use crate::error::{Error, ErrorKind, Result};
use crate::processor::{Drops, RawInput, TaskId};
use crate::task::{Epoch, Input, Task};
use crate::topology::Topology;

/// At most so many records between two looks at the clock, and at what is uncommitted...
const RECORDS_PER_LOOK: usize = 64;
/// ...and fewer if they take longer than this.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How much a task may process at a time.
#[derive(Clone, Copy)]
pub(crate) struct Slice<'a> {
    pub(crate) records: usize,
    pub(crate) uncommitted_max_bytes: usize,
    pub(crate) host: &'a Host,
    /// Until when; the record that takes longer is finished.
    pub(crate) until: Instant,
}

/// A task that a worker drives.
pub(crate) struct RunningTask {
    task: Task,
    outbox: BatchOutbox,
    role: Role,
    /// The task's input of each partition.
    inputs: BTreeMap<TopicPartition, usize>,
    /// By the store's index.
    stores: Vec<Option<LoggedStore>>,
    /// Its state is there, so that it processes.
    restored: bool,
    changelogs: Changelogs,
    progress: Arc<Progress>,
    listeners: Listeners,
    /// The epoch whose commit is in flight.
    sealed: Option<Epoch>,
    offsets: TaskOffsets,
    rewinding: Rewinding,
    /// For decompressed batches.
    scratch: Vec<u8>,
    /// Encoded headers of one record.
    headers: Vec<u8>,
    metrics: TaskMetrics,
    /// The changelogs that its stores are written to.
    changelog_ids: Vec<(Arc<str>, Uuid)>,
    /// Dropped records that are in the metrics.
    told_drops: Drops,
    /// How many records it processes between two looks at the clock.
    records_per_look: usize,
}

/// What has come into a partition's queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Enqueued {
    pub(crate) records: usize,
    /// So many of the partition wait now.
    pub(crate) waiting: usize,
    pub(crate) bytes: usize,
}

/// How a task is opened.
pub(crate) struct Opening {
    pub(crate) task: Task,
    pub(crate) outbox: BatchOutbox,
    pub(crate) role: Role,
    pub(crate) changelogs: Changelogs,
    pub(crate) listeners: Listeners,
    pub(crate) metrics: TaskMetrics,
    /// What is committed for its inputs; nothing for one that only follows.
    pub(crate) committed: Offsets,
    /// Where those begin of which nothing is.
    pub(crate) beginnings: Offsets,
}

/// How many records are processed until the next look, if the last ones took this time: twice as many at most.
fn at_pace(records: usize, took: Duration) -> usize {
    let in_time = LOOK_EVERY.as_nanos() * records as u128 / took.as_nanos().max(1);
    usize::try_from(in_time).unwrap_or(usize::MAX).clamp(1, RECORDS_PER_LOOK).min(2 * records)
}

impl RunningTask {
    /// Opens a task; its state begins to come back.
    pub(crate) fn new(opening: Opening) -> Self {
        let Opening { task, outbox, role, changelogs, listeners, metrics, committed, beginnings } = opening;
        let stores = task.restored_from().into_iter().map(|changelog| changelog.map(LoggedStore::new));
        let mut running = RunningTask {
            inputs: inputs_of(&task),
            stores: stores.collect(),
            task,
            outbox,
            role,
            restored: false,
            changelogs,
            progress: Arc::default(),
            listeners,
            sealed: None,
            offsets: TaskOffsets::resume(committed),
            rewinding: Rewinding::default(),
            scratch: Vec::new(),
            headers: Vec::new(),
            metrics,
            told_drops: Drops::default(),
            changelog_ids: Vec::new(),
            records_per_look: 1,
        };
        running.begin_at(&beginnings);
        running.read_changelogs();
        running.restored = role == Role::Active && running.is_whole();
        running.note_progress();
        running
    }

    pub(crate) fn id(&self) -> TaskId {
        self.task.id()
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    pub(crate) fn reads(&self, partition: &TopicPartition) -> bool {
        self.inputs.contains_key(partition)
    }

    pub(crate) fn task_mut(&mut self) -> &mut Task {
        &mut self.task
    }

    pub(crate) fn outbox(&mut self) -> &mut BatchOutbox {
        &mut self.outbox
    }

    /// Whether its state is there, so that it processes.
    pub(crate) fn is_restored(&self) -> bool {
        self.restored
    }

    /// Reads these inputs from now on, which are of topics that its sources have in this topology. `committed` is what is
    /// committed beside the offsets of those that it has not read before.
    pub(crate) fn read_topics(
        &mut self,
        topology: &Arc<Topology>,
        inputs: &[TopicPartition],
        committed: Offsets,
    ) {
        self.task.read_topics(topology, |topic| inputs.iter().any(|input| *input.topic == *topic));
        for (input, offset) in &committed {
            self.task.resume_grown(&input.topic, &offset.metadata);
        }
        self.offsets.extend(committed);
        self.inputs = inputs_of(&self.task);
        self.offsets.retain(|partition| self.inputs.contains_key(partition));
        self.rewinding.retain(|partition| self.inputs.contains_key(partition));
    }

    /// These inputs are read from there on. That is what it commits of them until it has read something.
    pub(crate) fn begin_at(&mut self, beginnings: &Offsets) {
        for (partition, offset) in beginnings {
            let Some(&input) = self.inputs.get(partition) else { continue };
            self.task.begin_at(input, offset.offset, &offset.metadata);
            self.offsets.begin();
        }
    }

    /// Queues fetched batches.
    ///
    /// # Errors
    /// If a batch is damaged.
    pub(crate) fn enqueue(&mut self, fetched: &FetchedBatches) -> Result<Enqueued> {
        let partition = TopicPartition { topic: Arc::clone(&fetched.topic), partition: fetched.partition };
        let Some(&input) = self.inputs.get(&partition) else { return Ok(Enqueued::default()) };
        if self.rewinding.awaits(&partition) || self.role == Role::Standby {
            return Ok(Enqueued::default());
        }
        let queue = &self.task.inputs()[input];
        let (records, bytes) = (queue.buffered(), queue.buffered_bytes());
        self.task.fetched(input, fetched.fetch_offset, fetched.next_offset);
        self.task.read_from(input, fetched.topic_id);
        for batch in batches(&fetched.records) {
            let batch = batch.and_then(|batch| batch.check_crc().map(|()| batch));
            let batch = batch.map_err(|error| corrupt(fetched, error))?;
            for record in batch.records(&mut self.scratch).map_err(|error| corrupt(fetched, error))? {
                let record = record.map_err(|error| corrupt(fetched, error))?;
                if record.offset < fetched.fetch_offset {
                    continue;
                }
                self.headers.clear();
                if !record.headers.is_empty() {
                    record.headers.encode_into(&mut self.headers);
                }
                let (offset, timestamp) = (record.offset, record.timestamp);
                let (key, value) = (record.key, record.value);
                self.task.enqueue(input, RawInput { offset, timestamp, key, value, headers: &self.headers });
            }
        }
        let queue = &self.task.inputs()[input];
        let waiting = queue.buffered();
        Ok(Enqueued { records: waiting - records, waiting, bytes: queue.buffered_bytes() - bytes })
    }

    /// The memory that waiting records take.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.task.inputs().iter().map(Input::buffered_bytes).sum()
    }

    /// How many records of a partition wait; none if it is another task's.
    pub(crate) fn buffered(&self, partition: &TopicPartition) -> Option<usize> {
        self.inputs.get(partition).map(|input| self.task.inputs()[*input].buffered())
    }

    /// Processes records, as many as the slice has; how many there were.
    ///
    /// # Errors
    /// If one fails and the policy says to stop.
    pub(crate) fn process(&mut self, slice: Slice<'_>, wall_clock_ms: i64) -> Result<usize> {
        self.outbox.wall_clock_ms = wall_clock_ms;
        let (mut count, mut looked, mut look_at) = (0, slice.host.now(), self.records_per_look);
        while count < slice.records && self.task.process(wall_clock_ms, &mut self.outbox)? {
            count += 1;
            if count == look_at {
                let now = slice.host.now();
                self.records_per_look = at_pace(self.records_per_look, now - looked);
                if now >= slice.until || self.uncommitted_bytes() > slice.uncommitted_max_bytes {
                    break;
                }
                looked = now;
                look_at += self.records_per_look;
            }
        }
        self.tell_metrics(count);
        Ok(count)
    }

    /// Notes how long it took to process.
    pub(crate) fn took(&self, time: Duration) {
        self.metrics.processed(time);
    }

    fn tell_metrics(&mut self, processed: usize) {
        if processed > 0 {
            let longest_ms = u64::try_from(self.task.take_longest_ms()).unwrap_or(0);
            self.metrics.processed_after(Duration::from_millis(longest_ms));
            self.tell_node_metrics();
        }
        let dropped = self.task.dropped();
        if dropped != self.told_drops {
            self.metrics.dropped(&dropped.since(&self.told_drops));
            self.told_drops = dropped;
        }
    }

    fn tell_node_metrics(&mut self) {
        let Self { task, metrics, outbox, .. } = self;
        task.take_latencies(|place, node, ages| metrics.nodes.aged(place, node, ages, outbox.wall_clock_ms));
        for (store, records, bytes) in task.held_back() {
            metrics.nodes.held_back(store, records, bytes);
        }
        self.tell_num_keys();
    }

    fn tell_num_keys(&mut self) {
        for (store, keys) in self.task.num_keys() {
            self.metrics.nodes.num_keys(store, keys);
        }
    }

    /// Calls what is due by the wall clock; whether there was something.
    ///
    /// # Errors
    /// As [`RunningTask::process`].
    pub(crate) fn punctuate(&mut self, wall_clock_ms: i64) -> Result<bool> {
        self.outbox.wall_clock_ms = wall_clock_ms;
        self.task.punctuate_by_wall_clock(wall_clock_ms, &mut self.outbox)
    }

    /// When the wall clock gives it something to do next.
    pub(crate) fn next_punctuation(&self) -> Option<i64> {
        self.task.next_wall_clock_punctuation().filter(|_| self.is_restored())
    }

    /// Whether a processor has asked for a commit, or the group is to know where it begins.
    pub(crate) fn commit_requested(&self) -> bool {
        self.task.commit_requested() || self.offsets.begins() && self.is_restored()
    }

    /// Forwards what caches hold and finishes every batch.
    ///
    /// # Errors
    /// As [`RunningTask::process`].
    pub(crate) fn flush(&mut self, wall_clock_ms: i64) -> Result<()> {
        self.outbox.wall_clock_ms = wall_clock_ms;
        self.task.note_wall_clock(wall_clock_ms);
        self.task.flush(&mut self.outbox)?;
        self.outbox.finish_flushed();
        Ok(())
    }

    pub(crate) fn needs_commit(&self) -> bool {
        self.is_restored() && self.task.needs_commit()
    }

    /// Ends the epoch and gives the offsets that have moved. What it writes at last is in the outbox then.
    ///
    /// # Errors
    /// As [`RunningTask::process`].
    pub(crate) fn seal(&mut self, wall_clock_ms: i64) -> Result<Offsets> {
        self.outbox.wall_clock_ms = wall_clock_ms;
        self.look_for_changelogs()?;
        let sealed = self.task.seal(&mut self.outbox)?;
        self.outbox.finish_flushed();
        // Also of what punctuations and caches have forwarded.
        self.tell_node_metrics();
        self.sealed = Some(sealed.epoch);
        let inputs = self.task.inputs();
        let offsets = sealed.offsets.into_iter().map(|(input, offset, metadata)| {
            let Input { topic, partition, .. } = &inputs[input];
            let partition = TopicPartition::new(Arc::clone(topic), *partition);
            (partition, OffsetAndMetadata::new(offset).with_metadata(metadata))
        });
        Ok(self.offsets.seal(offsets))
    }

    /// After [`RunningTask::seal`]: an offset that is committed already, if the epoch has written something and moves none.
    /// Committed again, it ties the transaction to the task: whoever takes the task over waits for its end, and a member
    /// that has lost the task is refused.
    pub(crate) fn tie(&mut self, moved: &Offsets) -> Option<(TopicPartition, OffsetAndMetadata)> {
        if !self.outbox.take_written() || !moved.is_empty() {
            return None;
        }
        self.offsets.any()
    }

    /// Whether the changelogs are those that the stores have been written to so far: a commit counts on them.
    fn look_for_changelogs(&mut self) -> Result<()> {
        let own = self.stores.iter().flatten().filter(|store| !store.changelog.is_source);
        let topics = own.map(|store| Arc::clone(&store.changelog.topic));
        let known = self.outbox.topic_ids(topics);
        for (topic, id) in &known {
            if id.is_zero() {
                return Err(Error::invalid(format_args!(
                    "the changelog `{topic}` is gone: what the stores have cannot be kept"
                )));
            }
            if self.changelog_ids.iter().any(|(name, before)| name == topic && before != id) {
                return Err(another_changelog(topic));
            }
        }
        if !known.is_empty() && known != self.changelog_ids {
            self.task.written_to(&known);
            self.changelog_ids = known;
        }
        Ok(())
    }

    /// Another topic has taken the name of the one that a partition was read from: what comes of it now is all new.
    pub(crate) fn begin_anew(&mut self, partition: &TopicPartition) {
        let Some(&input) = self.inputs.get(partition) else { return };
        self.task.begin_anew(input);
        self.rewinding.forget(partition);
        self.offsets.forget(partition);
    }

    /// The sealed epoch is committed: its undo lists are forgotten, its rows may be written behind.
    ///
    /// # Errors
    /// If the engine fails.
    pub(crate) fn committed(&mut self, acknowledged: &AcknowledgedOffsets, wall_clock_ms: i64) -> Result<()> {
        let Some(epoch) = self.sealed.take() else { return Ok(()) };
        self.offsets.commit();
        let partition = self.task.id().partition;
        for (index, store) in self.stores.iter_mut().enumerate() {
            let Some(store) = store else { continue };
            let name = TopicPartition::new(Arc::clone(&store.changelog.topic), partition);
            let reflected = match store.changelog.is_source {
                true => self.offsets.committed(&name).map(|next| next - 1),
                false => acknowledged.get(&name).copied(),
            };
            if let Some(offset) = reflected {
                store.next = Some(offset + 1);
                store.whole_ms = Some(wall_clock_ms);
                self.task.acknowledged(index, Checkpoint { offset, wall_clock_ms });
            }
        }
        self.task.commit(epoch)
    }

    /// Whether it has processed records, and has not committed that.
    pub(crate) fn has_uncommitted_records(&self) -> bool {
        self.task.has_uncommitted_records()
    }

    /// Undoes what is not committed. Says where its partitions are to be read again; until [`RunningTask::rewound`] what
    /// comes of them is stale.
    ///
    /// # Errors
    /// If a node cannot be made anew.
    pub(crate) fn abort(&mut self) -> Result<Vec<Rewind>> {
        self.task.abort()?;
        self.outbox.clear();
        self.sealed = None;
        self.offsets.abort();
        let (inputs, task) = (self.inputs.iter(), &self.task);
        let read =
            inputs.filter_map(|(partition, input)| Some((partition.clone(), task.rewound_to(*input)?)));
        Ok(self.rewinding.begin(read))
    }

    /// What comes of the partition from now on is read from where this abort went back to.
    pub(crate) fn rewound(&mut self, partition: &TopicPartition, number: u64) {
        self.rewinding.done(partition, number);
    }

    /// The member has gone back as every abort has asked for: what comes of all partitions from now on is read again.
    pub(crate) fn has_gone_back(&mut self) {
        self.rewinding.clear();
    }

    /// Notes how many offsets of a partition are still to be fetched.
    pub(crate) fn note_lag(&mut self, partition: &TopicPartition, lag: i64) {
        if let Some(input) = self.inputs.get(partition).filter(|_| !self.rewinding.awaits(partition)) {
            self.task.note_lag(*input, lag);
        }
    }

    /// When it has waited for long enough for records that do not come, by the wall clock.
    pub(crate) fn waits_until(&self) -> Option<i64> {
        self.task.waits_until()
    }

    /// Committed rows that the engine does not have yet.
    pub(crate) fn unstored_rows(&self) -> usize {
        self.task.unstored_rows()
    }

    /// Writes a chunk of them; false if nothing is left.
    ///
    /// # Errors
    /// If the engine fails.
    pub(crate) fn write_behind(&mut self) -> Result<bool> {
        self.task.write_behind()
    }

    /// Bytes of rows in memory before an engine, by store.
    pub(crate) fn resident_bytes(&self) -> impl Iterator<Item = usize> {
        self.task.resident_bytes()
    }

    /// Bytes of rows that are in memory and nowhere else, by store.
    pub(crate) fn pinned_bytes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.task.pinned_bytes()
    }

    /// Forgets rows that an engine has, until each store has at most so many bytes of them in memory.
    ///
    /// # Errors
    /// If rows that are being restored have to be put aside, and the disk fails.
    pub(crate) fn evict(&mut self, bytes: usize) -> Result<()> {
        self.task.evict(bytes)
    }

    /// Whether rows cannot be read yet because they are on their way into an engine.
    pub(crate) fn hides_rows(&self) -> bool {
        self.task.hides_rows()
    }

    /// Bytes held for an abort, and of records that wait for the end of the transaction before theirs.
    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.task.uncommitted_bytes() + self.outbox.ready_bytes()
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.task.pending_bytes()
    }

    /// Bytes of changelogs that wait for a flush.
    pub(crate) fn unflushed_bytes(&self) -> usize {
        self.outbox.changelog_bytes()
    }

    /// Ends it after a commit: the engine gets what it does not have yet. What it does not take comes back from the
    /// changelogs.
    pub(crate) fn close(mut self) {
        let written = self.task.finish_loads().and_then(|()| {
            while self.write_behind()? {}
            Ok(())
        });
        if let Err(error) = written {
            tracing::warn!(task = %self.id(), %error, "its state stays behind: the next start reads more of the changelogs");
        }
        self.given_up();
    }

    /// It ends here: what stays on disk is what others are told of it.
    pub(crate) fn given_up(&self) {
        self.suspended(SuspendReason::Migrated);
        self.metrics.nodes.gone();
        let reflected =
            self.task.restored_from().into_iter().flatten().filter_map(|changelog| changelog.reflected);
        self.progress.set_running(false);
        self.progress.note(reflected.map(|checkpoint| checkpoint.offset + 1).sum(), None);
    }
}

fn inputs_of(task: &Task) -> BTreeMap<TopicPartition, usize> {
    let inputs = task.inputs().iter().enumerate();
    inputs
        .filter(|(_, input)| !input.is_gone)
        .map(|(index, input)| (TopicPartition::new(Arc::clone(&input.topic), input.partition), index))
        .collect()
}

/// What the stores had is not in this one.
#[cold]
pub(crate) fn another_changelog(topic: &str) -> Error {
    Error::invalid(format_args!(
        "the changelog `{topic}` was deleted and made anew, so the state up to the committed offsets is lost: reset the \
         application, or give it another application id"
    ))
}

#[cold]
fn corrupt(fetched: &FetchedBatches, error: anabranch_client::records::RecordsError) -> Error {
    let message =
        format_args!("records of {}-{} at offset {}", fetched.topic, fetched.partition, fetched.fetch_offset);
    Error::new(ErrorKind::Fatal, message).with_source(error)
}
