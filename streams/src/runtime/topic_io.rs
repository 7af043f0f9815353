//! Typed reading and writing of topics beside a topology: how a program feeds its application and sees its results.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::{
    AutoOffsetReset, Client, Consumer, ConsumerConfig, ConsumerRecord, Delivery, IsolationLevel, OffsetSpec,
    Producer, ProducerConfig, ProducerRecord, TopicPartition,
};

use super::position::Position;
use super::worker::client_error;
use crate::data::Item;
use crate::error::{Error, Result};
use crate::headers::Headers;
use crate::record::Record;
use crate::serdes::{self, Serde, SerdeContext};
use crate::topic::Topic;

/// How long one poll waits; the caller's wait has no end.
const POLL: Duration = Duration::from_secs(1);

/// Writes records of a topic's types.
pub struct TopicProducer<K, V> {
    topic: Topic<K, V>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    producer: Producer,
    client: Client,
}

impl<K: Item, V: Item> TopicProducer<K, V> {
    pub(crate) fn new(client: &Client, topic: Topic<K, V>) -> Result<Self> {
        let config = ProducerConfig { batch_size: 64 * 1024, ..ProducerConfig::default() };
        let producer =
            Producer::new(client, config).map_err(|error| client_error("making a producer", error))?;
        let client = client.clone();
        Ok(TopicProducer { key: topic.key_serde(), value: topic.value_serde(), topic, producer, client })
    }

    /// Takes a record, which is written soon; waits only while too much is on its way. [`TopicProducer::flush`] says
    /// whether all arrived.
    ///
    /// # Errors
    /// If the record cannot be serialised, or can never be written.
    pub async fn send(&self, key: K, value: V) -> Result<()> {
        // Its fate is told by `flush`.
        drop(self.deliver(key, value).await?);
        Ok(())
    }

    async fn deliver(&self, key: K, value: V) -> Result<Delivery> {
        let name = self.topic.name();
        let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
        let has_key = serdes::write(&*self.key, &SerdeContext::key(name), &key, &mut key_bytes);
        let has_value = serdes::write(&*self.value, &SerdeContext::value(name), &value, &mut value_bytes);
        let refused =
            |what: &str, error| Error::record(format_args!("cannot write the {what} to `{name}`: {error}"));
        let mut record = ProducerRecord::new(name);
        if has_key.map_err(|error| refused("key", error))? {
            record = record.key(&key_bytes);
        }
        if has_value.map_err(|error| refused("value", error))? {
            record = record.value(&value_bytes);
        }
        self.producer.send(record).await.map_err(|error| client_error("writing a record", error))
    }

    /// Writes a record and waits until it is there. What is given is the bound for whoever wants to see its effect:
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const WORDS: Topic<String, String> = Topic::new("words");
    /// const LATEST: Store<KeyValue<String, String>> = Store::named("latest");
    ///
    /// # fn main() -> Result<()> {
    /// # let (_host, threads) = anabranch_host::Host::real(1).expect("threads");
    /// # threads.block_on(async {
    /// let builder = StreamsBuilder::new();
    /// builder.table_with(WORDS, LATEST);
    /// let app = Streams::new("own-writes", builder.build()?).start().await?;
    ///
    /// let written = app.producer(WORDS)?.write("en".to_string(), "brook".to_string()).await?;
    /// let latest = app.store(LATEST)?.at_least(&written).wait_up_to(seconds(30));
    /// assert_eq!(latest.get(&"en".to_string()).await?.as_deref(), Some("brook"));
    /// assert!(latest.position().reaches(&written));
    /// app.close().await
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`TopicProducer::send`]; if it could not be written.
    pub async fn write(&self, key: K, value: V) -> Result<Position> {
        let written = self.deliver(key, value).await?.await;
        let written = written.map_err(|error| client_error("writing a record", error))?;
        if let Some(position) = Position::of_written(&written) {
            return Ok(position);
        }
        // The broker had it already and did not say where: not behind the end.
        let place = TopicPartition::new(Arc::clone(&written.topic), written.partition);
        let wanted = BTreeMap::from([(place, OffsetSpec::Latest)]);
        let listed = self.client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        let mut position = Position::new();
        for (place, end) in listed {
            let end = end.map_err(|error| client_error("asking where a record is", error))?.offset;
            position.raise(place.topic, place.partition, end - 1);
        }
        Ok(position)
    }

    /// Waits until every record is written.
    ///
    /// # Errors
    /// If one could not be.
    pub async fn flush(&self) -> Result<()> {
        self.producer.flush().await.map_err(|error| client_error("writing records", error))
    }
}

