//! The workers of an instance: how they are made, each on a thread of its own, and how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anabranch_client::{Client, Producer, ProducerConfig};
use anabranch_host::{Instant, JoinError, JoinHandle};
use anabranch_state_store::KeptBytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::assignment::holdings::Holdings;
use super::backlog::Backlog;
use super::busy::Busy;
use super::config::Guarantee;
use super::metrics::Metrics;
use super::state_directory::hex;
use super::transaction::WorkerTransaction;
use super::worker::{
    self, CommitIntervals, FromWorker, Teller, ToInstance, ToWorker, WorkerContext, client_error,
};
use crate::error::{Error, Result};
use crate::processor::TaskId;

/// The ways to the workers, by their numbers.
pub(crate) type WorkerSenders = Arc<Mutex<BTreeMap<usize, mpsc::UnboundedSender<ToWorker>>>>;

/// Workers' own stores have this part of the memory, whatever others have.
const LEAST_PART: usize = 8;
/// How often it is looked whether a worker that is waited for is stuck.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What workers are made of.
pub(crate) struct WorkerParts {
    pub(crate) client: Client,
    pub(crate) application_id: String,
    pub(crate) guarantee: Guarantee,
    pub(crate) producer: ProducerConfig,
    /// `task.timeout.ms`.
    pub(crate) task_timeout: Duration,
    pub(crate) commit_intervals: CommitIntervals,
    /// `statestore.cache.max.bytes`, of all workers together.
    pub(crate) cache_max_bytes: usize,
    /// `statestore.memory.max.bytes`, of all workers together.
    pub(crate) memory_max_bytes: usize,
    /// `statestore.uncommitted.max.bytes`, of all workers together.
    pub(crate) uncommitted_max_bytes: usize,
    pub(crate) buffered_records: usize,
    /// `input.buffer.max.bytes`, of all workers together.
    pub(crate) buffered_max_bytes: usize,
    pub(crate) to_instance: mpsc::UnboundedSender<(Teller, FromWorker)>,
    pub(crate) holdings: Arc<Holdings>,
    /// What iterators keep of stores.
    pub(crate) kept: KeptBytes,
    pub(crate) metrics: Arc<Metrics>,
}

/// The workers of an instance.
pub(crate) struct Workers {
    parts: WorkerParts,
    /// Each worker's part of the cache, of the memory of stores, and of what may be uncommitted.
    cache_bytes: Arc<AtomicUsize>,
    memory_bytes: Arc<AtomicUsize>,
    uncommitted_bytes: Arc<AtomicUsize>,
    /// What may wait for each.
    buffered_bytes: Arc<AtomicUsize>,
    /// What the stores have that all workers share, and iterators of others.
    shared_bytes: usize,
    senders: WorkerSenders,
    /// How many there are to be.
    wanted: usize,
    /// They process nothing for a while.
    asleep: bool,
    /// How many threads were started.
    started: u64,
    threads: BTreeMap<usize, Thread>,
    /// Threads that did not come back from user code, by the numbers that they had: these are not given again.
    retired: BTreeMap<usize, Thread>,
    /// Those that get no more tasks.
    closing: BTreeSet<usize>,
}

struct Thread {
    /// No other has it, whatever numbers workers have.
    serial: u64,
    abandoned: Arc<Notify>,
    busy: Busy,
    backlog: Backlog,
    ended: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

impl Workers {
    /// None yet.
    pub(crate) fn new(parts: WorkerParts) -> Self {
        let cache_bytes = Arc::new(AtomicUsize::new(parts.cache_max_bytes));
        let memory_bytes = Arc::new(AtomicUsize::new(parts.memory_max_bytes));
        let uncommitted_bytes = Arc::new(AtomicUsize::new(parts.uncommitted_max_bytes));
        let buffered_bytes = Arc::new(AtomicUsize::new(parts.buffered_max_bytes));
        Workers {
            parts,
            cache_bytes,
            memory_bytes,
            uncommitted_bytes,
            buffered_bytes,
            shared_bytes: 0,
            senders: WorkerSenders::default(),
            wanted: 0,
            asleep: false,
            started: 0,
            threads: BTreeMap::new(),
            retired: BTreeMap::new(),
            closing: BTreeSet::new(),
        }
    }

    /// The ways to them, also to those that come later.
    pub(crate) fn senders(&self) -> WorkerSenders {
        Arc::clone(&self.senders)
    }

    /// Their numbers, from the lowest.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        self.senders.lock().keys().copied().collect()
    }

