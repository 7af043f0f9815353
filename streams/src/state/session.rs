//! One value for a key and a session, in Kafka Streams' key layout: the key, the session's end, its start.

use std::ops::{ControlFlow, RangeBounds};
use std::sync::Arc;

use anabranch_state_store::{Emission, Order, Row};

use super::composite::{composite_bounds, key_range, timed_bounds, within};
use super::rows::{Rows, commit_as_rows, leave_to_rows, restore_at_once};
use super::typed::{Timestamped, Typed};
use super::{FrozenRows, KeyBounds, ResultState, StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::error::Result;
use crate::serdes::Serde;
use crate::window::{SessionWindow, Windowed};

/// The start stands behind the end, which stands behind the key.
const START_BYTES: usize = 8;
const SUFFIX_BYTES: usize = 8 + START_BYTES;

/// How a session store keeps its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionSettings {
    pub(crate) retention_ms: i64,
    /// Whether operators do not find what is older than the retention, as in Kafka Streams' stores without a cache.
    pub(crate) hides: bool,
    /// Kafka Streams keeps such a store by time, then by key; one on disk by segment, then by key.
    pub(crate) in_memory: bool,
}

/// A session store of a task.
pub(crate) struct SessionState<K, V> {
    typed: Typed<K, V>,
    settings: SessionSettings,
    /// Sessions that were forgotten since the last flush, which tells nobody.
    forgotten: Vec<Vec<u8>>,
}

impl<K: 'static, V: 'static> SessionState<K, V> {
    /// Makes such stores.
    pub(crate) fn supplier(
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
        settings: SessionSettings,
    ) -> StoreSupplier {
        StoreSupplier::with_serdes((key, value), move |init: &StoreInit, (key, value)| {
            let rows = Rows::timed(init, settings.retention_ms, START_BYTES)?;
            let typed = Typed::of(rows, init, key, value);
            Ok(SessionState { typed, settings, forgotten: Vec::new() })
        })
    }

    /// Writes a session's value, or deletes it. Sessions keep no time of their own: it is their end. False if the
    /// session is older than the store keeps.
    pub(crate) fn put(
        &mut self,
        key: &K,
        window: SessionWindow,
        value: Option<&V>,
        write: &mut WriteContext<'_>,
    ) -> Result<bool> {
        if !self.typed.rows.expiry()?.admits(window.end_ms) {
            return Ok(false);
        }
        self.write_key(key, window)?;
        // The changelog gets the time of the record that is being processed.
        let timestamp = write.timestamp;
        self.typed.put(value.map(|value| (value, timestamp)), write)?;
        Ok(true)
    }

    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or earlier, by end.
    pub(crate) fn find(
        &mut self,
        key: &K,
        earliest_end: i64,
        latest_start: i64,
        order: Order,
    ) -> Result<Vec<(SessionWindow, V)>> {
        let mut earliest_end = earliest_end.max(0);
        if self.settings.hides {
            earliest_end = earliest_end.max(self.typed.rows.expiry()?.oldest());
            if latest_start < earliest_end {
                return Ok(Vec::new());
            }
        }
        let mut found = Vec::new();
        self.typed.scan_group(key, (earliest_end, i64::MAX), order, |(end_ms, start_ms), (value, _)| {
            if start_ms <= latest_start {
                found.push((SessionWindow { start_ms, end_ms }, value));
            }
        })?;
        Ok(found)
    }

    /// All sessions that end from `from` to `to`, by end, start and key.
    pub(crate) fn find_all(&mut self, from: i64, to: i64) -> Result<Vec<(Windowed<K, SessionWindow>, V)>> {
        let mut rows: Vec<(SessionWindow, Vec<u8>, Vec<u8>, i64)> = Vec::new();
        self.typed.rows.scan_segments(from, to, |bytes, row| {
            let window = window_of(bytes);
            if (from..=to).contains(&window.end_ms) {
                rows.push((window, key_of(bytes).to_vec(), row.value.to_vec(), row.timestamp));
            }
        })?;
        rows.sort_by(|a, b| (a.0.end_ms, a.0.start_ms, &a.1).cmp(&(b.0.end_ms, b.0.start_ms, &b.1)));
        let read = |(window, key, value, timestamp): (SessionWindow, Vec<u8>, Vec<u8>, i64)| {
            let (value, _) = self.typed.read_row(Row::new(&value, timestamp))?;
            Ok((Windowed { key: self.typed.read_key(&key)?, window }, value))
        };
        rows.into_iter().map(read).collect()
    }

