//! Reading a segment: whole batches, as they lie there, and nothing else.
//!
//! The checksum of a batch covers all but its first 21 bytes: where it begins and ends, its offset and its leader epoch
//! are held against what stands around it. A batch cannot begin before the one before it ends, nor reach behind the
//! one after it; its epoch is the one that the log has at its offset; an offset is missing only where compaction left a
//! gap between batches that are whole. So a flipped bit is an error here, and never another record for a reader.

use anabranch_protocol::records::{BATCH_HEADER_BYTES, BatchHeader, crc_matches};
use bytes::{Bytes, BytesMut};

use super::error::LogError;
use super::leader_epochs::LeaderEpochs;
use super::scan::Scan;
use super::segment::Segment;

/// What a search begins with: bytes read before the batch asked for is found.
const SEARCH_BYTES: usize = 4 << 10;

/// How much a reader is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLimit {
    /// At most so many bytes, but one batch in any case, however large.
    OrOneBatch(usize),
    /// At most so many bytes: nothing if the first batch is larger, and then hardly more is read than its header.
    AtMost(usize),
}

impl ReadLimit {
    /// Bytes of more than one batch.
    fn max_bytes(self) -> usize {
        match self {
            ReadLimit::OrOneBatch(max_bytes) | ReadLimit::AtMost(max_bytes) => max_bytes,
        }
    }

    /// Whether a first batch of so many bytes may be given.
    fn allows_first(self, batch_bytes: usize) -> bool {
        match self {
            ReadLimit::OrOneBatch(_) => true,
            ReadLimit::AtMost(max_bytes) => batch_bytes <= max_bytes,
        }
    }
}

/// What stands around a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// The first offset behind the segment.
    pub(super) next_offset: i64,
    /// The epochs of the log.
    pub(super) epochs: &'a LeaderEpochs,
}

impl Segment {
    /// Whole batches from the one that holds `offset` on, within `limit`; none that ends at `bound` or behind it, and then
    /// empty. The segment must hold the offset, or what is left behind it.
    pub(super) fn read(
        &self,
        offset: i64,
        limit: ReadLimit,
        bound: i64,
        around: Surroundings<'_>,
    ) -> Result<Bytes, LogError> {
        if !limit.allows_first(BATCH_HEADER_BYTES) {
            return Ok(Bytes::new());
        }
        let max_bytes = limit.max_bytes();
        let origin = self.locate(offset)?;
        let mut position = origin;
        let file = self.file().get().map_err(LogError::io(&self.file().path()))?;
        let mut want = max_bytes.saturating_add(SEARCH_BYTES);
        // The batches before end here.
        let mut end_offset = self.base_offset();
        loop {
            let available = self.bytes().saturating_sub(position) as usize;
            let length = want.min(available).max(BATCH_HEADER_BYTES.min(available));
            if length == 0 {
                let reason = format!("it ends before offset {offset}, which was in it");
                return Err(self.corrupt(position, reason));
            }
            let mut buffer = BytesMut::zeroed(length);
            file.read_exact_at(&mut buffer, u64::from(position))
                .map_err(LogError::io(&self.file().path()))?;
            let mut walked = 0;
            let start = loop {
                let Some(header) = self.header_at(&buffer, position, walked)? else { break None };
                let at = position + walked as u32;
                self.check_order(&header, at, end_offset)?;
                if header.last_offset() < offset {
                    walked += header.batch_bytes();
                    end_offset = header.next_offset();
                } else if header.last_offset() >= bound {
                    self.check_followed(&header, at, around)?;
                    self.check_gap(origin, at, offset, &header)?;
                    return Ok(Bytes::new());
                } else if !limit.allows_first(header.batch_bytes()) {
                    self.check_gap(origin, at, offset, &header)?;
                    return Ok(Bytes::new());
                } else if walked + header.batch_bytes() > buffer.len() {
                    // All of it, however large; the header was checked against the segment's end.
                    want = header.batch_bytes().max(max_bytes);
                    break None;
                } else {
                    self.check_gap(origin, at, offset, &header)?;
                    break Some(walked);
                }
            };
            position += walked as u32;
            if let Some(start) = start {
                let buffer = buffer.freeze().slice(start..);
                return self.whole_batches(buffer, position, max_bytes, bound, around);
            }
        }
    }

