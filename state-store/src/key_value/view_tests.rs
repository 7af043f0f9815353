//! Frozen rows of large tables, and which segments are looked at for them.

use std::ops::Bound;

use parking_lot::Mutex;

use super::*;
use crate::engine::memory::MemoryEngine;
use crate::engine::scratch::ScratchFile;
use crate::engine::{ChunkRows, EngineSnapshot};
use crate::row::RowBuffer;

fn collect(mut rows: Rows) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some((key, row)) = rows.next().expect("memory does not fail") {
        all.push((key.to_vec(), row.value.to_vec()));
    }
    all
}

fn commit(table: &mut KeyValueTable) {
    let epoch = table.seal_epoch().expect("nothing is pending");
    table.commit_epoch(epoch, None).expect("sealed");
}

/// More than one run of slots that are sorted together; some ranges are copied, some listed, of some all slots are looked
/// at.
#[test]
fn what_is_written_later_is_not_seen_however_many_rows_there_are() {
    const KEYS: u32 = 40_000;
    let key = |number: u32| number.wrapping_mul(2_654_435_761).to_be_bytes();
    let mut table = KeyValueTable::in_memory(TableOptions::default());
    let put = |table: &mut KeyValueTable, number: u32, value: Option<&[u8]>| {
        let row = value.map(|value| Row::new(value, 0));
        table.put(&key(number), row, &Context::none(0)).expect("memory does not fail");
    };
    (0..KEYS).for_each(|number| put(&mut table, number, Some(b"old")));
    commit(&mut table);
    let mut all: Vec<[u8; 4]> = (0..KEYS).map(key).collect();
    all.sort_unstable();
    let at = |place: usize| Bound::Included(&all[place][..]);
    let behind = |place: usize| Bound::Excluded(&all[place][..]);
    let cases = [
        (Bound::Unbounded, Bound::Unbounded, 0..40_000),
        (at(0), at(39_999), 0..40_000),
        (behind(0), Bound::Unbounded, 1..40_000),
        (at(16_383), behind(16_385), 16_383..16_385),
        (at(100), at(227), 100..228),
        (at(100), at(228), 100..229),
        (at(5), behind(4_101), 5..4_101),
        (at(5), at(4_101), 5..4_102),
        (at(7), at(7), 7..8),
        (at(8), at(7), 0..0),
    ];
    for has_order in [false, true] {
        if has_order {
            table.range(&KeyRange::all(), Order::Forward).expect("memory does not fail");
        }
        let mut frozen = Vec::new();
        for (start, end, expected) in cases.clone() {
            for order in [Order::Forward, Order::Reverse] {
                let range = KeyRange::new(start, end);
                let mut keys: Vec<Vec<u8>> = all[expected.clone()].iter().map(|key| key.to_vec()).collect();
                if order == Order::Reverse {
                    keys.reverse();
                }
                frozen.push((table.freeze(&range, order).expect("memory does not fail"), keys, range));
            }
        }
        let new = |number: u32| (!number.is_multiple_of(3)).then_some(&b"new"[..]);
        (0..KEYS).for_each(|number| put(&mut table, number, new(number)));
        put(&mut table, KEYS, Some(b"new"));
        commit(&mut table);
        for (rows, keys, range) in frozen {
            let expected: Vec<_> = keys.into_iter().map(|key| (key, b"old".to_vec())).collect();
            assert!(collect(rows) == expected, "{range:?}, has an order: {has_order}");
        }
        // As it was.
        (0..KEYS).for_each(|number| put(&mut table, number, Some(b"old")));
        put(&mut table, KEYS, None);
        commit(&mut table);
    }
}

