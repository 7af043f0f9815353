//! The pending list of a cached store: what has been written but not yet emitted, in the order of the last write.
//!
//! Per key it keeps the row at the last emission and the context of the last write; the newest row is in the table. The
//! order is a list of positions to which each write appends; a key's earlier positions are stale and are swept when they
//! outnumber the keys, so a write costs one append and no search.

use std::sync::Arc;

use super::entry::Entry;
use crate::row::{Context, Row};

const ABSENT: u32 = u32::MAX;
const NO_TOPIC: u32 = u32::MAX;
const SHRINK_BYTES: usize = 1 << 20;

/// Keys to emit.
#[derive(Debug, Default)]
pub(crate) struct PendingList {
    records: Vec<Pending>,
    /// Indices of `records`; an element counts only if the record says so.
    order: Vec<u32>,
    /// Elements of `order` before this one are done.
    head: usize,
    /// Records not yet taken.
    len: usize,
    /// The record taken last.
    taken: u32,
    bytes: Vec<u8>,
    /// Those that writes came from, also before: a task reads few.
    topics: Vec<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    slot: u32,
    /// Where `order` has it.
    position: u32,
    old_start: usize,
    old_timestamp: i64,
    old_value_length: u32,
    old_headers_length: u32,
    timestamp: i64,
    offset: i64,
    partition: i32,
    topic: u32,
    headers_start: usize,
    headers_length: u32,
    headers_capacity: u32,
}

/// A record taken from the list.
pub(crate) struct Taken<'a> {
    pub(crate) slot: u32,
    pub(crate) old: Option<Row<'a>>,
    pub(crate) context: Context<'a>,
}

impl PendingList {
    /// Adds the key of `entry`, whose row is the one last emitted. Returns its index, to be kept in the entry.
    pub(crate) fn add(&mut self, slot: u32, entry: &Entry, context: &Context<'_>) -> u32 {
        let index = self.records.len() as u32;
        let old_start = self.bytes.len();
        let (old_value_length, old_headers_length, old_timestamp) = match entry.row() {
            None => (ABSENT, 0, 0),
            Some(row) => {
                self.bytes.extend_from_slice(row.value);
                if !row.headers.is_empty() {
                    self.bytes.extend_from_slice(row.headers);
                }
                (row.value.len() as u32, row.headers.len() as u32, row.timestamp)
            }
        };
        let headers_start = self.bytes.len();
        if !context.headers.is_empty() {
            self.bytes.extend_from_slice(context.headers);
        }
        let topic = self.topic(context);
        self.records.push(Pending {
            slot,
            position: self.order.len() as u32,
            old_start,
            old_timestamp,
            old_value_length,
            old_headers_length,
            timestamp: context.timestamp,
            offset: context.offset,
            partition: context.partition,
            topic,
            headers_start,
            headers_length: context.headers.len() as u32,
            headers_capacity: context.headers.len() as u32,
        });
        self.order.push(index);
        self.len += 1;
        index
    }

    /// Notes another write to a key in the list: it moves to the end.
    #[inline]
    pub(crate) fn touch(&mut self, index: u32, context: &Context<'_>) {
        let record = &mut self.records[index as usize];
        if record.position as usize + 1 != self.order.len() {
            record.position = self.order.len() as u32;
            self.order.push(index);
            if self.order.len() > 2 * self.records.len() + 1024 {
                self.sweep();
            }
        }
        let topic = self.topic(context);
        let record = &mut self.records[index as usize];
        record.timestamp = context.timestamp;
        record.offset = context.offset;
        record.partition = context.partition;
        record.topic = topic;
        record.headers_length = context.headers.len() as u32;
        if record.headers_length > record.headers_capacity {
            record.headers_start = self.bytes.len();
            record.headers_capacity = record.headers_length;
            self.bytes.extend_from_slice(context.headers);
        } else if !context.headers.is_empty() {
            self.bytes[record.headers_start..][..context.headers.len()].copy_from_slice(context.headers);
        }
    }

    /// The end of the list as it is now, for [`take_before`](PendingList::take_before).
    pub(crate) fn writes(&self) -> usize {
        self.order.len()
    }

    /// Takes the first key, if its last write was before `writes`; returns its slot and whether it had a row when it was
    /// last emitted.
    pub(crate) fn take_before(&mut self, writes: usize) -> Option<(u32, bool)> {
        let index = loop {
            if self.head >= writes.min(self.order.len()) {
                return None;
            }
            let index = self.order[self.head];
            self.head += 1;
            if self.records[index as usize].position as usize + 1 == self.head {
                break index;
            }
        };
        self.len -= 1;
        self.taken = index;
        let record = &self.records[index as usize];
        Some((record.slot, record.old_value_length != ABSENT))
    }

    /// What was taken last, until all is forgotten.
    #[inline]
    pub(crate) fn taken(&self) -> Option<Taken<'_>> {
        let record = self.records.get(self.taken as usize)?;
        let old = (record.old_value_length != ABSENT).then(|| {
            let (value, rest) = self.bytes[record.old_start..].split_at(record.old_value_length as usize);
            Row {
                value,
                timestamp: record.old_timestamp,
                headers: &rest[..record.old_headers_length as usize],
            }
        });
        let context = Context {
            timestamp: record.timestamp,
            topic: self.topics.get(record.topic as usize),
            partition: record.partition,
            offset: record.offset,
            headers: &self.bytes[record.headers_start..][..record.headers_length as usize],
        };
        Some(Taken { slot: record.slot, old, context })
    }

    /// Keys in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        if self.len == 0 {
            0
        } else {
            self.records.len() * size_of::<Pending>() + self.order.len() * 4 + self.bytes.len()
        }
    }

    /// Forgets everything; the memory is kept, unless it was much too much.
    pub(crate) fn clear(&mut self) {
        if self.records.is_empty() {
            return;
        }
        if self.bytes.capacity() > SHRINK_BYTES && self.bytes.len() < self.bytes.capacity() / 4 {
            self.bytes = Vec::new();
        }
        if self.records.capacity() * size_of::<Pending>() > SHRINK_BYTES
            && self.records.len() < self.records.capacity() / 4
        {
            self.records = Vec::new();
            self.order = Vec::new();
        }
        self.records.clear();
        self.order.clear();
        self.bytes.clear();
        self.head = 0;
        self.len = 0;
    }

    /// The number of the topic: the same one mostly.
    #[inline]
    fn topic(&mut self, context: &Context<'_>) -> u32 {
        let Some(topic) = context.topic else { return NO_TOPIC };
        let known = self.topics.iter().position(|known| Arc::ptr_eq(known, topic) || known == topic);
        known.unwrap_or_else(|| {
            self.topics.push(topic.clone());
            self.topics.len() - 1
        }) as u32
    }

    #[cold]
    fn sweep(&mut self) {
        // Never while records are being taken: the end of a flush is a position in `order`.
        if self.head > 0 {
            return;
        }
        let mut kept = 0;
        for at in 0..self.order.len() {
            let index = self.order[at];
            if self.records[index as usize].position as usize == at {
                self.records[index as usize].position = kept as u32;
                self.order[kept] = index;
                kept += 1;
            }
        }
        self.order.truncate(kept);
    }
}
