//! Questions to a key-value store.

use std::ops::{Bound, RangeBounds};

use anabranch_state_store::{KeyRange, Order, RowBuffer};

use super::asked::Asked;
use crate::data::Data;
use crate::error::Result;
use crate::state::{KeyBounds, KeyValueState, store_error};

/// Rows of a view that are read before others have their turn.
const ROWS_A_TURN: usize = 4096;

/// Reads a key-value store of a running application.
pub struct ReadOnlyKeyValueStore<K, V>(pub(super) Asked<K, V>);

impl<K: Data, V: Data> ReadOnlyKeyValueStore<K, V> {
    /// The value of a key, as of the last commit; `None` if there is none here.
    ///
    /// # Errors
    /// If the application has stopped, the task that would have the key is being restored or is not of this instance, or
    /// the store is of another kind or other types.
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
    /// As [`ReadOnlyKeyValueStore::get`].
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
    /// As [`ReadOnlyKeyValueStore::get`].
    pub async fn range(&self, range: impl RangeBounds<K>) -> Result<Vec<(K, V)>> {
        self.rows(self.0.bounds(&range)?).await
    }

    /// The rows whose serialised keys start with these bytes, by key.
    ///
    /// # Errors
    /// As [`ReadOnlyKeyValueStore::get`].
    pub async fn prefix(&self, prefix: &[u8]) -> Result<Vec<(K, V)>> {
        // Behind the last byte that can be raised.
        let end = prefix.iter().rposition(|byte| *byte < u8::MAX).map(|at| {
            let mut end = prefix[..=at].to_vec();
            end[at] += 1;
            end
        });
        self.rows((Bound::Included(prefix.to_vec()), end.map_or(Bound::Unbounded, Bound::Excluded))).await
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
