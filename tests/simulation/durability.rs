//! The promise of the log: no acknowledged record lost, none twice, all in order, and nobody reads what a loss of power
//! can take away; while connections are cut, nodes stop and disks forget.

use std::time::Duration;

use anabranch_host::sim::assert_same_trace;
use anabranch_host::{Sim, SimOptions};

use crate::broker_process::{BrokerProcess, NODE, snapshots_of_metadata};
use crate::checker::{Summary, check};
use crate::consumers::{consume, final_offsets};
use crate::history::{History, Recorder};
use crate::nemesis::{FAULTS, Nemesis};
use crate::producers::{Load, create_topic, produce};
use crate::reader::Reader;
use crate::runs::come_to_rest;
use crate::seeds::{for_each_seed, for_some_seeds};

/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(20);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);

/// A whole run: what the clients did and saw.
fn run(sim: &Sim, options: &SimOptions) -> History {
    let recorder = Recorder::default();
    let nodes = ["client0", "client1", "client2"].map(String::from);
    let load = Load::draw(&sim.node("load"), "events");
    println!("seed {}: {load:?}", sim.seed());
    let work = async {
        let broker = BrokerProcess::start(sim, snapshots_of_metadata(sim.seed()));
        let nemesis = Nemesis::new(sim, &broker, &nodes, &FAULTS, options.disk.clone());
        let clients = async {
            create_topic(&sim.node("client0"), &load.topic, load.partitions).await;
            let mut readers = load.logs();
            readers.truncate(2);
            let follow = async |consumer: u32| {
                let mut reader = Reader::new(&sim.node("client2"));
                reader.follow(consumer, &readers[consumer as usize % readers.len()], &recorder).await;
            };
            tokio::select! {
                biased;
                () = produce(sim, &nodes, &load, TROUBLE, &recorder) => {}
                _ = async { tokio::join!(follow(0), follow(1), consume(sim, &nodes[1..], &load, &recorder)) } => {
                    unreachable!("they read for ever")
                }
            }
        };
        let trouble = async {
            tokio::join!(clients, nemesis.run(TROUBLE));
            // What was acknowledged last must be durable too.
            sim.crash(NODE);
            let mut reader = Reader::new(&sim.node("client0"));
            for log in load.logs() {
                recorder.finally(log.clone(), reader.read_all(&log).await);
            }
            final_offsets(&sim.node("client0"), &load, &recorder).await;
        };
        broker.keep_running_while(trouble).await;
    };
    come_to_rest(sim, TROUBLE + REST, work);
    recorder.read()
}

/// Runs a seed and judges it.
fn run_and_check(seed: u64) -> Summary {
    let options = SimOptions::chaos(seed);
    let sim = Sim::new(seed, options.clone());
    let (violations, summary) = check(&run(&sim, &options));
    println!("seed {seed}: {summary:?}, {} steps, {:?}", sim.steps(), sim.now().since_start());
    let shown: String = violations.iter().take(10).map(|violation| format!("\n  {violation}")).collect();
    assert!(violations.is_empty(), "seed {seed}: {} violations:{shown}", violations.len());
    summary
}

#[test]
fn acknowledged_records_survive() {
    let mut total = Summary::default();
    for_each_seed("acknowledged_records_survive", |seed| total.add(&run_and_check(seed)));
    println!("in all: {total:?}");
}

#[test]
fn two_runs_of_a_seed_are_one() {
    for_some_seeds("two_runs_of_a_seed_are_one", |seed| {
        let options = SimOptions::chaos(seed);
        assert_same_trace(seed, &options, |sim| drop(run(sim, &options)));
    });
}
