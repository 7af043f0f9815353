//! One value for a key.
//!
//! Bytes on the changelog are Kafka Streams': the value alone, with the value's time as the record's. A row keeps its
//! time beside the value, for plain stores too: those write the time of the record that is being processed.

use std::ops::RangeBounds;
use std::sync::Arc;

use anabranch_state_store::{Emission, KeyRange, Order, Row};

use super::composite::key_range;
use super::rows::{commit_as_rows, leave_to_rows, restore_at_once};
use super::typed::{Timestamped, Typed, Updated};
use super::{FrozenRows, KeyBounds, ResultState, StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::error::Result;
use crate::serdes::Serde;

/// A key-value store of a task.
pub(crate) struct KeyValueState<K, V> {
    typed: Typed<K, V>,
}

impl<K: 'static, V: 'static> KeyValueState<K, V> {
    /// Makes such stores.
    pub(crate) fn supplier(key: Arc<dyn Serde<K>>, value: Arc<dyn Serde<V>>) -> StoreSupplier {
        StoreSupplier::with_serdes((key, value), |init: &StoreInit, (key, value)| {
            Ok(KeyValueState { typed: Typed::new(init, key, value)? })
        })
    }

    /// The newest value of a key.
    pub(crate) fn get(&mut self, key: &K) -> Result<Option<Timestamped<V>>> {
        self.typed.write_key(key)?;
        self.typed.get()
    }

    /// Writes a value with its time, or deletes it.
    pub(crate) fn put(
        &mut self,
        key: &K,
        value: Option<(&V, i64)>,
        write: &mut WriteContext<'_>,
    ) -> Result<()> {
        self.typed.write_key(key)?;
        self.typed.put(value, write)
    }

    /// Shows the newest value of a key to `change`, which gives the new one: one probe.
    #[inline]
    pub(crate) fn update(
        &mut self,
        key: &K,
        write: &mut WriteContext<'_>,
        change: impl FnOnce(Option<Timestamped<V>>) -> Result<Updated<V>>,
    ) -> Result<Updated<V>> {
        self.typed.write_key(key)?;
        self.typed.update(write, change)
    }

    /// The rows of a range of keys.
    pub(crate) fn range(&mut self, range: &impl RangeBounds<K>, order: Order) -> Result<Vec<(K, V)>> {
        let bounds = self.typed.bounds(range)?;
        self.typed.entries(&key_range(&bounds), order)
    }

    /// The rows whose serialised keys start with these bytes.
    pub(crate) fn prefixed(&mut self, prefix: &[u8]) -> Result<Vec<(K, V)>> {
        self.typed.entries(&KeyRange::prefix(prefix), Order::Forward)
    }

    /// The value of a serialised key, as of the last commit.
    pub(crate) fn committed_row(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.typed.rows.committed_row(key)
    }

    /// The rows of a range of serialised keys, as of the last commit, for a reader elsewhere.
    pub(crate) fn freeze(&mut self, bounds: &KeyBounds, order: Order) -> Result<FrozenRows> {
        self.typed.rows.freeze(bounds, order)
    }

    /// About how many rows there are.
    pub(crate) fn approximate_rows(&self) -> Result<u64> {
        self.typed.rows.approximate()
    }

    /// What serdes are told.
    pub(crate) fn topic(&self) -> &str {
        &self.typed.topic
    }
}

impl<K: 'static, V: 'static> ResultState<K> for KeyValueState<K, V> {
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

    fn read_key(&self, bytes: &[u8], slot: &mut Option<K>) -> Result<()> {
        self.typed.read_key_into(bytes, slot)
    }

    fn read_row(&self, row: Row<'_>) -> Result<Timestamped<V>> {
        self.typed.read_row(row)
    }
}

impl<K: 'static, V: 'static> TaskStore for KeyValueState<K, V> {
    leave_to_rows!(typed.rows);
    restore_at_once!(typed.rows);
    commit_as_rows!(typed.rows);

    fn abort(&mut self) {
        self.typed.rows.abort();
    }
}
