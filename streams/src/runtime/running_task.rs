//! A task on its worker: the task itself, its outbox, and its state coming back.
//!
//! A standby is a task whose nodes rest: its stores follow their changelogs. When it is promoted it lacks only what has
//! been written last; when a task is demoted its stores are followed from where its last commit has left them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use anabranch_client::records::batches;
use anabranch_client::{FetchedBatches, OffsetAndMetadata, TopicPartition};
use anabranch_state_store::Checkpoint;

use super::acknowledgements::AcknowledgedOffsets;
use super::assignment::holdings::{Progress, Role};
use super::batch_outbox::BatchOutbox;
use super::metrics::TaskMetrics;
use super::restore::{Changelogs, Feed, Goal, Restored};
use super::restore_listener::{RestoreEvent, RestoreListener, RestorePlace};
use super::worker::Offsets;
use crate::error::{Error, ErrorKind, Result};
use crate::processor::{Drops, RawInput, TaskId};
use crate::task::{Epoch, StoreChangelog, Task};
use crate::topology::Topology;

impl StoreChangelog {
    /// Up to where it is read.
    fn goal(&self, role: Role) -> Goal {
        match (role, self.is_source) {
            (Role::Active, false) => Goal::End,
            (Role::Active, true) => Goal::Committed,
            (Role::Standby, false) => Goal::Follow,
            (Role::Standby, true) => Goal::FollowCommitted,
        }
    }
}

/// Fetched runs of changelogs that a task applies before its worker looks at its other tasks.
const RUNS_PER_TURN: usize = 8;

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
    listener: Option<RestoreListener>,
    /// The epoch whose commit is in flight.
    sealed: Option<Epoch>,
    /// Offsets last sealed, so that what has not moved is not committed again; and those of them that are committed.
    committed: Offsets,
    safe: Offsets,
    /// Inputs that are read again after an abort: what still comes from before is stale.
    rewinding: BTreeSet<usize>,
    /// For decompressed batches.
    scratch: Vec<u8>,
    /// Encoded headers of one record.
    headers: Vec<u8>,
    metrics: TaskMetrics,
    /// Dropped records that are in the metrics.
    told_drops: Drops,
}

/// A store that comes back from a topic.
struct LoggedStore {
    changelog: StoreChangelog,
    /// As it comes; none once it is whole.
    feed: Option<Feed>,
    /// The next offset to be applied; none until it is known where the topic begins.
    next: Option<i64>,
    /// Where the topic ended when it was last seen; none until it has been.
    end: Option<i64>,
    /// Records applied since the restoration began.
    restored: u64,
}

/// What becomes of a task whose state is coming back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestoreStep {
    /// There was nothing to apply.
    Idle,
    /// Something was applied.
    Applied,
    /// All of it is there.
    Done,
    /// A changelog does not reach back to what is kept: the task's state must go, and come back from the start.
    Truncated,
}

/// How a task is opened.
pub(crate) struct Opening {
    pub(crate) task: Task,
    pub(crate) outbox: BatchOutbox,
    pub(crate) role: Role,
    pub(crate) changelogs: Changelogs,
    pub(crate) listener: Option<RestoreListener>,
    pub(crate) metrics: TaskMetrics,
}