    /// The sessions of a range of keys that end at `earliest_end` or later and start at `latest_start` or earlier, in
    /// Kafka Streams' order.
    pub(crate) fn find_keys(
        &mut self,
        keys: &impl RangeBounds<K>,
        (earliest_end, latest_start): (i64, i64),
        order: Order,
    ) -> Result<Vec<(Windowed<K, SessionWindow>, V)>> {
        let bounds = self.typed.bounds(keys)?;
        let mut rows: Vec<(Vec<u8>, Vec<u8>, i64)> = Vec::new();
        let range = composite_bounds(&bounds, &i64::MAX.to_be_bytes());
        self.typed.rows.scan(&key_range(&range), Order::Forward, |bytes, row| {
            let window = window_of(bytes);
            if window.end_ms >= earliest_end
                && window.start_ms <= latest_start
                && within(&bounds, key_of(bytes))
            {
                rows.push((bytes.to_vec(), row.value.to_vec(), row.timestamp));
            }
            ControlFlow::Continue(())
        })?;
        let segment_ms = self.typed.rows.expiry()?.segment_ms();
        match self.settings.in_memory {
            true => rows.sort_by(|(a, ..), (b, ..)| (window_of(a).end_ms, a).cmp(&(window_of(b).end_ms, b))),
            false => rows.sort_by_key(|(bytes, ..)| window_of(bytes).end_ms / segment_ms),
        }
        if order == Order::Reverse {
            rows.reverse();
        }
        let read = |(bytes, value, timestamp): (Vec<u8>, Vec<u8>, i64)| {
            let (value, _) = self.typed.read_row(Row::new(&value, timestamp))?;
            Ok((Windowed { key: self.typed.read_key(key_of(&bytes))?, window: window_of(&bytes) }, value))
        };
        rows.into_iter().map(read).collect()
    }

    /// The serialised value of a session of a serialised key, if the retention covers it, as of the last commit.
    pub(crate) fn committed_session(
        &mut self,
        key: &[u8],
        session: SessionWindow,
    ) -> Result<Option<Vec<u8>>> {
        if session.end_ms < self.typed.rows.expiry()?.committed_oldest().max(0) {
            return Ok(None);
        }
        self.typed.rows.committed_row(&row_key(key, session))
    }

    /// The rows of a range of serialised keys, and of some more, whose sessions end at `earliest_end` or later and are covered
    /// by the retention: as of the last commit, for a reader elsewhere. By segment, then by key.
    pub(crate) fn freeze(&mut self, keys: &KeyBounds, earliest_end: i64, order: Order) -> Result<FrozenRows> {
        let earliest_end = earliest_end.max(self.typed.rows.expiry()?.committed_oldest()).max(0);
        let times = (earliest_end, i64::MAX);
        self.typed.rows.freeze_times(&timed_bounds(keys, times), times, order)
    }

    /// The earliest end that the retention covers: who is no operator sees no older session.
    pub(crate) fn retained_from(&mut self) -> Result<i64> {
        Ok(self.typed.rows.expiry()?.oldest().max(0))
    }

    /// The value of a session.
    pub(crate) fn fetch(&mut self, key: &K, window: SessionWindow) -> Result<Option<V>> {
        self.write_key(key, window)?;
        Ok(self.typed.get()?.map(|(value, _)| value))
    }

    /// The first time that its node has a record: what comes next is of a stream that has got to `time`.
    pub(crate) fn resume_at(&mut self, time: i64) -> Result<()> {
        self.typed.rows.expiry()?.resume_at(time);
        Ok(())
    }

