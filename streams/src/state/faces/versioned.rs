//! A versioned store as processors and tests see it.

use super::StoreAccess;
use crate::data::Data;
use crate::error::Result;
use crate::state::{Version, VersionPut, VersionedState, WriteContext};

/// A versioned store, in a processor: the values of a key over time, each valid until the next.
///
/// How far back it can be written and read says its history, measured from the latest time that was written.
pub struct VersionedStore<'a, K, V> {
    state: &'a mut VersionedState<K, V>,
    write: WriteContext<'a>,
}

/// A value and when it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionedRecord<V> {
    /// The value.
    pub value: V,
    /// From this time on.
    pub valid_from_ms: i64,
    /// Until before this time, when the next value was put or this one deleted; `None`: it is the latest.
    pub valid_to_ms: Option<i64>,
}

/// What became of a value that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is the latest.
    Latest,
    /// A later one was there already: it is valid until before this time.
    ValidTo(i64),
    /// It is older than the history and was not kept.
    TooOld,
}

impl<'a, K: Data, V: Data> VersionedStore<'a, K, V> {
    pub(crate) fn of(access: StoreAccess<'a>) -> Result<Self> {
        let (state, write) = access.typed()?;
        Ok(VersionedStore { state, write })
    }

    /// Writes the value of a key from a time on; `None` deletes.
    ///
    /// # Errors
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a value cannot be serialised or deserialised,
    /// or a row is larger than `max.request.size`,
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) if what is on disk is damaged,
    /// [`Fatal`](crate::error::ErrorKind::Fatal) if the disk fails.
    pub fn put<'v>(
        &mut self,
        key: &K,
        value: impl Into<Option<&'v V>>,
        timestamp: i64,
    ) -> Result<PutOutcome> {
        Ok(match self.state.put(key, value.into(), timestamp, &mut self.write)? {
            VersionPut::Latest => PutOutcome::Latest,
            VersionPut::Until(time) => PutOutcome::ValidTo(time),
            VersionPut::TooOld => PutOutcome::TooOld,
        })
    }

    /// Deletes the value of a key from a time on, and gives the one that was valid then.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`VersionedStore::put`].
    pub fn delete(&mut self, key: &K, timestamp: i64) -> Result<Option<VersionedRecord<V>>> {
        Ok(self.state.delete(key, timestamp, &mut self.write)?.map(record))
    }

    /// The latest value of a key.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`VersionedStore::put`].
    pub fn get(&mut self, key: &K) -> Result<Option<VersionedRecord<V>>> {
        Ok(self.state.get(key)?.map(record))
    }

    /// The value of a key that was valid at a time. Before the history begins only a latest value is known.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`VersionedStore::put`].
    pub fn get_as_of(&mut self, key: &K, timestamp: i64) -> Result<Option<VersionedRecord<V>>> {
        Ok(self.state.get_as_of(key, timestamp)?.map(record))
    }
}

fn record<V>(version: Version<V>) -> VersionedRecord<V> {
    let Version { value, valid_from, valid_to } = version;
    VersionedRecord { value, valid_from_ms: valid_from, valid_to_ms: valid_to }
}
