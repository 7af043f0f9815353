//! The workers of an instance: how they are made, each on a thread of its own, and how many there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anabranch_client::{Client, Producer, ProducerConfig};
use anabranch_host::{JoinError, JoinHandle};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::assignment::holdings::Holdings;
use super::config::Guarantee;
use super::state_directory::hex;
use super::transaction::WorkerTransaction;
use super::worker::{self, FromWorker, ToInstance, ToWorker, WorkerContext, client_error};
use crate::error::{Error, Result};

/// Undo lists and unsent records of one worker beyond this force a commit.
const UNCOMMITTED_MAX_BYTES: usize = 64 * 1024 * 1024;

/// The ways to the workers, by their numbers.
pub(crate) type WorkerSenders = Arc<Mutex<BTreeMap<usize, mpsc::UnboundedSender<ToWorker>>>>;

/// What workers are made of.
pub(crate) struct WorkerParts {
    pub(crate) client: Client,
    pub(crate) application_id: String,
    pub(crate) guarantee: Guarantee,
    pub(crate) producer: ProducerConfig,
    /// `task.timeout.ms`.
    pub(crate) patience: Duration,
    pub(crate) commit_interval: Duration,
    /// `statestore.cache.max.bytes`, of all workers together.
    pub(crate) cache_max_bytes: usize,
    pub(crate) buffered_records: usize,
    pub(crate) to_instance: mpsc::UnboundedSender<(usize, FromWorker)>,
    pub(crate) holdings: Arc<Holdings>,
}

/// The workers of an instance.
pub(crate) struct Workers {
    parts: WorkerParts,
    /// Each worker's part of the cache.
    cache_bytes: Arc<AtomicUsize>,
    senders: WorkerSenders,
    threads: BTreeMap<usize, JoinHandle<()>>,
}

impl Workers {
    /// None yet.
    pub(crate) fn new(parts: WorkerParts) -> Self {
        let cache_bytes = Arc::new(AtomicUsize::new(parts.cache_max_bytes));
        Workers { parts, cache_bytes, senders: WorkerSenders::default(), threads: BTreeMap::new() }
    }

    /// The ways to them, also to those that come later.
    pub(crate) fn senders(&self) -> WorkerSenders {
        Arc::clone(&self.senders)
    }

    /// Their numbers, from the lowest.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        self.senders.lock().keys().copied().collect()
    }

    /// Starts one more, under the lowest number that is free.
    ///
    /// # Errors
    /// If its producer or its thread cannot be made.
    pub(crate) fn start(&mut self) -> Result<usize> {
        let number = (1..).find(|number| !self.threads.contains_key(number)).unwrap_or(1);
        let WorkerParts { client, application_id, to_instance, .. } = &self.parts;
        let transaction = match self.parts.guarantee {
            Guarantee::AtLeastOnce => None,
            Guarantee::ExactlyOnce => {
                let id =
                    WorkerTransaction::id(application_id, &hex(&self.parts.holdings.process_id()), number);
                let config = ProducerConfig { transactional_id: Some(id), ..self.parts.producer.clone() };
                let made = WorkerTransaction::new(client, application_id, config, self.parts.patience);
                Some(made.map_err(|error| client_error("making a producer", error))?)
            }
        };
        let producer = match &transaction {
            Some(transaction) => transaction.producer().clone(),
            None => Producer::new(client, self.parts.producer.clone())
                .map_err(|error| client_error("making a producer", error))?,
        };
        let to_instance = ToInstance::new(number, to_instance.clone());
        let context = WorkerContext {
            host: client.host().clone(),
            producer,
            transaction,
            commit_interval: self.parts.commit_interval,
            uncommitted_max_bytes: UNCOMMITTED_MAX_BYTES,
            cache_max_bytes: Arc::clone(&self.cache_bytes),
            buffered_records: self.parts.buffered_records,
            to_instance: to_instance.clone(),
        };
        let name = format!("{application_id}-StreamThread-{number}");
        let (sender, receiver) = mpsc::unbounded_channel();
        let thread = client.host().spawn_pinned(&name, move || worker::run(context, receiver));
        let thread = thread.map_err(|error| Error::fatal("starting a worker").with_source(error))?;
        let watched = client.host().spawn(async move {
            if let Err(error @ JoinError::Panicked(_)) = thread.await {
                to_instance.send(FromWorker::Failed(Error::fatal(&name).with_source(error)));
            }
        });
        self.threads.insert(number, watched);
        self.senders.lock().insert(number, sender);
        self.counted();
        Ok(number)
    }

    /// Their number has changed.
    fn counted(&self) {
        let numbers = self.numbers();
        self.cache_bytes.store(self.parts.cache_max_bytes / numbers.len().max(1), Ordering::Relaxed);
        self.parts.holdings.set_workers(numbers);
    }

    /// Waits until all their threads have ended.
    pub(crate) async fn ended(self) {
        for thread in self.threads.into_values() {
            // A panic has been told as a failure.
            let _ = thread.await;
        }
    }
}
