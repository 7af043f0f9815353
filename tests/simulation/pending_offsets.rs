//! Offsets in a transaction, of which power cuts keep one part and lose another: what the group has of it, and what the
//! coordinator knows of it. Whatever is left, nobody waits for the offsets for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_client::{GroupMetadata, OffsetAndMetadata, Producer, ProducerConfig, TopicPartition};
use anabranch_host::{Sim, SimOptions};

use crate::broker_process::{BrokerProcess, NODE};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, one_of};
use crate::seeds::{Witness, for_each_seed};

/// Power cuts of a run, each this long after the offsets are sent.
const CUTS: i64 = 4;
const CUT_AFTER: Duration = Duration::from_millis(8);
const REST: Duration = Duration::from_secs(600);

async fn run_in_the_world(sim: &Sim, witness: &mut Witness) {
    let host = sim.node("user");
    create_topic(&host, "t", 1).await;
    let client = connect(&host).await;
    let name = TopicPartition::new("t", 0);
    let group = GroupMetadata {
        group_id: "g".into(),
        generation_id: -1,
        member_id: "".into(),
        group_instance_id: None,
    };
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
            broker.keep_running_while(Box::pin(run_in_the_world(&sim, &mut witness))).await;
        };
        come_to_rest(&sim, REST, work);
    });
    witness.must_have_seen(["offsets that were pending"]);
}
