//! Appending a coordinator's records, in batches of a size that the topic takes.
//!
//! What fits into one batch is there as a whole after a crash, or not at all. What does not (a commit of offsets with much
//! metadata) goes into several, of which a crash may leave the first ones: each record stands for itself, and who was not
//! answered knows of none of them. Kafka answers such a commit with an unknown error.

use std::sync::Arc;

use anabranch_protocol::records::{
    BatchBuilder, Compression, NO_SEQUENCE, seal, set_producer, set_transactional,
};
use bytes::Bytes;

use super::{InternalLog, InternalLogError};

/// More than a record adds to its key and value: six numbers.
const RECORD_OVERHEAD_BYTES: usize = 32;

/// Writes records to an internal log.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    pub(crate) log: Arc<dyn InternalLog>,
    batch: BatchBuilder,
}

impl RecordWriter {
    pub(crate) fn new(log: Arc<dyn InternalLog>) -> Self {
        RecordWriter { log, batch: BatchBuilder::new(Compression::None) }
    }

    /// Appends records, as keys and values; only a single one can be too large. With a producer (id and epoch) they are part
    /// of its transaction.
    ///
    /// # Errors
    /// If the log does not take one of them; those before it are appended.
    pub(crate) fn append(
        &mut self,
        wall_clock_ms: i64,
        records: impl IntoIterator<Item = (Bytes, Option<Bytes>)>,
        producer: Option<(i64, i16)>,
    ) -> Result<(), InternalLogError> {
        let most_bytes = self.log.max_batch_bytes();
        for (key, value) in records {
            let batch_bytes =
                key.len() + value.as_ref().map_or(0, |value| value.len()) + RECORD_OVERHEAD_BYTES;
            if !self.batch.is_empty() && self.batch.size_bytes() + batch_bytes > most_bytes {
                self.finish(producer)?;
            }
            let appended = self.batch.append(wall_clock_ms, Some(&key), value.as_deref(), []);
            let limit_bytes = i32::MAX as usize;
            appended.map_err(|_| InternalLogError::TooLarge { batch_bytes, limit_bytes })?;
        }
        if self.batch.is_empty() { Ok(()) } else { self.finish(producer) }
    }

    fn finish(&mut self, producer: Option<(i64, i16)>) -> Result<(), InternalLogError> {
        let mut batch = self.batch.finish();
        if let Some((producer_id, producer_epoch)) = producer {
            set_producer(&mut batch, producer_id, producer_epoch, NO_SEQUENCE);
            set_transactional(&mut batch);
            seal(&mut batch);
        }
        self.log.append(batch).map(drop)
    }
}

/// How large a batch of this record alone is.
pub(crate) fn batch_bytes(key: &[u8], value: Option<&[u8]>) -> usize {
    let mut batch = BatchBuilder::new(Compression::None);
    match batch.append(0, Some(key), value, []) {
        Ok(()) => batch.size_bytes(),
        Err(_) => usize::MAX,
    }
}
