//! The task itself.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_client::Uuid;

use super::input::Input;
use super::offset_metadata::{NotedChangelogs, OffsetMetadata, noted_id, topic_memo};
use super::parts::{TaskConfig, make_inputs, make_nodes, make_stores};
use crate::error::Result;
use crate::outbox::{OutTopics, Outbox};
use crate::processor::{
    Context, DropReason, Drops, Latencies, Memos, Nodes, Origin, Punctuations, RawInput, TaskId, TaskState,
    catching,
};
use crate::state::Stores;
use crate::topology::Topology;

/// Nodes of a topology for one partition.
pub(crate) struct Task {
    pub(super) id: TaskId,
    pub(super) config: TaskConfig,
    pub(super) topology: Arc<Topology>,
    /// Indexes of its nodes in the topology, parents first.
    pub(super) chosen: Vec<usize>,
    pub(super) nodes: Nodes,
    /// By store: the node that forwards its updates at a flush.
    listeners: Vec<Option<usize>>,
    pub(super) inputs: Vec<Input>,
    /// The input whose head is being processed.
    current: usize,
    pub(super) state: TaskState,
    /// Whether the nodes have been told that the task runs.
    pub(super) started: bool,
    /// Times and memos of the last committed epoch.
    pub(super) committed: Marks,
    /// The epochs that are sealed and not committed, oldest first.
    pub(super) sealed: VecDeque<(Epoch, Marks)>,
    /// Retired `Marks`, kept to reuse their allocations.
    spare: Marks,
    next_epoch: u64,
    /// Something happened since the last seal.
    pub(super) dirty: bool,
    /// What else is committed beside each offset.
    noted_changelogs: Option<String>,
    /// The longest time from a record's to its processing since it was last asked for.
    longest_ms: i64,
}

/// What is processed between two commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(u64);

/// An epoch that was sealed: what to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) epoch: Epoch,
    /// For each input that has moved: its index, the offset to read from next, and the metadata.
    pub(crate) offsets: Vec<(usize, i64, String)>,
}

/// Where a task stands, beside its stores.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    pub(super) stream_time: i64,
    /// By input.
    pub(super) inputs: Vec<(i64, Option<i64>)>,
    pub(super) memos: Vec<i64>,
}

impl Task {
    /// A task of these nodes of the topology (their indexes, parents first), which reads the task's partition of each
    /// of their topics.
    ///
    /// # Errors
    /// If a node cannot be made.
    pub(crate) fn new(
        topology: Arc<Topology>,
        chosen: Vec<usize>,
        id: TaskId,
        config: TaskConfig,
    ) -> Result<Self> {
        let mut topics = OutTopics::default();
        let stores = make_stores(&topology, &chosen, id, &config, &mut topics)?;
        Task::of_stores(topology, chosen, id, config, stores, topics)
    }

    /// A task that has these stores; their changelogs are among the topics.
    pub(super) fn of_stores(
        topology: Arc<Topology>,
        chosen: Vec<usize>,
        id: TaskId,
        config: TaskConfig,
        stores: Stores,
        topics: OutTopics,
    ) -> Result<Self> {
        let mut state = TaskState {
            stream_time: -1,
            wall_clock_ms: 0,
            topics,
            policies: config.policies.clone(),
            drops: Default::default(),
            memos: Memos::default(),
            stores,
            punctuations: Punctuations::default(),
            commit_requested: false,
            partition: id.partition,
            emit_interval_ms: config.emit_interval_ms,
        };
        let inputs = make_inputs(&topology, &chosen, id, &config);
        let (nodes, listeners) = make_nodes(&topology, &chosen, id, &config, &inputs, &mut state)?;
        let mut task = Task {
            id,
            config,
            topology,
            chosen,
            nodes,
            listeners,
            inputs,
            current: 0,
            state,
            started: false,
            committed: Marks::default(),
            sealed: VecDeque::new(),
            spare: Marks::default(),
            next_epoch: 0,
            noted_changelogs: None,
            dirty: false,
            longest_ms: 0,
        };
        task.committed.note(&task.inputs, &task.state);
        Ok(task)
    }

    /// Sub-topology and partition.
    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    /// The topic partitions it reads; `enqueue` takes their index.
    pub(crate) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Takes over the metadata committed beside the offset of an input, given by its topic, before the first record is
    /// processed.
    pub(crate) fn resume(&mut self, topic: &str, metadata: &str) {
        let Some(metadata) = OffsetMetadata::decode(metadata) else { return };
        for input in self.inputs.iter_mut().filter(|input| *input.topic == *topic) {
            input.partition_time = input.partition_time.max(metadata.partition_time);
        }
        self.state.stream_time = self.state.stream_time.max(metadata.partition_time);
        for (name, value) in metadata.node_memos() {
            self.state.memos.merge(name, value);
        }
        self.committed.note(&self.inputs, &self.state);
    }

