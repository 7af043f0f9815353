//! A batch: its header, its checksum, the fields a leader patches in place, and the walk over several of them.
//!
//! ```text
//!  0 base offset i64        12 leader epoch i32   21 attributes i16         35 max timestamp i64   53 base sequence i32
//!  8 length i32 (of what    16 magic i8 = 2       23 last offset delta i32  43 producer id i64     57 record count i32
//!    follows this field)    17 CRC-32C u32        27 base timestamp i64     51 producer epoch i16  61 records
//! ```
//! The checksum covers everything from the attributes on, so base offset and leader epoch can be set without a new one.

use bytes::Bytes;

use super::{Compression, Records, RecordsError, codecs};

/// Bytes before the first record.
pub const BATCH_HEADER_BYTES: usize = 61;
/// Bytes of base offset and length, which the length does not count.
pub const LOG_OVERHEAD_BYTES: usize = 12;
/// The producer id of a batch without one.
pub const NO_PRODUCER_ID: i64 = -1;
/// The producer epoch of a batch without one.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// The base sequence of a batch without one.
pub const NO_SEQUENCE: i32 = -1;
/// The timestamp of a record without one.
pub const NO_TIMESTAMP: i64 = -1;

const MAGIC: i8 = 2;
/// The smallest record of the formats before: less is nonsense.
const OLD_RECORD_BYTES: i32 = 14;
const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

/// The codec, within the attributes.
pub(super) const CODEC_BITS: i16 = 0b111;
const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
/// Says that the base timestamp is the delete horizon.
pub(super) const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// The fields before the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record the batch was made with.
    pub base_offset: i64,
    /// Bytes after the length field.
    pub batch_length: i32,
    /// Epoch of the leader that appended it.
    pub partition_leader_epoch: i32,
    /// Always 2.
    pub magic: i8,
    /// CRC-32C of all that follows it.
    pub crc: u32,
    /// Codec, timestamp type, transactional, control, delete horizon.
    pub attributes: i16,
    /// Distance from the base offset to the last one; compaction keeps it when it drops records.
    pub last_offset_delta: i32,
    /// What the records' timestamps count from; the delete horizon if that bit is set.
    pub base_timestamp: i64,
    /// The largest timestamp, or the time of the append.
    pub max_timestamp: i64,
    /// -1 for none.
    pub producer_id: i64,
    /// -1 for none.
    pub producer_epoch: i16,
    /// Sequence number of the first record, -1 for none.
    pub base_sequence: i32,
    /// Records in the batch.
    pub record_count: i32,
}

