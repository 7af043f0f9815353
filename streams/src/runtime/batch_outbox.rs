//! The runtime's outbox: a task's records go straight into the batches that will be sent.
//!
//! One [`BatchBuilder`] a topic partition, so a record is encoded once and copied once. A batch that is full is finished
//! (compressed, on the worker's thread) and put aside; [`BatchOutbox::finish_all`] finishes the rest, when the worker has
//! no more input at hand or commits. Records for a topic that nobody has asked for yet (a dead letter topic, a topic
//! chosen per record) wait until the worker has looked it up.
//!
//! Batches of changelogs lie apart: at least once they are sent behind all that came of the same input. That is known of
//! those that are there when the task has been flushed ([`BatchOutbox::finish_flushed`]), when no cache holds anything back.

use std::sync::Arc;

use anabranch_client::records::{BatchBuilder, Compression};
use anabranch_client::{Client, ErrorCode, ProducerConfig, TopicPartition, Uuid, murmur2_partition};
use bytes::BytesMut;

use super::refusals::{Refusals, Refused};
use crate::error::{Error, Result};
use crate::headers::HeadersRef;
use crate::outbox::{OutRecord, OutTopic, Outbox};

/// A batch of this size is full, unless `batch.size` says more: one goes out before that when there is nothing to do.
const BATCH_BYTES: usize = 256 * 1024;
/// What a batch takes around a record at most: its header, lengths, offset and time.
const RECORD_OVERHEAD_BYTES: usize = 128;

/// How batches are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    compression: Compression,
    /// A batch of this size is full.
    batch_bytes: usize,
    /// No batch is larger before it is compressed, so no record either.
    request_bytes: usize,
}

impl BatchLimits {
    /// Those of a producer.
    pub(crate) fn of(producer: &ProducerConfig) -> Self {
        let request_bytes = producer.max_request_size;
        BatchLimits {
            compression: producer.compression_type,
            batch_bytes: producer.batch_size.max(BATCH_BYTES).min(request_bytes),
            request_bytes,
        }
    }
}

/// A batch to be sent.
pub(crate) struct ReadyBatch {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) record_count: usize,
    pub(crate) batch: BytesMut,
}

impl ReadyBatch {
    /// Where it goes.
    pub(crate) fn place(&self) -> TopicPartition {
        TopicPartition { topic: Arc::clone(&self.topic), partition: self.partition }
    }
}

/// A record for a topic that is not known yet.
struct WaitingRecord {
    topic: OutTopic,
    partition: Option<i32>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: Option<i64>,
    headers: Vec<u8>,
}

/// The outbox of one task.
pub(crate) struct BatchOutbox {
    client: Client,
    limits: BatchLimits,
    /// Time for records that bring none.
    pub(crate) wall_clock_ms: i64,
    /// By [`OutTopic::index`].
    topics: Vec<TopicBatches>,
    /// Builders that got their first record since all were finished, by topic and partition; some are finished already.
    begun: Vec<(usize, usize)>,
    /// Finished batches, but for those of changelogs.
    outputs: Vec<ReadyBatch>,
    /// Finished batches of changelogs...
    changelogs: Vec<ReadyBatch>,
    /// ...and how many of them were there when the task was last flushed.
    flushed: usize,
    /// Nothing has come since then.
    is_flushed: bool,
    ready_bytes: usize,
    /// A batch was finished since [`BatchOutbox::take_written`].
    written: bool,
    waiting: Vec<WaitingRecord>,
    refusals: Refusals,
}

#[derive(Default)]
struct TopicBatches {
    name: Option<Arc<str>>,
    builders: Vec<BatchBuilder>,
    is_changelog: bool,
    /// Where records without a key go until that batch is full.
    sticky: usize,
}

impl TopicBatches {
    fn resize(&mut self, partitions: usize, compression: Compression) {
        self.builders.resize_with(partitions, || BatchBuilder::new(compression));
    }
}

impl BatchOutbox {
    pub(crate) fn new(client: Client, limits: BatchLimits) -> Self {
        BatchOutbox {
            client,
            limits,
            wall_clock_ms: 0,
            topics: Vec::new(),
            begun: Vec::new(),
            outputs: Vec::new(),
            changelogs: Vec::new(),
            flushed: 0,
            is_flushed: false,
            ready_bytes: 0,
            written: false,
            waiting: Vec::new(),
            refusals: Refusals::default(),
        }
    }

    /// The ids of topics as far as the client has heard; zero of one that is gone. Topics of brokers without ids, and those
    /// that nobody has asked for, are left out.
    pub(crate) fn topic_ids(&self, topics: impl Iterator<Item = Arc<str>>) -> Vec<(Arc<str>, Uuid)> {
        let metadata = self.client.metadata();
        let known = |topic: Arc<str>| {
            let id = match metadata.topic(&topic) {
                Some(known) => Some(known.id).filter(|id| !id.is_zero()),
                None => {
                    let is_gone = metadata.refusal(&topic) == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                    is_gone.then_some(Uuid::ZERO)
                }
            };
            Some((topic, id?))
        };
        topics.filter_map(known).collect()
    }

