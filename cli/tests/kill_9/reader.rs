//! Who reads what is committed, partition by partition.

use std::time::Duration;

use anabranch_client::{Client, Consumer, ConsumerConfig, TopicPartition};

use crate::PARTITIONS;
use crate::judge::{Piece, Read, Value};

/// How long readers may find nothing though they are not at the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads each partition of a topic from its offset until told to stop.
pub(crate) async fn read(
    client: &Client,
    topic: &str,
    from: &[i64],
    is_done: impl Fn(&Consumer) -> bool,
) -> Vec<Piece> {
    let keys = [("auto.offset.reset", "earliest"), ("isolation.level", "read_committed")];
    let mut consumer = Consumer::new(client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap();
    let partitions: Vec<_> = (0..PARTITIONS).map(|partition| TopicPartition::new(topic, partition)).collect();
    consumer.assign(&partitions).unwrap();
    let mut pieces = Vec::new();
    for ((partition, name), from) in (0..).zip(&partitions).zip(from) {
        consumer.seek(name, *from).unwrap();
        pieces.push(Piece { partition, from: *from, to: *from, reads: Vec::new() });
    }
    let mut last_found = client.host().now();
    while !is_done(&consumer) {
        let polled = consumer.poll(Duration::from_millis(100)).await.unwrap();
        for record in &polled.records {
            let value = Value::from_bytes(record.value.as_ref().expect("every record has a value"));
            let read = Read { partition: record.partition, offset: record.offset, value };
            pieces[record.partition as usize].reads.push(read);
        }
        if !polled.records.is_empty() {
            last_found = client.host().now();
        }
        let bounds: Vec<_> =
            partitions.iter().map(|name| (consumer.position(name), consumer.log_bounds(name))).collect();
        assert!(client.host().now() < last_found + PATIENCE, "nothing more comes of {topic}: {bounds:?}");
    }
    for (piece, name) in pieces.iter_mut().zip(&partitions) {
        piece.to = consumer.position(name).expect("it was sought");
    }
    pieces
}

/// Which end of a partition, as it is at that moment.
#[derive(Clone, Copy)]
pub(crate) enum End {
    /// Of what is decided.
    LastStableOffset,
    /// Of what is written: who reads what is committed only gets there when no transaction is open.
    HighWatermark,
}

/// Reads until the end of each partition is reached.
pub(crate) async fn read_to(client: &Client, topic: &str, from: &[i64], end: End) -> Vec<Piece> {
    let is_there = |consumer: &Consumer, name: &TopicPartition| {
        let (bounds, position) = (consumer.log_bounds(name)?, consumer.position(name)?);
        let end = match end {
            End::LastStableOffset => bounds.last_stable_offset,
            End::HighWatermark => bounds.high_watermark,
        };
        Some(position >= end)
    };
    let partitions: Vec<_> = (0..PARTITIONS).map(|partition| TopicPartition::new(topic, partition)).collect();
    read(client, topic, from, |consumer| {
        partitions.iter().all(|name| is_there(consumer, name).is_some_and(|is_there| is_there))
    })
    .await
}

/// Where the pieces end.
pub(crate) fn ends(pieces: &[Piece]) -> Vec<i64> {
    pieces.iter().map(|piece| piece.to).collect()
}

/// All that was read.
pub(crate) fn records(pieces: &[Piece]) -> Vec<Read> {
    pieces.iter().flat_map(|piece| piece.reads.iter().copied()).collect()
}
