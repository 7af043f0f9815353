//! Control batches: the markers that end transactions, and those of the metadata quorum.
//!
//! ```text
//! key:    version i16 = 0, type i16
//! value:  version i16 = 0, coordinator epoch i32      (of a transaction marker)
//!         version i16 = 0, timestamp i64, no tags     (of the header of a snapshot)
//!         version i16 = 0, no tags                    (of its footer)
//! ```

use bytes::BytesMut;

use super::batch::{seal, set_control, set_producer, set_transactional};
use super::{BatchBuilder, Compression, HeadersRef, NO_SEQUENCE, RecordRef, RecordsError};

/// What a control record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlType {
    /// The producer's transaction was aborted.
    Abort,
    /// The producer's transaction was committed.
    Commit,
    /// The quorum has a new leader.
    LeaderChange,
    /// A snapshot begins.
    SnapshotHeader,
    /// A snapshot ends.
    SnapshotFooter,
    /// The version of the quorum's protocol.
    KRaftVersion,
    /// The voters of the quorum.
    KRaftVoters,
    /// A type of a later version; readers skip it.
    Unknown(i16),
}

impl ControlType {
    /// The type of a code.
    #[must_use]
    pub const fn from_code(code: i16) -> Self {
        match code {
            0 => ControlType::Abort,
            1 => ControlType::Commit,
            2 => ControlType::LeaderChange,
            3 => ControlType::SnapshotHeader,
            4 => ControlType::SnapshotFooter,
            5 => ControlType::KRaftVersion,
            6 => ControlType::KRaftVoters,
            other => ControlType::Unknown(other),
        }
    }

    /// Its code.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            ControlType::Abort => 0,
            ControlType::Commit => 1,
            ControlType::LeaderChange => 2,
            ControlType::SnapshotHeader => 3,
            ControlType::SnapshotFooter => 4,
            ControlType::KRaftVersion => 5,
            ControlType::KRaftVoters => 6,
            ControlType::Unknown(code) => code,
        }
    }
}

/// The one record of a control batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// What it says.
    pub control_type: ControlType,
    /// For a transaction marker: the epoch of the coordinator that wrote it.
    pub coordinator_epoch: Option<i32>,
}

impl ControlRecord {
    /// Reads the record of a control batch.
    ///
    /// # Errors
    /// If key or value are shorter than they must be.
    pub fn parse(record: &RecordRef<'_>) -> Result<Self, RecordsError> {
        let key = record.key.and_then(|key| key.first_chunk::<4>());
        let Some(&[_, _, high, low]) = key else {
            return Err(RecordsError::InvalidRecord("a control record's key has four bytes"));
        };
        let control_type = ControlType::from_code(i16::from_be_bytes([high, low]));
        let coordinator_epoch = match control_type {
            ControlType::Abort | ControlType::Commit => {
                let value = record.value.and_then(|value| value.first_chunk::<6>());
                let Some(&[_, _, a, b, c, d]) = value else {
                    return Err(RecordsError::InvalidRecord("a transaction marker's value has six bytes"));
                };
                Some(i32::from_be_bytes([a, b, c, d]))
            }
            _ => None,
        };
        Ok(ControlRecord { control_type, coordinator_epoch })
    }
}

/// The batch that begins a snapshot of metadata; `timestamp_ms` is also that of the last record it stands for.
#[must_use]
pub fn snapshot_header(timestamp_ms: i64) -> BytesMut {
    let mut value = [0; 11];
    value[2..10].copy_from_slice(&timestamp_ms.to_be_bytes());
    let mut batch = control_batch(timestamp_ms, ControlType::SnapshotHeader, &value);
    seal(&mut batch);
    batch
}

/// The batch that ends a snapshot of metadata.
#[must_use]
pub fn snapshot_footer(timestamp_ms: i64) -> BytesMut {
    let mut batch = control_batch(timestamp_ms, ControlType::SnapshotFooter, &[0; 3]);
    seal(&mut batch);
    batch
}

/// A batch of one control record, which is to be sealed.
fn control_batch(timestamp_ms: i64, control_type: ControlType, value: &[u8]) -> BytesMut {
    let mut key = [0; 4];
    key[2..].copy_from_slice(&control_type.code().to_be_bytes());
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .append_with_headers(timestamp_ms, Some(&key), Some(value), HeadersRef::EMPTY)
        .expect("some bytes fit into a batch");
    let mut batch = builder.finish();
    set_control(&mut batch);
    batch
}

/// The batch that ends a producer's transaction in a partition.
#[must_use]
pub fn end_transaction_marker(
    timestamp_ms: i64,
    producer_id: i64,
    producer_epoch: i16,
    committed: bool,
    coordinator_epoch: i32,
) -> BytesMut {
    let mut value = [0; 6];
    value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
    let control_type = if committed { ControlType::Commit } else { ControlType::Abort };
    let mut batch = control_batch(timestamp_ms, control_type, &value);
    set_producer(&mut batch, producer_id, producer_epoch, NO_SEQUENCE);
    set_transactional(&mut batch);
    seal(&mut batch);
    batch
}

#[cfg(test)]
mod tests {
    use super::super::Batch;
    use super::*;

    #[test]
    fn a_snapshot_is_between_two_marks() {
        for (batch, control_type, value) in [
            (snapshot_header(77), ControlType::SnapshotHeader, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 77, 0][..]),
            (snapshot_footer(77), ControlType::SnapshotFooter, &[0, 0, 0][..]),
        ] {
            let batch = Batch::parse(&batch.freeze()).unwrap();
            batch.check_crc().unwrap();
            assert!(batch.header.is_control() && !batch.header.is_transactional());
            let mut scratch = Vec::new();
            let record = batch.records(&mut scratch).unwrap().next().unwrap().unwrap();
            assert_eq!(record.value, Some(value));
            assert_eq!(ControlRecord::parse(&record).unwrap().control_type, control_type);
        }
    }

    #[test]
    fn a_marker_reads_as_written() {
        for committed in [false, true] {
            let batch = Batch::parse(&end_transaction_marker(77, 1234, 5, committed, 9).freeze()).unwrap();
            batch.check_crc().unwrap();
            let header = batch.header;
            assert!(header.is_control() && header.is_transactional() && header.has_producer_id());
            assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (1234, 5, -1));
            assert_eq!((header.record_count, header.max_timestamp), (1, 77));
            let mut scratch = Vec::new();
            let record = batch.records(&mut scratch).unwrap().next().unwrap().unwrap();
            let control_type = if committed { ControlType::Commit } else { ControlType::Abort };
            assert_eq!(record.key, Some([0, 0, 0, u8::from(committed)].as_slice()));
            assert_eq!(
                ControlRecord::parse(&record),
                Ok(ControlRecord { control_type, coordinator_epoch: Some(9) })
            );
        }
    }

    #[test]
    fn codes_lead_back_and_short_records_are_refused() {
        for code in -1..9 {
            assert_eq!(ControlType::from_code(code).code(), code);
        }
        let record =
            |key, value| RecordRef { offset: 0, timestamp: 0, key, value, headers: HeadersRef::EMPTY };
        assert!(ControlRecord::parse(&record(None, None)).is_err());
        assert!(ControlRecord::parse(&record(Some(&[0, 0, 0]), None)).is_err());
        assert!(ControlRecord::parse(&record(Some(&[0, 0, 0, 1]), Some(&[0; 5]))).is_err());
        let leader_change = ControlRecord::parse(&record(Some(&[0, 0, 0, 2]), None)).unwrap();
        assert_eq!(leader_change.control_type, ControlType::LeaderChange);
    }
}
