//! How a coordinator keeps its records: one partition of an internal topic, seen through four calls.
//!
//! The group coordinator folds its state from a partition of `__consumer_offsets`. It reads that partition once from its
//! start when it loads, and from then on only appends. The rule (design 4.3): a request gives records and a response;
//! the records are appended here *in the order in which they are replayed into the state*, under the coordinator's own
//! lock; the response leaves when [`Appended::durable`] resolves. A response that shows state written by somebody
//! else's append must wait for that too: [`InternalLog::settled`].
//!
//! Behind the trait stands a [`Partition`](crate::partition) in a broker, and [`MemoryLog`] in tests. `writer` cuts records
//! into batches, `replay` reads them back.

mod replay;
mod writer;

use std::fmt;
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

pub(crate) use self::replay::replay;
pub(crate) use self::writer::{RecordWriter, batch_bytes};
use crate::watermark::{Durable, Gone, Watermark};

/// Why an internal log did not take or give records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InternalLogError {
    /// The log takes nothing any more.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The batch is larger than the topic allows (`max.message.bytes`).
    #[error(
        "the batch of {batch_bytes} bytes is larger than the {limit_bytes} bytes the internal topic allows"
    )]
    TooLarge {
        /// Of the batch refused.
        batch_bytes: usize,
        /// `max.message.bytes` of the topic.
        limit_bytes: usize,
    },
    /// A newer epoch of the producer or of the coordinator has been here.
    #[error("{0}")]
    Fenced(ErrorCode),
    /// The log did not take it for another reason: the disk is full, or the batch is none.
    #[error("the internal topic takes no records: {0}")]
    Refused(String),
    /// What is stored cannot be read.
    #[error("the internal topic cannot be read: {0}")]
    Corrupt(String),
}

/// Where a batch went.
#[derive(Debug)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: i64,
    /// The offset of its last record.
    pub last_offset: i64,
    /// Resolves when the batch survives a power cut.
    pub durable: Durable,
}

/// One partition of an internal topic, as its coordinator uses it.
pub trait InternalLog: Send + Sync + fmt::Debug {
    /// Appends one complete batch, as `BatchBuilder::finish` gives it. Returns at once; the records are durable when
    /// [`Appended::durable`] resolves. Batches get offsets in the order of the calls.
    ///
    /// # Errors
    /// If the log is gone or the batch too large. Nothing was appended then.
    fn append(&self, batch: BytesMut) -> Result<Appended, InternalLogError>;

    /// Appends a marker that ends a producer's transaction. `bumps_epoch`: of a producer whose epoch rises with every
    /// transaction (KIP-890).
    ///
    /// # Errors
    /// As [`InternalLog::append`], and [`InternalLogError::Fenced`] for a marker that comes too late.
    fn append_marker(&self, marker: BytesMut, bumps_epoch: bool) -> Result<Appended, InternalLogError>;

    /// Whether a producer may append in this epoch.
    ///
    /// # Errors
    /// What it is told if there was a newer one.
    fn check_producer(&self, producer_id: i64, producer_epoch: i16) -> Result<(), ErrorCode>;

    /// Whole batches from the one that holds `offset` on, up to what is durable and about `max_bytes`, at least one;
    /// empty at the end. Load by calling it from [`InternalLog::start_offset`], each time at the offset after the last
    /// batch, until it is empty.
    ///
    /// # Errors
    /// If the log cannot be read.
    fn read(&self, offset: i64, max_bytes: usize) -> Result<Bytes, InternalLogError>;

    /// How large a batch may be.
    fn max_batch_bytes(&self) -> usize;

    /// The first offset there is.
    fn start_offset(&self) -> i64;

    /// The offset the next record gets.
    fn end_offset(&self) -> i64;

    /// Resolves when everything appended up to now is durable.
    fn settled(&self) -> Durable;
}

/// An internal log in memory, for tests of coordinators: durable when told so, or at once.
#[derive(Debug)]
pub struct MemoryLog {
    watermark: Arc<Watermark>,
    durable_at_once: bool,
    batches: Mutex<Vec<(i64, i64, Bytes)>>,
}

impl MemoryLog {
    /// An empty log whose appends are durable at once.
    #[must_use]
    pub fn new() -> Arc<MemoryLog> {
        Arc::new(MemoryLog { watermark: Watermark::new(0), durable_at_once: true, batches: Mutex::default() })
    }

