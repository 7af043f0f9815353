//! Records that cannot be read, and some that no processor can process, while everything fails: dead letters, skipped records,
//! and an application that goes no further.
//!
//! Judged by what the input holds: each good record comes out and each bad one is answered, exactly once under exactly once.
//! An application that is to fail stands at the first bad record of each partition, whoever starts it how often; when it is
//! told to go on, nothing is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::committed::{Seen, all};
use crate::instances::{Instances, process_the_rest};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos};
use crate::trouble::Trouble;

/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(10);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);
const PARTITIONS: i32 = 2;

/// A number is even, or no processor takes it; what is no number of 8 bytes cannot be read.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream(Topic::<String, i64>::new("in"))
        .try_map_values(|number: i64| match number % 2 {
            0 => Ok(number),
            _ => Err("odd"),
        })
        .to("out");
    builder.build().expect("a valid topology")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    DeadLetter,
    Skip,
    Fail,
}

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    instances: Instances,
    answer: Answer,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting {
            instances: Instances::draw(host),
            answer: [Answer::DeadLetter, Answer::DeadLetter, Answer::Skip, Answer::Fail]
                [host.random_below(4) as usize],
        }
    }

    fn streams(&self, host: &Host, answer: Answer) -> Streams {
        let [unread, unprocessed] = match answer {
            Answer::DeadLetter => [dead_letter("unread"), dead_letter("unprocessed")],
            Answer::Skip => [skip(), skip()],
            Answer::Fail => [fail(), fail()],
        };
        let streams = self.instances.streams("poison", topology(), host).create_topics(1);
        streams.on_deserialization_error(unread).on_processing_error(unprocessed)
    }
}

fn is_unreadable(record: &Seen) -> bool {
    record.value.len() != 8
}

fn is_bad(record: &Seen) -> bool {
    is_unreadable(record) || record.value[7] % 2 == 1
}

/// Sends records, one in some of them bad, until the trouble is over and the fate of each is known.
async fn write(host: Host) {
    let client = connect(&host).await;
    let producer = Producer::new(&client, ProducerConfig::default()).expect("a valid configuration");
    let mut fates = Vec::new();
    let one_in = [3, 20, 200][host.random_below(3) as usize];
    let mut number = 0i64;
    while host.now().since_start() < TROUBLE {
        number += 2;
        let odd = i64::from(host.random_below(one_in) == 0);
        let bytes = (number + odd).to_be_bytes();
        let start = if host.random_below(one_in) == 0 { 1 } else { 0 };
        let partition = host.random_below(PARTITIONS as u64) as i32;
        let record = ProducerRecord::new("in").partition(partition).key("k").value(&bytes[start..]);
        // What the producer does not take, for want of room or time, never leaves.
        if let Ok(delivery) = producer.send(record).await {
            fates.push(delivery);
        }
        host.sleep(Duration::from_millis(host.random_below(60))).await;
    }
    futures::future::join_all(fates).await;
}

/// How often each value is there.
fn times<'a>(records: impl IntoIterator<Item = &'a Seen>) -> BTreeMap<Vec<u8>, usize> {
    let mut times = BTreeMap::new();
    records.into_iter().for_each(|record| *times.entry(record.value.clone()).or_default() += 1);
    times
}

fn check(what: &str, found: &[Seen], expected: BTreeMap<Vec<u8>, usize>, guarantee: Guarantee) {
    let found = times(found);
    match guarantee {
        ExactlyOnce => assert_eq!(found, expected, "{what} (left) are those of the input (right)"),
        AtLeastOnce => {
            assert!(found.keys().eq(expected.keys()), "{what}: {found:?}, expected {expected:?}");
        }
    }
}

/// A whole run, judged. Gives how many bad records there were.
fn run(sim: &Sim, options: &SimOptions) -> usize {
    let setting = Setting::draw(&sim.node("setting"));
    println!("seed {}: {setting:?}", sim.seed());
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let trouble = async {
            let operator = sim.node("last");
            create_topic(&operator, "in", PARTITIONS).await;
            for topic in ["out", "unread", "unprocessed"] {
                create_topic(&operator, topic, 1).await;
            }
            let trouble = Trouble::new(sim, options, &broker, &setting.instances, TROUBLE);
            let start = |host: &Host| setting.streams(host, setting.answer);
            trouble.while_they_run(&["writer"], start, write(sim.node("writer"))).await;
            setting.instances.kill(sim);
            let input = all(&operator, "in", PARTITIONS).await;
            let mut answer = setting.answer;
            if answer == Answer::Fail {
                let mut ahead: Vec<&Seen> = Vec::new();
                for partition in 0..PARTITIONS {
                    let records = input.iter().filter(|record| record.partition == partition);
                    ahead.extend(records.take_while(|record| !is_bad(record)));
                }
                let (ahead, out) = (times(ahead), times(&all(&operator, "out", 1).await));
                assert!(out.keys().all(|value| ahead.contains_key(value)), "it went on: {out:?}, {ahead:?}");
                answer = Answer::Skip;
            }
            let start = |host: &Host| setting.streams(host, answer);
            Box::pin(process_the_rest(&operator, start, async |_| Ok(()))).await;
            let of = |wanted: fn(&Seen) -> bool| times(input.iter().filter(|record| wanted(record)));
            let guarantee = setting.instances.guarantee;
            check("outputs", &all(&operator, "out", 1).await, of(|record| !is_bad(record)), guarantee);
            if answer == Answer::DeadLetter {
                check("unread", &all(&operator, "unread", 1).await, of(is_unreadable), guarantee);
                let odd = of(|record| is_bad(record) && !is_unreadable(record));
                check("unprocessed", &all(&operator, "unprocessed", 1).await, odd, guarantee);
            }
            input.iter().filter(|record| is_bad(record)).count()
        };
        broker.keep_running_while(Box::pin(trouble)).await
    };
    come_to_rest(sim, TROUBLE + REST, work)
}

#[test]
fn bad_records_are_answered_once() {
    let mut bad = 0;
    for_each_chaos("bad_records_are_answered_once", |sim, options| {
        bad += run(sim, options);
    });
    assert!(bad > 0, "nothing was bad");
}
