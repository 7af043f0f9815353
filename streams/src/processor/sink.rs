//! The nodes that write to topics.

use std::sync::Arc;

use super::{Context, Forward, InFlight, Nothing, Operator};
use crate::data::Item;
use crate::error::{Error, ErrorKind, Result};
use crate::headers::Headers;
use crate::outbox::{OutRecord, OutTopic};
use crate::record::RecordMetadata;
use crate::serdes::{SerdeContext, SerdeError};
use crate::topic::{Partitioner, Writer};

/// Turns records into bytes and appends them to the outbox.
struct Encoder<K, V> {
    key: Arc<dyn Writer<K>>,
    value: Arc<dyn Writer<V>>,
    partitioner: Option<Partitioner<K, V>>,
    key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
}

impl<K, V> Encoder<K, V> {
    fn append(
        &mut self,
        context: &mut Context<'_>,
        topic: &OutTopic,
        key: &K,
        value: &V,
        timestamp: i64,
        headers: &Headers,
    ) -> Result<()> {
        self.key_bytes.clear();
        self.value_bytes.clear();
        let has_key = self.key.write(&SerdeContext::key(&topic.name), key, &mut self.key_bytes);
        let has_value = self.value.write(&SerdeContext::value(&topic.name), value, &mut self.value_bytes);
        let record = OutRecord {
            key: written("key", has_key, topic)?.then_some(&self.key_bytes),
            value: written("value", has_value, topic)?.then_some(&self.value_bytes),
            timestamp: Some(timestamp),
            headers: headers.encoded(),
        };
        let partition = match &self.partitioner {
            None => None,
            Some(pick) => {
                let count = context.outbox.partition_count(topic)?;
                let picked = pick(key, value, count);
                if let Some(partition) = picked.filter(|partition| !(0..count).contains(partition)) {
                    return Err(Error::record(format_args!(
                        "the partitioner picked partition {partition} of `{}`, which has {count}",
                        topic.name
                    )));
                }
                picked
            }
        };
        context.outbox.append(topic, partition, record)
    }
}

#[inline]
fn written(what: &str, result: Result<bool, SerdeError>, topic: &OutTopic) -> Result<bool> {
    result.map_err(|error| unwritable(what, &error, topic))
}

#[cold]
fn unwritable(what: &str, error: &SerdeError, topic: &OutTopic) -> Error {
    Error::new(ErrorKind::Record, format_args!("cannot write the {what} to `{}`: {error}", topic.name))
}

/// Writes to one topic.
pub(crate) struct TopicSink<K, V> {
    topic: OutTopic,
    encoder: Encoder<K, V>,
}

impl<K, V> TopicSink<K, V> {
    pub(crate) fn new(
        topic: OutTopic,
        key: Arc<dyn Writer<K>>,
        value: Arc<dyn Writer<V>>,
        partitioner: Option<Partitioner<K, V>>,
    ) -> Self {
        let encoder = Encoder { key, value, partitioner, key_bytes: Vec::new(), value_bytes: Vec::new() };
        TopicSink { topic, encoder }
    }
}

impl<K: 'static, V: 'static> Operator for TopicSink<K, V> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = Nothing;
    type ValueOut = Nothing;

    fn process(
        &mut self,
        record: InFlight<'_, K, V>,
        out: &mut Forward<'_, '_, Nothing, Nothing>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        self.encoder.append(out.context(), &self.topic, key.get(), value.get(), timestamp, headers)
    }
}

/// Writes to a topic that is chosen per record.
pub(crate) struct DynamicSink<K, V, F> {
    choose: Arc<F>,
    encoder: Encoder<K, V>,
}

impl<K, V, F> DynamicSink<K, V, F> {
    pub(crate) fn new(choose: Arc<F>, key: Arc<dyn Writer<K>>, value: Arc<dyn Writer<V>>) -> Self {
        let encoder =
            Encoder { key, value, partitioner: None, key_bytes: Vec::new(), value_bytes: Vec::new() };
        DynamicSink { choose, encoder }
    }
}

impl<K: Item, V: Item, F, T> Operator for DynamicSink<K, V, F>
where
    F: Fn(&K, &V, &RecordMetadata) -> T + Send + Sync + 'static,
    T: AsRef<str>,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = Nothing;
    type ValueOut = Nothing;

    fn process(
        &mut self,
        record: InFlight<'_, K, V>,
        out: &mut Forward<'_, '_, Nothing, Nothing>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let context = out.context();
        let chosen = (self.choose)(key.get(), value.get(), &context.origin.metadata());
        let topic = context.state.topics.intern(chosen.as_ref()).clone();
        self.encoder.append(context, &topic, key.get(), value.get(), timestamp, headers)
    }
}
