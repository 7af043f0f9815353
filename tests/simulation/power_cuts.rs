//! Power cuts in the midst of a transaction, which keep one part of it and lose another: what its partitions and groups have,
//! and what the coordinator knows. Whatever is left, nobody waits for offsets for ever, and what its producer has not
//! committed never counts, also if it goes on at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anabranch_client::{
    GroupMetadata, OffsetAndMetadata, Producer, ProducerConfig, ProducerRecord, TopicPartition,
};
use anabranch_host::{Sim, SimOptions};

use crate::broker_process::{BrokerProcess, NODE};
use crate::committed::all_bytes;
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, one_of};
use crate::seeds::{Witness, for_each_seed};

/// Power cuts of a run, each this long after the offsets are sent.
const CUTS: i64 = 4;
const CUT_AFTER: Duration = Duration::from_millis(8);
const REST: Duration = Duration::from_secs(600);

fn group() -> GroupMetadata {
    GroupMetadata { group_id: "g".into(), generation_id: -1, member_id: "".into(), group_instance_id: None }
}

async fn give_offsets(sim: &Sim, witness: &mut Witness) {
    let host = sim.node("user");
    create_topic(&host, "t", 1).await;
    let client = connect(&host).await;
    let (name, group) = (TopicPartition::new("t", 0), group());
    let mut committed = None;
    for number in 0..CUTS {
        let config = ProducerConfig {
            // Its coordinator ends none of them in time.
            transactional_id: Some(format!("x{number}")),
            transaction_timeout_ms: 60_000,
            ..ProducerConfig::default()
        };
        let producer = Producer::new(&client, config).expect("a valid configuration");
        producer.init_transactions().await.expect("in time");
        producer.begin_transaction().expect("none is open");
        let offsets = BTreeMap::from([(name.clone(), OffsetAndMetadata::new(number))]);
        let commits = one_of(&host, &[false, true]);
        let work = async {
            producer.send_offsets_to_transaction(&offsets, &group).await.expect("in time");
            if commits {
                producer.commit_transaction().await.expect("in time");
            }
        };
        let cut = CUT_AFTER.mul_f64(host.random_below(1000) as f64 / 1000.0);
        let is_done = host.timeout(cut, work).await.is_ok();
        sim.crash(NODE);
        if is_done && commits {
            committed = Some(number);
        }
        let mut tries = 0;
        let stable = loop {
            tries += 1;
            match client.admin().stable_offsets("g", Some(std::slice::from_ref(&name))).await {
                Ok(stable) => break stable,
                Err(error) => assert!(error.is_retriable(), "{error}"),
            }
        };
        if tries > 1 {
            witness.saw("offsets that were pending");
        }
        let stable = stable.get(&name).map(|offset| offset.offset);
        assert!(commits || stable != Some(number), "{number} was not committed");
        assert!(stable >= committed, "{stable:?} is before {committed:?}");
        committed = stable;
    }
}

#[test]
fn pending_offsets_are_decided_whatever_a_power_cut_keeps() {
    let mut witness = Witness::default();
    for_each_seed("pending_offsets_are_decided_whatever_a_power_cut_keeps", |seed| {
        witness.begin_seed();
        let sim = Sim::new(seed, SimOptions::default());
        let work = async {
            let broker = BrokerProcess::start(&sim, &[]);
            broker.keep_running_while(Box::pin(give_offsets(&sim, &mut witness))).await;
        };
        come_to_rest(&sim, REST, work);
    });
    witness.must_have_seen(["offsets that were pending"]);
}

/// Partitions that a transaction writes to.
const PARTITIONS: i32 = 3;
/// Transactions of a producer, of which one after the other is cut off.
const ATTEMPTS: i64 = 24;

