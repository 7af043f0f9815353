//! Topics that an application cannot do without, deleted under it, and some made anew: what is lost is told, nothing hangs, and
//! nothing goes on as if nothing had happened.
//!
//! A source topic that is gone ends every instance; one that is made anew in time is read from its start. Without its changelog
//! a store's state is lost, whether that is noticed at once or by the next start; without a repartition topic what is on its
//! way, which is nothing if all instances were closed: the next start makes it anew.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Admin, NewTopic, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::sim::NetworkOptions;
use anabranch_host::{Host, Sim, SimOptions};
use futures::future::join_all;

use crate::broker_process::BrokerProcess;
use crate::committed::{all, newest};
use crate::instances::of_the_world;
use crate::producers::{connect, create_topic};
use crate::runs::come_to_rest;
use crate::seeds::for_each_seed;

/// An instance ends by then, or hangs.
const HANGS: Duration = Duration::from_secs(900);
const PARTITIONS: i32 = 2;

const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let words = builder.stream(Topic::<String, String>::new("words"));
    words.to("out");
    words.group_by(|_, word| word.clone()).count_with(COUNTS).updates().to("counts");
    builder.build().expect("a valid topology")
}

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    lost: &'static str,
    /// It is made anew at once.
    comes_again: bool,
    /// The instances do not run meanwhile.
    while_down: bool,
    instances: usize,
    guarantee: Guarantee,
    has_directory: bool,
}

const LOST: [&str; 3] = ["words", "lost-counts-changelog", "lost-counts-repartition"];

impl Setting {
    fn draw(host: &Host) -> Setting {
        let flip = || host.random_below(2) == 0;
        let lost = LOST[host.random_below(3) as usize];
        let comes_again = flip();
        Setting {
            lost,
            comes_again,
            while_down: flip(),
            instances: 1 + host.random_below(2) as usize,
            guarantee: if flip() { ExactlyOnce } else { AtLeastOnce },
            has_directory: flip(),
        }
    }

    async fn start(&self, host: &Host) -> Result<RunningStreams> {
        let streams = Streams::new("lost", topology())
            .guarantee(self.guarantee)
            .config("commit.interval.ms", 100)
            .config("metadata.max.age.ms", 1000)
            .config("task.timeout.ms", 30_000)
            .config("producer.delivery.timeout.ms", 30_000);
        let streams = if self.has_directory { streams.state_dir("/var/lib/app") } else { streams };
        of_the_world(streams, host).start().await
    }

    async fn start_all(&self, sim: &Sim) -> Vec<Result<RunningStreams>> {
        let hosts: Vec<Host> = (0..self.instances).map(|number| sim.node(&format!("app{number}"))).collect();
        join_all(hosts.iter().map(|host| self.start(host))).await
    }
}

async fn write(host: &Host, from: i64, to: i64) {
    let client = connect(host).await;
    let config =
        ProducerConfig { max_block_ms: 2000, delivery_timeout_ms: 5000, ..ProducerConfig::default() };
    let producer = Producer::new(&client, config).expect("a valid configuration");
    for number in from..to {
        let (key, word) = (format!("k{number}"), format!("w{}", number % 7));
        let record = ProducerRecord::new("words").key(key.as_bytes()).value(word.as_bytes());
        if let Ok(delivery) = producer.send(record.partition(number as i32 % PARTITIONS)).await {
            // What cannot be written belongs to a topic that is gone.
            let _ = delivery.await;
        }
        host.sleep(Duration::from_millis(host.random_below(50))).await;
    }
}

async fn lose(admin: &Admin, setting: &Setting) {
    let deleted = admin.delete_topics(&[setting.lost]).await.expect("nothing fails");
    deleted.into_values().for_each(|deleted| deleted.expect("nothing fails"));
    if setting.comes_again {
        let created = admin.create_topics(&[NewTopic::new(setting.lost, PARTITIONS)]).await;
        created.expect("nothing fails").into_values().for_each(|created| assert!(created.is_ok()));
    }
}

/// Waits until an instance has ended by itself. What it says then.
async fn end(running: RunningStreams) -> String {
    running.run_until_ctrl_c().await.expect_err("nobody interrupts it").to_string()
}

