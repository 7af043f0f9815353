//! Word count in the simulated world: broker, writers and the application's instances, while all of them fail.
//!
//! At least once: of every line that was acknowledged each word counts, some may count twice. Exactly once: each counts
//! once. Either way the store, its changelog and the output agree in the end, and a run in which nothing fails is exact.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::sim::{NetworkOptions, assert_same_trace};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::committed::newest;
use crate::instances::{Instances, all_rows, process_the_rest};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos, one_of};
use crate::seeds::for_some_seeds;
use crate::trouble::Trouble;

const COUNTS: Store<KeyValue<String, i64>> = Store::named("word-counts");

/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(20);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);
/// An instance that nothing disturbs has stopped by then.
const STOP: Duration = Duration::from_secs(60);

type Words = BTreeMap<String, i64>;

/// Counts the words of lines.
pub(crate) fn topology(counts: Store<KeyValue<String, i64>>) -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream("lines")
        .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count_with(counts)
        .updates()
        .to("counts");
    builder.build().expect("a valid topology")
}

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    partitions: i32,
    instances: Instances,
    cache_max_bytes: usize,
    distinct_words: u64,
    /// Between two lines of a writer lie at most so many microseconds.
    pause_us: u64,
    /// Whether anything fails.
    troubled: bool,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting {
            partitions: one_of(host, &[1, 2, 3]),
            instances: Instances::draw(host),
            cache_max_bytes: one_of(host, &[0, 1000, 10_000_000]),
            distinct_words: one_of(host, &[3, 100]),
            pause_us: one_of(host, &[20_000, 200_000]),
            troubled: host.random_below(8) > 0,
        }
    }

    fn streams(&self, host: &Host) -> Streams {
        let streams = self.instances.streams("word-count", topology(COUNTS), host);
        streams.create_topics(self.partitions).config("statestore.cache.max.bytes", self.cache_max_bytes)
    }
}

/// What the writers know of their words.
#[derive(Clone, Default)]
struct Written {
    sent: Rc<RefCell<Words>>,
    acknowledged: Rc<RefCell<Words>>,
}

fn add(words: &RefCell<Words>, line: &str) {
    for word in line.split(' ') {
        *words.borrow_mut().entry(word.to_owned()).or_default() += 1;
    }
}

/// Sends lines until `until` has passed and the fate of each is known.
async fn write(host: Host, setting: Setting, until: Duration, written: Written) {
    let client = connect(&host).await;
    let producer = Producer::new(&client, ProducerConfig::default()).expect("a valid configuration");
    let mut fates = Vec::new();
    while host.now().since_start() < until {
        let words = 1 + host.random_below(5);
        let word = |_| format!("w{}", host.random_below(setting.distinct_words));
        let line = (0..words).map(word).collect::<Vec<_>>().join(" ");
        let partition = host.random_below(setting.partitions as u64) as i32;
        let record = ProducerRecord::new("lines").partition(partition).value(line.as_bytes());
        // What the producer does not take, for want of room or time, never leaves.
        if let Ok(delivery) = producer.send(record).await {
            add(&written.sent, &line);
            let acknowledged = Rc::clone(&written.acknowledged);
            fates.push(async move {
                if delivery.await.is_ok() {
                    add(&acknowledged, &line);
                }
            });
        }
        host.sleep(Duration::from_micros(host.random_below(setting.pause_us))).await;
    }
    futures::future::join_all(fates).await;
}

/// What the store has.
async fn counts_of(running: &RunningStreams) -> Result<Words> {
    all_rows(running, "word-count", COUNTS).await
}

/// A whole run, judged. Gives how many words were counted.
fn run(sim: &Sim, options: &SimOptions) -> i64 {
    let setting = Setting::draw(&sim.node("setting"));
    println!("seed {}: {setting:?}", sim.seed());
    if !setting.troubled {
        sim.set_network(NetworkOptions::default());
    }
    let written = Written::default();
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let trouble = async {
            create_topic(&sim.node("writer0"), "lines", setting.partitions).await;
            let trouble = Trouble::new(sim, options, &broker, &setting.instances, TROUBLE);
            let trouble = trouble.only_if(setting.troubled);
            let writer = |node| write(sim.node(node), setting.clone(), TROUBLE, written.clone());
            let work = async { tokio::join!(writer("writer0"), writer("writer1")) };
            trouble.while_they_run(&["writer0", "writer1"], |host| setting.streams(host), work).await;
            let host = sim.node("last");
            if !setting.troubled {
                setting.instances.nodes().iter().for_each(|node| sim.interrupt(node));
                host.sleep(STOP).await;
            }
            setting.instances.kill(sim);
            let counts = Box::pin(process_the_rest(&host, |host| setting.streams(host), counts_of)).await;
            let output = newest(&host, "counts", setting.partitions).await;
            let changelog = newest(&host, "word-count-word-counts-changelog", setting.partitions).await;
            (counts, output, changelog)
        };
        broker.keep_running_while(Box::pin(trouble)).await
    };
    let (counts, output, changelog) = come_to_rest(sim, TROUBLE + REST, work);
    for (word, acknowledged) in written.acknowledged.borrow().iter() {
        let counted = counts.get(word).copied().unwrap_or(0);
        assert!(counted >= *acknowledged, "{word}: {acknowledged} acknowledged, {counted} counted");
    }
    if setting.instances.guarantee == ExactlyOnce {
        for (word, counted) in &counts {
            let sent = written.sent.borrow().get(word).copied().unwrap_or(0);
            assert!(*counted <= sent, "{word}: {sent} sent, {counted} counted exactly once");
        }
    }
    assert_eq!(changelog, counts, "the changelog (left) brings the store (right) back");
    assert_eq!(output, counts, "the output's newest (left) are the store's (right)");
    if !setting.troubled {
        assert_eq!(counts, *written.sent.borrow(), "nothing failed, so each word counts once");
    }
    counts.values().sum()
}

#[test]
fn no_word_is_lost() {
    let mut counted = 0;
    for_each_chaos("no_word_is_lost", |sim, options| {
        counted += run(sim, options);
    });
    assert!(counted > 0, "nothing was counted");
}

#[test]
fn two_runs_of_a_word_count_are_one() {
    for_some_seeds("two_runs_of_a_word_count_are_one", |seed| {
        let options = SimOptions::chaos(seed);
        assert_same_trace(seed, &options, |sim| {
            run(sim, &options);
        });
    });
}
