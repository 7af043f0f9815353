//! One value for a key and a window, in Kafka Streams' key layout: the key, the window's start, a sequence number.
//!
//! Rows are kept as long as the retention says, a segment longer at most. Operators see them until they are removed: a
//! record within grace, or a final result that is still to come, may need them. (Sliding windows and sessions whose
//! results come when they close are the exception: there Kafka Streams, which is followed, hides what is older than the
//! retention.)

use std::ops::{ControlFlow, RangeBounds};
use std::sync::Arc;

use anabranch_state_store::{Emission, Order, Row};

use super::composite::{composite_bounds, key_range, timed_bounds, within};
use super::rows::{Rows, commit_as_rows, leave_to_rows, restore_at_once};
use super::typed::{Timestamped, Typed, Updated};
use super::{FrozenRows, KeyBounds, ResultState, StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::error::Result;
use crate::serdes::Serde;
use crate::window::{Window, Windowed};

/// A sequence number stands behind the start, which stands behind the key.
const NUMBER_BYTES: usize = 4;
const SUFFIX_BYTES: usize = 8 + NUMBER_BYTES;

/// How a window store keeps its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowSettings {
    /// How long a window is, for the keys that are emitted.
    pub(crate) size_ms: i64,
    pub(crate) retention_ms: i64,
    /// Whether operators do not see what is older than the retention, as in Kafka Streams' stores without a cache.
    pub(crate) hides: bool,
    /// Kafka Streams keeps such a store by time, then by key; one on disk by segment, then by key.
    pub(crate) in_memory: bool,
}

/// A window store of a task.
pub(crate) struct WindowState<K, V> {
    typed: Typed<K, V>,
    settings: WindowSettings,
}

/// A row of a key.
pub(crate) struct WindowRow<V> {
    pub(crate) start: i64,
    pub(crate) value: V,
    pub(crate) timestamp: i64,
}

impl<K: 'static, V: 'static> WindowState<K, V> {
    /// Makes such stores.
    pub(crate) fn supplier(
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
        settings: WindowSettings,
    ) -> StoreSupplier {
        StoreSupplier::with_serdes((key, value), move |init: &StoreInit, (key, value)| {
            let rows = Rows::timed(init, settings.retention_ms, NUMBER_BYTES)?;
            Ok(WindowState { typed: Typed::of(rows, init, key, value), settings })
        })
    }

    fn write_key(&mut self, key: &K, start: i64) -> Result<()> {
        self.typed.write_key(key)?;
        self.typed.key_bytes.extend_from_slice(&start.to_be_bytes());
        self.typed.key_bytes.extend_from_slice(&0u32.to_be_bytes());
        Ok(())
    }

    /// The value of a key in the window that starts at `start`.
    pub(crate) fn fetch(&mut self, key: &K, start: i64) -> Result<Option<Timestamped<V>>> {
        self.write_key(key, start)?;
        self.typed.get()
    }

    /// Writes a value with its time, or deletes it. False if the window is older than the store keeps.
    pub(crate) fn put(
        &mut self,
        key: &K,
        start: i64,
        value: Option<(&V, i64)>,
        write: &mut WriteContext<'_>,
    ) -> Result<bool> {
        if !self.typed.rows.expiry()?.admits(start) {
            return Ok(false);
        }
        self.write_key(key, start)?;
        self.typed.put(value, write)?;
        Ok(true)
    }

    /// Shows the value of a key in a window to `change`, which gives the new one: one probe. `None` if the window is
    /// older than the store keeps.
    pub(crate) fn update(
        &mut self,
        key: &K,
        start: i64,
        write: &mut WriteContext<'_>,
        change: impl FnOnce(Option<Timestamped<V>>) -> Result<Updated<V>>,
    ) -> Result<Option<Updated<V>>> {
        if !self.typed.rows.expiry()?.admits(start) {
            return Ok(None);
        }
        self.write_key(key, start)?;
        self.typed.update(write, change).map(Some)
    }

    fn visible_from(&mut self, from: i64) -> Result<i64> {
        let oldest = if self.settings.hides { self.typed.rows.expiry()?.oldest() } else { 0 };
        Ok(from.max(oldest).max(0))
    }

    /// The windows of a key that start from `from` to `to`.
    pub(crate) fn fetch_range(
        &mut self,
        key: &K,
        from: i64,
        to: i64,
        order: Order,
    ) -> Result<Vec<WindowRow<V>>> {
        let from = self.visible_from(from)?;
        let mut found = Vec::new();
        if to < from {
            return Ok(found);
        }
        self.typed.scan_group(key, (from, to), order, |(start, _), (value, timestamp)| {
            found.push(WindowRow { start, value, timestamp });
        })?;
        Ok(found)
    }

    /// All windows that start from `from` to `to`, by start, then by key.
    pub(crate) fn fetch_all(&mut self, from: i64, to: i64) -> Result<Vec<(K, WindowRow<V>)>> {
        let from = self.visible_from(from)?;
        let mut rows: Vec<(i64, Vec<u8>, Vec<u8>, i64)> = Vec::new();
        self.typed.rows.scan_segments(from, to, |bytes, row| {
            let start = start_of(bytes);
            if (from..=to).contains(&start) {
                rows.push((start, bytes.to_vec(), row.value.to_vec(), row.timestamp));
            }
        })?;
        rows.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        rows.into_iter()
            .map(|(start, key, value, timestamp)| {
                let (value, timestamp) = self.typed.read_row(Row::new(&value, timestamp))?;
                Ok((self.typed.read_key(key_of(&key))?, WindowRow { start, value, timestamp }))
            })
            .collect()
    }

