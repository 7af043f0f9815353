//! Outages of minutes: nobody reaches the broker for longer than clients try, also while tasks are moved. What an instance has
//! not committed is done again, and none ends by it: all of it passes within `task.timeout.ms`.
//!
//! Judged by what the input holds: each record comes out, exactly once under exactly once, and a store agrees with its changelog.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::sim::NetworkOptions;
use anabranch_host::{Host, Sim};

use crate::broker_process::{BrokerProcess, NODE};
use crate::committed::{all, newest, number};
use crate::instances::{Instances, all_rows, process_the_rest};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos, one_of};
use crate::seeds::Witness;

/// Outages come for so long...
const TROUBLE: Duration = Duration::from_secs(450);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(900);
/// An outage lasts so long: batches and calls are given up, tasks are not.
const SHORTEST_MS: u64 = 1_000;
const LONGEST_MS: u64 = 270_000;
/// Between two outages all that was undone is committed.
const QUIET: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 2;
const KEYS: u64 = 5;

const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");

/// Writes by the clock, so that something is to be sent also when nobody answers.
struct Clock;

impl Clock {
    fn new(ctx: &mut InitContext<'_, Self>) -> Self {
        ctx.schedule(seconds(1), WallClockTime, |_, time, ctx| {
            ctx.forward(Record::new("tick".to_owned(), time, time));
            Ok(())
        });
        Clock
    }
}

impl Processor for Clock {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(&mut self, _: Record<String, i64>, _: &mut ProcessorContext<'_, Self>) -> Result<()> {
        Ok(())
    }
}

/// Records as they are, and how many there were of each key.
fn topology(has_clock: bool) -> Topology {
    let builder = StreamsBuilder::new();
    let records = builder.stream(Topic::<String, i64>::new("in"));
    records.group_by_key().count_with(COUNTS);
    if has_clock {
        records.process(Clock::new).to("ticks");
    }
    records.to("out");
    builder.build().expect("a valid topology")
}

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    instances: Instances,
    /// Between two records lie at most so many milliseconds.
    pause_ms: u64,
    has_clock: bool,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        let pause_ms = one_of(host, &[100, 500, 5000]);
        Setting {
            instances: Instances {
                commit_interval_ms: one_of(host, &[100, 1000, 3000]),
                // Minutes of a transaction for each record take long.
                commits_early: pause_ms > 100 && host.random_below(2) == 0,
                // One that ends is seen.
                replaces: false,
                ..Instances::draw(host)
            },
            pause_ms,
            has_clock: host.random_below(2) == 0,
        }
    }

    fn streams(&self, host: &Host) -> Streams {
        self.instances.streams("outages", topology(self.has_clock), host).create_topics(1)
    }

    /// At least once, who is missed during an outage may write late what another has done since: then its stores count less
    /// than its output says.
    fn has_sound_stores(&self) -> bool {
        self.instances.guarantee == ExactlyOnce || self.instances.count == 1
    }
}

/// What all parts of a run look at.
#[derive(Default)]
struct Board {
    /// How many rebalances were begun.
    rebalances: Arc<AtomicU64>,
    /// Instances that have ended by themselves.
    ended: RefCell<Vec<String>>,
    is_over: Cell<bool>,
    outages: Cell<u64>,
}

/// Runs an instance on its node, and starts it again when it was killed.
async fn keep_running(sim: &Sim, node: &str, setting: &Setting, board: &Board) {
    let operator = sim.node("operator");
    loop {
        let (host, rebalances) = (sim.node(node), Arc::clone(&board.rebalances));
        let streams = setting.streams(&host).on_state_change(move |state, _| {
            if state == State::Rebalancing {
                rebalances.fetch_add(1, Ordering::Relaxed);
            }
        });
        let life = host.spawn(async move {
            match streams.start().await {
                Ok(running) => running.run_until_ctrl_c().await.err(),
                // Who cannot begin says so.
                Err(_) => None,
            }
        });
        // A kill cancels it.
        if let Ok(ended) = life.await {
            if let Some(error) = ended {
                board.ended.borrow_mut().push(format!("{:?} {node}: {error}", sim.now().since_start()));
            }
            sim.kill(node);
        }
        operator.sleep(Duration::from_millis(operator.random_below(10_000))).await;
    }
}

/// Brings outages about: at any time, or in the midst of a rebalance.
async fn bring_outages(sim: &Sim, broker: &BrokerProcess<'_>, nodes: &[String], board: &Board) {
    let host = sim.node("nemesis");
    while host.now().since_start() < TROUBLE {
        host.sleep(QUIET + Duration::from_millis(host.random_below(30_000))).await;
        if host.random_below(2) == 0 {
            let seen = board.rebalances.load(Ordering::Relaxed);
            let node = &nodes[host.random_below(nodes.len() as u64) as usize];
            sim.kill(node);
            for _ in 0..3000 {
                if board.rebalances.load(Ordering::Relaxed) > seen {
                    break;
                }
                host.sleep(Duration::from_millis(10)).await;
            }
            host.sleep(Duration::from_millis(host.random_below(300))).await;
        }
        let length = Duration::from_millis(SHORTEST_MS + host.random_below(LONGEST_MS - SHORTEST_MS));
        println!("{:?} an outage of {length:?}", host.now().since_start());
        board.outages.set(board.outages.get() + 1);
        match host.random_below(3) {
            0 => {
                sim.isolate(NODE);
                host.sleep(length).await;
                sim.heal();
            }
            1 => {
                sim.pause(NODE);
                host.sleep(length).await;
                sim.resume(NODE);
            }
            _ => {
                broker.hold_down(true);
                sim.crash(NODE);
                host.sleep(length).await;
                broker.hold_down(false);
            }
        }
    }
    host.sleep(QUIET).await;
    // A reader of everything comes to no end where connections break often.
    sim.set_network(NetworkOptions::default());
    board.is_over.set(true);
}

