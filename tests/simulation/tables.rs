//! A table, and what is counted of it, while everything fails: with a changelog of its own, and with its source topic as one
//! (`Optimization::ALL`), which holds more than is processed.
//!
//! The newest row of each key is passed on in the end, and is the last one. At least once an older one may come behind it, from an
//! instance that the group has given up; and a deletion may be missing: a cache tells of it if there was a row, and after a
//! failure one may have been passed on that was not committed, and comes and goes at once when it is read again; or the changelog
//! is ahead of what is committed, and has it no more. Exactly once, each group has as many rows as the topic says: a row that
//! moves is taken from the group that it was in, which only a store knows that came back as it was committed.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::committed::{Seen, all, newest};
use crate::instances::{Instances, process_the_rest};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos, one_of};
use crate::trouble::Trouble;

/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(15);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);
const PARTITIONS: i32 = 3;
const KEYS: u64 = 30;
const GROUPS: u64 = 3;

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    instances: Instances,
    /// Whether the source topic is the changelog.
    optimized: bool,
    cache_max_bytes: usize,
    /// Between two rows lie at most so many milliseconds.
    pause_ms: u64,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting {
            instances: Instances::draw(host),
            optimized: host.random_below(3) > 0,
            cache_max_bytes: one_of(host, &[0, 10_000_000]),
            pause_ms: one_of(host, &[20, 100]),
        }
    }

    /// A row's value is its group.
    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let rows = builder.table(Topic::<String, String>::new("rows"));
        rows.to_stream().to("copies");
        rows.group_by(|key, group| (group, key.clone())).count().updates().to("counts");
        let optimization = if self.optimized { Optimization::ALL } else { Optimization::NONE };
        builder.build_with(optimization).expect("a valid topology")
    }

    fn streams(&self, host: &Host) -> Streams {
        let streams = self.instances.streams("tables", self.topology(), host);
        streams.config("statestore.cache.max.bytes", self.cache_max_bytes)
    }

    /// Whether an instance that the group has given up may write all the same: what it writes late stands behind its heir's
    /// rows.
    fn may_be_late(&self) -> bool {
        self.instances.guarantee == AtLeastOnce && self.instances.count > 1
    }

    /// Whether a deletion that is read again may find nothing to delete, and not be passed on.
    fn may_miss_deletions(&self) -> bool {
        self.instances.guarantee == AtLeastOnce && self.cache_max_bytes > 0
    }
}

/// Sends rows until the trouble is over and the fate of each is known.
async fn write(host: Host, pause_ms: u64) {
    let client = connect(&host).await;
    let producer = Producer::new(&client, ProducerConfig::default()).expect("a valid configuration");
    let mut fates = Vec::new();
    while host.now().since_start() < TROUBLE {
        let (key, group) =
            (format!("k{}", host.random_below(KEYS)), format!("g{}", host.random_below(GROUPS)));
        let row = ProducerRecord::new("rows").key(key.as_bytes());
        let row = if host.random_below(5) == 0 { row } else { row.value(group.as_bytes()) };
        // What the producer does not take, for want of room or time, never leaves.
        fates.extend(producer.send(row).await.ok());
        host.sleep(Duration::from_millis(host.random_below(pause_ms))).await;
    }
    futures::future::join_all(fates).await;
}

/// The newest row of each key that has one.
fn rows(records: &[Seen]) -> BTreeMap<&str, &Seen> {
    let mut rows: BTreeMap<&str, &Seen> = records.iter().map(|record| (&*record.key, record)).collect();
    rows.retain(|_, row| !row.value.is_empty());
    rows
}

/// A whole run, judged. Gives how many rows there were in the end.
fn run(sim: &Sim, options: &SimOptions) -> usize {
    let setting = Setting::draw(&sim.node("setting"));
    println!("seed {}: {setting:?}", sim.seed());
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let trouble = async {
            let operator = sim.node("last");
            create_topic(&operator, "rows", PARTITIONS).await;
            create_topic(&operator, "copies", 1).await;
            create_topic(&operator, "counts", 1).await;
            let trouble = Trouble::new(sim, options, &broker, &setting.instances, TROUBLE);
            let work = write(sim.node("writer"), setting.pause_ms);
            trouble.while_they_run(&["writer"], |host| setting.streams(host), work).await;
            setting.instances.kill(sim);
            Box::pin(process_the_rest(&operator, |host| setting.streams(host), async |_| Ok(()))).await;
            let there = all(&operator, "rows", PARTITIONS).await;
            (there, all(&operator, "copies", 1).await, newest(&operator, "counts", 1).await)
        };
        broker.keep_running_while(Box::pin(trouble)).await
    };
    let (records, copies, mut counted) = come_to_rest(sim, TROUBLE + REST, work);
    let (there, mut copied) = (rows(&records), rows(&copies));
    if setting.may_be_late() {
        for row in there.values() {
            let is_it = |copy: &Seen| (&copy.key, copy.timestamp) == (&row.key, row.timestamp);
            assert!(copies.iter().any(is_it), "{}: its newest row was passed on", row.key);
        }
        return there.len();
    }
    if setting.may_miss_deletions() {
        copied.retain(|key, _| there.contains_key(key));
    }
    let values = |rows: &BTreeMap<&str, &Seen>| -> BTreeMap<String, Vec<u8>> {
        rows.iter().map(|(key, row)| (key.to_string(), row.value.clone())).collect()
    };
    assert_eq!(
        values(&copied),
        values(&there),
        "rows that were passed on (left) are those of the topic (right)"
    );
    if setting.instances.guarantee == ExactlyOnce {
        let mut groups: BTreeMap<String, i64> = BTreeMap::new();
        for row in there.values() {
            *groups.entry(String::from_utf8(row.value.clone()).expect("text")).or_default() += 1;
        }
        counted.retain(|_, count| *count != 0);
        assert_eq!(counted, groups, "rows counted (left) are those of the topic (right)");
    }
    there.len()
}

#[test]
fn tables_are_what_their_topics_hold() {
    let mut there = 0;
    for_each_chaos("tables_are_what_their_topics_hold", |sim, options| there += run(sim, options));
    assert!(there > 0, "nothing was written");
}
