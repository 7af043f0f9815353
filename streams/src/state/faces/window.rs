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
///
/// ```
/// use anabranch::prelude::*;
///
/// // Windows of a minute, kept for an hour.
/// const SEEN: Store<Windows<String, String>> = Store::named("seen").window(minutes(1)).retention(hours(1));
///
/// struct Repeats(StoreRef<Windows<String, String>>);
///
/// impl FixedKeyProcessor for Repeats {
///     type Key = String;
///     type ValueIn = String;
///     type ValueOut = i64;
///
///     fn process(
///         &mut self,
///         record: FixedKeyRecord<String, String>,
///         ctx: &mut FixedKeyContext<'_, Self>,
///     ) -> Result<()> {
///         // How often has the key been seen in the last ten minutes, ends included?
///         let time = record.timestamp;
///         let mut seen = ctx.store(self.0);
///         seen.put(record.key(), &record.value, time)?;
///         let times = seen.fetch_range(record.key(), time - 600_000..=time)?.count();
///         ctx.forward(record.with_value(times as i64));
///         Ok(())
///     }
/// }
///
/// const IN: Topic<String, String> = Topic::new("in");
/// const OUT: Topic<String, i64> = Topic::new("out");
/// let builder = StreamsBuilder::new();
/// let repeats = |ctx: &mut FixedKeyInitContext<'_, Repeats>| Repeats(ctx.store(SEEN));
/// builder.stream(IN).process_values(repeats).to(OUT);
///
/// let driver = TestDriver::new(&builder.build()?)?;
/// for time in [0, 300_000, 700_000] {
///     driver.input(IN).pipe_at(time, "a", "x");
/// }
/// let times: Vec<_> = driver.output(OUT).read_all().into_iter().map(|record| record.value).collect();
/// assert_eq!(times, [1, 2, 2]);
/// # Ok::<(), anabranch::Error>(())
/// ```
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
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a value cannot be serialised or deserialised,
    /// or a row is larger than `max.request.size`,
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) if what is on disk is damaged,
    /// [`Fatal`](crate::error::ErrorKind::Fatal) if the disk fails.
    pub fn put<'v>(&mut self, key: &K, value: impl Into<Option<&'v V>>, start_ms: i64) -> Result<()> {
        let timestamp = self.write.timestamp;
        let value = value.into().map(|value| (value, timestamp));
        self.state.put(key, start_ms, value, &mut self.write).map(drop)
    }

    /// The value of a key in the window that starts at `start_ms`.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`WindowStore::put`].
    pub fn fetch(&mut self, key: &K, start_ms: i64) -> Result<Option<V>> {
        if start_ms < self.state.retained_from()? {
            return Ok(None);
        }
        Ok(self.state.fetch(key, start_ms)?.map(|(value, _)| value))
    }

    /// The values of a key in windows that start in a range of time, with their starts, the earliest first.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`WindowStore::put`].
    pub fn fetch_range(&mut self, key: &K, starts: impl RangeBounds<i64>) -> Result<Entries<(i64, V)>> {
        self.of_key(key, &starts, Order::Forward)
    }

    /// The same, the latest first.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`WindowStore::put`].
    pub fn backward_fetch_range(
        &mut self,
        key: &K,
        starts: impl RangeBounds<i64>,
    ) -> Result<Entries<(i64, V)>> {
        self.of_key(key, &starts, Order::Reverse)
    }

    /// The values of a range of keys in windows that start in a range of time.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`WindowStore::put`].
    pub fn fetch_keys(
        &mut self,
        keys: impl RangeBounds<K>,
        starts: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K>, V)>> {
        self.of_keys(&keys, &starts, Order::Forward)
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`WindowStore::put`].
    pub fn backward_fetch_keys(
        &mut self,
        keys: impl RangeBounds<K>,
        starts: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K>, V)>> {
        self.of_keys(&keys, &starts, Order::Reverse)
    }

    /// The values of all keys in windows that start in a range of time.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`WindowStore::put`].
    pub fn fetch_all(&mut self, starts: impl RangeBounds<i64>) -> Result<Entries<(Windowed<K>, V)>> {
        self.of_keys(&.., &starts, Order::Forward)
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`WindowStore::put`].
    pub fn backward_fetch_all(&mut self, starts: impl RangeBounds<i64>) -> Result<Entries<(Windowed<K>, V)>> {
        self.of_keys(&.., &starts, Order::Reverse)
    }

    /// All values.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`WindowStore::put`].
    pub fn all(&mut self) -> Result<Entries<(Windowed<K>, V)>> {
        self.fetch_all(..)
    }

    /// All values, in the opposite order.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`WindowStore::put`].
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
