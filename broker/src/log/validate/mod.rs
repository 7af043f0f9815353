//! The checks a leader makes before it appends what a client sent.
//!
//! A batch is walked once; if it is not compressed, without allocating. Most batches are stored as they came: base
//! offset and leader epoch lie outside the checksum. A batch is rewritten only when its timestamps or its codec are not
//! what the topic wants.

use std::cell::RefCell;

use anabranch_protocol::records::{
    Batch, BatchBuilder, Compression, NO_TIMESTAMP, RecordsError, seal, set_create_time, set_log_append_time,
    set_producer, set_transactional,
};
use bytes::{Bytes, BytesMut};

use crate::config::TopicConfig;
use crate::config::topic::CompressionType;
use crate::log::AppendOrigin;
use crate::log::error::AppendError;
use crate::partition_name::PartitionName;

/// Faults of single records that are listed; more than a few help nobody.
const MAX_LISTED_RECORDS: usize = 16;
/// What a thread keeps of memory for decompressed records. A batch of many times that is rare, and its cost does not lie in
/// getting memory for it.
const MAX_KEPT_BYTES: usize = 4 << 20;

thread_local! {
    // Decompressed records; one buffer a thread, not one a partition.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's buffer for decompressed records.
fn with_scratch<T>(using: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        let outcome = using(scratch);
        if scratch.capacity() > MAX_KEPT_BYTES {
            *scratch = Vec::new();
        }
        outcome
    })
}

/// What to say of a batch whose records cannot be read.
fn unreadable(error: RecordsError, batch: &Batch) -> AppendError {
    match error {
        RecordsError::InvalidRecord(reason) => AppendError::invalid(reason),
        // A producer that hears of a corrupt batch sends it again and again; of one too large it makes two.
        RecordsError::TooLarge { max_bytes } => {
            AppendError::UnpacksTooLarge { batch_bytes: batch.bytes.len(), max_bytes }
        }
        error => AppendError::Corrupt(error),
    }
}

/// Checks `records`, which must be one batch, and returns it as it is to be stored: only base offset and leader epoch are
/// left to set.
pub(super) fn validate(
    records: &Bytes,
    config: &TopicConfig,
    origin: AppendOrigin,
    now_ms: i64,
    partition: &PartitionName,
) -> Result<Batch, AppendError> {
    let batch = one_batch(records)?;
    let header = batch.header;
    let is_client = matches!(origin, AppendOrigin::Client | AppendOrigin::Transaction(_));
    // Before all else, as in Kafka: whatever the size and the checksum are.
    if header.base_offset != 0 && is_client {
        return Err(AppendError::invalid(format!(
            "the base offset of a batch that is to be appended must be 0, and is {}",
            header.base_offset
        )));
    }
    check_size(&batch, config)?;
    batch.check_crc().map_err(AppendError::Corrupt)?;
    if header.record_count <= 0 {
        return Err(AppendError::invalid("the batch has no records"));
    }
    if i64::from(header.last_offset_delta) + 1 != i64::from(header.record_count) {
        return Err(AppendError::invalid(format!(
            "the batch has {} records, but its offsets span {}",
            header.record_count,
            i64::from(header.last_offset_delta) + 1
        )));
    }
    if header.is_control() && is_client {
        return Err(AppendError::invalid("clients may not write control records"));
    }
    if header.has_producer_id() && header.base_sequence < 0 && is_client {
        return Err(AppendError::invalid("a batch of an idempotent producer has no sequence number"));
    }
    let compression = header.compression().map_err(AppendError::Corrupt)?;
    let walked = with_scratch(|scratch| Walk::new(config, origin, now_ms, partition).walk(&batch, scratch))?;
    let (wanted, level) = stored_compression(config.compression_type, compression);
    if wanted != compression && !header.is_control() {
        let stored = recompress(&batch, wanted, level, config.log_append_time.then_some(now_ms))?;
        check_size(&stored, config)?;
        return Ok(stored);
    }
    if config.log_append_time {
        return rewrite(&batch, |bytes| set_log_append_time(bytes, now_ms));
    }
    // Which kind of timestamp a batch has is the topic's to say: what its client claims is not heard.
    let claims_append_time = header.is_log_append_time() && is_client;
    if walked.max_timestamp != header.max_timestamp || claims_append_time {
        return rewrite(&batch, |bytes| set_create_time(bytes, walked.max_timestamp));
    }
    Ok(batch)
}

