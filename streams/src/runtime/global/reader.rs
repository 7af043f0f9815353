//! The task that reads the topics of global stores.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::{Client, Consumer, ErrorCode, FetchedBatches, Producer, TopicPartition};
use anabranch_host::{Host, Instant};
use anabranch_state_store::Checkpoint;
use tokio::sync::{oneshot, watch};

use super::catching_up::CatchingUp;
use super::opening::{Bounds, bounds_of};
use super::{Positions, ReaderParts};
use crate::error::Result;
use crate::processor::TaskId;
use crate::runtime::acknowledgements::{AcknowledgedOffsets, Acknowledgements};
use crate::runtime::assignment::holdings::Role;
use crate::runtime::batch_outbox::{BatchLimits, BatchOutbox};
use crate::runtime::metrics::Metrics;
use crate::runtime::offsets::Offsets;
use crate::runtime::restore::Changelogs;
use crate::runtime::restore_listener::{Listeners, RestoreListener};
use crate::runtime::running_task::{Opening, RunningTask, Slice};
use crate::runtime::worker::client_error;
use crate::state::{GlobalRows, Globals, Reflected};
use crate::task::{Task, TaskConfig};
use crate::topology::{StoreDefinition, Topology};

/// How long one poll waits when nothing is fetched.
const POLL: Duration = Duration::from_millis(100);
/// Records that are processed before it polls again.
const RECORDS_PER_TURN: usize = 10_000;

/// Reads the topics of global stores.
pub(super) struct GlobalReader {
    host: Host,
    consumer: Consumer,
    parts: TaskParts,
    task: RunningTask,
    /// What workers see.
    globals: Globals,
    producer: Producer,
    acknowledgements: Acknowledgements,
    epoch: u64,
    /// Where each partition is read on: what comes before can be seen in the stores.
    positions: watch::Sender<Positions>,
    catching_up: CatchingUp,
    /// Stores that are built anew, if they are, and where each partition is read on.
    anew: Option<(Globals, Positions)>,
    /// The topics, and how many partitions each has.
    topics: BTreeMap<String, i32>,
    listener: Option<RestoreListener>,
    checkpoint_interval: Duration,
    last_checkpoint: Instant,
}

/// What a poll brings.
enum Read {
    Batches(Vec<FetchedBatches>),
    /// A topic does not reach back to where it was read any more. Where all begin and end now.
    Lost(Bounds),
}

/// What its task is made of.
struct TaskParts {
    topology: Arc<Topology>,
    config: TaskConfig,
    client: Client,
    batches: BatchLimits,
    metrics: Arc<Metrics>,
    changelogs: Changelogs,
}

impl TaskParts {
    /// A task that writes to these stores.
    ///
    /// # Errors
    /// If a processor cannot be made.
    fn task(&self, globals: &Globals) -> Result<RunningTask> {
        // It has its place beside all tasks of the group.
        let id = TaskId { subtopology: u32::MAX, partition: 0 };
        // No topic of a global store waits for another.
        let config = TaskConfig { max_idle_ms: -1, globals: globals.clone(), ..self.config.clone() };
        let nodes = self.topology.global_nodes();
        Ok(RunningTask::new(Opening {
            task: Task::new(Arc::clone(&self.topology), nodes, id, config)?,
            outbox: BatchOutbox::new(self.client.clone(), self.batches),
            role: Role::Active,
            changelogs: self.changelogs.clone(),
            listeners: Listeners::default(),
            metrics: self.metrics.of_task("global"),
            committed: Offsets::new(),
            beginnings: Offsets::new(),
        }))
    }
}