    /// Starts one more. Its number.
    ///
    /// # Errors
    /// If its producer or its thread cannot be made.
    pub(crate) fn start_one_more(&mut self) -> Result<usize> {
        let number = self.start()?;
        self.wanted += 1;
        Ok(number)
    }

    /// Starts others in the place of those that are gone.
    ///
    /// # Errors
    /// As [`Workers::start_one_more`].
    pub(crate) fn start_missing(&mut self) -> Result<()> {
        while self.threads.len() < self.wanted {
            self.start()?;
        }
        Ok(())
    }

    /// Starts one under the lowest number that is free.
    fn start(&mut self) -> Result<usize> {
        let is_free =
            |number: &usize| !self.threads.contains_key(number) && !self.retired.contains_key(number);
        let number = (1..).find(is_free).unwrap_or(1);
        let WorkerParts { client, application_id, to_instance, .. } = &self.parts;
        let transaction = match self.parts.guarantee {
            Guarantee::AtLeastOnce => None,
            Guarantee::ExactlyOnce => {
                let id =
                    WorkerTransaction::id(application_id, &hex(&self.parts.holdings.process_id()), number);
                let config = ProducerConfig { transactional_id: Some(id), ..self.parts.producer.clone() };
                let made = WorkerTransaction::new(client, application_id, config, self.parts.task_timeout);
                Some(made.map_err(|error| client_error("making a producer", error))?)
            }
        };
        let producer = match &transaction {
            Some(transaction) => transaction.producer().clone(),
            None => Producer::new(client, self.parts.producer.clone())
                .map_err(|error| client_error("making a producer", error))?,
        };
        self.started += 1;
        let serial = self.started;
        let to_instance = ToInstance::new(Teller::Worker { number, thread: serial }, to_instance.clone());
        let metrics = self.parts.metrics.of_thread(number, client.host().wall_clock_ms());
        let backlog = Backlog::new(Arc::clone(&self.buffered_bytes), metrics.waiting.clone());
        let abandoned = Arc::new(Notify::new());
        let context = WorkerContext {
            host: client.host().clone(),
            producer,
            transaction,
            commit_intervals: self.parts.commit_intervals,
            task_timeout: self.parts.task_timeout,
            uncommitted_max_bytes: Arc::clone(&self.uncommitted_bytes),
            cache_max_bytes: Arc::clone(&self.cache_bytes),
            memory_max_bytes: Arc::clone(&self.memory_bytes),
            buffered_records: self.parts.buffered_records,
            busy: Busy::default(),
            backlog: backlog.clone(),
            metrics,
            asleep: self.asleep,
            abandoned: Arc::clone(&abandoned),
            to_instance: to_instance.clone(),
        };
        let (busy, ended) = (context.busy.clone(), Arc::new(AtomicBool::new(false)));
        let name = format!("{application_id}-StreamThread-{number}");
        let (sender, receiver) = mpsc::unbounded_channel();
        let thread = client.host().spawn_pinned(&name, move || worker::run(context, receiver));
        let thread = thread.map_err(|error| Error::fatal("starting a worker").with_source(error))?;
        let has_ended = Arc::clone(&ended);
        let handle = client.host().spawn(async move {
            let outcome = thread.await;
            has_ended.store(true, Ordering::Relaxed);
            if let Err(error @ JoinError::Panicked(_)) = outcome {
                to_instance.send(FromWorker::Failed(Error::fatal(&name).with_source(error)));
            }
        });
        self.threads.insert(number, Thread { serial, abandoned, busy, backlog, ended, handle });
        self.senders.lock().insert(number, sender);
        self.counted();
        Ok(number)
    }

    /// Their number has changed.
    fn counted(&self) {
        let numbers = self.numbers();
        let workers = numbers.len().max(1);
        self.cache_bytes.store(self.parts.cache_max_bytes / workers, Ordering::Relaxed);
        let all = self.parts.memory_max_bytes;
        let memory = all.saturating_sub(self.shared_bytes).max(all / LEAST_PART);
        self.memory_bytes.store(memory / workers, Ordering::Relaxed);
        self.uncommitted_bytes.store(self.parts.uncommitted_max_bytes / workers, Ordering::Relaxed);
        self.buffered_bytes.store(self.parts.buffered_max_bytes / workers, Ordering::Relaxed);
        self.parts.holdings.set_workers(numbers);
    }

