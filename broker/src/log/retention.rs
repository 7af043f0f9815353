//! Letting go of old records: whole segments by age and size, and what lies before the log's start.

use std::path::PathBuf;

use super::names::{DELETED_SUFFIX, SNAPSHOT_SUFFIX, parse_offset_file_name};
use super::{Log, LogError};

/// Files that are to be removed once readers that hold them open are done.
#[derive(Debug, Default)]
#[must_use = "the files stay until they are removed"]
pub struct RemovedFiles {
    pub(super) paths: Vec<PathBuf>,
}

impl RemovedFiles {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
}

impl Log {
    /// Moves the log's start behind segments that are too old or too much, as the topic's configuration says, never
    /// behind `high_watermark`; and drops the segments before a start that is durable. So what this call lets go of is
    /// dropped by a later one, when [`LogDirectory::settled`](super::LogDirectory::settled) has resolved. Hand the files
    /// to [`LogDirectory::remove`](super::LogDirectory::remove).
    ///
    /// # Errors
    /// If a file cannot be renamed.
    pub fn delete_old_segments(
        &mut self,
        now_ms: i64,
        high_watermark: i64,
    ) -> Result<RemovedFiles, LogError> {
        let count = self.old_segments(now_ms, high_watermark)?;
        if count > 0 {
            if count == self.segments.len() {
                // All of it goes; the log goes on in a new segment.
                self.roll(now_ms)?;
            }
            let new_start = self.segments[count].base_offset();
            if new_start > self.start_offset {
                self.move_start(new_start);
            }
        }
        if self.is_swapping {
            // The next call will do.
            return Ok(RemovedFiles::default());
        }
        // Else a crash might find records of the log gone that it still holds.
        let durable_start = self.durability.durable_start_offset();
        let gone = self.segments.windows(2).take_while(|pair| pair[1].base_offset() <= durable_start).count();
        match gone {
            0 => Ok(RemovedFiles::default()),
            count => self.drop_segments(count),
        }
    }

    /// How many segments, from the first on, are too old or too much.
    fn old_segments(&self, now_ms: i64, high_watermark: i64) -> Result<usize, LogError> {
        let is_deleting = self.config.cleanup_delete;
        let mut excess = match self.config.retention_bytes {
            Some(limit) if is_deleting => self.size_bytes().saturating_sub(limit),
            _ => 0,
        };
        let mut count = 0;
        for (at, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(at + 1).map_or(self.end_offset, super::Segment::base_offset);
            if next > high_watermark || segment.bytes() == 0 {
                break;
            }
            let is_expired = match self.config.retention_ms {
                Some(retention_ms) if is_deleting => {
                    let written_ms = match segment.largest_timestamp() {
                        Ok(largest) if largest.timestamp >= 0 => largest.timestamp,
                        Ok(_) => segment.created_ms(),
                        // Nobody knows how old the newest of its records is.
                        Err(LogError::Corrupt { .. }) => i64::MAX,
                        Err(error) => return Err(error),
                    };
                    now_ms.saturating_sub(written_ms) > retention_ms
                }
                _ => false,
            };
            // The segment that takes the appends goes as well, as with Kafka, if nothing is to be kept.
            let is_excess = excess >= u64::from(segment.bytes());
            if !is_expired && !is_excess {
                break;
            }
            excess = excess.saturating_sub(u64::from(segment.bytes()));
            count = at + 1;
        }
        Ok(count)
    }

    /// Moves the log's start up to `offset`, so that nothing before it is read any more; the segments before it go at a
    /// later [`Log::delete_old_segments`]. It is durable when [`LogDirectory::settled`](super::LogDirectory::settled)
    /// resolves.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] above `high_watermark`.
    pub fn advance_log_start(&mut self, offset: i64, high_watermark: i64) -> Result<(), LogError> {
        if offset > high_watermark || offset < 0 {
            return Err(LogError::OffsetOutOfRange {
                offset,
                log_start_offset: self.start_offset,
                log_end_offset: self.end_offset,
            });
        }
        if offset > self.start_offset {
            self.move_start(offset);
        }
        Ok(())
    }

    fn move_start(&mut self, offset: i64) {
        self.start_offset = offset;
        self.durability.set_log_start_offset(offset);
        self.journal.start_at(&self.durability, offset);
        if self.epochs.truncate_start(offset) {
            self.epochs_changed();
        }
    }

    /// Renames the files of the first `count` segments.
    fn drop_segments(&mut self, count: usize) -> Result<RemovedFiles, LogError> {
        let mut paths = Vec::new();
        for segment in &self.segments[..count] {
            let renamed =
                segment.rename_files(DELETED_SUFFIX).map_err(LogError::io(&self.files.directory))?;
            paths.extend(renamed);
        }
        self.segments.drain(..count);
        let first = self.segments[0].base_offset();
        let entries =
            self.disk().read_dir(&self.files.directory).map_err(LogError::io(&self.files.directory))?;
        for entry in entries {
            // A snapshot is of use as long as there are records before it.
            if parse_offset_file_name(&entry.name, SNAPSHOT_SUFFIX).is_some_and(|offset| offset < first) {
                paths.push(self.files.directory.join(&entry.name));
            }
        }
        self.journal.note(&self.durability, self.durability.named(false));
        Ok(RemovedFiles { paths })
    }
}
