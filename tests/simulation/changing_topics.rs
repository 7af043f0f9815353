//! Sources by pattern while topics come, go and grow, and everything else fails.
//!
//! Judged by what the topics hold that are there in the end, whoever has written it: each of these records comes out, exactly
//! once under exactly once. What comes out of topics that are gone was written once, and counts agree with what came out.
//!
//! A writer that has not heard of a record's fate when its topic is made anew writes it again, to the other topic: only such a
//! record may come out once more.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Admin, NewTopic, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::{BrokerProcess, snapshots_of_metadata};
use crate::committed::{Seen, all, number};
use crate::instances::{Instances, end_instances, process_the_rest, while_they_run};
use crate::nemesis::{FAULTS, Nemesis};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos};
use crate::seeds::Witness;

/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(12);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);
/// The first of them is never deleted.
const TOPICS: [&str; 4] = ["in-a", "in-b", "in-c", "in-d"];
const MOST_PARTITIONS: u64 = 3;
const GROUPS: u64 = 3;

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let records = builder.stream_matching(Topic::<String, String>::new("in-[a-z]+"));
    records.to("out");
    records
        .repartition_with(Repartitioned::named("groups").partitions(2))
        .group_by_key()
        .count()
        .updates()
        .to("counts");
    builder.build().expect("a valid topology")
}

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    instances: Instances,
    /// Whether topics are deleted too.
    deletes: bool,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting { instances: Instances::draw(host), deletes: host.random_below(2) == 0 }
    }

    fn streams(&self, host: &Host) -> Streams {
        self.instances.streams("changing", topology(), host).config("metadata.max.age.ms", 500)
    }
}

/// A record that was sent; its value is its place among all.
struct Sent {
    topic: &'static str,
    at: Duration,
    /// When it was known to be written; none if nobody knows.
    written: Option<Duration>,
}

/// Sends records to topics that may be there until the trouble is over and the fate of each is known.
async fn write(host: Host) -> Vec<Sent> {
    let client = connect(&host).await;
    // What a topic that is gone holds up is given up soon.
    let config = ProducerConfig { delivery_timeout_ms: 5000, ..ProducerConfig::default() };
    let producer = Producer::new(&client, ProducerConfig { max_block_ms: 200, ..config })
        .expect("a valid configuration");
    let mut fates = Vec::new();
    while host.now().since_start() < TROUBLE {
        let topic = TOPICS[host.random_below(TOPICS.len() as u64) as usize];
        let (key, value) = (format!("k{}", host.random_below(GROUPS)), fates.len().to_string());
        let record = ProducerRecord::new(topic).key(key.as_bytes()).value(value.as_bytes());
        let partition = host.random_below(MOST_PARTITIONS) as i32;
        let known = client.metadata().partition_count(topic).unwrap_or(1);
        let (at, clock) = (host.now().since_start(), host.clone());
        let delivery = producer.send(record.partition(partition % known)).await;
        fates.push(host.spawn(async move {
            let written = match delivery {
                Ok(delivery) => delivery.await.is_ok(),
                Err(_) => false,
            };
            Sent { topic, at, written: written.then(|| clock.now().since_start()) }
        }));
        host.sleep(Duration::from_millis(host.random_below(80))).await;
    }
    let sent = futures::future::join_all(fates).await;
    sent.into_iter().map(|sent| sent.expect("the writer is never killed")).collect()
}

/// How many partitions a topic has; none if it is not there.
async fn partitions(admin: &Admin, topic: &str) -> Option<i32> {
    loop {
        match admin.describe_topics(&[topic]).await.map(|mut all| all.remove(topic)) {
            Ok(Some(Ok(topic))) => return i32::try_from(topic.partitions.len()).ok(),
            Ok(Some(Err(error))) if !error.is_retriable() || error.code().is_some() => return None,
            _ => {}
        }
    }
}

