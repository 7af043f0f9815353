//! State directories that fail: no room, syncs, writes and reads that fail, flipped bits, files that are gone or old; and
//! changelogs that no longer reach back to what is on disk.
//!
//! Whatever happens to it, local state is a copy: what is counted in the end is what the input holds, each word once under
//! exactly once, and store, changelog and output agree. An instance may end with an error meanwhile; its operator starts it
//! again, on the same disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord, TopicPartition};
use anabranch_host::sim::DiskOptions;
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::committed::{all, newest};
use crate::instances::{nodes_of, of_the_world, process_the_rest, while_they_run};
use crate::nemesis::{Fault, Nemesis};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos, one_of};
use crate::seeds::Witness;

const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
const CHANGELOG: &str = "kept-counts-changelog";

/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(12);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);

/// A killed instance is missed after its session's time, also by a broker that has just begun.
const MISSED: Duration = Duration::from_secs(15);

const STATE: &str = "/var/lib/app";
const JOURNAL: &str = "/var/lib/app/kept/stores/journal";
/// What may vanish.
const FILES: [&str; 4] =
    [JOURNAL, "/var/lib/app/kept/stores", "/var/lib/app/kept/process-id", "/var/lib/app/kept"];

/// What can fail of an instance's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StateFault {
    FullDisk,
    BadSync,
    BadWrites,
    BadReads,
    Flip,
    FlipWhileDown,
    Remove,
    RemoveWhileDown,
    Kill,
    Crash,
    Truncate,
    Backup,
}

const STATE_FAULTS: [StateFault; 12] = [
    StateFault::FullDisk,
    StateFault::BadSync,
    StateFault::BadWrites,
    StateFault::BadReads,
    StateFault::Flip,
    StateFault::FlipWhileDown,
    StateFault::Remove,
    StateFault::RemoveWhileDown,
    StateFault::Kill,
    StateFault::Crash,
    StateFault::Truncate,
    StateFault::Backup,
];

