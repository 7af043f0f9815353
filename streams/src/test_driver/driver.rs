//! The driver.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::HashMap;
use anabranch_state_store::KeptBytes;

use super::capture::Capture;
use super::written::raw;
use super::{TestInput, TestOutput, TestStore};
use crate::error::{Error, Result};
use crate::outbox::OutRecord;
use crate::policy::{ErrorPolicy, OnError, dead_letter};
use crate::processor::{Policies, RawInput, TaskId};
use crate::record::RawRecord;
use crate::state::{GlobalRows, ReadableStore, Store};
use crate::task::{Task, TaskConfig};
use crate::time::as_ms;
use crate::topic::IntoTopic;
use crate::topology::Topology;

/// How a topology is tested.
#[derive(Clone, Debug)]
pub struct TestConfig {
    application_id: String,
    wall_clock_ms: i64,
    on_error: Option<OnError>,
    caching: bool,
    keep_changelogs: bool,
    emit_interval_ms: i64,
    commit_every: usize,
    abort_every: Option<u64>,
}

impl Default for TestConfig {
    fn default() -> Self {
        TestConfig {
            application_id: "app".to_owned(),
            wall_clock_ms: 0,
            on_error: None,
            caching: true,
            keep_changelogs: true,
            emit_interval_ms: 1_000,
            commit_every: 1,
            abort_every: None,
        }
    }
}

impl TestConfig {
    /// Application `app`, a wall clock that shows 0, dead letters to `app-dead-letter`.
    #[must_use]
    pub fn new() -> Self {
        TestConfig::default()
    }

    /// The application's id, which internal topics are prefixed with.
    #[must_use]
    pub fn application_id(mut self, id: impl Into<String>) -> Self {
        self.application_id = id.into();
        self
    }

    /// What the wall clock shows at first.
    #[must_use]
    pub fn wall_clock_ms(mut self, ms: i64) -> Self {
        self.wall_clock_ms = ms;
        self
    }

    /// Whether stores gather updates until the end of a round, as they do unless told otherwise. Without it every update
    /// is forwarded as soon as it is made (Kafka's `statestore.cache.max.bytes=0`).
    #[must_use]
    pub fn caching(mut self, on: bool) -> Self {
        self.caching = on;
        self
    }

    /// Whether the whole of changelogs is kept for [`TestDriver::changelog`], as it is unless told otherwise. Without it
    /// what was read is forgotten, as in other topics: for a test that writes millions of records.
    #[must_use]
    pub fn keep_changelogs(mut self, on: bool) -> Self {
        self.keep_changelogs = on;
        self
    }

    /// How often, by the wall clock, results that come when a window closes are looked for: each second unless told
    /// otherwise, zero for at every record.
    #[must_use]
    pub fn emit_interval(mut self, interval: Duration) -> Self {
        self.emit_interval_ms = as_ms(interval);
        self
    }

    /// Commits once every so many records instead of after each, as an application does: updates of one row in between
    /// are merged where stores are cached, and come when the commit does. [`TestDriver::commit`] commits what is left.
    #[must_use]
    pub fn commit_every(mut self, records: usize) -> Self {
        self.commit_every = records.max(1);
        self
    }

    /// Aborts every so many commits' worth of work, as a failure would, and does it once more: all that it had written to
    /// stores and topics is undone first. A topology whose results change by this keeps state where it should not.
    #[must_use]
    pub fn abort_every(mut self, epochs: u64) -> Self {
        self.abort_every = Some(epochs.max(2));
        self
    }

    /// The application's error policy; without it records that fail go to `<application.id>-dead-letter`.
    #[must_use]
    pub fn on_error(mut self, answer: OnError) -> Self {
        self.on_error = Some(answer);
        self
    }
}

/// Runs a topology in a test. See [the module](crate::test_driver).
///
/// The driver, its inputs and outputs share one state; they stay in one thread.
#[derive(Clone)]
pub struct TestDriver {
    pub(super) state: Rc<RefCell<State>>,
}

