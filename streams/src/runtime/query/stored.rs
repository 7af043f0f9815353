//! The bytes of a store that is asked: what its keys and values are written with.

use std::ops::{Bound, RangeBounds};

use crate::data::Data;
use crate::error::{Error, Result};
use crate::serdes::{Serde, SerdeContext, SerdeError};
use crate::state::{KeyBounds, StoreSerdes};

/// How a store is written.
pub(super) struct Stored<K, V> {
    /// Its name.
    pub(super) name: String,
    /// What serdes hear that they work for.
    pub(super) topic: String,
    pub(super) serdes: StoreSerdes<K, V>,
}

impl<K: Data, V: Data> Stored<K, V> {
    pub(super) fn key_bytes(&self, key: &K) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let written = self.serdes.0.serialize(&SerdeContext::key(&self.topic), key, &mut bytes);
        written.map_err(|error| {
            Error::record(format_args!("store `{}`: the key cannot be written: {error}", self.name))
        })?;
        Ok(bytes)
    }

    /// What the bytes of a key begin with.
    pub(super) fn prefix_bytes<P: Data>(&self, prefix: &P) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let written = P::Serde::default().serialize(&SerdeContext::key(&self.topic), prefix, &mut bytes);
        written.map_err(|error| Error::record(format_args!("a prefix is not writable: {error}")))?;
        Ok(bytes)
    }

    pub(super) fn bounds(&self, range: &impl RangeBounds<K>) -> Result<KeyBounds> {
        let bound = |bound: Bound<&K>| -> Result<Bound<Vec<u8>>> {
            Ok(match bound {
                Bound::Included(key) => Bound::Included(self.key_bytes(key)?),
                Bound::Excluded(key) => Bound::Excluded(self.key_bytes(key)?),
                Bound::Unbounded => Bound::Unbounded,
            })
        };
        Ok((bound(range.start_bound())?, bound(range.end_bound())?))
    }

    pub(super) fn read_key(&self, key: &[u8]) -> Result<K> {
        let (serde, _) = &self.serdes;
        serde.deserialize(&SerdeContext::key(&self.topic), key).map_err(|error| self.unreadable(&error))
    }

    pub(super) fn read_value(&self, value: &[u8]) -> Result<V> {
        let (_, serde) = &self.serdes;
        serde.deserialize(&SerdeContext::value(&self.topic), value).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &SerdeError) -> Error {
        Error::record(format_args!(
            "store `{}`: a row is not readable as the types of this constant: {error}",
            self.name
        ))
    }
}
