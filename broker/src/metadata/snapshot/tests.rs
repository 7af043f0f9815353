//! What a snapshot holds, which one is taken, and that nothing is lost by one.

use std::sync::Arc;
use std::time::Duration;

use anabranch_host::{Host, Sim, SimOptions};
use anabranch_protocol::Uuid;
use anabranch_protocol::messages::cluster_metadata::{
    FeatureLevelRecord, MetadataRecord, PartitionRecord, ProducerIdsRecord, TopicRecord,
};
use parking_lot::Mutex;

use super::*;
use crate::metadata::creation::config_record;
use crate::metadata::quorum::for_each_record;
use crate::{Broker, BrokerConfig};

fn image(topics: u8) -> MetadataImage {
    let mut image = MetadataImage::default();
    let feature = FeatureLevelRecord { name: "metadata.version", feature_level: 30 };
    let ids = ProducerIdsRecord { broker_id: 1, broker_epoch: -1, next_producer_id: 3000 };
    let mut records = vec![MetadataRecord::FeatureLevel(feature), MetadataRecord::ProducerIds(ids)];
    let names: Vec<String> = (0..topics).map(|number| format!("topic.{number}")).collect();
    for (number, name) in (0..).zip(&names) {
        let topic_id = Uuid([number + 1; 16]);
        records.push(MetadataRecord::Topic(TopicRecord { name, topic_id }));
        records.push(config_record(name, "retention.ms", Some("5")));
        records.extend((0..3).map(|partition_id| {
            let (replicas, isr, directories) = (vec![1], vec![1], vec![Uuid([9; 16])]);
            let (leader, leader_epoch, partition_epoch) = (1, i32::from(number), 7);
            MetadataRecord::Partition(PartitionRecord {
                partition_id,
                topic_id,
                replicas,
                isr,
                directories,
                leader,
                leader_epoch,
                partition_epoch,
                ..Default::default()
            })
        }));
    }
    records.iter().for_each(|record| image.replay(record).unwrap());
    image
}

fn fold(batches: &[Batch]) -> MetadataImage {
    let (mut image, mut scratch) = (MetadataImage::default(), Vec::new());
    for batch in batches {
        for_each_record(batch, &mut scratch, &mut |_, record| {
            image.replay(record).unwrap();
            Ok(())
        })
        .unwrap();
    }
    image
}

#[test]
fn a_snapshot_reads_as_the_image_it_was_made_of() {
    for topics in [0, 3, 200] {
        let image = image(topics);
        let bytes = encode(&image, 4, 1000).unwrap().freeze();
        assert_eq!(fold(&decode(&bytes, 4).unwrap()), image, "{topics}");
        assert!(decode(&bytes, 5).is_err());
    }
}

#[test]
fn a_snapshot_that_is_cut_or_flipped_is_none() {
    let bytes = encode(&image(3), 0, 1000).unwrap().freeze();
    for length in 0..bytes.len() {
        assert!(decode(&bytes.slice(..length), 0).is_err(), "cut to {length}");
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 4;
        assert!(decode(&Bytes::from(flipped), 0).is_err(), "byte {at} of {}", bytes.len());
    }
}

#[test]
fn names_lead_back() {
    assert_eq!(name(42, 3), "00000000000000000042-0000000003.checkpoint");
    assert_eq!(parse_name(&name(42, 3)), Some((42, 3)));
    for other in
        ["42-3.checkpoint", "00000000000000000042-0000000003.checkpoint.tmp", "leader-epoch-checkpoint"]
    {
        assert_eq!(parse_name(other), None, "{other}");
    }
}

#[test]
fn the_newest_whole_one_within_the_log_is_taken() {
    let sim = Sim::new(7, SimOptions::default());
    let host = sim.node("broker");
    sim.block_on(async {
        let directory = PathBuf::from("/data");
        let snapshots = Snapshots::new(host.disk(), directory.clone());
        assert!(snapshots.newest(0, 100).unwrap().is_none(), "there is not even a directory");
        host.disk().create_dir_all(&directory).unwrap();
        assert!(snapshots.newest(5, 100).is_err());
        let bytes = encode(&image(1), 0, 1000).unwrap();
        for end_offset in [10, 20, 30] {
            snapshots.write(end_offset, 0, &bytes).await.unwrap();
        }
        let newest = |start, end| {
            snapshots.newest(start, end).map(|found| found.map(|snapshot| snapshot.end_offset)).ok()
        };
        assert_eq!(newest(0, 100), Some(Some(30)));
        assert_eq!(newest(30, 30), Some(Some(30)));
        assert_eq!(newest(0, 29), None, "the log is not the one it was");
        assert_eq!(newest(31, 100), None);
        host.disk().write_atomically(&directory.join(name(30, 0)), &bytes[..50]).await.unwrap();
        assert_eq!(newest(5, 100), Some(Some(20)), "a damaged one is passed over");
        snapshots.remove_before(20).unwrap();
        assert_eq!(snapshots.list().unwrap(), [(20, 0), (30, 0)]);
    });
}

