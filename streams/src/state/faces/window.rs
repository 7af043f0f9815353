//! A window store as processors and tests see it.

use std::ops::RangeBounds;

use anabranch_state_store::Order;

use super::time_range::first_and_last;
use super::{Entries, StoreAccess};
use crate::data::Data;
use crate::error::Result;
use crate::state::{WindowState, WriteContext};
use crate::window::{TimeWindow, Window, Windowed};

/// A window store, in a processor: one value for a key and the start of a window.
///
/// What is older than its retention, measured from the latest start that was written, is not seen; ranges of time are
/// ranges of starts. A store on disk gives the rows of several keys by segment (half the retention, a minute at least),
/// then by key; one in memory by time, then by key, as Kafka Streams does.
pub struct WindowStore<'a, K, V> {
    state: &'a mut WindowState<K, V>,
    write: WriteContext<'a>,
}

impl<'a, K: Data, V: Data> WindowStore<'a, K, V> {
    pub(crate) fn of(access: StoreAccess<'a>) -> Result<Self> {
        let (state, write) = access.typed()?;
        Ok(WindowStore { state, write })
    }

    /// Writes the value of a key in the window that starts at `start_ms`; `None` deletes. A window that is older than
    /// the store keeps is left out.
    ///
    /// # Errors
    /// If the store cannot be read or written; so have all its methods.
    pub fn put<'v>(&mut self, key: &K, value: impl Into<Option<&'v V>>, start_ms: i64) -> Result<()> {
        let timestamp = self.write.timestamp;
        let value = value.into().map(|value| (value, timestamp));
        self.state.put(key, start_ms, value, &mut self.write).map(drop)
    }

    /// The value of a key in the window that starts at `start_ms`.
    pub fn fetch(&mut self, key: &K, start_ms: i64) -> Result<Option<V>> {
        if start_ms < self.state.retained_from()? {
            return Ok(None);
        }
        Ok(self.state.fetch(key, start_ms)?.map(|(value, _)| value))
    }

    /// The values of a key in windows that start in a range of time, with their starts, the earliest first.
    pub fn fetch_range(&mut self, key: &K, starts: impl RangeBounds<i64>) -> Result<Entries<(i64, V)>> {
        self.of_key(key, &starts, Order::Forward)
    }

    /// The same, the latest first.
    pub fn backward_fetch_range(
        &mut self,
        key: &K,
        starts: impl RangeBounds<i64>,
    ) -> Result<Entries<(i64, V)>> {
        self.of_key(key, &starts, Order::Reverse)
    }

    /// The values of a range of keys in windows that start in a range of time.
    pub fn fetch_keys(
        &mut self,
        keys: impl RangeBounds<K>,
        starts: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K>, V)>> {
        self.of_keys(&keys, &starts, Order::Forward)
    }

    /// The same, in the opposite order.
    pub fn backward_fetch_keys(
        &mut self,
        keys: impl RangeBounds<K>,
        starts: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K>, V)>> {
        self.of_keys(&keys, &starts, Order::Reverse)
    }

    /// The values of all keys in windows that start in a range of time.
    pub fn fetch_all(&mut self, starts: impl RangeBounds<i64>) -> Result<Entries<(Windowed<K>, V)>> {
        self.of_keys(&.., &starts, Order::Forward)
    }

    /// The same, in the opposite order.
    pub fn backward_fetch_all(&mut self, starts: impl RangeBounds<i64>) -> Result<Entries<(Windowed<K>, V)>> {
        self.of_keys(&.., &starts, Order::Reverse)
    }

    /// All values.
    pub fn all(&mut self) -> Result<Entries<(Windowed<K>, V)>> {
        self.fetch_all(..)
    }

    /// All values, in the opposite order.
    pub fn backward_all(&mut self) -> Result<Entries<(Windowed<K>, V)>> {
        self.backward_fetch_all(..)
    }

    fn of_key(&mut self, key: &K, starts: &impl RangeBounds<i64>, order: Order) -> Result<Entries<(i64, V)>> {
        let (from, to) = self.visible(starts)?;
        let rows = self.state.fetch_range(key, from, to, order)?;
        Ok(Entries::of(rows.into_iter().map(|row| (row.start, row.value)).collect()))
    }

    fn of_keys(
        &mut self,
        keys: &impl RangeBounds<K>,
        starts: &impl RangeBounds<i64>,
        order: Order,
    ) -> Result<Entries<(Windowed<K>, V)>> {
        let (size_ms, visible) = (self.state.size_ms(), self.visible(starts)?);
        let rows = self.state.fetch_keys(keys, visible, order)?;
        let windowed = rows.into_iter().map(|(key, row)| {
            let window = TimeWindow::between(row.start, row.start.saturating_add(size_ms));
            (Windowed { key, window }, row.value)
        });
        Ok(Entries::of(windowed.collect()))
    }

    fn visible(&mut self, starts: &impl RangeBounds<i64>) -> Result<(i64, i64)> {
        let (from, to) = first_and_last(starts);
        Ok((from.max(self.state.retained_from()?), to))
    }
}
