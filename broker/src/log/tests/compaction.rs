//! Compaction of a whole log: random logs keep what they mean, and the rules one by one.

use anabranch_host::Host;
use anabranch_protocol::records::{end_transaction_marker, set_transactional};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::*;

pub(super) const LIMITS: CleanerLimits = CleanerLimits { map_bytes: 1 << 20, map_load_factor: 0.9 };
/// `delete.retention.ms` of these tests.
const RETENTION_MS: i64 = 10_000;

pub(super) fn compacting(change: impl FnOnce(&mut TopicConfig)) -> Arc<TopicConfig> {
    config(|config| {
        config.cleanup_compact = true;
        config.cleanup_delete = false;
        config.segment_bytes = 700;
        config.index_interval_bytes = 100;
        config.delete_retention_ms = RETENTION_MS;
        change(config);
    })
}

/// What was appended: a record as a reader of committed records sees it or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) offset: i64,
    pub(super) key: String,
    pub(super) value: Option<String>,
    /// The producer whose transaction it belongs to.
    pub(super) producer: Option<i64>,
}

/// All records of a log from `offset` on, without markers, and the offset behind the last batch.
pub(super) fn told_from(log: &Log, mut offset: i64) -> (Vec<Told>, i64) {
    let mut found = Vec::new();
    let mut scratch = Vec::new();
    loop {
        let records = log.read(offset, 200, log.log_end_offset()).unwrap();
        if records.is_empty() {
            return (found, offset);
        }
        for batch in batches(&records) {
            let batch = batch.unwrap();
            batch.check_crc().unwrap();
            assert!(batch.header.next_offset() > offset, "a read gets on");
            for record in batch.records(&mut scratch).unwrap() {
                let record = record.unwrap();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                if !batch.header.is_control() && record.offset >= offset {
                    found.push(Told {
                        offset: record.offset,
                        key: text(record.key.unwrap()),
                        value: record.value.map(text),
                        producer: batch.header.is_transactional().then_some(batch.header.producer_id),
                    });
                }
            }
            offset = batch.header.next_offset();
        }
    }
}

/// The newest value of each key.
pub(super) fn fold<'a>(told: impl IntoIterator<Item = &'a Told>) -> BTreeMap<String, String> {
    let mut folded = BTreeMap::new();
    for record in told {
        match &record.value {
            Some(value) => folded.insert(record.key.clone(), value.clone()),
            None => folded.remove(&record.key),
        };
    }
    folded
}

/// One round; returns where the clean part ends.
pub(super) async fn round(
    host: &Host,
    directory: &LogDirectory,
    log: &RwLock<Log>,
    clean_end: Option<i64>,
    limits: &CleanerLimits,
    now_ms: i64,
) -> Option<CleanedLog> {
    let (_stop, stopping) = watch::channel(false);
    let mut pace = Pace::new(host, stopping, f64::MAX);
    let high_watermark = log.read().durable_end_offset();
    let cleanable = log.read().cleanable(directory, clean_end, high_watermark, now_ms).unwrap();
    clean(log, directory, &cleanable, limits, &mut pace, now_ms).await.unwrap()
}

/// A batch of keys and values, in a transaction of `producer` with its next sequence number.
fn batch_of(
    compression: Compression,
    records: &[(String, Option<String>)],
    timestamp_ms: i64,
    producer: Option<(i64, i32, bool)>,
) -> BytesMut {
    let mut builder = BatchBuilder::new(compression);
    for (key, value) in records {
        builder.append(timestamp_ms, Some(key.as_bytes()), value.as_ref().map(String::as_bytes), []).unwrap();
    }
    let mut batch = builder.finish();
    if let Some((id, sequence, is_transactional)) = producer {
        set_producer(&mut batch, id, 0, sequence);
        if is_transactional {
            set_transactional(&mut batch);
        }
        seal(&mut batch);
    }
    batch
}

