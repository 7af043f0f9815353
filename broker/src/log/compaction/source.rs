//! A closed segment as the cleaner reads it, without the log's lock: its bytes never change, but it may be gone.

use super::super::error::LogError;
use super::super::scan::{Scan, ScanError, ScannedBatch};
use crate::open_files::LazyFile;
use anabranch_protocol::records::Batch;

/// A segment to be read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) base_offset: i64,
    /// Where the next segment begins.
    pub(super) end_offset: i64,
    pub(super) bytes: u32,
    pub(super) created_ms: i64,
    pub(super) file: LazyFile,
}

impl Source {
    /// A walk over its batches.
    pub(super) fn scan(&self) -> Result<SourceScan<'_>, LogError> {
        let file = if self.bytes == 0 { self.file.get_or_create() } else { self.file.get() };
        let file = file.map_err(LogError::io(&self.file.path()))?;
        Ok(SourceScan { source: self, scan: Scan::new(file, 0, self.bytes) })
    }
}

/// A walk over the batches of a source.
#[derive(Debug)]
pub(super) struct SourceScan<'a> {
    source: &'a Source,
    scan: Scan,
}

impl SourceScan<'_> {
    /// The next header.
    pub(super) fn next(&mut self) -> Result<Option<ScannedBatch>, LogError> {
        self.scan.next().map_err(|error| self.error(error))
    }

    /// All of a batch the walk has come to, if its checksum matches: damage must not get a new one.
    pub(super) fn batch(&mut self, found: ScannedBatch) -> Result<Batch, LogError> {
        let bytes = self.scan.batch_bytes(found).map_err(|error| self.error(error))?;
        let batch = Batch { header: found.header, bytes };
        batch.check_crc().map_err(|error| self.corrupt(found, error.to_string()))?;
        Ok(batch)
    }

    pub(super) fn corrupt(&self, found: ScannedBatch, reason: String) -> LogError {
        LogError::Corrupt { path: self.source.file.path(), position: u64::from(found.position), reason }
    }

    fn error(&self, error: ScanError) -> LogError {
        let path = self.source.file.path();
        match error {
            ScanError::Io(source) => LogError::Io { path, source },
            ScanError::NoBatch { position, reason } => {
                LogError::Corrupt { path, position: u64::from(position), reason }
            }
        }
    }
}
