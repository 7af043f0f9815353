//! Tables of keys that have a time, against a model of maps: groups, segments that are dropped, and crashes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::engine::fjall::{FjallEngine, FjallOptions};
use crate::engine::journal::JournalEngine;
use crate::engine::memory::MemoryEngine;
use crate::random::Random;
use crate::table::timed::Suffix;

const STORE: &str = "0_1-windows";
const NOTE: &[u8] = b"note";
const KEYS: TimedKeys = TimedKeys { number_bytes: 4, segment_ms: 10 };
const GROUPS: [&[u8]; 5] = [b"", b"a", b"a\0\0\0\0\0\0\0\0\0\0\0\x01", b"key", b"a longer key"];

type Key = (&'static [u8], Suffix);
type Map = BTreeMap<Key, Vec<u8>>;
/// What was frozen, and what is still to be read of it.
type Frozen = (Rows, VecDeque<(Vec<u8>, Vec<u8>)>);

/// What lies behind a table under test.
enum Disk {
    None,
    Memory(MemoryEngine),
    Journal(tempfile::TempDir, anabranch_host::Host),
    Fjall(tempfile::TempDir, anabranch_host::Host),
}

impl Disk {
    fn open(&self, cached: bool) -> KeyValueTable {
        let options = TableOptions { cached, timed: Some(KEYS) };
        let engine: Arc<dyn Engine> = match self {
            Disk::None => return KeyValueTable::in_memory(options),
            Disk::Memory(engine) => Arc::new(engine.clone()),
            Disk::Journal(directory, host) => {
                Arc::new(JournalEngine::open(&host.disk(), directory.path()).expect("the disk is sound"))
            }
            Disk::Fjall(directory, host) => {
                let engine = FjallEngine::open(&host.disk(), directory.path(), FjallOptions::default());
                Arc::new(engine.expect("the disk is sound"))
            }
        };
        KeyValueTable::open_in(engine, STORE, options).expect("the disk is sound")
    }

    fn crash(&self, random: &mut Random) {
        if let Disk::Memory(engine) = self {
            engine.crash(random.below(engine.unsynced_batches() + 1));
        }
    }
}

#[derive(Default)]
struct Model {
    newest: Map,
    sealed: Map,
    committed: Map,
    /// Written since the last seal.
    touched: BTreeSet<Key>,
    changelog: Vec<(Key, Option<Vec<u8>>)>,
    sealed_log: usize,
    committed_log: usize,
    /// Segments before this one are dropped at each commit.
    floor: u64,
}

impl Model {
    fn put(&mut self, key: Key, value: Option<Vec<u8>>) {
        self.changelog.push((key, value.clone()));
        self.touched.insert(key);
        match value {
            Some(value) => self.newest.insert(key, value),
            None => self.newest.remove(&key),
        };
    }

    fn drop_segments(&mut self) {
        let stays = |key: &Key| key.1.0 / KEYS.segment_ms >= self.floor || self.touched.contains(key);
        self.newest.retain(|key, _| stays(key));
        self.committed.retain(|key, _| stays(key));
    }

    fn abort(&mut self) {
        self.newest = self.committed.clone();
        self.changelog.truncate(self.committed_log);
        self.touched.clear();
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint { offset: self.committed_log as i64 - 1, wall_clock_ms: 7 }
    }

    /// Replays the changelog over what a crash left; more crashes begin it again. After a part of it the store is whole, as
    /// that of a standby is, and the rest follows.
    fn restore(&mut self, disk: &Disk, cached: bool, random: &mut Random) -> KeyValueTable {
        'again: loop {
            let mut table = disk.open(cached);
            let start = table.stored_checkpoint().map_or(0, |checkpoint| (checkpoint.offset + 1) as usize);
            assert!(start <= self.committed_log, "the store is ahead of the changelog");
            let note = table.get(NOTE).expect("the disk is sound").map_or(0, |row| row.timestamp as usize);
            assert!((start..=self.committed_log).contains(&note), "the note says {note}");
            if start == 0 && random.below(4) > 0 {
                table.begin_restore().expect("the disk is sound");
            }
            let goal = start + random.below(self.committed_log - start + 1);
            for (at, (key, value)) in self.changelog[..self.committed_log].iter().enumerate().skip(start) {
                if at >= goal && random.below(3) == 0 {
                    table.end_restore().expect("the disk is sound");
                }
                let row = value.as_ref().map(|value| Row::new(value, 1));
                table.restore(&bytes(*key), row).expect("nothing is uncommitted");
                match random.below(60) {
                    0 => {
                        let note = Row::new(b"", at as i64 + 1);
                        table.restore(NOTE, Some(note)).expect("nothing is uncommitted");
                        table.restored_to(Checkpoint { offset: at as i64, wall_clock_ms: 8 });
                    }
                    1 => _ = table.write_behind(random.below(2000)).expect("the disk is sound"),
                    2 => table.evict(random.below(20_000)).expect("the disk is sound"),
                    3 if random.below(4) == 0 => {
                        let before = random.below(self.floor as usize + 1) as u64;
                        table.drop_segments(before).expect("the disk is sound");
                    }
                    4..8 if table.hides_rows() => {
                        let shown = table.scan_segments(0, u64::MAX, |_, _| ());
                        let key = table.get(&bytes((b"never written", (1, 1)))).map(|_| ());
                        for refused in
                            [shown, key, table.freeze(&KeyRange::all(), Order::Forward).map(|_| ())]
                        {
                            assert_eq!(refused.expect_err("not yet").kind(), crate::ErrorKind::Misuse);
                        }
                    }
                    _ => {}
                }
                if random.below(1000) == 0 {
                    drop(table);
                    disk.crash(random);
                    continue 'again;
                }
            }
            let note = Row::new(b"", self.committed_log as i64);
            table.restore(NOTE, Some(note)).expect("nothing is uncommitted");
            table.restored_to(self.checkpoint());
            if random.below(2) == 0 {
                table.drop_segments(self.floor).expect("the disk is sound");
            }
            while !table.end_restore().expect("the disk is sound") {
                std::thread::yield_now();
            }
            table.drop_segments(self.floor).expect("the disk is sound");
            self.drop_segments();
            return table;
        }
    }
}

