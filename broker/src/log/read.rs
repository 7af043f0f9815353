//! Reading: whole batches from an offset on, and offsets by timestamp.

use bytes::Bytes;

use super::segment::Segment;
use super::segment_read::{ReadLimit, Surroundings};
use super::segment_search::FoundRecord;
use super::{AbortedTransaction, Log, LogError};

impl Log {
    /// Whole batches from the one that holds `offset` on, as they are stored: at most `max_bytes`, but at least one
    /// batch, and none that reaches to `bound` or behind it (the high watermark, or the last stable offset). Empty if
    /// there is none. The first batch may begin before `offset`. All come from one segment.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] if the log does not hold `offset`; [`LogError::Corrupt`] if a checksum does not
    /// match.
    pub fn read(&self, offset: i64, max_bytes: usize, bound: i64) -> Result<Bytes, LogError> {
        self.read_within(offset, ReadLimit::OrOneBatch(max_bytes), bound)
    }

    /// As [`Log::read`], within `limit`.
    ///
    /// # Errors
    /// As there.
    pub fn read_within(&self, offset: i64, limit: ReadLimit, bound: i64) -> Result<Bytes, LogError> {
        if offset < self.start_offset || offset > self.end_offset {
            return Err(LogError::OffsetOutOfRange {
                offset,
                log_start_offset: self.start_offset,
                log_end_offset: self.end_offset,
            });
        }
        if offset >= bound {
            return Ok(Bytes::new());
        }
        let at = self.segment_of(offset);
        let Some(segment) = self.segments.get(at) else { return Ok(Bytes::new()) };
        segment.read(offset, limit, bound, self.surroundings_of(at))
    }

    /// A segment goes on where the one before ends, compacted or not, so no other holds its offsets.
    fn surroundings_of(&self, at: usize) -> Surroundings<'_> {
        let next_offset = self.segments.get(at + 1).map_or(self.end_offset, Segment::base_offset);
        Surroundings { next_offset, epochs: &self.epochs }
    }

    /// The aborted transactions that have records from `from` to before `to`, by their first offsets.
    ///
    /// # Errors
    /// If an index cannot be read.
    pub fn aborted_transactions(&self, from: i64, to: i64) -> Result<Vec<AbortedTransaction>, LogError> {
        let mut found = Vec::new();
        for segment in &self.segments[self.segment_of(from)..] {
            if segment.transactions().collect(from, to, &mut found)? {
                break;
            }
        }
        found.sort_by_key(|transaction| transaction.first_offset);
        Ok(found)
    }

    /// The first record at or after `timestamp` that lies before `bound`; none if there is none.
    ///
    /// # Errors
    /// If the disk or a batch is damaged.
    pub fn find_timestamp(&self, timestamp: i64, bound: i64) -> Result<Option<FoundRecord>, LogError> {
        for (at, segment) in self.segments.iter().enumerate() {
            if segment.base_offset() >= bound {
                break;
            }
            if segment.largest_timestamp()?.timestamp < timestamp {
                continue;
            }
            let around = self.surroundings_of(at);
            let Some(found) = segment.find_timestamp(timestamp, self.start_offset, bound, around)? else {
                continue;
            };
            // The leader epoch lies outside the batch's checksum; to read there is to hold it against the log's.
            self.read(found.offset, 1, i64::MAX)?;
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// The first of the records that have the largest timestamp, among those before `bound`; none if no record has one.
    ///
    /// # Errors
    /// If the disk or a batch is damaged.
    pub fn find_largest_timestamp(&self, bound: i64) -> Result<Option<FoundRecord>, LogError> {
        let mut largest = None;
        for (at, segment) in self.segments.iter().enumerate() {
            let known = segment.largest_timestamp()?;
            // Where the index knows only what lies behind the bound, the batches before it must be looked at.
            let timestamp = if known.offset < bound {
                known.timestamp
            } else {
                segment.largest_timestamp_before(bound, self.surroundings_of(at))?
            };
            if timestamp >= 0 && largest.is_none_or(|largest| timestamp > largest) {
                largest = Some(timestamp);
            }
        }
        match largest {
            Some(timestamp) => self.find_timestamp(timestamp, bound),
            None => Ok(None),
        }
    }

    /// The place of the segment that holds `offset`, or of the first one behind it.
    pub(super) fn segment_of(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1)
    }

    /// Where the log ends.
    #[must_use]
    pub fn end_position(&self) -> EndPosition {
        match self.segments.last() {
            Some(active) => EndPosition {
                offset: self.end_offset,
                base_offset: active.base_offset(),
                bytes: active.bytes(),
            },
            None => EndPosition { offset: self.end_offset, base_offset: self.end_offset, bytes: 0 },
        }
    }
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndPosition {
    /// The offset that the next record gets.
    pub offset: i64,
    /// The first offset of its last segment.
    pub base_offset: i64,
    /// The bytes of that segment.
    pub bytes: u32,
}