impl RunningTask {
    /// Opens a task; its state begins to come back.
    pub(crate) fn new(opening: Opening) -> Self {
        let Opening { task, outbox, role, changelogs, listener, metrics } = opening;
        let stores = task.restored_from().into_iter().map(|changelog| {
            let next = changelog.as_ref()?.reflected.map(|checkpoint| checkpoint.offset + 1);
            Some(LoggedStore { changelog: changelog?, feed: None, next, end: None, restored: 0 })
        });
        let mut running = RunningTask {
            inputs: inputs_of(&task),
            stores: stores.collect(),
            task,
            outbox,
            role,
            restored: false,
            changelogs,
            progress: Arc::default(),
            listener,
            sealed: None,
            committed: Offsets::new(),
            safe: Offsets::new(),
            rewinding: BTreeSet::new(),
            scratch: Vec::new(),
            headers: Vec::new(),
            metrics,
            told_drops: Drops::default(),
        };
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

    /// Whether every store has reached the end of its changelog.
    fn is_whole(&self) -> bool {
        self.stores.iter().flatten().all(|store| store.feed.is_none())
    }

    /// Reads these inputs from now on, which are of topics that its sources have in this topology. `committed` is what is
    /// committed beside the offsets of those that it has not read before.
    pub(crate) fn read_topics(
        &mut self,
        topology: &Arc<Topology>,
        inputs: &[TopicPartition],
        committed: &[(Arc<str>, String)],
    ) {
        self.task.read_topics(topology, |topic| inputs.iter().any(|input| *input.topic == *topic));
        committed.iter().for_each(|(topic, metadata)| self.task.resume_grown(topic, metadata));
        self.inputs = inputs_of(&self.task);
        let Self { inputs, committed, safe, .. } = self;
        committed.retain(|partition, _| inputs.contains_key(partition));
        safe.retain(|partition, _| inputs.contains_key(partition));
    }

    /// Begins to read every changelog from where its store is.
    fn read_changelogs(&mut self) {
        let (partition, role) = (self.task.id().partition, self.role);
        for store in self.stores.iter_mut().flatten() {
            let name = TopicPartition::new(Arc::clone(&store.changelog.topic), partition);
            store.feed = Some(self.changelogs.read(name, store.next, store.changelog.goal(role)));
        }
    }

    /// Runs a standby from where it is: only what it lacks is restored. `committed` is what is committed beside the
    /// offsets of its inputs.
    pub(crate) fn promote(&mut self, committed: &[(Arc<str>, String)]) {
        self.role = Role::Active;
        committed.iter().for_each(|(topic, metadata)| self.task.resume(topic, metadata));
        for store in self.stores.iter_mut().flatten() {
            store.restored = 0;
            if let Some(feed) = &store.feed {
                feed.aim(store.changelog.goal(Role::Active));
            }
        }
        self.restored = self.is_whole();
        self.note_progress();
    }

    /// Follows the changelogs from now on. Everything that counts has been committed.
    ///
    /// # Errors
    /// If the nodes cannot be made anew.
    pub(crate) fn demote(mut self) -> Result<RunningTask> {
        self.suspended();
        self.task = self.task.renewed()?;
        self.outbox.clear();
        (self.role, self.restored) = (Role::Standby, false);
        (self.sealed, self.committed, self.safe) = (None, Offsets::new(), Offsets::new());
        self.rewinding.clear();
        self.read_changelogs();
        self.note_progress();
        Ok(self)
    }

    /// Whether a changelog has brought something; wakes the caller when one does.
    pub(crate) fn poll_restore(&mut self, context: &mut Context<'_>) -> bool {
        let mut any = false;
        for feed in self.stores.iter_mut().flatten().filter_map(|store| store.feed.as_mut()) {
            any |= feed.poll_ready(context);
        }
        any
    }

    /// Applies what the changelogs have brought.
    ///
    /// # Errors
    /// If a changelog cannot be read, or a store refuses a row.
    pub(crate) fn restore_step(&mut self, wall_clock_ms: i64) -> Result<RestoreStep> {
        if self.restored {
            return Ok(RestoreStep::Idle);
        }
        let mut applied = 0;
        for index in 0..self.stores.len() {
            while applied < RUNS_PER_TURN
                && let Some(store) = &mut self.stores[index]
                && let Some(restored) = store.feed.as_mut().and_then(Feed::take)
            {
                applied += 1;
                match restored {
                    Restored::Begin { from, to } => {
                        (store.next, store.end) = (Some(from), Some(to));
                        self.tell(index, |place| RestoreEvent::Start { place, from, to });
                    }
                    Restored::Batches { fetched, limit } => {
                        self.apply(index, &fetched, limit, wall_clock_ms)?
                    }
                    Restored::End(end) => {
                        (store.feed, store.next, store.end) = (None, Some(end), Some(end));
                        let records = store.restored;
                        if end > 0 {
                            self.task.restored_to(index, Checkpoint { offset: end - 1, wall_clock_ms })?;
                        }
                        self.tell(index, |place| RestoreEvent::End { place, records });
                    }
                    Restored::Truncated => return Ok(RestoreStep::Truncated),
                    Restored::Failed(error) => {
                        let topic = &store.changelog.topic;
                        return Err(Error::fatal(format_args!("restoring from `{topic}`")).with_source(error));
                    }
                }
            }
        }
        if self.role == Role::Active && self.is_whole() {
            self.restored = true;
            self.note_progress();
            return Ok(RestoreStep::Done);
        }
        if applied == 0 {
            return Ok(RestoreStep::Idle);
        }
        self.note_progress();
        Ok(RestoreStep::Applied)
    }

    /// Applies a run of a changelog to its store.
    fn apply(
        &mut self,
        index: usize,
        fetched: &FetchedBatches,
        limit: i64,
        wall_clock_ms: i64,
    ) -> Result<()> {
        let mut count = 0;
        for batch in batches(&fetched.records) {
            let batch = batch.and_then(|batch| batch.check_crc().map(|()| batch));
            let batch = batch.map_err(|error| corrupt(fetched, error))?;
            let records = batch.records(&mut self.scratch).map_err(|error| corrupt(fetched, error))?;
            for record in records {
                let record = record.map_err(|error| corrupt(fetched, error))?;
                let wanted = record.offset >= fetched.fetch_offset && record.offset < limit;
                let Some(key) = record.key.filter(|_| wanted) else { continue };
                self.headers.clear();
                if !record.headers.is_empty() {
                    record.headers.encode_into(&mut self.headers);
                }
                self.task.restore(index, key, record.value, record.timestamp, &self.headers)?;
                count += 1;
            }
        }
        let next = fetched.next_offset.min(limit);
        self.task.restored_to(index, Checkpoint { offset: next - 1, wall_clock_ms })?;
        if let Some(store) = &mut self.stores[index] {
            store.next = Some(next);
            store.end = store.end.max(Some(fetched.bounds.high_watermark.min(limit)));
            store.restored += count;
        }
        self.metrics.restored(count);
        self.tell(index, |place| RestoreEvent::Batch { place, next, records: count });
        Ok(())
    }

    /// Tells the listener of a store of a task that is to run.
    fn tell(&self, index: usize, event: impl FnOnce(RestorePlace) -> RestoreEvent) {
        if let (Some(listener), Some(store), Role::Active) = (&self.listener, &self.stores[index], self.role)
        {
            let (store, topic) = (Arc::clone(&store.changelog.store), Arc::clone(&store.changelog.topic));
            listener(&event(RestorePlace { task: self.task.id(), store, topic }));
        }
    }

    /// Its restoration ends before it is whole, if it was under way.
    pub(crate) fn suspended(&self) {
        if !self.restored {
            for (index, store) in self.stores.iter().enumerate() {
                if let Some(LoggedStore { feed: Some(_), restored, .. }) = store {
                    self.tell(index, |place| RestoreEvent::Suspended { place, records: *restored });
                }
            }
        }
    }

    /// Writes down how far its state is.
    fn note_progress(&self) {
        let stores = || self.stores.iter().flatten();
        let applied = stores().map(|store| store.next.unwrap_or(0)).sum();
        // Until a changelog has begun its end is not known.
        let behind = |store: &LoggedStore| match store.feed {
            Some(_) => Some((store.end? - store.next?).max(0)),
            None => Some(0),
        };
        self.progress.note(applied, stores().map(behind).sum());
        self.progress.set_running(self.restored);
    }

    /// Queues fetched batches; gives how many records they are, and how many of that partition wait now.
    ///
    /// # Errors
    /// If a batch is damaged.
    pub(crate) fn enqueue(&mut self, fetched: &FetchedBatches) -> Result<(usize, usize)> {
        let partition = TopicPartition { topic: Arc::clone(&fetched.topic), partition: fetched.partition };
        let Some(&input) = self.inputs.get(&partition) else { return Ok((0, 0)) };
        if self.rewinding.contains(&input) || self.role == Role::Standby {
            return Ok((0, 0));
        }
        let before = self.task.inputs()[input].buffered();
        self.task.fetched(input, fetched.fetch_offset, fetched.next_offset);
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
        let buffered = self.task.inputs()[input].buffered();
        Ok((buffered - before, buffered))
    }

    /// How many records of a partition wait; none if it is another task's.
    pub(crate) fn buffered(&self, partition: &TopicPartition) -> Option<usize> {
        self.inputs.get(partition).map(|input| self.task.inputs()[*input].buffered())
    }

    /// Processes up to `records` records; how many there were.
    ///
    /// # Errors
    /// If one fails and the policy says to stop.
    pub(crate) fn process(&mut self, records: usize, wall_clock_ms: i64) -> Result<usize> {
        self.outbox.wall_clock_ms = wall_clock_ms;
        let mut count = 0;
        while count < records && self.task.process(wall_clock_ms, &mut self.outbox)? {
            count += 1;
        }
        self.tell_metrics(count);
        Ok(count)
    }

    fn tell_metrics(&mut self, processed: usize) {
        if processed > 0 {
            let longest_ms = u64::try_from(self.task.take_longest_ms()).unwrap_or(0);
            self.metrics.processed_after(Duration::from_millis(longest_ms));
        }
        let dropped = self.task.dropped();
        if dropped != self.told_drops {
            self.metrics.dropped(&dropped.since(&self.told_drops));
            self.told_drops = dropped;
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

    /// Whether a processor has asked for a commit.
    pub(crate) fn commit_requested(&self) -> bool {
        self.task.commit_requested()
    }

    /// Forwards what caches hold and finishes every batch.
    ///
    /// # Errors
    /// As [`RunningTask::process`].
    pub(crate) fn flush(&mut self, wall_clock_ms: i64) -> Result<()> {
        self.outbox.wall_clock_ms = wall_clock_ms;
        self.task.flush(&mut self.outbox)?;
        self.outbox.finish_all();
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
        let sealed = self.task.seal(&mut self.outbox)?;
        self.outbox.finish_all();
        self.sealed = Some(sealed.epoch);
        let mut moved = Offsets::new();
        for (input, offset, metadata) in sealed.offsets {
            let input = &self.task.inputs()[input];
            let partition = TopicPartition::new(Arc::clone(&input.topic), input.partition);
            let offset = OffsetAndMetadata::new(offset).with_metadata(metadata);
            if self.committed.get(&partition) != Some(&offset) {
                self.committed.insert(partition.clone(), offset.clone());
                moved.insert(partition, offset);
            }
        }
        Ok(moved)
    }

    /// The sealed epoch is committed: its undo lists are forgotten, its rows may be written behind.
    ///
    /// # Errors
    /// If the engine fails.
    pub(crate) fn committed(&mut self, acknowledged: &AcknowledgedOffsets, wall_clock_ms: i64) -> Result<()> {
        let Some(epoch) = self.sealed.take() else { return Ok(()) };
        self.safe.clone_from(&self.committed);
        let partition = self.task.id().partition;
        for (index, store) in self.stores.iter_mut().enumerate() {
            let Some(store) = store else { continue };
            let name = TopicPartition::new(Arc::clone(&store.changelog.topic), partition);
            let reflected = match store.changelog.is_source {
                true => self.committed.get(&name).map(|committed| committed.offset - 1),
                false => acknowledged.get(&name).copied(),
            };
            if let Some(offset) = reflected {
                store.next = Some(offset + 1);
                self.task.acknowledged(index, Checkpoint { offset, wall_clock_ms });
            }
        }
        self.task.commit(epoch)
    }

    /// Undoes what is not committed. Says where its partitions are to be read again; until [`RunningTask::rewound`] what
    /// comes of them is stale.
    ///
    /// # Errors
    /// If a node cannot be made anew.
    pub(crate) fn abort(&mut self) -> Result<Vec<(TopicPartition, i64)>> {
        self.task.abort()?;
        self.outbox.clear();
        self.sealed = None;
        self.committed.clone_from(&self.safe);
        let mut rewound = Vec::new();
        for (partition, &input) in &self.inputs {
            if let Some(offset) = self.task.rewound_to(input) {
                self.rewinding.insert(input);
                rewound.push((partition.clone(), offset));
            }
        }
        Ok(rewound)
    }

    /// What comes of the partition from now on is read from where the abort went back to.
    pub(crate) fn rewound(&mut self, partition: &TopicPartition) {
        if let Some(input) = self.inputs.get(partition) {
            self.rewinding.remove(input);
        }
    }

    /// Notes how many offsets of a partition are still to be fetched.
    pub(crate) fn note_lag(&mut self, partition: &TopicPartition, lag: i64) {
        if let Some(input) = self.inputs.get(partition).filter(|input| !self.rewinding.contains(input)) {
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

    /// Forgets rows that an engine has, until each store has at most so many bytes of them in memory.
    pub(crate) fn evict(&mut self, bytes: usize) {
        self.task.evict(bytes);
    }

    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.task.uncommitted_bytes()
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.task.pending_bytes()
    }

    /// Ends it after a commit: the engine gets what it does not have yet.
    ///
    /// # Errors
    /// If the engine fails.
    pub(crate) fn close(mut self) -> Result<()> {
        while self.write_behind()? {}
        self.given_up();
        Ok(())
    }

    /// It ends here: what stays on disk is what others are told of it.
    pub(crate) fn given_up(&self) {
        self.suspended();
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

#[cold]
fn corrupt(fetched: &FetchedBatches, error: anabranch_client::records::RecordsError) -> Error {
    let message =
        format_args!("records of {}-{} at offset {}", fetched.topic, fetched.partition, fetched.fetch_offset);
    Error::new(ErrorKind::Fatal, message).with_source(error)
}
