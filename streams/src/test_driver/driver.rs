//! The driver.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::HashMap;

use super::capture::Capture;
use super::{TestInput, TestOutput, TestStore};
use crate::error::{Error, Result};
use crate::policy::{ErrorPolicy, OnError, dead_letter};
use crate::processor::{Policies, RawInput, TaskId};
use crate::record::RawRecord;
use crate::state::{ReadableStore, Store};
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
    emit_interval_ms: i64,
}

impl Default for TestConfig {
    fn default() -> Self {
        TestConfig {
            application_id: "app".to_owned(),
            wall_clock_ms: 0,
            on_error: None,
            caching: true,
            emit_interval_ms: 1_000,
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

    /// How often, by the wall clock, results that come when a window closes are looked for: each second unless told
    /// otherwise, zero for at every record.
    #[must_use]
    pub fn emit_interval(mut self, interval: Duration) -> Self {
        self.emit_interval_ms = as_ms(interval);
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
    pub(super) capture: Capture,
    pub(super) wall_clock_ms: i64,
    /// The next offset of each input of the task.
    offsets: Vec<i64>,
    by_topic: HashMap<Arc<str>, usize>,
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
        let task_config = TaskConfig {
            application_id: config.application_id.as_str().into(),
            policies,
            caching: config.caching,
            emit_interval_ms: config.emit_interval_ms,
            engine: None,
        };
        let nodes = (0..topology.nodes.len()).collect();
        let id = TaskId { subtopology: 0, partition: 0 };
        let mut task = Task::new(Arc::new(topology.clone()), nodes, id, task_config)?;
        let by_topic =
            task.inputs().iter().enumerate().map(|(at, input)| (Arc::clone(&input.topic), at)).collect();
        let changelogs = task.changelogs().into_iter().flatten().map(|(topic, _)| topic.name).collect();
        let mut capture = Capture::keeping(changelogs);
        task.start(config.wall_clock_ms, &mut capture)?;
        let state = State {
            offsets: vec![0; task.inputs().len()],
            capture,
            task,
            wall_clock_ms: config.wall_clock_ms,
            by_topic,
        };
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
            let sealed = task.seal(capture)?;
            task.commit(sealed.epoch)?;
        }
        state.run()
    }

    /// Writes bytes to a topic that the topology reads, and processes them.
    ///
    /// # Errors
    /// If the topology does not read the topic, or a record fails and the error policy says to stop.
    pub fn pipe_raw(&self, topic: &str, record: RawRecord) -> Result<()> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let Some(&input) = state.by_topic.get(topic) else {
            return Err(Error::invalid(format_args!("the topology does not read topic `{topic}`")));
        };
        state.enqueue(input, &record);
        state.run()
    }

    /// Reads bytes from a topic that was written to, be it a sink's, a repartition topic or a changelog: the oldest
    /// record that was not read yet.
    pub fn read_raw(&self, topic: &str) -> Option<RawRecord> {
        self.state.borrow_mut().capture.read(topic)
    }

    /// The topics that were written to, by name, internal ones included.
    pub fn produced_topics(&self) -> Vec<String> {
        self.state.borrow().capture.topics()
    }

    /// How many records were dropped: late ones, null keys where keys are needed, failed ones.
    pub fn dropped_records(&self) -> u64 {
        self.state.borrow().task.dropped()
    }

    /// What the wall clock shows.
    pub fn wall_clock_ms(&self) -> i64 {
        self.state.borrow().wall_clock_ms
    }
}

impl State {
    pub(super) fn task_and_capture(&mut self) -> (&mut Task, &mut Capture) {
        (&mut self.task, &mut self.capture)
    }

    fn enqueue(&mut self, input: usize, record: &RawRecord) {
        let offset = self.offsets[input];
        self.offsets[input] += 1;
        let record = RawInput {
            offset,
            timestamp: record.timestamp.unwrap_or(self.wall_clock_ms),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: record.headers.encoded(),
        };
        self.task.enqueue(input, record);
    }

    /// Rounds until nothing waits: one record, then what it wrote to topics that the topology reads.
    fn run(&mut self) -> Result<()> {
        self.hand_over();
        while self.task.process(self.wall_clock_ms, &mut self.capture)? {
            let sealed = self.task.seal(&mut self.capture)?;
            self.task.commit(sealed.epoch)?;
            self.hand_over();
        }
        Ok(())
    }

    fn hand_over(&mut self) {
        for (topic, record) in self.capture.hand_over() {
            if let Some(&input) = self.by_topic.get(&topic) {
                self.enqueue(input, &record);
            }
        }
    }
}
