//! Instances that stand still for longer than their session, and wake up late: at least once, nothing keeps them and their
//! heirs apart. What they do late may be done twice, but nothing is missed, and nothing hangs.
//!
//! What a late one writes to a changelog stands behind its heir's rows, so nothing is said of counts here
//! (`docs/from-kafka-streams.md`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::committed::all;
use crate::instances::{Instances, process_the_rest, while_they_run};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos};
use crate::seeds::Witness;

const PARTITIONS: i32 = 3;
const INSTANCES: usize = 2;
/// Instances stand still now and then for so long...
const TROUBLE: Duration = Duration::from_secs(40);
/// ...and then the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);
/// Something is done twice in some run.
const TWICE: &str = "twice";

type Times = BTreeMap<String, usize>;

/// Every line is copied, by way of a repartition topic, and counted.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let lines = builder.stream(Topic::<String, String>::new("lines"));
    let words = lines.select_key(|_, line| line.clone()).repartition();
    words.to("copies");
    let key = |_: &String, line: &String| line.chars().last().map(String::from).unwrap_or_default();
    words.group_by(key).count_with(Store::named("counts")).updates().to("counts");
    builder.build().expect("a valid topology")
}

/// Sends lines, no two alike, until the trouble is over. Those that were acknowledged.
async fn write(host: Host) -> Vec<String> {
    let client = connect(&host).await;
    let producer = Producer::new(&client, ProducerConfig::default()).expect("a valid configuration");
    let written = Rc::new(RefCell::new(Vec::new()));
    let mut fates = Vec::new();
    let mut number = 0;
    while host.now().since_start() < TROUBLE {
        let line = format!("line {number}");
        number += 1;
        let partition = host.random_below(PARTITIONS as u64) as i32;
        let record = ProducerRecord::new("lines").key(&b"line"[..]).partition(partition);
        // What the producer does not take, for want of room or time, never leaves.
        if let Ok(delivery) = producer.send(record.value(line.as_bytes())).await {
            let written = Rc::clone(&written);
            fates.push(async move {
                if delivery.await.is_ok() {
                    written.borrow_mut().push(line);
                }
            });
        }
        host.sleep(Duration::from_millis(host.random_below(30))).await;
    }
    futures::future::join_all(fates).await;
    written.take()
}

/// Lets one instance after the other stand still, mostly for longer than its session.
async fn stand_still(sim: &Sim) {
    let host = sim.node("nemesis");
    while host.now().since_start() < TROUBLE {
        host.sleep(Duration::from_millis(host.random_below(5000))).await;
        let node = format!("app{}", host.random_below(INSTANCES as u64));
        sim.pause(&node);
        host.sleep(Duration::from_millis(5000 + host.random_below(10_000))).await;
        sim.resume(&node);
    }
}

/// A whole run, judged.
fn run(sim: &Sim, witness: &mut Witness) {
    witness.begin_seed();
    let setting = sim.node("setting");
    let setting = Instances { count: INSTANCES, guarantee: AtLeastOnce, ..Instances::draw(&setting) };
    println!("seed {}: {setting:?}", sim.seed());
    let streams = |host: &Host| setting.streams("late", topology(), host).create_topics(PARTITIONS);
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let work = async {
            create_topic(&sim.node("writer"), "lines", PARTITIONS).await;
            let nodes = setting.nodes();
            let work = async { tokio::join!(write(sim.node("writer")), stand_still(sim)).0 };
            let written = while_they_run(sim, &nodes, streams, work).await;
            nodes.iter().for_each(|node| sim.kill(node));
            let host = sim.node("last");
            Box::pin(process_the_rest(&host, streams, async |_| Ok(()))).await;
            let mut copied = Times::new();
            for copy in all(&host, "copies", PARTITIONS).await {
                *copied.entry(copy.key).or_default() += 1;
            }
            (written, copied)
        };
        broker.keep_running_while(Box::pin(work)).await
    };
    let (written, copied) = come_to_rest(sim, TROUBLE + REST, work);
    let missing: Vec<_> = written.iter().filter(|line| !copied.contains_key(*line)).collect();
    assert!(missing.is_empty(), "{} of {} lines are missing: {missing:?}", missing.len(), written.len());
    if copied.values().any(|times| *times > 1) {
        witness.saw(TWICE);
    }
}

#[test]
fn what_wakes_up_late_misses_nothing() {
    let mut witness = Witness::default();
    for_each_chaos("what_wakes_up_late_misses_nothing", |sim, _: &SimOptions| run(sim, &mut witness));
    witness.must_have_seen([TWICE]);
}
