//! The producer: records in, acknowledgements out. Always idempotent: however often a request must be repeated, each
//! record is written once, and in each partition in the order of the calls.
//!
//! ```text
//!   send --> accumulator (batches per partition) --> sender (one task) --> leaders
//!   Delivery <------------- outcome <--------------- answers
//! ```
//! Reading order: `partitioner`, `delivery`, `partition_queue` (one partition: numbers, retries), `accumulator` (all of
//! them: batching, memory, time), `transaction` (what may be done in one, and how it ends), all pure; `sender`, which
//! moves batches; this file, what users call; `coordinator` and `transactional`, the same for transactions.

mod accumulator;
mod coordinator;
mod delivery;
mod partition_queue;
mod partitioner;
mod sender;
mod transaction;
mod transactional;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Instant;
use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use delivery::{BatchError, BatchMetadata, Delivery, RecordMetadata, RefusedRecord};
pub use partitioner::{murmur2, murmur2_partition};

use crate::cluster::Client;
use crate::config::ProducerConfig;
use crate::error::{ClientError, Result};
use crate::metadata::Metadata;
use crate::topic_partition::TopicPartition;
use accumulator::{Accumulator, Taken};
use partition_queue::{OnAck, Settled};
use transactional::Transactional;

/// A record to send. It is copied into its batch, so it may borrow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerRecord<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition, if it is not for the partitioner to choose.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; the time of the call if not given.
    pub timestamp: Option<i64>,
    /// Its key, which chooses the partition.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Names and values.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

impl<'a> ProducerRecord<'a> {
    /// A record without key and value.
    #[must_use]
    pub fn new(topic: &'a str) -> Self {
        ProducerRecord { topic, ..Default::default() }
    }

    /// With a key.
    #[must_use]
    pub fn key(mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// With a value.
    #[must_use]
    pub fn value(mut self, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.value = Some(value.as_ref());
        self
    }

    /// For this partition.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// With a timestamp, milliseconds since 1970.
    #[must_use]
    pub fn timestamp(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// With headers.
    #[must_use]
    pub fn headers(mut self, headers: &'a [(&'a str, Option<&'a [u8]>)]) -> Self {
        self.headers = headers;
        self
    }
}

/// Writes records to a cluster; with a `transactional.id`, in transactions only. Cheap to clone; when the last clone is dropped, what was sent still goes out.
///
/// ```
/// use anabranch_client::{ErrorKind, Producer, ProducerConfig, ProducerRecord};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (host, runtime) = anabranch_host::Host::real(1)?;
/// # runtime.block_on(async {
/// # let config = anabranch_broker::BrokerConfig::from_pairs([("auto.create.topics.enable", "true")])?;
/// # let broker = anabranch_broker::embedded::EmbeddedBroker::start(host.clone(), config).await?;
/// # let client = anabranch_client::Client::connect(&host, broker.dialer(), Default::default()).await?;
/// let producer = Producer::new(&client, ProducerConfig::from_pairs([("acks", "all"), ("linger.ms", "5")])?)?;
/// let delivery = producer.send(ProducerRecord::new("clicks").key("ann").value("/home")).await?;
/// assert_eq!(delivery.await?.offset, 0);
///
/// // Both records and the end of the transaction count together, or not at all.
/// let config = ProducerConfig::from_pairs([("transactional.id", "transfers-1")])?;
/// let transfers = Producer::new(&client, config)?;
/// transfers.init_transactions().await?;
/// transfers.begin_transaction()?;
/// transfers.send(ProducerRecord::new("accounts").key("ann").value("-5")).await?;
/// transfers.send(ProducerRecord::new("accounts").key("bob").value("+5")).await?;
/// if let Err(error) = transfers.commit_transaction().await {
///     // Of another kind it may be committed, or another producer has the transactional id: see `ErrorKind`.
///     if error.kind() == ErrorKind::Abort {
///         transfers.abort_transaction().await?;
///     }
///     return Err(error.into());
/// }
/// transfers.close().await?;
/// # broker.shutdown().await;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
}

/// What the callers and the sender's task share.
struct Shared {
    client: Client,
    config: ProducerConfig,
    accumulator: Mutex<Accumulator>,
    transactional: Option<Transactional>,
    /// Wakes the sender.
    wake: Notify,
    /// Tells those who wait for memory that some is free.
    memory_freed: Notify,
}

impl Producer {
    /// A producer; its task starts at once.
    ///
    /// # Errors
    /// Invalid, if the configuration cannot be.
    pub fn new(client: &Client, config: ProducerConfig) -> Result<Producer> {
        config.validate()?;
        let request_timeout = Duration::from_millis(client.config().request_timeout_ms);
        let shared = Arc::new(Shared {
            client: client.clone(),
            accumulator: Mutex::new(Accumulator::new(&config, request_timeout)),
            transactional: Transactional::new(&config),
            config,
            wake: Notify::new(),
            memory_freed: Notify::new(),
        });
        client.host().spawn(sender::run(Arc::clone(&shared)));
        Ok(Producer { handle: Arc::new(Handle { shared }) })
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Takes a record into its batch. Waits, at most for `max.block.ms`, only while its topic is not known or
    /// `buffer.memory` is full. Records for one partition are written in the order in which these calls return.
    ///
    /// # Errors
    /// Retriable, if that time passed; Invalid, if the record can never be written; Closed.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery> {
        match self.shared().append(&record)? {
            Taken::Accepted { receipt, .. } => Ok(receipt),
            _ => {
                self.shared().wait_for(record.topic, record.partition, || self.shared().append(&record)).await
            }
        }
    }

