//! The table against a model of maps, with random epochs, flushes, aborts, write-behind, evictions and crashes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::*;
use crate::engine::Engine;
use crate::engine::fjall::{FjallEngine, FjallOptions};
use crate::engine::journal::JournalEngine;
use crate::engine::memory::MemoryEngine;
use crate::random::Random;

type ModelRow = (Vec<u8>, i64, Vec<u8>);
type ModelMap = BTreeMap<Vec<u8>, ModelRow>;
/// What was frozen, and what is still to be read of it.
type Frozen = (Rows, VecDeque<(Vec<u8>, ModelRow)>);

/// What lies behind a table under test.
pub(super) enum Disk {
    None,
    Memory(MemoryEngine),
    Journal(tempfile::TempDir, anabranch_host::Host),
    Fjall(tempfile::TempDir, anabranch_host::Host),
}

const STORE: &str = "0_1/counts";

impl Disk {
    pub(super) fn open(&self, options: TableOptions) -> KeyValueTable {
        let store = match self {
            Disk::None => return KeyValueTable::in_memory(options),
            Disk::Memory(engine) => engine.open_store(STORE),
            Disk::Journal(directory, host) => JournalEngine::open(&host.disk(), directory.path())
                .and_then(|engine| engine.open_store(STORE)),
            Disk::Fjall(directory, host) => {
                let engine = FjallEngine::open(&host.disk(), directory.path(), FjallOptions::default());
                engine.and_then(|engine| engine.open_store(STORE))
            }
        };
        store.and_then(|store| KeyValueTable::open(store, options)).expect("the disk is sound")
    }

    fn crash(&self, random: &mut Random) {
        if let Disk::Memory(engine) = self {
            engine.crash(random.below(engine.unsynced_batches() + 1));
        }
    }
}

/// What a table of maps that are copied at every step would hold.
#[derive(Default)]
struct Model {
    newest: ModelMap,
    sealed: Option<ModelMap>,
    committed: ModelMap,
    emitted: ModelMap,
    /// Keys in the order of their last write, with the offset of its context.
    pending: Vec<(Vec<u8>, i64)>,
    cached: bool,
    changelog: Vec<(Vec<u8>, Option<ModelRow>)>,
    /// Ends of the changelog.
    sealed_log: usize,
    committed_log: usize,
}

fn row(row: &ModelRow) -> Row<'_> {
    Row { value: &row.0, timestamp: row.1, headers: &row.2 }
}

fn owned(row: Row<'_>) -> ModelRow {
    (row.value.to_vec(), row.timestamp, row.headers.to_vec())
}

fn collect(mut rows: Rows) -> Vec<(Vec<u8>, ModelRow)> {
    let mut all = Vec::new();
    while let Some((key, row)) = rows.next().expect("memory does not fail") {
        all.push((key.to_vec(), owned(row)));
    }
    all
}

impl Model {
    fn written(&mut self, key: &[u8], row: Option<ModelRow>, offset: i64) {
        let is_pending = self.pending.iter().any(|(pending, _)| pending == key);
        if row.is_none() && !self.newest.contains_key(key) && !is_pending {
            return;
        }
        if !self.cached {
            self.changelog.push((key.to_vec(), row.clone()));
        }
        match row {
            Some(row) => self.newest.insert(key.to_vec(), row),
            None => self.newest.remove(key),
        };
        self.pending.retain(|(pending, _)| pending != key);
        self.pending.push((key.to_vec(), offset));
    }

    fn seal(&mut self) {
        self.sealed = Some(self.newest.clone());
        self.sealed_log = self.changelog.len();
    }

    fn commit(&mut self) {
        self.committed = self.sealed.take().expect("sealed");
        self.committed_log = self.sealed_log;
    }

    fn abort(&mut self) {
        self.sealed = None;
        self.newest = self.committed.clone();
        self.emitted = self.committed.clone();
        self.pending.clear();
        self.changelog.truncate(self.committed_log);
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint { offset: self.committed_log as i64 - 1, wall_clock_ms: 7 }
    }