    /// Keeps sessions that end at `end` or later, whatever the retention says: they are still to be emitted.
    pub(crate) fn need_from(&mut self, end: i64) -> Result<()> {
        self.typed.rows.expiry()?.need_from(end);
        Ok(())
    }

    /// Whether a session of this end is older than the retention. If it is merged into another, nobody is told that it
    /// is gone: readers of the changelog and of the result have forgotten it.
    pub(crate) fn has_expired(&mut self, end: i64) -> Result<bool> {
        Ok(end < self.typed.rows.expiry()?.oldest())
    }

    /// Removes a session of which nobody is told that it is gone.
    pub(crate) fn forget(&mut self, key: &K, window: SessionWindow) -> Result<()> {
        self.write_key(key, window)?;
        if self.typed.rows.cached {
            self.forgotten.push(self.typed.key_bytes.clone());
        }
        self.typed.rows.remove_silently(&self.typed.key_bytes)
    }

    fn write_key(&mut self, key: &K, window: SessionWindow) -> Result<()> {
        self.typed.write_key(key)?;
        self.typed.key_bytes.extend_from_slice(&window.end_ms.to_be_bytes());
        self.typed.key_bytes.extend_from_slice(&window.start_ms.to_be_bytes());
        Ok(())
    }
}

/// Key and session of a row, by the row's key.
pub(crate) fn session_of_row(bytes: &[u8]) -> (&[u8], SessionWindow) {
    (key_of(bytes), window_of(bytes))
}

fn row_key(key: &[u8], session: SessionWindow) -> Vec<u8> {
    [key, &session.end_ms.to_be_bytes(), &session.start_ms.to_be_bytes()].concat()
}

fn window_of(key: &[u8]) -> SessionWindow {
    let number = |bytes: Option<&[u8; 8]>| bytes.map_or(-1, |bytes| i64::from_be_bytes(*bytes));
    let suffix = key.last_chunk::<SUFFIX_BYTES>();
    let end_ms = number(suffix.and_then(|suffix| suffix.first_chunk()));
    SessionWindow { start_ms: number(suffix.and_then(|suffix| suffix.last_chunk())), end_ms }
}

fn key_of(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().saturating_sub(SUFFIX_BYTES)]
}

impl<K: 'static, V: 'static> ResultState<Windowed<K, SessionWindow>> for SessionState<K, V> {
    type Value = V;

    fn is_cached(&self) -> bool {
        self.typed.rows.cached
    }

    fn pending_writes(&self) -> usize {
        self.typed.rows.pending_writes()
    }

    fn take_pending(&mut self, writes: usize) -> bool {
        while self.typed.rows.take_pending(writes) {
            let untold = |gone: Emission<'_>| self.forgotten.iter().any(|key| key == gone.key);
            if !self.taken().filter(|taken| taken.new.is_none()).is_some_and(untold) {
                return true;
            }
        }
        self.forgotten.clear();
        false
    }

    fn taken(&self) -> Option<Emission<'_>> {
        self.typed.rows.taken()
    }

    fn log_emission(&self, emission: &Emission<'_>, write: &mut WriteContext<'_>) -> Result<()> {
        self.typed.rows.log_emission(emission, write)
    }

    fn read_key(&self, bytes: &[u8], slot: &mut Option<Windowed<K, SessionWindow>>) -> Result<()> {
        self.typed.read_windowed_key_into(key_of(bytes), window_of(bytes), slot)
    }

    fn emission_time(&self, emission: &Emission<'_>) -> i64 {
        window_of(emission.key).end_ms
    }

    fn read_row(&self, row: Row<'_>) -> Result<Timestamped<V>> {
        self.typed.read_row(row)
    }
}

impl<K: 'static, V: 'static> TaskStore for SessionState<K, V> {
    leave_to_rows!(typed.rows);
    restore_at_once!(typed.rows);
    commit_as_rows!(typed.rows);

    fn abort(&mut self) {
        self.forgotten.clear();
        self.typed.rows.abort();
    }
}