/// Whether a batch may be as large as it is, as it came and as it is stored. Kafka's coordinators are bound by their topic's
/// limits as well.
fn check_size(batch: &Batch, config: &TopicConfig) -> Result<(), AppendError> {
    let batch_bytes = batch.bytes.len();
    let max_bytes = usize::try_from(config.max_message_bytes).unwrap_or(0);
    if batch_bytes > max_bytes {
        return Err(AppendError::TooLarge { batch_bytes, max_bytes });
    }
    let segment_bytes = usize::try_from(config.segment_bytes).unwrap_or(0);
    match batch_bytes > segment_bytes {
        true => Err(AppendError::LargerThanSegment { batch_bytes, segment_bytes }),
        false => Ok(()),
    }
}

/// The one batch in `records`.
pub(crate) fn one_batch(records: &Bytes) -> Result<Batch, AppendError> {
    let batch = Batch::parse(records).map_err(|error| match error {
        RecordsError::UnsupportedMagic(magic) if (0..2).contains(&magic) => {
            AppendError::UnsupportedFormat(magic)
        }
        // Nothing, or less than one.
        RecordsError::Truncated(_) => AppendError::NotOneBatch(0),
        error => AppendError::Corrupt(error),
    })?;
    if batch.bytes.len() != records.len() {
        let count = anabranch_protocol::records::batches(records).count();
        return Err(AppendError::NotOneBatch(count.max(2)));
    }
    Ok(batch)
}

/// The codec in which a batch is stored.
fn stored_compression(wanted: CompressionType, of_producer: Compression) -> (Compression, Option<i32>) {
    match wanted {
        CompressionType::Producer => (of_producer, None),
        CompressionType::Uncompressed => (Compression::None, None),
        CompressionType::Gzip(level) => (Compression::Gzip, Some(level)),
        CompressionType::Snappy => (Compression::Snappy, None),
        CompressionType::Lz4(level) => (Compression::Lz4, Some(level)),
        CompressionType::Zstd(level) => (Compression::Zstd, Some(level)),
    }
}

/// One walk over the records of a batch.
struct Walk<'a> {
    partition: &'a PartitionName,
    needs_keys: bool,
    /// The timestamps allowed.
    timestamps: std::ops::RangeInclusive<i64>,
    invalid: Vec<(i32, String)>,
    invalid_timestamps: Vec<(i32, String)>,
    max_timestamp: i64,
    is_client: bool,
    /// The broker gives the time.
    log_append_time: bool,
}

impl<'a> Walk<'a> {
    fn new(config: &TopicConfig, origin: AppendOrigin, now_ms: i64, partition: &'a PartitionName) -> Self {
        let is_client = matches!(origin, AppendOrigin::Client | AppendOrigin::Transaction(_));
        let timestamps = if is_client && !config.log_append_time {
            now_ms.saturating_sub(config.message_timestamp_before_max_ms)
                ..=now_ms.saturating_add(config.message_timestamp_after_max_ms)
        } else {
            i64::MIN..=i64::MAX
        };
        Walk {
            partition,
            needs_keys: is_client && config.cleanup_compact,
            timestamps,
            invalid: Vec::new(),
            invalid_timestamps: Vec::new(),
            max_timestamp: NO_TIMESTAMP,
            is_client,
            log_append_time: config.log_append_time,
        }
    }

