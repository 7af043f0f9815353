//! Records of one partition that wait to be processed.
//!
//! Their bytes are copied into large chunks, so that a record costs neither an allocation nor a reference count, and a
//! chunk that has been read is used again.

use std::collections::VecDeque;

use crate::processor::RawInput;

/// A chunk takes records until it holds this many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// A queue of raw records, first in, first out.
#[derive(Default)]
pub(super) struct RecordQueue {
    chunks: VecDeque<Chunk>,
    spare: Option<Chunk>,
    records: usize,
    /// Of the records in the chunks, those that have been read but lie in one that has not as a whole included.
    bytes: usize,
}

#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// The first entry that has not been read.
    next: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    offset: i64,
    timestamp: i64,
    start: usize,
    key: Option<u32>,
    value: Option<u32>,
    headers: u32,
}

impl RecordQueue {
    pub(super) fn push(&mut self, record: RawInput<'_>) {
        if self.chunks.back().is_none_or(|chunk| chunk.bytes.len() >= CHUNK_BYTES) {
            self.chunks.push_back(self.spare.take().unwrap_or_default());
        }
        let Some(chunk) = self.chunks.back_mut() else { return };
        let start = chunk.bytes.len();
        // Kafka's lengths are 32 bits.
        let mut append = |part: &[u8]| {
            chunk.bytes.extend_from_slice(part);
            part.len() as u32
        };
        let (key, value) = (record.key.map(&mut append), record.value.map(&mut append));
        let headers = if record.headers.is_empty() { 0 } else { append(record.headers) };
        chunk.entries.push(Entry {
            offset: record.offset,
            timestamp: record.timestamp,
            start,
            key,
            value,
            headers,
        });
        self.records += 1;
        self.bytes += chunk.bytes.len() - start + size_of::<Entry>();
    }

    /// The oldest record.
    #[inline(always)]
    pub(super) fn head(&self) -> Option<RawInput<'_>> {
        let chunk = self.chunks.front()?;
        let entry = chunk.entries.get(chunk.next)?;
        let mut rest = &chunk.bytes[entry.start..];
        let mut take = |length: u32| {
            let (part, left) = rest.split_at(length as usize);
            rest = left;
            part
        };
        let (key, value, headers) =
            (entry.key.map(&mut take), entry.value.map(&mut take), take(entry.headers));
        Some(RawInput { offset: entry.offset, timestamp: entry.timestamp, key, value, headers })
    }

    /// Forgets the oldest record.
    #[inline]
    pub(super) fn pop(&mut self) {
        let Some(chunk) = self.chunks.front_mut() else { return };
        chunk.next += 1;
        self.records -= 1;
        if chunk.next < chunk.entries.len() {
            return;
        }
        self.bytes -= chunk.bytes.len() + chunk.entries.len() * size_of::<Entry>();
        chunk.bytes.clear();
        chunk.entries.clear();
        chunk.next = 0;
        // A chunk that one huge record has grown is not kept; the only one stays where it is.
        let is_huge = chunk.bytes.capacity() > 2 * CHUNK_BYTES;
        if self.chunks.len() > 1 || is_huge {
            let read = self.chunks.pop_front();
            self.spare = if is_huge { self.spare.take() } else { read };
        }
    }

    /// Forgets all records.
    pub(super) fn clear(&mut self) {
        *self = RecordQueue { spare: self.spare.take(), ..RecordQueue::default() };
    }

    /// The memory that records take; it becomes free a chunk at a time.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many records wait.
    pub(super) fn len(&self) -> usize {
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        let mut queue = RecordQueue::default();
        let big = vec![7u8; CHUNK_BYTES];
        type Parts<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [u8]);
        let records: [Parts<'_>; 5] = [
            (Some(b"k"), Some(b"v"), b""),
            (None, Some(&big), b"h"),
            (Some(b""), None, b""),
            (None, None, b""),
            (Some(&big), Some(&big), b""),
        ];
        for round in 0..3 {
            for (offset, (key, value, headers)) in records.iter().enumerate() {
                let offset = offset as i64;
                queue.push(RawInput { offset, timestamp: offset + round, key: *key, value: *value, headers });
            }
            for (offset, (key, value, headers)) in records.iter().enumerate() {
                assert_eq!(queue.len(), records.len() - offset);
                let head = queue.head().unwrap();
                assert_eq!((head.key, head.value, head.headers), (*key, *value, *headers));
                assert_eq!((head.offset, head.timestamp), (offset as i64, offset as i64 + round));
                queue.pop();
            }
            assert!(queue.head().is_none());
            assert_eq!(queue.bytes(), 0);
        }
        queue.push(RawInput { offset: 0, timestamp: 0, key: None, value: None, headers: &[] });
        assert_eq!(queue.bytes(), size_of::<Entry>());
        queue.clear();
        assert_eq!((queue.len(), queue.bytes(), queue.head().is_none()), (0, 0, true));
    }
}
