//! How long a line takes to become counts: from the moment it was due to be sent until a read_committed consumer has the count
//! of its word, at a steady rate.
//!
//! ```text
//! cargo build --release -p anabranch-cli && cargo bench -p anabranch-tests --bench latency
//! cargo bench -p anabranch-tests --bench latency -- --guarantee exactly_once_v2 --commit-ms 10 --rate 1000 --seconds 20
//! cargo bench -p anabranch-tests --bench latency -- --bootstrap-server HOST:PORT --theirs    # who counts runs already
//! tests/benchmarks/beside_kafka_streams    # in turns with Kafka Streams, on Apache Kafka
//! ```
//!
//! The application is the word count of `word_count.rs`, without cache, its state in memory; each line is one word that was never
//! there, which names the moment. Without `--commit-ms` it commits as it does by default. With `--theirs`
//! another application counts from `benchmark-lines` to the topic that `--counts` names. Nothing here decides whether a test
//! passes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a program that measures the world it runs in"
)]

use std::time::{Duration, Instant};

use anabranch::prelude::*;
use anabranch_client::{
    Client, ClientConfig, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};
use anabranch_host::Host;
use anabranch_tests::arguments::Arguments;
use anabranch_tests::server::Server;

const LINES: Topic<Option<String>, String> = Topic::new("benchmark-lines");

fn main() {
    let arguments = Arguments::of_this_program();
    let guarantee = arguments.value("--guarantee").unwrap_or("at_least_once".into());
    let commit_ms = arguments.value("--commit-ms");
    let counts = arguments.value("--counts").unwrap_or(format!("benchmark-counts-{}", std::process::id()));
    let theirs = arguments.has("--theirs");
    let server = arguments
        .value("--bootstrap-server")
        .map_or_else(Server::start, |address| Server::running(address, None));

    // The application has a runtime, and its workers threads, of their own.
    let application = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (host, measuring) = Host::real(1).unwrap();
    let client = measuring.block_on(async {
        let config = ClientConfig::from_pairs([("bootstrap.servers", server.address.as_str())]).unwrap();
        let client = Client::connect(&host, host.dialer(), config).await.unwrap();
        let topics = [NewTopic::new("benchmark-lines", 1), NewTopic::new(&counts, 1)];
        client.admin().create_topics(&topics).await.unwrap(); // what is there already is taken as it is
        client
    });
    let running = (!theirs).then(|| {
        application.block_on(async {
            let builder = StreamsBuilder::new();
            builder
                .stream(LINES)
                .flat_map_values(|line| line.split(' ').map(str::to_string).collect::<Vec<_>>())
                .group_by(|_, word| word.clone())
                .count()
                .updates()
                .to(Topic::<String, i64>::named(counts.clone()));
            let id = format!("benchmark-latency-{}", std::process::id());
            let app = Streams::new(id, builder.build().unwrap())
                .bootstrap_server(&server.address)
                .config("processing.guarantee", &guarantee)
                .config("statestore.cache.max.bytes", 0)
                .config("auto.offset.reset", "latest");
            let app = match &commit_ms {
                Some(commit_ms) => app.config("commit.interval.ms", commit_ms),
                None => app,
            };
            app.start().await.unwrap()
        })
    });
    let (rate, seconds) = (arguments.number("--rate", 1000), arguments.number("--seconds", 12));
    let mut delays = measuring.block_on(measure(&host, &client, &counts, rate, seconds));
    delays.sort_unstable();
    let at = |per_mille: usize| delays[(delays.len() * per_mille / 1000).min(delays.len() - 1)] as f64 / 1e3;
    println!(
        "{}: {guarantee}, commit {}, cache 0 B, {rate} lines/s, {} lines: p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, \
         at most {:.1} ms",
        if theirs { "Kafka Streams" } else { "Anabranch" },
        commit_ms.map_or("by default".into(), |commit_ms| format!("{commit_ms} ms")),
        delays.len(),
        at(500),
        at(990),
        at(999),
        at(1000),
    );
    if let Some(running) = running {
        application.block_on(running.close()).unwrap();
    }
}

/// Sends lines when they are due, and gives how many microseconds later each one's count came.
async fn measure(host: &Host, client: &Client, counts: &str, rate: u64, seconds: u64) -> Vec<u64> {
    let pairs =
        [("isolation.level", "read_committed"), ("fetch.min.bytes", "1"), ("auto.offset.reset", "latest")];
    let mut consumer = Consumer::new(client, ConsumerConfig::from_pairs(pairs).unwrap()).unwrap();
    consumer.assign(&[TopicPartition::new(counts, 0)]).unwrap();
    let pairs = [("linger.ms", "0")];
    let producer = Producer::new(client, ProducerConfig::from_pairs(pairs).unwrap()).unwrap();

    // Until a first line has come through, and then a second's worth: all that starts has started.
    let start = Instant::now();
    let mut first = 0;
    while first == 0 {
        drop(producer.send(ProducerRecord::new("benchmark-lines").value("warm")).await.unwrap());
        first = consumer.poll(Duration::from_millis(200)).await.unwrap().records.len();
    }
    let warm_up = start.elapsed().as_micros() as u64 + 500_000;
    let measured_from = warm_up + 2_000_000;
    let total = rate * (seconds + 2);

    let sender = async {
        for number in 0..total {
            let due = warm_up + number * 1_000_000 / rate;
            let now = start.elapsed().as_micros() as u64;
            if due > now {
                host.sleep(Duration::from_micros(due - now)).await;
            }
            let line = format!("t{due}");
            drop(producer.send(ProducerRecord::new("benchmark-lines").value(&line)).await.unwrap());
        }
        producer.flush().await.unwrap();
    };
    let receiver = async {
        let mut delays = Vec::new();
        let mut seen = 0;
        while seen < total {
            for record in consumer.poll(Duration::from_millis(100)).await.unwrap().records {
                let key = record.key.unwrap_or_default();
                let Some(due) = std::str::from_utf8(&key).unwrap().strip_prefix('t') else { continue };
                let due: u64 = due.parse().unwrap();
                seen += 1;
                if due >= measured_from {
                    delays.push(start.elapsed().as_micros() as u64 - due);
                }
            }
        }
        delays
    };
    let ((), delays) = tokio::join!(sender, receiver);
    delays
}
