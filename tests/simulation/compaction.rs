//! A compacted topic in a broker that crashes: it shrinks, and a reader makes the same of it as of all that was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_client::{
    AutoOffsetReset, ConfigResource, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::{BrokerProcess, NODE};
use crate::producers::{connect, create_topic};
use crate::seeds::for_some_seeds;

const TOPIC: &str = "table";
const KEYS: u64 = 10;
const RECORDS: u64 = 250;
const VALUE_BYTES: usize = 20_000;
const SEGMENT_BYTES: u64 = 1 << 20;
const CONFIGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "1048576"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "1000"),
];

/// Sends values and tombstones; returns what they come to.
async fn fill(sim: &Sim, host: &Host) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let producer =
        Producer::new(&connect(host).await, ProducerConfig::default()).expect("it is there and answers");
    let mut table = BTreeMap::new();
    for n in 0..RECORDS {
        let key = host.random_below(KEYS).to_string().into_bytes();
        let value = (host.random_below(8) > 0).then(|| {
            let mut value = n.to_string().into_bytes();
            value.resize(VALUE_BYTES, b'.');
            value
        });
        let record = ProducerRecord { value: value.as_deref(), ..ProducerRecord::new(TOPIC).key(&key) };
        let delivery = producer.send(record).await.expect("it is there and answers");
        match value {
            Some(value) => table.insert(key, value),
            None => table.remove(&key),
        };
        if host.random_below(20) == 0 {
            delivery.await.expect("it is there and answers");
            host.sleep(Duration::from_secs(host.random_below(100))).await;
        }
        if host.random_below(60) == 0 {
            sim.crash(NODE);
        }
    }
    producer.flush().await.expect("it is there and answers");
    producer.close().await.expect("it is there and answers");
    table
}

/// Reads all there is: how many values (tombstones take no room), and what the records come to.
async fn fold(host: &Host) -> (u64, BTreeMap<Vec<u8>, Vec<u8>>) {
    let client = connect(host).await;
    let partition = TopicPartition::new(TOPIC, 0);
    let config = ConsumerConfig { auto_offset_reset: AutoOffsetReset::Earliest, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(&client, config).expect("it is there and answers");
    consumer.assign(std::slice::from_ref(&partition)).expect("it is there and answers");
    let (mut count, mut table) = (0, BTreeMap::new());
    while consumer.position(&partition).is_none_or(|position| position < RECORDS as i64) {
        let polled = consumer.poll(Duration::from_secs(1)).await.expect("it is there and answers");
        for record in polled.records {
            count += u64::from(record.value.is_some());
            let key = record.key.expect("it is there and answers").to_vec();
            match record.value {
                Some(value) => table.insert(key, value.to_vec()),
                None => table.remove(&key),
            };
        }
    }
    (count, table)
}

fn run(seed: u64) {
    let sim = Sim::new(seed, SimOptions::default());
    sim.block_on(async {
        let broker = BrokerProcess::start(&sim, &[("log.cleaner.backoff.ms", "500")]);
        let host = sim.node("client");
        let work = async {
            create_topic(&host, TOPIC, 1).await;
            let configs: Vec<_> = CONFIGS.iter().map(|(key, value)| (*key, Some(*value))).collect();
            let topic = ConfigResource::Topic(TOPIC.to_string());
            connect(&host)
                .await
                .admin()
                .alter_configs(&topic, &configs)
                .await
                .expect("it is there and answers");
            let table = fill(&sim, &host).await;
            host.sleep(Duration::from_secs(300)).await;
            for is_again in [false, true] {
                let (count, folded) = fold(&host).await;
                assert_eq!(folded, table, "seed {seed}");
                // At most what the open segment holds, and a record a key.
                let most = SEGMENT_BYTES / VALUE_BYTES as u64 + KEYS;
                assert!(count <= most, "seed {seed}: {count} values are left, {most} at most");
                if !is_again {
                    sim.crash(NODE);
                }
            }
        };
        let in_time = host.timeout(Duration::from_secs(100_000), broker.keep_running_while(work)).await;
        assert!(in_time.is_ok(), "seed {seed}");
    });
    assert_eq!(sim.panics(), [], "seed {seed}");
}

#[test]
fn a_compacted_topic_shrinks_and_keeps_its_meaning() {
    for_some_seeds("a_compacted_topic_shrinks_and_keeps_its_meaning", run);
}
