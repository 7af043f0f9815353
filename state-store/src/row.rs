//! The vocabulary of rows: what a table takes and gives. Bytes only; who calls knows what they mean.

use std::sync::Arc;

/// The value of a key, with the timestamp and the record headers it is stored under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The value.
    pub value: &'a [u8],
    /// The timestamp of the value, in milliseconds.
    pub timestamp: i64,
    /// Encoded record headers; empty if there are none.
    pub headers: &'a [u8],
}

impl<'a> Row<'a> {
    /// A row without headers.
    #[must_use]
    pub const fn new(value: &'a [u8], timestamp: i64) -> Self {
        Row { value, timestamp, headers: &[] }
    }
}

/// A row that owns its bytes and is filled again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowBuffer {
    /// The value.
    pub value: Vec<u8>,
    /// The timestamp of the value, in milliseconds.
    pub timestamp: i64,
    /// Encoded record headers; empty if there are none.
    pub headers: Vec<u8>,
}

impl RowBuffer {
    /// The row in it.
    #[must_use]
    pub fn row(&self) -> Row<'_> {
        Row { value: &self.value, timestamp: self.timestamp, headers: &self.headers }
    }

    /// Copies `row` into it.
    pub fn set(&mut self, row: Row<'_>) {
        self.clear();
        self.value.extend_from_slice(row.value);
        self.headers.extend_from_slice(row.headers);
        self.timestamp = row.timestamp;
    }

    /// Empties it; the memory is kept.
    pub fn clear(&mut self) {
        self.value.clear();
        self.headers.clear();
        self.timestamp = 0;
    }
}

/// What [`update`](crate::KeyValueTable::update) is to do with the row it showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update<'a> {
    /// Leave it as it is; nothing is written, nothing will be emitted.
    Keep,
    /// Write this one.
    Put(Row<'a>),
    /// Delete the row.
    Delete,
}

/// Where a write comes from: the record that was processed when it was made. A cached store emits a row under the
/// context of its last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// The record's timestamp, in milliseconds.
    pub timestamp: i64,
    /// The topic it was read from; `None` if the write comes from a punctuation.
    pub topic: Option<&'a Arc<str>>,
    /// The partition it was read from, -1 if unknown.
    pub partition: i32,
    /// The offset it was read at, -1 if unknown.
    pub offset: i64,
    /// The record's headers, encoded; empty if there are none.
    pub headers: &'a [u8],
}

impl Context<'_> {
    /// A write that comes from no record.
    #[must_use]
    pub const fn none(timestamp: i64) -> Self {
        Context { timestamp, topic: None, partition: -1, offset: -1, headers: &[] }
    }
}

/// What a cached store emits of one key at a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emission<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The newest row; `None` if the key was deleted.
    pub new: Option<Row<'a>>,
    /// The row at the last emission; `None` if there was none.
    pub old: Option<Row<'a>>,
    /// The context of the last write.
    pub context: Context<'a>,
}

/// How far a store's changelog is reflected in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The highest changelog offset whose record the store reflects.
    pub offset: i64,
    /// When that was known, by the wall clock, in milliseconds: an old one may have missed deletions that the broker's
    /// compaction has already forgotten.
    pub wall_clock_ms: i64,
}
