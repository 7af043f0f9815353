//! Global stores of a running application: all partitions of their topics are read to the end before the first task
//! starts, and then on and on, beside the tasks.
//!
//! The reader is a task of its own, on a thread of its own, with a consumer that is in no group. What it has read lies in
//! rows that all workers see at once. Persistent stores remember in the state directory how far they reflect each
//! partition, so the next start reads on from there; if the topic may have forgotten deletions since, it reads anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::{
    Client, Consumer, ConsumerConfig, IsolationLevel, OffsetSpec, Producer, TopicPartition,
};
use anabranch_host::{Host, Instant, JoinError, JoinHandle};
use anabranch_state_store::{Checkpoint, Engine};
use tokio::sync::{oneshot, watch};

use super::acknowledgements::{AcknowledgedOffsets, Acknowledgements};
use super::assignment::holdings::Role;
use super::batch_outbox::{BatchLimits, BatchOutbox};
use super::metrics::TaskMetrics;
use super::restore::Changelogs;
use super::restore_listener::Listeners;
use super::running_task::{Opening, RunningTask, Slice};
use super::staleness::Staleness;
use super::worker::{FromWorker, Offsets, ToInstance, client_error};
use crate::error::{Error, ErrorKind, Result};
use crate::processor::TaskId;
use crate::state::{GlobalRows, Globals, Reflected, store_error};
use crate::task::{Task, TaskConfig};
use crate::topology::{StoreDefinition, Topology};

/// How long one poll waits when nothing is fetched.
const POLL: Duration = Duration::from_millis(100);
/// Records that are processed before it polls again.
const RECORDS_PER_TURN: usize = 10_000;

/// Reads the topics of global stores.
struct GlobalReader {
    host: Host,
    consumer: Consumer,
    task: RunningTask,
    globals: Globals,
    producer: Producer,
    acknowledgements: Acknowledgements,
    epoch: u64,
    /// Where each partition is read on: what comes before can be seen in the stores.
    positions: watch::Sender<Positions>,
    checkpoint_interval: Duration,
    last_checkpoint: Instant,
}

/// Where each partition is read on.
pub(crate) type Positions = BTreeMap<TopicPartition, i64>;

/// Where partitions begin and end.
type Bounds = BTreeMap<TopicPartition, (i64, i64)>;

/// Opens the global stores of a topology: with what the engine has of them, unless that is too old to be read on from.
///
/// # Errors
/// If the engine fails.
fn open_stores(
    topology: &Topology,
    application_id: &str,
    partitions: &BTreeMap<String, i32>,
    engine: Option<&Arc<dyn Engine>>,
    bounds: &Bounds,
    staleness: &Staleness,
    wall_clock_ms: i64,
) -> Result<Globals> {
    topology.globals(application_id, partitions.clone(), |store: &StoreDefinition| {
        let Some(engine) = engine.filter(|_| !store.in_memory) else {
            return Ok(GlobalRows::in_memory(&store.name));
        };
        let name = format!("global-{}", store.name);
        let failed = |error| store_error(&store.name, error);
        let open = || GlobalRows::open(&store.name, engine.open_store(&name).map_err(failed)?);
        let rows = match open() {
            Err(error) if error.kind() == ErrorKind::Corrupted => {
                tracing::warn!(store = %store.name, %error, "it is read anew");
                engine.drop_store(&name).map_err(failed)?;
                open()?
            }
            opened => opened?,
        };
        let reaches = |((topic, partition), checkpoint): (&(Arc<str>, i32), &Checkpoint)| {
            let place = TopicPartition::new(Arc::clone(topic), *partition);
            reaches(bounds.get(&place).copied(), *checkpoint, || {
                staleness.is_recent(topic, *checkpoint, wall_clock_ms)
            })
        };
        if rows.reflected().iter().all(reaches) {
            return Ok(rows);
        }
        tracing::info!(store = %store.name, "what is kept of it is too old to be read on from: it is read anew");
        drop(rows);
        engine.drop_store(&name).map_err(failed)?;
        open()
    })
}

/// Whether a partition that begins and ends there can be read on from a checkpoint without missing a deletion.
fn reaches(bounds: Option<(i64, i64)>, checkpoint: Checkpoint, is_recent: impl FnOnce() -> bool) -> bool {
    let next = checkpoint.offset + 1;
    bounds.is_some_and(|(start, end)| (start..=end).contains(&next) && (next == end || is_recent()))
}

/// Where the partitions of these topics begin and end.
///
/// # Errors
/// If the broker does not answer.
async fn bounds_of(client: &Client, topics: &BTreeMap<String, i32>) -> Result<Bounds> {
    let all: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|(topic, count)| {
            (0..*count).map(move |partition| TopicPartition::new(topic.as_str(), partition))
        })
        .collect();
    let mut bounds = Bounds::new();
    for (spec, is_end) in [(OffsetSpec::Earliest, false), (OffsetSpec::Latest, true)] {
        let wanted = all.iter().map(|partition| (partition.clone(), spec)).collect();
        let listed = client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        for (partition, offset) in listed {
            let offset = offset
                .map_err(|error| client_error(&format!("asking for the offsets of {partition}"), error))?
                .offset;
            let place = bounds.entry(partition).or_insert((0, 0));
            if is_end {
                place.1 = offset;
            } else {
                place.0 = offset;
            }
        }
    }
    Ok(bounds)
}