pub(super) struct State {
    pub(super) task: Task,
    /// Feeds the global stores, if there are any.
    global: Option<Task>,
    pub(super) capture: Capture,
    pub(super) wall_clock_ms: i64,
    /// The topics that are read; the capture knows their places.
    inputs: Vec<DriverInput>,
    commit_every: usize,
    abort_every: Option<u64>,
    /// Records processed since the last commit.
    uncommitted: usize,
    /// Epochs that have ended, one way or the other.
    epochs: u64,
}

/// A topic that is read.
struct DriverInput {
    /// Its place among the inputs of its task.
    index: usize,
    /// Of the task that feeds the global stores.
    global: bool,
    next_offset: i64,
    /// If epochs are aborted: what an abort would have to process again.
    retained: VecDeque<(i64, RawRecord)>,
}

impl TestDriver {
    /// A driver for a topology, with the usual settings.
    ///
    /// # Errors
    /// If the topology is not valid.
    pub fn new(topology: &Topology) -> Result<Self> {
        TestDriver::with(topology, TestConfig::new())
    }

    /// A driver for a topology.
    ///
    /// # Errors
    /// If the topology is not valid.
    pub fn with(topology: &Topology, config: TestConfig) -> Result<Self> {
        topology.validate()?;
        let letters = || dead_letter(format!("{}-dead-letter", config.application_id));
        let policy = ErrorPolicy::from(config.on_error.clone().unwrap_or_else(letters));
        let policies = Policies { read: policy.clone(), process: policy.clone(), write: policy };
        let kept = KeptBytes::default();
        let task_config = TaskConfig {
            application_id: config.application_id.as_str().into(),
            policies,
            caching: config.caching,
            emit_interval_ms: config.emit_interval_ms,
            max_idle_ms: -1,
            engine: None,
            globals: topology.globals(&config.application_id, BTreeMap::new(), |store| {
                Ok(GlobalRows::in_memory(&store.name, &kept))
            })?,
            kept,
        };
        let topology = Arc::new(topology.clone());
        let (globals, nodes): (Vec<usize>, Vec<usize>) = {
            let globals = topology.global_nodes();
            (0..topology.nodes.len()).partition(|node| globals.contains(node))
        };
        let id = TaskId { subtopology: 0, partition: 0 };
        let global = match globals.is_empty() {
            true => None,
            false => Some(Task::new(Arc::clone(&topology), globals, id, task_config.clone())?),
        };
        let mut task = Task::new(Arc::clone(&topology), nodes.clone(), id, task_config)?;
        // What it writes itself, and reads by pattern.
        for topic in topology.sink_topics(&nodes).filter(|topic| !topology.is_internal(topic)) {
            if task.inputs().iter().all(|input| *input.topic != **topic) {
                task.match_topic(topic)?;
            }
        }
        let (mut inputs, mut places) = (Vec::new(), HashMap::default());
        for (task, global) in std::iter::once((&task, false)).chain(global.as_ref().map(|task| (task, true)))
        {
            for (index, input) in task.inputs().iter().enumerate() {
                places.insert(Arc::clone(&input.topic), inputs.len());
                inputs.push(DriverInput { index, global, next_offset: 0, retained: VecDeque::new() });
            }
        }
        let changelogs = task.changelogs().into_iter().flatten().map(|(topic, _)| topic.name);
        let kept = changelogs.filter(|_| config.keep_changelogs).collect();
        let (capture, wall_clock_ms) = (Capture::new(kept, places), config.wall_clock_ms);
        let TestConfig { commit_every, abort_every, .. } = config;
        let mut state = State {
            task,
            global,
            capture,
            wall_clock_ms,
            inputs,
            commit_every,
            abort_every,
            uncommitted: 0,
            epochs: 0,
        };
        for task in state.global.iter_mut().chain([&mut state.task]) {
            task.start(wall_clock_ms, &mut state.capture)?;
        }
        Ok(TestDriver { state: Rc::new(RefCell::new(state)) })
    }

    /// A topic to write to.
    pub fn input<T: IntoTopic>(&self, topic: T) -> TestInput<T::Key, T::Value> {
        TestInput::of(self.clone(), topic.into_consumed().topic)
    }

    /// A topic to read.
    pub fn output<T: IntoTopic>(&self, topic: T) -> TestOutput<T::Key, T::Value> {
        TestOutput::of(self.clone(), topic.into_consumed().topic)
    }