/// What the instances say who are started, or have been.
async fn said(sim: &Sim, setting: &Setting, running: Vec<RunningStreams>, writer: &Host) -> Vec<String> {
    if setting.while_down {
        let started = setting.start_all(sim).await;
        let ends = started.into_iter().map(|started| async {
            match started {
                Ok(running) => end(running).await,
                Err(error) => error.to_string(),
            }
        });
        return tokio::join!(join_all(ends), write(writer, 200, 300)).0;
    }
    tokio::join!(join_all(running.into_iter().map(end)), write(writer, 200, 300)).0
}

async fn run_in_the_world(sim: &Sim, setting: &Setting) {
    let writer = sim.node("writer");
    for (topic, partitions) in [("words", PARTITIONS), ("out", 1), ("counts", 1)] {
        create_topic(&writer, topic, partitions).await;
    }
    let admin = connect(&writer).await.admin();
    let mut running = Vec::new();
    for started in setting.start_all(sim).await {
        running.push(started.expect("nothing fails"));
    }
    write(&writer, 0, 100).await;
    running[0].drain().await.expect("nothing fails");
    if setting.while_down {
        for running in running.drain(..) {
            running.close().await.expect("nothing fails");
        }
    }
    lose(&admin, setting).await;
    // With a repartition topic the broker forgets what was committed of it, so a start makes it anew and goes on.
    let is_made_anew = setting.lost == "lost-counts-repartition" && setting.while_down;
    if !(is_made_anew || setting.lost == "words" && setting.comes_again) {
        let said = said(sim, setting, running, &writer).await;
        let names_it = |said: &String| said.contains(setting.lost);
        assert!(said.iter().all(names_it), "{setting:?}: {said:#?}");
        // A start does not make up for it.
        if setting.lost == "lost-counts-changelog" {
            let again = setting.start(&sim.node("app0")).await.err().map(|error| error.to_string());
            assert!(again.as_ref().is_some_and(names_it), "{setting:?}: {again:?}");
        }
        return;
    }
    if setting.while_down {
        for started in setting.start_all(sim).await {
            running.push(started.expect("nothing fails"));
        }
    }
    write(&writer, 200, 300).await;
    let there = all(&writer, "words", PARTITIONS).await;
    assert!(there.len() > 50, "{setting:?}: {} records", there.len());
    let out = loop {
        for (number, running) in running.iter_mut().enumerate() {
            // It may have heard that the topic was gone before that came again.
            if running.state() == State::Error {
                *running = setting.start(&sim.node(&format!("app{number}"))).await.expect("nothing fails");
            }
        }
        let out = all(&writer, "out", 1).await;
        let counted = newest(&writer, "counts", 1).await.values().sum::<i64>() as usize;
        let is_counted = !is_made_anew || counted >= there.len();
        if is_counted && there.iter().all(|record| out.iter().any(|out| out.key == record.key)) {
            assert!(!is_made_anew || setting.guarantee == AtLeastOnce || counted == there.len(), "{counted}");
            break out;
        }
        writer.sleep(Duration::from_millis(500)).await;
    };
    if setting.guarantee == ExactlyOnce {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        out.iter().for_each(|record| *times.entry(&record.key).or_default() += 1);
        assert!(times.values().all(|times| *times == 1), "{setting:?}: {times:?}");
    }
    for running in running {
        running.close().await.expect("nothing fails");
    }
}

#[test]
fn a_topic_that_is_lost_is_told() {
    for_each_seed("a_topic_that_is_lost_is_told", |seed| {
        // So that what is heard of topics comes late.
        let network = NetworkOptions {
            stall_probability: 0.05,
            stall: Duration::from_millis(10)..=Duration::from_millis(1500),
            ..NetworkOptions::default()
        };
        let sim = Sim::new(seed, SimOptions { network, ..SimOptions::default() });
        let setting = Setting::draw(&sim.node("setting"));
        println!("seed {seed}: {setting:?}");
        let work = async {
            let broker = BrokerProcess::start(&sim, &[("auto.create.topics.enable", "false")]);
            broker.keep_running_while(Box::pin(run_in_the_world(&sim, &setting))).await;
        };
        come_to_rest(&sim, HANGS, work);
    });
}