/// Appends a batch, of a transaction that its coordinator knows if it is of one.
fn append_as(log: &mut Log, batch: BytesMut, is_transactional: bool) -> AppendInfo {
    let origin = match is_transactional {
        true => AppendOrigin::Transaction(Membership::Verified),
        false => AppendOrigin::Client,
    };
    log.append(&batch.freeze(), 3, origin, NOW_MS).unwrap()
}

/// A log that fills at random, and what it was told.
pub(super) struct Story {
    state: u64,
    pub(super) told: Vec<Told>,
    /// By producer: the next sequence number, and whether a transaction is open.
    producers: BTreeMap<i64, (i32, bool)>,
    /// Offsets of records whose transaction was aborted.
    pub(super) aborted: Vec<i64>,
}

impl Story {
    pub(super) fn new(seed: u64) -> Story {
        Story { state: seed, told: Vec::new(), producers: BTreeMap::new(), aborted: Vec::new() }
    }

    pub(super) fn chance(&mut self, below: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below
    }

    /// Appends a batch, or ends a transaction.
    pub(super) fn go_on(&mut self, log: &mut Log, now_ms: i64) {
        let producer = (self.chance(2) == 0).then(|| 10 + self.chance(4) as i64);
        if let Some(id) = producer
            && self.producers.get(&id).is_some_and(|(_, is_open)| *is_open)
            && self.chance(3) == 0
        {
            return self.end(log, id, now_ms);
        }
        let compression = Compression::ALL[self.chance(5) as usize];
        let records: Vec<_> = (0..1 + self.chance(5))
            .map(|_| {
                let key = format!("k{}", self.chance(12));
                let value = format!("{}-{}", self.chance(1 << 20), "x".repeat(self.chance(40) as usize));
                (key, (self.chance(6) > 0).then_some(value))
            })
            .collect();
        let is_transactional = producer.is_some_and(|id| id >= 12);
        let sequence = producer.map(|id| self.producers.entry(id).or_default().0);
        let stamp = producer.zip(sequence).map(|(id, sequence)| (id, sequence, is_transactional));
        let batch = batch_of(compression, &records, now_ms, stamp);
        let info = append_as(log, batch, is_transactional);
        if let Some(id) = producer {
            let (next, is_open) = self.producers.get_mut(&id).unwrap();
            *next += records.len() as i32;
            *is_open |= is_transactional;
        }
        for (offset, (key, value)) in (info.base_offset..).zip(records) {
            let producer = producer.filter(|_| is_transactional);
            self.told.push(Told { offset, key, value, producer });
        }
    }

    fn end(&mut self, log: &mut Log, id: i64, now_ms: i64) {
        let is_committed = self.chance(2) == 0;
        let marker = end_transaction_marker(now_ms, id, 0, is_committed, 1).freeze();
        log.append(&marker, 3, AppendOrigin::Coordinator, now_ms).unwrap();
        self.producers.get_mut(&id).unwrap().1 = false;
        for record in self.told.iter_mut().filter(|record| record.producer == Some(id)) {
            if !is_committed {
                self.aborted.push(record.offset);
            }
            // Decided; so that the next transaction's end does not meet it again.
            record.producer = None;
        }
    }

    /// What readers of committed records make of `records` below `end`.
    pub(super) fn committed<'a>(&'a self, records: &'a [Told], end: i64) -> Vec<&'a Told> {
        records
            .iter()
            .filter(|record| record.offset < end && !self.aborted.contains(&record.offset))
            .collect()
    }

    /// Holds what the log has against what it was told.
    pub(super) fn check(&self, log: &Log, context: &str) {
        let (found, end) = told_from(log, log.log_start_offset());
        assert_eq!(end, log.log_end_offset(), "{context}: the last offset stays");
        let stable = log.last_stable_offset(log.durable_end_offset());
        let expected = self.committed(&self.told, stable);
        let left = self.committed(&found, stable);
        assert_eq!(fold(left.iter().copied()), fold(expected.iter().copied()), "{context}: the fold stays");
        for record in &found {
            let known = self.told.binary_search_by_key(&record.offset, |told| told.offset);
            let known = &self.told[known.unwrap_or_else(|_| panic!("{context}: {record:?} is new"))];
            assert_eq!((&known.key, &known.value), (&record.key, &record.value), "{context}");
        }
    }
}

