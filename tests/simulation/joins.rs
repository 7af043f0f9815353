//! A stream-stream join and a windowed count behind a repartition in the simulated world, while everything fails.
//!
//! Both are judged by what their input topics hold in the end, whatever the order in which it was read: no record is late.
//! Exactly once: each pair that meets is written once, and the last count of each window is right. At least once: each pair
//! is there, and no count is too low.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::commit_phases::CommitPhases;
use crate::committed::{Seen, all, number};
use crate::instances::{Instances, impatient, process_the_rest};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos, one_of};
use crate::trouble::Trouble;

/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(15);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);
/// Of both inputs, which are joined.
const PARTITIONS: i32 = 2;
/// Records meet whose times are no farther apart; windows are as long.
const WINDOW_MS: i64 = 1000;
/// Times of records lie within this.
const SPAN_MS: u64 = 10_000;

/// Values are numbers that no other record has.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let left = builder.stream(Topic::<String, i64>::new("left"));
    let right = builder.stream(Topic::<String, i64>::new("right"));
    let within = JoinWindows::of(millis(WINDOW_MS as u64)).grace(hours(24));
    left.join(&right, within, |left, right| format!("{left} {right}")).to("pairs");
    left.group_by(|key, number| format!("{key} {}", number % 3))
        .windowed_by(Tumbling::of(millis(WINDOW_MS as u64)).grace(hours(24)))
        .count()
        .updates()
        .map(|key, count| (format!("{} {}", key.key, key.window.start_ms), count))
        .to("counts");
    builder.build().expect("a valid topology")
}

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    instances: Instances,
    cache_max_bytes: usize,
    /// With little of it rows that come back are put aside.
    memory_max_bytes: u64,
    /// It gives up soon what nobody answers.
    is_impatient: bool,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting {
            instances: Instances::draw(host),
            cache_max_bytes: one_of(host, &[0, 10_000_000]),
            memory_max_bytes: one_of(host, &[0, 2000, 64_000_000]),
            is_impatient: host.random_below(2) == 0,
        }
    }

    fn streams(&self, host: &Host) -> Streams {
        let streams = self.instances.streams("joins", topology(), host);
        let streams = streams
            .create_topics(1)
            .config("statestore.cache.max.bytes", self.cache_max_bytes)
            .config("statestore.memory.max.bytes", self.memory_max_bytes);
        if self.is_impatient { impatient(streams) } else { streams }
    }
}

/// Sends records of one side until the trouble is over and the fate of each is known.
async fn write(host: Host, side: &'static str) {
    let client = connect(&host).await;
    let producer = Producer::new(&client, ProducerConfig::default()).expect("a valid configuration");
    let mut fates = Vec::new();
    let mut number = 0i64;
    while host.now().since_start() < TROUBLE {
        let key = format!("k{}", host.random_below(4));
        let value = number.to_be_bytes();
        let record = ProducerRecord::new(side)
            .key(key.as_bytes())
            .value(&value[..])
            .timestamp(host.random_below(SPAN_MS) as i64);
        // What the producer does not take, for want of room or time, never leaves.
        if let Ok(delivery) = producer.send(record).await {
            fates.push(delivery);
        }
        number += 1;
        host.sleep(Duration::from_millis(host.random_below(150))).await;
    }
    futures::future::join_all(fates).await;
}

/// What inputs and outputs hold in the end.
struct Outcome {
    left: Vec<Seen>,
    right: Vec<Seen>,
    pairs: Vec<Seen>,
    counts: Vec<Seen>,
}

fn judge(outcome: &Outcome, guarantee: Guarantee) -> usize {
    let Outcome { left, right, pairs, counts } = outcome;
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for pair in pairs {
        let both = String::from_utf8(pair.value.clone()).expect("text");
        *met.entry(format!("{} {both}", pair.key)).or_default() += 1;
    }
    let mut expected = BTreeMap::new();
    for l in left {
        for r in right.iter().filter(|r| r.key == l.key && (r.timestamp - l.timestamp).abs() <= WINDOW_MS) {
            expected.insert(format!("{} {} {}", l.key, number(&l.value), number(&r.value)), 1);
        }
    }
    let total = expected.len();
    let mut counted: BTreeMap<String, i64> = BTreeMap::new();
    counted.extend(counts.iter().map(|count| (count.key.clone(), number(&count.value))));
    let mut wanted: BTreeMap<String, i64> = BTreeMap::new();
    for l in left {
        let start = l.timestamp / WINDOW_MS * WINDOW_MS;
        *wanted.entry(format!("{} {} {start}", l.key, number(&l.value) % 3)).or_default() += 1;
    }
    match guarantee {
        ExactlyOnce => {
            assert_eq!(met, expected, "pairs written (left) are those that meet (right), each once");
            assert_eq!(counted, wanted, "counts (left) are those of the input (right)");
        }
        AtLeastOnce => {
            assert!(met.keys().eq(expected.keys()), "pairs {met:?}, expected {expected:?}");
            for (window, count) in &wanted {
                assert!(counted.get(window).is_some_and(|counted| counted >= count), "{window}: {count}");
            }
        }
    }
    total
}

/// A whole run, judged. Gives how many pairs met.
fn run(sim: &Sim, options: &SimOptions) -> usize {
    let setting = Setting::draw(&sim.node("setting"));
    println!("seed {}: {setting:?}", sim.seed());
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let trouble = async {
            let operator = sim.node("last");
            create_topic(&operator, "left", PARTITIONS).await;
            create_topic(&operator, "right", PARTITIONS).await;
            let trouble = Trouble::new(sim, options, &broker, &setting.instances, TROUBLE);
            let work =
                async { tokio::join!(write(sim.node("left"), "left"), write(sim.node("right"), "right")) };
            trouble.while_they_run(&["left", "right"], |host| setting.streams(host), work).await;
            setting.instances.kill(sim);
            Box::pin(process_the_rest(&operator, |host| setting.streams(host), async |_| Ok(()))).await;
            Outcome {
                left: all(&operator, "left", PARTITIONS).await,
                right: all(&operator, "right", PARTITIONS).await,
                pairs: all(&operator, "pairs", 1).await,
                counts: all(&operator, "counts", 1).await,
            }
        };
        broker.keep_running_while(Box::pin(trouble)).await
    };
    let outcome = come_to_rest(sim, TROUBLE + REST, work);
    judge(&outcome, setting.instances.guarantee)
}

#[test]
fn joins_and_windows_are_whole() {
    let (mut met, mut seeds) = (0, 0);
    let phases = CommitPhases::default();
    phases.watch(|| {
        for_each_chaos("joins_and_windows_are_whole", |sim, options| {
            met += run(sim, options);
            seeds += 1;
        });
    });
    assert!(met > 0, "nothing has met");
    phases.all_met(seeds);
}