    /// Remembers records that a topic has refused, if its task writes there; whether such a record was met before and since
    /// this was last called.
    pub(crate) fn refuse(&mut self, refused: &[Refused]) -> bool {
        let writes = |topic: &str| self.topics.iter().any(|known| known.name.as_deref() == Some(topic));
        for refused in refused.iter().filter(|refused| writes(&refused.topic)) {
            self.refusals.note(refused);
        }
        self.refusals.take_met()
    }

    /// Forgets everything that has not been taken.
    pub(crate) fn clear(&mut self) {
        self.finish_all();
        self.take_ready();
        self.written = false;
        self.waiting.clear();
    }

    /// Finishes every batch that holds a record. What comes next may go to partitions that topics have got meanwhile.
    pub(crate) fn finish_all(&mut self) {
        let mut begun = std::mem::take(&mut self.begun);
        for (topic, partition) in begun.drain(..) {
            self.finish(topic, partition);
        }
        self.begun = begun;
        if self.is_flushed {
            // Also what has waited for its topic meanwhile.
            self.flushed = self.changelogs.len();
        }
        let metadata = self.client.metadata();
        for topic in &mut self.topics {
            let Some(name) = &topic.name else { continue };
            let count = metadata.partition_count(name).and_then(|count| usize::try_from(count).ok());
            if let Some(count) = count.filter(|count| *count > topic.builders.len()) {
                topic.resize(count, self.limits.compression);
            }
        }
    }

    /// The task has been flushed: finishes every batch, and those of changelogs may follow the others.
    pub(crate) fn finish_flushed(&mut self) {
        self.is_flushed = true;
        self.finish_all();
    }

    /// Finishes a batch, if it holds a record, and puts it aside.
    fn finish(&mut self, topic: usize, partition: usize) {
        let TopicBatches { name: Some(name), builders, is_changelog, .. } = &mut self.topics[topic] else {
            return;
        };
        let builder = &mut builders[partition];
        if builder.is_empty() {
            return;
        }
        let partition = i32::try_from(partition).unwrap_or(i32::MAX);
        let record_count = builder.record_count();
        let batch = builder.finish();
        self.ready_bytes += batch.len();
        let ready = if *is_changelog { &mut self.changelogs } else { &mut self.outputs };
        ready.push(ReadyBatch { topic: Arc::clone(name), partition, record_count, batch });
        self.written = true;
    }

    /// Takes all finished batches, in the order of each partition.
    pub(crate) fn take_ready(&mut self) -> Vec<ReadyBatch> {
        self.ready_bytes = 0;
        self.flushed = 0;
        let mut ready = std::mem::take(&mut self.outputs);
        ready.append(&mut self.changelogs);
        ready
    }

    /// Takes the finished batches that are none of changelogs, in the order of each partition.
    pub(crate) fn take_outputs(&mut self) -> Vec<ReadyBatch> {
        self.ready_bytes = self.changelog_bytes();
        std::mem::take(&mut self.outputs)
    }

    /// Takes the batches of changelogs that may follow the outputs taken so far.
    pub(crate) fn take_flushed_changelogs(&mut self) -> Vec<ReadyBatch> {
        let flushed: Vec<ReadyBatch> = self.changelogs.drain(..std::mem::take(&mut self.flushed)).collect();
        self.ready_bytes -= flushed.iter().map(|ready| ready.batch.len()).sum::<usize>();
        flushed
    }

    /// Bytes of the finished batches of changelogs.
    pub(crate) fn changelog_bytes(&self) -> usize {
        self.changelogs.iter().map(|ready| ready.batch.len()).sum()
    }

    /// Whether a batch was finished since this was last asked.
    pub(crate) fn take_written(&mut self) -> bool {
        std::mem::take(&mut self.written)
    }

    /// Bytes of the finished batches.
    pub(crate) fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// A topic that records wait for.
    pub(crate) fn waits_for(&self) -> Option<Arc<str>> {
        self.waiting.first().map(|record| Arc::clone(&record.topic.name))
    }

    /// Appends the records that waited for topics which are known by now; others go on waiting for theirs.
    ///
    /// # Errors
    /// If the topic that was looked up is still not known.
    pub(crate) fn append_waiting(&mut self, looked_up: &str) -> Result<()> {
        for record in std::mem::take(&mut self.waiting) {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            let out = OutRecord { key, value, timestamp: record.timestamp, headers: &record.headers };
            self.put(&record.topic, record.partition, out)?;
        }
        match self.waiting.iter().any(|record| *record.topic.name == *looked_up) {
            true => Err(unknown_topic(looked_up)),
            false => Ok(()),
        }
    }