    /// An empty log whose appends are durable when [`MemoryLog::sync`] is called.
    #[must_use]
    pub fn unsynced() -> Arc<MemoryLog> {
        Arc::new(MemoryLog {
            watermark: Watermark::new(0),
            durable_at_once: false,
            batches: Mutex::default(),
        })
    }

    /// Makes all appends durable.
    pub fn sync(&self) {
        self.watermark.advance(self.end_offset());
    }

    /// Fails, as after an error of the disk.
    pub fn fail(&self) {
        self.watermark.close(Gone::Offline);
    }
}

/// Where `lastOffsetDelta` stands in a batch (Kafka's record batch, version 2).
const LAST_OFFSET_DELTA: std::ops::Range<usize> = 23..27;

impl InternalLog for MemoryLog {
    fn append(&self, mut batch: BytesMut) -> Result<Appended, InternalLogError> {
        if let Some(gone) = self.watermark.gone() {
            return Err(gone.into());
        }
        let delta = batch
            .get(LAST_OFFSET_DELTA)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes)
            .ok_or_else(|| InternalLogError::Corrupt("shorter than a batch header".to_string()))?;
        let mut batches = self.batches.lock();
        let base_offset = batches.last().map_or(0, |(_, last_offset, _)| last_offset + 1);
        let last_offset = base_offset + i64::from(delta);
        batch[..8].copy_from_slice(&base_offset.to_be_bytes());
        batches.push((base_offset, last_offset, batch.freeze()));
        drop(batches);
        if self.durable_at_once {
            self.sync();
        }
        Ok(Appended { base_offset, last_offset, durable: self.watermark.reached(last_offset) })
    }

    fn append_marker(&self, marker: BytesMut, _: bool) -> Result<Appended, InternalLogError> {
        self.append(marker)
    }

    fn check_producer(&self, _: i64, _: i16) -> Result<(), ErrorCode> {
        Ok(())
    }

    fn read(&self, offset: i64, max_bytes: usize) -> Result<Bytes, InternalLogError> {
        let durable_end = self.watermark.value();
        let mut found = BytesMut::new();
        for (_, last_offset, batch) in self.batches.lock().iter() {
            if *last_offset < offset {
                continue;
            }
            if *last_offset >= durable_end || (!found.is_empty() && found.len() + batch.len() > max_bytes) {
                break;
            }
            found.extend_from_slice(batch);
        }
        Ok(found.freeze())
    }

    fn max_batch_bytes(&self) -> usize {
        usize::MAX
    }

    fn start_offset(&self) -> i64 {
        0
    }

    fn end_offset(&self) -> i64 {
        self.batches.lock().last().map_or(0, |(_, last_offset, _)| last_offset + 1)
    }

    fn settled(&self) -> Durable {
        self.watermark.reached(self.end_offset() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(records: i32) -> BytesMut {
        let mut bytes = BytesMut::zeroed(61);
        bytes[LAST_OFFSET_DELTA].copy_from_slice(&(records - 1).to_be_bytes());
        bytes
    }

    #[test]
    fn offsets_follow_the_appends_and_only_durable_records_are_read() {
        let log = MemoryLog::unsynced();
        let first = log.append(batch(2)).unwrap();
        let second = log.append(batch(1)).unwrap();
        assert_eq!((first.base_offset, first.last_offset), (0, 1));
        assert_eq!((second.base_offset, second.last_offset), (2, 2));
        assert_eq!(first.durable.outcome(), None);
        assert!(log.read(0, 1000).unwrap().is_empty());
        log.sync();
        assert_eq!(first.durable.outcome(), Some(Ok(())));
        assert_eq!(log.settled().outcome(), Some(Ok(())));
        assert_eq!(log.read(0, 1000).unwrap().len(), 122);
        assert_eq!(
            log.read(1, 1).unwrap().len(),
            61,
            "the whole batch that holds the offset, even above the limit"
        );
        assert_eq!(log.read(2, 1000).unwrap()[..8], 2i64.to_be_bytes());
        assert!(log.read(3, 1000).unwrap().is_empty());
    }

    #[test]
    fn a_failed_log_takes_nothing_more() {
        let log = MemoryLog::unsynced();
        let appended = log.append(batch(1)).unwrap();
        log.fail();
        assert_eq!(appended.durable.outcome(), Some(Err(Gone::Offline)));
        assert_eq!(log.append(batch(1)).unwrap_err(), InternalLogError::Gone(Gone::Offline));
    }
}