fn tell(seed: u64) {
    simulate(seed, async |sim| {
        let mut story = Story::new(seed ^ 0xc0ffee);
        let host = sim.node("a");
        let config = compacting(|_| {});
        let (mut directory, log) = open_log(&host, &config).await;
        let mut log = RwLock::new(log);
        let mut clean_end = None;
        let mut now_ms = NOW_MS;
        for chapter in 0..6 {
            for _ in 0..story.chance(60) {
                story.go_on(&mut log.write(), now_ms);
            }
            let settled = log.read().settled();
            settled.await.unwrap();
            directory.checkpoint().await.unwrap();
            let before = told_from(&log.read(), 0).0;
            let map_bytes = [24 * 5, 24 * 12, 1 << 20][story.chance(3) as usize];
            let limits = CleanerLimits { map_bytes, ..LIMITS };
            if let Some(cleaned) = round(&host, &directory, &log, clean_end, &limits, now_ms).await {
                assert!(cleaned.clean_end >= clean_end.unwrap_or(0));
                clean_end = Some(cleaned.clean_end);
            }
            let context = format!("seed {seed}, chapter {chapter}");
            story.check(&log.read(), &context);
            // Whoever is in the middle goes on, and sees nothing that was not there.
            let after = told_from(&log.read(), 0).0;
            let mut seen = before.into_iter().map(|told| told.offset);
            assert!(after.iter().all(|told| seen.any(|offset| offset == told.offset)), "{context}");
            for _ in 0..4 {
                let from = story.chance(log.read().log_end_offset() as u64 + 1) as i64;
                let expected: Vec<_> = after.iter().filter(|told| told.offset >= from).cloned().collect();
                assert_eq!(told_from(&log.read(), from).0, expected, "{context}: from {from}");
            }
            now_ms += [0, RETENTION_MS / 2, 2 * RETENTION_MS][story.chance(3) as usize];
            if story.chance(3) == 0 {
                let is_clean = story.chance(2) == 0;
                if is_clean {
                    log.write().close().unwrap();
                    directory.shutdown().await.unwrap();
                }
                sim.crash("a");
                let (reopened, again) = open_log(&sim.node("a"), &config).await;
                (directory, log) = (reopened, RwLock::new(again));
                story.check(&log.read(), &format!("{context}, opened again, clean: {is_clean}"));
                assert_eq!(told_from(&log.read(), 0).0, after, "{context}");
            }
        }
    });
}

/// More: `SEEDS=1000..2000 cargo test -p anabranch-broker --release a_log_means_the_same`.
#[test]
fn a_log_means_the_same_after_compaction_as_before() {
    match std::env::var("SEEDS") {
        Err(_) => (0..40).for_each(tell),
        Ok(seeds) => {
            let (first, last) = seeds.split_once("..").expect("SEEDS=first..last");
            (first.parse().unwrap()..last.parse().unwrap()).for_each(tell);
        }
    }
}

fn pairs(records: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    records.iter().map(|(key, value)| (key.to_string(), value.map(str::to_string))).collect()
}

/// A log that rolls after each batch, so that all but the last can be cleaned.
async fn short_segments(host: &Host) -> (LogDirectory, RwLock<Log>) {
    let config = compacting(|config| config.segment_bytes = 1 << 20);
    let (directory, log) = open_log(host, &config).await;
    (directory, RwLock::new(log))
}

fn write(log: &RwLock<Log>, records: &[(&str, Option<&str>)], producer: Option<(i64, i32, bool)>) {
    let mut log = log.write();
    let batch = batch_of(Compression::None, &pairs(records), NOW_MS, producer);
    append_as(&mut log, batch, producer.is_some_and(|(_, _, is_transactional)| is_transactional));
    log.roll(NOW_MS).unwrap();
}

