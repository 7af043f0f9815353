//! Questions to a window store.

use std::cmp::Ordering;
use std::ops::RangeBounds;
use std::sync::Arc;

use anabranch_state_store::Order;

use super::Scan;
use super::asked::{Asked, only};
use super::iterator::View;
use crate::data::Data;
use crate::error::Result;
use crate::state::{FrozenRows, KeyBounds, WindowState, first_and_last, window_of_row, within};
use crate::window::{TimeWindow, Window, Windowed};

/// Reads a window store of a running application: one value for a key and the start of a window.
///
/// What is older than its retention, measured from the latest start that was written and committed, is not seen; ranges of
/// time are ranges of starts. Those of several keys come by start, then by key, in a vector; one by one
/// ([`Scan::iter`]) they come task by task, by segment of the start (half the retention, a minute at least), then by key.
///
/// ```
/// use anabranch::prelude::*;
///
/// const CLICKS: Topic<String, String> = Topic::new("clicks");
/// const COUNTS: Store<Windows<String, i64>> = Store::named("clicks-per-day");
///
/// # fn main() -> Result<()> {
/// # let (_host, threads) = anabranch_host::Host::real(1).expect("threads");
/// # threads.block_on(async {
/// let builder = StreamsBuilder::new();
/// builder.stream(CLICKS).group_by_key().windowed_by(Tumbling::of(days(1))).count_with(COUNTS);
/// let app = Streams::new("app", builder.build()?).create_topics(1).start().await?;
///
/// app.producer(CLICKS)?.write("ann".to_string(), "/home".to_string()).await?;
/// app.drain().await?;
///
/// let counts = app.store(COUNTS)?;
/// let of_ann = counts.fetch_range(&"ann".to_string(), ..).await?; // (start of the day in ms, value)
/// assert_eq!(of_ann.len(), 1);
/// assert_eq!(counts.fetch(&"ann".to_string(), of_ann[0].0).await?, Some(1));
/// app.close().await
/// # })
/// # }
/// ```
pub struct ReadOnlyWindowStore<K, V>(pub(super) Asked<K, V>);

impl<K: Data, V: Data> ReadOnlyWindowStore<K, V> {
    /// The value of a key in the window that starts at `start_ms`, as of the last commit; `None` if there is none here.
    ///
    /// # Errors
    /// [`Migrated`](crate::error::ErrorKind::Migrated) if the task of the key is not on this instance, is being restored
    /// ([`with_stale`](Self::with_stale) reads it even so), or the application has stopped;
    /// [`Invalid`](crate::error::ErrorKind::Invalid) if the store is of another kind or of other types;
    /// [`NotUpToBound`](crate::error::ErrorKind::NotUpToBound) if it is behind [`at_least`](Self::at_least);
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a row cannot be serialised or deserialised;
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) or [`Fatal`](crate::error::ErrorKind::Fatal) if the store cannot
    /// be read.
    pub async fn fetch(&self, key: &K, start_ms: i64) -> Result<Option<V>> {
        let key = self.0.stored.key_bytes(key)?;
        let asked = key.clone();
        let question = move |store: &mut WindowState<K, V>| store.committed_window(&asked, start_ms);
        let found = self.0.first(&key, question).await?;
        found.map(|value| self.0.stored.read_value(&value)).transpose()
    }

    /// The values of a key in windows that start in a range of time, with their starts, the earliest first.
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch`].
    pub fn fetch_range(&self, key: &K, starts: impl RangeBounds<i64>) -> Scan<'_, i64, V> {
        self.of_key(key, &starts, Order::Forward)
    }

    /// The same, the latest first.
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch`].
    pub fn backward_fetch_range(&self, key: &K, starts: impl RangeBounds<i64>) -> Scan<'_, i64, V> {
        self.of_key(key, &starts, Order::Reverse)
    }

    /// The values of a range of keys in windows that start in a range of time.
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch`], but never `Migrated`: tasks that are not here are left out.
    pub fn fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
        starts: impl RangeBounds<i64>,
    ) -> Scan<'_, Windowed<K>, V> {
        self.of_keys(&keys, &starts, Order::Forward)
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch_keys`].
    pub fn backward_fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
        starts: impl RangeBounds<i64>,
    ) -> Scan<'_, Windowed<K>, V> {
        self.of_keys(&keys, &starts, Order::Reverse)
    }

    /// The values of all keys in windows that start in a range of time.
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch_keys`].
    pub fn fetch_all(&self, starts: impl RangeBounds<i64>) -> Scan<'_, Windowed<K>, V> {
        self.fetch_keys(.., starts)
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch_keys`].
    pub fn backward_fetch_all(&self, starts: impl RangeBounds<i64>) -> Scan<'_, Windowed<K>, V> {
        self.backward_fetch_keys(.., starts)
    }

    /// All values of this instance's tasks.
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch_keys`].
    pub fn all(&self) -> Scan<'_, Windowed<K>, V> {
        self.fetch_all(..)
    }

    /// All values, in the opposite order.
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch_keys`].
    pub fn backward_all(&self) -> Scan<'_, Windowed<K>, V> {
        self.backward_fetch_all(..)
    }

    fn of_key(&self, key: &K, starts: &impl RangeBounds<i64>, order: Order) -> Scan<'_, i64, V> {
        let (key, starts) = (self.0.stored.key_bytes(key), first_and_last(starts));
        let opened = async move {
            let (key, stored) = (key?, Arc::clone(&self.0.stored));
            let bounds = only(&key);
            let question = move |store: &mut WindowState<K, V>| store.freeze(&bounds, starts, order);
            let view = |rows: FrozenRows| {
                let (key, stored) = (key.clone(), Arc::clone(&stored));
                View::new(rows, move |row, value| match window_of_row(row) {
                    (of, start) if *of == *key => Ok(Some((start, stored.read_value(value)?))),
                    _ => Ok(None),
                })
            };
            self.0.open_key(&key, question, view).await
        };
        Scan::new(opened, order, by_start)
    }

    fn of_keys(
        &self,
        keys: &impl RangeBounds<K>,
        starts: &impl RangeBounds<i64>,
        order: Order,
    ) -> Scan<'_, Windowed<K>, V> {
        let (bounds, starts) = (self.0.stored.bounds(keys), first_and_last(starts));
        let opened = async move {
            let (keys, stored): (Arc<KeyBounds>, _) = (Arc::new(bounds?), Arc::clone(&self.0.stored));
            let asked = Arc::clone(&keys);
            let question = move |store: &mut WindowState<K, V>| {
                Ok((store.size_ms(), store.freeze(&asked, starts, order)?))
            };
            let view = |(size_ms, rows): (i64, FrozenRows)| {
                let (keys, stored) = (Arc::clone(&keys), Arc::clone(&stored));
                View::new(rows, move |row, value| {
                    let (key, start) = window_of_row(row);
                    if !within(&keys, key) {
                        return Ok(None);
                    }
                    let window = TimeWindow::between(start, start.saturating_add(size_ms));
                    Ok(Some((Windowed { key: stored.read_key(key)?, window }, stored.read_value(value)?)))
                })
            };
            self.0.open_all(question, view).await
        };
        Scan::new(opened, order, by_start)
    }
}

/// By start, then by key.
fn by_start(left: &[u8], right: &[u8]) -> Ordering {
    let of = |row| {
        let (key, start) = window_of_row(row);
        (start, key)
    };
    of(left).cmp(&of(right))
}
