//! One instance asks that the application ends everywhere, and every instance hears it, in whatever order the group's
//! answers come.

use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::sim::NetworkOptions;
use anabranch_host::{Host, Sim, SimOptions};
use futures::future::join_all;

use crate::broker_process::{ADDRESS, BrokerProcess};
use crate::producers::{connect, create_topic};
use crate::runs::come_to_rest;
use crate::seeds::for_each_seed;

const INSTANCES: usize = 3;
const PARTITIONS: i32 = 4;

/// A number for each line; "poison" is none.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream("lines").try_map_values(|line: String| line.parse::<i64>()).to("numbers");
    builder.build().expect("a valid topology")
}

async fn start(host: Host, guarantee: Guarantee) -> RunningStreams {
    let streams = Streams::new("end-of-all", topology())
        .on(host.clone(), host.dialer())
        .bootstrap_server(ADDRESS)
        .create_topics(PARTITIONS)
        .guarantee(guarantee)
        // A record often fails while the commit before it is under way.
        .config("commit.interval.ms", 20)
        .on_processing_error(fail())
        .on_uncaught_error(|_| ShutdownApplication);
    streams.start().await.expect("nothing fails")
}

/// Waits until an instance has ended by itself. What it says then.
async fn end(running: RunningStreams) -> String {
    running.run_until_ctrl_c().await.expect_err("nobody interrupts it").to_string()
}

/// Some lines, and at last one that no instance can process.
async fn write(host: &Host) {
    let client = connect(host).await;
    let producer = Producer::new(&client, ProducerConfig::default()).expect("a valid configuration");
    for line in 0..host.random_below(20) {
        let line = line.to_string();
        let delivery =
            producer.send(ProducerRecord::new("lines").value(line.as_bytes())).await.expect("room");
        delivery.await.expect("nothing fails");
        host.sleep(Duration::from_millis(host.random_below(300))).await;
    }
    let poison = producer.send(ProducerRecord::new("lines").value(&b"poison"[..])).await.expect("room");
    poison.await.expect("nothing fails");
}

fn run(sim: &Sim) {
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let instances = async {
            let operator = sim.node("operator");
            create_topic(&operator, "lines", PARTITIONS).await;
            let guarantee = match sim.seed() % 2 {
                0 => AtLeastOnce,
                _ => ExactlyOnce,
            };
            let starts = (0..INSTANCES).map(|number| start(sim.node(&format!("app{number}")), guarantee));
            let running = join_all(starts).await;
            tokio::join!(write(&operator), join_all(running.into_iter().map(end))).1
        };
        broker.keep_running_while(instances).await
    };
    let said = come_to_rest(sim, Duration::from_secs(60), work);
    let of = |cause: &str| said.iter().filter(|said| said.contains(cause)).count();
    assert_eq!((of("invalid digit"), of("an instance has asked")), (1, INSTANCES - 1), "{said:#?}");
}

#[test]
fn every_instance_hears_that_all_are_to_end() {
    for_each_seed("every_instance_hears_that_all_are_to_end", |seed| {
        // So that answers overtake one another.
        let network = NetworkOptions {
            stall_probability: 0.1,
            stall: Duration::from_millis(10)..=Duration::from_millis(500),
            ..NetworkOptions::default()
        };
        run(&Sim::new(seed, SimOptions { network, ..SimOptions::default() }));
    });
}
