//! Stores of windows, sessions and joins against a model of maps: late rows, aborts, segments that expire, engines that
//! crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_state_store::{Checkpoint, MemoryEngine, Order};

use super::check::{Logged, Random, Tested};
use super::{
    JoinWindowState, SessionSettings, SessionState, StoreSupplier, TaskStore, WindowSettings, WindowState,
    WriteContext,
};
use crate::error::Result;
use crate::serdes::{big_endian, text};
use crate::window::SessionWindow;

/// Half of it is a segment.
const RETENTION_MS: i64 = 200_000;
const SEGMENT_MS: i64 = 100_000;
const KEYS: [&str; 3] = ["a", "aa", "a\0\0\0\0\0\0\0\x01"];

/// A store whose rows have a time.
trait Timed: TaskStore {
    /// What tells rows of one key and time apart: the session's start, or how many were written before.
    fn number(random: &mut Random, time: i64, written: i64) -> i64;

    /// Writes; false if that is refused.
    fn put(
        &mut self,
        key: &str,
        at: (i64, i64),
        value: Option<&i64>,
        write: &mut WriteContext<'_>,
    ) -> Result<bool>;

    /// The rows of a key from a time to the other: their times and values.
    fn find(&mut self, key: &str, from: i64, to: i64) -> Result<Vec<(i64, i64)>>;

    /// The rows of all keys from a time to the other, in any order, if the store can tell.
    fn find_all(&mut self, from: i64, to: i64) -> Result<Option<Vec<(i64, i64)>>>;
}

impl Timed for WindowState<String, i64> {
    fn number(_: &mut Random, _: i64, _: i64) -> i64 {
        0
    }

    fn put(
        &mut self,
        key: &str,
        (start, _): (i64, i64),
        value: Option<&i64>,
        write: &mut WriteContext<'_>,
    ) -> Result<bool> {
        self.put(&key.to_owned(), start, value.map(|value| (value, start)), write)
    }

    fn find(&mut self, key: &str, from: i64, to: i64) -> Result<Vec<(i64, i64)>> {
        let rows = self.fetch_range(&key.to_owned(), from, to, Order::Forward)?;
        Ok(rows.into_iter().map(|row| (row.start, row.value)).collect())
    }

    fn find_all(&mut self, from: i64, to: i64) -> Result<Option<Vec<(i64, i64)>>> {
        let rows = self.fetch_all(from, to)?;
        Ok(Some(rows.into_iter().map(|(_, row)| (row.start, row.value)).collect()))
    }
}

impl Timed for SessionState<String, i64> {
    fn number(random: &mut Random, time: i64, _: i64) -> i64 {
        (time - random.below(3)).max(0)
    }

    fn put(
        &mut self,
        key: &str,
        (end_ms, start_ms): (i64, i64),
        value: Option<&i64>,
        write: &mut WriteContext<'_>,
    ) -> Result<bool> {
        self.put(&key.to_owned(), SessionWindow { start_ms, end_ms }, value, write)
    }

    fn find(&mut self, key: &str, from: i64, to: i64) -> Result<Vec<(i64, i64)>> {
        let found = self.find(&key.to_owned(), from, i64::MAX, Order::Forward)?;
        let ends = found.into_iter().map(|(window, value)| (window.end_ms, value));
        Ok(ends.filter(|(end, _)| *end <= to).collect())
    }

    fn find_all(&mut self, from: i64, to: i64) -> Result<Option<Vec<(i64, i64)>>> {
        let found = self.find_all(from, to)?;
        Ok(Some(found.into_iter().map(|(key, value)| (key.window.end_ms, value)).collect()))
    }
}

impl Timed for JoinWindowState<String, i64> {
    fn number(_: &mut Random, _: i64, written: i64) -> i64 {
        written
    }

    fn put(
        &mut self,
        key: &str,
        (time, _): (i64, i64),
        value: Option<&i64>,
        write: &mut WriteContext<'_>,
    ) -> Result<bool> {
        write.timestamp = time;
        self.add(&key.to_owned(), value, write)
    }

    fn find(&mut self, key: &str, from: i64, to: i64) -> Result<Vec<(i64, i64)>> {
        let mut found = Vec::new();
        self.fetch(&key.to_owned(), from, to, &mut found)?;
        Ok(found)
    }

    fn find_all(&mut self, _: i64, _: i64) -> Result<Option<Vec<(i64, i64)>>> {
        Ok(None)
    }
}

/// What a store should be.
#[derive(Clone, Default)]
struct Model {
    rows: BTreeMap<(String, i64, i64), i64>,
    observed: i64,
    log: usize,
}

impl Model {
    /// What is older than this was dropped at a commit.
    fn floor(&self) -> i64 {
        (self.observed - RETENTION_MS).max(0) / SEGMENT_MS * SEGMENT_MS
    }
}

