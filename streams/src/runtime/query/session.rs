//! Questions to a session store.

use std::cmp::Ordering;
use std::ops::RangeBounds;
use std::sync::Arc;

use anabranch_state_store::Order;

use super::Scan;
use super::asked::{Asked, only};
use super::iterator::View;
use crate::data::Data;
use crate::error::Result;
use crate::state::{FrozenRows, KeyBounds, SessionState, first_and_last, session_of_row, within};
use crate::window::{SessionWindow, Windowed};

/// Reads a session store of a running application: one value for a key and a session.
///
/// What ended before its retention, measured from the latest end that was written and committed, is not seen. Sessions of a
/// key come by their end, then by their start. Those of several keys do so too in a vector, and by key at last; one by one
/// ([`Scan::iter`]) they come task by task, by segment of the end (half the retention, a minute at least), then by key.
///
/// ```
/// use anabranch::prelude::*;
///
/// const CLICKS: Topic<String, String> = Topic::new("clicks");
/// const COUNTS: Store<Sessions<String, i64>> = Store::named("clicks-per-session");
///
/// # fn main() -> Result<()> {
/// # let (_host, threads) = anabranch_host::Host::real(1).expect("threads");
/// # threads.block_on(async {
/// let builder = StreamsBuilder::new();
/// builder.stream(CLICKS).group_by_key().windowed_by(Session::gap(minutes(30))).count_with(COUNTS);
/// let app = Streams::new("app", builder.build()?).create_topics(1).start().await?;
///
/// app.producer(CLICKS)?.write("ann".to_string(), "/home".to_string()).await?;
/// app.drain().await?;
///
/// let sessions = app.store(COUNTS)?.fetch(&"ann".to_string()).await?;
/// let (session, clicks) = &sessions[0];
/// assert_eq!((session.window.start_ms, *clicks), (session.window.end_ms, 1));
/// app.close().await
/// # })
/// # }
/// ```
pub struct ReadOnlySessionStore<K, V>(pub(super) Asked<K, V>);