/// A broker that takes a snapshot whenever anything has changed, and keeps the newest alone; with other keys besides.
fn config(keys: &[(&str, &str)]) -> BrokerConfig {
    let always = [
        ("log.dirs", "/data"),
        ("num.partitions", "2"),
        ("metadata.log.max.record.bytes.between.snapshots", "1"),
        ("metadata.max.retention.bytes", "0"),
    ];
    BrokerConfig::from_pairs(always.into_iter().chain(keys.iter().copied())).unwrap()
}

/// The topics there are, with their ids and partitions.
fn topics(broker: &Broker) -> Vec<(String, Uuid, usize)> {
    let image = broker.node().metadata.image();
    let topics = image.topics().map(|topic| (topic.name.to_string(), topic.id, topic.partitions.len()));
    topics.collect()
}

#[test]
fn a_start_takes_a_snapshot_and_the_log_before_it_goes() {
    let sim = Sim::new(7, SimOptions::default());
    sim.block_on(async {
        let host = sim.node("broker");
        let directory = PathBuf::from("/data/__cluster_metadata-0");
        let mut expected = Vec::new();
        for round in 0..4 {
            let broker = Broker::open(host.clone(), config(&[])).await.unwrap();
            assert_eq!(topics(&broker), expected, "round {round}");
            broker.node().create_missing_topic(&format!("t{round}")).unwrap();
            broker.node().metadata.settled().await.unwrap();
            expected = topics(&broker);
            assert_eq!(expected.len(), round + 1);
            let end_offset = broker.node().metadata.end_offset();
            broker.shutdown().await;
            let names: Vec<String> =
                host.disk().read_dir(&directory).unwrap().into_iter().map(|entry| entry.name).collect();
            let of = |suffix: &str| names.iter().filter(|name| name.ends_with(suffix)).count();
            assert_eq!((of(SUFFIX), of(".log")), (1, 1), "{names:?}");
            let snapshots = Snapshots::new(host.disk(), directory.clone()).list().unwrap();
            assert!(snapshots[0].0 <= end_offset && snapshots[0].0 > 0, "{snapshots:?} of {end_offset}");
        }
        // With flush=os nothing is taken.
        let before = Snapshots::new(host.disk(), directory.clone()).list().unwrap();
        let broker = Broker::open(host.clone(), config(&[("flush", "os")])).await.unwrap();
        assert_eq!(topics(&broker), expected);
        broker.node().create_missing_topic("last").unwrap();
        host.sleep(Duration::from_secs(10)).await;
        broker.shutdown().await;
        assert_eq!(Snapshots::new(host.disk(), directory.clone()).list().unwrap(), before);
        // Without the snapshot the log is of no use, and that is told.
        let snapshots = Snapshots::new(host.disk(), directory);
        snapshots.remove_before(i64::MAX).unwrap();
        let error = Broker::open(host, config(&[])).await.err().unwrap().to_string();
        assert!(error.contains("no snapshot leads there"), "{error}");
    });
}

/// What a broker that runs has taken, when it had this long for it after each of `count` new topics; how many segments its log
/// has in the end.
async fn taken(host: &Host, keys: &[(&str, &str)], count: usize, wait: Duration) -> (Vec<i64>, usize) {
    let broker = Broker::open(host.clone(), config(keys)).await.unwrap();
    let directory = PathBuf::from("/data/__cluster_metadata-0");
    let (first, snapshots) = (topics(&broker).len(), Snapshots::new(host.disk(), directory.clone()));
    for number in first..first + count {
        broker.node().create_missing_topic(&format!("t{number}")).unwrap();
        host.sleep(wait).await;
    }
    let expected = topics(&broker);
    let entries = host.disk().read_dir(&directory).unwrap();
    let segments = entries.iter().filter(|entry| entry.name.ends_with(".log")).count();
    let found = snapshots.list().unwrap().into_iter().map(|(end_offset, _)| end_offset).collect();
    broker.shutdown().await;
    let broker = Broker::open(host.clone(), config(keys)).await.unwrap();
    assert_eq!(topics(&broker), expected);
    broker.shutdown().await;
    (found, segments)
}

