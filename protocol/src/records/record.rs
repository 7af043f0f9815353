//! The records inside a batch, walked without allocating.
//!
//! ```text
//! record:  length varint, attributes i8 = 0, timestamp delta varlong, offset delta varint,
//!          key length varint (-1 null), key, value length varint (-1 null), value, header count varint, headers
//! header:  key length varint, key (UTF-8), value length varint (-1 null), value
//! ```

use bytes::Bytes;

use super::RecordsError;
use super::batch::BatchHeader;
use super::varint::{take_varint, take_varlong};

/// The fewest bytes a record takes: seven fields of one byte each.
const MIN_RECORD_BYTES: usize = 7;
/// The fewest bytes a header takes: two empty lengths.
const MIN_HEADER_BYTES: usize = 2;

/// A record where it lies in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, -1 for none.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, not read yet.
    pub headers: HeadersRef<'a>,
}

/// A record that owns its bytes, where that is convenient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Milliseconds since 1970, -1 for none.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Names and values, in order; a name may occur twice.
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl RecordRef<'_> {
    /// Copies the record out of its batch.
    ///
    /// # Errors
    /// If the headers do not parse.
    pub fn to_record(&self) -> Result<Record, RecordsError> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for header in self.headers {
            let header = header?;
            headers.push((header.key.to_string(), header.value.map(Bytes::copy_from_slice)));
        }
        Ok(Record {
            timestamp: self.timestamp,
            key: self.key.map(Bytes::copy_from_slice),
            value: self.value.map(Bytes::copy_from_slice),
            headers,
        })
    }
}

/// The records of one batch; see [`Batch::records`](super::Batch::records). Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    remaining: i32,
    base_offset: i64,
    base_timestamp: i64,
    /// The time of the append if it stands for all records.
    log_append_time: Option<i64>,
}

impl<'a> Records<'a> {
    pub(super) fn new(header: &BatchHeader, records: &'a [u8]) -> Self {
        Records {
            rest: records,
            remaining: header.record_count,
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            log_append_time: header.is_log_append_time().then_some(header.max_timestamp),
        }
    }

    fn read(&mut self) -> Result<RecordRef<'a>, RecordsError> {
        let length = take_varint(&mut self.rest)?;
        let length =
            usize::try_from(length).map_err(|_| RecordsError::InvalidRecord("its length is negative"))?;
        let Some((mut record, rest)) = self.rest.split_at_checked(length) else {
            return Err(RecordsError::InvalidRecord("it is longer than its batch"));
        };
        self.rest = rest;
        let record = &mut record;
        // The attributes of a record are unused; Kafka ignores them on reading.
        let Some((_attributes, fields)) = record.split_first() else {
            return Err(RecordsError::InvalidRecord("it is empty"));
        };
        *record = fields;
        let timestamp_delta = take_varlong(record)?;
        let offset_delta = take_varint(record)?;
        let key = take_nullable(record)?;
        let value = take_nullable(record)?;
        let headers = HeadersRef::take(record)?;
        let timestamp =
            self.log_append_time.unwrap_or_else(|| self.base_timestamp.wrapping_add(timestamp_delta));
        Ok(RecordRef {
            offset: self.base_offset.wrapping_add(i64::from(offset_delta)),
            timestamp,
            key,
            value,
            headers,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining <= 0 {
            if self.rest.is_empty() {
                return None;
            }
            self.rest = &[];
            return Some(Err(RecordsError::InvalidRecord("bytes follow the last record of the batch")));
        }
        self.remaining -= 1;
        let record = self.read();
        if record.is_err() {
            self.remaining = 0;
            self.rest = &[];
        }
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The count is a claim off the wire; the bytes bound it. One more for an error about what follows.
        let claimed = usize::try_from(self.remaining).unwrap_or(0);
        (0, Some(claimed.min(self.rest.len() / MIN_RECORD_BYTES + 1) + 1))
    }
}

impl std::iter::FusedIterator for Records<'_> {}

/// Takes a length and that many bytes; a negative length is null.
fn take_nullable<'a>(from: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordsError> {
    let length = take_varint(from)?;
    if length < 0 {
        return Ok(None);
    }
    take_bytes(from, length as usize).map(Some)
}