impl<K: Data, V: Data> ReadOnlySessionStore<K, V> {
    /// All sessions of a key, as of the last commit.
    ///
    /// # Errors
    /// [`Migrated`](crate::error::ErrorKind::Migrated) if the task of the key is not on this instance, is being restored
    /// ([`with_stale`](Self::with_stale) reads it even so), or the application has stopped;
    /// [`Invalid`](crate::error::ErrorKind::Invalid) if the store is of another kind or of other types;
    /// [`NotUpToBound`](crate::error::ErrorKind::NotUpToBound) if it is behind [`at_least`](Self::at_least);
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a row cannot be serialised or deserialised;
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) or [`Fatal`](crate::error::ErrorKind::Fatal) if the store cannot
    /// be read.
    pub fn fetch(&self, key: &K) -> Scan<'_, Windowed<K, SessionWindow>, V> {
        self.find_sessions(key, ..)
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// As for [`ReadOnlySessionStore::fetch`].
    pub fn backward_fetch(&self, key: &K) -> Scan<'_, Windowed<K, SessionWindow>, V> {
        self.backward_find_sessions(key, ..)
    }

    /// The sessions of a key that overlap a range of time, ends included: those that end at its start or later and start
    /// at its end or earlier.
    ///
    /// # Errors
    /// As for [`ReadOnlySessionStore::fetch`].
    pub fn find_sessions(
        &self,
        key: &K,
        times: impl RangeBounds<i64>,
    ) -> Scan<'_, Windowed<K, SessionWindow>, V> {
        self.of_key(key, &times, Order::Forward)
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// As for [`ReadOnlySessionStore::fetch`].
    pub fn backward_find_sessions(
        &self,
        key: &K,
        times: impl RangeBounds<i64>,
    ) -> Scan<'_, Windowed<K, SessionWindow>, V> {
        self.of_key(key, &times, Order::Reverse)
    }

    /// All sessions of a range of keys.
    ///
    /// # Errors
    /// As for [`ReadOnlySessionStore::fetch`], but never `Migrated`: tasks that are not here are left out.
    pub fn fetch_keys(&self, keys: impl RangeBounds<K>) -> Scan<'_, Windowed<K, SessionWindow>, V> {
        self.of_keys(&keys, &.., Order::Forward)
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// As for [`ReadOnlySessionStore::fetch_keys`].
    pub fn backward_fetch_keys(&self, keys: impl RangeBounds<K>) -> Scan<'_, Windowed<K, SessionWindow>, V> {
        self.of_keys(&keys, &.., Order::Reverse)
    }

    /// The sessions of a range of keys that overlap a range of time, as [`find_sessions`](Self::find_sessions) has it.
    ///
    /// # Errors
    /// As for [`ReadOnlySessionStore::fetch_keys`].
    pub fn find_sessions_of_keys(
        &self,
        keys: impl RangeBounds<K>,
        times: impl RangeBounds<i64>,
    ) -> Scan<'_, Windowed<K, SessionWindow>, V> {
        self.of_keys(&keys, &times, Order::Forward)
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// As for [`ReadOnlySessionStore::fetch_keys`].
    pub fn backward_find_sessions_of_keys(
        &self,
        keys: impl RangeBounds<K>,
        times: impl RangeBounds<i64>,
    ) -> Scan<'_, Windowed<K, SessionWindow>, V> {
        self.of_keys(&keys, &times, Order::Reverse)
    }

    /// The value of the session of a key from `start_ms` to `end_ms`.
    ///
    /// # Errors
    /// As for [`ReadOnlySessionStore::fetch`].
    pub async fn fetch_session(&self, key: &K, start_ms: i64, end_ms: i64) -> Result<Option<V>> {
        let (key, session) = (self.0.stored.key_bytes(key)?, SessionWindow { start_ms, end_ms });
        let asked = key.clone();
        let question = move |store: &mut SessionState<K, V>| store.committed_session(&asked, session);
        let found = self.0.first(&key, question).await?;
        found.map(|value| self.0.stored.read_value(&value)).transpose()
    }

    fn of_key(
        &self,
        key: &K,
        times: &impl RangeBounds<i64>,
        order: Order,
    ) -> Scan<'_, Windowed<K, SessionWindow>, V> {
        let (key, (earliest_end, latest_start)) = (self.0.stored.key_bytes(key), first_and_last(times));
        let opened = async move {
            let key = key?;
            let bounds = only(&key);
            let view = self.view(bounds.clone(), latest_start);
            let question = move |store: &mut SessionState<K, V>| store.freeze(&bounds, earliest_end, order);
            self.0.open_key(&key, question, view).await
        };
        Scan::new(opened, order, by_end)
    }

    fn of_keys(
        &self,
        keys: &impl RangeBounds<K>,
        times: &impl RangeBounds<i64>,
        order: Order,
    ) -> Scan<'_, Windowed<K, SessionWindow>, V> {
        let (bounds, (earliest_end, latest_start)) = (self.0.stored.bounds(keys), first_and_last(times));
        let opened = async move {
            let bounds = bounds?;
            let view = self.view(bounds.clone(), latest_start);
            let question = move |store: &mut SessionState<K, V>| store.freeze(&bounds, earliest_end, order);
            self.0.open_all(question, view).await
        };
        Scan::new(opened, order, by_end)
    }

    /// Reads those that start at `latest_start` or earlier, of these keys.
    fn view(
        &self,
        keys: KeyBounds,
        latest_start: i64,
    ) -> impl Fn(FrozenRows) -> View<Windowed<K, SessionWindow>, V> + use<K, V> {
        let (keys, stored) = (Arc::new(keys), Arc::clone(&self.0.stored));
        move |rows| {
            let (keys, stored) = (Arc::clone(&keys), Arc::clone(&stored));
            View::new(rows, move |row, value| {
                let (key, window) = session_of_row(row);
                if window.start_ms > latest_start || !within(&keys, key) {
                    return Ok(None);
                }
                Ok(Some((Windowed { key: stored.read_key(key)?, window }, stored.read_value(value)?)))
            })
        }
    }
}

/// By end, start and key.
fn by_end(left: &[u8], right: &[u8]) -> Ordering {
    let of = |row| {
        let (key, SessionWindow { start_ms, end_ms }) = session_of_row(row);
        (end_ms, start_ms, key)
    };
    of(left).cmp(&of(right))
}
