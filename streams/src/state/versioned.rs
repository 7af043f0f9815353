//! The values of a key over time (KIP-889): each is valid from its own time to that of the next one.
//!
//! Rows are versions: their key is the key and the time from which the version is valid, a first byte of the value says
//! whether there is a value or a deletion. On the changelog is what was put: key, value, and the time as the record's.
//!
//! Times before the history begins cannot be written, and not be read but where the latest value was valid then: it never
//! expires. Versions that nobody can read any more are removed at a commit: a queue by the time at which each may have
//! become unreadable says where to look. Rows that came back, from disk or from the changelog, are put into the queue little
//! by little.
//!
//! The highest time written decides what can be read. A store that is kept on disk notes it among its rows.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use anabranch_state_store::{KeyRange, Order, Row};

use super::epoched::Epoched;
use super::rows::{Rows, leave_to_rows, restore_at_once};
use super::{StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::error::{Error, Result};
use crate::serdes::{Serde, SerdeContext};

/// The time stands behind the key.
const SUFFIX_BYTES: usize = 8;

/// First byte of a row's value.
const DELETED: u8 = 0;
const PRESENT: u8 = 1;

/// How many times share a place in the queue: a sixteenth of the history.
const QUEUE_PLACES: i64 = 16;

/// So many rows that the queue may not know are put into it at a commit.
const SWEPT_ROWS: usize = 1000;

/// The key of the note. It is too short to have a time, so no reader of versions meets it.
const NOTE: &[u8] = b"note";

/// A versioned store of a task.
pub(crate) struct VersionedState<K, V> {
    rows: Rows,
    topic: Arc<str>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    history_ms: i64,
    /// The highest time written.
    observed: Epoched<i64>,
    /// By time: rows that may be unreadable when the history begins later than that.
    expiring: BTreeMap<i64, Vec<Vec<u8>>>,
    /// The queue may not know the rows behind this one.
    unswept: Option<Vec<u8>>,
    /// The highest time that the rows on disk say, if rows are kept there.
    noted: Option<i64>,
    key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
}

/// A version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version<V> {
    pub(crate) value: V,
    pub(crate) valid_from: i64,
    /// `None`: it is the latest.
    pub(crate) valid_to: Option<i64>,
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionPut {
    /// It is the latest version.
    Latest,
    /// A later version was there already; this one is valid until then.
    Until(i64),
    /// It is older than the history and was not kept.
    TooOld,
}

impl<K: 'static, V: 'static> VersionedState<K, V> {
    /// Makes such stores.
    pub(crate) fn supplier(
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
        history_ms: i64,
    ) -> StoreSupplier {
        StoreSupplier::with_serdes((key, value), move |init: &StoreInit, (key, value)| {
            let mut rows = Rows::new(init)?;
            let noted = match init.engine.is_some() {
                true => Some(rows.get(NOTE)?.and_then(|row| read_note(row.value)).unwrap_or(-1)),
                false => None,
            };
            Ok(VersionedState {
                rows,
                topic: Arc::clone(&init.topic),
                key,
                value,
                history_ms,
                observed: Epoched::new(noted.unwrap_or(-1)),
                expiring: BTreeMap::new(),
                unswept: noted.map(|_| Vec::new()),
                noted,
                key_bytes: Vec::new(),
                value_bytes: Vec::new(),
            })
        })
    }

    /// Where the history begins: no earlier time can be written.
    fn history_start(&self) -> i64 {
        self.observed.now.saturating_sub(self.history_ms)
    }

    /// Writes a version that is valid from `timestamp` on; `None` deletes.
    pub(crate) fn put(
        &mut self,
        key: &K,
        value: Option<&V>,
        timestamp: i64,
        write: &mut WriteContext<'_>,
    ) -> Result<VersionPut> {
        self.write_key(key)?;
        self.value_bytes.clear();
        self.value_bytes.push(if value.is_some() { PRESENT } else { DELETED });
        if let Some(value) = value {
            let written =
                self.value.serialize(&SerdeContext::value(&self.topic), value, &mut self.value_bytes);
            written.map_err(|error| self.rows.unwritable(error))?;
        }
        let put = self.put_bytes(timestamp, write)?;
        // Kafka Streams logs what it was told, also what it does not keep.
        let kept = std::mem::replace(&mut write.timestamp, timestamp);
        let logged = value.is_some().then_some((&self.value_bytes[1..], timestamp));
        let done = self.rows.log(&self.key_bytes, logged, write);
        write.timestamp = kept;
        done.map(|()| put)
    }

    /// Writes `value_bytes` for `key_bytes`.
    fn put_bytes(&mut self, timestamp: i64, write: &WriteContext<'_>) -> Result<VersionPut> {
        if timestamp < self.history_start() {
            return Ok(VersionPut::TooOld);
        }
        self.observed.now = self.observed.now.max(timestamp);
        let next = self.next_after(timestamp)?;
        let row_key = row_key(&self.key_bytes, timestamp);
        self.rows.put_silently(&row_key, Some(Row::new(&self.value_bytes, timestamp)), write)?;
        if let Some((before, _)) = self.last_up_to(timestamp.saturating_sub(1))? {
            let before = self::row_key(&self.key_bytes, before);
            self.expires_at(timestamp, before);
        }
        self.expires_at(next.unwrap_or(timestamp), row_key);
        Ok(next.map_or(VersionPut::Latest, VersionPut::Until))
    }

    /// The latest value of a key.
    pub(crate) fn get(&mut self, key: &K) -> Result<Option<Version<V>>> {
        self.write_key(key)?;
        match self.last_up_to(i64::MAX)? {
            Some((valid_from, bytes)) => self.read_version(valid_from, None, &bytes),
            None => Ok(None),
        }
    }

    /// The value of a key at a time. Before the history begins only a latest value is known.
    pub(crate) fn get_as_of(&mut self, key: &K, timestamp: i64) -> Result<Option<Version<V>>> {
        self.write_key(key)?;
        let Some((valid_from, bytes)) = self.last_up_to(timestamp)? else { return Ok(None) };
        let valid_to = self.next_after(valid_from)?;
        if timestamp < self.history_start() && valid_to.is_some() {
            return Ok(None);
        }
        self.read_version(valid_from, valid_to, &bytes)
    }

    /// Deletes the value of a key from a time on; gives the one that was valid then.
    pub(crate) fn delete(
        &mut self,
        key: &K,
        timestamp: i64,
        write: &mut WriteContext<'_>,
    ) -> Result<Option<Version<V>>> {
        let was = if timestamp < self.history_start() { None } else { self.get_as_of(key, timestamp)? };
        self.put(key, None, timestamp, write)?;
        Ok(was)
    }

    /// All versions of a serialised key, the earliest first, as of the last commit: from when each is valid, and its value,
    /// none where it was deleted.
    pub(crate) fn committed_versions(&mut self, key: &[u8]) -> Result<Vec<(i64, Option<Vec<u8>>)>> {
        let bounds = (Bound::Included(row_key(key, 0)), Bound::Included(row_key(key, i64::MAX)));
        let mut rows = self.rows.committed_rows(&bounds)?;
        // Longer keys that begin with this one may lie in between.
        rows.retain(|(row, _)| key_of(row) == key);
        Ok(rows.iter().map(|(row, value)| (time_of(row), present(value).map(<[u8]>::to_vec))).collect())
    }

    /// The earliest time that can be read, as of the last commit.
    pub(crate) fn committed_history_start(&self) -> i64 {
        self.observed.committed().saturating_sub(self.history_ms)
    }

    fn write_key(&mut self, key: &K) -> Result<()> {
        self.key_bytes.clear();
        let written = self.key.serialize(&SerdeContext::key(&self.topic), key, &mut self.key_bytes);
        written.map_err(|error| self.rows.unwritable(error))
    }

    fn read_version(
        &self,
        valid_from: i64,
        valid_to: Option<i64>,
        bytes: &[u8],
    ) -> Result<Option<Version<V>>> {
        let Some(bytes) = present(bytes) else { return Ok(None) };
        let value = self.value.deserialize(&SerdeContext::value(&self.topic), bytes);
        let value = value.map_err(|error| self.rows.unreadable(error))?;
        Ok(Some(Version { value, valid_from, valid_to }))
    }

    /// The last version of `key_bytes` that is valid from `timestamp` or earlier: its time and its row.
    fn last_up_to(&mut self, timestamp: i64) -> Result<Option<(i64, Vec<u8>)>> {
        let (first, last) = (row_key(&self.key_bytes, 0), row_key(&self.key_bytes, timestamp));
        if timestamp < 0 {
            return Ok(None);
        }
        let mut found = None;
        self.rows.scan(&KeyRange::inclusive(Some(&first), Some(&last)), Order::Reverse, |key, row| {
            // Longer keys that begin with this one may lie in between.
            if key.len() != first.len() {
                return ControlFlow::Continue(());
            }
            found = Some((time_of(key), row.value.to_vec()));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// From when on the version of `key_bytes` after this time is valid.
    fn next_after(&mut self, timestamp: i64) -> Result<Option<i64>> {
        let Some(after) = timestamp.checked_add(1) else { return Ok(None) };
        let (first, last) = (row_key(&self.key_bytes, after), row_key(&self.key_bytes, i64::MAX));
        let mut found = None;
        self.rows.scan(&KeyRange::inclusive(Some(&first), Some(&last)), Order::Forward, |key, _| {
            if key.len() != first.len() {
                return ControlFlow::Continue(());
            }
            found = Some(time_of(key));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn expires_at(&mut self, timestamp: i64, row: Vec<u8>) {
        let step = (self.history_ms / QUEUE_PLACES).max(1);
        self.expiring.entry(timestamp / step * step).or_default().push(row);
    }

    /// Removes the versions that end before the history begins.
    fn expire(&mut self) -> Result<()> {
        self.sweep()?;
        let start = self.history_start();
        let step = (self.history_ms / QUEUE_PLACES).max(1);
        while let Some(place) =
            self.expiring.first_entry().filter(|place| place.key().saturating_add(step) <= start)
        {
            for row in place.remove() {
                self.expire_row(row, start)?;
            }
        }
        Ok(())
    }

    /// Puts some rows into the queue that it may not know.
    fn sweep(&mut self) -> Result<()> {
        let Some(last) = self.unswept.take() else { return Ok(()) };
        let mut rows: Vec<Vec<u8>> = Vec::new();
        let behind = KeyRange::new(Bound::Excluded(&last[..]), Bound::Unbounded);
        self.rows.scan(&behind, Order::Forward, |key, _| {
            rows.push(key.to_vec());
            if rows.len() < SWEPT_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.unswept = rows.last().filter(|_| rows.len() == SWEPT_ROWS).cloned();
        rows.into_iter().filter(|row| row.len() >= SUFFIX_BYTES).for_each(|row| {
            self.expires_at(time_of(&row), row);
        });
        Ok(())
    }

    /// Removes a version if it ends before the history begins. Where it does not, it is the latest of its key, or its end
    /// has changed since it was queued.
    fn expire_row(&mut self, row: Vec<u8>, start: i64) -> Result<()> {
        let Some(value) = self.rows.get(&row)?.map(|row| row.value.first().copied()) else { return Ok(()) };
        let valid_from = time_of(&row);
        self.key_bytes.clear();
        self.key_bytes.extend_from_slice(key_of(&row));
        match self.next_after(valid_from)? {
            Some(end) if end <= start => self.rows.remove_silently(&row),
            Some(end) => {
                self.expires_at(end, row);
                Ok(())
            }
            // Nobody can write before it any more, so nobody needs to know when the key was deleted. What it has ended, and
            // the queue may not have come to yet, goes first: else that would be the latest version again.
            None if value == Some(DELETED) && valid_from < start => {
                while let Some((before, _)) = self.last_up_to(valid_from.saturating_sub(1))? {
                    self.rows.remove_silently(&row_key(&self.key_bytes, before))?;
                }
                self.rows.remove_silently(&row)
            }
            None => Ok(()),
        }
    }
}

fn row_key(key: &[u8], timestamp: i64) -> Vec<u8> {
    let mut row = Vec::with_capacity(key.len() + SUFFIX_BYTES);
    row.extend_from_slice(key);
    row.extend_from_slice(&timestamp.to_be_bytes());
    row
}

fn read_note(note: &[u8]) -> Option<i64> {
    note.first_chunk().map(|time| i64::from_be_bytes(*time))
}

fn time_of(row: &[u8]) -> i64 {
    row.last_chunk::<SUFFIX_BYTES>().map_or(-1, |time| i64::from_be_bytes(*time))
}

fn key_of(row: &[u8]) -> &[u8] {
    &row[..row.len().saturating_sub(SUFFIX_BYTES)]
}

/// The value of a row; `None` for a deletion.
fn present(row: &[u8]) -> Option<&[u8]> {
    row.split_first().filter(|(flag, _)| **flag == PRESENT).map(|(_, value)| value)
}

impl<K: 'static, V: 'static> TaskStore for VersionedState<K, V> {
    leave_to_rows!(rows);
    restore_at_once!(rows);

    fn seal(&mut self, _: &mut WriteContext<'_>) -> Result<()> {
        self.observed.seal();
        if self.noted.is_some_and(|noted| noted != self.observed.now) {
            self.noted = Some(self.observed.now);
            self.rows.note(NOTE, &self.observed.now.to_be_bytes())?;
        }
        self.rows.seal()
    }

    fn commit(&mut self) -> Result<()> {
        self.observed.commit();
        self.rows.commit()?;
        // At a commit only: an abort must not bring half of a history back.
        self.expire()
    }

    fn abort(&mut self) {
        self.observed.abort();
        self.rows.abort();
        // The note went back with the rows; rows that were removed are there again.
        self.noted = self.noted.map(|_| self.observed.now);
        self.unswept = Some(Vec::new());
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>, timestamp: i64, _: &[u8]) -> Result<()> {
        if timestamp < 0 {
            return Err(Error::fatal(format_args!(
                "a record of the changelog of `{}` has no time",
                self.rows.name
            )));
        }
        if timestamp < self.history_start() {
            return Ok(());
        }
        self.observed.resume(self.observed.now.max(timestamp));
        self.value_bytes.clear();
        self.value_bytes.push(if value.is_some() { PRESENT } else { DELETED });
        self.value_bytes.extend_from_slice(value.unwrap_or_default());
        self.unswept = Some(Vec::new());
        if self.noted.is_some_and(|noted| noted != self.observed.now) {
            self.noted = Some(self.observed.now);
            let note = self.observed.now.to_be_bytes();
            self.rows.restore(NOTE, Some(Row::new(&note, self.observed.now)))?;
        }
        self.rows.restore(&row_key(key, timestamp), Some(Row::new(&self.value_bytes, timestamp)))
    }
}

#[cfg(test)]
mod tests {
    use anabranch_state_store::{Checkpoint, MemoryEngine};

    use super::*;
    use crate::serdes::text;
    use crate::state::check::{Logged, Random, Tested};

    type Versions = Tested<VersionedState<String, String>>;

    const HISTORY_MS: i64 = 100;

    fn supplier() -> StoreSupplier {
        VersionedState::<String, String>::supplier(Arc::new(text()), Arc::new(text()), HISTORY_MS)
    }

    impl Versions {
        fn put(&mut self, key: &str, value: Option<&str>, timestamp: i64) -> VersionPut {
            let value = value.map(str::to_owned);
            self.at(timestamp, |store, write| store.put(&key.to_string(), value.as_ref(), timestamp, write))
        }

        fn as_of(&mut self, key: &str, timestamp: i64) -> Option<(String, i64, Option<i64>)> {
            let found = self.store.get_as_of(&key.to_string(), timestamp).unwrap();
            found.map(|version| (version.value, version.valid_from, version.valid_to))
        }

        fn latest(&mut self, key: &str) -> Option<(String, i64)> {
            let found = self.store.get(&key.to_string()).unwrap();
            found.map(|version| (version.value, version.valid_from))
        }

        fn rows(&mut self) -> usize {
            let mut rows = 0;
            let count = |_: &[u8], _: Row<'_>| {
                rows += 1;
                ControlFlow::Continue(())
            };
            self.store.rows.scan(&KeyRange::all(), Order::Forward, count).unwrap();
            rows
        }
    }

    fn version(value: &str, from: i64, to: Option<i64>) -> Option<(String, i64, Option<i64>)> {
        Some((value.to_string(), from, to))
    }

    #[test]
    fn versions_are_valid_until_the_next() {
        let mut store = Versions::new(&supplier());
        assert_eq!(store.put("a", Some("x"), 10), VersionPut::Latest);
        assert_eq!(store.put("a", Some("z"), 30), VersionPut::Latest);
        assert_eq!(store.put("a", Some("y"), 20), VersionPut::Until(30));
        assert_eq!(store.put("a", None, 25), VersionPut::Until(30));
        assert_eq!(store.put("a\0\0\0\0\0\0\0\x14", Some("another key"), 22), VersionPut::Latest);
        for (at, expected) in [
            (9, None),
            (10, version("x", 10, Some(20))),
            (24, version("y", 20, Some(25))),
            (25, None),
            (30, version("z", 30, None)),
            (i64::MAX, version("z", 30, None)),
            (-1, None),
        ] {
            assert_eq!(store.as_of("a", at), expected, "as of {at}");
        }
        // A version of the same time is replaced; a deletion may be the latest, too.
        assert_eq!(store.put("a", None, 30), VersionPut::Latest);
        assert_eq!((store.latest("a"), store.as_of("a", 29)), (None, None));
        assert_eq!(store.put("a", Some("w"), 28), VersionPut::Until(30));
        let was = store.at(29, |store, write| store.delete(&"a".to_string(), 29, write));
        assert_eq!(was, Some(Version { value: "w".to_string(), valid_from: 28, valid_to: Some(30) }));
        assert_eq!(store.as_of("a", 29), None);
    }

    #[test]
    fn before_the_history_only_the_latest_is_known() {
        let mut store = Versions::new(&supplier());
        store.put("a", Some("x"), 10);
        store.put("b", Some("old"), 10);
        store.put("b", Some("new"), 120);
        store.commit();
        assert_eq!(store.put("b", Some("mid"), 19), VersionPut::TooOld);
        assert_eq!(store.as_of("a", 15), version("x", 10, None));
        assert_eq!(store.as_of("b", 15), None);
        assert_eq!(store.as_of("b", 20), version("old", 10, Some(120)));
        // What is not kept is logged, as in Kafka Streams.
        let logged =
            Logged { key: b"b".to_vec(), value: Some(b"mid".to_vec()), timestamp: Some(19), headers: vec![] };
        assert_eq!(store.log().last(), Some(&logged));
    }

    #[test]
    fn what_nobody_can_read_is_removed_at_a_commit() {
        let mut store = Versions::new(&supplier());
        for time in 0..50 {
            store.put("a", Some("x"), time * 10);
            store.put("b", (time % 2 == 0).then_some("y"), time * 10);
            store.commit();
        }
        // The history holds ten versions of each, and the place in the queue a few more.
        assert!((20..=26).contains(&store.rows()), "{} rows", store.rows());
        store.put("c", Some("z"), 10_000);
        store.commit();
        // Only latest values that are there.
        assert_eq!(store.rows(), 2);
        assert_eq!(store.latest("a"), Some(("x".to_string(), 490)));
        assert_eq!(store.latest("b"), None);
    }

    /// Against a map of all versions, which forgets nothing.
    #[test]
    fn a_store_that_is_aborted_and_restored_is_like_one_that_is_not() {
        for (seed, on_disk) in (1..13).map(|seed| (seed, seed % 3 > 0)) {
            check_against_model(seed, on_disk);
        }
    }

    fn check_against_model(seed: u64, on_disk: bool) {
        let mut random = Random(seed);
        let engine = MemoryEngine::new();
        let open = |log: &[Logged]| match on_disk {
            true => Versions::kept(&supplier(), &engine, log),
            false => Versions::restored(&supplier(), log),
        };
        let mut store = open(&[]);
        let mut model: BTreeMap<(String, i64), Option<String>> = BTreeMap::new();
        let (mut observed, mut committed) = (-1, (-1, model.clone(), 0));
        for step in 0..300 {
            let key = ["a", "aa", "a\0"][random.below(3) as usize];
            let timestamp = (step + 60 - random.below(110)).max(0);
            match random.below(14) {
                0 => {
                    store.seal();
                    committed = (observed, model.clone(), store.log().len());
                    let offset = committed.2 as i64 - 1;
                    store.store.acknowledged(Checkpoint { offset, wall_clock_ms: 0 });
                    store.store.commit().unwrap();
                }
                1 => {
                    store.store.abort();
                    store.forget(committed.2);
                    (observed, model) = (committed.0, committed.1.clone());
                }
                2 => {
                    let log: Vec<Logged> = store.log()[..committed.2].to_vec();
                    drop(store);
                    engine.crash(random.below(engine.unsynced_batches() as i64 + 1) as usize);
                    store = open(&log);
                    store.catch_up(&log, &mut random);
                    (observed, model) = (committed.0, committed.1.clone());
                }
                3 => _ = store.store.write_behind().unwrap(),
                4 => {
                    store.store.write_behind().unwrap();
                    store.store.evict(random.below(10_000) as usize).unwrap();
                }
                _ => {
                    let value = (random.below(4) > 0).then(|| step.to_string());
                    let put = store.put(key, value.as_deref(), timestamp);
                    if timestamp < observed - HISTORY_MS {
                        assert_eq!(put, VersionPut::TooOld, "seed {seed}, step {step}");
                    } else {
                        observed = observed.max(timestamp);
                        model.insert((key.to_string(), timestamp), value);
                    }
                }
            }
            let versions = model.iter().filter(|((known, _), _)| known == key);
            let versions: Vec<_> = versions.map(|((_, from), value)| (*from, value.clone())).collect();
            for at in (observed - HISTORY_MS).max(0)..=observed.max(0) {
                let place = versions.partition_point(|(from, _)| *from <= at);
                let expected = place.checked_sub(1).and_then(|place| {
                    let (from, value) = &versions[place];
                    Some((value.clone()?, *from, versions.get(place + 1).map(|(next, _)| *next)))
                });
                assert_eq!(store.as_of(key, at), expected, "seed {seed}, step {step}: {key:?} as of {at}");
            }
        }
    }
}