/// What a reader is made of.
pub(crate) struct ReaderParts {
    pub(crate) metrics: TaskMetrics,
    pub(crate) client: Client,
    pub(crate) consumer: ConsumerConfig,
    pub(crate) producer: Producer,
    pub(crate) batches: BatchLimits,
    pub(crate) staleness: Staleness,
    pub(crate) topology: Arc<Topology>,
    /// That of the other tasks, without global stores.
    pub(crate) task_config: TaskConfig,
    pub(crate) checkpoint_interval: Duration,
    pub(crate) changelogs: Changelogs,
}

/// Opens the global stores of a topology, reads `topics`, which feed them, to their ends, and goes on reading on a thread
/// of its own. No thread if there is nothing to read.
///
/// # Errors
/// If the engine fails, a topic cannot be read, or a record fails and the policy says to stop.
pub(crate) async fn start(
    mut parts: ReaderParts,
    topics: &BTreeMap<String, i32>,
    to_instance: ToInstance,
) -> Result<(Globals, Option<Reading>)> {
    if topics.is_empty() {
        return Ok((Globals::default(), None));
    }
    let host = parts.client.host().clone();
    let bounds = bounds_of(&parts.client, topics).await?;
    let TaskConfig { application_id, engine, .. } = &parts.task_config;
    let name = format!("{application_id}-GlobalStreamThread");
    let now = host.wall_clock_ms();
    if engine.is_some() {
        for topic in topics.keys() {
            parts.staleness.learn(&topic.as_str().into()).await;
        }
    }
    let staleness = &parts.staleness;
    let globals =
        open_stores(&parts.topology, application_id, topics, engine.as_ref(), &bounds, staleness, now)?;
    parts.task_config.globals = globals.clone();
    let reader = GlobalReader::caught_up(parts, &bounds).await?;
    let positions = reader.positions.subscribe();
    let (stop, stopped) = oneshot::channel();
    let thread = host.spawn_pinned(&name, move || reader.run(stopped));
    let thread =
        thread.map_err(|error| Error::fatal("starting the reader of global stores").with_source(error))?;
    let ended = host.spawn(async move {
        let failed = match thread.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(error @ JoinError::Panicked(_)) => Error::fatal(&name).with_source(error),
            Err(_) => return,
        };
        to_instance.send(FromWorker::Failed(failed));
    });
    Ok((globals, Some(Reading { stop, ended, positions })))
}

/// A reader at work.
pub(crate) struct Reading {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
    positions: watch::Receiver<Positions>,
}

impl Reading {
    /// How far it has come.
    pub(crate) fn positions(&self) -> watch::Receiver<Positions> {
        self.positions.clone()
    }

    /// Ends it: cleanly, with what was read kept, or as a crash would.
    pub(crate) async fn end(self, cleanly: bool) {
        let Reading { stop, ended, .. } = self;
        if cleanly {
            // It may have failed, and told so.
            let _ = stop.send(());
        } else {
            drop(stop);
        }
        let _ = ended.await;
    }
}

impl GlobalReader {
    /// A reader that has read all partitions up to their ends in `bounds`.
    ///
    /// # Errors
    /// If a topic cannot be read, or a record fails and the policy says to stop.
    async fn caught_up(parts: ReaderParts, bounds: &Bounds) -> Result<Self> {
        let ReaderParts {
            metrics,
            client,
            consumer,
            producer,
            batches,
            staleness: _,
            topology,
            task_config,
            checkpoint_interval,
            changelogs,
        } = parts;
        let outbox = BatchOutbox::new(client.clone(), batches);
        let globals = task_config.globals.clone();
        let mut positions: Positions =
            bounds.iter().map(|(partition, (start, _))| (partition.clone(), *start)).collect();
        for (_, rows) in globals.rows() {
            for ((topic, partition), checkpoint) in rows.reflected() {
                positions.insert(TopicPartition::new(topic, partition), checkpoint.offset + 1);
            }
        }
        let failed = |error| client_error("reading the topics of global stores", error);
        let mut consumer = Consumer::new(&client, consumer).map_err(failed)?;
        let partitions: Vec<TopicPartition> = positions.keys().cloned().collect();
        consumer.assign(&partitions).map_err(failed)?;
        for (partition, position) in &positions {
            consumer.seek(partition, *position).map_err(failed)?;
        }
        let nodes = topology.global_nodes();
        // It has its place beside all tasks of the group.
        let id = TaskId { subtopology: u32::MAX, partition: 0 };
        // No topic of a global store waits for another.
        let task_config = TaskConfig { max_idle_ms: -1, ..task_config };
        let task = Task::new(topology, nodes, id, task_config)?;
        let host = client.host().clone();
        let last_checkpoint = host.now();
        let mut reader = GlobalReader {
            host,
            consumer,
            task: RunningTask::new(Opening {
                task,
                outbox,
                role: Role::Active,
                changelogs,
                listeners: Listeners::default(),
                metrics,
                committed: Offsets::new(),
                beginnings: Offsets::new(),
            }),
            globals,
            producer,
            acknowledgements: Acknowledgements::default(),
            epoch: 1,
            positions: watch::Sender::new(positions),
            checkpoint_interval,
            last_checkpoint,
        };
        let behind = |reader: &GlobalReader| {
            let positions = reader.positions.borrow();
            bounds.iter().any(|(partition, (_, end))| positions.get(partition) < Some(end))
        };
        while behind(&reader) {
            reader.turn().await?;
            if reader.checkpoint_is_due() {
                reader.checkpoint().await?;
            }
        }
        reader.checkpoint().await?;
        Ok(reader)
    }