    /// A store to look into.
    ///
    /// # Errors
    /// If the topology has no store of this name, kind and types.
    pub fn store<S: ReadableStore>(&self, store: Store<S>) -> Result<TestStore<S>> {
        TestStore::of(self.clone(), store.name())
    }

    /// Lets the wall clock go on. It never does by itself.
    ///
    /// # Panics
    /// If something fails that the error policy does not forgive.
    pub fn advance_wall_clock(&self, duration: Duration) {
        if let Err(error) = self.try_advance_wall_clock(duration) {
            panic!("advancing the wall clock: {error}");
        }
    }

    /// Lets the wall clock go on.
    ///
    /// # Errors
    /// If something fails that the error policy does not forgive.
    pub fn try_advance_wall_clock(&self, duration: Duration) -> Result<()> {
        let mut state = self.state.borrow_mut();
        state.wall_clock_ms = state.wall_clock_ms.saturating_add(as_ms(duration));
        let State { task, capture, wall_clock_ms, .. } = &mut *state;
        if task.punctuate_by_wall_clock(*wall_clock_ms, capture)? {
            state.commit()?;
        }
        state.run()
    }

    /// Commits what was processed since the last commit, and all that follows from it: see
    /// [`commit_every`](TestConfig::commit_every).
    ///
    /// # Errors
    /// If something fails that the error policy does not forgive.
    pub fn commit(&self) -> Result<()> {
        let mut state = self.state.borrow_mut();
        while state.uncommitted > 0 {
            state.commit()?;
            state.run()?;
        }
        Ok(())
    }

    /// Writes bytes to a topic that the topology reads, and processes them.
    ///
    /// # Errors
    /// If the topology does not read the topic, or a record fails and the error policy says to stop.
    pub fn pipe_raw(&self, topic: &str, record: RawRecord) -> Result<()> {
        let mut state = self.state.borrow_mut();
        let input = state.input(topic)?;
        let timestamp = record.timestamp.unwrap_or(state.wall_clock_ms);
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        state.pipe(input, RawInput { offset: 0, timestamp, key, value, headers: record.headers.encoded() })
    }

    /// Reads bytes from a topic that was written to, be it a sink's, a repartition topic or a changelog: the oldest
    /// record that was not read yet.
    pub fn read_raw(&self, topic: &str) -> Option<RawRecord> {
        let mut state = self.state.borrow_mut();
        let place = state.capture.place(topic)?;
        let written = state.capture.written(place);
        let record = written.head().map(raw)?;
        written.advance();
        Some(record)
    }

    /// The topics that were written to, by name, internal ones included.
    pub fn produced_topics(&self) -> Vec<String> {
        self.state.borrow().capture.topics()
    }

    /// How many records were dropped: late ones, null keys where keys are needed, failed ones.
    pub fn dropped_records(&self) -> u64 {
        let state = self.state.borrow();
        state.task.dropped().total() + state.global.as_ref().map_or(0, |task| task.dropped().total())
    }

    /// What the wall clock shows.
    pub fn wall_clock_ms(&self) -> i64 {
        self.state.borrow().wall_clock_ms
    }
}

impl State {
    /// The task that has a store, and the outbox.
    pub(super) fn task_and_capture(&mut self, store: &str) -> (&mut Task, &mut Capture) {
        let task = match &mut self.global {
            Some(global) if global.find(store).is_ok() => global,
            _ => &mut self.task,
        };
        (task, &mut self.capture)
    }

    /// The place of a topic that the topology reads: by name, or from now on by pattern.
    pub(super) fn input(&mut self, topic: &str) -> Result<usize> {
        if let Some(place) = self.capture.input(topic) {
            return Ok(place);
        }
        let Some(index) = self.task.match_topic(topic)? else {
            return Err(Error::invalid(format_args!("the topology does not read topic `{topic}`")));
        };
        self.inputs.push(DriverInput { index, global: false, next_offset: 0, retained: VecDeque::new() });
        self.capture.add_input(topic, self.inputs.len() - 1);
        Ok(self.inputs.len() - 1)
    }

