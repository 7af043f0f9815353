//! What a join of streams keeps of one side: all values of a key, by time, in the order in which they came.
//!
//! Key layout: the key, the time, a sequence number that tells values of one time apart. Values are plain, and each is
//! logged with the headers of its record, as Kafka Streams 4.3 does.

use std::sync::Arc;

use anabranch_state_store::{Order, Row};

use super::epoched::Epoched;
use super::rows::leave_to_rows;
use super::typed::Typed;
use super::{StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::error::{Error, Result};
use crate::serdes::Serde;

/// Time and sequence number stand behind the key.
const SUFFIX_BYTES: usize = 12;

/// How long a segment is at least.
const SEGMENT_MS: i64 = 60_000;

/// One side of a join.
pub(crate) struct JoinWindowState<K, V> {
    typed: Typed<K, V>,
    retention_ms: i64,
    /// The highest time written.
    observed: Epoched<i64>,
    sequence: Epoched<u32>,
    /// What is older was removed.
    removed_before: i64,
}

impl<K: 'static, V: 'static> JoinWindowState<K, V> {
    /// Makes such stores.
    pub(crate) fn supplier(
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
        retention_ms: i64,
    ) -> StoreSupplier {
        StoreSupplier::of(move |init: &StoreInit| {
            Ok(JoinWindowState {
                typed: Typed::new(init, Arc::clone(&key), Arc::clone(&value))?,
                retention_ms,
                observed: Epoched::new(-1),
                sequence: Epoched::new(0),
                removed_before: 0,
            })
        })
    }

    /// Adds a value. False if its time is older than the store keeps. A null is nothing to keep, but is logged, as in
    /// Kafka Streams.
    pub(crate) fn add(&mut self, key: &K, value: Option<&V>, write: &mut WriteContext<'_>) -> Result<bool> {
        let timestamp = write.timestamp;
        self.observed.now = self.observed.now.max(timestamp);
        self.sequence.now = (self.sequence.now + 1) & 0x7fff_ffff;
        let segment_ms = self.segment_ms();
        if timestamp / segment_ms < (self.observed.now - self.retention_ms) / segment_ms {
            return Ok(false);
        }
        self.typed.write_key(key)?;
        self.typed.key_bytes.extend_from_slice(&timestamp.to_be_bytes());
        self.typed.key_bytes.extend_from_slice(&self.sequence.now.to_be_bytes());
        match value {
            Some(value) => self.typed.put_with_headers(value, timestamp, write)?,
            None => self.typed.rows.log_null(&self.typed.key_bytes, write)?,
        }
        Ok(true)
    }

    /// The values of a key from one time to another, by time, in the order in which they came.
    pub(crate) fn fetch(&mut self, key: &K, from: i64, to: i64) -> Result<Vec<(i64, V)>> {
        let from = from.max(self.observed.now - self.retention_ms + 1).max(0);
        if to < from {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        self.typed
            .scan_group(key, (from, to), Order::Forward, |time, (value, _)| found.push((time, value)))?;
        Ok(found)
    }

    fn segment_ms(&self) -> i64 {
        (self.retention_ms / 2).max(SEGMENT_MS)
    }

    fn expire(&mut self) -> Result<()> {
        let segment_ms = self.segment_ms();
        let limit = (self.observed.now - self.retention_ms) / segment_ms * segment_ms;
        if limit <= self.removed_before {
            return Ok(());
        }
        self.removed_before = limit;
        let mut expired: Vec<Vec<u8>> = Vec::new();
        self.typed.rows.scan_in_any_order(|bytes, _| {
            if time_of(bytes) < limit {
                expired.push(bytes.to_vec());
            }
        })?;
        expired.iter().try_for_each(|key| self.typed.rows.remove_silently(key))
    }
}

fn time_of(key: &[u8]) -> i64 {
    let suffix = key.last_chunk::<SUFFIX_BYTES>().and_then(|suffix| suffix.first_chunk::<8>());
    suffix.map_or(-1, |time| i64::from_be_bytes(*time))
}

impl<K: 'static, V: 'static> TaskStore for JoinWindowState<K, V> {
    leave_to_rows!(typed.rows);

    fn seal(&mut self, _: &mut WriteContext<'_>) -> Result<()> {
        self.observed.seal();
        self.sequence.seal();
        self.typed.rows.seal()
    }

    fn commit(&mut self) -> Result<()> {
        self.observed.commit();
        self.sequence.commit();
        self.typed.rows.commit()?;
        // At a commit only: an abort must not bring half of a segment back.
        self.expire()
    }

    fn abort(&mut self) {
        self.observed.abort();
        self.sequence.abort();
        self.typed.rows.abort();
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>, timestamp: i64, _: &[u8]) -> Result<()> {
        let Some(suffix) = key.last_chunk::<SUFFIX_BYTES>() else {
            return Err(Error::fatal(format_args!(
                "a record of the changelog of `{}` has no time",
                self.name()
            )));
        };
        self.observed.resume(self.observed.now.max(time_of(key)));
        // Kafka Streams begins at 0 again, and overwrites rows of the same time; ours goes on.
        let [.., a, b, c, d] = *suffix;
        self.sequence.resume(self.sequence.now.max(u32::from_be_bytes([a, b, c, d])));
        self.typed.rows.restore(key, value.map(|value| Row::new(value, timestamp)))
    }
}