    /// Puts a record at the end of an input's queue. Its bytes are copied.
    pub(crate) fn enqueue(&mut self, input: usize, record: RawInput<'_>) {
        self.inputs[input].queue.push(record);
    }

    /// Notes which topic an input is read from.
    pub(crate) fn read_from(&mut self, input: usize, topic: Uuid) {
        if !topic.is_zero() {
            self.inputs[input].topic_id = Some(noted_id(topic));
        }
    }

    /// Notes which changelogs its stores are written to: beside each offset stands what it counts on.
    pub(crate) fn written_to(&mut self, changelogs: &[(Arc<str>, Uuid)]) {
        self.noted_changelogs =
            NotedChangelogs::of(changelogs.iter().map(|(name, id)| (&**name, *id))).memo_name();
    }

    /// Notes what a fetch of an input has covered: offsets from `from` up to `to`, whether there were records or not.
    pub(crate) fn fetched(&mut self, input: usize, from: i64, to: i64) {
        let input = &mut self.inputs[input];
        input.fetched = Some((input.fetched.map_or(from, |(first, _)| first), to));
    }

    /// An input is read from this offset on. Beside it stands, if that is known, of which topic it is.
    pub(crate) fn begin_at(&mut self, input: usize, offset: i64, metadata: &str) {
        self.fetched(input, offset, offset);
        let input = &mut self.inputs[input];
        let noted = OffsetMetadata::decode(metadata).and_then(|noted| noted.topic(&input.topic, offset));
        input.topic_id = noted.or(input.topic_id);
    }

    /// Where an input is to be read again after an abort; none if it has not been read.
    pub(crate) fn rewound_to(&self, input: usize) -> Option<i64> {
        self.inputs[input].fetched.map(|(_, to)| to)
    }

    /// Processes one record: the one with the lowest time at the head of any queue; then calls what is due by stream
    /// time. False if no record waits, or one that is still to come might have a lower time.
    ///
    /// # Errors
    /// If a record fails and the policy says to stop, if user code panics, or if the outbox fails. The task must then be
    /// aborted.
    pub(crate) fn process(&mut self, wall_clock_ms: i64, outbox: &mut dyn Outbox) -> Result<bool> {
        self.start(wall_clock_ms, outbox)?;
        self.state.wall_clock_ms = wall_clock_ms;
        if self.waits(wall_clock_ms) || self.inputs.iter().all(|input| input.buffered() == 0) {
            return Ok(false);
        }
        let head = |task: &Task| {
            let input = &task.inputs[task.current];
            Some((Arc::clone(&input.topic), input.partition, input.queue.head()?.offset))
        };
        let processed = catching(self, |task| task.process_head(outbox), head)?;
        if processed && !self.state.punctuations.is_empty() {
            self.punctuate_by_stream_time(outbox)?;
        }
        Ok(processed)
    }

    fn process_head(&mut self, outbox: &mut dyn Outbox) -> Result<bool> {
        let Some(chosen) = self.choose(outbox)? else { return Ok(false) };
        self.current = chosen;
        let Task { nodes, inputs, state, .. } = self;
        let input = &mut inputs[chosen];
        let (Some(timestamp), Some(record)) = (input.head, input.queue.head()) else { return Ok(false) };
        state.stream_time = state.stream_time.max(timestamp);
        input.partition_time = input.partition_time.max(timestamp);
        let mut context = Context { outbox, origin: origin(&input.topic, input.partition, record), state };
        nodes.emit(input.source, input.queue_of_source, record, timestamp, &mut context)?;
        let offset = record.offset;
        input.advance(offset);
        self.longest_ms = self.longest_ms.max(state.wall_clock_ms.saturating_sub(timestamp));
        self.dirty = true;
        Ok(true)
    }

