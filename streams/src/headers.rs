//! Headers of a record, kept as Kafka writes them.
//!
//! One representation from the fetched batch to the state store and the sink: a zig-zag varint count, then for each
//! header its key (varint length, UTF-8) and its value (varint length, -1 for null). No header is no byte. Records that
//! carry headers through a topology are not parsed on the way; a clone counts one reference.

use std::fmt;

use bytes::Bytes;

/// The headers of a record. Cheap to clone; a change makes a copy.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Headers(Bytes::new())
    }

    /// Headers from their encoded form; `encoded` may be empty.
    #[must_use]
    pub fn from_encoded(encoded: Bytes) -> Self {
        // A count of zero is "no headers" too: one form for it keeps comparisons true.
        if encoded.len() <= 1 { Headers::new() } else { Headers(encoded) }
    }

    /// The encoded form; empty if there are no headers.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        &self.0
    }

    /// Adds a header behind the others.
    pub fn add(&mut self, key: impl AsRef<str>, value: impl AsRef<[u8]>) {
        self.push(key.as_ref(), Some(value.as_ref()));
    }

    /// Adds a header without a value behind the others.
    pub fn add_null(&mut self, key: impl AsRef<str>) {
        self.push(key.as_ref(), None);
    }

    fn push(&mut self, key: &str, value: Option<&[u8]>) {
        let count = self.len();
        let mut encoded = Vec::with_capacity(self.0.len() + key.len() + value.map_or(0, <[u8]>::len) + 8);
        write_varint(&mut encoded, count as i32 + 1);
        encoded.extend_from_slice(HeadersRef(&self.0).entries());
        write_header(&mut encoded, key, value);
        self.0 = encoded.into();
    }

    /// Removes every header of this key.
    pub fn remove(&mut self, key: &str) {
        let kept: Vec<_> = self.iter().filter(|(name, _)| *name != key).collect();
        if kept.len() != self.len() {
            *self = kept.into_iter().collect();
        }
    }

    /// The headers in order.
    #[must_use]
    pub fn iter(&self) -> HeadersIter<'_> {
        HeadersRef(&self.0).iter()
    }

    /// The value of the last header of this key: `Some(None)` if that header has none.
    #[must_use]
    pub fn last(&self, key: &str) -> Option<Option<&[u8]>> {
        self.iter().filter(|(name, _)| *name == key).last().map(|(_, value)| value)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().remaining
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<(&'a str, Option<&'a [u8]>)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, Option<&'a [u8]>)>>(headers: I) -> Self {
        let mut entries = Vec::new();
        let mut count = 0;
        for (key, value) in headers {
            write_header(&mut entries, key, value);
            count += 1;
        }
        if count == 0 {
            return Headers::new();
        }
        let mut encoded = Vec::with_capacity(entries.len() + 2);
        write_varint(&mut encoded, count);
        encoded.extend_from_slice(&entries);
        Headers(encoded.into())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(key, value)| (key, value.map(|v| v.escape_ascii().to_string()))))
            .finish()
    }
}

/// Encoded headers that lie elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct HeadersRef<'a>(pub &'a [u8]);

impl<'a> HeadersRef<'a> {
    /// The headers in order. What is cut short or malformed ends them.
    #[must_use]
    pub fn iter(self) -> HeadersIter<'a> {
        let mut rest = self.0;
        let count = if rest.is_empty() { 0 } else { read_varint(&mut rest).unwrap_or(0) };
        HeadersIter { remaining: usize::try_from(count).unwrap_or(0).min(rest.len() / 2), rest }
    }

    fn entries(self) -> &'a [u8] {
        let mut rest = self.0;
        if !rest.is_empty() && read_varint(&mut rest).is_none() {
            rest = &[];
        }
        rest
    }
}

/// Walks over headers: key, value.
#[derive(Clone, Debug)]
pub struct HeadersIter<'a> {
    remaining: usize,
    rest: &'a [u8],
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        self.remaining -= 1;
        let key_bytes = read_varint(&mut self.rest).and_then(|length| take(&mut self.rest, length));
        let value_bytes = read_varint(&mut self.rest);
        let (Some(key), Some(length)) = (key_bytes, value_bytes) else {
            self.remaining = 0;
            return None;
        };
        // Java replaces only the malformed bytes; here the whole key becomes U+FFFD, since nobody can look it up by name.
        let key = std::str::from_utf8(key).unwrap_or("\u{FFFD}");
        if length < 0 {
            return Some((key, None));
        }
        match take(&mut self.rest, length) {
            Some(value) => Some((key, Some(value))),
            None => {
                self.remaining = 0;
                None
            }
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], length: i32) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = left;
    Some(taken)
}

fn write_header(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    write_varint(out, key.len() as i32);
    out.extend_from_slice(key.as_bytes());
    match value {
        Some(value) => {
            write_varint(out, value.len() as i32);
            out.extend_from_slice(value);
        }
        None => write_varint(out, -1),
    }
}

/// Appends `value` as a zig-zag varint.
pub(crate) fn write_varint(out: &mut Vec<u8>, value: i32) {
    let mut rest = ((value << 1) ^ (value >> 31)) as u32;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Reads a zig-zag varint off the front; `None` if it is cut short or longer than five bytes.
pub(crate) fn read_varint(from: &mut &[u8]) -> Option<i32> {
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i32 ^ -((value & 1) as i32));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_encoded_as_kafka_does() {
        let mut headers = Headers::new();
        headers.add("h", [1, 2]);
        assert_eq!(headers.encoded(), [2, 2, b'h', 4, 1, 2]);
        headers.add_null("n");
        assert_eq!(headers.encoded(), [4, 2, b'h', 4, 1, 2, 2, b'n', 1]);
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("h", Some(&[1u8, 2][..])), ("n", None)]);
        assert_eq!(headers.last("h"), Some(Some(&[1u8, 2][..])));
        assert_eq!(headers.last("n"), Some(None));
        assert_eq!(headers.last("x"), None);
        headers.remove("h");
        assert_eq!((headers.len(), headers.encoded()), (1, &[2, 2, b'n', 1][..]));
        headers.remove("n");
        assert_eq!(headers, Headers::new());
    }

    #[test]
    fn malformed_headers_end_early() {
        for bytes in
            [&[0x80][..], &[10, 2, b'h'], &[2, 9, b'h', 0], &[2, 2, b'h', 40, 1], &[3, 1, 1], &[0xff; 9]]
        {
            let headers = Headers::from_encoded(Bytes::copy_from_slice(bytes));
            assert_eq!(headers.iter().count(), 0, "{bytes:?}");
        }
        assert!(Headers::from_encoded(Bytes::from_static(&[0])).is_empty());
    }
}
