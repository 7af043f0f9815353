//! Gathers records into batches and says which batch goes when: the pure heart of the producer. It is told the time,
//! knows nothing of sockets and never waits; whoever cannot be served is told so.
//!
//! Every queue has at most one entry among the timers (when it has something to send, or something to give up) and is
//! listed as ready while it has something to send, so the cost of a step does not grow with the number of partitions
//! that have nothing to do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::{HashMap, Instant};
use anabranch_protocol::records::{BATCH_HEADER_BYTES, BatchBuilder, BatchHeader, Compression};
use bytes::{Bytes, BytesMut};

use super::ProducerRecord;
use super::delivery::{Delivery, Outcome};
use super::partition_queue::{
    Batch, Limits, OnAck, OpenBatch, Outgoing, PartitionQueue, Payload, ProducerIdentity, Settled, Verdict,
};
use super::partitioner::{Sticky, murmur2_partition};
use super::transaction::not_begun;
use crate::config::ProducerConfig;
use crate::error::{ClientError, Result};
use crate::metadata::TopicMetadata;
use crate::topic_partition::TopicPartition;

/// Builders that are kept for the next batches.
const SPARE_BUILDERS: usize = 64;
/// What a record takes besides its key, value and headers, at most.
const RECORD_OVERHEAD_BYTES: usize = 40;
/// What a header takes besides its name and value, at most.
const HEADER_OVERHEAD_BYTES: usize = 10;
/// What a codec puts around anything.
const CODEC_OVERHEAD_BYTES: usize = 512;

/// Number of a partition's queue.
pub(super) type QueueId = u32;

/// What became of something that was handed in.
#[derive(Debug)]
pub(super) enum Taken<T> {
    /// It is queued; `wake` says that the sender has something to do earlier than it thinks.
    Accepted { receipt: T, wake: bool },
    /// The topic or the partition is not known (yet).
    Unknown,
    /// There is no memory for it now.
    Full,
}

/// A batch with its way.
#[derive(Debug)]
pub(super) struct Drained {
    pub(super) queue: QueueId,
    pub(super) name: TopicPartition,
    pub(super) outgoing: Outgoing,
}

/// Gathers records and batches; see the module.
pub(super) struct Accumulator {
    batch_size: usize,
    buffer_memory: usize,
    max_request_size: usize,
    compression: Compression,
    ignore_keys: bool,
    limits: Limits,
    topics: HashMap<Arc<str>, Topic>,
    queues: Vec<Queue>,
    timers: BTreeSet<(Instant, QueueId)>,
    ready: BTreeSet<QueueId>,
    /// The queue that was served last: the next drain begins behind it.
    cursor: QueueId,
    memory_used: usize,
    /// Senders that wait for memory; while there are any, and while somebody flushes, no batch lingers.
    hurried: usize,
    spare_builders: Vec<BatchBuilder>,
    identity: Option<ProducerIdentity>,
    /// Until when the sender sleeps.
    sender_sleeps_until: Option<Instant>,
    /// Why nothing is taken at the moment: there is no transaction, or it has failed.
    shut: Option<ClientError>,
    /// Why nothing is taken any more.
    closed: Option<ClientError>,
}

struct Topic {
    name: Arc<str>,
    queues: Vec<QueueId>,
    /// Partitions that have a leader.
    available: Vec<i32>,
    sticky: Sticky,
}

struct Queue {
    way: PartitionQueue,
    timer: Option<Instant>,
}

impl Accumulator {
    /// One for a client that gives up requests after `request_timeout`.
    pub(super) fn new(config: &ProducerConfig, request_timeout: Duration) -> Self {
        Accumulator {
            batch_size: config.batch_size,
            buffer_memory: config.buffer_memory,
            max_request_size: config.max_request_size,
            compression: config.compression_type,
            ignore_keys: config.partitioner_ignore_keys,
            limits: Limits {
                max_in_flight: config.max_in_flight_requests_per_connection,
                retries: config.retries,
                linger: Duration::from_millis(config.linger_ms),
                delivery_timeout: Duration::from_millis(config.delivery_timeout_ms),
                late: request_timeout,
                may_renumber: config.transactional_id.is_none(),
            },
            topics: HashMap::default(),
            queues: Vec::new(),
            timers: BTreeSet::new(),
            ready: BTreeSet::new(),
            cursor: 0,
            memory_used: 0,
            hurried: 0,
            spare_builders: Vec::new(),
            identity: None,
            sender_sleeps_until: None,
            shut: config.transactional_id.is_some().then(not_begun),
            closed: None,
        }
    }

