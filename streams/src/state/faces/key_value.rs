//! A key-value store as processors and tests see it.

use std::ops::RangeBounds;

use anabranch_state_store::Order;

use super::{Entries, StoreAccess};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::serdes::{Serde, SerdeContext};
use crate::state::{KeyValueState, Updated, WriteContext};

/// A key-value store, in a processor.
///
/// Rows come in the order of their serialised keys, byte by byte: negative numbers after positive ones.
///
/// Each value has a time: that of the record that is being processed, or the one given to [`put_at`]. It is the time of
/// the record on the store's changelog.
///
/// [`put_at`]: KeyValueStore::put_at
///
/// ```
/// use anabranch::prelude::*;
///
/// const LAST: Store<KeyValue<String, String>> = Store::named("last");
///
/// struct Changes(StoreRef<KeyValue<String, String>>);
///
/// impl FixedKeyProcessor for Changes {
///     type Key = String;
///     type ValueIn = String;
///     type ValueOut = String;
///
///     fn process(
///         &mut self,
///         record: FixedKeyRecord<String, String>,
///         ctx: &mut FixedKeyContext<'_, Self>,
///     ) -> Result<()> {
///         let mut last = ctx.store(self.0);
///         if last.get(record.key())?.as_ref() != Some(&record.value) {
///             last.put(record.key(), &record.value)?;
///             ctx.forward(record);
///         }
///         Ok(())
///     }
/// }
///
/// const IN: Topic<String, String> = Topic::new("in");
/// const OUT: Topic<String, String> = Topic::new("out");
/// let builder = StreamsBuilder::new();
/// let changes = |ctx: &mut FixedKeyInitContext<'_, Changes>| Changes(ctx.store(LAST));
/// builder.stream(IN).process_values(changes).to(OUT);
///
/// let driver = TestDriver::new(&builder.build()?)?;
/// for colour in ["red", "red", "blue"] {
///     driver.input(IN).pipe("a", colour);
/// }
/// let forwarded: Vec<_> = driver.output(OUT).read_all().into_iter().map(|record| record.value).collect();
/// assert_eq!(forwarded, ["red", "blue"]);
/// assert_eq!(driver.store(LAST)?.get(&"a".to_string())?.as_deref(), Some("blue"));
/// # Ok::<(), anabranch::Error>(())
/// ```
pub struct KeyValueStore<'a, K, V> {
    state: &'a mut KeyValueState<K, V>,
    write: WriteContext<'a>,
}

/// A value and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueAndTimestamp<V> {
    /// The value.
    pub value: V,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

impl<'a, K: Data, V: Data> KeyValueStore<'a, K, V> {
    pub(crate) fn of(access: StoreAccess<'a>) -> Result<Self> {
        let (state, write) = access.typed()?;
        Ok(KeyValueStore { state, write })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn get(&mut self, key: &K) -> Result<Option<V>> {
        Ok(self.state.get(key)?.map(|(value, _)| value))
    }

    /// The value of a key, and its time.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn get_with_timestamp(&mut self, key: &K) -> Result<Option<ValueAndTimestamp<V>>> {
        Ok(self.state.get(key)?.map(|(value, timestamp)| ValueAndTimestamp { value, timestamp }))
    }

    /// Writes a value: `put(&key, &value)`. `None` deletes.
    ///
    /// # Errors
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a value cannot be serialised or deserialised,
    /// or a row is larger than `max.request.size`,
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) if what is on disk is damaged,
    /// [`Fatal`](crate::error::ErrorKind::Fatal) if the disk fails.
    pub fn put<'v>(&mut self, key: &K, value: impl Into<Option<&'v V>>) -> Result<()> {
        self.put_at(key, value, self.write.timestamp)
    }

    /// Writes a value with a time of its own. `None` deletes.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn put_at<'v>(&mut self, key: &K, value: impl Into<Option<&'v V>>, timestamp: i64) -> Result<()> {
        self.state.put(key, value.into().map(|value| (value, timestamp)), &mut self.write)
    }

    /// Writes a value unless there is one, and gives the one that was there.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn put_if_absent<'v>(&mut self, key: &K, value: impl Into<Option<&'v V>>) -> Result<Option<V>> {
        let old = self.get(key)?;
        if old.is_none() {
            self.put(key, value)?;
        }
        Ok(old)
    }

    /// Deletes a key and gives what was there.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn delete(&mut self, key: &K) -> Result<Option<V>> {
        let old = self.get(key)?;
        self.put(key, None::<&V>)?;
        Ok(old)
    }

    /// Shows the value of a key to `change`, writes what it gives, `None` deletes, and gives that back: one look-up.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn update(&mut self, key: &K, change: impl FnOnce(Option<V>) -> Option<V>) -> Result<Option<V>> {
        let timestamp = self.write.timestamp;
        let updated = self.state.update(key, &mut self.write, |old| {
            Ok(change(old.map(|(value, _)| value))
                .map_or(Updated::Deleted, |value| Updated::Put(value, timestamp)))
        })?;
        Ok(match updated {
            Updated::Put(value, _) => Some(value),
            Updated::Deleted => None,
        })
    }

    /// All rows, by key.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn all(&mut self) -> Result<Entries<(K, V)>> {
        self.range(..)
    }

    /// All rows, the last key first.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn reverse_all(&mut self) -> Result<Entries<(K, V)>> {
        self.reverse_range(..)
    }

    /// The rows of a range of keys, by key: `range(a..=c)`, `range(a..)`.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn range(&mut self, keys: impl RangeBounds<K>) -> Result<Entries<(K, V)>> {
        self.state.range(&keys, Order::Forward).map(Entries::of)
    }

    /// The rows of a range of keys, the last key first.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn reverse_range(&mut self, keys: impl RangeBounds<K>) -> Result<Entries<(K, V)>> {
        self.state.range(&keys, Order::Reverse).map(Entries::of)
    }

    /// About how many rows there are. Where not all are in memory, rows that were deleted or written over may be counted.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn approximate_num_entries(&mut self) -> Result<u64> {
        self.state.approximate_rows()
    }

    /// The rows whose serialised keys begin with the bytes of `prefix`, by key.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`KeyValueStore::put`].
    pub fn prefix_scan<P: Data>(&mut self, prefix: &P) -> Result<Entries<(K, V)>> {
        let mut bytes = Vec::new();
        let written =
            P::Serde::default().serialize(&SerdeContext::key(self.state.topic()), prefix, &mut bytes);
        written.map_err(|error| Error::record(format_args!("a prefix is not writable: {error}")))?;
        self.state.prefixed(&bytes).map(Entries::of)
    }
}
