//! The node that reads a topic.

use std::sync::Arc;

use bytes::Bytes;

use super::{Forward, InFlight, Part, RawInput, Source};
use crate::data::Item;
use crate::error::{Error, Result};
use crate::headers::Headers;
use crate::record::Record;
use crate::serdes::{self, Serde, SerdeContext};
use crate::topic::{Clocks, Timestamps};

/// Reads topics of keys `K` and values `V`.
pub(crate) struct TopicSource<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) timestamps: Timestamps<K, V>,
    /// By queue: its topic, and the head that was read to ask for its time.
    queues: Vec<Queue<K, V>>,
    /// Where key and value of a record lie while it passes. What nobody has taken is left for the next one's memory.
    slots: (Option<K>, Option<V>),
}

/// A source's side of a queue.
pub(crate) struct Queue<K, V> {
    topic: Arc<str>,
    head: Option<Record<K, V>>,
}

impl<K: Item, V: Item> TopicSource<K, V> {
    pub(crate) fn new(
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
        timestamps: Timestamps<K, V>,
        topics: &[Arc<str>],
    ) -> Self {
        let queues = topics.iter().map(|topic| Queue { topic: Arc::clone(topic), head: None }).collect();
        TopicSource { key, value, timestamps, queues, slots: (None, None) }
    }

    /// Reads a record into the slots.
    fn read(&mut self, queue: usize, record: RawInput<'_>) -> Result<()> {
        let topic = &self.queues[queue].topic;
        let (key, value) = &mut self.slots;
        serdes::read_into(&*self.key, &SerdeContext::key(topic), record.key, key)
            .map_err(|error| Error::record(format_args!("cannot read the key: {error}")))?;
        serdes::read_into(&*self.value, &SerdeContext::value(topic), record.value, value)
            .map_err(|error| Error::record(format_args!("cannot read the value: {error}")))
    }
}

/// A record without a valid time: the policy answers, where Kafka Streams ends the application.
#[cold]
pub(super) fn no_time(record: RawInput<'_>) -> Error {
    Error::record(format_args!(
        "the record has the time {}: give the topic `.timestamps(..)`",
        record.timestamp
    ))
}

/// The headers of a record.
pub(super) fn headers(record: RawInput<'_>) -> Headers {
    if record.headers.len() <= 1 {
        Headers::new()
    } else {
        Headers::from_encoded(Bytes::copy_from_slice(record.headers))
    }
}

impl<K: Item, V: Item> Source for TopicSource<K, V> {
    type Key = K;
    type Value = V;

    fn add_queue(&mut self, topic: &Arc<str>) {
        self.queues.push(Queue { topic: Arc::clone(topic), head: None });
    }

    fn timestamp(&mut self, queue: usize, record: RawInput<'_>, clocks: Clocks) -> Result<i64> {
        let extract = match &self.timestamps {
            Timestamps::Kafkas(way) => {
                return way.time(record.timestamp, clocks).ok_or_else(|| no_time(record));
            }
            Timestamps::Own(extract) => Arc::clone(extract),
        };
        self.read(queue, record)?;
        let (Some(key), Some(value)) = (self.slots.0.take(), self.slots.1.take()) else {
            return Err(Error::record("a serde has read nothing"));
        };
        let head = Record { key, value, timestamp: record.timestamp, headers: headers(record) };
        let timestamp = extract(&head, clocks.partition_time);
        self.queues[queue].head = Some(head);
        Ok(timestamp)
    }

    fn emit(
        &mut self,
        queue: usize,
        record: RawInput<'_>,
        timestamp: i64,
        out: &mut Forward<'_, '_, K, V>,
    ) -> Result<()> {
        let headers = match self.queues[queue].head.take() {
            Some(head) => {
                self.slots = (Some(head.key), Some(head.value));
                head.headers
            }
            None => {
                self.read(queue, record)?;
                headers(record)
            }
        };
        let (key, value) = &mut self.slots;
        let (key, value) = (Part::Owned(key), Part::Owned(value));
        out.forward(InFlight { key, value, timestamp, headers: &headers })
    }
}
