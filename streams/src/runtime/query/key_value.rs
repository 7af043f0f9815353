//! Questions to a key-value store.

use std::ops::RangeBounds;
use std::sync::Arc;

use anabranch_state_store::{KeyRange, Order, RowBuffer};

use super::Scan;
use super::asked::Asked;
use super::iterator::{KeyValueIterator, View};
use crate::data::Data;
use crate::error::Result;
use crate::state::{FrozenRows, KeyBounds, KeyValueState, key_range};

/// Reads a key-value store of a running application.
///
/// ```
/// use anabranch::prelude::*;
///
/// const ORDERS: Topic<String, String> = Topic::new("orders");
/// const COUNTS: Store<KeyValue<String, i64>> = Store::named("orders-per-user");
///
/// # fn main() -> Result<()> {
/// # let (_host, threads) = anabranch_host::Host::real(1).expect("threads");
/// # threads.block_on(async {
/// let builder = StreamsBuilder::new();
/// builder.stream(ORDERS).group_by_key().count_with(COUNTS);
/// let app = Streams::new("app", builder.build()?).create_topics(1).start().await?;
///
/// let orders = app.producer(ORDERS)?;
/// orders.send("ann".to_string(), "tea".to_string()).await?;
/// orders.send("bob".to_string(), "milk".to_string()).await?;
/// orders.flush().await?;
/// app.drain().await?;
///
/// let counts = app.store(COUNTS)?;
/// assert_eq!(counts.get(&"ann".to_string()).await?, Some(1));
/// assert_eq!(counts.all().await?, [("ann".to_string(), 1), ("bob".to_string(), 1)]);
/// assert_eq!(counts.prefix_scan(&"b".to_string()).await?, [("bob".to_string(), 1)]);
/// assert_eq!(counts.approximate_num_entries().await?, 2);
/// app.close().await
/// # })
/// # }
/// ```
pub struct ReadOnlyKeyValueStore<K, V>(pub(super) Asked<K, V>);

impl<K: Data, V: Data> ReadOnlyKeyValueStore<K, V> {
    /// The value of a key, as of the last commit; `None` if there is none here.
    ///
    /// # Errors
    /// [`Migrated`](crate::error::ErrorKind::Migrated) if the task of the key is not on this instance, is being restored
    /// ([`with_stale`](Self::with_stale) reads it even so), or the application has stopped;
    /// [`Invalid`](crate::error::ErrorKind::Invalid) if the store is of another kind or of other types;
    /// [`NotUpToBound`](crate::error::ErrorKind::NotUpToBound) if it is behind [`at_least`](Self::at_least);
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a row cannot be serialised or deserialised;
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) or [`Fatal`](crate::error::ErrorKind::Fatal) if the store cannot
    /// be read.
    pub async fn get(&self, key: &K) -> Result<Option<V>> {
        let key = self.0.stored.key_bytes(key)?;
        if let Some(rows) = self.0.global_rows_at_bound().await? {
            let mut row = RowBuffer::default();
            return rows.get(&key, &mut row).then(|| self.0.stored.read_value(&row.value)).transpose();
        }
        let asked = key.clone();
        let question = move |store: &mut KeyValueState<K, V>| store.committed_row(&asked);
        let found = self.0.first(&key, question).await?;
        found.map(|value| self.0.stored.read_value(&value)).transpose()
    }

    /// All rows of this instance's tasks, by key.
    ///
    /// # Errors
    /// As for [`ReadOnlyKeyValueStore::get`], but never `Migrated`: tasks that are not here are left out.
    pub fn all(&self) -> Scan<'_, K, V> {
        self.range(..)
    }

    /// All rows, the last key first.
    ///
    /// # Errors
    /// As for [`ReadOnlyKeyValueStore::all`].
    pub fn reverse_all(&self) -> Scan<'_, K, V> {
        self.reverse_range(..)
    }

    /// The rows of a range of keys, by key: in the order of the serialised keys, as Kafka Streams has it.
    ///
    /// # Errors
    /// As for [`ReadOnlyKeyValueStore::all`].
    pub fn range(&self, range: impl RangeBounds<K>) -> Scan<'_, K, V> {
        self.scan(self.0.stored.bounds(&range), Order::Forward)
    }

    /// The rows of a range of keys, the last key first.
    ///
    /// # Errors
    /// As for [`ReadOnlyKeyValueStore::all`].
    pub fn reverse_range(&self, range: impl RangeBounds<K>) -> Scan<'_, K, V> {
        self.scan(self.0.stored.bounds(&range), Order::Reverse)
    }

    /// The rows whose serialised keys begin with the bytes of `prefix`, by key.
    ///
    /// # Errors
    /// As for [`ReadOnlyKeyValueStore::all`].
    pub fn prefix_scan<P: Data>(&self, prefix: &P) -> Scan<'_, K, V> {
        let bounds = self.0.stored.prefix_bytes(prefix).map(|bytes| {
            let range = KeyRange::prefix(&bytes);
            (range.start().map(<[u8]>::to_vec), range.end().map(<[u8]>::to_vec))
        });
        self.scan(bounds, Order::Forward)
    }

    /// About how many rows this instance's tasks have, those of the last moment that are not committed yet among them. Where
    /// not all rows of a task are in memory, rows that were deleted or written over may be counted, too.
    ///
    /// # Errors
    /// As for [`ReadOnlyKeyValueStore::all`].
    pub async fn approximate_num_entries(&self) -> Result<u64> {
        if let Some(global) = self.0.global_rows_at_bound().await? {
            return Ok(global.len());
        }
        let counts = self.0.every(|store: &mut KeyValueState<K, V>| store.approximate_rows()).await?;
        Ok(counts.into_iter().map(|(_, count)| count).sum())
    }

    fn scan(&self, bounds: Result<KeyBounds>, order: Order) -> Scan<'_, K, V> {
        Scan::new(async move { self.open(bounds?, order).await }, order, <[u8]>::cmp)
    }

    async fn open(&self, bounds: KeyBounds, order: Order) -> Result<KeyValueIterator<K, V>> {
        let view = |rows: FrozenRows| {
            let stored = Arc::clone(&self.0.stored);
            View::new(rows, move |key, value| Ok(Some((stored.read_key(key)?, stored.read_value(value)?))))
        };
        if let Some(global) = self.0.global_rows_at_bound().await? {
            let rows = FrozenRows::Global(global.freeze(&key_range(&bounds), order));
            return Ok(self.0.open_global(view(rows)));
        }
        let question = move |store: &mut KeyValueState<K, V>| store.freeze(&bounds, order);
        self.0.open_all(question, view).await
    }
}
