//! What the typed stores have in common: rows, serdes and the buffers these write into.

use std::ops::{Bound, ControlFlow, RangeBounds};
use std::sync::Arc;

use anabranch_state_store::{KeyRange, Order, Row, Update};

use super::rows::Rows;
use super::{KeyBounds, StoreInit, WriteContext};
use crate::error::{Error, Result};
use crate::serdes::{Serde, SerdeContext, SerdeError};
use crate::window::Windowed;

/// A value and its time.
pub(crate) type Timestamped<V> = (V, i64);

/// What an update of a row came to.
pub(crate) enum Updated<V> {
    /// There is a new value, of this time.
    Put(V, i64),
    /// The row is gone.
    Deleted,
}

/// Rows of typed keys and values. The key bytes of a row lie in `key_bytes` when it is read or written; what stands
/// behind the key (a window) is the caller's.
pub(super) struct Typed<K, V> {
    pub(super) rows: Rows,
    /// What serdes are told.
    pub(super) topic: Arc<str>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    pub(super) key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
}

impl<K: 'static, V: 'static> Typed<K, V> {
    pub(super) fn new(init: &StoreInit, key: Arc<dyn Serde<K>>, value: Arc<dyn Serde<V>>) -> Result<Self> {
        Ok(Typed::of(Rows::new(init)?, init, key, value))
    }

    /// Typed rows.
    pub(super) fn of(rows: Rows, init: &StoreInit, key: Arc<dyn Serde<K>>, value: Arc<dyn Serde<V>>) -> Self {
        let topic = Arc::clone(&init.topic);
        Typed { rows, topic, key, value, key_bytes: Vec::new(), value_bytes: Vec::new() }
    }

    /// Fills `key_bytes`.
    #[inline]
    pub(super) fn write_key(&mut self, key: &K) -> Result<()> {
        self.key_bytes.clear();
        let written = self.key.serialize(&SerdeContext::key(&self.topic), key, &mut self.key_bytes);
        written.map_err(|error| self.rows.unwritable(error))
    }

    /// The row under `key_bytes`.
    pub(super) fn get(&mut self) -> Result<Option<Timestamped<V>>> {
        let read = match self.rows.get(&self.key_bytes)? {
            Some(row) => read_row(&*self.value, &self.topic, row).map(Some),
            None => Ok(None),
        };
        read.map_err(|error| self.rows.unreadable(error))
    }

    /// Writes the row under `key_bytes`, and logs it.
    pub(super) fn put(&mut self, value: Option<(&V, i64)>, write: &mut WriteContext<'_>) -> Result<()> {
        self.value_bytes.clear();
        if let Some((value, _)) = value {
            let at = SerdeContext::value(&self.topic);
            let written = self.value.serialize(&at, value, &mut self.value_bytes);
            written.map_err(|error| self.rows.unwritable(error))?;
        }
        let row = value.map(|(_, timestamp)| Row::new(&self.value_bytes, timestamp));
        self.rows.put(&self.key_bytes, row, write)
    }

    /// Writes the row under `key_bytes`, and logs it with the headers of the record that is being processed.
    pub(super) fn put_with_headers(
        &mut self,
        value: &V,
        timestamp: i64,
        write: &mut WriteContext<'_>,
    ) -> Result<()> {
        self.value_bytes.clear();
        let at = SerdeContext::value(&self.topic);
        let written = self.value.serialize(&at, value, &mut self.value_bytes);
        written.map_err(|error| self.rows.unwritable(error))?;
        self.rows.put_with_headers(&self.key_bytes, Row::new(&self.value_bytes, timestamp), write)
    }

    /// Shows the row under `key_bytes` to `change`, which gives the new one, and logs it: one probe.
    pub(super) fn update(
        &mut self,
        write: &mut WriteContext<'_>,
        change: impl FnOnce(Option<Timestamped<V>>) -> Result<Updated<V>>,
    ) -> Result<Updated<V>> {
        let Self { rows, topic, key_bytes, value_bytes, value: serde, .. } = self;
        let mut outcome: Option<Result<Updated<V>>> = None;
        let new = &mut *value_bytes;
        let is_logged = rows.is_logged();
        rows.update(key_bytes, write, |old| {
            let old = old.map(|row| read_row(&**serde, topic, row)).transpose();
            let old = old.map_err(|error| Error::record(format_args!("a row is not readable: {error}")));
            let updated = old.and_then(change).and_then(|updated| {
                if let Updated::Put(value, _) = &updated {
                    new.clear();
                    let written = serde.serialize(&SerdeContext::value(topic), value, new);
                    written
                        .map_err(|error| Error::record(format_args!("a value is not writable: {error}")))?;
                    if is_logged {
                        write.check_size(key_bytes, Some(new))?;
                    }
                }
                Ok(updated)
            });
            let what = match &updated {
                Ok(Updated::Put(_, timestamp)) => Update::Put(Row::new(new, *timestamp)),
                Ok(Updated::Deleted) => Update::Delete,
                Err(_) => Update::Keep,
            };
            outcome = Some(updated);
            what
        })?;
        let updated = outcome.unwrap_or_else(|| Err(Error::fatal("a table updates by calling back")))?;
        let written = match &updated {
            Updated::Put(_, timestamp) => Some((value_bytes.as_slice(), *timestamp)),
            Updated::Deleted => None,
        };
        rows.log(key_bytes, written, write)?;
        Ok(updated)
    }