impl StateFault {
    fn name(self) -> &'static str {
        match self {
            StateFault::FullDisk => "full disk",
            StateFault::BadSync => "sync that fails",
            StateFault::BadWrites => "writes that fail",
            StateFault::BadReads => "reads that fail",
            StateFault::Flip => "bit flipped while running",
            StateFault::FlipWhileDown => "bit flipped while down",
            StateFault::Remove => "files removed while running",
            StateFault::RemoveWhileDown => "files removed while down",
            StateFault::Kill => "kill",
            StateFault::Crash => "power lost",
            StateFault::Truncate => "changelog truncated",
            StateFault::Backup => "old copy put back",
        }
    }
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream(Topic::<String, String>::new("lines"))
        .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count_with(COUNTS)
        .updates()
        .to("counts");
    builder.build().expect("a valid topology")
}

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    partitions: i32,
    instances: usize,
    threads: usize,
    commit_interval_ms: u64,
    memory_max_bytes: u64,
    distinct_words: u64,
    guarantee: Guarantee,
    standbys: u64,
    /// Whether a worker that has failed is replaced; else its instance ends.
    replaces: bool,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting {
            partitions: one_of(host, &[1, 2, 3]),
            instances: one_of(host, &[1, 1, 2]),
            threads: one_of(host, &[1, 2]),
            commit_interval_ms: one_of(host, &[10, 100, 1000]),
            memory_max_bytes: one_of(host, &[0, 2000, 64_000_000]),
            distinct_words: one_of(host, &[3, 100]),
            guarantee: if host.random_below(3) == 0 { AtLeastOnce } else { ExactlyOnce },
            standbys: one_of(host, &[0, 1]),
            replaces: host.random_below(2) == 0,
        }
    }

    fn streams(&self, host: &Host) -> Streams {
        let streams = Streams::new("kept", topology())
            .create_topics(self.partitions)
            .threads(self.threads)
            .guarantee(self.guarantee)
            .state_dir(STATE)
            .config("statestore.memory.max.bytes", self.memory_max_bytes)
            .config("commit.interval.ms", self.commit_interval_ms)
            .config("num.standby.replicas", self.standbys)
            // Records of a topic that is only compacted cannot be deleted.
            .config("topic.cleanup.policy", "compact,delete");
        let streams = of_the_world(streams, host);
        match self.replaces {
            true => streams.on_uncaught_error(|_| ReplaceThread),
            false => streams,
        }
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

/// Removes records of the changelog that later ones have replaced, so that nothing is lost but what is on disk may no longer
/// be read on from.
async fn truncate(host: &Host, setting: &Setting) {
    let mut newest: BTreeMap<(i32, String), i64> = BTreeMap::new();
    for record in all(host, CHANGELOG, setting.partitions).await {
        newest.insert((record.partition, record.key), record.offset);
    }
    let mut before: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for ((partition, _), offset) in newest {
        let least = before.entry(TopicPartition::new(CHANGELOG, partition)).or_insert(offset);
        *least = offset.min(*least);
    }
    let deleted = connect(host).await.admin().delete_records(&before).await;
    println!("truncated before {before:?}: {deleted:?}");
}

/// Brings some kinds of failures about, by the seed, and mends them.
async fn spoil(sim: &Sim, setting: &Setting, calm: &DiskOptions, witness: &RefCell<Witness>) {
    let host = sim.node("nemesis of state");
    let faults: Vec<_> = STATE_FAULTS.into_iter().filter(|_| host.random_below(3) == 0).collect();
    println!("seed {}: {faults:?}", sim.seed());
    let pick = |count: usize| host.random_below(count as u64) as usize;
    let mut backups = Vec::new();
    while !faults.is_empty() {
        host.sleep(Duration::from_millis(host.random_below(2500))).await;
        if host.now().since_start() >= TROUBLE {
            return;
        }
        let (fault, node) = (faults[pick(faults.len())], format!("app{}", pick(setting.instances)));
        println!("{:?} {fault:?} {node}", sim.now().since_start());
        let spoilt = match fault {
            StateFault::FullDisk => Some(DiskOptions { capacity_bytes: Some(0), ..calm.clone() }),
            StateFault::BadSync => Some(DiskOptions { sync_failure_probability: 0.7, ..calm.clone() }),
            StateFault::BadWrites => Some(DiskOptions { write_failure_probability: 0.3, ..calm.clone() }),
            StateFault::BadReads => Some(DiskOptions { read_failure_probability: 0.3, ..calm.clone() }),
            _ => None,
        };
        if matches!(fault, StateFault::FlipWhileDown | StateFault::RemoveWhileDown | StateFault::Kill) {
            sim.kill(&node);
        }
        let mut happened = true;
        match fault {
            StateFault::Flip | StateFault::FlipWhileDown => {
                for _ in 0..=pick(30) {
                    happened = sim.corrupt_file(&node, Path::new(JOURNAL)).is_ok();
                }
            }
            StateFault::Remove | StateFault::RemoveWhileDown => {
                happened = sim.remove(&node, Path::new(FILES[pick(FILES.len())])).is_ok();
            }
            StateFault::Crash => sim.crash(&node),
            StateFault::Truncate => {
                let old = format!("old {node}");
                sim.copy_disk(&node, &old);
                host.sleep(Duration::from_millis(host.random_below(3000))).await;
                truncate(&host, setting).await;
                if host.random_below(2) == 0 {
                    sim.copy_disk(&old, &node);
                }
            }
            StateFault::Backup => {
                let backup = format!("backup of {node}");
                happened = backups.contains(&node);
                match happened {
                    true => sim.copy_disk(&backup, &node),
                    false => {
                        sim.copy_disk(&node, &backup);
                        backups.push(node.clone());
                    }
                }
            }
            _ => {}
        }
        if let Some(spoilt) = spoilt {
            sim.set_disk(&node, spoilt);
            host.sleep(Duration::from_millis(host.random_below(4000))).await;
            sim.set_disk(&node, calm.clone());
            if fault == StateFault::BadSync {
                // What a sync has failed for fails until the machine starts anew.
                sim.crash(&node);
            }
        }
        if happened {
            witness.borrow_mut().saw(fault.name());
        }
    }
    host.sleep_until(anabranch_host::Instant::from_start(TROUBLE)).await;
}

/// What the store has.
async fn counts_of(running: &RunningStreams) -> Result<BTreeMap<String, i64>> {
    Ok(running.store(COUNTS)?.all().await?.into_iter().collect())
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
            let nodes = nodes_of(setting.instances);
            let known = [Fault::Kill, Fault::Reset];
            let nemesis = Nemesis::new(sim, &broker, &nodes, &known, options.disk.clone());
            let work = async {
                tokio::join!(
                    write(sim.node("writer"), setting.clone()),
                    nemesis.run(TROUBLE),
                    Box::pin(spoil(sim, &setting, &options.disk, witness)),
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
    match setting.guarantee {
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
    witness.borrow().must_have_seen(STATE_FAULTS.map(StateFault::name));
}