    /// The input whose head is next. Heads that cannot be read, or have no time, are dealt with on the way.
    fn choose(&mut self, outbox: &mut dyn Outbox) -> Result<Option<usize>> {
        let Task { nodes, inputs, state, dirty, current, .. } = self;
        let mut chosen: Option<(i64, usize)> = None;
        for (index, input) in inputs.iter_mut().enumerate() {
            while input.head.is_none() {
                let Some(record) = input.queue.head() else { break };
                *current = index;
                let (source, queue) = (input.source, input.queue_of_source);
                let mut context = Context {
                    outbox,
                    origin: origin(&input.topic, input.partition, record),
                    state: &mut *state,
                };
                let offset = record.offset;
                match nodes.timestamp(source, queue, record, input.partition_time, &mut context)? {
                    Some(timestamp) if timestamp >= 0 => input.head = Some(timestamp),
                    answer => {
                        if answer.is_some() {
                            context.drop_record(DropReason::NegativeTimestamp);
                        }
                        input.advance(offset);
                        *dirty = true;
                    }
                }
            }
            if let Some(timestamp) = input.head
                && chosen.is_none_or(|(lowest, _)| timestamp < lowest)
            {
                chosen = Some((timestamp, index));
            }
        }
        Ok(chosen.map(|(_, index)| index))
    }

    /// Whether anything happened since the last seal.
    pub(crate) fn needs_commit(&self) -> bool {
        // A position also moves where there is no record to process: over the marker that ends a transaction.
        let moved = |input: &Input| input.buffered() == 0 && input.position() > input.sealed;
        self.dirty || self.inputs.iter().any(moved)
    }

    /// Forwards the updates that wait in cached stores. Due when the worker has no more input at hand, and when
    /// [`pending_bytes`](Task::pending_bytes) reaches its limit; `seal` begins with it.
    ///
    /// # Errors
    /// As [`process`](Task::process).
    pub(crate) fn flush(&mut self, outbox: &mut dyn Outbox) -> Result<()> {
        catching(self, |task| task.flush_stores(outbox), |_| None)
    }

