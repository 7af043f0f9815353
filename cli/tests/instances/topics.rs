//! The application's topics as the tests write and read them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anabranch_client::{
    Client, Consumer, ConsumerConfig, ConsumerRecord, IsolationLevel, OffsetSpec, Producer, ProducerConfig,
    ProducerRecord, TopicPartition,
};

use crate::application::PARTITIONS;
use crate::judge::{Rows, Seen};

/// What is written to.
pub(crate) const INPUTS: [&str; 3] = ["numbers", "left", "right"];
/// What is read.
pub(crate) const OUTPUTS: [&str; 3] = ["sums", "pairs", "counts"];
/// What is read in the end only.
pub(crate) const RESULTS: [&str; 4] = ["sessions", "finals", "placed", "answers"];
/// What is written before anything runs: the global table, and the one that has versions.
pub(crate) const TABLES: [&str; 2] = ["places", "rows"];
/// Keys of each input topic under the usual load. More load brings more keys, so that as many records meet.
const KEYS: u64 = 20;
/// Times of records lie so far back at most.
const SPREAD_MS: u64 = 3000;
const HOUR_MS: i64 = 3_600_000;
/// Records that may wait for their acknowledgement.
const IN_FLIGHT: usize = 2000;

/// Writes to all inputs until told to stop; then everything is acknowledged. Gives how many records it wrote.
pub(crate) async fn write(client: Client, id: String, load: u64, seed: u64, is_over: Arc<AtomicBool>) -> u64 {
    let keys = [("delivery.timeout.ms", "600000"), ("linger.ms", "2")];
    let producer = Producer::new(&client, ProducerConfig::from_pairs(keys).unwrap()).unwrap();
    let topics = INPUTS.map(|topic| format!("{id}-{topic}"));
    let mut dice = fastrand::Rng::with_seed(seed);
    let (mut waiting, mut number) = (VecDeque::new(), 0);
    while !is_over.load(Ordering::Acquire) {
        for topic in topics.iter().cycle().take(topics.len() * load as usize) {
            let key = format!("k{}", dice.u64(0..KEYS * load));
            let timestamp = client.host().wall_clock_ms() - dice.u64(0..SPREAD_MS) as i64;
            let value = i64::to_be_bytes(number);
            let record = ProducerRecord::new(topic).key(key.as_bytes()).value(&value).timestamp(timestamp);
            waiting.push_back(producer.send(record).await.unwrap());
            number += 1;
        }
        while waiting.len() > IN_FLIGHT {
            waiting.pop_front().expect("it is longer").await.unwrap();
        }
        client.host().sleep(Duration::from_millis(dice.u64(0..20))).await;
    }
    for delivery in waiting {
        delivery.await.unwrap();
    }
    producer.close().await.unwrap();
    number as u64
}