impl GlobalReader {
    /// A reader that has read all partitions up to their ends in `bounds`.
    ///
    /// # Errors
    /// If a topic cannot be read, or a record fails and the policy says to stop.
    pub(super) async fn caught_up(
        parts: ReaderParts,
        topics: &BTreeMap<String, i32>,
        bounds: &Bounds,
    ) -> Result<Self> {
        let ReaderParts {
            metrics,
            client,
            consumer,
            producer,
            batches,
            staleness: _,
            topology,
            task_config: config,
            checkpoint_interval,
            changelogs,
            listener,
        } = parts;
        let globals = config.globals.clone();
        let mut positions = starts(bounds);
        for (_, rows) in globals.rows() {
            for ((topic, partition), checkpoint) in rows.reflected() {
                positions.insert(TopicPartition::new(topic, partition), checkpoint.offset + 1);
            }
        }
        let failed = |error| client_error("reading the topics of global stores", error);
        let mut consumer = Consumer::new(&client, consumer).map_err(failed)?;
        let partitions: Vec<TopicPartition> = positions.keys().cloned().collect();
        consumer.assign(&partitions).map_err(failed)?;
        seek(&mut consumer, &positions)?;
        let host = client.host().clone();
        let last_checkpoint = host.now();
        let parts = TaskParts { topology, config, client, batches, metrics, changelogs };
        let mut reader = GlobalReader {
            host,
            consumer,
            task: parts.task(&globals)?,
            parts,
            producer,
            acknowledgements: Acknowledgements::default(),
            epoch: 1,
            catching_up: CatchingUp::begin(&positions, bounds, &globals, listener.clone()),
            globals,
            positions: watch::Sender::new(positions),
            anew: None,
            topics: topics.clone(),
            listener,
            checkpoint_interval,
            last_checkpoint,
        };
        while !reader.catching_up.is_done() || reader.anew.is_some() {
            let read = reader.read().await?;
            reader.take(read).await?;
        }
        reader.checkpoint().await?;
        Ok(reader)
    }

    /// How far it has come, as it changes.
    pub(super) fn positions(&self) -> watch::Receiver<Positions> {
        self.positions.subscribe()
    }

    /// Reads on until it is told to stop, or until nobody can tell it any more.
    ///
    /// # Errors
    /// As [`GlobalReader::caught_up`].
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Result<()> {
        loop {
            let read = tokio::select! {
                biased;
                stopped = &mut stop => {
                    self.catching_up.suspend();
                    // Else as after a crash: what is not kept is read again.
                    return if stopped.is_ok() { self.end().await } else { Ok(()) };
                }
                read = self.read() => read?,
            };
            self.take(read).await?;
        }
    }

    /// Keeps what is read.
    async fn end(mut self) -> Result<()> {
        self.checkpoint().await?;
        self.consumer.close().await.map_err(|error| client_error("closing", error))
    }

    /// What is there to be read. Nothing is lost if the wait is given up.
    async fn read(&mut self) -> Result<Read> {
        let lost = match self.consumer.poll_batches(POLL).await {
            Ok(polled) => return Ok(Read::Batches(polled.records)),
            Err(error) if error.code() == Some(ErrorCode::OFFSET_OUT_OF_RANGE) => error,
            Err(error) => return Err(client_error("reading the topics of global stores", error)),
        };
        match bounds_of(&self.parts.client, &self.topics).await {
            // The same was told of another partition, and all are read anew already.
            Ok(bounds) if self.is_within(&bounds) => Ok(Read::Batches(Vec::new())),
            Ok(bounds) => {
                tracing::warn!(%lost, "global stores are built anew: a topic has lost what was not read yet");
                Ok(Read::Lost(bounds))
            }
            // The consumer tells again that its offset is lost.
            Err(error) if error.is_retriable() => Ok(Read::Batches(Vec::new())),
            Err(error) => Err(client_error("asking where the topics of global stores end", error)),
        }
    }

    /// Whether every partition can be read on from where it is.
    fn is_within(&self, bounds: &Bounds) -> bool {
        let within = |positions: &Positions| {
            let mut of = positions.iter().filter_map(|(partition, at)| Some((bounds.get(partition)?, at)));
            of.all(|((start, end), at)| (start..=end).contains(&at))
        };
        match &self.anew {
            Some((_, positions)) => within(positions),
            None => within(&self.positions.borrow()),
        }
    }

    /// Applies what was read, and keeps it now and then.
    async fn take(&mut self, read: Read) -> Result<()> {
        match read {
            Read::Batches(batches) => self.apply(&batches)?,
            Read::Lost(bounds) => self.begin_anew(&bounds).await?,
        }
        if self.catching_up.is_done() {
            self.finish_anew().await?;
        }
        if let Some(error) = self.acknowledgements.error() {
            return Err(client_error("writing dead letters", error));
        }
        if self.host.now() - self.last_checkpoint >= self.checkpoint_interval {
            self.checkpoint().await?;
        }
        Ok(())
    }

