//! What stays of a batch: Kafka's rules, record by record.
//!
//! A record stays if no later one has its key. A tombstone stays until the delete horizon of its batch has passed, which
//! the first round that meets it sets, so that readers have `delete.retention.ms` to see it. Markers of transactions
//! wait like tombstones, once nothing of their transaction is left. A batch of which nothing stays is kept without
//! records if it is the last of a living producer, whose sequence number it holds, or the last of a segment, so that
//! segments go on where the ones before end.

use anabranch_host::HashMap;
use anabranch_protocol::records::{Batch, BatchHeader, RecordRef, RecordsError, compacted_batch};
use bytes::Bytes;

use super::offset_map::OffsetMap;
use super::transactions::{Aborted, MarkerKeeper};

/// The last that a log has of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastOfProducer {
    /// Its last batch of records, if it has one.
    pub(super) data_offset: Option<i64>,
    /// Its epoch.
    pub(super) epoch: i16,
}

/// Decides batch by batch, in the order of the log.
#[derive(Debug)]
pub(super) struct Filter<'a> {
    pub(super) map: &'a OffsetMap,
    pub(super) aborted: &'a Aborted,
    pub(super) producers: &'a HashMap<i64, LastOfProducer>,
    pub(super) markers: MarkerKeeper,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
}

impl Filter<'_> {
    /// What stays of the batch, none for nothing; `is_last` says that its offsets must be kept in any case.
    pub(super) fn keep(
        &mut self,
        batch: &Batch,
        is_last: bool,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<Bytes>, String> {
        let header = &batch.header;
        let (drops_all, is_ending) = if header.is_control() {
            let may_go = self.markers.marker(batch)?;
            let is_due = header.delete_horizon_ms().is_some_and(|horizon_ms| horizon_ms <= self.now_ms);
            (may_go && is_due, may_go)
        } else {
            self.markers.batch(header);
            (self.aborted.contains(header), false)
        };
        let stays_empty = is_last || self.is_last_of_producer(header);
        if drops_all && !stays_empty {
            return Ok(None);
        }
        self.rebuild(batch, drops_all, is_ending, stays_empty, scratch).map_err(|error| error.to_string())
    }

    fn rebuild(
        &self,
        batch: &Batch,
        drops_all: bool,
        is_ending: bool,
        stays_empty: bool,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<Bytes>, RecordsError> {
        let header = &batch.header;
        let mut kept = Vec::new();
        if !drops_all {
            for record in batch.records(scratch)? {
                let record = record?;
                if header.is_control() || self.keeps(header, &record) {
                    kept.push(record);
                }
            }
        }
        if kept.is_empty() && !stays_empty {
            return Ok(None);
        }
        let has_tombstones = !header.is_control() && kept.iter().any(|record| record.value.is_none());
        let horizon = header.delete_horizon_ms();
        let gets_horizon = horizon.is_none() && !kept.is_empty() && (has_tombstones || is_ending);
        if kept.len() as i64 == i64::from(header.record_count) && !gets_horizon {
            return Ok(Some(batch.bytes.clone()));
        }
        let horizon = match gets_horizon {
            true => Some(self.now_ms.saturating_add(self.delete_retention_ms)),
            false => horizon,
        };
        compacted_batch(header, &kept, horizon).map(|bytes| Some(bytes.freeze()))
    }

    fn keeps(&self, header: &BatchHeader, record: &RecordRef<'_>) -> bool {
        if record.offset > self.map.latest_offset() {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_latest = self.map.get(key).is_none_or(|latest| record.offset >= latest);
        let is_due = header.delete_horizon_ms().is_some_and(|horizon_ms| horizon_ms <= self.now_ms);
        is_latest && (record.value.is_some() || !is_due)
    }

    /// Whether the batch holds what is known of a producer's place: the last sequence number, or, if it has written
    /// nothing in its epoch but markers, the epoch.
    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        if !header.has_producer_id() {
            return false;
        }
        self.producers.get(&header.producer_id).is_some_and(|last| match last.data_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch == last.epoch,
        })
    }
}