fn mark(log: &RwLock<Log>, producer: i64, is_committed: bool) {
    let mut log = log.write();
    let marker = end_transaction_marker(NOW_MS, producer, 0, is_committed, 1).freeze();
    log.append(&marker, 3, AppendOrigin::Coordinator, NOW_MS).unwrap();
    log.roll(NOW_MS).unwrap();
}

async fn clean_all(host: &Host, directory: &LogDirectory, log: &RwLock<Log>, now_ms: i64) -> CleanedLog {
    let settled = log.read().settled();
    settled.await.unwrap();
    directory.checkpoint().await.unwrap();
    round(host, directory, log, None, &LIMITS, now_ms).await.unwrap()
}

/// Base offset, count of records, and delete horizon of every batch.
fn layout(log: &RwLock<Log>) -> Vec<(i64, i32, Option<i64>)> {
    let log = log.read();
    let mut found = Vec::new();
    let mut offset = 0;
    loop {
        let records = log.read(offset, 1, log.log_end_offset()).unwrap();
        let Some(batch) = batches(&records).next() else { return found };
        let header = batch.unwrap().header;
        found.push((header.base_offset, header.record_count, header.delete_horizon_ms()));
        offset = header.next_offset();
    }
}

#[test]
fn a_tombstone_goes_when_its_horizon_has_passed_and_not_before() {
    simulate(1, async |sim| {
        let host = sim.node("a");
        let (directory, log) = short_segments(&host).await;
        write(&log, &[("a", Some("1")), ("b", Some("1"))], None);
        write(&log, &[("a", None)], None);
        write(&log, &[("c", Some("1"))], None);
        let cleaned = clean_all(&host, &directory, &log, NOW_MS).await;
        assert_eq!((cleaned.clean_end, cleaned.keys), (4, 3));
        let horizon = NOW_MS + RETENTION_MS;
        assert_eq!(layout(&log), [(0, 1, None), (2, 1, Some(horizon)), (3, 1, None)]);
        assert_eq!(log.read().segment_count(), 2, "what fits into one segment is in one");
        clean_all(&host, &directory, &log, horizon - 1).await;
        assert_eq!(layout(&log), [(0, 1, None), (2, 1, Some(horizon)), (3, 1, None)], "the horizon stays");
        clean_all(&host, &directory, &log, horizon).await;
        assert_eq!(layout(&log), [(0, 1, None), (3, 1, None)]);
    });
}

#[test]
fn records_of_aborted_transactions_go_at_once_and_markers_when_nothing_of_theirs_is_left() {
    simulate(1, async |sim| {
        let host = sim.node("a");
        let (directory, log) = short_segments(&host).await;
        write(&log, &[("a", Some("before"))], None); // 0
        write(&log, &[("a", Some("aborted"))], Some((7, 0, true))); // 1
        write(&log, &[("b", Some("committed"))], Some((8, 0, true))); // 2
        mark(&log, 7, false); // 3
        mark(&log, 8, true); // 4
        write(&log, &[("b", Some("after"))], None); // 5
        write(&log, &[("z", Some("1"))], Some((7, 1, false))); // 6
        write(&log, &[("z", Some("2"))], Some((8, 1, false))); // 7
        clean_all(&host, &directory, &log, NOW_MS).await;
        // Both transactions had batches in this round, so both markers stay.
        let horizon = NOW_MS + RETENTION_MS;
        let kept = [(0, 1, None), (3, 1, None), (4, 1, None), (5, 1, None), (6, 0, None), (7, 1, None)];
        assert_eq!(layout(&log), kept);
        clean_all(&host, &directory, &log, NOW_MS).await;
        let marked = [(0, 1, None), (3, 1, Some(horizon)), (4, 1, Some(horizon)), (5, 1, None)];
        assert_eq!(layout(&log)[..4], marked);
        clean_all(&host, &directory, &log, horizon).await;
        assert_eq!(layout(&log), [(0, 1, None), (5, 1, None), (6, 0, None), (7, 1, None)]);
        assert_eq!(told_from(&log.read(), 0).0[0].value.as_deref(), Some("before"));
    });
}

