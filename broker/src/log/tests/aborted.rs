//! What is known of aborted transactions, whenever the power goes and whatever was damaged: without it their records would be
//! read as committed ones.

use std::sync::atomic::{AtomicUsize, Ordering};

use anabranch_host::OpenOptions;
use anabranch_protocol::records::{end_transaction_marker, set_transactional};

use super::*;

const PRODUCER: i64 = 88;

/// Appends a transaction of two batches and its marker.
fn transaction(log: &mut Log, is_committed: bool) {
    for _ in 0..2 {
        let mut batch = batch_at(NOW_MS, &["a", "b"]);
        let last = log.producers().first().map_or(-1, |(_, producer)| producer.last_sequence());
        set_producer(&mut batch, PRODUCER, 0, last + 1);
        set_transactional(&mut batch);
        seal(&mut batch);
        log.append(&batch.freeze(), 3, AppendOrigin::Transaction(Membership::Verified), NOW_MS).unwrap();
    }
    let marker = end_transaction_marker(NOW_MS, PRODUCER, 0, is_committed, 0).freeze();
    log.append(&marker, 3, AppendOrigin::Coordinator, NOW_MS).unwrap();
}

/// First and last offsets of those that were aborted.
fn aborted(log: &Log) -> Vec<(i64, i64)> {
    let found = log.aborted_transactions(0, log.log_end_offset()).unwrap();
    found.iter().map(|transaction| (transaction.first_offset, transaction.last_offset)).collect()
}

/// The recovery point may stand at the end of a segment that was closed later, and then its index is not synced.
#[test]
fn an_index_that_was_closed_behind_a_checkpoint_survives_a_power_cut() {
    let config = config(|config| config.segment_bytes = 300);
    for seed in 0..40 {
        simulate(seed, async |sim| {
            let (directory, mut log) = open_log(&sim.node("a"), &config).await;
            transaction(&mut log, false);
            log.settled().await.unwrap();
            directory.checkpoint().await.unwrap();
            transaction(&mut log, true);
            assert_eq!(log.segments[1].base_offset(), 5, "the next segment begins where the checkpoint was");
            log.settled().await.unwrap();
            sim.crash("a");
            for _ in 0..2 {
                let (_directory, log) = open_log(&sim.node("a"), &config).await;
                assert_eq!(aborted(&log), [(0, 4)], "seed {seed}");
                sim.crash("a");
            }
        });
    }
}

/// What was made anew is written, so that it is there from then on; and until it is written nothing looks as if there had
/// been none.
#[test]
fn an_index_that_was_damaged_is_whole_ever_after() {
    let config = config(|config| config.segment_bytes = 400);
    for seed in 0..40 {
        simulate(seed, async |sim| {
            let (directory, mut log) = open_log(&sim.node("a"), &config).await;
            for number in 0..4 {
                transaction(&mut log, number % 2 == 1);
            }
            let expected = aborted(&log);
            assert_eq!(expected, [(0, 4), (10, 14)]);
            log.close().unwrap();
            directory.shutdown().await.unwrap();
            sim.kill("a");
            let disk = sim.node("a").disk();
            let index = Path::new("data/t-0/00000000000000000000.txnindex");
            disk.open(index, OpenOptions::write()).unwrap().write_all_at(&[9], 3).unwrap();
            for round in 0..4 {
                let (directory, mut log) = open_log(&sim.node("a"), &config).await;
                assert_eq!(aborted(&log), expected, "seed {seed}, start {round}");
                if (seed + round) % 2 == 0 {
                    log.close().unwrap();
                    directory.shutdown().await.unwrap();
                }
                sim.crash("a");
            }
        });
    }
}

/// Counts what is told to whoever operates the broker.
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// A process that is killed has written of an index what filled its memory, and not the checksum of that: nobody is told of
/// damage, unless there is some.
#[test]
fn an_index_that_a_kill_left_half_written_is_not_called_damaged() {
    for is_damaged in [false, true] {
        simulate(1, async |sim| {
            let config = config(|config| config.segment_bytes = 2000);
            let (directory, mut log) = open_log(&sim.node("a"), &config).await;
            transaction(&mut log, false);
            while log.segments.len() < 3 {
                transaction(&mut log, true);
            }
            log.settled().await.unwrap();
            directory.checkpoint().await.unwrap();
            log.set_config(super::config(|_| {}));
            (0..100).for_each(|_| transaction(&mut log, false));
            log.settled().await.unwrap();
            let expected = aborted(&log);
            let active = log.segments.last().unwrap().transactions().files()[0].path();
            sim.kill("a");
            let disk = sim.node("a").disk();
            assert!(!disk.read(&active).unwrap().is_empty(), "some of it is written");
            if is_damaged {
                let index = log.path().join("00000000000000000000.txnindex");
                disk.open(&index, OpenOptions::write()).unwrap().write_all_at(&[9], 3).unwrap();
            }
            let warnings = Arc::new(AtomicUsize::new(0));
            let told = tracing::subscriber::set_default(Warnings(warnings.clone()));
            let (_directory, log) = open_log(&sim.node("a"), &config).await;
            drop(told);
            assert_eq!(aborted(&log), expected);
            assert_eq!(warnings.load(Ordering::Relaxed), usize::from(is_damaged), "damaged: {is_damaged}");
        });
    }
}
