//! The promise of transactions: each counts as a whole, in every partition and for the offsets it commits, or not at all;
//! those that were committed count once, in their order; none stays open for ever. Whatever fails.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use anabranch_client::{
    AutoOffsetReset, Client, Consumer, ConsumerConfig, ErrorKind, GroupMetadata, IsolationLevel,
    OffsetAndMetadata, OffsetSpec, Producer, ProducerConfig, ProducerRecord, TopicPartition,
};
use anabranch_host::sim::assert_same_trace;
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::{BrokerProcess, NODE};
use crate::nemesis::{FAULTS, Nemesis};
use crate::producers::{connect, create_topic};
use crate::runs::come_to_rest;
use crate::seeds::{for_each_seed, for_some_seeds};

const TOPIC: &str = "transactions";
const PARTITIONS: i32 = 3;
/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(20);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);

/// What became of a transaction, as its writer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Committed,
    /// Its writer never asked for a commit, or was told that there was none.
    Aborted,
    Unknown,
}

/// One transaction of a writer.
#[derive(Clone, Debug)]
struct Attempt {
    writer: usize,
    number: i64,
    /// Partition and place of each record.
    records: Vec<(i32, usize)>,
    gives_offset: bool,
    fate: Fate,
}

type Attempts = Rc<RefCell<Vec<Attempt>>>;

fn group_of(writer: usize) -> String {
    format!("group{writer}")
}

fn producer(client: &Client, host: &Host, writer: usize) -> Producer {
    let timeout_ms = (1000 + host.random_below(20_000)).to_string();
    let keys = [
        ("transactional.id", format!("writer{writer}")),
        ("transaction.timeout.ms", timeout_ms),
        ("max.block.ms", "5000".to_string()),
        ("linger.ms", host.random_below(3).to_string()),
    ];
    let keys = keys.iter().map(|(key, value)| (*key, value.as_str()));
    Producer::new(client, ProducerConfig::from_pairs(keys).expect("valid keys"))
        .expect("a valid configuration")
}

/// Writes transactions until `until` has passed. Whenever something is not known, another producer takes the id over.
async fn write(host: Host, writer: usize, until: Duration, attempts: Attempts) {
    let client = connect(&host).await;
    let mut number = 0;
    while host.now().since_start() < until {
        let producer = producer(&client, &host, writer);
        if producer.init_transactions().await.is_err() {
            host.sleep(Duration::from_millis(host.random_below(500))).await;
            continue;
        }
        while host.now().since_start() < until {
            number += 1;
            if !attempt(&host, &producer, writer, number, &attempts).await {
                break;
            }
            host.sleep(Duration::from_micros(host.random_below(200_000))).await;
        }
    }
    // What was begun is ended, one way or the other.
    loop {
        if producer(&client, &host, writer).init_transactions().await.is_ok() {
            return;
        }
    }
}

/// One transaction; whether the producer can go on.
async fn attempt(host: &Host, producer: &Producer, writer: usize, number: i64, attempts: &Attempts) -> bool {
    if producer.begin_transaction().is_err() {
        return false;
    }
    let at = attempts.borrow().len();
    let gives_offset = host.random_below(3) == 0;
    let begun = Attempt { writer, number, records: Vec::new(), gives_offset, fate: Fate::Aborted };
    attempts.borrow_mut().push(begun);
    for place in 0..1 + host.random_below(6) as usize {
        let partition = host.random_below(PARTITIONS as u64) as i32;
        let value = format!("{writer} {number} {place}");
        let record = ProducerRecord::new(TOPIC).partition(partition).value(value.as_bytes());
        if producer.send(record).await.is_err() {
            return producer.abort_transaction().await.is_ok();
        }
        attempts.borrow_mut()[at].records.push((partition, place));
    }
    if gives_offset {
        let offsets = BTreeMap::from([(TopicPartition::new(TOPIC, 0), OffsetAndMetadata::new(number))]);
        let group = GroupMetadata {
            group_id: group_of(writer).into(),
            generation_id: -1,
            member_id: "".into(),
            group_instance_id: None,
        };
        if producer.send_offsets_to_transaction(&offsets, &group).await.is_err() {
            return producer.abort_transaction().await.is_ok();
        }
    }
    if host.random_below(4) == 0 {
        return producer.abort_transaction().await.is_ok();
    }
    attempts.borrow_mut()[at].fate = Fate::Unknown;
    match producer.commit_transaction().await {
        Ok(()) => attempts.borrow_mut()[at].fate = Fate::Committed,
        Err(error) if error.kind() == ErrorKind::Abort => {
            attempts.borrow_mut()[at].fate = Fate::Aborted;
            return producer.abort_transaction().await.is_ok();
        }
        Err(_) => return false,
    }
    true
}