#[test]
fn a_broker_that_runs_takes_them_by_bytes_and_by_time_and_keeps_what_retention_says() {
    const BYTES: &str = "metadata.log.max.record.bytes.between.snapshots";
    const INTERVAL: &str = "metadata.log.max.snapshot.interval.ms";
    const KEPT: &str = "metadata.max.retention.bytes";
    let check = |keys: &[(&str, &str)], wait_s: u64, expected: (Vec<i64>, usize)| {
        let sim = Sim::new(7, SimOptions::default());
        let host = sim.node("broker");
        let found = sim.block_on(taken(&host, keys, 4, Duration::from_secs(wait_s)));
        assert_eq!(found, expected, "{keys:?}");
        assert_eq!(sim.panics(), []);
    };
    // Two records of features, then three for each topic: itself and its partitions.
    check(&[], 1, (vec![14], 1));
    check(&[(KEPT, "-1")], 1, (vec![2, 5, 8, 11, 14], 6));
    check(&[(KEPT, "-1"), ("metadata.max.retention.ms", "2500")], 1, (vec![8, 11, 14], 3));
    // What the features and three topics take.
    check(&[(KEPT, "-1"), (BYTES, "700")], 1, (vec![11], 2));
    // By time alone; nothing is taken where nothing is new.
    check(&[(KEPT, "-1"), (BYTES, "100000"), (INTERVAL, "2000")], 1, (vec![11], 2));
    check(&[(KEPT, "-1"), (BYTES, "100000"), (INTERVAL, "2000")], 100, (vec![5, 8, 11, 14], 5));
    check(&[(KEPT, "-1"), (BYTES, "100000"), (INTERVAL, "0")], 10_000, (vec![], 1));
}

#[test]
fn if_the_newest_cannot_be_read_an_older_one_and_the_log_behind_it_tell_all() {
    let sim = Sim::new(7, SimOptions::default());
    let host = sim.node("broker");
    sim.block_on(async {
        let keys = [("metadata.max.retention.bytes", "-1")];
        let (found, _) = taken(&host, &keys, 4, Duration::from_secs(1)).await;
        let directory = PathBuf::from("/data/__cluster_metadata-0");
        for end_offset in &found[2..] {
            host.disk().write_atomically(&directory.join(name(*end_offset, 0)), b"damaged").await.unwrap();
        }
        let broker = Broker::open(host.clone(), config(&keys)).await.unwrap();
        assert_eq!(topics(&broker).len(), 4);
        broker.shutdown().await;
    });
}

/// Opens a broker, makes some topics, and stops it; what is acknowledged goes into `acknowledged`.
async fn live(host: Host, config: BrokerConfig, round: u64, acknowledged: Arc<Mutex<Vec<String>>>) {
    let Ok(broker) = Broker::open(host.clone(), config).await else { return };
    for number in 0..3 {
        let name = format!("t.{round}.{number}");
        if broker.node().create_missing_topic(&name).is_err() {
            return;
        }
        if broker.node().metadata.settled().await.is_err() {
            return;
        }
        acknowledged.lock().push(name);
        host.sleep(Duration::from_millis(host.random_u64() % 40)).await;
    }
    broker.shutdown().await;
}

fn run(seed: u64) {
    let sim = Sim::new(seed, SimOptions::chaos(seed));
    // What goes, and when.
    let keys: &[(&str, &str)] = match seed % 4 {
        0 => &[("metadata.log.max.record.bytes.between.snapshots", "1000")],
        1 => &[("metadata.max.retention.bytes", "2000")],
        2 => &[("metadata.max.retention.bytes", "-1"), ("metadata.max.retention.ms", "100")],
        _ => &[],
    };
    sim.block_on(async {
        let dice = sim.node("dice");
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        for round in 0..12 {
            let host = sim.node("broker");
            let life = host.spawn(live(host.clone(), config(keys), round, acknowledged.clone()));
            if dice.random_u64().is_multiple_of(3) {
                let _ = life.await;
            } else {
                sim.sleep(Duration::from_micros(dice.random_u64() % 200_000)).await;
            }
            if dice.random_u64().is_multiple_of(2) {
                sim.crash("broker");
            } else {
                sim.kill("broker");
            }
        }
        let mut tries = 0;
        let broker = loop {
            match Broker::open(sim.node("broker"), config(keys)).await {
                Ok(broker) => break broker,
                Err(error) => {
                    tries += 1;
                    assert!(tries < 20, "seed {seed}: {error}");
                    sim.crash("broker");
                }
            }
        };
        for name in acknowledged.lock().iter() {
            let image = broker.node().metadata.image();
            let topic = image.topic(name).unwrap_or_else(|| panic!("seed {seed}: {name} is lost"));
            assert_eq!(topic.partitions.len(), 2, "seed {seed}: {name}");
        }
        assert!(!acknowledged.lock().is_empty(), "seed {seed}");
    });
    assert_eq!(sim.panics(), []);
}

#[test]
fn whatever_comes_between_the_steps_no_topic_is_lost() {
    for seed in 0..40 {
        run(seed);
    }
}