    /// So much memory have the stores that all workers share; the workers' own have what these and iterators leave.
    pub(crate) fn share_memory(&mut self, shared_bytes: usize) {
        let kept = self.parts.kept.get();
        let now = self.parts.client.host().now();
        self.parts.metrics.iterators().tell_of_kept(kept, self.parts.memory_max_bytes, now);
        let shared_bytes = shared_bytes + kept;
        if shared_bytes != self.shared_bytes {
            self.shared_bytes = shared_bytes;
            self.counted();
        }
    }

    /// So many bytes are about to be sent to a worker. Whether that is more than is to wait for it.
    pub(crate) fn sends(&self, number: usize, bytes: usize) -> bool {
        self.threads.get(&number).is_some_and(|thread| thread.backlog.send(bytes))
    }

    /// Lets all of them stop processing, or go on with it.
    pub(crate) fn set_asleep(&mut self, asleep: bool) {
        self.asleep = asleep;
        // One that has ended sleeps.
        self.senders.lock().values().for_each(|worker| drop(worker.send(ToWorker::Sleep(asleep))));
    }

    /// Gives a worker no more tasks.
    pub(crate) fn close_to_new(&mut self, number: usize) {
        self.closing.insert(number);
    }

    /// The numbers of those that may get tasks.
    pub(crate) fn open(&self) -> Vec<usize> {
        self.numbers().into_iter().filter(|number| !self.closing.contains(number)).collect()
    }

    /// A worker has ended, or is about to: waits for its thread.
    pub(crate) async fn forget(&mut self, number: usize) {
        self.senders.lock().remove(&number);
        self.closing.remove(&number);
        if let Some(thread) = self.threads.remove(&number) {
            // A panic has been told as a failure.
            let _ = thread.handle.await;
        }
        self.counted();
    }

    /// A worker is about to end, and nobody takes its place: waits for its thread.
    pub(crate) async fn remove(&mut self, number: usize) {
        self.wanted = self.wanted.saturating_sub(1);
        self.forget(number).await;
    }

    /// Lets every worker end at once, so that nothing more is committed.
    pub(crate) fn abandon(&self) {
        self.threads.values().for_each(|thread| thread.abandoned.notify_one());
    }

    /// As [`Workers::forget`], but a worker that is at one task of user code for longer than `limit` is given up. Whether it
    /// has ended.
    pub(crate) async fn forget_in_time(&mut self, number: usize, limit: Duration) -> bool {
        let host = self.parts.client.host().clone();
        while let Some(thread) = self.threads.get_mut(&number) {
            if host.timeout(limit.min(LOOK_AGAIN), &mut thread.handle).await.is_ok() {
                self.threads.remove(&number);
                break;
            }
            if thread.busy.beyond(limit, host.now()).is_some() {
                self.retire(number);
                return false;
            }
        }
        self.forget(number).await;
        true
    }

    /// Workers that have been at one task for longer than `limit`.
    pub(crate) fn stuck(&self, limit: Duration, now: Instant) -> Vec<(usize, TaskId, Duration)> {
        let beyond = |(number, thread): (&usize, &Thread)| {
            thread.busy.beyond(limit, now).map(|(task, time)| (*number, task, time))
        };
        self.threads.iter().filter_map(beyond).collect()
    }

    /// Gives a worker up that does not come back. If it does, it ends without any effect.
    pub(crate) fn retire(&mut self, number: usize) {
        self.closing.remove(&number);
        self.senders.lock().remove(&number);
        if let Some(thread) = self.threads.remove(&number) {
            thread.busy.retire();
            self.retired.insert(number, thread);
        }
        self.counted();
    }

    /// Whether it has this thread: none that was replaced, or given up.
    pub(crate) fn has(&self, number: usize, thread: u64) -> bool {
        self.threads.get(&number).is_some_and(|known| known.serial == thread)
    }

    /// Whether a worker runs: it has not failed, nor is it given up.
    pub(crate) fn is_there(&self, worker: usize) -> bool {
        self.threads.get(&worker).is_some_and(|thread| !thread.ended.load(Ordering::Relaxed))
    }

    /// Whether there were such workers, and all of them have ended by now.
    pub(crate) fn retired_have_ended(&mut self) -> bool {
        let any = !self.retired.is_empty();
        self.retired.retain(|_, thread| !thread.ended.load(Ordering::Relaxed));
        any && self.retired.is_empty()
    }

    /// Waits until all their threads have ended, but for those that do not come back.
    pub(crate) async fn ended(self) {
        for thread in self.threads.into_values() {
            // A panic has been told as a failure.
            let _ = thread.handle.await;
        }
    }
}
