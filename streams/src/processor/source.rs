//! The node that reads a topic.

use std::sync::Arc;

use bytes::Bytes;

use super::{Forward, InFlight, Part, RawInput, Source};
use crate::data::Item;
use crate::error::{Error, Result};
use crate::headers::Headers;
use crate::record::Record;
use crate::serdes::{self, Serde, SerdeContext};
use crate::topic::Extractor;

/// Reads topics of keys `K` and values `V`.
pub(crate) struct TopicSource<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) extractor: Option<Extractor<K, V>>,
    /// By queue: its topic, and the head that was read to ask for its time.
    pub(crate) queues: Vec<Queue<K, V>>,
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
        extractor: Option<Extractor<K, V>>,
        topics: &[Arc<str>],
    ) -> Self {
        let queues = topics.iter().map(|topic| Queue { topic: Arc::clone(topic), head: None }).collect();
        TopicSource { key, value, extractor, queues }
    }

    fn read(&self, queue: usize, record: RawInput<'_>) -> Result<(K, V)> {
        let topic = &self.queues[queue].topic;
        let key = serdes::read(&*self.key, &SerdeContext::key(topic), record.key)
            .map_err(|error| Error::record(format_args!("cannot read the key: {error}")))?;
        let value = serdes::read(&*self.value, &SerdeContext::value(topic), record.value)
            .map_err(|error| Error::record(format_args!("cannot read the value: {error}")))?;
        Ok((key, value))
    }
}

/// Kafka's FailOnInvalidTimestamp, with the policy to answer instead of the end of the application.
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

    fn timestamp(&mut self, queue: usize, record: RawInput<'_>, partition_time: i64) -> Result<i64> {
        match &self.extractor {
            None if record.timestamp < 0 => Err(no_time(record)),
            None => Ok(record.timestamp),
            Some(extractor) => {
                let (key, value) = self.read(queue, record)?;
                let head = Record { key, value, timestamp: record.timestamp, headers: headers(record) };
                let timestamp = extractor(&head, partition_time);
                self.queues[queue].head = Some(head);
                Ok(timestamp)
            }
        }
    }

    fn emit(
        &mut self,
        queue: usize,
        record: RawInput<'_>,
        timestamp: i64,
        out: &mut Forward<'_, '_, K, V>,
    ) -> Result<()> {
        let (mut key, mut value, headers) = match self.queues[queue].head.take() {
            Some(head) => (Some(head.key), Some(head.value), head.headers),
            None => {
                let (key, value) = self.read(queue, record)?;
                (Some(key), Some(value), headers(record))
            }
        };
        out.forward(InFlight {
            key: Part::Owned(&mut key),
            value: Part::Owned(&mut value),
            timestamp,
            headers: &headers,
        })
    }
}
