//! Clients that send, each on a node of its own, and write down what became of every record.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anabranch_client::{Client, ClientConfig, NewTopic, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim};
use anabranch_protocol::ErrorCode;
use anabranch_protocol::records::Compression;

use crate::broker_process::ADDRESS;
use crate::history::{Log, Outcome, Recorder, bytes_of};
use crate::runs::one_of;

/// What the producers of a run are like; from the seed.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    /// Records are at most so long.
    pub(crate) record_bytes: u64,
    /// Between two sends lie at most so many microseconds.
    pub(crate) pause_us: u64,
    /// After so many records, about, a producer is closed and another takes over.
    pub(crate) records_per_producer: u64,
}

impl Load {
    pub(crate) fn draw(host: &Host, topic: &str) -> Load {
        Load {
            topic: topic.to_string(),
            partitions: one_of(host, &[1, 2, 5]),
            record_bytes: one_of(host, &[8, 100, 2000, 20_000]),
            pause_us: one_of(host, &[2_000, 20_000, 200_000]),
            records_per_producer: one_of(host, &[20, 200, 1_000_000]),
        }
    }

    pub(crate) fn logs(&self) -> Vec<Log> {
        (0..self.partitions).map(|partition| (self.topic.clone(), partition)).collect()
    }
}

/// A client, however long it takes to reach the broker.
pub(crate) async fn connect(host: &Host) -> Client {
    let config = ClientConfig {
        bootstrap_servers: vec![ADDRESS.to_string()],
        request_timeout_ms: 5000,
        ..ClientConfig::default()
    };
    loop {
        match Client::connect(host, host.dialer(), config.clone()).await {
            Ok(client) => return client,
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
    }
}

/// Makes the topic, however long it takes.
pub(crate) async fn create_topic(host: &Host, name: &str, partitions: i32) {
    let admin = connect(host).await.admin();
    let topic = NewTopic::new(name, partitions);
    loop {
        let results = admin.create_topics(std::slice::from_ref(&topic)).await;
        match results.map(|mut results| results.remove(name)) {
            Ok(Some(Ok(_))) => return,
            // The first attempt got through and its answer did not.
            Ok(Some(Err(error))) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => return,
            Ok(Some(Err(error))) | Err(error) => assert!(error.is_retriable(), "{error}"),
            Ok(None) => panic!("no result for the topic"),
        }
    }
}

/// Sends from `nodes` nodes until `until` has passed, and until the fate of all is known.
pub(crate) async fn produce(sim: &Sim, nodes: &[String], load: &Load, until: Duration, recorder: &Recorder) {
    let numbers = Rc::new(Cell::new(0));
    let senders = nodes.iter().map(|node| {
        let (host, load, recorder, numbers) =
            (sim.node(node), load.clone(), recorder.clone(), numbers.clone());
        async move {
            while host.now().since_start() < until {
                numbers.set(numbers.get() + 1);
                produce_once(&host, &load, until, numbers.get(), &recorder).await;
            }
        }
    });
    futures::future::join_all(senders).await;
}

/// The life of one producer.
async fn produce_once(host: &Host, load: &Load, until: Duration, number: u32, recorder: &Recorder) {
    let client = connect(host).await;
    let producer = Producer::new(&client, draw_config(host)).expect("a valid configuration");
    let mut outcomes = Vec::new();
    let count = 1 + host.random_below(2 * load.records_per_producer);
    for index in 0..count {
        if host.now().since_start() >= until {
            break;
        }
        let partition = host.random_below(load.partitions as u64) as i32;
        let value = u64::from(number) << 40 | index;
        let bytes = bytes_of(value, host.random_below(load.record_bytes + 1) as usize);
        let sent = recorder.send(number, (load.topic.clone(), partition), value);
        match producer.send(ProducerRecord::new(&load.topic).partition(partition).value(&bytes)).await {
            Ok(delivery) => {
                let recorder = recorder.clone();
                outcomes.push(host.spawn(async move {
                    // Without an acknowledgement nobody knows.
                    if let Ok(metadata) = delivery.await {
                        let offset = (metadata.offset >= 0).then_some(metadata.offset);
                        recorder.outcome(&sent, Outcome::Acked { offset });
                    }
                }));
            }
            // It was not taken, so it never leaves.
            Err(_) => recorder.outcome(&sent, Outcome::Refused),
        }
        if host.random_below(10) > 0 {
            host.sleep(Duration::from_micros(host.random_below(load.pause_us))).await;
        }
    }
    // Some are closed properly, some just let go.
    if host.random_below(2) == 0 {
        // Whatever it says of all, each record knows its own fate.
        let _ = producer.close().await;
    }
    for outcome in outcomes {
        outcome.await.expect("no panic");
    }
}

fn draw_config(host: &Host) -> ProducerConfig {
    let compressions = [
        Compression::None,
        Compression::None,
        Compression::Lz4,
        Compression::Zstd,
        Compression::Snappy,
        Compression::Gzip,
    ];
    ProducerConfig {
        linger_ms: [0, 0, 5, 100][host.random_below(4) as usize],
        batch_size: [1, 200, 16_384][host.random_below(3) as usize],
        compression_type: compressions[host.random_below(6) as usize],
        max_in_flight_requests_per_connection: 1 + host.random_below(5) as usize,
        // With a short one many fates stay unknown.
        delivery_timeout_ms: [1000, 10_000, 120_000][host.random_below(3) as usize],
        max_block_ms: 10_000,
        buffer_memory: [100_000, 33_554_432][host.random_below(2) as usize],
        ..ProducerConfig::default()
    }
}
