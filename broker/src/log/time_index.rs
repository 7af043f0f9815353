//! From a timestamp to an offset: `%020d.timeindex`.
//!
//! ```text
//! entry: largest timestamp so far i64, offset relative to the segment's base i32      12 bytes, big-endian, rising
//! ```
//! An entry says: every batch with a later timestamp comes after the offset. So the first record at or after a timestamp
//! is to be looked for behind the last entry below it. The last entry of a closed segment holds the segment's largest
//! timestamp and the last offset of the first batch that has it.

use std::io;

use anabranch_protocol::records::NO_TIMESTAMP;

use super::index_file::IndexFile;
use crate::open_files::LazyFile;

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 12;

/// The time index of one segment.
#[derive(Debug)]
pub(super) struct TimeIndex {
    base_offset: i64,
    entries: IndexFile<ENTRY_BYTES>,
}

/// A timestamp and the last offset of the batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimestampOffset {
    /// Milliseconds since 1970, -1 for none.
    pub(super) timestamp: i64,
    /// The last offset of the batch.
    pub(super) offset: i64,
}

fn read(base_offset: i64, entry: [u8; ENTRY_BYTES]) -> TimestampOffset {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = entry;
    TimestampOffset {
        timestamp: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        offset: base_offset + i64::from(i32::from_be_bytes([i, j, k, l])),
    }
}

impl TimeIndex {
    pub(super) fn empty(base_offset: i64, file: LazyFile) -> Self {
        TimeIndex { base_offset, entries: IndexFile::empty(file) }
    }

    /// The index in `file`, if all of it can be true.
    pub(super) fn load(base_offset: i64, file: LazyFile) -> io::Result<Self> {
        let (entries, raw) = IndexFile::load(file)?;
        let mut last: Option<TimestampOffset> = None;
        for entry in raw {
            let entry = read(base_offset, entry);
            let rises =
                last.is_none_or(|last| entry.timestamp > last.timestamp && entry.offset > last.offset);
            if !rises || entry.offset < base_offset || entry.timestamp < 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a time index does not rise"));
            }
            last = Some(entry);
        }
        Ok(TimeIndex { base_offset, entries })
    }

    /// Notes the largest timestamp so far, unless it is noted already.
    pub(super) fn maybe_push(&mut self, largest: TimestampOffset) -> io::Result<()> {
        let last = self.last()?;
        if largest.timestamp <= last.map_or(NO_TIMESTAMP, |last| last.timestamp) {
            return Ok(());
        }
        let relative = i32::try_from(largest.offset - self.base_offset).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "an offset too far from its segment's")
        })?;
        let [a, b, c, d, e, f, g, h] = largest.timestamp.to_be_bytes();
        let [i, j, k, l] = relative.to_be_bytes();
        self.entries.push([a, b, c, d, e, f, g, h, i, j, k, l])
    }

    /// The last entry below `timestamp`: behind its offset is to be looked for the first record at or after it.
    pub(super) fn below(&self, timestamp: i64) -> io::Result<Option<TimestampOffset>> {
        self.last_of(|entry| entry.timestamp < timestamp)
    }

    /// The last entry whose offset lies before `bound`: no batch up to its offset has a larger timestamp.
    pub(super) fn before(&self, bound: i64) -> io::Result<Option<TimestampOffset>> {
        self.last_of(|entry| entry.offset < bound)
    }

    /// The last of the first entries, all of which are as `is_before` says.
    fn last_of(&self, is_before: impl Fn(TimestampOffset) -> bool) -> io::Result<Option<TimestampOffset>> {
        let count = self.entries.partition_point(|entry| is_before(read(self.base_offset, *entry)))?;
        let Some(last) = count.checked_sub(1) else { return Ok(None) };
        Ok(Some(read(self.base_offset, self.entries.entry(last)?)))
    }

    /// The last entry.
    pub(super) fn last(&self) -> io::Result<Option<TimestampOffset>> {
        Ok(self.entries.last()?.map(|entry| read(self.base_offset, entry)))
    }

    /// Bytes the index takes.
    pub(super) fn bytes(&self) -> usize {
        self.entries.len() * ENTRY_BYTES
    }

    /// Drops the entries that name `offset` or a later one.
    pub(super) fn truncate(&mut self, offset: i64) -> io::Result<()> {
        let base_offset = self.base_offset;
        let length = self.entries.partition_point(|entry| read(base_offset, *entry).offset < offset)?;
        self.entries.truncate(length)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.entries.flush()
    }
}
