//! What a join of streams keeps of one side: all values of a key, by time, in the order in which they came.
//!
//! Key layout: the key, the time, a sequence number that tells values of one time apart. Values are plain, and each is
//! logged with the headers of its record, as Kafka Streams 4.3 does.

use std::sync::Arc;

use anabranch_state_store::Order;

use super::rows::{Rows, commit_as_rows, leave_to_rows, restore_at_once};
use super::typed::Typed;
use super::{StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::error::Result;
use crate::serdes::Serde;

/// The sequence number stands behind the time, which stands behind the key.
const NUMBER_BYTES: usize = 4;

/// One side of a join.
pub(crate) struct JoinWindowState<K, V> {
    typed: Typed<K, V>,
}

impl<K: 'static, V: 'static> JoinWindowState<K, V> {
    /// Makes such stores.
    pub(crate) fn supplier(
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
        retention_ms: i64,
    ) -> StoreSupplier {
        StoreSupplier::of(move |init: &StoreInit| {
            let rows = Rows::timed(init, retention_ms, NUMBER_BYTES)?;
            Ok(JoinWindowState { typed: Typed::of(rows, init, Arc::clone(&key), Arc::clone(&value)) })
        })
    }

    /// Adds a value. False if its time is older than the store keeps. A null is nothing to keep, but is logged, as in
    /// Kafka Streams.
    pub(crate) fn add(&mut self, key: &K, value: Option<&V>, write: &mut WriteContext<'_>) -> Result<bool> {
        let (timestamp, expiry) = (write.timestamp, self.typed.rows.expiry()?);
        let (admitted, number) = (expiry.admits(timestamp), expiry.next_number());
        if !admitted {
            return Ok(false);
        }
        self.typed.write_key(key)?;
        self.typed.key_bytes.extend_from_slice(&timestamp.to_be_bytes());
        self.typed.key_bytes.extend_from_slice(&number.to_be_bytes());
        match value {
            Some(value) => self.typed.put_with_headers(value, timestamp, write)?,
            None => self.typed.rows.log_null(&self.typed.key_bytes, write)?,
        }
        Ok(true)
    }

    /// Replaces what was found before by the values of a key from one time to another, by time, in the order in which
    /// they came.
    pub(crate) fn fetch(&mut self, key: &K, from: i64, to: i64, found: &mut Vec<(i64, V)>) -> Result<()> {
        found.clear();
        let from = from.max(self.typed.rows.expiry()?.oldest()).max(0);
        if to < from {
            return Ok(());
        }
        self.typed.scan_group(key, (from, to), Order::Forward, |(time, _), (value, _)| {
            found.push((time, value));
        })
    }
}

impl<K: 'static, V: 'static> TaskStore for JoinWindowState<K, V> {
    leave_to_rows!(typed.rows);
    restore_at_once!(typed.rows);
    commit_as_rows!(typed.rows);

    fn abort(&mut self) {
        self.typed.rows.abort();
    }
}