/// Sends numbers until the outages are over and the fate of each is known.
async fn write(host: Host, setting: &Setting, board: &Board) {
    let producer = Producer::new(&connect(&host).await, ProducerConfig::default()).expect("sound");
    let mut number = 0i64;
    let mut fates = Vec::new();
    while !board.is_over.get() {
        number += 1;
        let partition = host.random_below(PARTITIONS as u64) as i32;
        // Each is of one task.
        let key = format!("{partition} {}", host.random_below(KEYS));
        let value = number.to_be_bytes();
        let record = ProducerRecord::new("in").key(key.as_bytes()).value(&value[..]).partition(partition);
        // What the producer does not take, for want of room or time, never leaves.
        if let Ok(delivery) = producer.send(record).await {
            fates.push(delivery);
        }
        host.sleep(Duration::from_millis(host.random_below(setting.pause_ms))).await;
    }
    futures::future::join_all(fates).await;
}

/// A whole run, judged.
fn run(sim: &Sim, witness: &mut Witness) {
    let setting = Setting::draw(&sim.node("setting"));
    println!("seed {}: {setting:?}", sim.seed());
    let board = Board::default();
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let trouble = async {
            let operator = sim.node("last");
            create_topic(&operator, "in", PARTITIONS).await;
            create_topic(&operator, "out", 1).await;
            let nodes = setting.instances.nodes();
            let instances = nodes.iter().map(|node| keep_running(sim, node, &setting, &board));
            tokio::select! {
                biased;
                _ = futures::future::join(
                    write(sim.node("writer"), &setting, &board),
                    bring_outages(sim, &broker, &nodes, &board),
                ) => {}
                _ = futures::future::join_all(instances) => unreachable!("they run for ever"),
            }
            nodes.iter().for_each(|node| sim.kill(node));
            let counts = async |running: &RunningStreams| all_rows(running, "outages", COUNTS).await;
            let counts = Box::pin(process_the_rest(&operator, |host| setting.streams(host), counts)).await;
            let changelog = newest(&operator, "outages-counts-changelog", PARTITIONS).await;
            let input = all(&operator, "in", PARTITIONS).await;
            let out = all(&operator, "out", 1).await;
            (input, out, counts, changelog)
        };
        broker.keep_running_while(Box::pin(trouble)).await
    };
    let (input, out, counts, changelog) = come_to_rest(sim, TROUBLE + REST, work);
    assert_eq!(*board.ended.borrow(), [] as [String; 0], "nobody ends by an outage");
    let mut times: BTreeMap<i64, usize> = BTreeMap::new();
    out.iter().for_each(|record| *times.entry(number(&record.value)).or_default() += 1);
    let mut of_key: BTreeMap<String, i64> = BTreeMap::new();
    for record in &input {
        let found = times.remove(&number(&record.value)).unwrap_or(0);
        match setting.instances.guarantee {
            ExactlyOnce => assert_eq!(found, 1, "{}", number(&record.value)),
            AtLeastOnce => assert!(found >= 1, "{} is lost", number(&record.value)),
        }
        *of_key.entry(record.key.clone()).or_default() += 1;
    }
    assert!(times.is_empty(), "nobody has written {times:?}");
    if setting.has_sound_stores() {
        assert_eq!(changelog, counts, "the changelog (left) brings the store (right) back");
    }
    match setting.instances.guarantee {
        ExactlyOnce => assert_eq!(counts, of_key, "each record counts once"),
        AtLeastOnce if setting.has_sound_stores() => {
            let short = of_key.iter().find(|(key, count)| counts.get(*key).is_none_or(|found| found < count));
            assert_eq!(short, None, "{counts:?}");
        }
        AtLeastOnce => {}
    }
    witness.begin_seed();
    witness.saw(match setting.instances.guarantee {
        ExactlyOnce => "exactly once",
        AtLeastOnce => "at least once",
    });
    if out.len() > input.len() {
        witness.saw("done again");
    }
    println!("{} records, {} outages", input.len(), board.outages.get());
}

#[test]
fn an_outage_of_minutes_ends_nobody() {
    let mut witness = Witness::default();
    for_each_chaos("an_outage_of_minutes_ends_nobody", |sim, _| run(sim, &mut witness));
    witness.must_have_seen(["exactly once", "at least once", "done again"]);
}
