//! Records of a left or outer join that have met nothing yet, by time: Kafka Streams' shared store.
//!
//! Key layout: the time, the side (1 left, 0 right), the key. A row is a list of values (Kafka's list format) with the
//! side in front of each; every change of a list is logged as a whole. The join reads and writes the values, each side
//! its own.

use std::ops::ControlFlow;
use std::sync::Arc;

use anabranch_state_store::{KeyRange, Order, Row};

use super::rows::{Rows, commit_as_rows, leave_to_rows};
use super::{StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::error::Result;
use crate::serdes::{Serde, SerdeContext};

/// Time and side stand before the key.
const PREFIX_BYTES: usize = 9;

/// A side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    fn byte(self) -> u8 {
        u8::from(self == Side::Left)
    }

    /// The other one.
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

/// The unjoined records of a join.
pub(crate) struct UnjoinedState<K> {
    rows: Rows,
    topic: Arc<str>,
    key: Arc<dyn Serde<K>>,
    key_bytes: Vec<u8>,
    list: Vec<u8>,
}

/// The records of a key, a time and a side.
pub(crate) struct UnjoinedRow {
    pub(crate) time: i64,
    pub(crate) side: Side,
    /// As it is stored.
    key: Vec<u8>,
    list: Vec<u8>,
}

/// What to do with a row.
pub(crate) enum Take {
    It,
    Next,
    NoMore,
}

impl<K: 'static> UnjoinedState<K> {
    /// Makes such stores.
    pub(crate) fn supplier(key: Arc<dyn Serde<K>>) -> StoreSupplier {
        StoreSupplier::of(move |init: &StoreInit| {
            Ok(UnjoinedState {
                rows: Rows::new(init)?,
                topic: Arc::clone(&init.topic),
                key: Arc::clone(&key),
                key_bytes: Vec::new(),
                list: Vec::new(),
            })
        })
    }

    fn write_key(&mut self, time: i64, side: Side, key: &K) -> Result<()> {
        self.key_bytes.clear();
        self.key_bytes.extend_from_slice(&time.to_be_bytes());
        self.key_bytes.push(side.byte());
        let written = self.key.serialize(&SerdeContext::key(&self.topic), key, &mut self.key_bytes);
        written.map_err(|error| self.rows.unwritable(error))
    }

    /// Adds a record of a side, at the time of the record that is being processed.
    pub(crate) fn add<V: 'static>(
        &mut self,
        side: Side,
        key: &K,
        value: (&dyn Serde<V>, &V),
        write: &mut WriteContext<'_>,
    ) -> Result<()> {
        self.write_key(write.timestamp, side, key)?;
        self.list.clear();
        match self.rows.get(&self.key_bytes)? {
            Some(row) => self.list.extend_from_slice(row.value),
            // A list of elements of varying length, none yet.
            None => self.list.extend_from_slice(&[1, 0, 0, 0, 0]),
        }
        let start = self.list.len();
        self.list.extend_from_slice(&[0, 0, 0, 0, side.byte()]);
        let (serde, value) = value;
        let written = serde.serialize(&SerdeContext::value(&self.topic), value, &mut self.list);
        written.map_err(|error| self.rows.unwritable(error))?;
        let bytes = (self.list.len() - start - 4) as u32;
        self.list[start..start + 4].copy_from_slice(&bytes.to_be_bytes());
        let count = u32::from_be_bytes([self.list[1], self.list[2], self.list[3], self.list[4]]) + 1;
        self.list[1..5].copy_from_slice(&count.to_be_bytes());
        let row = Row::new(&self.list, write.timestamp);
        self.rows.put(&self.key_bytes, Some(row), write)
    }

    /// Removes the records of a key, a time and a side, if there are any: one of them has met something.
    pub(crate) fn remove_joined(
        &mut self,
        time: i64,
        side: Side,
        key: &K,
        write: &mut WriteContext<'_>,
    ) -> Result<()> {
        self.write_key(time, side, key)?;
        if self.rows.get(&self.key_bytes)?.is_some() {
            self.rows.put(&self.key_bytes, None, write)?;
        }
        Ok(())
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, row: &UnjoinedRow, write: &mut WriteContext<'_>) -> Result<()> {
        self.rows.put(&row.key, None, write)
    }

    /// The rows that `take` picks, by time, then right before left, then by key.
    pub(crate) fn rows(&mut self, mut take: impl FnMut(i64, Side) -> Take) -> Result<Vec<UnjoinedRow>> {
        let mut found = Vec::new();
        self.rows.scan(&KeyRange::all(), Order::Forward, |key, row| {
            let (time, side) = (time_of(key), side_of(key));
            match take(time, side) {
                Take::It => {
                    found.push(UnjoinedRow { time, side, key: key.to_vec(), list: row.value.to_vec() })
                }
                Take::Next => {}
                Take::NoMore => return ControlFlow::Break(()),
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// The key of a row.
    pub(crate) fn key_of(&self, row: &UnjoinedRow) -> Result<K> {
        let bytes = row.key.get(PREFIX_BYTES..).unwrap_or(&[]);
        let key = self.key.deserialize(&SerdeContext::key(&self.topic), bytes);
        key.map_err(|error| self.rows.unreadable(error))
    }

    /// The values of a row.
    pub(crate) fn values_of<V: 'static>(&self, row: &UnjoinedRow, serde: &dyn Serde<V>) -> Result<Vec<V>> {
        let at = SerdeContext::value(&self.topic);
        let mut values = Vec::new();
        let mut rest = row.list.get(5..).unwrap_or(&[]);
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let Some(([_, value @ ..], after)) = after.split_at_checked(length) else {
                return Err(self.rows.unreadable("a list is cut short"));
            };
            values.push(serde.deserialize(&at, value).map_err(|error| self.rows.unreadable(error))?);
            rest = after;
        }
        Ok(values)
    }
}

fn time_of(key: &[u8]) -> i64 {
    key.first_chunk::<8>().map_or(-1, |time| i64::from_be_bytes(*time))
}

fn side_of(key: &[u8]) -> Side {
    if key.get(8) == Some(&1) { Side::Left } else { Side::Right }
}

impl<K: 'static> TaskStore for UnjoinedState<K> {
    leave_to_rows!(rows);
    commit_as_rows!(rows);

    fn abort(&mut self) {
        self.rows.abort();
    }
}