    /// Writes a record to an input, at the next offset, and processes it.
    pub(super) fn pipe(&mut self, input: usize, record: RawInput<'_>) -> Result<()> {
        self.inputs[input].enqueue(&mut self.task, &mut self.global, record, self.abort_every.is_some());
        self.run()
    }

    /// Rounds until nothing waits: one record, then what it wrote to topics that the topology reads. Global stores are
    /// always ahead.
    fn run(&mut self) -> Result<()> {
        self.hand_over_unless_undone();
        loop {
            if let Some(global) = &mut self.global {
                while global.process(self.wall_clock_ms, &mut self.capture)? {
                    global.seal_and_commit(&mut self.capture)?;
                }
            }
            if !self.task.process(self.wall_clock_ms, &mut self.capture)? {
                self.hand_over_unless_undone();
                return Ok(());
            }
            self.uncommitted += 1;
            if self.uncommitted < self.commit_every {
                self.hand_over_unless_undone();
            } else if self.abort_every.is_some_and(|every| (self.epochs + 1).is_multiple_of(every)) {
                self.abort()?;
            } else {
                self.commit()?;
            }
        }
    }

    /// Ends an epoch.
    fn commit(&mut self) -> Result<()> {
        (self.uncommitted, self.epochs) = (0, self.epochs + 1);
        if self.abort_every.is_none() {
            self.task.seal_and_commit(&mut self.capture)?;
        } else {
            let sealed = self.task.seal(&mut self.capture)?;
            self.task.commit(sealed.epoch)?;
            for input in self.inputs.iter_mut().filter(|input| !input.global) {
                let next = sealed.offsets.iter().find(|(index, ..)| *index == input.index);
                input.retained_until(next.map_or(0, |(_, next_offset, _)| *next_offset));
            }
        }
        self.hand_over();
        Ok(())
    }

    /// Ends an epoch as if it had failed at the very end, and queues its records once more.
    fn abort(&mut self) -> Result<()> {
        self.task.seal(&mut self.capture)?;
        self.task.abort()?;
        self.capture.forget();
        (self.uncommitted, self.epochs) = (0, self.epochs + 1);
        for input in &self.inputs {
            for (offset, record) in &input.retained {
                self.task.enqueue(input.index, raw_input(*offset, record, self.wall_clock_ms));
            }
        }
        Ok(())
    }

    /// Where epochs are aborted nobody sees what is not committed.
    fn hand_over_unless_undone(&mut self) {
        if self.abort_every.is_none() {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        if !self.capture.has_fresh() {
            return;
        }
        let State { task, global, capture, wall_clock_ms, inputs, abort_every, .. } = self;
        capture.hand_over(|input, OutRecord { key, value, timestamp, headers }| {
            let timestamp = timestamp.unwrap_or(*wall_clock_ms);
            let record = RawInput { offset: 0, timestamp, key, value, headers };
            inputs[input].enqueue(task, global, record, abort_every.is_some());
        });
    }
}

impl DriverInput {
    /// Puts a record into the queue of its topic, at the next offset.
    fn enqueue(&mut self, task: &mut Task, global: &mut Option<Task>, record: RawInput<'_>, retain: bool) {
        let record = RawInput { offset: self.next_offset, ..record };
        self.next_offset += 1;
        match global {
            Some(global) if self.global => global.enqueue(self.index, record),
            _ => {
                task.enqueue(self.index, record);
                if retain {
                    let RawInput { offset, timestamp, key, value, headers } = record;
                    let record = OutRecord { timestamp: Some(timestamp), key, value, headers };
                    self.retained.push_back((offset, raw(record)));
                }
            }
        }
    }

    /// What is before this offset is committed.
    fn retained_until(&mut self, next_offset: i64) {
        while self.retained.pop_front_if(|(offset, _)| *offset < next_offset).is_some() {}
    }
}

/// A record as a task takes it.
fn raw_input(offset: i64, record: &RawRecord, wall_clock_ms: i64) -> RawInput<'_> {
    RawInput {
        offset,
        timestamp: record.timestamp.unwrap_or(wall_clock_ms),
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: record.headers.encoded(),
    }
}
