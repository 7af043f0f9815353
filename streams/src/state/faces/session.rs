//! A session store as processors and tests see it.

use std::ops::RangeBounds;

use anabranch_state_store::Order;

use super::time_range::first_and_last;
use super::{Entries, StoreAccess};
use crate::data::Data;
use crate::error::Result;
use crate::state::{SessionState, WriteContext};
use crate::window::{SessionWindow, Windowed};

/// A session store, in a processor: one value for a key and a session.
///
/// What ended before its retention, measured from the latest end that was written, is not seen. Sessions of a key come by
/// their end, then by their start. A store on disk gives those of several keys by segment of the end (half the
/// retention, a minute at least), then by key; one in memory by end, then by key, as Kafka Streams does.
///
/// ```
/// use anabranch::prelude::*;
///
/// const VISITS: Store<Sessions<String, String>> = Store::named("visits").retention(hours(1));
///
/// struct VisitTime(StoreRef<Sessions<String, String>>);
///
/// impl FixedKeyProcessor for VisitTime {
///     type Key = String;
///     type ValueIn = String;
///     type ValueOut = i64;
///
///     fn process(
///         &mut self,
///         record: FixedKeyRecord<String, String>,
///         ctx: &mut FixedKeyContext<'_, Self>,
///     ) -> Result<()> {
///         // The visit that was under way in the last minute goes on; otherwise one begins.
///         let mut window = SessionWindow { start_ms: record.timestamp, end_ms: record.timestamp };
///         let mut visits = ctx.store(self.0);
///         for (earlier, _) in visits.find_sessions(record.key(), record.timestamp - 60_000..=record.timestamp)? {
///             window.start_ms = window.start_ms.min(earlier.window.start_ms);
///             visits.remove(&earlier)?;
///         }
///         visits.put(&Windowed { key: record.key().clone(), window }, &record.value)?;
///         ctx.forward(record.with_value(window.end_ms - window.start_ms));
///         Ok(())
///     }
/// }
///
/// const IN: Topic<String, String> = Topic::new("in");
/// const OUT: Topic<String, i64> = Topic::new("out");
/// let builder = StreamsBuilder::new();
/// let visits = |ctx: &mut FixedKeyInitContext<'_, VisitTime>| VisitTime(ctx.store(VISITS));
/// builder.stream(IN).process_values(visits).to(OUT);
///
/// let driver = TestDriver::new(&builder.build()?)?;
/// for time in [0, 30_000, 80_000, 300_000] {
///     driver.input(IN).pipe_at(time, "a", "/home");
/// }
/// let lengths_ms: Vec<_> = driver.output(OUT).read_all().into_iter().map(|record| record.value).collect();
/// assert_eq!(lengths_ms, [0, 30_000, 80_000, 0]);
/// # Ok::<(), anabranch::Error>(())
/// ```
pub struct SessionStore<'a, K, V> {
    state: &'a mut SessionState<K, V>,
    write: WriteContext<'a>,
}

impl<'a, K: Data, V: Data> SessionStore<'a, K, V> {
    pub(crate) fn of(access: StoreAccess<'a>) -> Result<Self> {
        let (state, write) = access.typed()?;
        Ok(SessionStore { state, write })
    }

    /// Writes the value of a session; `None` deletes. A session that is older than the store keeps is left out.
    ///
    /// # Errors
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a value cannot be serialised or deserialised,
    /// or a row is larger than `max.request.size`,
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) if what is on disk is damaged,
    /// [`Fatal`](crate::error::ErrorKind::Fatal) if the disk fails.
    pub fn put<'v>(
        &mut self,
        session: &Windowed<K, SessionWindow>,
        value: impl Into<Option<&'v V>>,
    ) -> Result<()> {
        self.state.put(&session.key, session.window, value.into(), &mut self.write).map(drop)
    }

    /// Deletes a session.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`SessionStore::put`].
    pub fn remove(&mut self, session: &Windowed<K, SessionWindow>) -> Result<()> {
        self.put(session, None::<&V>)
    }

    /// The sessions of a key that overlap a range of time, ends included: those that end at its start or later and start
    /// at its end or earlier.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`SessionStore::put`].
    pub fn find_sessions(
        &mut self,
        key: &K,
        times: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.of_key(key, &times, Order::Forward)
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`SessionStore::put`].
    pub fn backward_find_sessions(
        &mut self,
        key: &K,
        times: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.of_key(key, &times, Order::Reverse)
    }

    /// All sessions of a key.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`SessionStore::put`].
    pub fn fetch(&mut self, key: &K) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.of_key(key, &.., Order::Forward)
    }

    /// All sessions of a key, in the opposite order.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`SessionStore::put`].
    pub fn backward_fetch(&mut self, key: &K) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.of_key(key, &.., Order::Reverse)
    }

    /// All sessions of a range of keys.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`SessionStore::put`].
    pub fn fetch_keys(
        &mut self,
        keys: impl RangeBounds<K>,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.of_keys(&keys, &.., Order::Forward)
    }

    /// All sessions of a range of keys, in the opposite order.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`SessionStore::put`].
    pub fn backward_fetch_keys(
        &mut self,
        keys: impl RangeBounds<K>,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.of_keys(&keys, &.., Order::Reverse)
    }

    /// The sessions of a range of keys that overlap a range of time, as [`find_sessions`](Self::find_sessions) has it.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`SessionStore::put`].
    pub fn find_sessions_of_keys(
        &mut self,
        keys: impl RangeBounds<K>,
        times: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.of_keys(&keys, &times, Order::Forward)
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`SessionStore::put`].
    pub fn backward_find_sessions_of_keys(
        &mut self,
        keys: impl RangeBounds<K>,
        times: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.of_keys(&keys, &times, Order::Reverse)
    }

    /// The value of the session of a key from `start_ms` to `end_ms`.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`SessionStore::put`].
    pub fn fetch_session(&mut self, key: &K, start_ms: i64, end_ms: i64) -> Result<Option<V>> {
        if end_ms < self.state.retained_from()? {
            return Ok(None);
        }
        self.state.fetch(key, SessionWindow { start_ms, end_ms })
    }

    fn of_key(
        &mut self,
        key: &K,
        times: &impl RangeBounds<i64>,
        order: Order,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        let (earliest_end, latest_start) = first_and_last(times);
        let earliest_end = earliest_end.max(self.state.retained_from()?);
        let found = self.state.find(key, earliest_end, latest_start, order)?;
        let windowed =
            found.into_iter().map(|(window, value)| (Windowed { key: key.clone(), window }, value));
        Ok(Entries::of(windowed.collect()))
    }

    fn of_keys(
        &mut self,
        keys: &impl RangeBounds<K>,
        times: &impl RangeBounds<i64>,
        order: Order,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        let (earliest_end, latest_start) = first_and_last(times);
        let earliest_end = earliest_end.max(self.state.retained_from()?);
        self.state.find_keys(keys, (earliest_end, latest_start), order).map(Entries::of)
    }
}
