//! One key with its newest row, in two cache lines.
//!
//! Key, value and headers lie in one buffer behind each other: inside the entry up to [`INLINE_BYTES`], else in one
//! allocation that is written over in place. So an update of an existing key allocates only if it must grow.

use crate::row::Row;

/// Bytes of key, value and headers together that need no allocation.
pub(crate) const INLINE_BYTES: usize = 79;
/// Longest key, value or headers: lengths are 32 bits and one value of them is taken.
pub(crate) const MAX_BYTES: usize = u32::MAX as usize - 1;
/// No position in an undo or pending list.
pub(crate) const NONE: u32 = u32::MAX;
const ABSENT: u32 = u32::MAX;
/// A heap buffer larger than this that is used to less than a quarter is given back.
const SHRINK_BYTES: usize = 1024;

/// A key and its newest row (or its absence), and where the lists of the table have it.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Entry {
    bytes: Packed,
    timestamp: i64,
    /// The epoch of the last write; 0 if the row came from the engine.
    pub(crate) epoch: u64,
    /// The hash under which the index has it.
    pub(crate) hash: u32,
    /// Position in the undo list of `epoch`, while that epoch is not committed.
    pub(crate) undo: u32,
    /// Position in the pending list, or [`NONE`].
    pub(crate) pending: u32,
    key_length: u32,
    value_length: u32,
    headers_length: u32,
    /// Its place among the slots of its segment, if the table has segments.
    pub(crate) place: u32,
    /// Used since the hand of the eviction last came by.
    pub(crate) referenced: bool,
    /// Whether it is in the table's list of tombstones.
    pub(crate) tombstone: bool,
    /// Whether the slot holds a key at all.
    pub(crate) occupied: bool,
}

#[derive(Clone, Debug)]
enum Packed {
    Inline([u8; INLINE_BYTES]),
    Heap(Vec<u8>),
}

impl Entry {
    /// An entry of no value.
    pub(crate) fn absent(key: &[u8], hash: u32) -> Self {
        let mut entry = Entry::vacant();
        entry.occupied = true;
        entry.hash = hash;
        entry.key_length = key.len() as u32;
        if key.len() <= INLINE_BYTES {
            entry.inline(key);
        } else {
            entry.bytes = Packed::Heap(key.to_vec());
        }
        entry
    }

    /// A slot without a key.
    pub(crate) fn vacant() -> Self {
        Entry {
            bytes: Packed::Inline([0; INLINE_BYTES]),
            timestamp: 0,
            epoch: 0,
            hash: 0,
            undo: NONE,
            pending: NONE,
            key_length: 0,
            value_length: ABSENT,
            headers_length: 0,
            place: 0,
            referenced: false,
            tombstone: false,
            occupied: false,
        }
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        &self.as_slice()[..self.key_length as usize]
    }

    #[inline]
    pub(crate) fn is_absent(&self) -> bool {
        self.value_length == ABSENT
    }

    #[inline]
    pub(crate) fn row(&self) -> Option<Row<'_>> {
        self.key_and_row().1
    }

    #[inline]
    pub(crate) fn key_and_row(&self) -> (&[u8], Option<Row<'_>>) {
        let (key, rest) = self.as_slice().split_at(self.key_length as usize);
        if self.is_absent() {
            return (key, None);
        }
        let (value, rest) = rest.split_at(self.value_length as usize);
        let headers = &rest[..self.headers_length as usize];
        (key, Some(Row { value, timestamp: self.timestamp, headers }))
    }

    /// Writes the row; the key stays.
    #[inline]
    pub(crate) fn set(&mut self, row: Option<Row<'_>>) {
        let Some(row) = row else { return self.set_absent() };
        let key_length = self.key_length as usize;
        let value_end = key_length + row.value.len();
        let end = value_end + row.headers.len();
        match &mut self.bytes {
            Packed::Inline(bytes) if end <= INLINE_BYTES => {
                bytes[key_length..value_end].copy_from_slice(row.value);
                if !row.headers.is_empty() {
                    bytes[value_end..end].copy_from_slice(row.headers);
                }
            }
            Packed::Inline(bytes) => {
                let mut heap = Vec::with_capacity(end);
                heap.extend_from_slice(&bytes[..key_length]);
                heap.extend_from_slice(row.value);
                heap.extend_from_slice(row.headers);
                self.bytes = Packed::Heap(heap);
            }
            Packed::Heap(bytes) => {
                bytes.truncate(key_length);
                if bytes.capacity() > SHRINK_BYTES && end < bytes.capacity() / 4 {
                    bytes.shrink_to(end);
                }
                bytes.extend_from_slice(row.value);
                bytes.extend_from_slice(row.headers);
            }
        }
        self.timestamp = row.timestamp;
        self.value_length = row.value.len() as u32;
        self.headers_length = row.headers.len() as u32;
    }

    /// Bytes of key, value and headers.
    pub(crate) fn packed_bytes(&self) -> usize {
        let value = if self.is_absent() { 0 } else { self.value_length as usize };
        self.key_length as usize + value + self.headers_length as usize
    }

    /// Bytes outside of the entry.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.bytes {
            Packed::Inline(_) => 0,
            Packed::Heap(bytes) => bytes.capacity(),
        }
    }

    fn set_absent(&mut self) {
        self.value_length = ABSENT;
        self.headers_length = 0;
        self.timestamp = 0;
        let key_length = self.key_length as usize;
        if let Packed::Heap(bytes) = &mut self.bytes {
            if key_length <= INLINE_BYTES {
                let key = std::mem::take(bytes);
                self.inline(&key[..key_length]);
            } else {
                bytes.truncate(key_length);
                bytes.shrink_to_fit();
            }
        }
    }

    fn inline(&mut self, key: &[u8]) {
        let mut inline = [0; INLINE_BYTES];
        inline[..key.len()].copy_from_slice(key);
        self.bytes = Packed::Inline(inline);
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        match &self.bytes {
            Packed::Inline(bytes) => bytes,
            Packed::Heap(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_two_cache_lines() {
        assert_eq!(size_of::<Entry>(), 128);
    }

    #[test]
    fn a_row_survives_every_change_of_size() {
        let sizes = [0, 1, 8, 60, 79, 80, 5000, 100, 79, 0, 3000];
        for key_length in [0, 1, 16, 78, 79, 80, 500] {
            let key = vec![7; key_length];
            let mut entry = Entry::absent(&key, 1);
            for (round, value_length) in sizes.into_iter().enumerate() {
                for headers_length in [0, 3, 90] {
                    let (value, headers) = (vec![round as u8; value_length], vec![9; headers_length]);
                    let row = Row { value: &value, timestamp: round as i64, headers: &headers };
                    entry.set(Some(row));
                    assert_eq!((entry.key(), entry.row()), (&key[..], Some(row)));
                }
                if round % 3 == 0 {
                    entry.set(None);
                    assert_eq!((entry.key(), entry.row()), (&key[..], None));
                    assert!(entry.heap_bytes() <= if key_length > INLINE_BYTES { key_length } else { 0 });
                }
            }
        }
    }
}
