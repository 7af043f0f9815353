//! One value for a key.
//!
//! Bytes on the changelog are Kafka Streams': the value alone, with the value's time as the record's. A row keeps its
//! time beside the value, for plain stores too: those write the time of the record that is being processed.

use std::sync::Arc;

use anabranch_state_store::{
    Emission, EmissionBuffer, KeyRange, KeyValueTable, Order, Row, RowBuffer, TableOptions, Update,
};

use super::write::store_error;
use super::{KeyBounds, StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::error::{Error, Result};
use crate::outbox::OutTopic;
use crate::serdes::{Serde, SerdeContext, SerdeError};

/// A key-value store of a task.
pub(crate) struct KeyValueState<K, V> {
    name: Arc<str>,
    topic: Arc<str>,
    changelog: Option<OutTopic>,
    cached: bool,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    table: KeyValueTable,
    sealed: std::collections::VecDeque<anabranch_state_store::Epoch>,
    key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
    emission: EmissionBuffer,
}

/// A value and its time.
pub(crate) type Timestamped<V> = (V, i64);

/// What an update of a row came to.
pub(crate) enum Updated<V> {
    /// There is a new value, of this time.
    Put(V, i64),
    /// The row is gone.
    Deleted,
}

/// A row that a cached store emits, typed.
pub(crate) struct Emitted<K, V> {
    pub(crate) key: K,
    pub(crate) new: Option<Timestamped<V>>,
    pub(crate) old: Option<V>,
}

impl<K: 'static, V: 'static> KeyValueState<K, V> {
    /// Makes such stores.
    pub(crate) fn supplier(key: Arc<dyn Serde<K>>, value: Arc<dyn Serde<V>>) -> StoreSupplier {
        StoreSupplier::of(move |init| Ok(KeyValueState::new(init, Arc::clone(&key), Arc::clone(&value))))
    }

    fn new(init: &StoreInit, key: Arc<dyn Serde<K>>, value: Arc<dyn Serde<V>>) -> Self {
        KeyValueState {
            name: Arc::clone(&init.name),
            topic: Arc::clone(&init.topic),
            changelog: init.changelog.clone(),
            cached: init.cached,
            key,
            value,
            table: KeyValueTable::in_memory(TableOptions { cached: init.cached }),
            sealed: Default::default(),
            key_bytes: Vec::new(),
            value_bytes: Vec::new(),
            emission: EmissionBuffer::default(),
        }
    }

    /// Whether updates are emitted at a flush, not at once.
    pub(crate) fn is_cached(&self) -> bool {
        self.cached
    }

    /// The newest value of a key.
    pub(crate) fn get(&mut self, key: &K) -> Result<Option<Timestamped<V>>> {
        self.write_key(key)?;
        let row = self.table.get(&self.key_bytes).map_err(|error| store_error(&self.name, error))?;
        row.map(|row| read(&*self.value, &self.topic, row))
            .transpose()
            .map_err(|error| self.unreadable(error))
    }

    /// Writes a value with its time, or deletes it.
    pub(crate) fn put(
        &mut self,
        key: &K,
        value: Option<(&V, i64)>,
        write: &mut WriteContext<'_>,
    ) -> Result<()> {
        self.write_key(key)?;
        self.value_bytes.clear();
        let timestamp = match value {
            Some((value, timestamp)) => {
                self.value
                    .serialize(&SerdeContext::value(&self.topic), value, &mut self.value_bytes)
                    .map_err(|error| self.unwritable(error))?;
                Some(timestamp)
            }
            None => None,
        };
        let row = timestamp.map(|timestamp| Row::new(&self.value_bytes, timestamp));
        self.table
            .put(&self.key_bytes, row, &write.table())
            .map_err(|error| store_error(&self.name, error))?;
        self.log(timestamp, write)
    }

    /// Shows the newest value of a key to `change`, which gives the new one: one probe.
    pub(crate) fn update(
        &mut self,
        key: &K,
        write: &mut WriteContext<'_>,
        change: impl FnOnce(Option<Timestamped<V>>) -> Result<Updated<V>>,
    ) -> Result<Updated<V>> {
        self.write_key(key)?;
        let Self { table, key_bytes, value_bytes, value: serde, topic, .. } = self;
        let mut outcome: Option<Result<Updated<V>>> = None;
        let apply = |old: Option<Row<'_>>, new: &mut RowBuffer| -> Update {
            let updated = old
                .map(|row| read(&**serde, topic, row))
                .transpose()
                .map_err(|error| Error::record(format_args!("a row is not readable: {error}")))
                .and_then(change);
            let done = match &updated {
                Ok(Updated::Put(value, timestamp)) => {
                    value_bytes.clear();
                    match serde.serialize(&SerdeContext::value(topic), value, value_bytes) {
                        Ok(()) => {
                            new.value.extend_from_slice(value_bytes);
                            new.timestamp = *timestamp;
                            Update::Put
                        }
                        Err(error) => {
                            outcome =
                                Some(Err(Error::record(format_args!("a value is not writable: {error}"))));
                            return Update::Keep;
                        }
                    }
                }
                Ok(Updated::Deleted) => Update::Delete,
                Err(_) => Update::Keep,
            };
            outcome = Some(updated);
            done
        };
        table.update(key_bytes, &write.table(), apply).map_err(|error| store_error(&self.name, error))?;
        let updated = outcome.unwrap_or_else(|| Err(Error::fatal("a table updates by calling back")))?;
        let timestamp = match &updated {
            Updated::Put(_, timestamp) => Some(*timestamp),
            Updated::Deleted => None,
        };
        self.log(timestamp, write)?;
        Ok(updated)
    }

    /// Logs what has just been written, unless a flush will.
    #[inline]
    fn log(&mut self, timestamp: Option<i64>, write: &mut WriteContext<'_>) -> Result<()> {
        match &self.changelog {
            Some(changelog) if !self.cached => {
                let value = timestamp.map(|_| self.value_bytes.as_slice());
                let at = timestamp.unwrap_or(write.timestamp);
                write.log(changelog, &self.key_bytes, value, Some(at), &[])
            }
            _ => Ok(()),
        }
    }

    /// Where a flush that starts now ends.
    pub(crate) fn pending_writes(&self) -> usize {
        self.table.pending_writes()
    }

    /// The next row to be emitted among those written before `writes`. Give the buffer back with
    /// [`put_back`](Self::put_back).
    pub(crate) fn take_pending(&mut self, writes: usize) -> Option<EmissionBuffer> {
        let mut emission = std::mem::take(&mut self.emission);
        if self.table.take_pending(writes, &mut emission) {
            Some(emission)
        } else {
            self.emission = emission;
            None
        }
    }

    pub(crate) fn put_back(&mut self, emission: EmissionBuffer) {
        self.emission = emission;
    }

    /// Logs a row that is being emitted.
    pub(crate) fn log_emission(
        &mut self,
        emission: &Emission<'_>,
        write: &mut WriteContext<'_>,
    ) -> Result<()> {
        let Some(changelog) = &self.changelog else { return Ok(()) };
        let at = emission.new.map_or(emission.context.timestamp, |row| row.timestamp);
        write.log(changelog, emission.key, emission.new.map(|row| row.value), Some(at), &[])
    }

    /// A row that is being emitted, typed.
    pub(crate) fn read_emission(&self, emission: &Emission<'_>, with_old: bool) -> Result<Emitted<K, V>> {
        let key = self.key.deserialize(&SerdeContext::key(&self.topic), emission.key);
        let value = |row: Row<'_>| read(&*self.value, &self.topic, row);
        let typed = || -> Result<Emitted<K, V>, SerdeError> {
            let old = emission.old.filter(|_| with_old).map(value).transpose()?.map(|(value, _)| value);
            Ok(Emitted { key: key?, new: emission.new.map(value).transpose()?, old })
        };
        typed().map_err(|error| self.unreadable(error))
    }

    #[inline]
    fn write_key(&mut self, key: &K) -> Result<()> {
        self.key_bytes.clear();
        match self.key.serialize(&SerdeContext::key(&self.topic), key, &mut self.key_bytes) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.unwritable(error)),
        }
    }

    #[cold]
    fn unreadable(&self, error: SerdeError) -> Error {
        Error::record(format_args!("store `{}`: a row is not readable: {error}", self.name))
    }

    #[cold]
    fn unwritable(&self, error: SerdeError) -> Error {
        Error::record(format_args!("store `{}`: a row is not writable: {error}", self.name))
    }
}