    fn apply(&mut self, batches: &[FetchedBatches]) -> Result<()> {
        let mut applied = Vec::new();
        for fetched in batches {
            let enqueued = self.task.enqueue(fetched)?;
            let partition = TopicPartition::new(Arc::clone(&fetched.topic), fetched.partition);
            applied.push((partition, fetched.next_offset, enqueued.records as u64));
        }
        let host = &self.host;
        let slice = Slice {
            records: RECORDS_PER_TURN,
            uncommitted_max_bytes: usize::MAX,
            host,
            until: host.now() + POLL,
        };
        while self.task.process(slice, host.wall_clock_ms())? > 0 {}
        for (partition, next, records) in &applied {
            self.catching_up.applied(partition, *next, *records);
        }
        let applied = applied.into_iter().map(|(partition, next, _)| (partition, next));
        match &mut self.anew {
            Some((_, positions)) => positions.extend(applied),
            None if batches.is_empty() => {}
            None => self.positions.send_modify(|positions| positions.extend(applied)),
        }
        Ok(())
    }

    /// Builds all stores anew from where their topics begin now. Workers see those that are there.
    async fn begin_anew(&mut self, bounds: &Bounds) -> Result<()> {
        self.settle().await?;
        let TaskParts { topology, config, .. } = &self.parts;
        let in_memory = |store: &StoreDefinition| Ok(GlobalRows::in_memory(&store.name, &config.kept));
        let globals = topology.globals(&config.application_id, self.topics.clone(), in_memory)?;
        self.task = self.parts.task(&globals)?;
        let positions = starts(bounds);
        seek(&mut self.consumer, &positions)?;
        self.catching_up.suspend();
        self.catching_up = CatchingUp::begin(&positions, bounds, &globals, self.listener.clone());
        self.anew = Some((globals, positions));
        Ok(())
    }

    /// Stores that were built anew, if there are any, take the place of the others.
    async fn finish_anew(&mut self) -> Result<()> {
        let Some((globals, positions)) = self.anew.take() else { return Ok(()) };
        self.settle().await?;
        for ((_, rows), (_, by)) in self.globals.rows().zip(globals.rows()) {
            rows.replace(by);
        }
        self.task = self.parts.task(&self.globals)?;
        self.positions.send_replace(positions);
        self.keep()
    }

    /// Sends what records have made (dead letters), and keeps what is read.
    async fn checkpoint(&mut self) -> Result<()> {
        self.last_checkpoint = self.host.now();
        if self.settle().await? && self.anew.is_none() {
            self.keep()?;
        }
        Ok(())
    }

    /// Sends what records have made; whether any have come.
    async fn settle(&mut self) -> Result<bool> {
        if !self.task.needs_commit() {
            return Ok(false);
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
            let expected = self.acknowledgements.expect(self.epoch, ready.place(), ready.record_count);
            let on_ack = |fate| expected.answered(fate);
            let sent = self.producer.send_batch(ready.topic, ready.partition, ready.batch, on_ack).await;
            sent.map_err(|error| client_error("sending dead letters", error))?;
        }
        let settled = self.acknowledgements.settled(self.epoch).await;
        settled.map_err(|error| client_error("writing dead letters", error))?;
        self.epoch += 1;
        self.task.committed(&AcknowledgedOffsets::new(), wall_clock_ms)?;
        Ok(true)
    }

    /// Keeps what is read.
    fn keep(&self) -> Result<()> {
        let wall_clock_ms = self.host.wall_clock_ms();
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

/// Where each partition begins.
fn starts(bounds: &Bounds) -> Positions {
    bounds.iter().map(|(partition, (start, _))| (partition.clone(), *start)).collect()
}

fn seek(consumer: &mut Consumer, positions: &Positions) -> Result<()> {
    for (partition, position) in positions {
        let sought = consumer.seek(partition, *position);
        sought.map_err(|error| client_error("reading the topics of global stores", error))?;
    }
    Ok(())
}
