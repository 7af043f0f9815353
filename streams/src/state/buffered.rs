//! Records that wait in a buffer, in the bytes of Kafka Streams' `BufferValue`: their context, then three values.
//!
//! ```text
//! timestamp(8) offset(8) topicLength(4) topic partition(4)
//! headerCount(4) { keyLength(4) key valueLength(4, -1: null) value }
//! priorLength(4, -1: null) prior
//! oldLength(4, -1: null, -2: the same as prior) old
//! newLength(4, -1: null) new
//! ```
//! Behind it stands whatever the buffer adds.

use std::sync::Arc;

use crate::headers::{Headers, HeadersRef};

/// The length that stands for null.
const NULL: i32 = -1;
/// The length of an old value that is the prior one.
const SAME_AS_PRIOR: i32 = -2;

/// A record that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buffered {
    pub(crate) timestamp: i64,
    pub(crate) offset: i64,
    /// `None`: it came from no topic, but from a punctuation.
    pub(crate) topic: Option<Arc<str>>,
    pub(crate) partition: i32,
    pub(crate) headers: Headers,
    /// What was known of the key before it came to wait.
    pub(super) prior: Option<Arc<[u8]>>,
    /// What the latest update replaced.
    pub(super) old: Option<Arc<[u8]>>,
    pub(super) new: Option<Arc<[u8]>>,
}

impl Buffered {
    /// Appends its bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_context(self.timestamp, self.offset, self.topic.as_deref(), self.partition, out);
        write_headers(self.headers.encoded(), out);
        write_value(self.prior.as_deref(), out);
        if self.old.is_some() && self.old == self.prior {
            write_length(SAME_AS_PRIOR, out);
        } else {
            write_value(self.old.as_deref(), out);
        }
        write_value(self.new.as_deref(), out);
    }

    /// Reads a record and gives what stands behind it; `None` if the bytes are no such record.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut rest = bytes;
        let (timestamp, offset) = (read_i64(&mut rest)?, read_i64(&mut rest)?);
        let topic = std::str::from_utf8(read_value(&mut rest)??).ok()?;
        let partition = read_i32(&mut rest)?;
        let headers = read_headers(&mut rest)?;
        let prior: Option<Arc<[u8]>> = read_value(&mut rest)?.map(Arc::from);
        let old = if rest.first_chunk::<4>()? == &SAME_AS_PRIOR.to_be_bytes() {
            read_i32(&mut rest)?;
            prior.clone()
        } else {
            read_value(&mut rest)?.map(Arc::from)
        };
        let new = read_value(&mut rest)?.map(Arc::from);
        let topic = (!topic.is_empty()).then(|| Arc::from(topic));
        Some((Buffered { timestamp, offset, topic, partition, headers, prior, old, new }, rest))
    }

    /// What Kafka Streams counts it for when a buffer is bounded in bytes, without its key.
    pub(super) fn counted_bytes(&self) -> usize {
        let length = |value: &Option<Arc<[u8]>>| value.as_ref().map_or(0, |value| value.len());
        let old = if self.old == self.prior { 0 } else { length(&self.old) };
        let topic = self.topic.as_ref().map_or(0, |topic| utf16_length(topic));
        let header = |(key, value): (&str, Option<&[u8]>)| utf16_length(key) + value.map_or(0, <[u8]>::len);
        let headers: usize = self.headers.iter().map(header).sum();
        length(&self.prior) + old + length(&self.new) + 8 + 8 + topic + 4 + headers
    }
}

/// Java counts `char`s.
fn utf16_length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn write_context(timestamp: i64, offset: i64, topic: Option<&str>, partition: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&timestamp.to_be_bytes());
    out.extend_from_slice(&offset.to_be_bytes());
    write_value(Some(topic.unwrap_or_default().as_bytes()), out);
    out.extend_from_slice(&partition.to_be_bytes());
}

fn write_headers(encoded: &[u8], out: &mut Vec<u8>) {
    let headers = HeadersRef(encoded);
    write_length(headers.iter().count() as i32, out);
    for (key, value) in headers.iter() {
        write_value(Some(key.as_bytes()), out);
        write_value(value, out);
    }
}

fn write_value(value: Option<&[u8]>, out: &mut Vec<u8>) {
    write_length(value.map_or(NULL, |value| value.len() as i32), out);
    out.extend_from_slice(value.unwrap_or_default());
}

fn write_length(length: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&length.to_be_bytes());
}

fn read_headers(rest: &mut &[u8]) -> Option<Headers> {
    // Kafka Streams writes -1 where a record has no list of headers at all.
    let count = read_i32(rest)?.max(0);
    let mut headers = Vec::new();
    for _ in 0..count {
        let key = std::str::from_utf8(read_value(rest)??).ok()?;
        headers.push((key, read_value(rest)?));
    }
    Some(headers.into_iter().collect())
}

fn read_value<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = read_i32(rest)?;
    if length == NULL {
        return Some(None);
    }
    let (value, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(Some(value))
}

fn read_i32(rest: &mut &[u8]) -> Option<i32> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(i32::from_be_bytes(*bytes))
}

fn read_i64(rest: &mut &[u8]) -> Option<i64> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(i64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(prior: Option<&str>, old: Option<&str>, new: Option<&str>) -> Buffered {
        let value = |text: Option<&str>| text.map(|text| Arc::from(text.as_bytes()));
        let mut headers = Headers::new();
        headers.add("hh", "1");
        Buffered {
            timestamp: 1000,
            offset: 7,
            topic: Some("l".into()),
            partition: 0,
            headers,
            prior: value(prior),
            old: value(old),
            new: value(new),
        }
    }

    #[test]
    fn a_record_has_the_bytes_of_kafka_streams() {
        let mut bytes = Vec::new();
        record(None, None, Some("x")).write(&mut bytes);
        let mut expected = vec![0, 0, 0, 0, 0, 0, 0x03, 0xe8, 0, 0, 0, 0, 0, 0, 0, 7];
        expected.extend_from_slice(&[0, 0, 0, 1, b'l', 0, 0, 0, 0]);
        expected.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2, b'h', b'h', 0, 0, 0, 1, b'1']);
        expected.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, b'x']);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut punctuated = record(Some("p"), Some("p"), None);
        (punctuated.topic, punctuated.headers) = (None, Headers::new());
        let mut null_header = record(Some("p"), Some("o"), Some("n"));
        null_header.headers.add_null("n");
        for record in
            [punctuated, null_header, record(Some(""), Some(""), Some("")), record(None, Some("o"), None)]
        {
            let mut bytes = Vec::new();
            record.write(&mut bytes);
            let length = bytes.len();
            bytes.extend_from_slice(b"behind");
            assert_eq!(Buffered::read(&bytes), Some((record, &b"behind"[..])));
            for cut in 0..length {
                assert_eq!(Buffered::read(&bytes[..cut]), None, "cut at {cut}");
            }
        }
    }

    #[test]
    fn an_old_value_that_is_the_prior_one_counts_once() {
        let context = 8 + 8 + 1 + 4 + 3;
        assert_eq!(record(Some("abc"), Some("abc"), Some("x")).counted_bytes(), context + 4);
        assert_eq!(record(Some("abc"), Some("abd"), Some("x")).counted_bytes(), context + 7);
        assert_eq!(record(None, None, None).counted_bytes(), context);
    }
}
