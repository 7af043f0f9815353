//! How long a broker with many partitions takes to open after a clean stop, and how much memory it has then.
//!
//! `cargo bench -p anabranch-broker --bench start [-- PARTITIONS [DIRECTORY]]`: 10,000 partitions, each with a batch of
//! an idempotent producer, in a temporary directory unless told otherwise.

#![allow(clippy::disallowed_methods, reason = "a bench measures with the machine's own clock")]

use std::path::Path;
use std::time::{Duration, Instant};

use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_host::{ByteStream, Host};
use anabranch_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use anabranch_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use anabranch_protocol::records::{BatchBuilder, Compression, seal, set_producer};
use anabranch_protocol::{Request, RequestHeader, encode_request};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PARTITIONS_PER_TOPIC: i32 = 100;
const STARTS: usize = 5;

async fn call<'a, R: Request<'a>>(stream: &mut ByteStream, version: i16, request: &R) {
    let header = RequestHeader::new(R::KEY, version, 1, None);
    stream.write_all(&encode_request(&header, request).into_bytes()).await.expect("the broker reads");
    let length = stream.read_i32().await.expect("the broker answers");
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await.expect("the broker answers");
}

async fn open(host: &Host, directory: &Path) -> EmbeddedBroker {
    let text = format!("log.dirs={}", directory.display());
    let config = BrokerConfig::from_properties(&text).expect("good keys");
    EmbeddedBroker::start(host.clone(), config).await.expect("the directory is in order")
}

fn batch(producer_id: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(1_750_000_000_000, Some(b"key"), Some(&[b'v'; 100]), []).expect("it is small");
    let mut batch = builder.finish();
    set_producer(&mut batch, producer_id, 0, 0);
    seal(&mut batch);
    batch.freeze()
}

async fn fill(host: &Host, directory: &Path, partitions: i32) {
    let broker = open(host, directory).await;
    let mut stream = broker.dialer().connect("here").await.expect("it is there");
    for topic in 0..(partitions + PARTITIONS_PER_TOPIC - 1) / PARTITIONS_PER_TOPIC {
        let name = format!("topic-{topic}");
        let num_partitions = PARTITIONS_PER_TOPIC.min(partitions - topic * PARTITIONS_PER_TOPIC);
        let wish =
            CreatableTopic { name: &name, num_partitions, replication_factor: 1, ..Default::default() };
        let create = CreateTopicsRequest { topics: vec![wish], timeout_ms: 60_000, ..Default::default() };
        call(&mut stream, 5, &create).await;
        let records = batch(i64::from(topic));
        let partition_data = (0..num_partitions)
            .map(|index| PartitionProduceData { index, records: Some(records.clone()) })
            .collect();
        let topic_data = vec![TopicProduceData { name: &name, partition_data, ..Default::default() }];
        let produce = ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data, ..Default::default() };
        call(&mut stream, 9, &produce).await;
    }
    drop(stream);
    broker.shutdown().await;
}

/// `VmRSS` of this process.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let partitions = arguments.first().map_or(10_000, |text| text.parse().expect("a number of partitions"));
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = arguments.get(1).map_or(temporary.path(), |path| Path::new(path));
    let (host, runtime) = Host::real(2).expect("threads");
    runtime.block_on(async {
        let began = Instant::now();
        fill(&host, directory, partitions).await;
        println!("{partitions} partitions made and filled in {:.1?}", began.elapsed());
        let mut starts: Vec<(Duration, Duration)> = Vec::new();
        for _ in 0..STARTS {
            let began = Instant::now();
            let broker = open(&host, directory).await;
            let opened = began.elapsed();
            let began = Instant::now();
            broker.shutdown().await;
            starts.push((opened, began.elapsed()));
        }
        let broker = open(&host, directory).await;
        let memory = resident_mib();
        broker.shutdown().await;
        starts.sort();
        let (opened, stopped) = starts[STARTS / 2];
        println!("open after a clean stop: {opened:.0?} (median of {STARTS}); clean stop: {stopped:.0?}; {memory} MiB resident");
    });
}