fn bytes((group, (time, number)): Key) -> Vec<u8> {
    [group, &time.to_be_bytes(), &(number as u32).to_be_bytes()].concat()
}

fn run(seed: u64, cached: bool, steps: u64, disk: &Disk) {
    let random = &mut Random(seed);
    let (mut table, mut model) = (disk.open(cached), Model::default());
    let mut frozen: Vec<Frozen> = Vec::new();
    let mut in_flight = None;
    for step in 0..steps {
        let group = GROUPS[random.below(GROUPS.len())];
        // Times go on; some are old, a few older than what is kept.
        let now = step / 4;
        let suffix = |random: &mut Random| match random.below(8) {
            0..4 => (now, random.below(3) as u64),
            _ => (now.saturating_sub(random.below(60) as u64), random.below(3) as u64),
        };
        match random.below(44) {
            0..20 => {
                let at = suffix(random);
                let value = (random.below(4) > 0).then(|| random.bytes(90));
                let row = value.as_ref().map(|value| Row::new(value, 1));
                table.put(&bytes((group, at)), row, &Context::none(1)).expect("the disk is sound");
                model.put((group, at), value);
            }
            20..23 => {
                let at = suffix(random);
                let row = table.get(&bytes((group, at))).expect("the disk is sound");
                assert_eq!(row.map(|row| row.value), model.newest.get(&(group, at)).map(Vec::as_slice));
            }
            23 if in_flight.is_none() => {
                table.flush(|_| Ok::<_, ()>(())).expect("never fails");
                let note = Row::new(b"", model.changelog.len() as i64);
                table.put_unseen(NOTE, Some(note)).expect("the disk is sound");
                in_flight = Some(table.seal_epoch().expect("flushed"));
                (model.sealed, model.sealed_log) = (model.newest.clone(), model.changelog.len());
                model.touched.clear();
            }
            24..26 => {
                if let Some(epoch) = in_flight.take() {
                    model.committed = std::mem::take(&mut model.sealed);
                    model.committed_log = model.sealed_log;
                    model.floor = now.saturating_sub(40) / KEYS.segment_ms;
                    table.commit_epoch(epoch, Some(model.checkpoint())).expect("sealed");
                    table.drop_segments(model.floor).expect("the disk is sound");
                    model.drop_segments();
                }
            }
            26 if random.below(3) == 0 => {
                table.abort();
                in_flight = None;
                model.abort();
            }
            27..29 => _ = table.write_behind(random.below(3000)).expect("the disk is sound"),
            29 if random.below(4) == 0 => while table.write_behind(10_000).expect("the disk is sound") {},
            30 if random.below(2) == 0 => table.evict(random.below(20_000)).expect("the disk is sound"),
            31 if random.below(4) == 0 && !matches!(disk, Disk::None) => {
                frozen.clear();
                drop(table);
                in_flight = None;
                model.abort();
                disk.crash(random);
                table = model.restore(disk, cached, random);
            }
            32 => {
                let (from, to) = (suffix(random).0, suffix(random).0);
                let segments = KEYS.segment_at(from)..=KEYS.segment_at(to);
                let mut expected: Vec<_> = model.newest.iter().collect();
                expected.retain(|((_, (time, _)), _)| segments.contains(&KEYS.segment_at(*time)));
                let mut expected: Vec<_> =
                    expected.into_iter().map(|(key, value)| (bytes(*key), value.clone())).collect();
                let mut shown = Vec::new();
                let each = |key: &[u8], row: Row<'_>| shown.push((key.to_vec(), row.value.to_vec()));
                table.scan_segments(from, to, each).expect("the disk is sound");
                expected.sort();
                shown.sort();
                assert_eq!(shown, expected, "segments at step {step}");
            }
            33 => {
                let mut expected: Vec<_> =
                    model.committed.iter().map(|(key, value)| (bytes(*key), value.clone())).collect();
                expected.sort();
                let mut shown = Vec::new();
                let scanned = table.scan_committed(&KeyRange::all(), Order::Forward, |key, row| {
                    shown.push((key.to_vec(), row.value.to_vec()));
                    ControlFlow::Continue(())
                });
                scanned.expect("the disk is sound");
                assert_eq!(shown, expected, "committed at step {step}");
            }
            34 => {
                let (from, to) = (suffix(random).0, suffix(random).0);
                let order = if random.below(2) == 0 { Order::Forward } else { Order::Reverse };
                let range = match random.below(3) {
                    0 => KeyRange::all(),
                    1 => KeyRange::prefix(group),
                    _ => KeyRange::inclusive(Some(group), Some(GROUPS[random.below(GROUPS.len())])),
                };
                let asked = |(_, (time, _)): &Key| (from..=to).contains(time);
                let rows = model.committed.iter().filter(|(key, _)| asked(key));
                let mut expected: Vec<_> = rows
                    .map(|(key, value)| (KEYS.segment_at(key.1.0), bytes(*key), value.clone()))
                    .filter(|(_, key, _)| range.contains(key))
                    .collect();
                expected.sort();
                if order == Order::Reverse {
                    expected.reverse();
                }
                let rows = table.freeze_times(&range, (from, to), order).expect("the disk is sound");
                frozen.push((rows, expected.into_iter().map(|(_, key, value)| (key, value)).collect()));
            }
            // Some are read now, others after more has changed or expired.
            35..38 if !frozen.is_empty() => {
                let at = random.below(frozen.len());
                let (rows, expected) = &mut frozen[at];
                for _ in 0..random.below(60) {
                    let shown = rows.next().expect("the disk is sound");
                    let shown = shown.map(|(key, row)| (key.to_vec(), row.value.to_vec()));
                    assert_eq!(shown, expected.pop_front(), "frozen, at step {step}");
                }
                if frozen.len() > 5 {
                    frozen.swap_remove(at);
                }
            }
            _ => {
                let (from, to) = (suffix(random), suffix(random));
                let order = if random.below(2) == 0 { Order::Forward } else { Order::Reverse };
                let is_shown = |(other, at): &Key| *other == group && from <= *at && *at <= to;
                let newest = model.newest.iter().filter(|(key, _)| is_shown(key));
                let mut expected: Vec<_> = newest.map(|(key, value)| (bytes(*key), value.clone())).collect();
                if order == Order::Reverse {
                    expected.reverse();
                }
                let mut shown = Vec::new();
                let scanned = table.scan_group(group, from, to, order, |key, row| {
                    shown.push((key.to_vec(), row.value.to_vec()));
                    ControlFlow::Continue(())
                });
                scanned.expect("the disk is sound");
                assert_eq!(shown, expected, "group at step {step}");
            }
        }
    }
}

