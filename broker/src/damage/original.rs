//! The directory that is damaged, as a broker has left it, and what is true of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch_host::{Disk, Host, Sim, SimOptions};
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic,
};
use anabranch_protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use anabranch_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use anabranch_protocol::records::{BatchBuilder, Compression, seal, set_producer, set_transactional};
use bytes::{Bytes, BytesMut};

use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::coordinator::group::offset_commit::{CommitOffsets, PartitionCommit};
use crate::handlers::tests::ask;
use crate::log::{AbortedTransaction, AppendOrigin, CleanerProgress, Membership, ReadLimit};
use crate::partition::{Isolation, Partition};
use crate::partition_name::PartitionName;

pub(super) const DATA: &str = "/data";
/// Batches of each partition of the topics `a` and `b`.
pub(super) const BATCHES: i64 = 24;
pub(super) const PARTITIONS: i32 = 2;
pub(super) const FIRST_TIMESTAMP: i64 = 1_750_000_000_000;
/// Transactions in the partition 0 of the topic `t`; every third is aborted.
pub(super) const TRANSACTIONS: usize = 24;
/// Groups, and transactional ids; they lie in all partitions of the internal topics.
pub(super) const NAMES: [&str; 4] = ["one", "two", "seven", "eight"];

const SNAPSHOT_BYTES: &str = "metadata.log.max.record.bytes.between.snapshots";

pub(super) fn config() -> BrokerConfig {
    // Segments roll by the records' own time, and each batch has its entry in the indexes.
    let keys = [
        ("log.dirs", DATA),
        ("num.partitions", "2"),
        ("log.roll.ms", "10000"),
        ("log.index.interval.bytes", "0"),
        ("log.retention.ms", "-1"),
        ("offsets.topic.num.partitions", "2"),
        ("transaction.state.log.num.partitions", "2"),
        // A snapshot of the metadata is taken whenever it has changed, and what is before it goes.
        (SNAPSHOT_BYTES, "1"),
        ("metadata.max.retention.bytes", "0"),
    ];
    BrokerConfig::from_pairs(keys).unwrap()
}

/// What a reader of committed records is given from an offset on: the batches, and what of them is aborted.
pub(super) type Committed = (Bytes, Vec<AbortedTransaction>);

/// A directory, and what is true of it.
pub(super) struct Original {
    pub(super) sim: Sim,
    /// All batches of each partition of `a` and `b`, by their first offset.
    pub(super) batches: BTreeMap<PartitionName, Vec<(i64, Bytes)>>,
    /// What there is to read in `t`, by the offset asked for.
    pub(super) committed: BTreeMap<i64, Committed>,
    pub(super) files: Vec<PathBuf>,
    /// Those of partitions.
    pub(super) directories: Vec<PathBuf>,
    /// Whether the broker was stopped cleanly.
    pub(super) is_clean: bool,
}

/// A batch of three records of a producer, a second after the one before.
fn records(what: &str, index: i64, producer: (i64, i16, i32), is_transactional: bool) -> BytesMut {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in 0..3 {
        let timestamp = FIRST_TIMESTAMP + index * 1000 + record;
        let value = format!("{what} batch {index} record {record}");
        builder.append(timestamp, None, Some(value.as_bytes()), []).unwrap();
    }
    let mut bytes = builder.finish();
    set_producer(&mut bytes, producer.0, producer.1, producer.2);
    if is_transactional {
        set_transactional(&mut bytes);
    }
    seal(&mut bytes);
    bytes
}

/// The batch number `index` of a partition of `a` or `b`.
pub(super) fn batch(partition: i32, index: i64) -> BytesMut {
    let producer = (7000 + i64::from(partition), 0, (index * 3) as i32);
    records(&format!("partition {partition}"), index, producer, false)
}

/// The offset that a group has committed for the partition 0 of `t`.
pub(super) fn committed_offset(group: usize) -> i64 {
    100 + group as i64
}

async fn commit_offsets(broker: &Broker) {
    for (group, group_id) in NAMES.iter().enumerate() {
        for offset in [7, committed_offset(group)] {
            let partition = PartitionCommit {
                topic: "t",
                topic_id: broker.node().topics.by_name("t").unwrap().id,
                partition: 0,
                offset,
                leader_epoch: -1,
                metadata: Some("metadata"),
            };
            let request = CommitOffsets {
                group_id,
                generation_id: -1,
                partitions: vec![partition],
                ..CommitOffsets::default()
            };
            let groups = &broker.node().groups;
            let (errors, durable) = groups
                .call(group_id, |coordinator, now, effects| {
                    coordinator.commit_offsets(now, &request, effects)
                })
                .unwrap();
            assert_eq!(errors.unwrap(), [ErrorCode::NONE]);
            durable.await.unwrap();
        }
    }
}

/// Writes down how far a log is clean, as the cleaner does.
async fn note_what_is_clean(broker: &Broker, host: &Host) {
    let mut progress = CleanerProgress::load(&host.disk(), Path::new(DATA)).unwrap();
    let topic = broker.node().topics.by_name("__consumer_offsets").unwrap();
    progress.cleaned(&PartitionName::new("__consumer_offsets", 0), topic.id, 1);
    progress.save().await.unwrap();
}

