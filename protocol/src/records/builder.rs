//! Fills batches record by record.
//!
//! One builder serves for any number of batches: [`BatchBuilder::finish`] hands out one and keeps the buffers. A record
//! is written once, straight into the batch (or into the buffer that is compressed at the end), without allocating.

use bytes::{BufMut, BytesMut};

use super::batch::{BATCH_HEADER_BYTES, BatchHeader, LOG_OVERHEAD_BYTES, seal};
use super::varint::{
    MAX_VARINT_BYTES, MAX_VARLONG_BYTES, varint_len, varlong_len, write_varint, write_varlong,
};
use super::{Compression, HeadersRef, RecordsError, codecs};

/// Length, attributes, timestamp delta, offset delta and key length at their longest.
const MAX_PREFIX_BYTES: usize =
    MAX_VARINT_BYTES + 1 + MAX_VARLONG_BYTES + MAX_VARINT_BYTES + MAX_VARINT_BYTES;

/// A batch in the making.
#[derive(Debug)]
pub struct BatchBuilder {
    compression: Compression,
    level: Option<i32>,
    /// Room for the header, then the records so far, uncompressed. Empty between batches.
    buffer: BytesMut,
    /// Headers of the record at hand, encoded without their count.
    header_scratch: Vec<u8>,
    record_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// A builder whose batches are compressed with `compression` at the codec's default level.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        Self::with_level(compression, None)
    }

    /// A builder with a compression level: 1-9 for gzip, -131072-22 for zstd; the others have none.
    #[must_use]
    pub fn with_level(compression: Compression, level: Option<i32>) -> Self {
        BatchBuilder {
            compression,
            level,
            buffer: BytesMut::new(),
            header_scratch: Vec::new(),
            record_count: 0,
            base_timestamp: 0,
            max_timestamp: 0,
        }
    }

    /// The codec of the batches.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Records so far.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.record_count as usize
    }

    /// Whether there is no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes of the batch so far, before compression; 0 without records.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`RecordsError::RecordTooLarge`] if the batch would pass 2 GiB; it stays as it was.
    pub fn append<'h>(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> Result<(), RecordsError> {
        let mut scratch = std::mem::take(&mut self.header_scratch);
        scratch.clear();
        let mut count = 0;
        let mut outcome = Ok(());
        for (name, value) in headers {
            count += 1;
            outcome =
                put_field(&mut scratch, Some(name.as_bytes())).and_then(|()| put_field(&mut scratch, value));
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_ok() {
            outcome =
                self.append_with_headers(timestamp_ms, key, value, HeadersRef::from_parts(count, &scratch));
        }
        self.header_scratch = scratch;
        outcome
    }

    /// Adds a record whose headers are copied in their encoded form, as they came in another record.
    ///
    /// # Errors
    /// [`RecordsError::RecordTooLarge`] if the batch would pass 2 GiB; it stays as it was.
    pub fn append_with_headers(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: HeadersRef<'_>,
    ) -> Result<(), RecordsError> {
        let base_timestamp = if self.record_count == 0 { timestamp_ms } else { self.base_timestamp };
        let timestamp_delta = timestamp_ms.wrapping_sub(base_timestamp);
        let key_length = field_length(key)?;
        let value_length = field_length(value)?;
        let body_bytes = 1
            + varlong_len(timestamp_delta)
            + varint_len(self.record_count)
            + varint_len(key_length)
            + key.map_or(0, <[u8]>::len)
            + varint_len(value_length)
            + value.map_or(0, <[u8]>::len)
            + varint_len(headers.count())
            + headers.encoded().len();
        let start = self.buffer.len().max(BATCH_HEADER_BYTES);
        let end = start + MAX_VARINT_BYTES + body_bytes;
        // What a length field can say; codecs may add a little, hence the margin.
        if end > (i32::MAX - (1 << 24)) as usize || self.record_count == i32::MAX {
            return Err(RecordsError::RecordTooLarge);
        }
        if self.record_count == 0 {
            self.base_timestamp = timestamp_ms;
            self.max_timestamp = timestamp_ms;
            self.buffer.resize(BATCH_HEADER_BYTES, 0);
        }
        self.buffer.reserve(MAX_VARINT_BYTES + body_bytes);
        let mut prefix = [0; MAX_PREFIX_BYTES];
        let mut length = write_varint(&mut prefix, body_bytes as i32);
        // A record has attributes, all zero.
        length += 1;
        length += write_varlong(&mut prefix[length..], timestamp_delta);
        length += write_varint(&mut prefix[length..], self.record_count);
        length += write_varint(&mut prefix[length..], key_length);
        self.buffer.put_slice(&prefix[..length]);
        self.buffer.put_slice(key.unwrap_or_default());
        length = write_varint(&mut prefix, value_length);
        self.buffer.put_slice(&prefix[..length]);
        self.buffer.put_slice(value.unwrap_or_default());
        length = write_varint(&mut prefix, headers.count());
        self.buffer.put_slice(&prefix[..length]);
        self.buffer.put_slice(headers.encoded());
        self.record_count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        Ok(())
    }

    /// The finished batch: base offset 0, no leader epoch, no producer, sealed. The builder is empty again. Without
    /// records the result is empty.
    #[must_use]
    pub fn finish(&mut self) -> BytesMut {
        if self.record_count == 0 {
            return BytesMut::new();
        }
        let mut header = BatchHeader::new(self.base_timestamp);
        header.max_timestamp = self.max_timestamp;
        header.record_count = self.record_count;
        header.last_offset_delta = self.record_count - 1;
        header.attributes = i16::from(self.compression.code());
        let mut batch = match self.compression {
            Compression::None => self.buffer.split(),
            compression => {
                let mut out = BytesMut::zeroed(BATCH_HEADER_BYTES);
                codecs::compress(compression, self.level, &self.buffer[BATCH_HEADER_BYTES..], &mut out);
                self.buffer.clear();
                out
            }
        };
        self.record_count = 0;
        // Fits: `append` keeps the buffer below the limit by more than any codec adds.
        header.batch_length = (batch.len() - LOG_OVERHEAD_BYTES) as i32;
        header.write(&mut batch);
        seal(&mut batch);
        batch
    }
}

/// The length field of a nullable value.
fn field_length(field: Option<&[u8]>) -> Result<i32, RecordsError> {
    field.map_or(Ok(-1), |bytes| i32::try_from(bytes.len()).map_err(|_| RecordsError::RecordTooLarge))
}

/// Appends a length and the bytes.
fn put_field(out: &mut Vec<u8>, field: Option<&[u8]>) -> Result<(), RecordsError> {
    let mut prefix = [0; MAX_VARINT_BYTES];
    let length = write_varint(&mut prefix, field_length(field)?);
    out.extend_from_slice(&prefix[..length]);
    out.extend_from_slice(field.unwrap_or_default());
    Ok(())
}
