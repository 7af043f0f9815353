//! An instance is closed while nobody reaches the broker: in the time that its user gives it, whatever it waits for, and never as
//! if the last work were committed. The next start does it again, and nothing is lost.

use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::{BrokerProcess, NODE};
use crate::committed::all;
use crate::instances::of_the_world;
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, one_of};
use crate::seeds::for_each_seed;

/// How long an end may take that may take its time...
const PATIENCE: Duration = Duration::from_secs(1000);
/// ...and how much longer than it should one that may not.
const GIVE_UP: Duration = Duration::from_secs(1);
const PARTITIONS: i32 = 2;

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    guarantee: Guarantee,
    threads: usize,
    task_timeout_ms: u64,
    has_directory: bool,
    /// The time that it has.
    within: Option<Duration>,
    /// When it is closed, after the broker is out of reach.
    after: Duration,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        Setting {
            guarantee: one_of(host, &[AtLeastOnce, ExactlyOnce]),
            threads: one_of(host, &[1, 2]),
            task_timeout_ms: one_of(host, &[0, 60_000, 300_000]),
            has_directory: host.random_below(2) == 0,
            within: one_of(host, &[None, seconds(0), seconds(3), seconds(20)]),
            after: Duration::from_millis(one_of(host, &[0, 100, 5000])),
        }
    }

    async fn start(&self, host: &Host) -> RunningStreams {
        let builder = StreamsBuilder::new();
        let places = builder.global_table(Topic::<String, String>::new("places"));
        let visits = builder.stream(Topic::<String, String>::new("visits"));
        visits.left_join_global(&places, |place, _| place.clone(), |visit, _| visit.clone()).to("out");
        let streams = Streams::new("closing", builder.build().expect("a valid topology"))
            .guarantee(self.guarantee)
            .threads(self.threads)
            .config("commit.interval.ms", 4000)
            .config("task.timeout.ms", self.task_timeout_ms);
        let streams = if self.has_directory { streams.state_dir("/var/lib/app") } else { streams };
        of_the_world(streams, host).start().await.expect("nothing fails")
    }
}

async fn write(host: &Host, numbers: std::ops::Range<i32>) {
    let producer = Producer::new(&connect(host).await, ProducerConfig::default()).expect("sound");
    for number in numbers {
        let value = number.to_string();
        let record = ProducerRecord::new("visits").key("k").value(value.as_bytes());
        producer
            .send(record.partition(number % PARTITIONS))
            .await
            .expect("room")
            .await
            .expect("nothing fails");
    }
}

async fn run_in_the_world(sim: &Sim, setting: &Setting) {
    let operator = sim.node("operator");
    for (topic, partitions) in [("visits", PARTITIONS), ("places", 1), ("out", 1)] {
        create_topic(&operator, topic, partitions).await;
    }
    let running = setting.start(&sim.node("app0")).await;
    write(&operator, 0..10).await;
    running.drain().await.expect("nothing fails");
    write(&operator, 10..20).await;
    // So that it is processed, and not committed.
    operator.sleep(Duration::from_millis(500)).await;
    sim.isolate(NODE);
    operator.sleep(setting.after).await;
    let began = operator.now();
    let closed = match setting.within {
        None => running.close().await,
        Some(within) => running.close_within(within).await,
    };
    let took = operator.now() - began;
    let said = closed.expect_err("the last work cannot be committed").to_string();
    println!("{took:?}: {said}");
    let longest = setting.within.map_or(PATIENCE, |within| within + GIVE_UP);
    assert!(took <= longest, "{setting:?}: {took:?}");
    sim.heal();
    let running = setting.start(&sim.node("app0")).await;
    running.drain().await.expect("nothing fails");
    running.close().await.expect("nothing fails");
    let mut values: Vec<i32> = Vec::new();
    for record in all(&operator, "out", 1).await {
        values.push(String::from_utf8(record.value).expect("text").parse().expect("a number"));
    }
    values.sort_unstable();
    if setting.guarantee == AtLeastOnce {
        values.dedup();
    }
    assert_eq!(values, (0..20).collect::<Vec<_>>(), "{setting:?}");
}

#[test]
fn an_end_in_an_outage_is_told_as_such() {
    for_each_seed("an_end_in_an_outage_is_told_as_such", |seed| {
        let sim = Sim::new(seed, SimOptions::default());
        let setting = Setting::draw(&sim.node("setting"));
        println!("seed {seed}: {setting:?}");
        let work = async {
            let broker = BrokerProcess::start(&sim, &[]);
            broker.keep_running_while(Box::pin(run_in_the_world(&sim, &setting))).await;
        };
        come_to_rest(&sim, PATIENCE * 2, work);
    });
}