#[test]
fn nothing_of_an_undecided_transaction_is_touched() {
    simulate(1, async |sim| {
        let host = sim.node("a");
        let (directory, log) = short_segments(&host).await;
        write(&log, &[("a", Some("1"))], None);
        write(&log, &[("a", Some("2"))], Some((7, 0, true)));
        write(&log, &[("a", Some("3"))], None);
        let cleaned = clean_all(&host, &directory, &log, NOW_MS).await;
        assert_eq!(cleaned.clean_end, 1);
        assert_eq!(layout(&log).len(), 3);
        mark(&log, 7, false);
        clean_all(&host, &directory, &log, NOW_MS).await;
        let last_of_producer = (1, 0, None);
        assert_eq!(layout(&log), [last_of_producer, (2, 1, None), (3, 1, None)]);
    });
}

/// A client may say of a batch that it is of a transaction, and of none whose producer there is: nobody will ever end it.
#[test]
fn what_is_of_a_transaction_of_no_producer_holds_nothing_up() {
    simulate(1, async |sim| {
        let host = sim.node("a");
        let (directory, log) = short_segments(&host).await;
        write(&log, &[("a", Some("1"))], Some((-1, -1, true)));
        write(&log, &[("a", Some("2"))], None);
        write(&log, &[("b", Some("3"))], None);
        assert_eq!(clean_all(&host, &directory, &log, NOW_MS).await.clean_end, 3);
        assert_eq!(layout(&log), [(1, 1, None), (2, 1, None)]);
    });
}

#[test]
fn a_producers_last_sequence_number_outlives_its_records() {
    simulate(1, async |sim| {
        let host = sim.node("a");
        let (directory, log) = short_segments(&host).await;
        write(&log, &[("a", Some("1"))], Some((7, 0, false)));
        write(&log, &[("a", Some("2"))], Some((7, 1, false)));
        write(&log, &[("a", Some("3"))], None);
        clean_all(&host, &directory, &log, NOW_MS).await;
        assert_eq!(layout(&log), [(1, 0, None), (2, 1, None)]);
        // Not even the snapshot knows it any more.
        for entry in host.disk().read_dir(log.read().path()).unwrap() {
            if entry.name.ends_with(".snapshot") {
                host.disk().remove_file(&log.read().path().join(entry.name)).unwrap();
            }
        }
        sim.kill("a");
        let (_directory, mut log) = open_log(&sim.node("a"), &compacting(|_| {})).await;
        let again = batch_of(Compression::None, &pairs(&[("a", Some("2"))]), NOW_MS, Some((7, 1, false)));
        let again = append_batch(&mut log, again).unwrap();
        assert_eq!((again.is_duplicate, again.base_offset), (true, 1));
    });
}

#[test]
fn what_may_be_cleaned_and_what_must() {
    simulate(1, async |sim| {
        let host = sim.node("a");
        let (directory, log) = short_segments(&host).await;
        for n in 0..4i64 {
            let batch = batch_of(Compression::None, &pairs(&[("a", Some("1"))]), NOW_MS + n * 1000, None);
            append_batch(&mut log.write(), batch).unwrap();
            log.write().roll(NOW_MS).unwrap();
        }
        let settled = log.read().settled();
        settled.await.unwrap();
        let cleanable = |clean_end, now_ms| {
            let log = log.read();
            log.cleanable(&directory, clean_end, log.durable_end_offset(), now_ms).unwrap()
        };
        assert_eq!(cleanable(None, NOW_MS).end, 0, "no checkpoint has seen it: a crash would write it again");
        directory.checkpoint().await.unwrap();
        let all = cleanable(None, NOW_MS);
        assert_eq!((all.first_dirty, all.end, all.clean_bytes, all.is_overdue), (0, 4, 0, false));
        assert_eq!(all.dirty_ratio(), 1.0);
        let half = cleanable(Some(2), NOW_MS);
        assert_eq!((half.first_dirty, half.end, half.dirty_ratio()), (2, 4, 0.5));
        assert_eq!(cleanable(Some(4), NOW_MS).dirty_bytes, 0);
        assert_eq!(cleanable(Some(99), NOW_MS).first_dirty, 0, "an end of another log");
        log.write().set_config(compacting(|config| config.min_compaction_lag_ms = 5000));
        let young = cleanable(None, NOW_MS + 6500);
        assert_eq!((young.end, young.is_overdue), (2, false));
        log.write().set_config(compacting(|config| config.max_compaction_lag_ms = 5000));
        assert!(!cleanable(None, NOW_MS + 5000).is_overdue);
        assert!(cleanable(None, NOW_MS + 5001).is_overdue);
        assert!(!cleanable(Some(4), NOW_MS + 50_000).is_overdue, "what is clean does not wait");
    });
}