fn agrees_with_the_model(seeds: u64, steps: u64, disk: impl Fn() -> Disk) {
    for seed in 0..seeds {
        let (cached, disk) = (seed % 2 == 0, disk());
        let run = || run(seed, cached, steps, &disk);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        assert!(outcome.is_ok(), "to replay: run({seed}, {cached}, {steps}, ..)");
    }
}

#[test]
fn timed_keys_in_memory_agree_with_the_model() {
    agrees_with_the_model(30, 1500, || Disk::None);
}

#[test]
fn timed_keys_over_memory_that_crashes_agree_with_the_model() {
    agrees_with_the_model(60, 1500, || Disk::Memory(MemoryEngine::new()));
}

#[test]
fn timed_keys_over_a_journal_agree_with_the_model() {
    let (host, _runtime) = anabranch_host::Host::real(1).expect("threads");
    agrees_with_the_model(20, 1500, || {
        Disk::Journal(tempfile::tempdir().expect("a directory"), host.clone())
    });
}

#[test]
fn timed_keys_over_fjall_agree_with_the_model() {
    let (host, _runtime) = anabranch_host::Host::real(1).expect("threads");
    agrees_with_the_model(3, 1000, || Disk::Fjall(tempfile::tempdir().expect("a directory"), host.clone()));
}