#[inline]
fn read<V: 'static>(serde: &dyn Serde<V>, topic: &str, row: Row<'_>) -> Result<Timestamped<V>, SerdeError> {
    Ok((serde.deserialize(&SerdeContext::value(topic), row.value)?, row.timestamp))
}

impl<K: 'static, V: 'static> TaskStore for KeyValueState<K, V> {
    fn name(&self) -> &str {
        &self.name
    }

    fn has_pending(&self) -> bool {
        self.table.pending_rows() > 0
    }

    fn flush(&mut self, write: &mut WriteContext<'_>) -> Result<()> {
        let writes = self.pending_writes();
        while let Some(emission) = self.take_pending(writes) {
            let logged = self.log_emission(&emission.emission(), write);
            self.put_back(emission);
            logged?;
        }
        Ok(())
    }

    fn before_seal(&mut self, _: &mut WriteContext<'_>) -> Result<()> {
        Ok(())
    }

    fn seal(&mut self) -> Result<()> {
        let epoch = self.table.seal_epoch().map_err(|error| store_error(&self.name, error))?;
        self.sealed.push_back(epoch);
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        match self.sealed.pop_front() {
            Some(epoch) => {
                self.table.commit_epoch(epoch, None).map_err(|error| store_error(&self.name, error))
            }
            None => Err(Error::fatal(format_args!("store `{}` has no epoch to commit", self.name))),
        }
    }

    fn abort(&mut self) {
        self.sealed.clear();
        self.table.abort();
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>, timestamp: i64, _: &[u8]) -> Result<()> {
        let row = value.map(|value| Row::new(value, timestamp));
        let context = anabranch_state_store::Context::none(timestamp);
        self.table.put(key, row, &context).map_err(|error| store_error(&self.name, error))
    }

    fn changelog(&self) -> Option<&OutTopic> {
        self.changelog.as_ref()
    }

    fn committed_row(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let row = self.table.get_committed(key).map_err(|error| store_error(&self.name, error))?;
        Ok(row.map(|row| row.value.to_vec()))
    }

    fn committed_rows(&mut self, bounds: &KeyBounds) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let failed = |error| store_error(&self.name, error);
        let range = KeyRange::new(bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice));
        let mut keys = Vec::new();
        let collect = |key: &[u8], _: Row<'_>| {
            keys.push(key.to_vec());
            std::ops::ControlFlow::Continue(())
        };
        self.table.scan(&range, Order::Forward, collect).map_err(failed)?;
        let mut rows = Vec::new();
        for key in keys {
            if let Some(row) = self.table.get_committed(&key).map_err(failed)? {
                rows.push((key, row.value.to_vec()));
            }
        }
        Ok(rows)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.table.uncommitted_bytes()
    }

    fn pending_bytes(&self) -> usize {
        self.table.pending_bytes()
    }
}