fn take_bytes<'a>(from: &mut &'a [u8], length: usize) -> Result<&'a [u8], RecordsError> {
    let Some((taken, rest)) = from.split_at_checked(length) else {
        return Err(RecordsError::InvalidRecord("a field is longer than the record"));
    };
    *from = rest;
    Ok(taken)
}

/// The headers of a record in their encoded form, read lazily: iterate over it (it is `Copy`) to read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadersRef<'a> {
    count: i32,
    encoded: &'a [u8],
}

impl<'a> HeadersRef<'a> {
    /// No headers.
    pub const EMPTY: HeadersRef<'static> = HeadersRef { count: 0, encoded: &[] };

    /// Headers from their encoded form, count included, as [`HeadersRef::encode_into`] writes it. Empty bytes are no
    /// headers.
    ///
    /// # Errors
    /// If the count cannot be true. The headers themselves are checked when they are read.
    pub fn from_encoded(mut encoded: &'a [u8]) -> Result<Self, RecordsError> {
        if encoded.is_empty() {
            return Ok(HeadersRef::EMPTY);
        }
        HeadersRef::take(&mut encoded)
    }

    /// Appends the encoded form, count included; nothing for no headers.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        if self.count > 0 {
            let mut count = [0; super::varint::MAX_VARINT_BYTES];
            let length = super::varint::write_varint(&mut count, self.count);
            out.extend_from_slice(&count[..length]);
            out.extend_from_slice(self.encoded);
        }
    }

    /// Takes the rest of a record.
    fn take(record: &mut &'a [u8]) -> Result<Self, RecordsError> {
        let count = take_varint(record)?;
        let encoded = *record;
        if count < 0 {
            return Err(RecordsError::InvalidRecord("its header count is negative"));
        }
        if count == 0 && !encoded.is_empty() {
            return Err(RecordsError::InvalidRecord("bytes follow its last field"));
        }
        if count as usize > encoded.len() / MIN_HEADER_BYTES {
            return Err(RecordsError::InvalidRecord("it has fewer bytes than headers need"));
        }
        *record = &[];
        Ok(HeadersRef { count, encoded })
    }

    /// Headers that `encoded` (without a count) is known to hold.
    pub(super) fn from_parts(count: i32, encoded: &'a [u8]) -> Self {
        HeadersRef { count, encoded }
    }

    pub(super) fn count(&self) -> i32 {
        self.count
    }

    pub(super) fn encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value of the last header called `key`, as Kafka's `lastHeader`; a header that does not parse ends the search.
    #[must_use]
    pub fn last(&self, key: &str) -> Option<Header<'a>> {
        self.into_iter().map_while(Result::ok).filter(|header| header.key == key).last()
    }
}

/// One header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name.
    pub key: &'a str,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

impl<'a> IntoIterator for HeadersRef<'a> {
    type Item = Result<Header<'a>, RecordsError>;
    type IntoIter = Headers<'a>;

    fn into_iter(self) -> Headers<'a> {
        Headers { remaining: self.count, rest: self.encoded }
    }
}

/// Walks the headers of a record. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    remaining: i32,
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    fn read(&mut self) -> Result<Header<'a>, RecordsError> {
        let length = take_varint(&mut self.rest)?;
        let length =
            usize::try_from(length).map_err(|_| RecordsError::InvalidRecord("a header's key is null"))?;
        let key = take_bytes(&mut self.rest, length)?;
        let key = std::str::from_utf8(key)
            .map_err(|_| RecordsError::InvalidRecord("a header's key is not UTF-8"))?;
        Ok(Header { key, value: take_nullable(&mut self.rest)? })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<Header<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining <= 0 {
            if self.rest.is_empty() {
                return None;
            }
            self.rest = &[];
            return Some(Err(RecordsError::InvalidRecord("bytes follow its last header")));
        }
        self.remaining -= 1;
        let header = self.read();
        if header.is_err() {
            self.remaining = 0;
            self.rest = &[];
        }
        Some(header)
    }
}

impl std::iter::FusedIterator for Headers<'_> {}
