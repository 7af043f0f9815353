//! The node that reads a topic as a table: a null value deletes, whether or not the topic's type has room for null.

use std::sync::Arc;

use super::source::{headers, no_time};
use super::{Forward, InFlight, Part, RawInput, Source};
use crate::data::Nullable;
use crate::error::{Error, Result};
use crate::record::Record;
use crate::serdes::{self, Serde, SerdeContext};
use crate::topic::{Clocks, TimestampExtractor, Timestamps};

/// Reads a topic of keys `K` and values `V` as rows.
pub(crate) struct TableTopicSource<K, V> {
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    timestamps: Timestamps<K, V>,
    topics: Vec<Arc<str>>,
}

impl<K: Nullable, V: Nullable> TableTopicSource<K, V> {
    pub(crate) fn new(
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
        timestamps: Timestamps<K, V>,
        topics: &[Arc<str>],
    ) -> Self {
        TableTopicSource { key, value, timestamps, topics: topics.to_vec() }
    }

    fn read_key(&self, queue: usize, record: RawInput<'_>) -> Result<K> {
        serdes::read(&*self.key, &SerdeContext::key(&self.topics[queue]), record.key)
            .map_err(|error| Error::record(format_args!("cannot read the key: {error}")))
    }

    fn read_value(&self, queue: usize, bytes: &[u8]) -> Result<V> {
        self.value
            .deserialize(&SerdeContext::value(&self.topics[queue]), bytes)
            .map_err(|error| Error::record(format_args!("cannot read the value: {error}")))
    }
}

impl<K: Nullable, V: Nullable> Source for TableTopicSource<K, V> {
    type Key = K;
    type Value = Option<V::Present>;

    fn add_queue(&mut self, topic: &Arc<str>) {
        self.topics.push(Arc::clone(topic));
    }

    fn timestamp(&mut self, queue: usize, record: RawInput<'_>, clocks: Clocks) -> Result<i64> {
        let own = |way: TimestampExtractor| way.time(record.timestamp, clocks).ok_or_else(|| no_time(record));
        let extract = match &self.timestamps {
            Timestamps::Kafkas(way) => return own(*way),
            Timestamps::Own(extract) => extract,
        };
        let value = match record.value {
            Some(bytes) => self.read_value(queue, bytes)?,
            None => match self.value.deserialize_null(&SerdeContext::value(&self.topics[queue])) {
                Ok(value) => value,
                // A deletion that the type has no room for cannot be shown to the closure: it has its own time.
                Err(_) => return own(TimestampExtractor::default()),
            },
        };
        let key = self.read_key(queue, record)?;
        let read = Record { key, value, timestamp: record.timestamp, headers: headers(record) };
        Ok(extract(&read, clocks.partition_time))
    }

    fn emit(
        &mut self,
        queue: usize,
        record: RawInput<'_>,
        timestamp: i64,
        out: &mut Forward<'_, '_, K, Option<V::Present>>,
    ) -> Result<()> {
        let mut key = Some(self.read_key(queue, record)?);
        let value = record.value.map(|bytes| self.read_value(queue, bytes)).transpose()?;
        let mut value = Some(value.and_then(V::into_present));
        let headers = headers(record);
        let (key, value) = (Part::Owned(&mut key), Part::Owned(&mut value));
        out.forward(InFlight { key, value, timestamp, headers: &headers })
    }
}