/// What views alone have is counted until they go, whatever becomes of the table.
#[test]
fn what_views_keep_is_counted() {
    let kept = KeptBytes::default();
    let mut table = KeyValueTable::in_memory(TableOptions::default()).counting_kept(kept.clone());
    let put = |table: &mut KeyValueTable, number: u32, value: &[u8]| {
        table.put(&number.to_be_bytes(), Some(Row::new(value, 0)), &Context::none(0)).expect("memory");
    };
    (0..1000).for_each(|number| put(&mut table, number, &[1; 200]));
    commit(&mut table);
    let all = KeyRange::all();
    let freeze = |table: &mut KeyValueTable| table.freeze(&all, Order::Forward).expect("memory");
    let (first, second) = (freeze(&mut table), freeze(&mut table));
    assert_eq!(kept.get(), 0, "the table has it, too");
    put(&mut table, 0, &[2; 200]);
    let chunk = kept.get();
    assert!((256 * 200..256 * 400).contains(&chunk), "a chunk is {chunk}");
    put(&mut table, 1, &[2; 200]);
    assert_eq!(kept.get(), chunk, "it was copied already");
    // What was undone of this epoch is in the view as well.
    let third = freeze(&mut table);
    commit(&mut table);
    put(&mut table, 2, &[3; 200]);
    assert!(kept.get() > 2 * chunk);
    drop(third);
    assert_eq!(kept.get(), chunk);
    (0..1000).for_each(|number| put(&mut table, number, &[4; 200]));
    let all_of_it = kept.get();
    assert!(all_of_it > 3 * chunk);
    drop(first);
    assert_eq!(kept.get(), all_of_it);
    assert!(collect(second).iter().all(|(_, value)| *value == [1; 200]));
    assert_eq!(kept.get(), 0);
    let last = freeze(&mut table);
    drop(table);
    assert!(kept.get() >= all_of_it, "nobody else has it");
    drop(last);
    assert_eq!(kept.get(), 0);
}

/// Who evicts what a view holds would copy it for the view, and free nothing.
#[test]
fn what_views_hold_is_not_evicted() {
    let engine = Arc::new(MemoryEngine::default());
    let kept = KeptBytes::default();
    let table = KeyValueTable::open_in(engine, "s", TableOptions::default()).expect("memory");
    let mut table = table.counting_kept(kept.clone());
    let put = |table: &mut KeyValueTable, number: u32| {
        table.put(&number.to_be_bytes(), Some(Row::new(b"v", 0)), &Context::none(0)).expect("memory");
    };
    let store = |table: &mut KeyValueTable| {
        commit(table);
        while table.write_behind(100_000).expect("memory") {}
    };
    (0..1000).for_each(|number| put(&mut table, number));
    store(&mut table);
    let frozen = table.freeze(&KeyRange::all(), Order::Forward).expect("memory");
    table.evict(0).expect("memory");
    assert_eq!((table.resident_rows(), kept.get()), (1000, 0));
    // The table has its own copy of one chunk now.
    put(&mut table, 7);
    store(&mut table);
    table.evict(0).expect("memory");
    assert_eq!(table.resident_rows(), 1000 - 256);
    assert_eq!(collect(frozen).len(), 1000);
    table.evict(0).expect("memory");
    assert_eq!((table.resident_rows(), kept.get()), (0, 0));
    assert_eq!(table.approximate_rows().expect("memory"), 1000);
}

#[test]
fn rows_are_counted_about() {
    let engine = Arc::new(MemoryEngine::default());
    let timed = Some(TimedKeys { number_bytes: 4, segment_ms: 10 });
    for (name, timed) in [("plain", None), ("timed", timed)] {
        let options = TableOptions { cached: false, timed };
        let open = || KeyValueTable::open_in(engine.clone(), name, options).expect("memory");
        let mut table = open();
        let check = |table: &KeyValueTable, expected: u64| {
            assert_eq!(table.approximate_rows().expect("memory"), expected, "{name}");
        };
        let put = |table: &mut KeyValueTable, time: u64, value: Option<&[u8]>| {
            let key = [&b"k"[..], &time.to_be_bytes(), &[0; 4]].concat();
            let row = value.map(|value| Row::new(value, 0));
            table.put(&key, row, &Context::none(0)).expect("memory");
        };
        check(&table, 0);
        (0..100).for_each(|time| put(&mut table, time, Some(b"v")));
        check(&table, 100);
        (0..10).for_each(|time| put(&mut table, time, None));
        check(&table, 90);
        commit(&mut table);
        while table.write_behind(1000).expect("memory") {}
        table.evict(0).expect("memory");
        check(&table, 90);
        drop(table);
        check(&open(), 90);
    }
}

