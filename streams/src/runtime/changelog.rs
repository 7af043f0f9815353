//! Reading the changelog of a store as it lies on the broker: what a restart would find.

use std::collections::BTreeMap;

use anabranch_client::{
    Client, Consumer, ConsumerConfig, ConsumerRecord, IsolationLevel, OffsetSpec, TopicPartition,
};

use super::restore::POLL;
use super::worker::client_error;
use crate::error::Result;
use crate::headers::Headers;
use crate::record::RawRecord;

/// All records of a topic up to now, partition by partition, in each by offset.
///
/// # Errors
/// If the topic cannot be read.
pub(super) async fn read(client: &Client, topic: &str, partitions: i32) -> Result<Vec<RawRecord>> {
    let failed = |error| client_error(&format!("reading `{topic}`"), error);
    let names: Vec<TopicPartition> =
        (0..partitions).map(|partition| TopicPartition::new(topic, partition)).collect();
    let wanted = names.iter().map(|name| (name.clone(), OffsetSpec::Latest)).collect();
    let ends = client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
    // As a restart reads it: what a transaction wrote that was undone is not there.
    let config =
        ConsumerConfig { isolation_level: IsolationLevel::ReadCommitted, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(client, config).map_err(failed)?;
    consumer.assign(&names).map_err(failed)?;
    for name in &names {
        consumer.seek_to_beginning(name).map_err(failed)?;
    }
    let mut missing = BTreeMap::new();
    for (name, end) in ends {
        missing.insert(name.partition, end.map_err(failed)?.offset);
    }
    missing.retain(|_, end| *end > 0);
    let mut records: BTreeMap<i32, Vec<RawRecord>> = BTreeMap::new();
    while !missing.is_empty() {
        for record in consumer.poll(POLL).await.map_err(failed)?.records {
            records.entry(record.partition).or_default().push(raw(&record));
        }
        // By position, not by the last record: compaction and markers leave gaps.
        let at = |partition: i32| consumer.position(&TopicPartition::new(topic, partition));
        missing.retain(|partition, end| at(*partition).is_none_or(|position| position < *end));
    }
    consumer.close().await.map_err(failed)?;
    Ok(records.into_values().flatten().collect())
}

fn raw(record: &ConsumerRecord) -> RawRecord {
    let mut headers = Vec::new();
    if !record.headers().is_empty() {
        record.headers().encode_into(&mut headers);
    }
    RawRecord {
        key: record.key.clone(),
        value: record.value.clone(),
        timestamp: Some(record.timestamp),
        headers: Headers::from_encoded(headers.into()),
    }
}
