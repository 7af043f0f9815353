//! State directories that fail, and changelogs that no longer reach back to what is on disk: words are counted.
//!
//! Whatever happens to it, local state is a copy: what is counted in the end is what the input holds, each word once under
//! exactly once, and store, changelog and output agree. An instance may end with an error meanwhile; its operator starts it
//! again, on the same disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::committed::{all, newest};
use crate::instances::{Instances, all_rows, process_the_rest, while_they_run};
use crate::nemesis::{Fault, Nemesis};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos, one_of};
use crate::seeds::Witness;
use crate::state_faults::{STATE, StateFaults, names};
use crate::word_count::topology;

const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
const CHANGELOG: &str = "kept-counts-changelog";

/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(12);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);

/// A killed instance is missed after its session's time, also by a broker that has just begun.
const MISSED: Duration = Duration::from_secs(15);

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    partitions: i32,
    instances: Instances,
    memory_max_bytes: u64,
    distinct_words: u64,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting {
            partitions: one_of(host, &[1, 2, 3]),
            instances: Instances::draw(host),
            memory_max_bytes: one_of(host, &[0, 2000, 64_000_000]),
            distinct_words: one_of(host, &[3, 100]),
        }
    }

    fn streams(&self, host: &Host) -> Streams {
        let streams = self.instances.streams("kept", topology(COUNTS), host);
        streams
            .create_topics(self.partitions)
            .state_dir(STATE)
            .config("statestore.memory.max.bytes", self.memory_max_bytes)
            // Records of a topic that is only compacted cannot be deleted.
            .config("topic.cleanup.policy", "compact,delete")
    }
}

/// Sends lines until the trouble is over and the fate of each is known.
async fn write(host: Host, setting: Setting) {
    let client = connect(&host).await;
    let producer = Producer::new(&client, ProducerConfig::default()).expect("a valid configuration");
    let mut fates = Vec::new();
    while host.now().since_start() < TROUBLE {
        let words = 1 + host.random_below(5);
        let word = |_| format!("w{}", host.random_below(setting.distinct_words));
        let line = (0..words).map(word).collect::<Vec<_>>().join(" ");
        let partition = host.random_below(setting.partitions as u64) as i32;
        let record = ProducerRecord::new("lines").partition(partition).key("line").value(line.as_bytes());
        // What the producer does not take, for want of room or time, never leaves.
        if let Ok(delivery) = producer.send(record).await {
            fates.push(delivery);
        }
        host.sleep(Duration::from_millis(host.random_below(100))).await;
    }
    futures::future::join_all(fates).await;
}

/// What the store has.
async fn counts_of(running: &RunningStreams) -> Result<BTreeMap<String, i64>> {
    all_rows(running, "kept", COUNTS).await
}

/// A whole run, judged.
fn run(sim: &Sim, options: &SimOptions, witness: &RefCell<Witness>) {
    witness.borrow_mut().begin_seed();
    let setting = Setting::draw(&sim.node("setting"));
    println!("seed {}: {setting:?}", sim.seed());
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let trouble = async {
            create_topic(&sim.node("writer"), "lines", setting.partitions).await;
            let nodes = setting.instances.nodes();
            let known = [Fault::Kill, Fault::Reset];
            let nemesis = Nemesis::new(sim, &broker, &nodes, &known, options.disk.clone());
            let faults = StateFaults {
                sim,
                application_id: "kept",
                instances: setting.instances.count,
                changelogs: &[CHANGELOG],
                partitions: setting.partitions,
                pause_ms: 2500,
                calm: &options.disk,
            };
            let work = async {
                tokio::join!(
                    write(sim.node("writer"), setting.clone()),
                    nemesis.run(TROUBLE),
                    Box::pin(faults.run(TROUBLE, witness)),
                )
            };
            while_they_run(sim, &nodes, |host| setting.streams(host), work).await;
            nodes.iter().for_each(|node| sim.kill(node));
            // Static members: until they are missed, those that do not come back keep their tasks.
            sim.sleep(MISSED).await;
            let counts =
                Box::pin(process_the_rest(&sim.node("app0"), |host| setting.streams(host), counts_of)).await;
            let host = sim.node("last");
            let mut expected: BTreeMap<String, i64> = BTreeMap::new();
            for line in all(&host, "lines", setting.partitions).await {
                let line = String::from_utf8(line.value).expect("text");
                line.split(' ').for_each(|word| *expected.entry(word.to_string()).or_default() += 1);
            }
            let output = newest(&host, "counts", setting.partitions).await;
            let changelog = newest(&host, CHANGELOG, setting.partitions).await;
            (counts, expected, output, changelog)
        };
        broker.keep_running_while(Box::pin(trouble)).await
    };
    let (counts, expected, output, changelog) = come_to_rest(sim, TROUBLE + REST, work);
    assert_eq!(changelog, counts, "the changelog (left) brings the store (right) back");
    assert_eq!(output, counts, "the output's newest (left) are the store's (right)");
    match setting.instances.guarantee {
        ExactlyOnce => assert_eq!(counts, expected, "counts (left) are those of the input (right)"),
        AtLeastOnce => {
            for (word, expected) in &expected {
                let counted = counts.get(word).copied().unwrap_or(0);
                assert!(counted >= *expected, "{word}: {expected} sent, {counted} counted");
            }
        }
    }
}

#[test]
fn state_that_fails_is_brought_back() {
    let witness = RefCell::default();
    for_each_chaos("state_that_fails_is_brought_back", |sim, options| {
        run(sim, options, &witness);
    });
    witness.borrow().must_have_seen(names());
}