/// A topic that was made, or asked for: when that began and when it was over.
type Made = (&'static str, Range<Duration>);

/// Makes a topic; whether it was made for sure.
async fn make(
    host: &Host,
    admin: &Admin,
    topic: &'static str,
    partitions: i32,
    made: &mut Vec<Made>,
) -> bool {
    let began = host.now().since_start();
    let results = admin.create_topics(&[NewTopic::new(topic, partitions)]).await;
    // What is not answered may have happened all the same.
    made.push((topic, began..host.now().since_start()));
    results.is_ok_and(|mut all| all.remove(topic).is_some_and(|r| r.is_ok()))
}

/// Makes topics, lets them grow, deletes them. Those that were made.
async fn change(sim: &Sim, setting: &Setting, witness: &RefCell<Witness>) -> Vec<Made> {
    let host = sim.node("operator of topics");
    let admin = connect(&host).await.admin();
    let mut made = Vec::new();
    loop {
        host.sleep(Duration::from_millis(host.random_below(2000))).await;
        if host.now().since_start() >= TROUBLE {
            return made;
        }
        let topic = TOPICS[host.random_below(TOPICS.len() as u64) as usize];
        let done = match partitions(&admin, topic).await {
            None => {
                let again = made.iter().any(|(made, _)| *made == topic);
                let what = if again { "topic that comes again" } else { "topic that comes" };
                let count = 1 + host.random_below(2) as i32;
                make(&host, &admin, topic, count, &mut made).await.then_some(what)
            }
            Some(_) if setting.deletes && topic != TOPICS[0] && host.random_below(2) == 0 => {
                let results = admin.delete_topics(&[topic]).await;
                let is_gone = results.is_ok_and(|mut all| all.remove(topic).is_some_and(|r| r.is_ok()));
                if is_gone && host.random_below(2) == 0 {
                    // Before anybody hears of it; often with fewer partitions.
                    let is_there = make(&host, &admin, topic, 1, &mut made).await;
                    is_there.then_some("topic that is made anew")
                } else {
                    is_gone.then_some("topic that goes")
                }
            }
            Some(count) if (count as u64) < MOST_PARTITIONS => {
                admin.create_partitions(topic, count + 1).await.is_ok().then_some("topic that grows")
            }
            Some(_) => None,
        };
        if let Some(done) = done {
            println!("{:?} {done}: {topic}", sim.now().since_start());
            witness.borrow_mut().saw(done);
        }
    }
}

/// How often a record may have been written: once to each topic of its name that it may have met.
fn most_times(sent: &Sent, made: &[Made]) -> usize {
    let met = made.iter().filter(|(topic, made)| {
        *topic == sent.topic
            && made.end >= sent.at
            && sent.written.is_none_or(|written| made.start <= written)
    });
    1 + met.count()
}

fn text(seen: &Seen) -> String {
    String::from_utf8(seen.value.clone()).expect("text")
}

fn judge(there: &[Seen], out: &[Seen], counts: &[Seen], sent: &[Sent], made: &[Made], guarantee: Guarantee) {
    let mut came: BTreeMap<String, usize> = BTreeMap::new();
    let mut by_key: BTreeMap<String, i64> = BTreeMap::new();
    for record in out {
        *came.entry(text(record)).or_default() += 1;
        *by_key.entry(record.key.clone()).or_default() += 1;
    }
    let missing = there.iter().filter(|record| !came.contains_key(&text(record)));
    let missing: Vec<String> =
        missing.map(|r| format!("{} at {}-{}@{}", text(r), r.topic, r.partition, r.offset)).collect();
    assert!(missing.is_empty(), "never came out: {missing:?}");
    for value in came.keys() {
        assert!(value.parse::<usize>().is_ok_and(|value| value < sent.len()), "{value} was never sent");
    }
    let written: BTreeSet<String> = there.iter().map(text).collect();
    assert_eq!(written.len(), there.len(), "a topic has each record once");
    let counted: BTreeMap<String, i64> =
        counts.iter().map(|count| (count.key.clone(), number(&count.value))).collect();
    match guarantee {
        ExactlyOnce => {
            for (value, times) in &came {
                let sent = value.parse().ok().and_then(|value: usize| sent.get(value));
                let most = sent.map(|sent| most_times(sent, made));
                assert!(
                    most.is_some_and(|most| *times <= most),
                    "{value} came out {times} times, not {most:?}"
                );
            }
            assert_eq!(counted, by_key, "counts (left) are those of what came out (right)");
        }
        AtLeastOnce => {
            let mut least: BTreeMap<String, i64> = BTreeMap::new();
            there.iter().for_each(|record| *least.entry(record.key.clone()).or_default() += 1);
            for (key, least) in &least {
                assert!(
                    counted.get(key).is_some_and(|counted| counted >= least),
                    "{key}: {least}, {counted:?}"
                );
            }
        }
    }
}

/// A whole run, judged. Gives how many records were there in the end.
fn run(sim: &Sim, options: &SimOptions, witness: &RefCell<Witness>) -> usize {
    witness.borrow_mut().begin_seed();
    let setting = Setting::draw(&sim.node("setting"));
    println!("seed {}: {setting:?}", sim.seed());
    let work = async {
        let keys = [&[("auto.create.topics.enable", "false")], snapshots_of_metadata(sim.seed())].concat();
        let broker = BrokerProcess::start(sim, &keys);
        let trouble = async {
            let operator = sim.node("last");
            for topic in [TOPICS[0], "out", "counts"] {
                create_topic(&operator, topic, 1).await;
            }
            let nodes = setting.instances.nodes_in_trouble(&["writer"]);
            let nemesis = Nemesis::new(sim, &broker, &nodes, &FAULTS[..], options.disk.clone());
            let nodes = setting.instances.nodes();
            let work = async {
                let (sent, made, ..) = tokio::join!(
                    write(sim.node("writer")),
                    Box::pin(change(sim, &setting, witness)),
                    nemesis.run(TROUBLE),
                    end_instances(sim, setting.instances.count, true, TROUBLE),
                );
                (sent, made)
            };
            let (sent, made) = while_they_run(sim, &nodes, |host| setting.streams(host), work).await;
            nodes.iter().for_each(|node| sim.kill(node));
            Box::pin(process_the_rest(&operator, |host| setting.streams(host), async |_| Ok(()))).await;
            let admin = connect(&operator).await.admin();
            let mut there = Vec::new();
            for topic in TOPICS {
                if let Some(count) = partitions(&admin, topic).await {
                    there.extend(all(&operator, topic, count).await);
                }
            }
            let (out, counts) = (all(&operator, "out", 1).await, all(&operator, "counts", 1).await);
            judge(&there, &out, &counts, &sent, &made, setting.instances.guarantee);
            there.len()
        };
        broker.keep_running_while(Box::pin(trouble)).await
    };
    come_to_rest(sim, TROUBLE + REST, work)
}

#[test]
fn topics_may_come_and_go_and_grow() {
    let witness = RefCell::default();
    let mut there = 0;
    for_each_chaos("topics_may_come_and_go_and_grow", |sim, options| {
        there += run(sim, options, &witness);
    });
    assert!(there > 0, "nothing was written");
    let all = [
        "topic that comes",
        "topic that comes again",
        "topic that goes",
        "topic that is made anew",
        "topic that grows",
    ];
    witness.borrow().must_have_seen(all);
}
