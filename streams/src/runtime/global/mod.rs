//! Global stores of a running application: all partitions of their topics are read to the end before the first task
//! starts, and then on and on, beside the tasks.
//!
//! The reader is a task of its own, on a thread of its own, with a consumer that is in no group. What it has read lies in
//! rows that all workers see at once. Persistent stores remember in the state directory how far they reflect each
//! partition, so the next start reads on from there; if the topic may have forgotten deletions since, it reads anew.
//!
//! A topic may lose records before they are read here (retention, `DeleteRecords`), deletions among them. Then all global
//! stores are built anew beside those that are there, which can be read as they are until the new rows take their place,
//! all at once. Kafka Streams wipes its stores, and ends; the next start builds them.
//!
//! Reading order: `opening`, `catching_up` (how far it still is to the ends, and who is told), `reader`.

mod catching_up;
mod opening;
mod reader;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::{Client, ConsumerConfig, Producer, TopicPartition};
use anabranch_host::{JoinError, JoinHandle};
use tokio::sync::{oneshot, watch};

use self::opening::{bounds_of, open_stores};
use self::reader::GlobalReader;
use super::batch_outbox::BatchLimits;
use super::metrics::Metrics;
use super::restore::Changelogs;
use super::restore_listener::RestoreListener;
use super::staleness::Staleness;
use super::worker::{FromWorker, ToInstance, client_error};
use crate::error::{Error, Result};
use crate::state::Globals;
use crate::task::TaskConfig;
use crate::topology::Topology;

/// Where each partition is read on.
pub(crate) type Positions = BTreeMap<TopicPartition, i64>;

/// What a reader is made of.
pub(crate) struct ReaderParts {
    pub(crate) metrics: Arc<Metrics>,
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
    pub(crate) listener: Option<RestoreListener>,
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
    let bounds = bounds_of(&parts.client, topics).await;
    let bounds =
        bounds.map_err(|error| client_error("asking where the topics of global stores end", error))?;
    let TaskConfig { application_id, engine, .. } = &parts.task_config;
    let name = format!("{application_id}-GlobalStreamThread");
    let now = host.wall_clock_ms();
    if engine.is_some() {
        for topic in topics.keys() {
            let learnt = parts.staleness.learn(&topic.as_str().into()).await;
            learnt.map_err(|error| client_error("asking for settings of topics of global stores", error))?;
        }
    }
    let staleness = &parts.staleness;
    let globals = open_stores(&parts.topology, &parts.task_config, topics, &bounds, staleness, now)?;
    parts.task_config.globals = globals.clone();
    let reader = GlobalReader::caught_up(parts, topics, &bounds).await?;
    let positions = reader.positions();
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