    #[cold]
    fn wait(&mut self, topic: &OutTopic, partition: Option<i32>, record: &OutRecord<'_>) {
        self.waiting.push(WaitingRecord {
            topic: topic.clone(),
            partition,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            timestamp: record.timestamp,
            headers: record.headers.to_vec(),
        });
    }

    /// What is written to a topic, which need not be known.
    fn topic(&mut self, topic: &OutTopic) -> &mut TopicBatches {
        let index = topic.index as usize;
        if self.topics.len() <= index {
            self.topics.resize_with(index + 1, TopicBatches::default);
        }
        &mut self.topics[index]
    }

    /// The batches of a topic, one a partition.
    fn batches(&mut self, topic: &OutTopic) -> Result<&mut TopicBatches> {
        self.topic(topic);
        let batches = &mut self.topics[topic.index as usize];
        if batches.name.is_none() {
            let count = self
                .client
                .metadata()
                .partition_count(&topic.name)
                .ok_or_else(|| unknown_topic(&topic.name))?;
            batches.name = Some(Arc::clone(&topic.name));
            batches.resize(usize::try_from(count).unwrap_or(0), self.limits.compression);
        }
        Ok(batches)
    }

    /// As [`Outbox::append`], also for what was appended before and has waited.
    fn put(&mut self, topic: &OutTopic, partition: Option<i32>, record: OutRecord<'_>) -> Result<()> {
        let timestamp = record.timestamp.unwrap_or(self.wall_clock_ms);
        if !self.refusals.is_empty()
            && let Some(why) = self.refusals.why(&topic.name, timestamp, &record)
        {
            return Err(Error::record(format_args!("`{}` has refused such a record: {why}", topic.name)));
        }
        let BatchLimits { batch_bytes, request_bytes, .. } = self.limits;
        let bytes = record.size_bytes() + RECORD_OVERHEAD_BYTES;
        if bytes > request_bytes {
            return Err(Error::record(format_args!(
                "a record of about {bytes} bytes for `{}` is larger than max.request.size {request_bytes}",
                topic.name
            )));
        }
        // Behind those that wait already, though their topic may be known by now.
        let others_wait = self.waiting.iter().any(|waiting| waiting.topic.index == topic.index);
        let Some(batches) = self.batches(topic).ok().filter(|_| !others_wait) else {
            self.wait(topic, partition, &record);
            return Ok(());
        };
        let count = batches.builders.len();
        let at = match (partition, record.key) {
            (Some(partition), _) => usize::try_from(partition).unwrap_or(usize::MAX),
            (None, Some(key)) => murmur2_partition(key, i32::try_from(count).unwrap_or(i32::MAX)) as usize,
            (None, None) => batches.sticky,
        };
        let Some(builder) = batches.builders.get_mut(at) else {
            return Err(Error::record(format_args!("`{}` has no partition {at}, only {count}", topic.name)));
        };
        let is_out_of_room = !builder.is_empty() && builder.size_bytes() + bytes > request_bytes;
        if is_out_of_room {
            self.finish(topic.index as usize, at);
        }
        let batches = &mut self.topics[topic.index as usize];
        let builder = &mut batches.builders[at];
        let begins = builder.is_empty();
        let appended = builder.append(timestamp, record.key, record.value, HeadersRef(record.headers).iter());
        appended.map_err(|error| {
            Error::record(format_args!("a record for `{}` cannot be written: {error}", topic.name))
        })?;
        if builder.size_bytes() >= batch_bytes {
            if partition.is_none() && record.key.is_none() {
                batches.sticky = (at + 1) % count;
            }
            self.finish(topic.index as usize, at);
        } else if begins {
            self.begun.push((topic.index as usize, at));
        }
        Ok(())
    }
}

#[cold]
fn unknown_topic(name: &str) -> Error {
    Error::record(format_args!("the topic `{name}` is not there: create it before records are written to it"))
}

impl Outbox for BatchOutbox {
    fn partition_count(&mut self, topic: &OutTopic) -> Result<i32> {
        Ok(i32::try_from(self.batches(topic)?.builders.len()).unwrap_or(i32::MAX))
    }

    fn append(&mut self, topic: &OutTopic, partition: Option<i32>, record: OutRecord<'_>) -> Result<()> {
        self.is_flushed = false;
        self.put(topic, partition, record)
    }

    fn log(&mut self, changelog: &OutTopic, partition: i32, record: OutRecord<'_>) -> Result<()> {
        self.topic(changelog).is_changelog = true;
        self.append(changelog, Some(partition), record)
    }

    fn record_max_bytes(&self) -> usize {
        self.limits.request_bytes.saturating_sub(RECORD_OVERHEAD_BYTES)
    }
}
