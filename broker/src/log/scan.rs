//! The walk over the batches of a segment where they lie on the disk.
//!
//! Recovery, rebuilding of indexes and producer state, and searches by timestamp all go through here. A scan reads ahead
//! in pieces of 64 KiB and skips the bodies it is not asked for; nothing is sized by a length that stands in the file.

use std::io;

use anabranch_host::File;
use anabranch_protocol::records::{BATCH_HEADER_BYTES, BatchHeader};
use bytes::Bytes;

/// Bytes read ahead.
const READ_AHEAD_BYTES: usize = 64 << 10;
/// Where the bytes begin that the checksum covers.
const CRC_COVERS_FROM: usize = 21;

/// Why a scan cannot go on.
#[derive(Debug)]
pub(super) enum ScanError {
    Io(io::Error),
    /// What lies here is no batch.
    NoBatch {
        position: u32,
        reason: String,
    },
}

/// A batch that a scan has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScannedBatch {
    /// Where it begins.
    pub(super) position: u32,
    /// Its header.
    pub(super) header: BatchHeader,
}

impl ScannedBatch {
    /// Where the next one begins.
    pub(super) fn end(&self) -> u32 {
        self.position + self.header.batch_bytes() as u32
    }
}

/// A walk over the batches of a segment.
#[derive(Debug)]
pub(super) struct Scan {
    file: File,
    position: u32,
    end: u32,
    /// Bytes of the file from `buffer_start` on.
    buffer: Vec<u8>,
    buffer_start: u32,
}

impl Scan {
    /// From the batch that begins at `position` to the end of the segment.
    pub(super) fn new(file: File, position: u32, end: u32) -> Scan {
        Scan { file, position, end, buffer: Vec::new(), buffer_start: 0 }
    }

    /// The header of the next batch; none at the end. The whole batch lies before the end.
    pub(super) fn next(&mut self) -> Result<Option<ScannedBatch>, ScanError> {
        let position = self.position;
        if position == self.end {
            return Ok(None);
        }
        let no_batch = |reason: String| ScanError::NoBatch { position, reason };
        let left = (self.end - position) as usize;
        if left < BATCH_HEADER_BYTES {
            return Err(no_batch(format!("{left} bytes are left, too few for a batch")));
        }
        let header = BatchHeader::parse(self.bytes(position, BATCH_HEADER_BYTES)?)
            .map_err(|error| no_batch(error.to_string()))?;
        if header.batch_bytes() > left {
            return Err(no_batch(format!("a batch of {} bytes, but {left} are left", header.batch_bytes())));
        }
        if header.last_offset_delta < 0 || header.base_offset < 0 || header.next_offset() < 0 {
            return Err(no_batch("an offset that can be none".to_string()));
        }
        let batch = ScannedBatch { position, header };
        self.position = batch.end();
        Ok(Some(batch))
    }

    /// The next batch if its checksum matches; otherwise the scan cannot go on.
    pub(super) fn next_checked(&mut self) -> Result<Option<ScannedBatch>, ScanError> {
        let Some(batch) = self.next()? else { return Ok(None) };
        if let Err(error) = self.check(batch) {
            self.position = batch.position;
            return Err(error);
        }
        Ok(Some(batch))
    }

    /// Whether the checksum of a batch the scan has come to matches.
    pub(super) fn check(&mut self, batch: ScannedBatch) -> Result<(), ScanError> {
        if self.crc(batch)? != batch.header.crc {
            return Err(ScanError::NoBatch {
                position: batch.position,
                reason: "the checksum does not match".to_string(),
            });
        }
        Ok(())
    }

    /// All bytes of a batch the scan has come to.
    pub(super) fn batch_bytes(&mut self, batch: ScannedBatch) -> Result<Bytes, ScanError> {
        Ok(Bytes::copy_from_slice(self.bytes(batch.position, batch.header.batch_bytes())?))
    }

    fn crc(&mut self, batch: ScannedBatch) -> Result<u32, ScanError> {
        // In pieces: the length may be that of a damaged header.
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        let mut position = batch.position + CRC_COVERS_FROM as u32;
        while position < batch.end() {
            let piece = ((batch.end() - position) as usize).min(READ_AHEAD_BYTES);
            digest.update(self.bytes(position, piece)?);
            position += piece as u32;
        }
        Ok(digest.finalize() as u32)
    }

    /// `length` bytes at `position`, from the buffer if they are in it.
    fn bytes(&mut self, position: u32, length: usize) -> Result<&[u8], ScanError> {
        let is_buffered = position >= self.buffer_start
            && (position - self.buffer_start) as usize + length <= self.buffer.len();
        if !is_buffered {
            let ahead = READ_AHEAD_BYTES.max(length).min((self.end - position) as usize);
            self.buffer.resize(ahead, 0);
            self.buffer_start = position;
            if let Err(error) = self.file.read_exact_at(&mut self.buffer, u64::from(position)) {
                self.buffer.clear();
                return Err(ScanError::Io(error));
            }
        }
        let start = (position - self.buffer_start) as usize;
        Ok(&self.buffer[start..start + length])
    }
}