#[test]
fn an_expired_segment_leaves_memory_and_engine() {
    let engine = MemoryEngine::new();
    let disk = Disk::Memory(engine.clone());
    let mut table = disk.open(false);
    for time in 0..50 {
        table
            .put(&bytes((b"k", (time, 0))), Some(Row::new(&[7; 200], 0)), &Context::none(0))
            .expect("memory");
    }
    let epoch = table.seal_epoch().expect("nothing is pending");
    table.commit_epoch(epoch, None).expect("sealed");
    while table.write_behind(10_000).expect("memory does not fail") {}
    let names = |engine: &MemoryEngine| engine.store_names().expect("memory").join(" ");
    let segments = "0_1-windows#0 0_1-windows#1 0_1-windows#2 0_1-windows#3 0_1-windows#4";
    assert_eq!(names(&engine), format!("0_1-windows {segments}"));
    table.drop_segments(3).expect("memory does not fail");
    assert_eq!(names(&engine), "0_1-windows 0_1-windows#3 0_1-windows#4");
    assert_eq!(table.resident_rows(), 20);
    table.drop_segments(5).expect("memory does not fail");
    assert_eq!(
        (names(&engine).as_str(), table.resident_rows(), table.resident_bytes()),
        ("0_1-windows", 0, 0)
    );
}

/// Who reads groups reads whole segments: so they go whole, the oldest first, and the newest stays.
#[test]
fn segments_that_are_read_by_group_are_evicted_whole() {
    let mut table = Disk::Memory(MemoryEngine::new()).open(false);
    let read = |table: &mut KeyValueTable, from: u64, to: u64| {
        let mut rows = 0;
        let each = |_: &[u8], _: Row<'_>| {
            rows += 1;
            ControlFlow::Continue(())
        };
        table.scan_group(b"k", (from, 0), (to, 9), Order::Forward, each).expect("memory");
        rows
    };
    for time in 0..50 {
        table.put(&bytes((b"k", (time, 0))), Some(Row::new(&[7; 20], 0)), &Context::none(0)).expect("memory");
    }
    assert_eq!(read(&mut table, 0, 49), 50);
    let epoch = table.seal_epoch().expect("nothing is pending");
    table.commit_epoch(epoch, None).expect("sealed");
    table.evict(0).expect("the disk is sound");
    assert_eq!(table.resident_rows(), 50, "nothing is stored yet");
    while table.write_behind(10_000).expect("memory does not fail") {}
    let bytes_of_all = table.resident_bytes();
    // Written in this round: none has been unused for one.
    table.evict(0).expect("the disk is sound");
    assert_eq!(table.resident_rows(), 50);
    assert_eq!(read(&mut table, 25, 29), 5);
    table.evict(bytes_of_all * 3 / 4).expect("the disk is sound");
    assert_eq!(table.resident_rows(), 30, "two segments of ten rows each");
    table.evict(0).expect("the disk is sound");
    assert_eq!(table.resident_rows(), 10, "the third was not used since");
    // Who reads all keys, or asks from outside, brings nothing back.
    let mut shown = Vec::new();
    let each = |key: &[u8], _: Row<'_>| {
        shown.push(key.to_vec());
        ControlFlow::Continue(())
    };
    table.scan_committed(&KeyRange::all(), Order::Reverse, each).expect("memory");
    assert_eq!(shown, (0..50).rev().map(|time| bytes((b"k", (time, 0)))).collect::<Vec<_>>());
    assert_eq!(table.resident_rows(), 10);
    assert_eq!(read(&mut table, 15, 44), 30);
    assert_eq!(table.resident_rows(), 40, "three segments have come back");
}