#[test]
fn a_log_that_goes_or_shrinks_meanwhile_is_left_alone() {
    simulate(1, async |sim| {
        let host = sim.node("a");
        let (directory, log) = short_segments(&host).await;
        (0..6).for_each(|_| write(&log, &[("a", Some("1")), ("b", Some("2"))], None));
        let settled = log.read().settled();
        settled.await.unwrap();
        directory.checkpoint().await.unwrap();
        let high_watermark = log.read().durable_end_offset();
        let cleanable = log.read().cleanable(&directory, None, high_watermark, NOW_MS).unwrap();
        // Deleted records: the segments are not those that were read.
        log.write().advance_log_start(7, high_watermark).unwrap();
        directory.settled().await.unwrap();
        let removed = log.write().delete_old_segments(NOW_MS, high_watermark).unwrap();
        directory.remove(removed, Duration::ZERO);
        let (_stop, stopping) = watch::channel(false);
        let mut pace = Pace::new(&host, stopping, f64::MAX);
        let cleaned = clean(&log, &directory, &cleanable, &LIMITS, &mut pace, NOW_MS).await.unwrap();
        assert_eq!(cleaned.map(|cleaned| cleaned.clean_end), Some(12));
        assert_eq!(told_from(&log.read(), 7).0.len(), 2);
        // A topic that is deleted in the midst of a round.
        (0..6).for_each(|_| write(&log, &[("a", Some("1")), ("b", Some("2"))], None));
        let settled = log.read().settled();
        settled.await.unwrap();
        directory.checkpoint().await.unwrap();
        let cleanable = log.read().cleanable(&directory, None, high_watermark + 12, NOW_MS).unwrap();
        let deleted = directory.delete(&log.read()).unwrap();
        let cleaned = clean(&log, &directory, &cleanable, &LIMITS, &mut pace, NOW_MS).await.unwrap();
        assert_eq!(cleaned, None);
        deleted.await.unwrap();
        assert!(!host.disk().exists(log.read().path()).unwrap());
    });
}

#[test]
fn damage_gets_no_new_checksum() {
    simulate(1, async |sim| {
        let host = sim.node("a");
        let (directory, log) = short_segments(&host).await;
        (0..3).for_each(|_| write(&log, &[("a", Some("1")), ("b", Some("2"))], None));
        let settled = log.read().settled();
        settled.await.unwrap();
        directory.checkpoint().await.unwrap();
        let path = log.read().path().join("00000000000000000002.log");
        let file = host.disk().open(&path, anabranch_host::OpenOptions::write()).unwrap();
        file.write_all_at(b"?", 70).unwrap();
        let (_stop, stopping) = watch::channel(false);
        let mut pace = Pace::new(&host, stopping, f64::MAX);
        let cleanable = log.read().cleanable(&directory, None, 6, NOW_MS).unwrap();
        let error = clean(&log, &directory, &cleanable, &LIMITS, &mut pace, NOW_MS).await.unwrap_err();
        assert!(error.to_string().contains("00000000000000000002.log: corrupt at byte 0"), "{error}");
        let names = host.disk().read_dir(log.read().path()).unwrap();
        assert!(names.iter().all(|entry| !entry.name.contains(".cleaned")), "{names:?}");
    });
}
