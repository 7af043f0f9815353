//! Searching a segment by time.
//!
//! As for a reader, the offsets of batches are held against what stands around them: a flipped bit in one is an error
//! here, and never another answer.

use anabranch_protocol::records::{Batch, NO_TIMESTAMP};

use super::error::LogError;
use super::segment::Segment;
use super::segment_read::Surroundings;

impl Segment {
    /// The first record at or after `timestamp` among those from `from` to before `bound`, and its batch's leader epoch.
    pub(super) fn find_timestamp(
        &self,
        timestamp: i64,
        from: i64,
        bound: i64,
        around: Surroundings<'_>,
    ) -> Result<Option<FoundRecord>, LogError> {
        let after = self.locate_timestamp(timestamp)?.unwrap_or(self.base_offset());
        let mut scan = self.scan(self.locate(after.max(from))?)?;
        let mut scratch = Vec::new();
        let mut end_offset = self.base_offset();
        // Also what is passed over is checked: a record must not be missed for a damaged timestamp or offset.
        while let Some(batch) = scan.next_checked().map_err(|error| self.scan_error(error))? {
            self.check_order(&batch.header, batch.position, end_offset)?;
            end_offset = batch.header.next_offset();
            if batch.header.last_offset() >= bound {
                self.check_followed(&batch.header, batch.position, around)?;
                break;
            }
            if batch.header.max_timestamp < timestamp || batch.header.last_offset() < from {
                continue;
            }
            let bytes = scan.batch_bytes(batch).map_err(|error| self.scan_error(error))?;
            let corrupt = |error: anabranch_protocol::records::RecordsError| {
                self.corrupt(batch.position, error.to_string())
            };
            self.check_followed(&batch.header, batch.position, around)?;
            let whole = Batch { header: batch.header, bytes };
            for record in whole.records(&mut scratch).map_err(corrupt)? {
                let record = record.map_err(corrupt)?;
                if record.timestamp >= timestamp && record.offset >= from {
                    return Ok(Some(FoundRecord {
                        offset: record.offset,
                        timestamp: record.timestamp,
                        leader_epoch: batch.header.partition_leader_epoch,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// The largest timestamp of the batches that end before `bound`, -1 for none.
    pub(super) fn largest_timestamp_before(
        &self,
        bound: i64,
        around: Surroundings<'_>,
    ) -> Result<i64, LogError> {
        // Only what lies behind the last entry before the bound must be looked at: a topic that is written all the time
        // has records behind its bound all the time.
        let (mut largest, from) = match self.largest_noted_before(bound)? {
            Some(noted) => (noted.timestamp, self.locate(noted.offset)?),
            None => (NO_TIMESTAMP, 0),
        };
        let mut scan = self.scan(from)?;
        let mut end_offset = self.base_offset();
        while let Some(batch) = scan.next().map_err(|error| self.scan_error(error))? {
            self.check_order(&batch.header, batch.position, end_offset)?;
            end_offset = batch.header.next_offset();
            if batch.header.last_offset() >= bound {
                self.check_followed(&batch.header, batch.position, around)?;
                break;
            }
            largest = largest.max(batch.header.max_timestamp);
        }
        Ok(largest)
    }
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp.
    pub timestamp: i64,
    /// The epoch of the leader that appended it.
    pub leader_epoch: i32,
}