    fn whole_batches(
        &self,
        buffer: Bytes,
        position: u32,
        max_bytes: usize,
        bound: i64,
        around: Surroundings<'_>,
    ) -> Result<Bytes, LogError> {
        let (mut end, mut end_offset) = (0, self.base_offset());
        let mut last = None;
        loop {
            let Some(header) = self.header_at(&buffer, position, end)? else {
                // What follows the last batch is not in the buffer.
                if let Some((header, at)) = last {
                    self.check_followed(&header, at, around)?;
                }
                break;
            };
            let at = position + end as u32;
            self.check_order(&header, at, end_offset)?;
            let next = end + header.batch_bytes();
            if header.last_offset() >= bound || next > buffer.len() || (end > 0 && next > max_bytes) {
                break;
            }
            if !crc_matches(&buffer[end..next]) {
                return Err(self.corrupt(at, "the checksum does not match".to_string()));
            }
            if around
                .epochs
                .epoch_of(header.base_offset)
                .is_some_and(|epoch| epoch != header.partition_leader_epoch)
            {
                let reason = format!("its leader epoch is {}", header.partition_leader_epoch);
                return Err(self.corrupt(at, reason));
            }
            end = next;
            end_offset = header.next_offset();
            last = Some((header, at));
        }
        Ok(buffer.slice(..end))
    }

    /// The header at `at` in `buffer`, which begins at `position` of the file; none if the buffer ends before.
    fn header_at(&self, buffer: &[u8], position: u32, at: usize) -> Result<Option<BatchHeader>, LogError> {
        let Some(bytes) = buffer.get(at..).filter(|bytes| bytes.len() >= BATCH_HEADER_BYTES) else {
            let left = self.bytes() as usize - position as usize - at;
            if (1..BATCH_HEADER_BYTES).contains(&left) {
                return Err(self.corrupt(position + at as u32, format!("{left} bytes, too few for a batch")));
            }
            return Ok(None);
        };
        let at = position + at as u32;
        let header = BatchHeader::parse(bytes).map_err(|error| self.corrupt(at, error.to_string()))?;
        if header.batch_bytes() > (self.bytes() - at) as usize {
            return Err(self.corrupt(at, "a batch reaches behind the end of its segment".to_string()));
        }
        Ok(Some(header))
    }

    /// Whether the batch at `at` begins at `end_offset`, where the one before ends, or behind it.
    pub(super) fn check_order(&self, header: &BatchHeader, at: u32, end_offset: i64) -> Result<(), LogError> {
        if header.base_offset < end_offset || header.last_offset_delta < 0 {
            let reason = format!("offset {} comes after {}", header.base_offset, end_offset - 1);
            return Err(self.corrupt(at, reason));
        }
        Ok(())
    }

    /// Whether the batch at `at` ends before what follows it begins.
    pub(super) fn check_followed(
        &self,
        header: &BatchHeader,
        at: u32,
        around: Surroundings<'_>,
    ) -> Result<(), LogError> {
        let scan_error = |error| self.scan_error(error);
        let next = self.scan(at + header.batch_bytes() as u32)?.next().map_err(scan_error)?;
        let next_offset = next.map_or(around.next_offset, |next| next.header.base_offset);
        if header.next_offset() > next_offset {
            let reason = format!("offset {} comes before {next_offset}", header.last_offset());
            return Err(self.corrupt(at, reason));
        }
        Ok(())
    }

    /// Whether `offset` is missing in front of the batch at `at` for a good reason: compaction leaves gaps, but between
    /// batches that are whole.
    fn check_gap(&self, origin: u32, at: u32, offset: i64, header: &BatchHeader) -> Result<(), LogError> {
        if header.base_offset <= offset {
            return Ok(());
        }
        let file = self.file().get().map_err(LogError::io(&self.file().path()))?;
        let mut scan = Scan::new(file, origin, at);
        while scan.next_checked().map_err(|error| self.scan_error(error))?.is_some() {}
        Ok(())
    }
}