/// Writes rows for each key to the topics of tables: to the global one twice its number, to the other one three versions, of
/// which the second is of the time of all records.
pub(crate) async fn write_tables(client: &Client, id: &str, load: u64) {
    let producer = Producer::new(client, ProducerConfig::default()).unwrap();
    let now = client.host().wall_clock_ms();
    let [places, rows] = TABLES.map(|topic| format!("{id}-{topic}"));
    let mut deliveries = Vec::new();
    for number in 0..KEYS * load {
        let key = format!("k{number}");
        let place = (&places, 2 * number as i64, now);
        let versions = [(1, now - 2 * HOUR_MS), (2, now - HOUR_MS), (3, now + HOUR_MS / 2)];
        let versions = versions.map(|(version, time)| (&rows, version, time));
        for (topic, value, time) in [place].into_iter().chain(versions) {
            let value = i64::to_be_bytes(value);
            let record = ProducerRecord::new(topic).key(key.as_bytes()).value(&value).timestamp(time);
            deliveries.push(producer.send(record).await.unwrap());
        }
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.close().await.unwrap();
}

/// A place in a log, and what is there.
pub(crate) type Placed = ((Arc<str>, i32, i64), Option<Vec<u8>>);

/// Follows the outputs until told to stop; counts on the way.
pub(crate) async fn follow(
    client: Client,
    id: String,
    count: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    into: Arc<Mutex<Vec<Placed>>>,
) {
    let mut consumer = reader(&client, &OUTPUTS.map(|topic| partitions(&format!("{id}-{topic}"))).concat());
    while !is_over.load(Ordering::Acquire) {
        let records = consumer.poll(Duration::from_millis(100)).await.unwrap().records;
        count.fetch_add(records.len(), Ordering::AcqRel);
        into.lock().unwrap().extend(records.iter().map(placed));
    }
}

pub(crate) fn placed(record: &ConsumerRecord) -> Placed {
    let place = (Arc::clone(&record.topic), record.partition, record.offset);
    (place, record.value.as_ref().map(|value| value.to_vec()))
}

fn partitions(topic: &str) -> Vec<TopicPartition> {
    (0..PARTITIONS).map(|partition| TopicPartition::new(topic, partition)).collect()
}

/// A consumer of committed records, from the beginning.
fn reader(client: &Client, partitions: &[TopicPartition]) -> Consumer {
    let keys = [("auto.offset.reset", "earliest"), ("isolation.level", "read_committed")];
    let mut consumer = Consumer::new(client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap();
    consumer.assign(partitions).unwrap();
    consumer
}

/// The ends of partitions for a reader of this isolation.
async fn ends(
    client: &Client,
    partitions: &[TopicPartition],
    isolation: IsolationLevel,
) -> BTreeMap<TopicPartition, i64> {
    let wanted = partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
    let listed = client.admin().list_offsets(&wanted, isolation).await;
    listed.into_iter().map(|(partition, end)| (partition, end.unwrap().offset)).collect()
}

/// All committed records of a topic, partition by partition in their order.
pub(crate) async fn all(client: &Client, topic: &str) -> Vec<ConsumerRecord> {
    let partitions = partitions(topic);
    let ends = ends(client, &partitions, IsolationLevel::ReadUncommitted).await;
    let mut consumer = reader(client, &partitions);
    let mut records = Vec::new();
    while ends.iter().any(|(name, end)| *end > 0 && consumer.position(name).is_none_or(|at| at < *end)) {
        records.extend(consumer.poll(Duration::from_millis(500)).await.unwrap().records);
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// Records with a value each.
pub(crate) fn seen<V>(records: &[ConsumerRecord], value: impl Fn(&[u8]) -> V) -> Vec<Seen<V>> {
    let seen = |record: &ConsumerRecord| Seen {
        partition: record.partition,
        timestamp: record.timestamp,
        key: text(record.key.as_ref().expect("a key")),
        value: value(record.value.as_ref().expect("a value")),
    };
    records.iter().map(seen).collect()
}

/// The newest value of each key of a changelog.
pub(crate) fn rows<V>(
    records: &[ConsumerRecord],
    key: impl Fn(&[u8]) -> String,
    value: impl Fn(&[u8]) -> V,
) -> Rows<V> {
    let mut rows = Rows::new();
    for record in records {
        let key = key(record.key.as_ref().expect("a key"));
        match &record.value {
            Some(found) => drop(rows.insert(key, value(found))),
            None => drop(rows.remove(&key)),
        }
    }
    rows
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

pub(crate) fn number(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().expect("8 bytes"))
}

/// A key of a windowed store's changelog: the key, the window's start, four bytes more.
pub(crate) fn windowed(bytes: &[u8]) -> String {
    let (key, window) = bytes.split_at(bytes.len() - 12);
    format!("{} {}", text(key), number(&window[..8]))
}

/// What transactions still hold up, of all topics of the application and of all transactional ids.
pub(crate) async fn held_up(client: &Client, id: &str) -> Vec<String> {
    let listed = client.admin().list_topics().await.unwrap();
    let ours = listed.iter().filter(|topic| topic.name.starts_with(id));
    let partitions: Vec<_> = ours
        .flat_map(|topic| {
            (0..topic.partitions.len()).map(|number| TopicPartition::new(&*topic.name, number as i32))
        })
        .collect();
    assert!(partitions.len() as i32 >= 9 * PARTITIONS, "{partitions:?}");
    let stable = ends(client, &partitions, IsolationLevel::ReadCommitted).await;
    let ends = ends(client, &partitions, IsolationLevel::ReadUncommitted).await;
    let behind = ends.iter().filter(|(partition, end)| stable[*partition] < **end);
    let mut held_up: Vec<_> = behind
        .map(|(partition, end)| format!("{partition}: {} of {end} is stable", stable[partition]))
        .collect();
    let transactions = client.admin().list_transactions(&Default::default()).await.unwrap();
    let open = transactions.iter().filter(|one| one.transactional_id.starts_with(id));
    let open = open.filter(|one| !["Empty", "CompleteCommit", "CompleteAbort"].contains(&one.state.as_str()));
    held_up.extend(open.map(|one| format!("{one:?}")));
    held_up
}
