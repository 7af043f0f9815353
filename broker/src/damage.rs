//! A broker whose files are damaged: whatever bit flips in whatever file while the broker is down, what clients get
//! afterwards is what they would have got, or an error. Never another record, never a gap that nobody sees, and every
//! other partition goes on.
//!
//! A data directory is made once, on a simulated disk; each case gets a copy of it with one bit flipped. Small files are
//! flipped in every byte, large ones at places that a seed draws.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anabranch_host::{Disk, Host, OpenOptions, Sim, SimOptions};
use anabranch_protocol::records::{BatchBuilder, BatchHeader, Compression, batches, seal, set_producer};
use bytes::{Bytes, BytesMut};

use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::log::{AppendOrigin, LogError};
use crate::partition::{Isolation, Partition, ReadBatches};
use crate::partition_name::PartitionName;

const DATA: &str = "/data";
const BATCHES: i64 = 24;
const PARTITIONS: i32 = 2;
const FIRST_TIMESTAMP: i64 = 1_750_000_000_000;

fn config() -> BrokerConfig {
    // Segments roll by the records' own time, and each batch has its entry in the indexes.
    let keys = [
        ("log.dirs", DATA),
        ("num.partitions", "2"),
        ("log.roll.ms", "10000"),
        ("log.index.interval.bytes", "0"),
        ("log.retention.ms", "-1"),
    ];
    BrokerConfig::from_pairs(keys).unwrap()
}

/// What is true of the directory.
struct Original {
    sim: Sim,
    /// All batches of each partition, by their first offset.
    batches: BTreeMap<PartitionName, Vec<(i64, Bytes)>>,
    files: Vec<PathBuf>,
    /// Whether the broker was stopped cleanly.
    is_clean: bool,
}

/// The batch number `index` of a partition: three records of an idempotent producer, a second after the one before.
fn batch(partition: i32, index: i64) -> BytesMut {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in 0..3 {
        let timestamp = FIRST_TIMESTAMP + index * 1000 + record;
        let value = format!("partition {partition} batch {index} record {record}");
        builder.append(timestamp, None, Some(value.as_bytes()), []).unwrap();
    }
    let mut bytes = builder.finish();
    set_producer(&mut bytes, 7 + i64::from(partition), 0, (index * 3) as i32);
    seal(&mut bytes);
    bytes
}

fn files(disk: &Disk, directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in disk.read_dir(directory).unwrap() {
        let path = directory.join(&entry.name);
        if entry.is_dir { files(disk, &path, found) } else { found.push(path) }
    }
}

fn read_all(partition: &Partition) -> Result<Vec<(i64, Bytes)>, LogError> {
    let (mut found, mut offset) = (Vec::new(), partition.log_start_offset());
    while offset < partition.log_end_offset() {
        let (_, records) = partition.read(offset, 1 << 20, true, Isolation::ReadUncommitted);
        for batch in batches(&records?.records) {
            let batch = batch.unwrap();
            found.push((batch.header.base_offset, batch.bytes.clone()));
            offset = batch.header.next_offset();
        }
    }
    Ok(found)
}

impl Original {
    fn make(is_clean: bool) -> Original {
        let sim = Sim::new(11, SimOptions::default());
        let host = sim.node("original");
        let batches = sim.block_on(async {
            let broker = Broker::open(host.clone(), config()).await.unwrap();
            let mut batches = BTreeMap::new();
            for topic in ["a", "b"] {
                broker.node().create_missing_topic(topic).unwrap();
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
                    batches.insert(partition.name().clone(), read_all(&partition).unwrap());
                }
            }
            if is_clean {
                broker.shutdown().await;
            } else {
                drop(broker);
            }
            batches
        });
        sim.kill("original");
        let mut found = Vec::new();
        files(&sim.node("original").disk(), Path::new(DATA), &mut found);
        Original { sim, batches, files: found, is_clean }
    }

    /// A copy of the directory with one bit flipped.
    fn with_flipped(&self, path: &Path, byte: u64, bit: u8) -> Host {
        self.sim.copy_disk("original", "copy");
        let host = self.sim.node("copy");
        let file = host.disk().open(path, OpenOptions::write()).unwrap();
        let mut flipped = [0];
        file.read_exact_at(&mut flipped, byte).unwrap();
        flipped[0] ^= 1 << bit;
        file.write_all_at(&flipped, byte).unwrap();
        host
    }

    /// Whether the start may fail because of damage in this file; it says so then.
    fn is_needed_by_all(&self, path: &Path) -> bool {
        let text = path.to_str().unwrap();
        text.ends_with("meta.properties")
            || text.contains("__cluster_metadata")
            || (!self.is_clean && text.contains("anabranch-journal"))
    }

    /// Opens the copy and holds it against what is true; what was noticed.
    async fn check(&self, host: &Host, path: &Path) -> Noticed {
        let broker = match Broker::open(host.clone(), config()).await {
            Ok(broker) => broker,
            Err(error) => {
                assert!(self.is_needed_by_all(path), "it does not start: {error}");
                assert!(!error.to_string().is_empty());
                return Noticed::NoStart;
            }
        };
        let mut noticed = Noticed::Nothing;
        for (name, expected) in &self.batches {
            let is_own = path.parent() == Some(&Path::new(DATA).join(name.to_string()));
            // What can be made anew from the records is never missed.
            let may_fail = is_own
                && (path.extension().is_some_and(|kind| kind == "log")
                    || path.ends_with("partition.metadata"))
                || self.is_needed_by_all(path);
            let partition =
                broker.node().topics.by_name(&name.topic).and_then(|topic| topic.partition(name.partition));
            let partition = partition.unwrap_or_else(|| panic!("{name} is gone"));
            if partition.check().is_err() {
                assert!(may_fail, "{name} is offline");
                noticed = Noticed::Offline;
                continue;
            }
            if self.check_reads(&partition, expected, may_fail) {
                noticed = Noticed::ReadError;
            }
            let end_offset =
                expected.last().map_or(0, |(_, last)| BatchHeader::parse(last).unwrap().next_offset());
            assert_eq!(partition.log_end_offset(), end_offset, "{name} ends elsewhere");
            if noticed == Noticed::Nothing || !is_own {
                check_searches(&partition, may_fail);
                check_producers(host, &partition, name, expected);
            }
        }
        broker.shutdown().await;
        noticed
    }

    /// Reads from every offset; whether any read failed.
    fn check_reads(&self, partition: &Partition, expected: &[(i64, Bytes)], may_fail: bool) -> bool {
        let mut failed = false;
        for (base_offset, bytes) in expected {
            for offset in [*base_offset, base_offset + 1] {
                let isolation = Isolation::ReadUncommitted;
                for max_bytes in [1000] {
                    match partition.read(offset, max_bytes, true, isolation).1 {
                        Ok(ReadBatches { records, .. }) => {
                            let given = records.get(..bytes.len());
                            assert_eq!(given, Some(&bytes[..]), "{} at {offset}", partition.name());
                            let rest = expected.iter().skip_while(|(base, _)| base < base_offset);
                            let all: Vec<u8> = rest.flat_map(|(_, bytes)| bytes.to_vec()).collect();
                            assert!(all.starts_with(&records), "{} from {offset}", partition.name());
                        }
                        Err(error) => {
                            assert!(may_fail, "{} at {offset}: {error}", partition.name());
                            failed = true;
                        }
                    }
                }
            }
        }
        failed
    }
}