/// All committed records of a partition: writer, number, place. Nothing may stay undecided.
async fn committed(host: &Host, partition: i32) -> Vec<(usize, i64, usize)> {
    let client = connect(host).await;
    let name = TopicPartition::new(TOPIC, partition);
    let wanted = BTreeMap::from([(name.clone(), OffsetSpec::Latest)]);
    let end = loop {
        let listed = client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        if let Some(Ok(end)) = listed.get(&name) {
            break end.offset;
        }
    };
    let config = ConsumerConfig {
        isolation_level: IsolationLevel::ReadCommitted,
        auto_offset_reset: AutoOffsetReset::Earliest,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(&client, config).expect("a valid configuration");
    consumer.assign(std::slice::from_ref(&name)).expect("no group");
    let mut found = Vec::new();
    while end > 0 && consumer.position(&name).is_none_or(|position| position < end) {
        for record in consumer.poll(Duration::from_millis(500)).await.expect("records").records {
            let text = String::from_utf8(record.value.expect("a value").to_vec()).expect("text");
            let numbers: Vec<i64> = text.split(' ').map(|word| word.parse().expect("a number")).collect();
            found.push((numbers[0] as usize, numbers[1], numbers[2] as usize));
        }
    }
    found
}

/// The offset a writer has committed for its group.
async fn committed_offset(host: &Host, writer: usize) -> Option<i64> {
    let client = connect(host).await;
    loop {
        match client.admin().committed_offsets(&group_of(writer), None).await {
            Ok(offsets) => return offsets.values().next().map(|committed| committed.offset),
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
    }
}

/// Holds what is there against what the writers know. Gives how many transactions were committed.
fn judge(attempts: &[Attempt], logs: &[Vec<(usize, i64, usize)>], offsets: &[Option<i64>]) -> usize {
    let mut found: BTreeSet<(i32, usize, i64, usize)> = BTreeSet::new();
    for (partition, log) in (0..).zip(logs) {
        let mut last: BTreeMap<usize, (i64, usize)> = BTreeMap::new();
        for (writer, number, place) in log {
            assert!(
                found.insert((partition, *writer, *number, *place)),
                "twice: {writer} {number} {place} in {partition}"
            );
            let before = last.insert(*writer, (*number, *place));
            assert!(before.is_none_or(|before| before < (*number, *place)), "out of order in {partition}");
        }
    }
    let mut committed = 0;
    let mut given = vec![None; offsets.len()];
    for attempt in attempts {
        let is_there = |(partition, place): &(i32, usize)| {
            found.remove(&(*partition, attempt.writer, attempt.number, *place))
        };
        let there = attempt.records.iter().map(is_there).filter(|is_there| *is_there).count();
        assert!(there == 0 || there == attempt.records.len(), "{there} records of {attempt:?}");
        match attempt.fate {
            Fate::Committed => assert!(there > 0, "lost: {attempt:?}"),
            Fate::Aborted => assert_eq!(there, 0, "not committed: {attempt:?}"),
            Fate::Unknown => {}
        }
        if there > 0 {
            committed += 1;
            if attempt.gives_offset {
                given[attempt.writer] = Some(attempt.number);
            }
        }
    }
    assert!(found.is_empty(), "nobody wrote {found:?}");
    assert_eq!(given, offsets, "the offsets belong to the last transaction that gave one");
    committed
}

fn run(sim: &Sim, options: &SimOptions) -> usize {
    let attempts = Attempts::default();
    let nodes = ["writer0", "writer1"].map(String::from);
    let work = async {
        let keys = [("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500")];
        let broker = BrokerProcess::start(sim, &keys);
        let nemesis = Nemesis::new(sim, &broker, &nodes, &FAULTS, options.disk.clone());
        let trouble = async {
            create_topic(&sim.node("last"), TOPIC, PARTITIONS).await;
            let writer = |at: usize| write(sim.node(&nodes[at]), at, TROUBLE, attempts.clone());
            tokio::join!(writer(0), writer(1), nemesis.run(TROUBLE));
            // What was told last must be durable too.
            sim.crash(NODE);
            let host = sim.node("last");
            let (mut logs, mut offsets) = (Vec::new(), Vec::new());
            for partition in 0..PARTITIONS {
                logs.push(committed(&host, partition).await);
            }
            for writer in 0..nodes.len() {
                offsets.push(committed_offset(&host, writer).await);
            }
            (logs, offsets)
        };
        broker.keep_running_while(trouble).await
    };
    let (logs, offsets) = come_to_rest(sim, TROUBLE + REST, work);
    judge(&attempts.borrow(), &logs, &offsets)
}

#[test]
fn transactions_count_as_a_whole_whatever_fails() {
    let mut committed = 0;
    for_each_seed("transactions_count_as_a_whole_whatever_fails", |seed| {
        let options = SimOptions::chaos(seed);
        committed += run(&Sim::new(seed, options.clone()), &options);
    });
    assert!(committed > 0, "nothing was committed at all");
}

#[test]
fn the_same_seed_gives_the_same_transactions() {
    for_some_seeds("the_same_seed_gives_the_same_transactions", |seed| {
        let options = SimOptions::chaos(seed);
        assert_same_trace(seed, &options, |sim| {
            run(sim, &options);
        });
    });
}
