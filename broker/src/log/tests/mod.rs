//! A log as a whole: appended, read, closed, opened again.

mod aborted;
mod compaction;
mod compaction_crash;
mod crash;
mod flipped_fields;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::sim::{Sim, SimOptions};
use anabranch_host::{Host, OpenOptions};
use anabranch_protocol::Uuid;
use anabranch_protocol::records::{BatchBuilder, Compression, batches, seal, set_producer};
use bytes::{Bytes, BytesMut};

use super::*;
use crate::config::topic::ConfigLayers;
use crate::config::{BrokerConfig, Flush};
use crate::watermark::Gone;

/// A topic's configuration with some keys set, beyond the bounds that clients have.
pub(super) fn config(change: impl FnOnce(&mut TopicConfig)) -> Arc<TopicConfig> {
    let (broker, none) = (BrokerConfig::default(), BTreeMap::new());
    let layers = ConfigLayers { dynamic_broker: &none, dynamic_default_broker: &none, broker: &broker };
    let mut config = TopicConfig::settle(&layers, &BTreeMap::new());
    change(&mut config);
    Arc::new(config)
}

/// A batch of records `values`, all with this timestamp.
pub(super) fn batch_at(timestamp_ms: i64, values: &[&str]) -> BytesMut {
    batch_in(Compression::None, timestamp_ms, values)
}

fn batch_in(compression: Compression, timestamp_ms: i64, values: &[&str]) -> BytesMut {
    let mut builder = BatchBuilder::new(compression);
    for value in values {
        builder.append(timestamp_ms, Some(b"key"), Some(value.as_bytes()), []).unwrap();
    }
    builder.finish()
}

/// Offsets and values of the records in `records`.
pub(super) fn values(records: &Bytes) -> Vec<(i64, String)> {
    let mut scratch = Vec::new();
    let mut values = Vec::new();
    for batch in batches(records) {
        let batch = batch.unwrap();
        batch.check_crc().unwrap();
        for record in batch.records(&mut scratch).unwrap() {
            let record = record.unwrap();
            values
                .push((record.offset, String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap()));
        }
    }
    values
}

/// All records of a log.
pub(super) fn all(log: &Log) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    let mut offset = log.log_start_offset();
    loop {
        let records = log.read(offset, 300, log.log_end_offset()).unwrap();
        let some = values(&records);
        let Some((last, _)) = some.last() else { return found };
        assert!(offset <= *last, "a read must get on");
        offset = last + 1;
        found.extend(some);
    }
}

const NOW_MS: i64 = 1_750_000_000_000;
const TOPIC_ID: Uuid = Uuid([7; 16]);

fn name() -> PartitionName {
    PartitionName::new("t", 0)
}

fn directory_config(config: &Arc<TopicConfig>) -> LogDirectoryConfig {
    LogDirectoryConfig {
        journal_file_bytes: 64 << 10,
        // Both ways are taken.
        sync_volume_from: 6,
        ..LogDirectoryConfig::new(Flush::Commit, config.clone())
    }
}

async fn open(host: &Host, config: &Arc<TopicConfig>) -> (LogDirectory, Vec<RecoveredLog>) {
    host.disk().create_dir_all(Path::new("data")).unwrap();
    LogDirectory::open(host, Path::new("data"), directory_config(config)).await.unwrap()
}

/// Opens the directory, and in it the log of these tests, found or new.
async fn open_log(host: &Host, config: &Arc<TopicConfig>) -> (LogDirectory, Log) {
    let (directory, mut found) = open(host, config).await;
    let log = match found.pop() {
        Some(found) => {
            assert_eq!((found.name, found.topic_id), (name(), Some(TOPIC_ID)));
            found.log.unwrap()
        }
        None => directory.create(name(), TOPIC_ID, config.clone()),
    };
    (directory, log)
}

fn append(log: &mut Log, values: &[&str]) -> AppendInfo {
    append_batch(log, batch_at(NOW_MS, values)).unwrap()
}

fn append_batch(log: &mut Log, batch: BytesMut) -> Result<AppendInfo, AppendError> {
    log.append(&batch.freeze(), 3, AppendOrigin::Client, NOW_MS)
}

fn simulate<T>(seed: u64, scenario: impl AsyncFnOnce(&Sim) -> T) -> T {
    let sim = Sim::new(seed, SimOptions::default());
    let outcome = sim.block_on(scenario(&sim));
    assert_eq!(sim.panics(), []);
    outcome
}

