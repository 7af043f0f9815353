//! Who decides about metadata: a quorum that appends records to `__cluster_metadata-0` and says when they are decided.
//!
//! The trait is the seam for Raft. [`LocalQuorum`], the quorum of one, is a log on this broker's disk: what is durable
//! is decided. All records of one change go into one batch, which is there as a whole or not at all.

use std::fmt;
use std::sync::Arc;

use anabranch_protocol::DecodeError;
use anabranch_protocol::messages::cluster_metadata::MetadataRecord;
use anabranch_protocol::records::{Batch, BatchBuilder, Compression, RecordsError, batches};
use bytes::Bytes;

use super::image::ImpossibleRecord;
use super::snapshot::Snapshots;
use super::snapshot::generator::Growth;
use crate::internal_log::{InternalLog, InternalLogError};
use crate::watermark::Durable;

/// Bytes of log read in one step of the load.
const LOAD_BYTES: usize = 1024 * 1024;

/// Why metadata cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuorumError {
    /// The log takes or gives nothing.
    #[error(transparent)]
    Log(#[from] InternalLogError),
    /// A batch in it cannot be read.
    #[error("the metadata log cannot be read: {0}")]
    Records(#[from] RecordsError),
    /// A record in it is not understood.
    #[error("the record at offset {offset} of the metadata log is not understood: {error}")]
    Record {
        /// Where it stands.
        offset: i64,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The snapshots and the log do not fit together, or the snapshots cannot be read.
    #[error("{0}")]
    Snapshot(String),
    /// A record in it cannot follow those before it.
    #[error("the record at offset {offset} of the metadata log cannot be: {error}")]
    Impossible {
        /// Where it stands.
        offset: i64,
        /// What is wrong with it.
        error: ImpossibleRecord,
    },
}

/// What appends records of metadata and decides their order.
pub(crate) trait MetadataQuorum: Send + Sync + fmt::Debug {
    /// Hands every decided record to `each`, from the first on, or those that come to the same. Called once, before any
    /// append.
    fn load(
        &self,
        each: &mut dyn FnMut(i64, &MetadataRecord<'_>) -> Result<(), QuorumError>,
    ) -> Result<(), QuorumError>;

    /// Appends the records of one change: all of them or none. The calls come one after another; their order is the
    /// order of the log.
    fn append(&self, now_ms: i64, records: &[MetadataRecord<'_>]) -> Result<(), QuorumError>;

    /// The offset that the next record gets.
    fn end_offset(&self) -> i64;

    /// Resolves when everything appended up to now is decided.
    fn settled(&self) -> Durable;
}

/// A quorum of one.
#[derive(Debug)]
pub(crate) struct LocalQuorum {
    log: Arc<dyn InternalLog>,
    snapshots: Snapshots,
    /// Since the last of the snapshots.
    growth: Arc<Growth>,
}

impl LocalQuorum {
    pub(crate) fn new(log: Arc<dyn InternalLog>, snapshots: Snapshots, growth: Arc<Growth>) -> LocalQuorum {
        LocalQuorum { log, snapshots, growth }
    }
}

impl MetadataQuorum for LocalQuorum {
    fn load(
        &self,
        each: &mut dyn FnMut(i64, &MetadataRecord<'_>) -> Result<(), QuorumError>,
    ) -> Result<(), QuorumError> {
        let mut offset = self.log.start_offset();
        let mut scratch = Vec::new();
        if let Some(snapshot) = self.snapshots.newest(offset, self.log.end_offset())? {
            for batch in &snapshot.batches {
                // Its records have places of their own there.
                let told = for_each_record(batch, &mut scratch, each);
                told.map_err(|error| {
                    QuorumError::Snapshot(format!(
                        "in the snapshot before offset {}: {error}",
                        snapshot.end_offset
                    ))
                })?;
            }
            offset = snapshot.end_offset;
        }
        loop {
            let chunk = self.log.read(offset, LOAD_BYTES)?;
            if chunk.is_empty() {
                return Ok(());
            }
            self.growth.add(chunk.len());
            for batch in batches(&chunk) {
                let batch = batch?;
                batch.check_crc()?;
                offset = batch.header.next_offset();
                if batch.header.is_control() {
                    continue;
                }
                for_each_record(&batch, &mut scratch, each)?;
            }
        }
    }

    fn append(&self, now_ms: i64, records: &[MetadataRecord<'_>]) -> Result<(), QuorumError> {
        let mut builder = BatchBuilder::new(Compression::None);
        for record in records {
            let value = record.encode(record.newest_version());
            builder.append(now_ms, None, Some(&value), [])?;
        }
        let batch = builder.finish();
        let bytes = batch.len();
        self.log.append(batch)?;
        self.growth.add(bytes);
        Ok(())
    }

    fn end_offset(&self) -> i64 {
        self.log.end_offset()
    }

    fn settled(&self) -> Durable {
        self.log.settled()
    }
}

/// The records of a batch of metadata.
///
/// # Errors
/// If one of them cannot be read or understood, or `each` says so.
pub(crate) fn for_each_record(
    batch: &Batch,
    scratch: &mut Vec<u8>,
    each: &mut dyn FnMut(i64, &MetadataRecord<'_>) -> Result<(), QuorumError>,
) -> Result<(), QuorumError> {
    for record in batch.records(scratch)? {
        let record = record?;
        let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
        let decoded = MetadataRecord::decode(&value)
            .map_err(|error| QuorumError::Record { offset: record.offset, error })?;
        each(record.offset, &decoded)?;
    }
    Ok(())
}
