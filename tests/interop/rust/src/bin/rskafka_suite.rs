//! rskafka: a client in pure Rust, without groups. `rskafka_suite HOST:PORT`.

use std::collections::BTreeMap;

use anabranch_interop::{bootstrap, fresh, records, run, tests};
use chrono::{DateTime, TimeZone, Utc};
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record, RecordAndOffset};

const CODECS: [(&str, Compression); 5] = [
    ("none", Compression::NoCompression),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];

/// Between two looks at what is to come.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

async fn connect() -> Client {
    ClientBuilder::new(vec![bootstrap()]).build().await.unwrap()
}

/// A topic of its own, and its partition 0.
async fn partition(client: &Client) -> PartitionClient {
    let topic = fresh("rskafka");
    client.controller_client().unwrap().create_topic(&topic, 1, 1, 10_000).await.unwrap();
    client.partition_client(topic, 0, UnknownTopicHandling::Retry).await.unwrap()
}

fn at(millis: i64) -> DateTime<Utc> {
    Utc.timestamp_millis_opt(millis).unwrap()
}

fn record(key: Option<Vec<u8>>, value: Option<Vec<u8>>, millis: i64) -> Record {
    let headers = BTreeMap::from([("trace".to_string(), vec![0, 1]), ("empty".to_string(), Vec::new())]);
    Record { key, value, headers, timestamp: at(millis) }
}

fn text(text: &str, millis: i64) -> Record {
    record(None, Some(text.as_bytes().to_vec()), millis)
}

/// Everything from an offset on, up to the high watermark.
async fn read(partition: &PartitionClient, mut offset: i64) -> Vec<RecordAndOffset> {
    let mut got = Vec::new();
    loop {
        let (records, high_watermark) = partition.fetch_records(offset, 1..1_000_000, 1_000).await.unwrap();
        offset = records.last().map_or(offset, |last| last.offset + 1);
        got.extend(records);
        if offset >= high_watermark {
            return got;
        }
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ProtocolError {
    match result.unwrap_err() {
        Error::ServerError { protocol_error, .. } => protocol_error,
        other => panic!("not an error of the broker's: {other}"),
    }
}

async fn a_topic_is_created_listed_and_deleted() {
    let (client, topic) = (connect().await, fresh("rskafka"));
    let controller = client.controller_client().unwrap();
    controller.create_topic(&topic, 3, 1, 10_000).await.unwrap();
    let again = controller.create_topic(&topic, 3, 1, 10_000).await;
    assert_eq!(code(again), ProtocolError::TopicAlreadyExists);
    // Apache Kafka's brokers hear a little later of what its controller has decided.
    let is_listed = async || {
        let listed = client.list_topics().await.unwrap();
        let found = listed.into_iter().find(|listed| listed.name == topic)?;
        assert_eq!(found.partitions, [0, 1, 2].into());
        Some(())
    };
    while is_listed().await.is_none() {
        tokio::time::sleep(PAUSE).await;
    }
    controller.delete_topic(&topic, 10_000).await.unwrap();
    while is_listed().await.is_some() {
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(code(controller.delete_topic(&topic, 10_000).await), ProtocolError::UnknownTopicOrPartition);
}

async fn each_codec_there_and_back() {
    let partition = partition(&connect().await).await;
    let mut sent = Vec::new();
    for (name, codec) in CODECS {
        let batch: Vec<_> =
            records(name).into_iter().map(|(key, value)| record(key, value, 1_700_000_000_000)).collect();
        let offsets = partition.produce(batch.clone(), codec).await.unwrap();
        assert_eq!(
            offsets,
            (sent.len() as i64..(sent.len() + batch.len()) as i64).collect::<Vec<_>>(),
            "{name}"
        );
        sent.extend(batch);
    }
    let got = read(&partition, 0).await;
    assert_eq!(
        got.iter().map(|it| it.offset).collect::<Vec<_>>(),
        (0..sent.len() as i64).collect::<Vec<_>>()
    );
    assert_eq!(got.into_iter().map(|it| it.record).collect::<Vec<_>>(), sent);
}

async fn a_fetch_starts_inside_a_batch() {
    let partition = partition(&connect().await).await;
    let batch = ["a", "b", "c", "d"].map(|value| text(value, 1_700_000_000_000)).to_vec();
    partition.produce(batch, Compression::Lz4).await.unwrap();
    let got = read(&partition, 2).await;
    assert_eq!(got.iter().map(|it| it.offset).collect::<Vec<_>>(), [2, 3]);
}

async fn offsets_at_both_ends_and_by_time() {
    let partition = partition(&connect().await).await;
    assert_eq!(partition.get_offset(OffsetAt::Earliest).await.unwrap(), 0);
    assert_eq!(partition.get_offset(OffsetAt::Latest).await.unwrap(), 0);
    for time in [1_000, 3_000, 2_000] {
        partition.produce(vec![text("x", time)], Compression::NoCompression).await.unwrap();
    }
    assert_eq!(partition.get_offset(OffsetAt::Latest).await.unwrap(), 3);
    for (time, expected) in [(0, 0), (1_000, 0), (1_001, 1), (3_000, 1), (3_001, -1)] {
        assert_eq!(partition.get_offset(OffsetAt::Timestamp(at(time))).await.unwrap(), expected, "at {time}");
    }
}

async fn deleted_records_are_gone() {
    let partition = partition(&connect().await).await;
    let batch = (0..10).map(|_| text("x", 1_700_000_000_000)).collect();
    partition.produce(batch, Compression::Zstd).await.unwrap();
    partition.delete_records(4, 10_000).await.unwrap();
    assert_eq!(partition.get_offset(OffsetAt::Earliest).await.unwrap(), 4);
    assert_eq!(code(partition.fetch_records(3, 1..1_000, 100).await), ProtocolError::OffsetOutOfRange);
    assert_eq!(read(&partition, 4).await.len(), 6);
    assert_eq!(code(partition.delete_records(11, 10_000).await), ProtocolError::OffsetOutOfRange);
}

async fn a_fetch_waits_for_the_next_record() {
    let client = connect().await;
    let reader = std::sync::Arc::new(partition(&client).await);
    let writer = client.partition_client(reader.topic(), 0, UnknownTopicHandling::Error).await.unwrap();
    let waiting = reader.clone();
    let waiting = tokio::spawn(async move { waiting.fetch_records(0, 1..1_000, 30_000).await.unwrap() });
    writer.produce(vec![text("at last", 1_700_000_000_000)], Compression::NoCompression).await.unwrap();
    let (records, high_watermark) = waiting.await.unwrap();
    assert_eq!((records.len(), high_watermark), (1, 1));
}

fn main() {
    run(&tests![
        a_topic_is_created_listed_and_deleted,
        each_codec_there_and_back,
        a_fetch_starts_inside_a_batch,
        offsets_at_both_ends_and_by_time,
        deleted_records_are_gone,
        a_fetch_waits_for_the_next_record,
    ])
}
