//! What a topic holds in the end, as one reads it who reads nothing that may be undone.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_client::{
    Consumer, ConsumerConfig, ConsumerRecord, IsolationLevel, OffsetSpec, TopicPartition,
};
use anabranch_host::Host;

use crate::producers::connect;

/// A record as one reads it who reads nothing that may be undone.
pub(crate) struct Seen {
    pub(crate) key: String,
    /// Empty if it deletes.
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp: i64,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// All records of a topic of text keys, partition by partition in their order.
pub(crate) async fn all(host: &Host, topic: &str, partitions: i32) -> Vec<Seen> {
    let records = all_bytes(host, topic, partitions).await.into_iter();
    let seen = records.map(|record| Seen {
        key: String::from_utf8(record.key.expect("a key").to_vec()).expect("text"),
        value: record.value.map_or_else(Vec::new, |value| value.to_vec()),
        timestamp: record.timestamp,
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
    });
    seen.collect()
}

/// All records of a topic, whatever they are.
pub(crate) async fn all_bytes(host: &Host, topic: &str, partitions: i32) -> Vec<ConsumerRecord> {
    let client = connect(host).await;
    let names: Vec<_> = (0..partitions).map(|partition| TopicPartition::new(topic, partition)).collect();
    let config = ConsumerConfig {
        isolation_level: IsolationLevel::ReadCommitted,
        // In some worlds a large answer never arrives: connections break before.
        max_partition_fetch_bytes: 50_000,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(&client, config).expect("a valid configuration");
    consumer.assign(&names).expect("no group");
    let mut ends = BTreeMap::new();
    for name in &names {
        consumer.seek_to_beginning(name).expect("assigned");
        let wanted = BTreeMap::from([(name.clone(), OffsetSpec::Latest)]);
        while !ends.contains_key(name) {
            let listed = client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
            ends.extend(listed.into_iter().filter_map(|(name, end)| Some((name, end.ok()?.offset))));
        }
    }
    let mut seen = Vec::new();
    while ends.iter().any(|(name, end)| *end > 0 && consumer.position(name).is_none_or(|at| at < *end)) {
        let polled = consumer.poll(Duration::from_millis(500)).await.expect("records");
        seen.extend(polled.records);
    }
    seen
}

/// The newest number of each key in a topic.
pub(crate) async fn newest(host: &Host, topic: &str, partitions: i32) -> BTreeMap<String, i64> {
    let records = all(host, topic, partitions).await;
    records.into_iter().map(|record| (record.key, number(&record.value))).collect()
}

/// A value that is a number.
pub(crate) fn number(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().expect("8 bytes"))
}
