//! The four codecs: whole slices in, bounded bytes out.
//!
//! All of them write Java's framing and read what any client writes. Contexts and tables are kept per thread, since a
//! producer has a builder for each partition but few threads. Output grows with what really comes out of a codec, never
//! with what a header claims, and stops at the caller's bound.

mod gzip;
mod lz4;
mod snappy;
mod xxh32;
mod zstandard;

use bytes::BytesMut;

use super::{Compression, RecordsError};

/// The most that the records of one batch may decompress to. A producer's batch is some megabytes at most; what grows
/// past this is meant to hurt.
pub const MAX_DECOMPRESSED_BYTES: usize = 128 << 20;

/// The first guess at the size of decompressed data, in multiples of the compressed size.
const EXPECTED_RATIO: usize = 4;
/// The smallest first guess.
const MIN_OUTPUT_BYTES: usize = 16 << 10;

/// Appends `input` compressed to `out`.
pub(super) fn compress(compression: Compression, level: Option<i32>, input: &[u8], out: &mut BytesMut) {
    match compression {
        Compression::None => out.extend_from_slice(input),
        Compression::Gzip => gzip::compress(level, input, out),
        Compression::Snappy => snappy::compress(input, out),
        Compression::Lz4 => lz4::compress(input, out),
        Compression::Zstd => zstandard::compress(level, input, out),
    }
}

/// Decompresses `input` into `scratch` and returns the part of it that holds the result.
pub(super) fn decompress<'s>(
    compression: Compression,
    input: &[u8],
    scratch: &'s mut Vec<u8>,
    max_bytes: usize,
) -> Result<&'s [u8], RecordsError> {
    let mut output = Output { buffer: scratch, filled: 0, max_bytes, compression };
    match compression {
        Compression::None => {
            output.room(input.len())?[..input.len()].copy_from_slice(input);
            output.filled = input.len();
        }
        Compression::Gzip => gzip::decompress(input, &mut output)?,
        Compression::Snappy => snappy::decompress(input, &mut output)?,
        Compression::Lz4 => lz4::decompress(input, &mut output)?,
        Compression::Zstd => zstandard::decompress(input, &mut output)?,
    }
    let filled = output.filled;
    Ok(&scratch[..filled])
}

/// Where a codec writes. The buffer keeps its length from batch to batch, so that its memory is zeroed only once.
struct Output<'s> {
    buffer: &'s mut Vec<u8>,
    filled: usize,
    max_bytes: usize,
    compression: Compression,
}

impl Output<'_> {
    /// At least `bytes` of room after what has been filled.
    fn room(&mut self, bytes: usize) -> Result<&mut [u8], RecordsError> {
        let needed = self.filled.saturating_add(bytes);
        if needed > self.max_bytes {
            return Err(self.too_large());
        }
        if needed > self.buffer.len() {
            self.buffer.resize(needed.max(MIN_OUTPUT_BYTES.min(self.max_bytes)), 0);
        }
        Ok(&mut self.buffer[self.filled..])
    }

    /// Room for a codec that streams: all there is, up to the bound; at first a guess from the input's size, doubled each
    /// time it is full. Empty if the bound is reached.
    fn streaming_room(&mut self, input_bytes: usize) -> &mut [u8] {
        if self.filled >= self.buffer.len() {
            let guess = input_bytes.saturating_mul(EXPECTED_RATIO).max(MIN_OUTPUT_BYTES);
            let length = guess.max(self.buffer.len().saturating_mul(2)).min(self.max_bytes);
            if length > self.buffer.len() {
                self.buffer.resize(length, 0);
            }
        }
        let end = self.buffer.len().min(self.max_bytes).max(self.filled);
        &mut self.buffer[self.filled..end]
    }

    fn too_large(&self) -> RecordsError {
        RecordsError::TooLarge { max_bytes: self.max_bytes }
    }

    fn corrupt(&self, reason: impl Into<String>) -> RecordsError {
        RecordsError::Decompression { codec: self.compression, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests;