/// Notes which stores are read from.
#[derive(Clone, Debug, Default)]
struct Watched {
    engine: MemoryEngine,
    read: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug)]
struct WatchedStore(Box<dyn EngineStore>, Arc<Mutex<Vec<String>>>);

impl Engine for Watched {
    fn open_store(&self, name: &str) -> Result<Box<dyn EngineStore>> {
        Ok(Box::new(WatchedStore(self.engine.open_store(name)?, Arc::clone(&self.read))))
    }

    fn drop_store(&self, name: &str) -> Result<()> {
        self.engine.drop_store(name)
    }

    fn store_names(&self) -> Result<Vec<String>> {
        self.engine.store_names()
    }

    fn sync(&self) -> Result<()> {
        self.engine.sync()
    }
}

impl EngineStore for WatchedStore {
    fn engine(&self) -> &'static str {
        self.0.engine()
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn key_limit_bytes(&self) -> usize {
        self.0.key_limit_bytes()
    }

    fn is_empty(&self) -> Result<bool> {
        self.0.is_empty()
    }

    fn approximate_rows(&self) -> Result<u64> {
        self.0.approximate_rows()
    }

    fn get(&self, key: &[u8], row: &mut RowBuffer) -> Result<bool> {
        self.0.get(key, row)
    }

    fn snapshot(&self) -> Result<Box<dyn EngineSnapshot>> {
        self.1.lock().push(self.0.name().to_owned());
        self.0.snapshot()
    }

    fn write(&mut self, rows: &mut ChunkRows<'_, '_>, checkpoint: Option<Checkpoint>) -> Result<()> {
        self.0.write(rows, checkpoint)
    }

    fn scratch_file(&self) -> Result<Option<ScratchFile>> {
        self.0.scratch_file()
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        self.0.checkpoint()
    }
}

#[test]
fn only_segments_in_question_are_read() {
    let keys = TimedKeys { number_bytes: 4, segment_ms: 10 };
    let engine = Watched::default();
    let options = TableOptions { cached: false, timed: Some(keys) };
    let mut table = KeyValueTable::open_in(Arc::new(engine.clone()), "w", options).expect("memory");
    let key = |group: &str, time: u64| [group.as_bytes(), &time.to_be_bytes(), &[0; 4]].concat();
    for (group, time) in ["a", "b"].into_iter().flat_map(|group| (0..50).map(move |time| (group, time))) {
        table.put(&key(group, time), Some(Row::new(b"v", 0)), &Context::none(0)).expect("memory");
    }
    commit(&mut table);
    while table.write_behind(10_000).expect("memory does not fail") {}
    table.evict(0).expect("memory does not fail");
    assert_eq!(table.resident_rows(), 0);
    let (all, of_a) = (KeyRange::all(), KeyRange::prefix(b"a"));
    for (range, times, expected, rows) in [
        (&all, (0, 49), "w#0 w#1 w#2 w#3 w#4", 100),
        (&all, (12, 29), "w#1 w#2", 36),
        (&of_a, (12, 29), "w#1 w#2", 18),
        (&of_a, (15, 15), "w#1", 1),
        (&of_a, (50, u64::MAX), "", 0),
        (&of_a, (15, 14), "w#1", 0),
        (&of_a, (30, 14), "", 0),
    ] {
        for order in [Order::Forward, Order::Reverse] {
            engine.read.lock().clear();
            let found = collect(table.freeze_times(range, times, order).expect("memory does not fail"));
            assert_eq!(engine.read.lock().join(" "), expected, "{times:?}");
            assert_eq!((found.len(), table.resident_rows()), (rows, 0), "{range:?} {times:?}");
        }
    }
}
