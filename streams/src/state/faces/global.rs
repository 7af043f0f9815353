//! A global store as processors see it that do not feed it.

use std::ops::RangeBounds;

use super::{Entries, KeyValueStore, StoreAccess, ValueAndTimestamp};
use crate::data::Data;
use crate::error::Result;

/// A global store, in a processor that reads it: all rows, whatever the partition of the task. Only the processor that
/// feeds it writes to it.
///
/// Rows come in the order of their serialised keys, byte by byte: negative numbers after positive ones.
pub struct GlobalStore<'a, K, V>(KeyValueStore<'a, K, V>);

impl<'a, K: Data, V: Data> GlobalStore<'a, K, V> {
    pub(crate) fn of(access: StoreAccess<'a>) -> Result<Self> {
        KeyValueStore::of(access).map(GlobalStore)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a value cannot be serialised or deserialised,
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) if what is on disk is damaged,
    /// [`Fatal`](crate::error::ErrorKind::Fatal) if the disk fails.
    pub fn get(&mut self, key: &K) -> Result<Option<V>> {
        self.0.get(key)
    }

    /// The value of a key, and its time.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`GlobalStore::get`].
    pub fn get_with_timestamp(&mut self, key: &K) -> Result<Option<ValueAndTimestamp<V>>> {
        self.0.get_with_timestamp(key)
    }

    /// All rows, by key.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`GlobalStore::get`].
    pub fn all(&mut self) -> Result<Entries<(K, V)>> {
        self.0.all()
    }

    /// All rows, the last key first.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`GlobalStore::get`].
    pub fn reverse_all(&mut self) -> Result<Entries<(K, V)>> {
        self.0.reverse_all()
    }

    /// The rows of a range of keys, by key: `range(a..=c)`, `range(a..)`.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`GlobalStore::get`].
    pub fn range(&mut self, keys: impl RangeBounds<K>) -> Result<Entries<(K, V)>> {
        self.0.range(keys)
    }

    /// The rows of a range of keys, the last key first.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`GlobalStore::get`].
    pub fn reverse_range(&mut self, keys: impl RangeBounds<K>) -> Result<Entries<(K, V)>> {
        self.0.reverse_range(keys)
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`GlobalStore::get`].
    pub fn approximate_num_entries(&mut self) -> Result<u64> {
        self.0.approximate_num_entries()
    }

    /// The rows whose serialised keys begin with the bytes of `prefix`, by key.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`GlobalStore::get`].
    pub fn prefix_scan<P: Data>(&mut self, prefix: &P) -> Result<Entries<(K, V)>> {
        self.0.prefix_scan(prefix)
    }
}
