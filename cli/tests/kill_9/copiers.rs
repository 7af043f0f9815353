//! Who copies one topic into another, together with how far the group has come: each record counts once, or the offsets and
//! the copies do not fit together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anabranch_client::{
    Client, Consumer, ConsumerConfig, OffsetAndMetadata, Producer, ProducerRecord, TopicPartition,
};

use crate::producers::transactional;
use crate::{COPIES, NUMBERS};

/// Copies as a member of the group until told to stop, and leaves no transaction open. Whenever something is not known, it
/// begins anew from the offsets that are committed.
pub(crate) async fn copy(client: Client, number: u32, seed: u64, is_over: Arc<AtomicBool>) {
    let (mut dice, id) = (fastrand::Rng::with_seed(seed), format!("copier{number}"));
    let keys = [
        ("group.id", "copiers"),
        ("auto.offset.reset", "earliest"),
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
        // A member whose leave was lost in a kill holds the others up for so long.
        ("session.timeout.ms", "2000"),
        ("heartbeat.interval.ms", "200"),
    ];
    loop {
        let producer = transactional(&client, &id, &mut dice);
        if producer.init_transactions().await.is_err() {
            continue;
        }
        let mut consumer = Consumer::new(&client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap();
        consumer.subscribe([NUMBERS]).unwrap();
        let mut goes_on = true;
        while goes_on && !is_over.load(Ordering::Acquire) {
            goes_on = copy_some(&producer, &mut consumer).await;
        }
        let _ = consumer.close().await;
        if goes_on {
            return;
        }
    }
}

/// Copies what one poll gives; whether the producer and the consumer can go on.
async fn copy_some(producer: &Producer, consumer: &mut Consumer) -> bool {
    let records = consumer.poll(Duration::from_millis(100)).await.unwrap().records;
    let group = consumer.group_metadata().expect("it is of a group");
    if records.is_empty() {
        return true;
    }
    if producer.begin_transaction().is_err() {
        return false;
    }
    let mut offsets = BTreeMap::new();
    for record in &records {
        let value = record.value.as_ref().expect("every record has a value");
        let copy = ProducerRecord::new(COPIES).partition(record.partition).value(value);
        if producer.send(copy).await.is_err() {
            return false;
        }
        let partition = TopicPartition::new(NUMBERS, record.partition);
        offsets.insert(partition, OffsetAndMetadata::new(record.offset + 1));
    }
    producer.send_offsets_to_transaction(&offsets, &group).await.is_ok()
        && producer.commit_transaction().await.is_ok()
}
