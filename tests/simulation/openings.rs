//! Tasks that an instance is given while it runs and cannot open: nobody says where they are to be read, or their processors
//! cannot be made. What may pass is tried again for `task.timeout.ms`; for all else, and after that, the uncaught error handler
//! is asked, and if another try is its answer nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::{BrokerProcess, NODE};
use crate::committed::all;
use crate::instances::of_the_world;
use crate::producers::{connect, create_topic};
use crate::runs::come_to_rest;
use crate::seeds::{Witness, for_each_seed};

const PARTITIONS: i32 = 4;
/// How long an instance tries that is patient...
const PATIENT_MS: u64 = 300_000;
/// ...one that is not, and one that tries nothing twice.
const IMPATIENT_MS: u64 = 20_000;
const AT_ONCE_MS: u64 = 0;
/// An outage during which calls are given up more than once.
const OUTAGE: Duration = Duration::from_secs(200);
const REST: Duration = Duration::from_secs(600);

/// What keeps tasks from being opened.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    Outage { task_timeout_ms: u64 },
    Panic,
}

/// What the instance that stays sees and does.
#[derive(Clone, Default)]
struct Board {
    /// Processors made.
    made: Arc<AtomicU64>,
    /// The next one is not made.
    panics: Arc<AtomicBool>,
    /// How often the handler was asked.
    asked: Arc<AtomicU64>,
}

struct AsItIs;

impl AsItIs {
    fn new(board: &Board) -> Self {
        assert!(!board.panics.swap(false, Ordering::Relaxed), "no processor");
        board.made.fetch_add(1, Ordering::Relaxed);
        AsItIs
    }
}

impl Processor for AsItIs {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut ProcessorContext<'_, Self>,
    ) -> Result<()> {
        ctx.forward(record);
        Ok(())
    }
}

async fn start(host: Host, guarantee: Guarantee, trouble: Trouble, board: &Board) -> RunningStreams {
    let (made, asked) = (board.clone(), Arc::clone(&board.asked));
    let builder = StreamsBuilder::new();
    builder
        .stream(Topic::<String, String>::new("in"))
        .process(move |_: &mut InitContext<'_, AsItIs>| AsItIs::new(&made))
        .to("out");
    let task_timeout_ms = match trouble {
        Trouble::Outage { task_timeout_ms } => task_timeout_ms,
        Trouble::Panic => PATIENT_MS,
    };
    let streams = Streams::new("openings", builder.build().expect("a valid topology"))
        .guarantee(guarantee)
        .config("commit.interval.ms", 100)
        .config("task.timeout.ms", task_timeout_ms)
        .on_uncaught_error(move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            ReplaceThread
        });
    of_the_world(streams, &host).start().await.expect("nothing fails")
}

async fn write(host: &Host, round: usize) {
    let producer = Producer::new(&connect(host).await, ProducerConfig::default()).expect("sound");
    for partition in 0..PARTITIONS {
        let value = format!("{round} {partition}");
        let record = ProducerRecord::new("in").key("k").value(value.as_bytes()).partition(partition);
        producer.send(record).await.expect("room").await.expect("nothing fails");
    }
}

/// Another instance dies, and what it ran cannot be opened at first. How often the handler was asked.
fn run(sim: &Sim, guarantee: Guarantee, trouble: Trouble) -> u64 {
    println!("seed {}: {guarantee:?} {trouble:?}", sim.seed());
    let board = Board::default();
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let instances = async {
            let operator = sim.node("operator");
            create_topic(&operator, "in", PARTITIONS).await;
            create_topic(&operator, "out", 1).await;
            let stays = start(sim.node("app0"), guarantee, trouble, &board).await;
            let dies = start(sim.node("app1"), guarantee, trouble, &Board::default()).await;
            write(&operator, 0).await;
            stays.drain().await.expect("nothing fails");
            let made = board.made.load(Ordering::Relaxed);
            board.panics.store(trouble == Trouble::Panic, Ordering::Relaxed);
            sim.kill("app1");
            drop(dies);
            if let Trouble::Outage { .. } = trouble {
                while board.made.load(Ordering::Relaxed) == made {
                    operator.sleep(Duration::from_micros(50)).await;
                }
                sim.isolate(NODE);
                operator.sleep(OUTAGE).await;
                sim.heal();
            }
            write(&operator, 1).await;
            stays.drain().await.expect("it goes on");
            stays.close().await.expect("it is there to the end");
            all(&operator, "out", 1).await
        };
        broker.keep_running_while(instances).await
    };
    let out = come_to_rest(sim, OUTAGE + REST, work);
    let values: Vec<_> = out.into_iter().map(|record| record.value).collect();
    for round in 0..2 {
        for partition in 0..PARTITIONS {
            let value = format!("{round} {partition}").into_bytes();
            let times = values.iter().filter(|found| **found == value).count();
            match guarantee {
                ExactlyOnce => assert_eq!(times, 1, "{round} {partition}"),
                AtLeastOnce => assert!(times >= 1, "{round} {partition}"),
            }
        }
    }
    board.asked.load(Ordering::Relaxed)
}

#[test]
fn tasks_that_cannot_be_opened_wait_or_the_handler_is_asked() {
    let mut witness = Witness::default();
    for_each_seed("tasks_that_cannot_be_opened_wait_or_the_handler_is_asked", |seed| {
        let guarantee = if seed % 2 == 0 { AtLeastOnce } else { ExactlyOnce };
        let trouble = match seed / 2 % 4 {
            0 => Trouble::Outage { task_timeout_ms: PATIENT_MS },
            1 => Trouble::Outage { task_timeout_ms: IMPATIENT_MS },
            2 => Trouble::Outage { task_timeout_ms: AT_ONCE_MS },
            _ => Trouble::Panic,
        };
        let asked = run(&Sim::new(seed, SimOptions::default()), guarantee, trouble);
        let (what, is_right) = match trouble {
            Trouble::Outage { task_timeout_ms: PATIENT_MS } => ("patient", asked == 0),
            Trouble::Outage { task_timeout_ms: AT_ONCE_MS } => ("at once", asked > 0),
            Trouble::Outage { .. } => ("impatient", asked > 0),
            Trouble::Panic => ("panic", asked == 1),
        };
        assert!(is_right, "{what}: asked {asked} times");
        witness.begin_seed();
        witness.saw(what);
    });
    witness.must_have_seen(["patient", "impatient", "at once", "panic"]);
}