    /// Replays the changelog over what a crash left; more crashes begin it again. After a part of it the store is whole, as
    /// that of a standby is, and the rest follows.
    fn restore(&self, disk: &Disk, random: &mut Random) -> KeyValueTable {
        let options = TableOptions { cached: self.cached, ..TableOptions::default() };
        'again: loop {
            let mut table = disk.open(options);
            let stored = table.stored_checkpoint().map_or(-1, |checkpoint| checkpoint.offset);
            let start = (stored + 1) as usize;
            assert!(start <= self.committed_log, "the store is ahead of the changelog");
            if start == 0 && random.below(4) > 0 {
                table.begin_restore().expect("the disk is sound");
            }
            let goal = start + random.below(self.committed_log - start + 1);
            for (at, (key, new)) in self.changelog[..self.committed_log].iter().enumerate().skip(start) {
                if at >= goal && random.below(3) == 0 {
                    table.end_restore().expect("the disk is sound");
                }
                table.restore(key, new.as_ref().map(row)).expect("nothing uncommitted");
                if random.below(50) == 0 {
                    table.restored_to(Checkpoint { offset: at as i64, wall_clock_ms: 8 });
                }
                match random.below(50) {
                    0 => store_all(&mut table),
                    1 => table.evict(random.below(100_000)).expect("the disk is sound"),
                    2..5 => _ = table.write_behind(random.below(4000)).expect("the disk is sound"),
                    5 if table.hides_rows() => {
                        assert_eq!(table.all().expect_err("not yet").kind(), crate::ErrorKind::Misuse);
                    }
                    _ => (),
                }
                if random.below(1000) == 0 {
                    drop(table);
                    disk.crash(random);
                    continue 'again;
                }
            }
            table.restored_to(self.checkpoint());
            while !table.end_restore().expect("the disk is sound") {
                std::thread::yield_now();
            }
            return table;
        }
    }
}

fn store_all(table: &mut KeyValueTable) {
    while table.write_behind(10_000).expect("the disk is sound") {}
}

fn check_flush(table: &mut KeyValueTable, model: &mut Model) {
    let mut expected = Vec::new();
    for (key, offset) in model.pending.drain(..) {
        let (new, old) = (model.newest.get(&key).cloned(), model.emitted.get(&key).cloned());
        if new.is_some() || old.is_some() {
            if model.cached {
                model.changelog.push((key.clone(), new.clone()));
            }
            expected.push((key, new, old, offset));
        }
    }
    model.emitted = model.newest.clone();
    let mut emitted = Vec::new();
    let done: std::result::Result<(), ()> = table.flush(|emission| {
        let context = emission.context;
        assert_eq!(
            context.topic.map(|topic| topic.len() as i64),
            (context.offset % 3 > 0).then_some(context.offset % 3)
        );
        assert_eq!(context.headers, vec![3; context.offset as usize % 7]);
        emitted.push((
            emission.key.to_vec(),
            emission.new.map(owned),
            emission.old.map(owned),
            emission.context.offset,
        ));
        Ok(())
    });
    done.expect("never fails");
    assert_eq!(emitted, expected);
    assert_eq!((table.pending_rows(), table.pending_bytes()), (0, 0));
}