    /// Takes a topic's partitions over from metadata. A topic never loses partitions here: those that are queued for
    /// stay known until they are given up.
    pub(super) fn learn_topic(&mut self, topic: &TopicMetadata) {
        let known = self.topics.entry(Arc::clone(&topic.name)).or_insert_with(|| Topic {
            name: Arc::clone(&topic.name),
            queues: Vec::new(),
            available: Vec::new(),
            sticky: Sticky::default(),
        });
        for partition in known.queues.len()..topic.partitions.len() {
            let name = TopicPartition::new(
                Arc::clone(&known.name),
                i32::try_from(partition).expect("a topic's partitions are numbered by an i32"),
            );
            known.queues.push(u32::try_from(self.queues.len()).expect("fewer than 2^32 partitions"));
            self.queues.push(Queue { way: PartitionQueue::new(name), timer: None });
        }
        known.available.clear();
        let with_leader =
            topic.partitions.iter().zip(0..).filter(|(partition, _)| partition.leader.is_some());
        known.available.extend(with_leader.map(|(_, number)| number));
    }

    /// The topics that records came for.
    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.topics.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Puts a record into its partition's batch.
    ///
    /// # Errors
    /// Invalid, if the record can never be taken; Closed, if nothing is.
    pub(super) fn append(
        &mut self,
        now: Instant,
        record: &ProducerRecord<'_>,
        timestamp: i64,
        random: impl FnOnce() -> u64,
    ) -> Result<Taken<Delivery>> {
        self.check_open()?;
        let most = record_bytes(record);
        if most > self.max_request_size || most + BATCH_HEADER_BYTES > self.buffer_memory {
            return Err(ClientError::invalid(format!(
                "a record of about {most} bytes is larger than max.request.size {} or buffer.memory {}",
                self.max_request_size, self.buffer_memory
            )));
        }
        if self.memory_used + most + BATCH_HEADER_BYTES > self.buffer_memory {
            return Ok(Taken::Full);
        }
        let Some(topic) = self.topics.get_mut(record.topic) else { return Ok(Taken::Unknown) };
        let partitions = i32::try_from(topic.queues.len()).unwrap_or(i32::MAX);
        let (partition, sticks) = match (record.partition, record.key) {
            (Some(partition), _) => (partition, false),
            _ if partitions == 0 => return Ok(Taken::Unknown),
            (None, Some(key)) if !self.ignore_keys => (murmur2_partition(key, partitions), false),
            _ => (topic.sticky.partition(&topic.available, partitions, random), true),
        };
        if partition < 0 {
            return Err(ClientError::invalid(format!("{}: partition {partition} cannot be", record.topic)));
        }
        let queue = usize::try_from(partition).ok().and_then(|partition| topic.queues.get(partition));
        let Some(&id) = queue else { return Ok(Taken::Unknown) };
        let way = &mut self.queues[id as usize].way;

        let mut changed = false;
        if way.open_batch().is_some_and(|open| open.builder.size_bytes() + most > self.batch_size) {
            way.close_open();
            changed = true;
        }
        if way.open_batch().is_none() {
            let spare = self.spare_builders.pop();
            way.open(OpenBatch {
                builder: spare.unwrap_or_else(|| BatchBuilder::new(self.compression)),
                created: now,
                outcome: Outcome::new(Arc::clone(&topic.name), partition),
            });
            changed = true;
        }
        let open = way.open_batch().expect("opened above");
        let before = open.builder.size_bytes();
        let index = u32::try_from(open.builder.record_count()).unwrap_or(u32::MAX);
        let headers = record.headers.iter().copied();
        let appended = open.builder.append(timestamp, record.key, record.value, headers);
        appended.map_err(|error| ClientError::invalid(error.to_string()))?;
        let after = open.builder.size_bytes();
        let delivery = Delivery::new(Arc::clone(&open.outcome), index, timestamp);
        self.memory_used += after - before;
        let full = after >= self.batch_size;
        if full {
            way.close_open();
            changed = true;
        }
        if sticks {
            topic.sticky.sent(after - before, full, self.batch_size);
        }
        let wake = changed && self.reschedule(id, now);
        Ok(Taken::Accepted { receipt: delivery, wake })
    }

