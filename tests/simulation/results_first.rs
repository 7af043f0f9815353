//! At least once, results are written before the state forgets what they are made of: while their topic is gone, no
//! changelog forgets what has not come out. Whoever is killed then, whenever, misses nothing when the topic is there again.
//!
//! Three operators let go of rows as their results go out: a suppression, a join of a record that has met nothing, one of a
//! record that has waited for versions of a table. Behind the join a table with a cache counts, so that its updates are held
//! back.

use std::collections::BTreeSet;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::committed::all;
use crate::instances::{of_the_world, process_the_rest};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, one_of};
use crate::seeds::for_each_seed;

const REST: Duration = Duration::from_secs(600);
/// A killed instance is missed after its session's time.
const MISSED: Duration = Duration::from_secs(10);
/// Times of records are this or [`LATER_MS`]; what is open at the one is over at the other.
const BEGIN_MS: i64 = 1_749_980_000_000;
const LATER_MS: i64 = BEGIN_MS + 60_000;
const WINDOW: Duration = Duration::from_secs(1);
const INPUTS: [&str; 5] = ["events", "left", "right", "rows", "asks"];
/// Those whose records are held back, and what their results are called.
const HELD_BACK: [(&str, &str); 3] = [("events", "final"), ("left", "alone"), ("asks", "answer")];
const RESULTS: &str = "results";
const KEYS: u32 = 10;

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    /// The input whose records are let go, and its results.
    lets_go: (&'static str, &'static str),
    threads: usize,
    commit_interval_ms: u64,
    cache_max_bytes: usize,
    has_directory: bool,
    /// What is at the end of each key: with long ones a batch of a changelog is full at once, and could go out alone.
    padding: usize,
    /// How long it tries to write results before it is killed.
    tries: Duration,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting {
            lets_go: one_of(host, &HELD_BACK),
            threads: one_of(host, &[1, 2]),
            commit_interval_ms: one_of(host, &[10, 1000]),
            cache_max_bytes: one_of(host, &[0, 10_000_000]),
            has_directory: host.random_below(2) == 0,
            padding: one_of(host, &[0, 50_000]),
            tries: Duration::from_millis(host.random_below(4000)),
        }
    }

    fn key(&self, number: u32) -> String {
        format!("k{number}{}", "-".repeat(self.padding))
    }

    fn streams(&self, host: &Host) -> Streams {
        let streams = Streams::new("results-first", topology())
            .guarantee(AtLeastOnce)
            .threads(self.threads)
            .create_topics(1)
            .config("commit.interval.ms", self.commit_interval_ms)
            .config("statestore.cache.max.bytes", self.cache_max_bytes);
        let streams = if self.has_directory { streams.state_dir("/var/lib/app") } else { streams };
        of_the_world(streams, host)
    }
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let stream = |name: &'static str| builder.stream(Topic::<String, String>::new(name));
    let counts = stream("events").group_by_key().windowed_by(Tumbling::of(WINDOW)).count();
    let finals = counts.suppress(until_window_closes()).to_stream();
    finals.map(|key, _| (format!("final {}", key.key), 1)).to(RESULTS);

    let alone = stream("left").left_join(&stream("right"), JoinWindows::of(WINDOW), |_, _| 1_i64);
    let counted = alone.group_by_key().count();
    counted.to_stream().map(|key, _| (format!("alone {key}"), 1)).to(RESULTS);

    let rows = Store::<Versioned<String, String>>::named("rows").history(hours(1));
    let rows = builder.table_with(Topic::<String, String>::new("rows"), rows);
    let late = Joined::new().grace(WINDOW);
    let answers = stream("asks").left_join_table_with(&rows, |_, _, _| 1, late);
    answers.map(|key, _| (format!("answer {key}"), 1)).to(RESULTS);
    builder.build().expect("a valid topology")
}

async fn write(producer: &Producer, topic: &str, key: &str, timestamp: i64) {
    let record = ProducerRecord::new(topic).key(key.as_bytes()).value(&b"v"[..]).timestamp(timestamp);
    producer.send(record).await.expect("room").await.expect("nothing fails");
}

async fn run_in_the_world(sim: &Sim, setting: &Setting) {
    let operator = sim.node("operator");
    for topic in INPUTS.into_iter().chain([RESULTS]) {
        create_topic(&operator, topic, 1).await;
    }
    let client = connect(&operator).await;
    let producer = Producer::new(&client, ProducerConfig::default()).expect("a valid configuration");
    let (input, results) = setting.lets_go;
    for key in 0..KEYS {
        write(&producer, input, &setting.key(key), BEGIN_MS).await;
    }
    // Its state is there, committed, and nothing is out.
    let app = sim.node("app0");
    process_the_rest(&app, |host| setting.streams(host), async |_| Ok(())).await;

    let running = setting.streams(&app).start().await.expect("nothing fails");
    let deleted = client.admin().delete_topics(&[RESULTS]).await.expect("nothing fails");
    deleted.into_values().for_each(|result| result.expect("it was there"));
    write(&producer, input, "end", LATER_MS).await;
    operator.sleep(setting.tries).await;
    sim.kill("app0");
    drop(running);
    create_topic(&operator, RESULTS, 1).await;
    operator.sleep(MISSED).await;

    let app = sim.node("app0");
    process_the_rest(&app, |host| setting.streams(host), async |_| Ok(())).await;
    let found: BTreeSet<String> =
        all(&operator, RESULTS, 1).await.into_iter().map(|record| record.key).collect();
    let wanted: BTreeSet<String> = (0..KEYS).map(|key| format!("{results} {}", setting.key(key))).collect();
    let missing: Vec<&str> =
        wanted.difference(&found).map(|result| &result[..result.len().min(10)]).collect();
    assert!(missing.is_empty() && found.len() == wanted.len(), "{setting:?}: {missing:?} are missing");
}

#[test]
fn state_is_never_ahead_of_results() {
    for_each_seed("state_is_never_ahead_of_results", |seed| {
        let sim = Sim::new(seed, SimOptions::default());
        let setting = Setting::draw(&sim.node("setting"));
        println!("seed {seed}: {setting:?}");
        let work = async {
            let broker = BrokerProcess::start(&sim, &[("auto.create.topics.enable", "false")]);
            broker.keep_running_while(Box::pin(run_in_the_world(&sim, &setting))).await;
        };
        come_to_rest(&sim, REST, work);
    });
}
