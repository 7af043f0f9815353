//! The undo list of an epoch: what rows were before the epoch first wrote them.
//!
//! Commit forgets the list, abort puts it back, newest first. The bytes lie in one buffer that is used again.

use super::entry::Entry;
use super::share::InMemory;
use crate::row::Row;

const ABSENT: u32 = u32::MAX;
/// A buffer larger than this that was used to less than a quarter is given back.
const SHRINK_BYTES: usize = 1 << 20;

/// Previous rows, one a key and epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct UndoList {
    slots: Vec<u32>,
    saved: Vec<Saved>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Saved {
    start: usize,
    timestamp: i64,
    epoch: u64,
    undo: u32,
    value_length: u32,
    headers_length: u32,
}

/// What an entry was before the epoch wrote it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Previous<'a> {
    pub(crate) row: Option<Row<'a>>,
    /// The epoch that wrote that row.
    pub(crate) epoch: u64,
    /// Where the undo list of that epoch has the key, if that epoch is still open.
    pub(crate) undo: u32,
}

impl UndoList {
    /// Saves the entry as it is; returns the position.
    #[inline]
    pub(crate) fn push(&mut self, slot: u32, entry: &Entry) -> u32 {
        let position = self.slots.len() as u32;
        let start = self.bytes.len();
        let (value_length, headers_length, timestamp) = match entry.row() {
            None => (ABSENT, 0, 0),
            Some(row) => {
                self.bytes.extend_from_slice(row.value);
                if !row.headers.is_empty() {
                    self.bytes.extend_from_slice(row.headers);
                }
                (row.value.len() as u32, row.headers.len() as u32, row.timestamp)
            }
        };
        self.slots.push(slot);
        let (epoch, undo) = (entry.epoch, entry.undo);
        self.saved.push(Saved { start, timestamp, epoch, undo, value_length, headers_length });
        position
    }

    pub(crate) fn previous(&self, position: u32) -> Previous<'_> {
        let saved = self.saved[position as usize];
        let row = (saved.value_length != ABSENT).then(|| {
            let rest = &self.bytes[saved.start..];
            let (value, rest) = rest.split_at(saved.value_length as usize);
            Row { value, timestamp: saved.timestamp, headers: &rest[..saved.headers_length as usize] }
        });
        Previous { row, epoch: saved.epoch, undo: saved.undo }
    }

    /// The slots of the rows that the epoch wrote, in the order of the first write.
    pub(crate) fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Empties it for the next epoch.
    pub(crate) fn clear(&mut self) {
        if self.bytes.capacity() > SHRINK_BYTES && self.bytes.len() < self.bytes.capacity() / 4 {
            self.bytes = Vec::new();
        }
        if self.saved.capacity() * size_of::<Saved>() > SHRINK_BYTES
            && self.saved.len() < self.saved.capacity() / 4
        {
            self.saved = Vec::new();
            self.slots = Vec::new();
        }
        self.slots.clear();
        self.saved.clear();
        self.bytes.clear();
    }
}

impl InMemory for UndoList {
    fn bytes(&self) -> usize {
        self.slots.len() * (size_of::<u32>() + size_of::<Saved>()) + self.bytes.len()
    }
}