    /// Queues a finished batch behind all that is there for its partition. It is taken out of `batch` if it is accepted.
    ///
    /// # Errors
    /// Invalid, if the batch can never be taken; Closed, if nothing is.
    pub(super) fn push(
        &mut self,
        now: Instant,
        name: &TopicPartition,
        batch: &mut BytesMut,
        on_ack: &mut Option<OnAck>,
    ) -> Result<Taken<()>> {
        self.check_open()?;
        let header = BatchHeader::parse(batch)
            .map_err(|error| ClientError::invalid(format!("batch for {name}: {error}")))?;
        let whole =
            header.batch_bytes() == batch.len() && header.last_offset_delta + 1 == header.record_count;
        if !whole || header.record_count < 1 {
            return Err(ClientError::invalid(format!("batch for {name}: not exactly one finished batch")));
        }
        let bytes = batch.len();
        // It counts before compression, which makes bytes without a pattern a little more.
        let most = self.max_request_size + self.max_request_size / 64 + CODEC_OVERHEAD_BYTES;
        if bytes > most || bytes > self.buffer_memory {
            return Err(ClientError::invalid(format!(
                "a batch of {bytes} bytes is larger than max.request.size {} or buffer.memory {}",
                self.max_request_size, self.buffer_memory
            )));
        }
        if self.memory_used + bytes > self.buffer_memory {
            return Ok(Taken::Full);
        }
        let topic = self.topics.get(&name.topic);
        let index = usize::try_from(name.partition).ok();
        let queue = topic.zip(index).and_then(|(topic, index)| topic.queues.get(index));
        let Some(&id) = queue else { return Ok(Taken::Unknown) };
        let way = &mut self.queues[id as usize].way;
        way.push(Batch::new(
            Payload::Unstamped(std::mem::take(batch)),
            header.record_count,
            bytes,
            now,
            Outcome::new(Arc::clone(&name.topic), name.partition),
            on_ack.take(),
        ));
        self.memory_used += bytes;
        Ok(Taken::Accepted { receipt: (), wake: self.reschedule(id, now) })
    }

    fn check_open(&self) -> Result<()> {
        self.closed.as_ref().or(self.shut.as_ref()).map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Puts a queue among the timers and the ready ones as it now stands. Says whether the sender must wake for it.
    fn reschedule(&mut self, id: QueueId, now: Instant) -> bool {
        let queue = &mut self.queues[id as usize];
        let sendable_at = queue.way.sendable_at(self.identity, self.hurried > 0, &self.limits);
        let ready = sendable_at.is_some_and(|at| at <= now);
        let later = sendable_at.filter(|at| *at > now);
        let expires_at = queue.way.expires_at(&self.limits);
        let timer = [later, expires_at].into_iter().flatten().min();
        if queue.timer != timer {
            if let Some(old) = queue.timer {
                self.timers.remove(&(old, id));
            }
            if let Some(new) = timer {
                self.timers.insert((new, id));
            }
            queue.timer = timer;
        }
        let newly_ready = ready && self.ready.insert(id);
        if !ready {
            self.ready.remove(&id);
        }
        let earlier = self.sender_sleeps_until.zip(timer).is_some_and(|(until, timer)| timer < until);
        // Without an identity nothing is sendable, and the sender must ask for one.
        let unidentified = self.identity.is_none() && !queue.way.is_empty();
        newly_ready || earlier || unidentified
    }

    /// Lets time pass: queues whose time has come become ready; what is too old is given up.
    pub(super) fn advance(&mut self, now: Instant) -> Vec<Settled> {
        let mut settled = Vec::new();
        while let Some(&(time, id)) = self.timers.first()
            && time <= now
        {
            let queue = &mut self.queues[id as usize];
            if queue.way.expires_at(&self.limits).is_some_and(|at| at <= now) {
                settled.extend(queue.way.expire(now, &self.limits));
            }
            self.reschedule(id, now);
        }
        self.release(&settled);
        settled
    }

    /// Until when there is nothing to do unless something comes; kept, so that appends know whether to wake the sender.
    pub(super) fn sleep_until(&mut self, at_most: Instant) -> Instant {
        let until = self.timers.first().map_or(at_most, |(time, _)| (*time).min(at_most));
        self.sender_sleeps_until = Some(until);
        until
    }

    /// The queues that have something to send, beginning behind the one served last.
    pub(super) fn ready(&self) -> Vec<(QueueId, TopicPartition)> {
        let from = self.ready.range(self.cursor.saturating_add(1)..);
        let to = self.ready.range(..=self.cursor);
        from.chain(to).map(|id| (*id, self.queues[*id as usize].way.name.clone())).collect()
    }

    /// Takes from each of `queues` its next batch as long as they fit into one request.
    pub(super) fn drain(&mut self, now: Instant, queues: &[QueueId]) -> Vec<Drained> {
        let Some(identity) = self.identity else { return Vec::new() };
        let mut drained = Vec::new();
        let mut bytes = 0;
        for &id in queues {
            let way = &mut self.queues[id as usize].way;
            bytes += way.next_bytes();
            if bytes > self.max_request_size && !drained.is_empty() {
                break;
            }
            let sendable_at = way.sendable_at(Some(identity), true, &self.limits);
            if sendable_at.is_some_and(|at| at <= now)
                && let Some(outgoing) = way.take(identity)
            {
                drained.push(Drained { queue: id, name: way.name.clone(), outgoing });
                self.cursor = id;
            }
            self.reschedule(id, now);
        }
        drained
    }

    /// Takes an answer in.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        id: QueueId,
        batch_id: u64,
        payload: Bytes,
        verdict: Verdict,
        retry_after: impl FnOnce(u32) -> Duration,
    ) -> Option<Settled> {
        let way = &mut self.queues[id as usize].way;
        let retry_at = now + retry_after(way.failures + 1);
        let (settled, gap) = way.answered(batch_id, payload, verdict, now, retry_at, &self.limits);
        if gap && way.identity() == self.identity {
            // Another partition may have led to a new epoch already. The largest epoch has no successor: a new id then.
            self.identity = self.identity.and_then(|identity| {
                let epoch = identity.epoch.checked_add(1)?;
                Some(ProducerIdentity { epoch, ..identity })
            });
            self.reschedule_all(now);
        }
        self.reschedule(id, now);
        self.release(settled.as_slice());
        settled
    }