fn check<S: Timed>(supplier: &StoreSupplier, seed: u64, on_disk: bool) {
    let mut random = Random(seed);
    let engine = MemoryEngine::new();
    let open = |log: &[Logged]| match on_disk {
        true => Tested::<S>::kept(supplier, &engine, log),
        false => Tested::restored(supplier, log),
    };
    let mut store = open(&[]);
    let (mut model, mut committed) = (Model::default(), Model::default());
    for step in 0..600 {
        let key = KEYS[random.below(3) as usize].to_string();
        let now = step * 2_500;
        match random.below(16) {
            0 => {
                store.seal();
                model.log = store.log().len();
                let offset = model.log as i64 - 1;
                store.store.acknowledged(Checkpoint { offset, wall_clock_ms: 0 });
                store.store.commit().unwrap();
                let floor = model.floor();
                model.rows.retain(|(_, time, _), _| *time >= floor);
                committed = model.clone();
            }
            1 => {
                store.store.abort();
                store.forget(committed.log);
                model = committed.clone();
            }
            2 => _ = store.store.write_behind().unwrap(),
            3 => {
                store.store.write_behind().unwrap();
                store.store.evict(random.below(10_000) as usize).unwrap();
            }
            4 if on_disk || random.below(3) == 0 => {
                let log = store.log()[..committed.log].to_vec();
                drop(store);
                engine.crash(random.below(engine.unsynced_batches() as i64 + 1) as usize);
                store = open(&log);
                store.catch_up(&log, &mut random);
                model = committed.clone();
            }
            _ => {
                let time = (now - random.below(400_000)).max(0);
                let value = (random.below(5) > 0).then_some(step);
                let number = S::number(&mut random, time, step);
                let put =
                    store.at(time, |store, write| store.put(&key, (time, number), value.as_ref(), write));
                model.observed = model.observed.max(time);
                assert_eq!(put, time >= model.floor(), "step {step}: a row of {time}");
                if put {
                    match value {
                        Some(value) => model.rows.insert((key.clone(), time, number), value),
                        None => model.rows.remove(&(key.clone(), time, number)),
                    };
                }
            }
        }
        // Inside the retention; older rows come and go by segment.
        let oldest = (model.observed - RETENTION_MS + 1).max(0);
        let from = (now - random.below(200_000)).max(oldest);
        let to = from + random.below(100_000);
        let rows = model.rows.iter().filter(|((_, time, _), _)| (from..=to).contains(time));
        let rows: Vec<_> = rows.map(|((key, time, _), value)| (key, (*time, *value))).collect();
        let expected: Vec<_> = rows.iter().filter(|(other, _)| **other == key).map(|(_, row)| *row).collect();
        assert_eq!(store.store.find(&key, from, to).unwrap(), expected, "step {step}: {key:?} {from} {to}");
        if let Some(mut all) = store.store.find_all(from, to).unwrap() {
            let mut expected: Vec<_> = rows.iter().map(|(_, row)| *row).collect();
            all.sort_unstable();
            expected.sort_unstable();
            assert_eq!(all, expected, "step {step}: all from {from} to {to}");
        }
    }
}

fn agrees_with_the_model<S: Timed>(supplier: &StoreSupplier) {
    for (seed, on_disk) in (1..13).map(|seed| (seed, seed % 3 > 0)) {
        let run = std::panic::AssertUnwindSafe(|| check::<S>(supplier, seed, on_disk));
        let agrees = std::panic::catch_unwind(run).is_ok();
        assert!(agrees, "to replay: check::<{}>(.., {seed}, {on_disk})", std::any::type_name::<S>());
    }
}

#[test]
fn windows_agree_with_the_model() {
    let settings =
        WindowSettings { size_ms: 1000, retention_ms: RETENTION_MS, hides: false, in_memory: false };
    let supplier = WindowState::<String, i64>::supplier(Arc::new(text()), Arc::new(big_endian()), settings);
    agrees_with_the_model::<WindowState<String, i64>>(&supplier);
}

#[test]
fn sessions_agree_with_the_model() {
    let settings = SessionSettings { retention_ms: RETENTION_MS, hides: false, in_memory: false };
    let supplier = SessionState::<String, i64>::supplier(Arc::new(text()), Arc::new(big_endian()), settings);
    agrees_with_the_model::<SessionState<String, i64>>(&supplier);
}

#[test]
fn sides_of_a_join_agree_with_the_model() {
    let (key, value) = (Arc::new(text()), Arc::new(big_endian()));
    let supplier = JoinWindowState::<String, i64>::supplier(key, value, RETENTION_MS);
    agrees_with_the_model::<JoinWindowState<String, i64>>(&supplier);
}