    /// Reads on until it is told to stop, or until nobody can tell it any more.
    ///
    /// # Errors
    /// As [`GlobalReader::caught_up`].
    async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Result<()> {
        loop {
            let stopped = tokio::select! {
                biased;
                stopped = &mut stop => Some(stopped),
                turned = self.turn() => {
                    turned?;
                    None
                }
            };
            match stopped {
                Some(Ok(())) => {
                    self.checkpoint().await?;
                    return self.consumer.close().await.map_err(|error| client_error("closing", error));
                }
                // As after a crash: what is not kept is read again.
                Some(Err(_)) => return Ok(()),
                None if self.checkpoint_is_due() => self.checkpoint().await?,
                None => {}
            }
        }
    }

    fn checkpoint_is_due(&self) -> bool {
        self.host.now() - self.last_checkpoint >= self.checkpoint_interval
    }

    /// One poll, and all that it brings. Nothing is lost if the wait is given up: only the poll waits.
    async fn turn(&mut self) -> Result<()> {
        let polled = self.consumer.poll_batches(POLL).await;
        let polled = polled.map_err(|error| client_error("reading the topics of global stores", error))?;
        let mut read = Vec::new();
        for fetched in polled.records {
            self.task.enqueue(&fetched)?;
            let partition = TopicPartition::new(Arc::clone(&fetched.topic), fetched.partition);
            read.push((partition, fetched.next_offset));
        }
        let host = &self.host;
        let slice = Slice {
            records: RECORDS_PER_TURN,
            uncommitted_max_bytes: usize::MAX,
            host,
            until: host.now() + POLL,
        };
        while self.task.process(slice, host.wall_clock_ms())? > 0 {}
        if !read.is_empty() {
            self.positions.send_modify(|positions| positions.extend(read));
        }
        if let Some(error) = self.acknowledgements.error() {
            return Err(client_error("writing dead letters", error));
        }
        Ok(())
    }

    /// Sends what records have made (dead letters), and keeps what is read.
    async fn checkpoint(&mut self) -> Result<()> {
        self.last_checkpoint = self.host.now();
        if !self.task.needs_commit() {
            return Ok(());
        }
        let wall_clock_ms = self.host.wall_clock_ms();
        self.task.seal(wall_clock_ms)?;
        while let Some(topic) = self.task.outbox().waits_for() {
            let known = self.producer.partition_count(&topic).await;
            known.map_err(|error| client_error(&format!("looking up the topic `{topic}`"), error))?;
            self.task.outbox().append_waiting(&topic)?;
            self.task.outbox().finish_all();
        }
        for ready in self.task.outbox().take_ready() {
            let partition = TopicPartition { topic: ready.topic.clone(), partition: ready.partition };
            let on_ack = self.acknowledgements.expect(self.epoch, partition, ready.record_count);
            let sent = self.producer.send_batch(ready.topic, ready.partition, ready.batch, on_ack).await;
            sent.map_err(|error| client_error("sending dead letters", error))?;
        }
        let settled = self.acknowledgements.settled(self.epoch).await;
        settled.map_err(|error| client_error("writing dead letters", error))?;
        self.epoch += 1;
        self.task.committed(&AcknowledgedOffsets::new(), wall_clock_ms)?;
        for (name, rows) in self.globals.rows() {
            let reflected = self.reflected(name, wall_clock_ms);
            while rows.write_behind(&reflected)? {}
        }
        Ok(())
    }

    /// How far a store reflects the topics that feed it.
    fn reflected(&self, store: &str, wall_clock_ms: i64) -> Reflected {
        let feeds = |topic: &str| self.globals.feeds(topic, store);
        let positions = self.positions.borrow();
        let read = positions.iter().filter(|(place, position)| **position > 0 && feeds(&place.topic));
        read.map(|(place, position)| {
            let checkpoint = Checkpoint { offset: position - 1, wall_clock_ms };
            ((Arc::clone(&place.topic), place.partition), checkpoint)
        })
        .collect()
    }
}