fn field<const N: usize, const M: usize>(bytes: &[u8; M], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`. Whether the records follow is not looked at.
    ///
    /// # Errors
    /// If there are too few bytes, the length cannot be true, or the format is not 2.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, RecordsError> {
        // The magic byte lies at the same place in all formats, so an old message set is told apart however short it is.
        if let Some(start) = bytes.first_chunk::<{ MAGIC_AT + 1 }>()
            && start[MAGIC_AT] as i8 != MAGIC
        {
            let batch_length = i32::from_be_bytes(field(start, LENGTH_AT));
            return Err(match batch_length < OLD_RECORD_BYTES {
                true => RecordsError::InvalidLength(batch_length),
                false => RecordsError::UnsupportedMagic(start[MAGIC_AT] as i8),
            });
        }
        let Some(bytes) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(RecordsError::Truncated("the header is incomplete"));
        };
        let header = BatchHeader {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            batch_length: i32::from_be_bytes(field(bytes, LENGTH_AT)),
            partition_leader_epoch: i32::from_be_bytes(field(bytes, LEADER_EPOCH_AT)),
            magic: bytes[MAGIC_AT] as i8,
            crc: u32::from_be_bytes(field(bytes, CRC_AT)),
            attributes: i16::from_be_bytes(field(bytes, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(field(bytes, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(field(bytes, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(field(bytes, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(field(bytes, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(field(bytes, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(field(bytes, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(field(bytes, RECORD_COUNT_AT)),
        };
        if header.batch_length < (BATCH_HEADER_BYTES - LOG_OVERHEAD_BYTES) as i32 {
            return Err(RecordsError::InvalidLength(header.batch_length));
        }
        Ok(header)
    }

    /// Writes the header over the start of `batch`, the checksum as it stands in the header.
    pub(super) fn write(&self, batch: &mut [u8]) {
        batch[..LENGTH_AT].copy_from_slice(&self.base_offset.to_be_bytes());
        batch[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&self.batch_length.to_be_bytes());
        batch[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        batch[MAGIC_AT] = self.magic as u8;
        batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&self.crc.to_be_bytes());
        batch[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&self.attributes.to_be_bytes());
        batch[LAST_OFFSET_DELTA_AT..BASE_TIMESTAMP_AT].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        batch[BASE_TIMESTAMP_AT..MAX_TIMESTAMP_AT].copy_from_slice(&self.base_timestamp.to_be_bytes());
        batch[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&self.max_timestamp.to_be_bytes());
        batch[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&self.producer_id.to_be_bytes());
        batch[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT].copy_from_slice(&self.producer_epoch.to_be_bytes());
        batch[BASE_SEQUENCE_AT..RECORD_COUNT_AT].copy_from_slice(&self.base_sequence.to_be_bytes());
        batch[RECORD_COUNT_AT..BATCH_HEADER_BYTES].copy_from_slice(&self.record_count.to_be_bytes());
    }

    /// A header for records that begin at offset 0 with `base_timestamp`: no producer, no epoch, not sealed.
    pub(super) fn new(base_timestamp: i64) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: 0,
            last_offset_delta: 0,
            base_timestamp,
            max_timestamp: base_timestamp,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            record_count: 0,
        }
    }

    /// Bytes of the whole batch.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        // Not negative: `parse` refuses that.
        LOG_OVERHEAD_BYTES + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// Offset of the last record the batch was made with.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// Offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// Sequence number of the last record; it wraps from 2^31-1 to 0. -1 for a batch without.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return NO_SEQUENCE;
        }
        ((i64::from(self.base_sequence) + i64::from(self.last_offset_delta)) & i64::from(i32::MAX)) as i32
    }

    /// The codec.
    ///
    /// # Errors
    /// [`RecordsError::UnknownCompression`] for a code that does not exist.
    pub fn compression(&self) -> Result<Compression, RecordsError> {
        Compression::from_code((self.attributes & CODEC_BITS) as u8)
    }

    /// Whether all records carry the time of the append, `max_timestamp`, instead of their own.
    #[must_use]
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME_BIT != 0
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch is a marker for brokers and clients, not for users.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// The time from which compaction may drop the batch's tombstones, if it is set.
    #[must_use]
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// Whether an idempotent producer made the batch.
    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }
}

/// Whether the checksum in `batch` matches its bytes. `batch` is exactly one batch; anything shorter than a header does
/// not match.
#[must_use]
pub fn crc_matches(batch: &[u8]) -> bool {
    match (batch.get(CRC_AT..ATTRIBUTES_AT), batch.get(ATTRIBUTES_AT..)) {
        (Some(stored), Some(covered)) => stored == crc_fast::crc32_iscsi(covered).to_be_bytes(),
        _ => false,
    }
}

/// Recomputes the checksum of `batch`, which is exactly one batch.
///
/// # Panics
/// If `batch` is shorter than a header; so do all the setters below. Call them on what [`BatchHeader::parse`] took.
pub fn seal(batch: &mut [u8]) {
    let crc = crc_fast::crc32_iscsi(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// Sets the offset of the first record. Outside the checksum.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) {
    batch[..LENGTH_AT].copy_from_slice(&base_offset.to_be_bytes());
}

/// Sets the epoch of the leader that appends. Outside the checksum.
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: i32) {
    batch[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&epoch.to_be_bytes());
}

/// Stamps an idempotent producer's identity. Needs [`seal`].
pub fn set_producer(batch: &mut [u8], producer_id: i64, producer_epoch: i16, base_sequence: i32) {
    batch[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&producer_id.to_be_bytes());
    batch[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT].copy_from_slice(&producer_epoch.to_be_bytes());
    batch[BASE_SEQUENCE_AT..RECORD_COUNT_AT].copy_from_slice(&base_sequence.to_be_bytes());
}

/// Gives all records the time of the append. Needs [`seal`].
pub fn set_log_append_time(batch: &mut [u8], timestamp_ms: i64) {
    set_attribute(batch, LOG_APPEND_TIME_BIT);
    set_max_timestamp(batch, timestamp_ms);
}

/// Says that the timestamps are the producer's, the largest of them this one. Needs [`seal`].
pub fn set_create_time(batch: &mut [u8], max_timestamp_ms: i64) {
    let attributes =
        i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]) & !LOG_APPEND_TIME_BIT;
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    set_max_timestamp(batch, max_timestamp_ms);
}

fn set_max_timestamp(batch: &mut [u8], timestamp_ms: i64) {
    batch[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&timestamp_ms.to_be_bytes());
}

/// Makes the batch part of its producer's transaction. Needs [`seal`].
pub fn set_transactional(batch: &mut [u8]) {
    set_attribute(batch, TRANSACTIONAL_BIT);
}

/// Makes the batch a control batch. Needs [`seal`].
pub(super) fn set_control(batch: &mut [u8]) {
    set_attribute(batch, CONTROL_BIT);
}

fn set_attribute(batch: &mut [u8], bit: i16) {
    let [high, low] = bit.to_be_bytes();
    batch[ATTRIBUTES_AT] |= high;
    batch[ATTRIBUTES_AT + 1] |= low;
}

/// One whole batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its header.
    pub header: BatchHeader,
    /// All of it, header included.
    pub bytes: Bytes,
}

impl Batch {
    /// Reads the batch at the start of `bytes` and leaves what follows alone.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and [`RecordsError::Truncated`] if not all of it is there.
    pub fn parse(bytes: &Bytes) -> Result<Batch, RecordsError> {
        let header = BatchHeader::parse(bytes)?;
        if bytes.len() < header.batch_bytes() {
            return Err(RecordsError::Truncated("the records are incomplete"));
        }
        Ok(Batch { header, bytes: bytes.slice(..header.batch_bytes()) })
    }

    /// Checks the checksum.
    ///
    /// # Errors
    /// [`RecordsError::CrcMismatch`].
    pub fn check_crc(&self) -> Result<(), RecordsError> {
        if crc_matches(&self.bytes) {
            return Ok(());
        }
        Err(RecordsError::CrcMismatch { base_offset: self.header.base_offset })
    }

    /// Walks the records, decompressed into `scratch` if need be; at most
    /// [`MAX_DECOMPRESSED_BYTES`](super::MAX_DECOMPRESSED_BYTES) of them. Keep `scratch` for the next batch: its length
    /// means nothing between calls, its memory is used again.
    ///
    /// # Errors
    /// If the codec is unknown or refuses the data.
    pub fn records<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Result<Records<'a>, RecordsError> {
        self.records_within(scratch, super::MAX_DECOMPRESSED_BYTES)
    }

    /// As [`Batch::records`], with a bound of the caller's choice on the decompressed size.
    ///
    /// # Errors
    /// If the codec is unknown or refuses the data, or the bound is passed.
    pub fn records_within<'a>(
        &'a self,
        scratch: &'a mut Vec<u8>,
        max_bytes: usize,
    ) -> Result<Records<'a>, RecordsError> {
        let stored = &self.bytes[BATCH_HEADER_BYTES..];
        let records = match self.header.compression()? {
            Compression::None => stored,
            compression => codecs::decompress(compression, stored, scratch, max_bytes)?,
        };
        Ok(Records::new(&self.header, records))
    }

    /// The records as bytes that can be shared: a part of the batch, or decompressed into memory of their own. For
    /// readers who hand records out one by one; walk them with [`Batch::records_in`].
    ///
    /// # Errors
    /// If the codec is unknown or refuses the data.
    pub fn records_bytes(&self) -> Result<Bytes, RecordsError> {
        let stored = self.bytes.slice(BATCH_HEADER_BYTES..);
        match self.header.compression()? {
            Compression::None => Ok(stored),
            compression => {
                let mut memory = Vec::new();
                let length =
                    codecs::decompress(compression, &stored, &mut memory, super::MAX_DECOMPRESSED_BYTES)?
                        .len();
                Ok(Bytes::from(memory).slice(..length))
            }
        }
    }

    /// Walks this batch's records in what [`Batch::records_bytes`] gave.
    #[must_use]
    pub fn records_in<'a>(&self, records: &'a [u8]) -> Records<'a> {
        Records::new(&self.header, records)
    }
}

/// Walks the batches in `records`, as a produce request, a fetch response or a segment holds them. A batch cut off at
/// the end, which a fetch may bring, ends the walk silently.
#[must_use]
pub fn batches(records: &Bytes) -> Batches {
    Batches { rest: records.clone() }
}

/// See [`batches`].
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// What has not been walked yet; after the end, the batch that was cut off, if one was.
    #[must_use]
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        match Batch::parse(&self.rest) {
            Ok(batch) => {
                self.rest = self.rest.slice(batch.bytes.len()..);
                Some(Ok(batch))
            }
            Err(RecordsError::Truncated(_)) => None,
            Err(error) => {
                self.rest = Bytes::new();
                Some(Err(error))
            }
        }
    }
}