    fn flush_stores(&mut self, outbox: &mut dyn Outbox) -> Result<()> {
        let Task { nodes, state, listeners, .. } = self;
        // In the order of the topology: what a flush writes to stores further down is flushed after it. A processor may
        // write to a store further up, hence the loop.
        while let Some(first) = (0..listeners.len()).find(|&store| state.stores.get(store).has_pending()) {
            for (store, listener) in listeners.iter().enumerate().skip(first) {
                if !state.stores.get(store).has_pending() {
                    continue;
                }
                let mut context =
                    Context { outbox: &mut *outbox, origin: Origin::none(), state: &mut *state };
                match listener {
                    Some(node) => nodes.flush(*node, &mut context)?,
                    None => {
                        let (stores, mut write) = context.stores(-1, &[]);
                        stores.get(store).flush(&mut write)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Bytes of updates that wait in cached stores.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.state.stores.iter().map(|store| store.pending_bytes()).sum()
    }

    /// Bytes that stores hold for an abort only: bounded by committing early.
    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.state.stores.iter().map(|store| store.uncommitted_bytes()).sum()
    }

    /// Ends the epoch: flushes, after which all that the epoch writes is in the outbox. Says what to commit.
    ///
    /// # Errors
    /// As [`process`](Task::process).
    pub(crate) fn seal(&mut self, outbox: &mut dyn Outbox) -> Result<Sealed> {
        let epoch = self.seal_epoch(outbox)?;
        let memos = self.state.memos.known().map(|(name, value)| (name.to_owned(), value));
        let memos: Vec<(String, i64)> = memos.collect();
        let changelogs = &self.noted_changelogs;
        let offset = |(index, input): (usize, &mut Input)| {
            input.sealed = input.position();
            let sealed = input.sealed.filter(|_| !input.is_gone)?;
            let topic = input.topic_id.map(|id| topic_memo(&input.topic, sealed, id));
            let changelogs = changelogs.clone().map(|name| (name, sealed));
            let memos = memos.iter().cloned().chain(changelogs).chain(topic).collect();
            let metadata = OffsetMetadata { partition_time: input.partition_time, memos };
            Some((index, sealed, metadata.encode()))
        };
        let offsets = self.inputs.iter_mut().enumerate().filter_map(offset).collect();
        Ok(Sealed { epoch, offsets })
    }

    fn seal_epoch(&mut self, outbox: &mut dyn Outbox) -> Result<Epoch> {
        self.seal_stores(outbox)?;
        let epoch = Epoch(self.next_epoch);
        self.next_epoch += 1;
        let mut marks = std::mem::take(&mut self.spare);
        marks.note(&self.inputs, &self.state);
        self.sealed.push_back((epoch, marks));
        Ok(epoch)
    }

    /// Ends the epoch and commits it, for whom offsets are nothing and whatever is appended is safe. No other epoch may be
    /// sealed.
    ///
    /// # Errors
    /// As [`process`](Task::process).
    pub(crate) fn seal_and_commit(&mut self, outbox: &mut dyn Outbox) -> Result<()> {
        debug_assert!(self.sealed.is_empty(), "epochs are committed in their order");
        self.seal_stores(outbox)?;
        self.committed.note(&self.inputs, &self.state);
        self.state.stores.iter_mut().try_for_each(|store| store.commit())
    }

    fn seal_stores(&mut self, outbox: &mut dyn Outbox) -> Result<()> {
        self.flush(outbox)?;
        let mut context = Context { outbox, origin: Origin::none(), state: &mut self.state };
        let (stores, mut write) = context.stores(-1, &[]);
        for store in stores.iter_mut() {
            store.seal(&mut write)?;
        }
        self.dirty = false;
        self.state.commit_requested = false;
        Ok(())
    }

    /// The sealed epochs up to this one are safe: they will never be undone.
    ///
    /// # Errors
    /// If a store refuses, which is a fault in the program.
    pub(crate) fn commit(&mut self, epoch: Epoch) -> Result<()> {
        while let Some((_, marks)) = self.sealed.pop_front_if(|(sealed, _)| *sealed <= epoch) {
            self.spare = std::mem::replace(&mut self.committed, marks);
            self.state.stores.iter_mut().try_for_each(|store| store.commit())?;
        }
        Ok(())
    }

    /// Whether an abort would forget that records were dealt with.
    pub(crate) fn has_uncommitted_records(&self) -> bool {
        let committed = self.committed.inputs.iter();
        self.inputs.iter().zip(committed).any(|(input, (_, next_offset))| input.next_offset != *next_offset)
    }

    /// Undoes all that is not committed. Nodes are made anew, queues are empty: read again from the committed offsets.
    ///
    /// # Errors
    /// If a node cannot be made.
    pub(crate) fn abort(&mut self) -> Result<()> {
        self.sealed.clear();
        self.dirty = false;
        self.started = false;
        self.state.commit_requested = false;
        let Marks { stream_time, inputs, memos } = &self.committed;
        self.state.stream_time = *stream_time;
        self.state.memos.restore(memos);
        for (input, (partition_time, next_offset)) in self.inputs.iter_mut().zip(inputs) {
            input.rewind(*partition_time, *next_offset);
        }
        self.state.stores.iter_mut().for_each(|store| store.abort());
        self.state.punctuations.clear();
        (self.nodes, self.listeners) =
            make_nodes(&self.topology, &self.chosen, self.id, &self.config, &self.inputs, &mut self.state)?;
        Ok(())
    }

    /// How many records were dropped.
    pub(crate) fn dropped(&self) -> Drops {
        self.state.drops
    }

    /// How old records were in the nodes where they came in and went out, since this was last asked.
    pub(crate) fn take_latencies(&mut self, each: impl FnMut(usize, &Arc<str>, &Latencies)) {
        self.nodes.take_latencies(each);
    }

    /// What nodes forward from now on they forward at this time.
    pub(crate) fn note_wall_clock(&mut self, wall_clock_ms: i64) {
        self.state.wall_clock_ms = self.state.wall_clock_ms.max(wall_clock_ms);
    }

    /// The longest time from a record's own to its processing, of those processed since the last call.
    pub(crate) fn take_longest_ms(&mut self) -> i64 {
        std::mem::take(&mut self.longest_ms)
    }
}

impl Marks {
    fn note(&mut self, inputs: &[Input], state: &TaskState) {
        self.stream_time = state.stream_time;
        self.inputs.clear();
        self.inputs.extend(inputs.iter().map(|input| (input.partition_time, input.next_offset)));
        state.memos.save_to(&mut self.memos);
    }
}

fn origin<'a>(topic: &'a Arc<str>, partition: i32, record: RawInput<'a>) -> Origin<'a> {
    let RawInput { offset, key, value, headers, .. } = record;
    Origin { topic: Some(topic), partition, offset, key, value, headers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[test]
    fn what_was_committed_beside_an_offset_goes_to_its_topic() {
        let builder = StreamsBuilder::new();
        let later = builder.stream(Topic::<String, String>::new("a"));
        builder.stream(Topic::<String, String>::new("b")).merge(&later).to("out");
        let topology = builder.build().unwrap();
        let nodes = (0..topology.nodes.len()).collect();
        let id = TaskId { subtopology: 0, partition: 0 };
        let mut task = Task::new(Arc::new(topology), nodes, id, TaskConfig::of_test()).unwrap();
        for (topic, partition_time) in [("b", 7), ("a", 5)] {
            task.resume(topic, &OffsetMetadata { partition_time, memos: Vec::new() }.encode());
        }
        for input in task.inputs() {
            assert_eq!(input.partition_time, if &*input.topic == "a" { 5 } else { 7 }, "{}", input.topic);
        }
        assert_eq!(task.state.stream_time, 7);
    }
}