/// Finds every record by its time.
fn check_searches(partition: &Partition, may_fail: bool) {
    for number in 0..BATCHES {
        let timestamp = FIRST_TIMESTAMP + number * 1000 + 1;
        match partition.find_timestamp(timestamp, i64::MAX) {
            Ok(found) => {
                let found = found.map(|found| (found.offset, found.timestamp));
                assert_eq!(found, Some((number * 3 + 1, timestamp)), "{}", partition.name());
            }
            Err(error) => assert!(may_fail, "{}: {error}", partition.name()),
        }
    }
}

/// A batch that was appended before is known to have been, and the next one follows it.
fn check_producers(host: &Host, partition: &Partition, name: &PartitionName, expected: &[(i64, Bytes)]) {
    let last = expected.len() as i64 - 1;
    for (number, is_duplicate) in [(last, true), (last + 1, false)] {
        let records = batch(name.partition, number).freeze();
        let (appended, _) = partition.append(&records, AppendOrigin::Client, host.wall_clock_ms()).unwrap();
        assert_eq!((appended.is_duplicate, appended.base_offset), (is_duplicate, number * 3), "{name}");
    }
}

/// What a flipped bit led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Noticed {
    /// All is as it was.
    Nothing,
    /// Some reads fail.
    ReadError,
    /// The partition is offline.
    Offline,
    /// The broker does not start, and says why.
    NoStart,
}

fn every_file_damaged(is_clean: bool) {
    let original = Original::make(is_clean);
    let seed = std::env::var("ANABRANCH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut dice = fastrand::Rng::with_seed(seed);
    let places = if std::env::var_os("ANABRANCH_FULL").is_some() { usize::MAX } else { 4 };
    let mut kinds: BTreeMap<String, BTreeMap<Noticed, usize>> = BTreeMap::new();
    for path in &original.files {
        let length = original.sim.node("original").disk().read(path).unwrap().len();
        // Of the journal's files only the beginning was ever written.
        let length = length.min(16 << 10);
        for _ in 0..length.min(places) {
            let (byte, bit) = (dice.u64(..length as u64), dice.u8(..8));
            println!("{} byte {byte} bit {bit} (seed {seed})", path.display());
            let host = original.with_flipped(path, byte, bit);
            let noticed = original.sim.block_on(original.check(&host, path));
            let name = path.file_name().unwrap().to_str().unwrap();
            let kind = name.rsplit_once('.').map_or(name, |(_, kind)| kind);
            let parent = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            let kind = if parent.starts_with("__") { format!("{parent}/{kind}") } else { kind.to_string() };
            *kinds.entry(kind).or_default().entry(noticed).or_default() += 1;
        }
    }
    assert_eq!(original.sim.panics(), []);
    println!("{kinds:#?}");
    // The test has met every kind of file there is.
    let expected: &[&str] = &[
        "log",
        "index",
        "timeindex",
        "snapshot",
        "leader-epoch-checkpoint",
        "metadata",
        "properties",
        "anabranch-checkpoint",
        "anabranch-journal-0",
        "__cluster_metadata-0/log",
    ];
    for kind in expected {
        // After a clean stop the journal is empty; after a crash there need be no snapshot.
        assert!(kinds.contains_key(*kind) || kind.contains("journal"), "no {kind} among {:?}", kinds.keys());
    }
    let in_logs = &kinds["log"];
    assert!(in_logs.get(&Noticed::ReadError).is_some() || in_logs.get(&Noticed::Offline).is_some());
    // After a crash the journal has what is not in synced segments, and puts it back.
    assert!(
        !is_clean || !in_logs.contains_key(&Noticed::Nothing),
        "a bit of a log was flipped and nobody noticed"
    );
}

#[test]
fn every_file_damaged_after_a_clean_stop() {
    every_file_damaged(true);
}

#[test]
fn every_file_damaged_after_a_crash() {
    every_file_damaged(false);
}