/// Reads records of a topic's types, from all its partitions.
pub struct TopicConsumer<K, V> {
    name: Arc<str>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    consumer: Consumer,
    /// Decoded and not yet handed out.
    ready: VecDeque<Record<K, V>>,
}

impl<K: Item, V: Item> TopicConsumer<K, V> {
    /// Reads what is written from now on.
    pub(crate) async fn from_now(client: &Client, topic: Topic<K, V>) -> Result<Self> {
        let failed = |error| client_error("reading a topic", error);
        let config = ConsumerConfig {
            auto_offset_reset: AutoOffsetReset::Latest,
            // What a transaction writes is shown once it is committed.
            isolation_level: IsolationLevel::ReadCommitted,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(client, config).map_err(failed)?;
        let described = client.admin().describe_topics(&[topic.name()]).await.map_err(failed)?;
        let mut partitions = Vec::new();
        for (name, topic) in described {
            let count = topic.map_err(failed)?.partitions.len();
            let count = i32::try_from(count).unwrap_or(i32::MAX);
            partitions.extend((0..count).map(|partition| TopicPartition::new(name.as_str(), partition)));
        }
        // The ends are settled here, not at the first poll, so that nothing written after this call is missed.
        let wanted = partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
        let ends = client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        consumer.assign(&partitions).map_err(failed)?;
        for (partition, end) in ends {
            consumer.seek(&partition, end.map_err(failed)?.offset).map_err(failed)?;
        }
        let (key, value) = (topic.key_serde(), topic.value_serde());
        Ok(TopicConsumer { name: topic.name().into(), key, value, consumer, ready: VecDeque::new() })
    }

    /// Reads everything that is there first.
    ///
    /// # Errors
    /// If the topic cannot be read.
    pub fn from_the_start(mut self) -> Result<Self> {
        for partition in self.consumer.assignment() {
            let sought = self.consumer.seek_to_beginning(&partition);
            sought.map_err(|error| client_error("reading a topic", error))?;
        }
        Ok(self)
    }

    /// The next record; waits for it. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// If the broker does not answer, or a record cannot be deserialised.
    pub async fn next(&mut self) -> Result<Record<K, V>> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(record);
            }
            let polled =
                self.consumer.poll(POLL).await.map_err(|error| client_error("reading a topic", error))?;
            for record in polled.records {
                let record = self.decode(&record)?;
                self.ready.push_back(record);
            }
        }
    }

    fn decode(&self, record: &ConsumerRecord) -> Result<Record<K, V>> {
        let refused = |what: &str, error| {
            let place = format_args!("{}-{}@{}", self.name, record.partition, record.offset);
            Error::record(format_args!("cannot read the {what} of {place}: {error}"))
        };
        let key = serdes::read(&*self.key, &SerdeContext::key(&self.name), record.key.as_deref());
        let value = serdes::read(&*self.value, &SerdeContext::value(&self.name), record.value.as_deref());
        let (key, value) = (key.map_err(|e| refused("key", e))?, value.map_err(|e| refused("value", e))?);
        let mut headers = Vec::new();
        if !record.headers().is_empty() {
            record.headers().encode_into(&mut headers);
        }
        Ok(Record::new(key, value, record.timestamp).with_headers(Headers::from_encoded(headers.into())))
    }
}