/// One transaction after the other, each of the next transactional id.
async fn run_transactions(broker: &Broker, host: &Host) {
    let partition = broker.node().topics.by_name("t").unwrap().partition(0).unwrap();
    let mut producers = BTreeMap::new();
    for number in 0..TRANSACTIONS {
        let name = NAMES[number % NAMES.len()];
        if !producers.contains_key(name) {
            let request = InitProducerIdRequest {
                transactional_id: Some(name),
                transaction_timeout_ms: 60_000,
                ..Default::default()
            };
            let begin = |response: InitProducerIdResponse| {
                assert_eq!(response.error_code, ErrorCode::NONE);
                (response.producer_id, response.producer_epoch, 0)
            };
            producers.insert(name, ask(broker, 5, &request, begin).await);
        }
        let producer = producers.get_mut(name).unwrap();
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: name,
            v3_and_below_producer_id: producer.0,
            v3_and_below_producer_epoch: producer.1,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: "t", partitions: vec![0] }],
            ..Default::default()
        };
        ask(broker, 3, &request, |response: AddPartitionsToTxnResponse<'_>| {
            let topic = &response.results_by_topic_v3_and_below[0];
            assert_eq!(topic.results_by_partition[0].partition_error_code, ErrorCode::NONE);
        })
        .await;
        for _ in 0..2 {
            let bytes = records("transaction", number as i64, *producer, true).freeze();
            let origin = AppendOrigin::Transaction(Membership::Verified);
            partition.append(&bytes, origin, host.wall_clock_ms()).unwrap().1.await.unwrap();
            producer.2 += 3;
        }
        let request = EndTxnRequest {
            transactional_id: name,
            producer_id: producer.0,
            producer_epoch: producer.1,
            committed: number % 3 != 0,
        };
        let end = |response: EndTxnResponse| assert_eq!(response.error_code, ErrorCode::NONE);
        ask(broker, 3, &request, end).await;
        while !partition.open_transactions().is_empty() {
            host.sleep(Duration::from_millis(1)).await;
        }
        partition.settled().await.unwrap();
        if number == TRANSACTIONS / 2 {
            broker.node().topics.directory().checkpoint().await.unwrap();
        }
    }
    // The last markers are known to their coordinators.
    host.sleep(Duration::from_secs(1)).await;
}

pub(super) fn read_all(partition: &Partition) -> Vec<(i64, Bytes)> {
    let (mut found, mut offset) = (Vec::new(), partition.log_start_offset());
    while offset < partition.log_end_offset() {
        let (_, read) = partition.read(offset, ReadLimit::OrOneBatch(1 << 20), Isolation::ReadUncommitted);
        for batch in anabranch_protocol::records::batches(&read.unwrap().records) {
            let batch = batch.unwrap();
            found.push((batch.header.base_offset, batch.bytes.clone()));
            offset = batch.header.next_offset();
        }
    }
    found
}

fn read_committed(partition: &Partition) -> BTreeMap<i64, Committed> {
    let read = |offset| {
        let (_, read) = partition.read(offset, ReadLimit::OrOneBatch(1 << 20), Isolation::ReadCommitted);
        let read = read.unwrap();
        (offset, (read.records, read.aborted))
    };
    (partition.log_start_offset()..partition.log_end_offset()).map(read).collect()
}

fn files(disk: &Disk, directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in disk.read_dir(directory).unwrap() {
        let path = directory.join(&entry.name);
        if entry.is_dir { files(disk, &path, found) } else { found.push(path) }
    }
}

impl Original {
    pub(super) fn make(is_clean: bool) -> Original {
        let sim = Sim::new(11, SimOptions::default());
        let host = sim.node("original");
        let (batches, committed) = sim.block_on(async {
            // Some of the metadata is in a snapshot, some in the log behind it.
            let broker = Broker::open(host.clone(), config()).await.unwrap();
            broker.node().create_missing_topic("a").unwrap();
            host.sleep(Duration::from_secs(1)).await;
            broker.shutdown().await;
            let without_snapshots = config().with([(SNAPSHOT_BYTES, "1000000")]).unwrap();
            let broker = Broker::open(host.clone(), without_snapshots).await.unwrap();
            for topic in ["b", "t", "__consumer_offsets", "__transaction_state"] {
                broker.node().create_missing_topic(topic).unwrap();
            }
            let mut batches = BTreeMap::new();
            for topic in ["a", "b"] {
                for index in 0..PARTITIONS {
                    let partition = broker.node().topics.by_name(topic).unwrap().partition(index).unwrap();
                    for number in 0..BATCHES {
                        let records = batch(index, number).freeze();
                        let now_ms = host.wall_clock_ms();
                        let (_, durable) = partition.append(&records, AppendOrigin::Client, now_ms).unwrap();
                        durable.await.unwrap();
                        if number == BATCHES / 2 {
                            // Some of it is in the checkpoint, some in the journal alone.
                            broker.node().topics.directory().checkpoint().await.unwrap();
                        }
                    }
                    batches.insert(partition.name().clone(), read_all(&partition));
                }
            }
            commit_offsets(&broker).await;
            run_transactions(&broker, &host).await;
            let transactional = broker.node().topics.by_name("t").unwrap().partition(0).unwrap();
            let committed = read_committed(&transactional);
            drop(transactional);
            note_what_is_clean(&broker, &host).await;
            if is_clean {
                broker.shutdown().await;
            } else {
                drop(broker);
            }
            (batches, committed)
        });
        sim.kill("original");
        let mut found = Vec::new();
        files(&sim.node("original").disk(), Path::new(DATA), &mut found);
        let directories =
            found.iter().filter_map(|path| path.parent()).filter(|path| *path != Path::new(DATA));
        let directories: BTreeSet<PathBuf> = directories.map(Path::to_path_buf).collect();
        let directories = directories.into_iter().collect();
        Original { sim, batches, committed, files: found, directories, is_clean }
    }
}