#[test]
fn what_is_appended_is_durable_soon_and_read_again() {
    simulate(1, async |sim| {
        let config = config(|_| {});
        let (directory, mut log) = open_log(&sim.node("a"), &config).await;
        assert!(!sim.node("a").disk().exists(log.path()).unwrap(), "an empty log has no directory");
        let first = append(&mut log, &["a", "b"]);
        assert_eq!((first.base_offset, first.last_offset, first.is_duplicate), (0, 1, false));
        let second = append(&mut log, &["c"]);
        assert_eq!((second.base_offset, second.last_offset), (2, 2));
        assert_eq!((log.durable_end_offset(), log.log_end_offset()), (0, 3));
        log.settled().await.unwrap();
        assert_eq!(log.durable_end_offset(), 3);
        let expected: Vec<_> = [(0, "a"), (1, "b"), (2, "c")].map(|(o, v)| (o, v.to_string())).into();
        assert_eq!(all(&log), expected);
        assert_eq!(log.latest_epoch(), Some(LeaderEpoch { epoch: 3, start_offset: 0 }));

        log.close().unwrap();
        directory.shutdown().await.unwrap();
        assert_eq!(log.settled().await, Ok(()));
        let again = append_batch(&mut log, batch_at(NOW_MS, &["late"]));
        assert!(matches!(again, Err(AppendError::Gone(Gone::ShuttingDown))));
        sim.crash("a");
        let (_directory, log) = open_log(&sim.node("a"), &config).await;
        assert_eq!((all(&log), log.log_end_offset(), log.durable_end_offset()), (expected, 3, 3));
        assert_eq!(log.latest_epoch(), Some(LeaderEpoch { epoch: 3, start_offset: 0 }));
    });
}

#[test]
fn a_kill_loses_nothing_and_a_power_cut_nothing_durable() {
    for seed in 0..40 {
        simulate(seed, async |sim| {
            let config = config(|config| config.segment_bytes = 2000);
            let mut expected = Vec::new();
            let (mut directory, mut log) = open_log(&sim.node("a"), &config).await;
            for round in 0..6 {
                for n in 0..7 {
                    let value = format!("{round} {n} {}", "x".repeat(n * 20));
                    let info = append(&mut log, &[&value, "second"]);
                    expected.push((info.base_offset, value));
                    expected.push((info.last_offset, "second".to_string()));
                }
                let durable_end = if (seed + round) % 3 == 0 {
                    log.settled().await.unwrap();
                    log.log_end_offset()
                } else {
                    log.durable_end_offset()
                };
                if (seed + round) % 4 == 1 {
                    directory.checkpoint().await.unwrap();
                }
                let is_kill = (seed + round) % 2 == 0;
                if is_kill {
                    sim.kill("a")
                } else {
                    sim.crash("a")
                }
                (directory, log) = open_log(&sim.node("a"), &config).await;
                let found = all(&log);
                let least = if is_kill { expected.len() } else { durable_end as usize };
                assert!(found.len() >= least, "{} of {least} are left", found.len());
                assert_eq!(found, expected[..found.len()], "what is left is what was appended");
                assert_eq!(log.log_end_offset(), found.len() as i64);
                expected.truncate(found.len());
            }
        });
    }
}

#[test]
fn a_log_that_gets_much_is_synced_ahead_of_the_checkpoint() {
    for seed in 0..10 {
        simulate(seed, async |sim| {
            let host = sim.node("a");
            let (directory, mut log) = open_log(&host, &config(|_| {})).await;
            append(&mut log, &["its names are synced with this one"]);
            directory.checkpoint().await.unwrap();
            // An eighth of the journal's file, and some more.
            for _ in 0..10 {
                append(&mut log, &["x".repeat(1000).as_str()]);
                log.settled().await.unwrap();
            }
            host.sleep(Duration::from_millis(500)).await;
            sim.crash("a");
            let left = sim.node("a").disk().read(&log.path().join("00000000000000000000.log")).unwrap();
            assert!(left.len() > 8 << 10, "{} bytes are left of what was written", left.len());
        });
    }
}

#[test]
fn what_is_larger_than_the_limit_is_not_read() {
    simulate(1, async |sim| {
        let host = sim.node("a");
        let (_directory, mut log) = open_log(&host, &config(|_| {})).await;
        append(&mut log, &["first"]);
        let first_bytes = log.size_bytes() as usize;
        append(&mut log, &["x".repeat(1000).as_str()]);
        let end = log.log_end_offset();
        // Whoever reads the second batch is told of its damage.
        let file = log.path().join("00000000000000000000.log");
        let damage = host.disk().open(&file, OpenOptions::write()).unwrap();
        damage.write_all_at(b"y", first_bytes as u64 + 500).unwrap();
        let check = |offset, limit, expected: Option<usize>| {
            let read = log.read_within(offset, limit, end).ok().map(|records| records.len());
            assert_eq!(read, expected, "{limit:?} from {offset}");
        };
        check(0, ReadLimit::AtMost(0), Some(0));
        check(0, ReadLimit::AtMost(first_bytes - 1), Some(0));
        check(0, ReadLimit::AtMost(first_bytes), Some(first_bytes));
        check(0, ReadLimit::OrOneBatch(0), Some(first_bytes));
        check(1, ReadLimit::AtMost(0), Some(0));
        check(1, ReadLimit::AtMost(1000), Some(0));
        check(1, ReadLimit::AtMost(2000), None);
        check(1, ReadLimit::OrOneBatch(0), None);
        // An offset that is not there is told all the same.
        check(3, ReadLimit::AtMost(0), None);
    });
}

