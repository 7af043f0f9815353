//! What was written to one topic, as bytes behind each other: a record costs no allocation of its own.

use crate::headers::Headers;
use crate::outbox::OutRecord;
use crate::record::RawRecord;

/// So many records that were read are forgotten together, if as many again are not waiting behind them.
const FORGOTTEN_RECORDS: usize = 1024;

/// The records of a topic, oldest first.
#[derive(Default)]
pub(super) struct Written {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Entries before this one were read.
    read: usize,
    /// Entries before this one may be read.
    visible: usize,
    /// Whether records that were read are kept.
    kept: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    timestamp: Option<i64>,
    start: usize,
    key: Option<u32>,
    value: Option<u32>,
    headers: u32,
}

impl Written {
    /// Whether the whole of the topic is kept.
    pub(super) fn new(kept: bool) -> Self {
        Written { kept, ..Written::default() }
    }

    pub(super) fn push(&mut self, record: OutRecord<'_>) {
        let start = self.bytes.len();
        // Kafka's lengths are 32 bits.
        let mut append = |part: &[u8]| {
            self.bytes.extend_from_slice(part);
            part.len() as u32
        };
        let (key, value) = (record.key.map(&mut append), record.value.map(&mut append));
        let headers = if record.headers.is_empty() { 0 } else { append(record.headers) };
        self.entries.push(Entry { timestamp: record.timestamp, start, key, value, headers });
    }

    /// Whether there are records that cannot be read yet.
    pub(super) fn has_hidden(&self) -> bool {
        self.visible < self.entries.len()
    }

    /// Lets all records be read, and shows those that could not be until now.
    pub(super) fn show(&mut self, see: impl FnOnce(&mut dyn Iterator<Item = OutRecord<'_>>)) {
        see(&mut self.entries[self.visible..].iter().map(|entry| self.record(entry)));
        self.visible = self.entries.len();
    }

    /// Forgets the records that cannot be read yet.
    pub(super) fn forget_hidden(&mut self) {
        if let Some(first) = self.entries.get(self.visible) {
            self.bytes.truncate(first.start);
            self.entries.truncate(self.visible);
        }
    }

    /// The oldest record that was not read.
    pub(super) fn head(&self) -> Option<OutRecord<'_>> {
        self.entries[..self.visible].get(self.read).map(|entry| self.record(entry))
    }

    /// The oldest record that was not read is read now.
    pub(super) fn advance(&mut self) {
        self.read += 1;
        if self.kept {
            return;
        }
        if self.read == self.entries.len() {
            self.bytes.clear();
            self.entries.clear();
            (self.read, self.visible) = (0, 0);
        } else if self.read >= FORGOTTEN_RECORDS && self.read * 2 >= self.entries.len() {
            let start = self.entries[self.read].start;
            self.bytes.drain(..start);
            self.entries.drain(..self.read);
            self.entries.iter_mut().for_each(|entry| entry.start -= start);
            self.visible -= self.read;
            self.read = 0;
        }
    }

    /// How many records were not read.
    pub(super) fn unread(&self) -> usize {
        self.visible - self.read
    }

    /// All records that may be read and those that were and are kept.
    pub(super) fn whole(&self) -> impl Iterator<Item = OutRecord<'_>> {
        self.entries[..self.visible].iter().map(|entry| self.record(entry))
    }

    fn record(&self, entry: &Entry) -> OutRecord<'_> {
        let mut rest = &self.bytes[entry.start..];
        let mut take = |length: u32| {
            let (part, left) = rest.split_at(length as usize);
            rest = left;
            part
        };
        let (key, value) = (entry.key.map(&mut take), entry.value.map(&mut take));
        OutRecord { key, value, timestamp: entry.timestamp, headers: take(entry.headers) }
    }
}

/// A record that owns its bytes.
pub(super) fn raw(record: OutRecord<'_>) -> RawRecord {
    RawRecord {
        key: record.key.map(bytes::Bytes::copy_from_slice),
        value: record.value.map(bytes::Bytes::copy_from_slice),
        timestamp: record.timestamp,
        headers: Headers::from_encoded(bytes::Bytes::copy_from_slice(record.headers)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: &'a [u8]) -> OutRecord<'a> {
        OutRecord { key, value, timestamp: Some(7), headers }
    }

    #[test]
    fn records_are_read_in_order_once_they_are_shown() {
        let big = vec![1u8; 3000];
        let records = [
            record(Some(b"k"), Some(b"v"), b""),
            record(None, Some(&big), &[2, 2, b'h', 2, b'x']),
            record(Some(b""), None, b""),
        ];
        for kept in [false, true] {
            let mut written = Written::new(kept);
            for round in 1..2000 {
                records.iter().for_each(|record| written.push(*record));
                assert_eq!((written.unread(), written.head().is_none()), (0, true), "hidden");
                assert!(written.has_hidden());
                let mut shown = 0;
                written.show(|records| shown = records.count());
                assert_eq!((shown, written.unread()), (records.len(), records.len()));
                for expected in records {
                    assert_eq!(written.head().map(raw), Some(raw(expected)), "round {round}");
                    written.advance();
                }
                let expected = if kept { round * records.len() } else { 0 };
                assert_eq!(written.whole().count(), expected);
                if round > 3 && kept {
                    break;
                }
            }
        }
    }

    #[test]
    fn what_was_read_is_forgotten_while_records_wait() {
        let mut written = Written::new(false);
        for n in 0..10_000u32 {
            written.push(record(None, Some(&n.to_be_bytes()), b""));
            written.show(|_| {});
            if n >= 10 {
                let expected = (n - 10).to_be_bytes();
                assert_eq!(written.head().and_then(|record| record.value), Some(&expected[..]));
                written.advance();
            }
        }
        assert_eq!(written.unread(), 10);
        assert!(written.entries.len() <= 2 * FORGOTTEN_RECORDS, "{}", written.entries.len());
    }
}