    /// A range of keys, serialised.
    pub(super) fn bounds(&mut self, range: &impl RangeBounds<K>) -> Result<KeyBounds> {
        Ok((self.bound(range.start_bound())?, self.bound(range.end_bound())?))
    }

    fn bound(&mut self, bound: Bound<&K>) -> Result<Bound<Vec<u8>>> {
        Ok(match bound {
            Bound::Included(key) => Bound::Included(self.bytes_of(key)?),
            Bound::Excluded(key) => Bound::Excluded(self.bytes_of(key)?),
            Bound::Unbounded => Bound::Unbounded,
        })
    }

    fn bytes_of(&mut self, key: &K) -> Result<Vec<u8>> {
        self.write_key(key)?;
        Ok(self.key_bytes.clone())
    }

    /// Keys and values of a range of rows, where nothing stands behind the key.
    pub(super) fn entries(&mut self, range: &KeyRange<'_>, order: Order) -> Result<Vec<(K, V)>> {
        let Self { rows, topic, key: keys, value: values, .. } = self;
        let mut entries = Vec::new();
        let mut refused = None;
        rows.scan(range, order, |key, row| {
            let entry = keys
                .deserialize(&SerdeContext::key(topic), key)
                .and_then(|key| Ok((key, read_row(&**values, topic, row)?.0)));
            match entry {
                Ok(entry) => {
                    entries.push(entry);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    refused = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match refused {
            None => Ok(entries),
            Some(error) => Err(rows.unreadable(error)),
        }
    }

    /// Shows the rows of a key whose times, which stand behind the key, lie from one to the other (none is negative): time
    /// and number of each, then the row.
    pub(super) fn scan_group(
        &mut self,
        key: &K,
        (from, to): (i64, i64),
        order: Order,
        mut each: impl FnMut((i64, i64), Timestamped<V>),
    ) -> Result<()> {
        self.write_key(key)?;
        let Self { rows, topic, key_bytes, value: serde, .. } = self;
        let suffixes = ((from.unsigned_abs(), 0), (to.unsigned_abs(), u64::MAX));
        let timed = rows.timed_keys();
        let mut unreadable = None;
        rows.scan_group(key_bytes, suffixes, order, |bytes, row| {
            let suffix = timed.and_then(|timed| timed.split(bytes));
            let (time, number) = suffix.map_or((-1, -1), |(_, (time, number))| (time as i64, number as i64));
            match read_row(&**serde, topic, row) {
                Ok(row) => {
                    each((time, number), row);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    unreadable = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        unreadable.map_or(Ok(()), |error| Err(rows.unreadable(error)))
    }

    /// Reads a key.
    pub(super) fn read_key(&self, bytes: &[u8]) -> Result<K> {
        let key = self.key.deserialize(&SerdeContext::key(&self.topic), bytes);
        key.map_err(|error| self.rows.unreadable(error))
    }

    /// Reads a key into a slot.
    pub(super) fn read_key_into(&self, bytes: &[u8], slot: &mut Option<K>) -> Result<()> {
        let read = self.key.deserialize_into(&SerdeContext::key(&self.topic), bytes, slot);
        read.map_err(|error| self.rows.unreadable(error))
    }

    /// Reads the key of a window into a slot.
    pub(super) fn read_windowed_key_into<W>(
        &self,
        bytes: &[u8],
        window: W,
        slot: &mut Option<Windowed<K, W>>,
    ) -> Result<()> {
        let mut key = slot.take().map(|windowed| windowed.key);
        self.read_key_into(bytes, &mut key)?;
        *slot = key.map(|key| Windowed { key, window });
        Ok(())
    }

    /// Reads a row.
    pub(super) fn read_row(&self, row: Row<'_>) -> Result<Timestamped<V>> {
        read_row(&*self.value, &self.topic, row).map_err(|error| self.rows.unreadable(error))
    }
}

#[inline]
fn read_row<V: 'static>(
    serde: &dyn Serde<V>,
    topic: &str,
    row: Row<'_>,
) -> Result<Timestamped<V>, SerdeError> {
    Ok((serde.deserialize(&SerdeContext::value(topic), row.value)?, row.timestamp))
}