/// Writes transaction after transaction. Gives those that are committed, and those that may be.
async fn write_on(sim: &Sim) -> (BTreeSet<i64>, BTreeSet<i64>) {
    let host = sim.node("user");
    create_topic(&host, "t", PARTITIONS).await;
    let client = connect(&host).await;
    let config = ProducerConfig {
        transactional_id: Some("x".into()),
        // It has a new batch ready as soon as it is answered.
        linger_ms: 0,
        ..ProducerConfig::default()
    };
    let mut producer = Producer::new(&client, config.clone()).expect("a valid configuration");
    producer.init_transactions().await.expect("in time");
    let (name, group) = (TopicPartition::new("t", 0), group());
    let (mut committed, mut unsure) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..ATTEMPTS {
        producer.begin_transaction().expect("none is open");
        let is_asked = std::cell::Cell::new(false);
        let work = async {
            for partition in 0..PARTITIONS {
                let value = number.to_be_bytes();
                let record = ProducerRecord::new("t").partition(partition).value(&value[..]);
                drop(producer.send(record).await.expect("room"));
            }
            producer.flush().await.expect("in time");
            let offsets = BTreeMap::from([(name.clone(), OffsetAndMetadata::new(number))]);
            producer.send_offsets_to_transaction(&offsets, &group).await.expect("in time");
            is_asked.set(true);
            producer.commit_transaction().await.expect("in time");
        };
        let cut = CUT_AFTER.mul_f64(host.random_below(2000) as f64 / 1000.0);
        match host.timeout(cut, work).await {
            Ok(()) => drop(committed.insert(number)),
            Err(_) => {
                sim.crash(NODE);
                if is_asked.get() {
                    unsure.insert(number);
                }
                // Its coordinator ends it, or another producer of this name does.
                while producer.abort_transaction().await.is_err() {
                    producer = Producer::new(&client, config.clone()).expect("a valid configuration");
                    if producer.init_transactions().await.is_ok() {
                        break;
                    }
                }
            }
        }
        if host.random_below(3) > 0 {
            // Who asks for offsets waits for groups that load, and the producer with him.
            continue;
        }
        let stable = loop {
            match client.admin().stable_offsets("g", Some(std::slice::from_ref(&name))).await {
                Ok(stable) => break stable.get(&name).map(|offset| offset.offset),
                Err(error) => assert!(error.is_retriable(), "{error}"),
            }
        };
        let may_be = |stable| committed.contains(&stable) || unsure.contains(&stable);
        assert!(stable.is_none_or(may_be), "{stable:?} was never committed");
        assert!(stable >= committed.last().copied(), "{stable:?} is before {committed:?}");
    }
    (committed, unsure)
}

#[test]
fn what_a_power_cut_has_kept_of_a_transaction_counts_for_no_other() {
    for_each_seed("what_a_power_cut_has_kept_of_a_transaction_counts_for_no_other", |seed| {
        let sim = Sim::new(seed, SimOptions::default());
        let work = async {
            let broker = BrokerProcess::start(&sim, &[]);
            let work = async {
                let (committed, unsure) = Box::pin(write_on(&sim)).await;
                let mut found: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
                for record in all_bytes(&sim.node("reader"), "t", PARTITIONS).await {
                    let value = record.value.expect("a number");
                    let number = i64::from_be_bytes(value.as_ref().try_into().expect("eight bytes"));
                    found.entry(record.partition).or_default().push(number);
                }
                (committed, unsure, found)
            };
            broker.keep_running_while(work).await
        };
        let (committed, unsure, found) = come_to_rest(&sim, REST, work);
        let first = found.get(&0).cloned().unwrap_or_default();
        for partition in 0..PARTITIONS {
            let found = found.get(&partition).cloned().unwrap_or_default();
            assert_eq!(found, first, "partition {partition} (left) has what the others have");
        }
        let counted: BTreeSet<i64> = first.iter().copied().collect();
        assert_eq!(counted.len(), first.len(), "each once: {first:?}");
        let missing: Vec<_> = committed.difference(&counted).collect();
        assert!(missing.is_empty(), "{missing:?} are missing");
        let others: Vec<_> =
            counted.iter().filter(|number| !committed.contains(number) && !unsure.contains(number)).collect();
        assert!(others.is_empty(), "{others:?} were never committed");
    });
}