    /// The serialised value of a serialised key in the window that starts at `start`, if the retention covers it, as of the
    /// last commit.
    pub(crate) fn committed_window(&mut self, key: &[u8], start: i64) -> Result<Option<Vec<u8>>> {
        if start < self.typed.rows.expiry()?.committed_oldest().max(0) {
            return Ok(None);
        }
        self.typed.rows.committed_row(&row_key(key, start))
    }

    /// The rows of a range of serialised keys, and of some more, whose windows start from `from` to `to` and are covered by
    /// the retention: as of the last commit, for a reader elsewhere. By segment, then by key.
    pub(crate) fn freeze(
        &mut self,
        keys: &KeyBounds,
        (from, to): (i64, i64),
        order: Order,
    ) -> Result<FrozenRows> {
        let times = (from.max(self.typed.rows.expiry()?.committed_oldest()).max(0), to);
        self.typed.rows.freeze_times(&timed_bounds(keys, times), times, order)
    }

    /// How long a window is.
    pub(crate) fn size_ms(&self) -> i64 {
        self.settings.size_ms
    }

    /// The earliest start that the retention covers: who is no operator sees no older window.
    pub(crate) fn retained_from(&mut self) -> Result<i64> {
        Ok(self.typed.rows.expiry()?.oldest().max(0))
    }

    /// The windows of a range of keys that start from `from` to `to`, in Kafka Streams' order.
    pub(crate) fn fetch_keys(
        &mut self,
        keys: &impl RangeBounds<K>,
        (from, to): (i64, i64),
        order: Order,
    ) -> Result<Vec<(K, WindowRow<V>)>> {
        if to < from {
            return Ok(Vec::new());
        }
        let bounds = self.typed.bounds(keys)?;
        let mut rows: Vec<(Vec<u8>, Vec<u8>, i64)> = Vec::new();
        let range = composite_bounds(&bounds, &to.max(0).to_be_bytes());
        self.typed.rows.scan(&key_range(&range), Order::Forward, |bytes, row| {
            if (from..=to).contains(&start_of(bytes)) && within(&bounds, key_of(bytes)) {
                rows.push((bytes.to_vec(), row.value.to_vec(), row.timestamp));
            }
            ControlFlow::Continue(())
        })?;
        let segment_ms = self.typed.rows.expiry()?.segment_ms();
        match self.settings.in_memory {
            true => rows.sort_by(|(a, ..), (b, ..)| (start_of(a), a).cmp(&(start_of(b), b))),
            false => rows.sort_by_key(|(bytes, ..)| start_of(bytes) / segment_ms),
        }
        if order == Order::Reverse {
            rows.reverse();
        }
        let read = |(bytes, value, timestamp): (Vec<u8>, Vec<u8>, i64)| {
            let (value, timestamp) = self.typed.read_row(Row::new(&value, timestamp))?;
            let row = WindowRow { start: start_of(&bytes), value, timestamp };
            Ok((self.typed.read_key(key_of(&bytes))?, row))
        };
        rows.into_iter().map(read).collect()
    }

    /// The first time that its node has a record: what comes next is of a stream that has got to `time`.
    pub(crate) fn resume_at(&mut self, time: i64) -> Result<()> {
        self.typed.rows.expiry()?.resume_at(time);
        Ok(())
    }

    /// Keeps windows that start at `start` or later, whatever the retention says: they are still to be emitted.
    pub(crate) fn need_from(&mut self, start: i64) -> Result<()> {
        self.typed.rows.expiry()?.need_from(start);
        Ok(())
    }
}

/// Key and start of a row, by the row's key.
pub(crate) fn window_of_row(bytes: &[u8]) -> (&[u8], i64) {
    (key_of(bytes), start_of(bytes))
}

fn row_key(key: &[u8], start: i64) -> Vec<u8> {
    [key, &start.to_be_bytes(), &0u32.to_be_bytes()].concat()
}

fn start_of(key: &[u8]) -> i64 {
    let suffix = key.last_chunk::<SUFFIX_BYTES>().and_then(|suffix| suffix.first_chunk::<8>());
    suffix.map_or(-1, |start| i64::from_be_bytes(*start))
}

fn key_of(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().saturating_sub(SUFFIX_BYTES)]
}

impl<K: 'static, V: 'static, W: Window> ResultState<Windowed<K, W>> for WindowState<K, V> {
    type Value = V;

    fn is_cached(&self) -> bool {
        self.typed.rows.cached
    }

    fn pending_writes(&self) -> usize {
        self.typed.rows.pending_writes()
    }

    fn take_pending(&mut self, writes: usize) -> bool {
        self.typed.rows.take_pending(writes)
    }

    fn taken(&self) -> Option<Emission<'_>> {
        self.typed.rows.taken()
    }

    fn log_emission(&self, emission: &Emission<'_>, write: &mut WriteContext<'_>) -> Result<()> {
        self.typed.rows.log_emission(emission, write)
    }

    fn read_key(&self, bytes: &[u8], slot: &mut Option<Windowed<K, W>>) -> Result<()> {
        let start = start_of(bytes);
        let window = W::between(start, start.saturating_add(self.settings.size_ms));
        self.typed.read_windowed_key_into(key_of(bytes), window, slot)
    }

    fn read_row(&self, row: Row<'_>) -> Result<Timestamped<V>> {
        self.typed.read_row(row)
    }
}

impl<K: 'static, V: 'static> TaskStore for WindowState<K, V> {
    leave_to_rows!(typed.rows);
    restore_at_once!(typed.rows);
    commit_as_rows!(typed.rows);

    fn abort(&mut self) {
        self.typed.rows.abort();
    }
}