#[test]
fn the_largest_timestamp_before_a_bound_is_found_without_a_walk_over_all() {
    simulate(1, async |sim| {
        let host = sim.node("a");
        let config = config(|config| config.index_interval_bytes = 0);
        let (_directory, mut log) = open_log(&host, &config).await;
        // Each batch is a second later than the one before, but for every fifth.
        for n in 0..40 {
            let timestamp_ms = NOW_MS + if n % 5 == 0 { 0 } else { n * 1000 };
            append_batch(&mut log, batch_at(timestamp_ms, &["a", "b"])).unwrap();
        }
        let find = |log: &Log, bound| log.find_largest_timestamp(bound).map(|found| found.unwrap().offset);
        let check = |log: &Log, bound, expected: Option<i64>| {
            assert_eq!(find(log, bound).ok(), expected, "before {bound}");
        };
        let expected = [(80, 78), (79, 76), (62, 58), (60, 58), (22, 18), (20, 18), (4, 2), (3, 0), (2, 0)];
        expected.iter().for_each(|(bound, offset)| check(&log, *bound, Some(*offset)));
        // Who walks over the batches from the first on is told of its damage.
        let file = log.path().join("00000000000000000000.log");
        host.disk().open(&file, OpenOptions::write()).unwrap().write_all_at(&[7; 8], 0).unwrap();
        for (bound, offset) in expected {
            check(&log, bound, (bound > 4).then_some(offset));
        }
    });
}

/// Kafka's answers: the segment that takes the appends goes when its newest record is too old, or nothing is to be kept.
#[test]
fn the_last_segment_goes_with_the_others() {
    let check = |retention_bytes, retention_ms, expected_start| {
        simulate(1, async |sim| {
            let config = config(|config| {
                (config.retention_bytes, config.retention_ms) = (retention_bytes, retention_ms);
                config.segment_bytes = 250;
            });
            let (directory, mut log) = open_log(&sim.node("a"), &config).await;
            for n in 0..5 {
                append_batch(&mut log, batch_at(NOW_MS + n, &["value"])).unwrap();
            }
            log.settled().await.unwrap();
            assert_eq!(log.segments.len(), 2, "three batches and two");
            let end = log.log_end_offset();
            let removed = log.delete_old_segments(NOW_MS + 100, end).unwrap();
            directory.remove(removed, Duration::ZERO);
            let what = format!("bytes {retention_bytes:?}, time {retention_ms:?}");
            assert_eq!(log.log_start_offset(), expected_start, "{what}");
            assert_eq!(append(&mut log, &["next"]).base_offset, end, "{what}");
        });
    };
    check(None, None, 0);
    check(Some(1000), None, 0);
    check(Some(1), None, 3);
    check(Some(0), None, 5);
    check(None, Some(1000), 0);
    // Three batches are older than that, of two the last is not.
    check(None, Some(96), 3);
    check(None, Some(90), 5);
}

/// A producer whose answers were lost sends all that was on its way again, also to a broker that has started anew.
#[test]
fn five_batches_of_a_producer_are_known_after_any_stop() {
    for how in ["clean", "kill", "crash"] {
        simulate(1, async |sim| {
            let config = config(|_| {});
            let batch = |sequence| {
                let mut batch = batch_at(NOW_MS, &["value"]);
                set_producer(&mut batch, 77, 0, sequence);
                seal(&mut batch);
                batch
            };
            let (directory, mut log) = open_log(&sim.node("a"), &config).await;
            for sequence in 0..7 {
                append_batch(&mut log, batch(sequence)).unwrap();
            }
            log.settled().await.unwrap();
            match how {
                "clean" => {
                    log.close().unwrap();
                    directory.shutdown().await.unwrap();
                    sim.crash("a");
                }
                "kill" => sim.kill("a"),
                _ => sim.crash("a"),
            }
            let (_directory, mut log) = open_log(&sim.node("a"), &config).await;
            for sequence in 2..7 {
                let again = append_batch(&mut log, batch(sequence)).unwrap();
                assert_eq!((again.is_duplicate, again.base_offset), (true, i64::from(sequence)), "{how}");
            }
            let next = append_batch(&mut log, batch(7)).unwrap();
            assert_eq!((next.is_duplicate, next.base_offset), (false, 7), "{how}");
        });
    }
}
