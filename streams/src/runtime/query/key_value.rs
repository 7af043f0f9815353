//! Questions to a key-value store.

use std::ops::{Bound, RangeBounds};

use anabranch_state_store::{KeyRange, Order, RowBuffer};

use super::asked::Asked;
use crate::data::Data;
use crate::error::{Error, Result};
use crate::serdes::{Serde, SerdeContext};
use crate::state::{KeyBounds, KeyValueState, store_error};

/// Rows of a view that are read before others have their turn.
const ROWS_A_TURN: usize = 4096;

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
        let key = self.0.key_bytes(key)?;
        if let Some(rows) = self.0.global_rows_at_bound().await? {
            let mut row = RowBuffer::default();
            return rows.get(&key, &mut row).then(|| self.0.read_value(&row.value)).transpose();
        }
        let asked = key.clone();
        let question = move |store: &mut KeyValueState<K, V>| store.committed_row(&asked);
        let found = self.0.first(&key, question).await?;
        found.map(|value| self.0.read_value(&value)).transpose()
    }

    /// All rows of this instance's tasks, by key. A task is asked for a view of its rows at one moment, and goes on processing
    /// while the view is read here.
    ///
    /// # Errors
    /// As for [`ReadOnlyKeyValueStore::get`], but never `Migrated`: tasks that are not here are left out.
    pub async fn all(&self) -> Result<Vec<(K, V)>> {
        if self.0.global_rows_at_bound().await?.is_some() {
            return self.rows((Bound::Unbounded, Bound::Unbounded)).await;
        }
        let mut found = Vec::new();
        for view in self.0.every(|store: &mut KeyValueState<K, V>| store.freeze()).await? {
            let unreadable = |error| store_error(self.0.name(), error);
            let mut rows = view.range(&KeyRange::all(), Order::Forward).map_err(unreadable)?;
            while let Some((key, row)) = rows.next().map_err(unreadable)? {
                found.push((key.to_vec(), self.0.read_value(row.value)?));
                if found.len().is_multiple_of(ROWS_A_TURN) {
                    tokio::task::yield_now().await;
                }
            }
        }
        found.sort_by(|(left, _), (right, _)| left.cmp(right));
        found.into_iter().map(|(key, value)| Ok((self.0.read_key(&key)?, value))).collect()
    }

    /// The rows of a range of keys, by key: in the order of the serialised keys, as Kafka Streams has it.
    ///
    /// # Errors
    /// As for [`ReadOnlyKeyValueStore::get`], but never `Migrated`: tasks that are not here are left out.
    pub async fn range(&self, range: impl RangeBounds<K>) -> Result<Vec<(K, V)>> {
        self.rows(self.0.bounds(&range)?).await
    }

    /// The rows whose serialised keys begin with the bytes of `prefix`, by key.
    ///
    /// # Errors
    /// As for [`ReadOnlyKeyValueStore::get`], but never `Migrated`: tasks that are not here are left out.
    pub async fn prefix_scan<P: Data>(&self, prefix: &P) -> Result<Vec<(K, V)>> {
        let mut bytes = Vec::new();
        let written = P::Serde::default().serialize(&SerdeContext::key(self.0.topic()), prefix, &mut bytes);
        written.map_err(|error| Error::record(format_args!("a prefix is not writable: {error}")))?;
        let range = KeyRange::prefix(&bytes);
        self.rows((range.start().map(<[u8]>::to_vec), range.end().map(<[u8]>::to_vec))).await
    }

    async fn rows(&self, bounds: KeyBounds) -> Result<Vec<(K, V)>> {
        let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        if let Some(global) = self.0.global_rows_at_bound().await? {
            let (first, last) = (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice));
            let found = global.scan(&KeyRange::new(first, last), Order::Forward);
            rows.extend(found.into_iter().map(|(key, row)| (key, row.value)));
        } else {
            let question = move |store: &mut KeyValueState<K, V>| store.committed_rows(&bounds);
            rows.extend(self.0.every(question).await?.into_iter().flatten());
            rows.sort();
        }
        rows.iter().map(|(key, value)| Ok((self.0.read_key(key)?, self.0.read_value(value)?))).collect()
    }
}
