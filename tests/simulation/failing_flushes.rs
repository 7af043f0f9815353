//! Results that cannot be written now and then, when caches are flushed: in the midst of work, and when tasks are about to
//! leave their worker. A worker that fails so is replaced, and what it had under way must have no effect.
//!
//! Exactly once: what is counted in the end is what the input holds, each record once, and store, changelog and output agree.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::committed::{all, newest};
use crate::instances::{Instances, all_rows, process_the_rest, while_they_run};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos, one_of};

const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
const PARTITIONS: i32 = 4;
/// Results fail for so long...
const TROUBLE: Duration = Duration::from_secs(20);
/// ...and then the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    instances: Instances,
    /// One result in so many cannot be written.
    fails_once_in: u64,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting {
            instances: Instances {
                count: one_of(host, &[2, 3]),
                guarantee: ExactlyOnce,
                commit_interval_ms: one_of(host, &[100, 1000, 3000]),
                replaces: true,
                ..Instances::draw(host)
            },
            fails_once_in: one_of(host, &[5, 10, 20]),
        }
    }

    fn streams(&self, host: &Host) -> Streams {
        let builder = StreamsBuilder::new();
        let results = Fails { host: host.clone(), once_in: self.fails_once_in };
        builder
            .stream(Topic::<String, String>::new("clicks"))
            .group_by_key()
            .count_with(COUNTS)
            .updates()
            .to(Topic::<String, i64>::with_serdes("results", text(), results));
        let topology = builder.build().expect("a valid topology");
        let streams = self.instances.streams("flushed", topology, host);
        streams.create_topics(PARTITIONS).on_production_error(fail())
    }
}

/// Kafka's `Long`, which cannot be written now and then as long as the trouble lasts.
struct Fails {
    host: Host,
    once_in: u64,
}

impl Serde<i64> for Fails {
    fn serialize(&self, _: &SerdeContext<'_>, count: &i64, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        if self.host.now().since_start() < TROUBLE && self.host.random_below(self.once_in) == 0 {
            return Err(SerdeError::new("no luck"));
        }
        out.extend_from_slice(&count.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, _: &SerdeContext<'_>, _: &[u8]) -> Result<i64, SerdeError> {
        Err(SerdeError::new("nobody reads results"))
    }
}

/// Sends clicks until the trouble is over and the fate of each is known.
async fn write(host: Host) {
    let client = connect(&host).await;
    let producer = Producer::new(&client, ProducerConfig::default()).expect("a valid configuration");
    let mut fates = Vec::new();
    while host.now().since_start() < TROUBLE {
        let key = format!("k{}", host.random_below(20));
        let record = ProducerRecord::new("clicks").key(key.as_bytes()).value(&b"x"[..]);
        // What the producer does not take, for want of room or time, never leaves.
        if let Ok(delivery) = producer.send(record).await {
            fates.push(delivery);
        }
        host.sleep(Duration::from_millis(host.random_below(40))).await;
    }
    futures::future::join_all(fates).await;
}

/// Ends instances, which come back: tasks move all the time.
async fn come_and_go(sim: &Sim, instances: usize) {
    let host = sim.node("operator of all");
    while host.now().since_start() < TROUBLE {
        host.sleep(Duration::from_millis(500 + host.random_below(2500))).await;
        let node = format!("app{}", host.random_below(instances as u64));
        if host.random_below(2) == 0 { sim.kill(&node) } else { sim.interrupt(&node) }
    }
}

/// What the store has.
async fn counts_of(running: &RunningStreams) -> Result<BTreeMap<String, i64>> {
    all_rows(running, "flushed", COUNTS).await
}

/// A whole run, judged. Gives how many clicks were counted.
fn run(sim: &Sim, _: &SimOptions) -> i64 {
    let setting = Setting::draw(&sim.node("setting"));
    println!("seed {}: {setting:?}", sim.seed());
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let trouble = async {
            create_topic(&sim.node("writer"), "clicks", PARTITIONS).await;
            let nodes = setting.instances.nodes();
            let work =
                async { tokio::join!(write(sim.node("writer")), come_and_go(sim, setting.instances.count)) };
            while_they_run(sim, &nodes, |host| setting.streams(host), work).await;
            nodes.iter().for_each(|node| sim.kill(node));
            let host = sim.node("last");
            let counts = Box::pin(process_the_rest(&host, |host| setting.streams(host), counts_of)).await;
            let mut expected: BTreeMap<String, i64> = BTreeMap::new();
            for click in all(&host, "clicks", PARTITIONS).await {
                *expected.entry(click.key).or_default() += 1;
            }
            let output = newest(&host, "results", PARTITIONS).await;
            let changelog = newest(&host, "flushed-counts-changelog", PARTITIONS).await;
            (counts, expected, output, changelog)
        };
        broker.keep_running_while(Box::pin(trouble)).await
    };
    let (counts, expected, output, changelog) = come_to_rest(sim, TROUBLE + REST, work);
    assert_eq!(counts, expected, "the store (left) has what the input holds (right)");
    assert_eq!(changelog, counts, "the changelog (left) brings the store (right) back");
    assert_eq!(output, counts, "the output's newest (left) are the store's (right)");
    counts.values().sum()
}

#[test]
fn flushes_that_fail_have_no_effect() {
    let mut counted = 0;
    for_each_chaos("flushes_that_fail_have_no_effect", |sim, options| counted += run(sim, options));
    assert!(counted > 0, "nothing was counted");
}