    fn walk(mut self, batch: &Batch, scratch: &mut Vec<u8>) -> Result<Walked, AppendError> {
        let unreadable = |error| unreadable(error, batch);
        let mut expected_offset = batch.header.base_offset;
        let needs_keys = self.needs_keys && !batch.header.is_control();
        // A client that claims the broker's work as done is refused, unless it has given a time that is its own to give.
        let claims_append_time = self.is_client
            && batch.header.is_log_append_time()
            && (self.log_append_time || batch.header.max_timestamp == NO_TIMESTAMP);
        for (position, record) in (0..).zip(batch.records(scratch).map_err(unreadable)?) {
            let record = record.map_err(unreadable)?;
            if record.offset != expected_offset {
                list(&mut self.invalid, position, || {
                    format!(
                        "its offset is {} within the batch, not {position}",
                        record.offset - batch.header.base_offset
                    )
                });
            }
            expected_offset = expected_offset.wrapping_add(1);
            if needs_keys && record.key.is_none() {
                list(&mut self.invalid, position, || {
                    format!("a record of the compacted topic {} needs a key", self.partition.topic)
                });
            }
            if claims_append_time {
                list(&mut self.invalid_timestamps, position, || {
                    "producers do not set timestamps of the type LogAppendTime".to_string()
                });
            } else if record.timestamp != NO_TIMESTAMP && !self.timestamps.contains(&record.timestamp) {
                list(&mut self.invalid_timestamps, position, || {
                    let (first, last) = (self.timestamps.start(), self.timestamps.end());
                    format!("its timestamp {} is not between {first} and {last}", record.timestamp)
                });
            }
            self.max_timestamp = self.max_timestamp.max(record.timestamp);
        }
        if !self.invalid.is_empty() {
            let message = "one or more records of the batch are invalid".to_string();
            return Err(AppendError::InvalidRecord { message, records: self.invalid });
        }
        if !self.invalid_timestamps.is_empty() {
            let message = "one or more records of the batch have timestamps that are not allowed";
            return Err(AppendError::InvalidTimestamp {
                message: message.to_string(),
                records: self.invalid_timestamps,
            });
        }
        Ok(Walked { max_timestamp: self.max_timestamp })
    }
}

/// What a walk found out.
struct Walked {
    max_timestamp: i64,
}

fn list(faults: &mut Vec<(i32, String)>, position: i32, fault: impl FnOnce() -> String) {
    if faults.len() < MAX_LISTED_RECORDS {
        faults.push((position, fault()));
    }
}

/// The batch with a patched header, sealed.
fn rewrite(batch: &Batch, patch: impl FnOnce(&mut [u8])) -> Result<Batch, AppendError> {
    let mut bytes = BytesMut::from(&batch.bytes[..]);
    patch(&mut bytes);
    seal(&mut bytes);
    Batch::parse(&bytes.freeze()).map_err(AppendError::Corrupt)
}

/// The batch in another codec.
fn recompress(
    batch: &Batch,
    compression: Compression,
    level: Option<i32>,
    log_append_time: Option<i64>,
) -> Result<Batch, AppendError> {
    let mut builder = BatchBuilder::with_level(compression, level);
    with_scratch(|scratch| {
        for record in batch.records(scratch)? {
            let record = record?;
            builder.append_with_headers(record.timestamp, record.key, record.value, record.headers)?;
        }
        Ok(())
    })
    .map_err(|error| unreadable(error, batch))?;
    let mut bytes = builder.finish();
    let header = batch.header;
    set_producer(&mut bytes, header.producer_id, header.producer_epoch, header.base_sequence);
    if header.is_transactional() {
        set_transactional(&mut bytes);
    }
    if let Some(timestamp_ms) = log_append_time {
        set_log_append_time(&mut bytes, timestamp_ms);
    }
    seal(&mut bytes);
    Batch::parse(&bytes.freeze()).map_err(AppendError::Corrupt)
}

#[cfg(test)]
mod tests;