    /// Takes a finished batch, stamps it with the producer's numbers and sends it behind all that is there for its
    /// partition. `on_ack` is called once its fate is known. Waits as [`Producer::send`] does. A batch that is too large for
    /// its topic is written in parts.
    ///
    /// # Errors
    /// As [`Producer::send`]; `on_ack` is then not called.
    pub async fn send_batch(
        &self,
        topic: Arc<str>,
        partition: i32,
        batch: BytesMut,
        on_ack: impl FnOnce(Result<BatchMetadata, BatchError>) + Send + 'static,
    ) -> Result<()> {
        let shared = self.shared();
        let name = TopicPartition { topic, partition };
        let mut batch = batch;
        let mut on_ack: Option<OnAck> = Some(Box::new(on_ack));
        match shared.push(&name, &mut batch, &mut on_ack)? {
            Taken::Accepted { .. } => Ok(()),
            _ => {
                let attempt = || shared.push(&name, &mut batch, &mut on_ack);
                shared.wait_for(&name.topic, Some(partition), attempt).await
            }
        }
    }

    /// Waits until all that was sent before is written or given up.
    ///
    /// # Errors
    /// The first error among them.
    pub async fn flush(&self) -> Result<()> {
        let shared = self.shared();
        let _no_lingering = Hurry::new(shared);
        let outcomes = shared.accumulator.lock().outstanding(shared.now());
        shared.wake.notify_one();
        let all = async {
            let mut first_error = Ok(());
            for outcome in outcomes {
                first_error = first_error.and(outcome.settled().await);
            }
            first_error
        };
        // The sender gives everything up by then; should it be gone, nobody waits for ever.
        let limit =
            shared.config.delivery_timeout_ms.saturating_add(shared.client.config().request_timeout_ms);
        let limit = Duration::from_millis(limit);
        let result = shared.client.host().timeout(limit, all).await;
        result.unwrap_or_else(|_| Err(ClientError::timed_out("flushing the producer", limit)))
    }

    /// Takes no further record and waits until all that was sent is written or given up; a transaction that is not ended
    /// is aborted.
    ///
    /// # Errors
    /// The first error among them.
    pub async fn close(&self) -> Result<()> {
        self.abort_open().await;
        self.shared().accumulator.lock().close(ClientError::closed("producer"));
        self.flush().await
    }

    /// How many partitions a topic has, asked for if it is not known.
    ///
    /// # Errors
    /// Retriable, if it is not known within `max.block.ms`.
    pub async fn partition_count(&self, topic: &str) -> Result<i32> {
        let shared = self.shared();
        let name = Arc::from(topic);
        let metadata =
            shared.client.await_topic(&name, true, Duration::from_millis(shared.config.max_block_ms)).await?;
        metadata
            .partition_count(topic)
            .ok_or_else(|| ClientError::retriable(format!("topic {topic} is not known")))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.accumulator.lock().close(ClientError::closed("producer"));
        self.shared.wake.notify_one();
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Producer({:?})", self.shared().client)
    }
}

impl Shared {
    fn now(&self) -> Instant {
        self.client.host().now()
    }

