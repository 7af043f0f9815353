//! Exactly once, and nobody has said how often is to be committed: results come as soon as it is quiet, in not too many
//! transactions, and in none while nothing happens. Whoever sets the interval gets that.

use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{
    Client, Consumer, ConsumerConfig, IsolationLevel, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};
use anabranch_host::{Host, Instant, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::instances::of_the_world;
use crate::producers::{connect, create_topic};
use crate::runs::come_to_rest;
use crate::seeds::for_some_seeds;

/// How many records come, and how long after one another.
const RECORDS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(3);
/// For so long nothing happens then.
const SILENCE: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(60);

/// What was seen of an application.
#[derive(Debug)]
struct Seen {
    /// How late the results came, from the quickest.
    delays: Vec<Duration>,
    /// Commits while records came, and in the silence after them.
    commits: u64,
    idle_commits: u64,
}

async fn start(host: &Host, commit_interval_ms: Option<u64>) -> RunningStreams {
    let builder = StreamsBuilder::new();
    builder.stream(Topic::<Option<String>, String>::new("in")).to("out");
    let streams = Streams::new("quiet", builder.build().expect("a valid topology")).guarantee(ExactlyOnce);
    let streams = match commit_interval_ms {
        Some(interval) => streams.config("commit.interval.ms", interval),
        None => streams,
    };
    of_the_world(streams, host).start().await.expect("nothing fails")
}

async fn write(host: &Host, client: &Client) -> Vec<Instant> {
    let config = ProducerConfig { linger_ms: 0, ..ProducerConfig::default() };
    let producer = Producer::new(client, config).expect("a valid configuration");
    let mut sent = Vec::new();
    for _ in 0..RECORDS {
        sent.push(host.now());
        drop(producer.send(ProducerRecord::new("in").value(&b"line"[..])).await.expect("room"));
        host.sleep(PAUSE).await;
    }
    sent
}

/// When each record came out.
async fn read(host: &Host, client: &Client) -> Vec<Instant> {
    let config =
        ConsumerConfig { isolation_level: IsolationLevel::ReadCommitted, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(client, config).expect("a valid configuration");
    let out = TopicPartition::new("out", 0);
    consumer.assign(std::slice::from_ref(&out)).expect("no group");
    consumer.seek_to_beginning(&out).expect("assigned");
    let mut seen = Vec::new();
    while seen.len() < RECORDS as usize {
        let polled = consumer.poll(Duration::from_millis(500)).await.expect("nothing fails");
        seen.extend(polled.records.iter().map(|_| host.now()));
    }
    seen
}

fn commits(running: &RunningStreams) -> u64 {
    let metrics = running.metrics();
    let of = |line: &str| {
        line.strip_prefix("kafka_streams_thread_commit_latency_seconds_count")?
            .rsplit(' ')
            .next()?
            .parse()
            .ok()
    };
    metrics.lines().find_map(of).unwrap_or(0)
}

fn run(seed: u64, commit_interval_ms: Option<u64>) -> Seen {
    let sim = Sim::new(seed, SimOptions::default());
    let work = async {
        let broker = BrokerProcess::start(&sim, &[]);
        let work = async {
            let host = sim.node("user");
            create_topic(&host, "in", 1).await;
            create_topic(&host, "out", 1).await;
            let running = start(&sim.node("app"), commit_interval_ms).await;
            let client = connect(&host).await;
            let before = commits(&running);
            let (sent, came) = tokio::join!(write(&host, &client), read(&host, &client));
            // The last commit is told.
            host.sleep(Duration::from_secs(1)).await;
            let at_end = commits(&running);
            host.sleep(SILENCE).await;
            let after = commits(&running);
            running.close().await.expect("nothing fails");
            let mut delays: Vec<_> = came.into_iter().zip(sent).map(|(came, sent)| came - sent).collect();
            delays.sort_unstable();
            Seen { delays, commits: at_end - before, idle_commits: after - at_end }
        };
        broker.keep_running_while(work).await
    };
    come_to_rest(&sim, REST, work)
}

#[test]
fn exactly_once_results_come_as_soon_as_it_is_quiet() {
    for_some_seeds("exactly_once_results_come_as_soon_as_it_is_quiet", |seed| {
        let check = |commit_interval_ms, slowest: Duration, most_commits: u64| {
            let Seen { delays, commits, idle_commits } = run(seed, commit_interval_ms);
            println!("seed {seed}, {commit_interval_ms:?}: {commits} commits, at most {:?}", delays.last());
            // In time of the simulation.
            assert!(delays.last() <= Some(&slowest), "{commit_interval_ms:?}: {:?}", delays.last());
            assert!(commits <= most_commits, "{commit_interval_ms:?}: {commits}");
            assert_eq!(idle_commits, 0, "{commit_interval_ms:?}");
            delays[delays.len() / 2]
        };
        let took = PAUSE * RECORDS;
        let every =
            |interval: Duration| u64::try_from(took.as_millis() / interval.as_millis()).expect("few") + 2;
        let early = check(None, Duration::from_millis(50), every(Duration::from_millis(10)));
        let set = check(Some(100), Duration::from_millis(150), every(Duration::from_millis(100)));
        assert!(early * 2 < set, "{early:?}, {set:?}");
    });
}