fn run(seed: u64, cached: bool, key_count: usize, steps: usize, disk: &Disk) {
    let random = &mut Random(seed);
    let options = TableOptions { cached, ..TableOptions::default() };
    let mut table = disk.open(options);
    let mut model = Model { cached, ..Model::default() };
    let mut frozen: Vec<Frozen> = Vec::new();
    let mut in_flight = None;
    let keys: Vec<Vec<u8>> = (0..key_count).map(|_| random.bytes(120)).collect();
    let topics: Vec<Arc<str>> = vec!["a".into(), "bb".into()];
    for offset in 0..steps as i64 {
        let key = &keys[random.below(keys.len())];
        let headers = vec![3; offset as usize % 7];
        let topic = (offset % 3 > 0).then(|| &topics[offset as usize % 3 - 1]);
        let context = Context { timestamp: offset, topic, partition: 0, offset, headers: &headers };
        match random.below(48) {
            0..12 => {
                let new = (random.below(4) > 0).then(|| (random.bytes(200), offset, random.bytes(100)));
                table.put(key, new.as_ref().map(row), &context).expect("in memory");
                model.written(key, new, offset);
            }
            12..24 => {
                let extra = random.bytes(30);
                let what = random.below(5);
                let expected = model.newest.get(key).cloned();
                let new = &mut Vec::new();
                table
                    .update(key, &context, |old| {
                        assert_eq!(old.map(owned), expected);
                        new.extend_from_slice(old.map_or(&[], |old| &old.value[..old.value.len().min(100)]));
                        new.extend_from_slice(&extra);
                        match what {
                            0 => Update::Delete,
                            1 => Update::Keep,
                            _ => Update::Put(Row::new(new, offset)),
                        }
                    })
                    .expect("in memory");
                let mut value = expected.map_or(Vec::new(), |(mut value, ..)| {
                    value.truncate(100);
                    value
                });
                value.extend_from_slice(&extra);
                match what {
                    0 => model.written(key, None, offset),
                    1 => (),
                    _ => model.written(key, Some((value, offset, vec![])), offset),
                }
            }
            24..30 => {
                assert_eq!(table.get(key).expect("in memory").map(owned).as_ref(), model.newest.get(key));
                let committed = table.get_committed(key).expect("in memory").map(owned);
                assert_eq!(committed.as_ref(), model.committed.get(key));
            }
            30..32 if cached => check_flush(&mut table, &mut model),
            32 if in_flight.is_none() => {
                if cached {
                    check_flush(&mut table, &mut model);
                }
                in_flight = Some(table.seal_epoch().expect("flushed"));
                model.seal();
            }
            33 => {
                if let Some(epoch) = in_flight.take() {
                    model.commit();
                    table.commit_epoch(epoch, Some(model.checkpoint())).expect("sealed");
                }
            }
            34 if random.below(4) == 0 => {
                table.abort();
                in_flight = None;
                model.abort();
                assert_eq!((table.uncommitted_bytes(), table.has_uncommitted()), (0, false));
            }
            35 => {
                let (first, last) = (random.bytes(2), random.bytes(2));
                let (range, order) = any_range(random, &first, &last);
                let mut expected: Vec<_> =
                    model.newest.clone().into_iter().filter(|(key, _)| range.contains(key)).collect();
                if order == Order::Reverse {
                    expected.reverse();
                }
                let snapshot = table.range(&range, order).expect("in memory");
                let stop_at = random.below(expected.len() + 2);
                let mut scanned = Vec::new();
                let scan = table.scan(&range, order, |key, row| {
                    scanned.push((key.to_vec(), owned(row)));
                    if scanned.len() > stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                scan.expect("in memory");
                assert_eq!(scanned, expected[..expected.len().min(stop_at + 1)]);
                // The snapshot does not see what is written after it was taken.
                for key in keys.iter().take(20) {
                    let new = (random.bytes(100), offset, vec![]);
                    table.put(key, Some(row(&new)), &context).expect("in memory");
                    model.written(key, Some(new), offset);
                }
                assert_eq!(collect(snapshot), expected);
                // Committed rows: without what is written and not committed, with what is deleted and not committed.
                let mut expected: Vec<_> =
                    model.committed.clone().into_iter().filter(|(key, _)| range.contains(key)).collect();
                if order == Order::Reverse {
                    expected.reverse();
                }
                let mut scanned = Vec::new();
                let scan = table.scan_committed(&range, order, |key, row| {
                    scanned.push((key.to_vec(), owned(row)));
                    if scanned.len() > stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                scan.expect("the disk is sound");
                assert_eq!(scanned, expected[..expected.len().min(stop_at + 1)]);
            }
            36..39 => _ = table.write_behind(random.below(3000)).expect("the disk is sound"),
            39 if random.below(8) == 0 => store_all(&mut table),
            40 if random.below(2) == 0 => table.evict(random.below(200_000)).expect("the disk is sound"),
            41 if random.below(4) == 0 => table.evict(0).expect("the disk is sound"),
            42 => {
                let (first, last) = (random.bytes(2), random.bytes(2));
                let (range, order) = any_range(random, &first, &last);
                let mut expected: VecDeque<_> =
                    model.committed.clone().into_iter().filter(|(key, _)| range.contains(key)).collect();
                if order == Order::Reverse {
                    expected.make_contiguous().reverse();
                }
                frozen.push((table.freeze(&range, order).expect("the disk is sound"), expected));
            }
            // Some of them are read now, others after more has changed.
            43 if !frozen.is_empty() => {
                let at = random.below(frozen.len());
                let (rows, expected) = &mut frozen[at];
                for _ in 0..random.below(200) {
                    let shown = rows.next().expect("the disk is sound");
                    assert_eq!(shown.map(|(key, row)| (key.to_vec(), owned(row))), expected.pop_front());
                }
            }
            44 if !frozen.is_empty() => {
                let (rows, expected) = frozen.swap_remove(random.below(frozen.len()));
                assert_eq!(collect(rows), Vec::from(expected));
            }
            45 if random.below(8) == 0 && !matches!(disk, Disk::None) => {
                frozen.clear();
                drop(table);
                in_flight = None;
                model.abort();
                disk.crash(random);
                table = model.restore(disk, random);
            }
            _ => (),
        }
    }
    assert_eq!(
        collect(table.all().expect("in memory")),
        model.newest.clone().into_iter().collect::<Vec<_>>()
    );
    table.abort();
    assert_eq!(collect(table.all().expect("in memory")), model.committed.into_iter().collect::<Vec<_>>());
}

fn any_range<'a>(random: &mut Random, first: &'a [u8], last: &'a [u8]) -> (KeyRange<'a>, Order) {
    let order = if random.below(2) == 0 { Order::Forward } else { Order::Reverse };
    let range = match random.below(4) {
        0 => KeyRange::prefix(first),
        1 => KeyRange::inclusive(Some(first), Some(last)),
        2 => KeyRange::new(Bound::Excluded(first), Bound::Excluded(last)),
        _ => KeyRange::all(),
    };
    (range, order)
}

fn agrees_with_the_model(seeds: u64, steps: usize, disk: impl Fn() -> Disk) {
    for seed in 0..seeds {
        let (cached, key_count) = (seed % 2 == 0, [5, 60, 1000][seed as usize % 3]);
        let disk = disk();
        let run = || run(seed, cached, key_count, steps, &disk);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        assert!(outcome.is_ok(), "to replay: run({seed}, {cached}, {key_count}, {steps}, ..)");
    }
}

#[test]
fn a_table_in_memory_agrees_with_the_model() {
    agrees_with_the_model(40, 1500, || Disk::None);
}

#[test]
fn a_table_over_memory_that_crashes_agrees_with_the_model() {
    agrees_with_the_model(60, 1500, || Disk::Memory(MemoryEngine::new()));
}

#[test]
fn a_table_over_a_journal_agrees_with_the_model() {
    let (host, _runtime) = anabranch_host::Host::real(1).expect("threads");
    agrees_with_the_model(12, 1500, || {
        Disk::Journal(tempfile::tempdir().expect("a directory"), host.clone())
    });
}

#[test]
fn a_table_over_fjall_agrees_with_the_model() {
    let (host, _runtime) = anabranch_host::Host::real(1).expect("threads");
    agrees_with_the_model(6, 1500, || Disk::Fjall(tempfile::tempdir().expect("a directory"), host.clone()));
}

/// What fits stays in memory and can be read at once; what does not can be read when it is in the engine. Nothing is written
/// before, so a process that ends on the way leaves a new store; one that closes the store leaves what was in memory.
#[test]
fn a_store_that_is_restored_from_nothing_is_written_once() {
    let (host, _runtime) = anabranch_host::Host::real(1).expect("threads");
    let disks: [&dyn Fn() -> Disk; 3] = [
        &|| Disk::Memory(MemoryEngine::new()),
        &|| Disk::Journal(tempfile::tempdir().expect("a directory"), host.clone()),
        &|| Disk::Fjall(tempfile::tempdir().expect("a directory"), host.clone()),
    ];
    let checkpoint = Checkpoint { offset: 4999, wall_clock_ms: 1 };
    for disk in disks {
        for (fits, ends, closes) in [
            (true, true, true),
            (true, false, true),
            (true, false, false),
            (false, true, true),
            (false, false, true),
        ] {
            let (disk, what) = (disk(), format!("{fits} {ends} {closes}"));
            let budget = if fits { 1 << 20 } else { 20_000 };
            let mut table = disk.open(TableOptions::default());
            table.begin_restore().expect("the disk is sound");
            let mut model = BTreeMap::new();
            for number in 0..5000_u32 {
                let key = (number.wrapping_mul(2_654_435_761) % 2000).to_be_bytes();
                let value = (number % 5 > 0).then(|| number.to_be_bytes());
                let row = value.as_ref().map(|value| Row::new(value, 1));
                table.restore(&key, row).expect("the disk is sound");
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
                assert!(
                    !table.write_behind(1000).expect("the disk is sound"),
                    "{what}: nothing before the end"
                );
                if table.resident_bytes() > budget {
                    table.evict(budget).expect("the disk is sound");
                }
            }
            assert_eq!(table.hides_rows(), !fits, "{what}");
            table.restored_to(checkpoint);
            while ends && !table.end_restore().expect("the disk is sound") {
                assert!(!fits, "{what}: what is in memory can be read at once");
                std::thread::yield_now();
            }
            for (key, value) in model.iter().filter(|_| ends) {
                assert_eq!(table.get(key).expect("whole"), Some(Row::new(value, 1)), "{what}");
            }
            if closes {
                table.finish_load().expect("the disk is sound");
                store_all(&mut table);
            }
            drop(table);
            let mut table = disk.open(TableOptions::default());
            let kept = closes && (ends || fits);
            assert_eq!(table.stored_checkpoint(), kept.then_some(checkpoint), "{what}");
            let rows = collect(table.all().expect("the disk is sound"));
            let rows: Vec<_> = rows.iter().map(|(key, (value, ..))| (&key[..], &value[..])).collect();
            let expected: Vec<_> = model.iter().map(|(key, value)| (&key[..], &value[..])).collect();
            assert_eq!(rows, if kept { expected } else { Vec::new() }, "{what}");
        }
    }
}

#[test]
fn wrong_orders_of_calls_are_refused() {
    let mut table = KeyValueTable::in_memory(TableOptions { cached: true, ..TableOptions::default() });
    table.put(b"k", Some(Row::new(b"v", 1)), &Context::none(1)).expect("in memory");
    assert!(matches!(table.seal_epoch(), Err(Error::Misuse(_))), "pending");
    table.flush(|_| Ok::<_, ()>(())).expect("never fails");
    let first = table.seal_epoch().expect("flushed");
    assert!(matches!(table.seal_epoch(), Err(Error::Misuse(_))), "in flight");
    table.commit_epoch(first, None).expect("sealed");
    assert!(matches!(table.commit_epoch(first, None), Err(Error::Misuse(_))), "already committed");
    table.abort();
    assert_eq!(table.get(b"k").expect("in memory"), Some(Row::new(b"v", 1)));
}

#[test]
fn what_is_written_during_a_flush_waits_for_the_next() {
    let mut offset = 0;
    let mut put = |table: &mut KeyValueTable, key: u8| {
        offset += 1;
        let context = Context { offset, ..Context::none(0) };
        table.put(&[key], Some(Row::new(&[key], offset)), &context).expect("in memory");
    };
    let flush = |table: &mut KeyValueTable, each: &mut dyn FnMut(&mut KeyValueTable)| {
        let writes = table.pending_writes();
        let mut keys = Vec::new();
        while table.take_pending(writes) {
            let taken = table.taken().expect("just taken");
            keys.push((taken.key[0], taken.old.is_some()));
            each(table);
        }
        keys
    };
    // About as many writes after each emission as would have stale positions swept, if that were allowed now.
    for writes in 1020..1070 {
        let mut table = KeyValueTable::in_memory(TableOptions { cached: true, ..TableOptions::default() });
        (0..10).for_each(|key| put(&mut table, key));
        let flushed =
            flush(&mut table, &mut |table| (0..writes).for_each(|write| put(table, (write % 5) as u8)));
        assert_eq!(flushed, [(0, false), (5, false), (6, false), (7, false), (8, false), (9, false)]);
        assert_eq!(table.pending_rows(), 5);
        let mut flushed = flush(&mut table, &mut |_| ());
        flushed.sort_unstable();
        assert_eq!(flushed, [(0, true), (1, false), (2, false), (3, false), (4, false)]);
        assert_eq!((table.pending_rows(), table.pending_bytes()), (0, 0));
    }
}

#[test]
fn a_failed_flush_leaves_the_rest_pending() {
    let mut table = KeyValueTable::in_memory(TableOptions { cached: true, ..TableOptions::default() });
    for key in 0..4_u8 {
        table.put(&[key], Some(Row::new(b"v", 0)), &Context::none(0)).expect("in memory");
    }
    let mut seen = Vec::new();
    let mut flush = |table: &mut KeyValueTable, fails_at: u8| {
        table.flush(|emission| {
            seen.push(emission.key[0]);
            if emission.key[0] == fails_at { Err("full") } else { Ok(()) }
        })
    };
    assert_eq!(flush(&mut table, 1), Err("full"));
    assert!(matches!(table.seal_epoch(), Err(Error::Misuse(_))));
    assert_eq!(flush(&mut table, 9), Ok(()));
    assert_eq!(seen, [0, 1, 2, 3]);
    table.seal_epoch().expect("flushed");
}