    fn append(&self, record: &ProducerRecord<'_>) -> Result<Taken<Delivery>> {
        let host = self.client.host();
        let timestamp = record.timestamp.unwrap_or_else(|| host.wall_clock_ms());
        let now = host.now();
        let taken = self.accumulator.lock().append(now, record, timestamp, || host.random_u64())?;
        self.wake_if(&taken);
        Ok(taken)
    }

    fn push(
        &self,
        name: &TopicPartition,
        batch: &mut BytesMut,
        on_ack: &mut Option<OnAck>,
    ) -> Result<Taken<()>> {
        let taken = self.accumulator.lock().push(self.now(), name, batch, on_ack)?;
        self.wake_if(&taken);
        Ok(taken)
    }

    /// Tells everybody whose batch has an outcome.
    fn settle(&self, settled: Vec<Settled>) {
        if !settled.is_empty() {
            self.memory_freed.notify_waiters();
            settled.into_iter().for_each(Settled::tell);
        }
    }

    fn wake_if<T>(&self, taken: &Taken<T>) {
        if matches!(taken, Taken::Accepted { wake: true, .. }) {
            self.wake.notify_one();
        }
    }

    /// Attempts until something is taken, waiting for what it lacks, for `max.block.ms` in all.
    #[cold]
    async fn wait_for<T>(
        &self,
        topic: &str,
        partition: Option<i32>,
        mut attempt: impl FnMut() -> Result<Taken<T>>,
    ) -> Result<T> {
        let limit = Duration::from_millis(self.config.max_block_ms);
        let deadline = self.now() + limit;
        loop {
            // Before the attempt, so that what is freed after it is not missed.
            let mut freed = std::pin::pin!(self.memory_freed.notified());
            freed.as_mut().enable();
            let taken = attempt()?;
            let left = deadline.saturating_duration_since(self.now());
            match taken {
                Taken::Accepted { receipt, .. } => return Ok(receipt),
                Taken::Unknown => self.learn(topic, partition, left).await?,
                Taken::Full => {
                    let _no_lingering = Hurry::new(self);
                    if self.client.host().timeout(left, freed).await.is_err() {
                        return Err(ClientError::timed_out("waiting for buffer.memory", limit));
                    }
                }
            }
        }
    }

    /// Asks for a topic, and, if it lacks the partition, once more: the partition may be newer than what is known.
    async fn learn(&self, topic: &str, partition: Option<i32>, time: Duration) -> Result<()> {
        let name: Arc<str> = Arc::from(topic);
        let lacks = |metadata: &Metadata| {
            partition.is_some_and(|partition| metadata.partition(topic, partition).is_none())
        };
        let mut metadata = self.client.await_topic(&name, true, time).await?;
        if lacks(&metadata) {
            let asked = self.client.refresh_topics(std::slice::from_ref(&name), self.now(), true);
            let asked = self.client.host().timeout(time, asked).await;
            metadata = asked.unwrap_or_else(|_| Err(ClientError::timed_out("asking for metadata", time)))?;
            if lacks(&metadata) {
                let partition = partition.unwrap_or_default();
                return Err(ClientError::invalid(format!("{topic}-{partition}: there is no such partition")));
            }
        }
        if let Some(topic) = metadata.topic(topic) {
            self.accumulator.lock().learn_topic(topic);
        }
        Ok(())
    }
}

/// While it lives, no batch lingers.
struct Hurry<'p> {
    shared: &'p Shared,
}

impl<'p> Hurry<'p> {
    fn new(shared: &'p Shared) -> Self {
        if shared.accumulator.lock().hurry(shared.now()) {
            shared.wake.notify_one();
        }
        Hurry { shared }
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.shared.accumulator.lock().linger(self.shared.now());
    }
}

#[cfg(test)]
mod tests;
