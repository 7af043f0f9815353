//! Cutting a follower's log back to where it agrees with its leader's.
//!
//! In two steps, since the cut must not reach the disk before the journal says that it was meant: else a crash between
//! would leave a log that was durable and is not whole.

use super::names::{DELETED_SUFFIX, SNAPSHOT_SUFFIX, parse_offset_file_name};
use super::{Log, LogError};
use crate::watermark::Durable;

impl Log {
    /// Says that the log will be cut back to `offset`, or before it, so that no batch is cut in two. It takes no appends
    /// until [`Log::finish_truncation`], which must follow when the result has resolved. None if there is nothing to
    /// cut.
    ///
    /// # Errors
    /// If the place to cut cannot be read.
    pub fn begin_truncation(&mut self, offset: i64) -> Result<Option<Durable>, LogError> {
        if offset >= self.end_offset {
            return Ok(None);
        }
        let end_offset = match self.segments.get(self.segments_before(offset) - 1) {
            Some(last) => last.end_before(offset)?.1,
            None => self.end_offset,
        };
        self.truncating_to = Some(end_offset);
        self.journal.truncate(&self.durability, end_offset);
        Ok(Some(self.journal.settled()))
    }

    /// How many segments have something before `offset`; the first is always one.
    fn segments_before(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.base_offset() < offset).max(1)
    }

    /// Cuts the log back to where [`Log::begin_truncation`] said.
    ///
    /// # Errors
    /// If a file cannot be cut.
    pub fn finish_truncation(&mut self, now_ms: i64) -> Result<(), LogError> {
        let Some(end_offset) = self.truncating_to else { return Ok(()) };
        let keep = self.segments_before(end_offset).min(self.segments.len());
        for segment in self.segments.split_off(keep) {
            for path in segment.rename_files(DELETED_SUFFIX).map_err(LogError::io(&self.files.directory))? {
                self.disk().remove_file(&path).map_err(LogError::io(&path))?;
            }
        }
        if let Some(last) = self.segments.last_mut() {
            let (position, _) = last.end_before(end_offset)?;
            last.cut(position)?;
        }
        self.end_offset = end_offset;
        self.start_offset = self.start_offset.min(end_offset);
        self.remove_snapshots_behind(self.end_offset)?;
        self.durability.truncated(self.end_offset);
        if let Some(last) = self.segments.last() {
            self.journal.note(&self.durability, self.durability.wrote(last.file(), self.end_offset));
        }
        self.journal.note(&self.durability, self.durability.named(false));
        if self.epochs.truncate_end(self.end_offset) {
            self.epochs_changed();
        }
        self.producers = super::producer_rebuild::rebuild_producers(
            &self.files,
            &mut self.segments,
            self.end_offset,
            Some(self.end_offset),
            now_ms,
        )?;
        self.truncating_to = None;
        Ok(())
    }

    fn remove_snapshots_behind(&self, offset: i64) -> Result<(), LogError> {
        let directory = &self.files.directory;
        for entry in self.disk().read_dir(directory).map_err(LogError::io(directory))? {
            if parse_offset_file_name(&entry.name, SNAPSHOT_SUFFIX).is_some_and(|of| of > offset) {
                let path = directory.join(&entry.name);
                self.disk().remove_file(&path).map_err(LogError::io(&path))?;
            }
        }
        Ok(())
    }
}
