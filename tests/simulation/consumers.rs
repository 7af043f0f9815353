//! Members of one group, each on a node of its own, who write down what they are given and what they commit.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anabranch_client::{
    AutoOffsetReset, Consumer, ConsumerConfig, ErrorKind, OffsetAndMetadata, RebalanceEvent, TopicPartition,
};
use anabranch_host::{Host, Sim};

use crate::history::{CommitOutcome, Log, Recorder, Value, value_of};
use crate::producers::{Load, connect};

/// The group.
pub(crate) const GROUP: &str = "readers";
/// Members of a group are told apart from other consumers by this in their number.
pub(crate) const MEMBER: u32 = 1_000;

/// Reads from `nodes` nodes as one group, for ever. Members come and go.
pub(crate) async fn consume(sim: &Sim, nodes: &[String], load: &Load, recorder: &Recorder) {
    let numbers = Rc::new(Cell::new(MEMBER));
    let members = nodes.iter().map(|node| {
        let (host, load, recorder, numbers) =
            (sim.node(node), load.clone(), recorder.clone(), numbers.clone());
        async move {
            loop {
                numbers.set(numbers.get() + 1);
                consume_once(&host, &load, numbers.get(), &recorder).await;
            }
        }
    });
    futures::future::join_all(members).await;
}

/// The life of one member.
async fn consume_once(host: &Host, load: &Load, number: u32, recorder: &Recorder) {
    let client = connect(host).await;
    let config = ConsumerConfig {
        group_id: Some(GROUP.to_string()),
        auto_offset_reset: AutoOffsetReset::Earliest,
        enable_auto_commit: false,
        session_timeout_ms: 6000,
        heartbeat_interval_ms: 500,
        max_poll_records: 1 + host.random_below(500) as usize,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(&client, config).expect("a valid configuration");
    consumer.subscribe([&load.topic]).expect("it has a group");
    // Where each log is to be committed: behind what was read.
    let mut positions: BTreeMap<Log, i64> = BTreeMap::new();
    for _ in 0..1 + host.random_below(400) {
        let polled = match consumer.poll(Duration::from_millis(500)).await {
            Ok(polled) => polled,
            Err(error) if error.kind() == ErrorKind::Fenced => return,
            Err(error) => panic!("member {number}: {error}"),
        };
        for event in &polled.events {
            match event {
                RebalanceEvent::Assigned { partitions, .. } => {
                    partitions.iter().for_each(|name| recorder.positioned(number, log_of(name)));
                }
                RebalanceEvent::Revoked(partitions) => {
                    commit(host, &consumer, number, &mut positions, recorder).await;
                    forget(&mut positions, partitions);
                }
                RebalanceEvent::Lost(partitions) => {
                    forget(&mut positions, partitions);
                }
            }
        }
        let mut records: BTreeMap<Log, Vec<(i64, Value)>> = BTreeMap::new();
        for record in polled.records {
            let log = (record.topic.to_string(), record.partition);
            positions.insert(log.clone(), record.offset + 1);
            records.entry(log).or_default().push((record.offset, value_of(record.value.as_deref())));
        }
        records.into_iter().for_each(|(log, records)| recorder.polled(number, log, records));
        if host.random_below(5) == 0 {
            commit(host, &consumer, number, &mut positions, recorder).await;
        }
    }
    if host.random_below(2) == 0 {
        // Whether or not the group hears of it.
        let _ = consumer.close().await;
    }
}

async fn commit(
    host: &Host,
    consumer: &Consumer,
    number: u32,
    positions: &mut BTreeMap<Log, i64>,
    recorder: &Recorder,
) {
    if positions.is_empty() {
        return;
    }
    let name = |(topic, partition): &Log| TopicPartition::new(topic.as_str(), *partition);
    let offsets =
        positions.iter().map(|(log, offset)| (name(log), OffsetAndMetadata::new(*offset))).collect();
    let commits: Vec<_> = std::mem::take(positions)
        .into_iter()
        .map(|(log, offset)| recorder.commit(number, log, offset))
        .collect();
    // Half of them at leisure, so that it is under way when something happens.
    host.sleep(Duration::from_micros(host.random_below(2) * 100)).await;
    let outcome = match consumer.commit_offsets(&offsets).await {
        Ok(()) => CommitOutcome::Acked,
        Err(_) => CommitOutcome::Unknown,
    };
    commits.into_iter().for_each(|commit| recorder.committed(&commit, outcome));
}

fn forget(positions: &mut BTreeMap<Log, i64>, partitions: &[TopicPartition]) {
    for name in partitions {
        positions.remove(&log_of(name));
    }
}

fn log_of(name: &TopicPartition) -> Log {
    (name.topic.to_string(), name.partition)
}

/// What is committed for the group in the end.
pub(crate) async fn final_offsets(host: &Host, load: &Load, recorder: &Recorder) {
    let admin = connect(host).await.admin();
    let names: Vec<TopicPartition> = load
        .logs()
        .iter()
        .map(|(topic, partition)| TopicPartition::new(topic.as_str(), *partition))
        .collect();
    loop {
        match admin.committed_offsets(GROUP, Some(&names)).await {
            Ok(offsets) => {
                for (name, committed) in offsets {
                    recorder.finally_committed(log_of(&name), committed.offset);
                }
                return;
            }
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
    }
}