    fn release(&mut self, settled: &[Settled]) {
        self.memory_used -= settled.iter().map(|settled| settled.bytes).sum::<usize>();
    }

    /// Keeps a builder for a later batch.
    pub(super) fn keep_builder(&mut self, builder: BatchBuilder) {
        if self.spare_builders.len() < SPARE_BUILDERS {
            self.spare_builders.push(builder);
        }
    }

    /// Whether an identity must be asked for: there is something to send and none.
    pub(super) fn needs_identity(&self) -> bool {
        self.identity.is_none() && self.queues.iter().any(|queue| !queue.way.is_empty())
    }

    /// Takes over an identity.
    pub(super) fn identify(&mut self, now: Instant, identity: ProducerIdentity) {
        self.identity = Some(identity);
        self.reschedule_all(now);
    }

    /// Begins to let nothing linger. Says whether the sender must wake.
    pub(super) fn hurry(&mut self, now: Instant) -> bool {
        self.hurried += 1;
        self.hurried == 1 && self.reschedule_all(now)
    }

    /// Ends one [`Accumulator::hurry`].
    pub(super) fn linger(&mut self, now: Instant) {
        self.hurried -= 1;
        if self.hurried == 0 {
            self.reschedule_all(now);
        }
    }

    fn reschedule_all(&mut self, now: Instant) -> bool {
        let mut wake = false;
        for id in 0..u32::try_from(self.queues.len()).unwrap_or(u32::MAX) {
            wake |= self.reschedule(id, now);
        }
        wake
    }

    /// Closes every open batch, so that no later record delays it, and names all that is on its way.
    pub(super) fn outstanding(&mut self, now: Instant) -> Vec<Arc<Outcome>> {
        self.queues.iter_mut().for_each(|queue| queue.way.close_open());
        self.reschedule_all(now);
        self.queues.iter().flat_map(|queue| queue.way.outcomes().cloned()).collect()
    }

    /// Takes nothing any more.
    pub(super) fn close(&mut self, reason: ClientError) {
        self.closed.get_or_insert(reason);
    }

    /// Takes nothing any more and gives up all there is.
    pub(super) fn fail(&mut self, now: Instant, error: &ClientError) -> Vec<Settled> {
        self.close(error.clone());
        let settled: Vec<_> = self.queues.iter_mut().flat_map(|queue| queue.way.fail_all(error)).collect();
        self.reschedule_all(now);
        self.release(&settled);
        settled
    }

    /// Takes nothing for a reason, or takes again.
    pub(super) fn shut(&mut self, reason: Option<ClientError>) {
        self.shut = reason;
    }

    /// Takes nothing for a reason and gives up all there is. Says whether leaders may have seen some of it.
    pub(super) fn abandon(&mut self, now: Instant, error: &ClientError) -> (Vec<Settled>, bool) {
        self.shut = Some(error.clone());
        let numbered = self.queues.iter().any(|queue| queue.way.has_numbered());
        let settled: Vec<_> = self.queues.iter_mut().flat_map(|queue| queue.way.fail_all(error)).collect();
        self.reschedule_all(now);
        self.release(&settled);
        (settled, numbered)
    }

    /// Batches whose answers have not come, those included that were given up meanwhile.
    pub(super) fn in_flight(&self) -> usize {
        self.queues.iter().map(|queue| queue.way.in_flight()).sum()
    }

    /// Whether nothing is taken any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.way.is_empty())
    }
}

/// What a record takes at most.
fn record_bytes(record: &ProducerRecord<'_>) -> usize {
    let bytes = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
    let header = |(name, value): &(&str, Option<&[u8]>)| name.len() + bytes(*value) + HEADER_OVERHEAD_BYTES;
    RECORD_OVERHEAD_BYTES
        + bytes(record.key)
        + bytes(record.value)
        + record.headers.iter().map(header).sum::<usize>()
}

#[cfg(test)]
mod tests;
