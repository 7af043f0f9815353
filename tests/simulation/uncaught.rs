//! What the uncaught error handler says is done, whatever has failed and however long it lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::sim::DiskOptions;
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::instances::of_the_world;
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, one_of};
use crate::seeds::for_each_seed;
use crate::state_faults::STATE;

const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
const PARTITIONS: i32 = 4;
/// So long a disk fails: longer than it is tried at once to open the state again.
const FAILS_FOR: Duration = Duration::from_secs(40);
const REST: Duration = Duration::from_secs(600);

/// How many lines there are of each number; "poison" is none.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream("lines").try_map_values(|line: String| line.parse::<i64>());
    numbers.group_by(|_: &Option<String>, number| number.to_string()).count_with(COUNTS);
    builder.build().expect("a valid topology")
}

fn streams(
    host: &Host,
    guarantee: Guarantee,
    answer: UncaughtErrorAnswer,
    asked: &Arc<AtomicU64>,
) -> Streams {
    let asked = Arc::clone(asked);
    let streams = Streams::new("uncaught", topology())
        .guarantee(guarantee)
        .create_topics(PARTITIONS)
        .config("commit.interval.ms", 100)
        .on_processing_error(fail())
        .on_uncaught_error(move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            answer
        });
    of_the_world(streams, host)
}

async fn write(host: &Host, lines: impl IntoIterator<Item = String>) {
    let producer = Producer::new(&connect(host).await, ProducerConfig::default()).expect("sound");
    for line in lines {
        let delivery = producer.send(ProducerRecord::new("lines").value(line.as_bytes())).await;
        delivery.expect("room").await.expect("the broker does not fail");
    }
}

fn in_a_calm_world<T>(seed: u64, work: impl AsyncFnOnce(&Sim, Host) -> T) -> T {
    let sim = Sim::new(seed, SimOptions::default());
    let run = async {
        let broker = BrokerProcess::start(&sim, &[]);
        let work = async {
            let operator = sim.node("operator");
            create_topic(&operator, "lines", PARTITIONS).await;
            work(&sim, operator).await
        };
        broker.keep_running_while(Box::pin(work)).await
    };
    come_to_rest(&sim, REST, run)
}

#[test]
fn a_state_that_cannot_be_opened_for_long_ends_nothing() {
    for_each_seed("a_state_that_cannot_be_opened_for_long_ends_nothing", |seed| {
        let asked = Arc::new(AtomicU64::new(0));
        in_a_calm_world(seed, async |sim, operator| {
            let host = sim.node("app0");
            let guarantee = one_of(&host, &[AtLeastOnce, ExactlyOnce]);
            let streams = streams(&host, guarantee, ReplaceThread, &asked).state_dir(STATE);
            let running = streams.threads(one_of(&host, &[1, 2])).start().await.expect("nothing fails");
            let lines = || (0..20).map(|number| (number % 5).to_string());
            write(&operator, lines()).await;
            running.drain().await.expect("nothing fails");
            let broken = DiskOptions {
                write_failure_probability: 1.0,
                sync_failure_probability: 1.0,
                read_failure_probability: 1.0,
                ..DiskOptions::default()
            };
            sim.set_disk("app0", broken);
            write(&operator, lines()).await;
            operator.sleep(FAILS_FOR).await;
            sim.set_disk("app0", DiskOptions::default());
            write(&operator, lines()).await;
            running.drain().await.expect("it goes on");
            let counts = running.store(COUNTS).expect("known").all().await.expect("they are there");
            assert_eq!(counts.len(), 5);
            match guarantee {
                ExactlyOnce => assert!(counts.iter().all(|(_, count)| *count == 12), "{counts:?}"),
                AtLeastOnce => assert!(counts.iter().all(|(_, count)| *count >= 12), "{counts:?}"),
            }
            running.close().await.expect("nothing fails");
        });
        let asked = asked.load(Ordering::Relaxed);
        println!("seed {seed}: asked {asked} times");
        assert!(asked > 1, "of what failed, and of what did not mend it: {asked}");
    });
}

#[test]
fn an_engine_that_fails_is_one_failure_however_many_workers_use_it() {
    for_each_seed("an_engine_that_fails_is_one_failure_however_many_workers_use_it", |seed| {
        let asked = Arc::new(AtomicU64::new(0));
        in_a_calm_world(seed, async |sim, operator| {
            let host = sim.node("app0");
            let guarantee = one_of(&host, &[AtLeastOnce, ExactlyOnce]);
            let streams = streams(&host, guarantee, ReplaceThread, &asked).state_dir(STATE);
            let running = streams.threads(PARTITIONS as usize).start().await.expect("nothing fails");
            let lines = || (0..40).map(|number| (number % 20).to_string());
            write(&operator, lines()).await;
            running.drain().await.expect("nothing fails");
            let broken = DiskOptions { write_failure_probability: 1.0, ..DiskOptions::default() };
            sim.set_disk("app0", broken);
            write(&operator, lines()).await;
            while asked.load(Ordering::Relaxed) == 0 {
                operator.sleep(Duration::from_millis(1)).await;
            }
            sim.set_disk("app0", DiskOptions::default());
            running.drain().await.expect("it goes on");
            running.close().await.expect("nothing fails");
        });
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_failure_while_workers_are_added_ends_the_instance() {
    for_each_seed("a_failure_while_workers_are_added_ends_the_instance", |seed| {
        in_a_calm_world(seed, async |sim, operator| {
            let host = sim.node("app0");
            let guarantee = one_of(&host, &[AtLeastOnce, ExactlyOnce]);
            let streams = streams(&host, guarantee, ShutdownClient, &Arc::default());
            let running = streams.start().await.expect("nothing fails");
            write(&operator, (0..8).map(|number| number.to_string())).await;
            let add = async { while running.threads() < 30 && running.add_thread().await.is_ok() {} };
            let poison = async {
                operator.sleep(Duration::from_millis(operator.random_below(20))).await;
                write(&operator, ["poison".to_string()]).await;
            };
            tokio::join!(add, poison);
            let ended = running.run_until_ctrl_c().await.expect_err("nobody interrupts it").to_string();
            assert!(ended.contains("invalid digit"), "{ended}");
        });
    });
}