/// Segments are loaded one by one, the store that says what they reflect at last: a crash on the way leaves nothing that
/// counts. What expires meanwhile does not come back.
#[test]
fn a_table_that_is_restored_from_nothing_is_written_by_segment() {
    let (host, _runtime) = anabranch_host::Host::real(1).expect("threads");
    let disks: [&dyn Fn() -> Disk; 3] = [
        &|| Disk::Memory(MemoryEngine::new()),
        &|| Disk::Journal(tempfile::tempdir().expect("a directory"), host.clone()),
        &|| Disk::Fjall(tempfile::tempdir().expect("a directory"), host.clone()),
    ];
    let checkpoint = Checkpoint { offset: 4999, wall_clock_ms: 1 };
    for disk in disks {
        for (fits, ends, drops_early) in [
            (true, true, true),
            (true, true, false),
            (false, true, true),
            (false, true, false),
            (false, false, false),
        ] {
            let (disk, what) = (disk(), format!("{fits} {ends} {drops_early}"));
            let budget = if fits { 1 << 20 } else { 20_000 };
            let mut table = disk.open(false);
            table.begin_restore().expect("the disk is sound");
            let mut model = BTreeMap::new();
            for number in 0..5000_u64 {
                // Ten segments, out of order.
                let key = bytes((b"k", (number.wrapping_mul(2_654_435_761) % 100, number % 61)));
                let value = (number % 5 > 0).then(|| number.to_be_bytes());
                let row = value.as_ref().map(|value| Row::new(value, 1));
                table.restore(&key, row).expect("the disk is sound");
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
                if table.resident_bytes() > budget {
                    table.evict(budget).expect("the disk is sound");
                }
            }
            table.restore(NOTE, Some(Row::new(b"", 5000))).expect("the disk is sound");
            table.restored_to(checkpoint);
            assert_eq!(table.hides_rows(), !fits, "{what}");
            if drops_early {
                table.drop_segments(3).expect("the disk is sound");
            }
            let mut is_whole = table.end_restore().expect("the disk is sound");
            table.drop_segments(4).expect("the disk is sound");
            while ends && !is_whole {
                is_whole = table.end_restore().expect("the disk is sound");
                std::thread::yield_now();
            }
            model.retain(|key, _| KEYS.segment_of(key) >= Some(4));
            let read = |table: &mut KeyValueTable| {
                let mut rows = BTreeMap::new();
                let each = |key: &[u8], row: Row<'_>| _ = rows.insert(key.to_vec(), row.value.to_vec());
                table.scan_segments(0, 1000, each).expect("it is whole");
                rows
            };
            let expected: BTreeMap<_, _> =
                model.iter().map(|(key, value)| (key.clone(), value.to_vec())).collect();
            if ends {
                assert_eq!(read(&mut table), expected, "{what}");
                table.finish_load().expect("the disk is sound");
                while table.write_behind(10_000).expect("the disk is sound") {}
            }
            drop(table);
            let mut table = disk.open(false);
            assert_eq!(table.stored_checkpoint(), ends.then_some(checkpoint), "{what}");
            if ends {
                assert_eq!(table.get(NOTE).expect("sound").map(|row| row.timestamp), Some(5000), "{what}");
                assert_eq!(read(&mut table), expected, "{what}");
                continue;
            }
            // What is left is gone when it is restored again.
            table.begin_restore().expect("the disk is sound");
            assert_eq!(read(&mut table), BTreeMap::new(), "{what}");
        }
    }
}

#[test]
fn groups_ask_for_keys_with_a_time() {
    let mut table = KeyValueTable::in_memory(TableOptions::default());
    let scanned = table.scan_group(b"k", (0, 0), (1, 0), Order::Forward, |_, _| ControlFlow::Continue(()));
    assert!(matches!(scanned, Err(Error::Misuse(_))));
}
