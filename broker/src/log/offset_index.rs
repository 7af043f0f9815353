//! From an offset to a place in the segment: `%020d.index`.
//!
//! ```text
//! entry: offset relative to the segment's base i32, position of the batch i32      8 bytes, big-endian, rising
//! ```
//! The offset is the *last* one of the batch at the position, as in Kafka. So the batch that holds an offset begins at or
//! after the position of the last entry that is not above it.

use std::io;

use super::index_file::IndexFile;
use crate::open_files::LazyFile;

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 8;

/// The offset index of one segment.
#[derive(Debug)]
pub(super) struct OffsetIndex {
    base_offset: i64,
    entries: IndexFile<ENTRY_BYTES>,
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetPosition {
    /// The last offset of a batch.
    pub(super) offset: i64,
    /// Where the batch begins.
    pub(super) position: u32,
}

fn read(base_offset: i64, entry: [u8; ENTRY_BYTES]) -> OffsetPosition {
    let [a, b, c, d, e, f, g, h] = entry;
    OffsetPosition {
        offset: base_offset + i64::from(i32::from_be_bytes([a, b, c, d])),
        position: u32::from_be_bytes([e, f, g, h]),
    }
}

impl OffsetIndex {
    pub(super) fn empty(base_offset: i64, file: LazyFile) -> Self {
        OffsetIndex { base_offset, entries: IndexFile::empty(file) }
    }

    /// The index in `file`, if all of it can be true of a segment of `segment_bytes`.
    pub(super) fn load(base_offset: i64, file: LazyFile, segment_bytes: u32) -> io::Result<Self> {
        let (entries, raw) = IndexFile::load(file)?;
        let mut last: Option<OffsetPosition> = None;
        for entry in raw {
            let entry = read(base_offset, entry);
            let rises = last.is_none_or(|last| entry.offset > last.offset && entry.position > last.position);
            if !rises || entry.offset < base_offset || entry.position >= segment_bytes {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an offset index does not rise"));
            }
            last = Some(entry);
        }
        Ok(OffsetIndex { base_offset, entries })
    }

    /// Notes that the batch at `position` ends with `last_offset`.
    pub(super) fn push(&mut self, last_offset: i64, position: u32) -> io::Result<()> {
        let relative = i32::try_from(last_offset - self.base_offset).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "an offset too far from its segment's")
        })?;
        let [a, b, c, d] = relative.to_be_bytes();
        let [e, f, g, h] = position.to_be_bytes();
        self.entries.push([a, b, c, d, e, f, g, h])
    }

    /// The entry at which to begin the search for `offset`; none: at the beginning.
    pub(super) fn floor(&self, offset: i64) -> io::Result<Option<OffsetPosition>> {
        let above = self.entries.partition_point(|entry| read(self.base_offset, *entry).offset <= offset)?;
        match above.checked_sub(1) {
            Some(position) => Ok(Some(read(self.base_offset, self.entries.entry(position)?))),
            None => Ok(None),
        }
    }

    /// The last entry.
    pub(super) fn last(&self) -> io::Result<Option<OffsetPosition>> {
        Ok(self.entries.last()?.map(|entry| read(self.base_offset, entry)))
    }

    /// Bytes the index takes.
    pub(super) fn bytes(&self) -> usize {
        self.entries.len() * ENTRY_BYTES
    }

    /// Drops the entries of batches that lie at `position` or behind it.
    pub(super) fn truncate(&mut self, position: u32) -> io::Result<()> {
        let length = self.entries.partition_point(|entry| read(0, *entry).position < position)?;
        self.entries.truncate(length)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.entries.flush()
    }
}
