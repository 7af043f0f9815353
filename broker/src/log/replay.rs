//! What the journal holds, put back into the segments after a crash.
//!
//! Batches are written where they belong, unless their bytes lie there already; cuts and deletions are done again. All of
//! it may be done twice: a crash during recovery changes nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anabranch_host::{Disk, File, OpenOptions};
use anabranch_protocol::Uuid;

use super::checkpoint::{
    Offsets, PARTITION_METADATA, parse_partition_metadata, partition_metadata_text, read_text,
};
use super::error::LogError;
use super::names::{
    INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, offset_file_name, parse_offset_file_name,
};
use super::scan::Scan;
use crate::journal::{self, Entry, ReplayError};
use crate::partition_name::PartitionName;

impl From<ReplayError> for LogError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Io { path, source } => LogError::Io { path, source },
            ReplayError::Corrupt { path, position, reason } => {
                LogError::Corrupt { path, position, reason: reason.to_string() }
            }
        }
    }
}

/// What the journal and the checkpoints say of a log.
#[derive(Debug)]
pub(super) struct Replayed {
    /// Below it, batches are in synced segments.
    pub(super) recovery_point: i64,
    /// Below it, batches were durable; they must be there.
    pub(super) durable_end: i64,
    /// The first offset that may be read.
    pub(super) start_offset: i64,
}

/// A replay into the logs of a directory.
pub(super) struct Replay<'a> {
    disk: &'a Disk,
    directory: &'a Path,
    recovery_points: &'a Offsets,
    starts: &'a Offsets,
    logs: BTreeMap<PartitionName, Target>,
}

/// A log that entries are put into.
struct Target {
    directory: PathBuf,
    topic_id: Uuid,
    state: Replayed,
    /// The segment that got the last batch.
    segment: Option<(i64, File)>,
}

impl<'a> Replay<'a> {
    /// Replays the journal in `directory`, and returns what is known of the logs that it speaks of.
    pub(super) fn run(
        disk: &'a Disk,
        directory: &'a Path,
        recovery_points: &'a Offsets,
        starts: &'a Offsets,
    ) -> Result<BTreeMap<PartitionName, Replayed>, LogError> {
        let mut replay = Replay { disk, directory, recovery_points, starts, logs: BTreeMap::new() };
        journal::replay(disk, directory, |name, topic_id, entry| replay.apply(name, topic_id, entry))?;
        Ok(replay.logs.into_iter().map(|(name, target)| (name, target.state)).collect())
    }

    fn apply(&mut self, name: &PartitionName, topic_id: Uuid, entry: Entry<'_>) -> Result<(), LogError> {
        if self.logs.get(name).is_none_or(|target| target.topic_id != topic_id) {
            // A name may be used again by a new topic; what the checkpoints say is of the one that was there first.
            let is_first = !self.logs.contains_key(name);
            match self.target(name, topic_id, is_first)? {
                Some(target) => self.logs.insert(name.clone(), target),
                None => return Ok(()),
            };
        }
        let target = self.logs.get_mut(name).expect("it was put there");
        let state = &mut target.state;
        match entry {
            Entry::Append { last_offset, segment, position, batches, .. } => {
                if last_offset >= state.recovery_point {
                    state.durable_end = state.durable_end.max(last_offset + 1);
                    // Also what lies before the log's start: it may share a segment with what does not.
                    target.put(self.disk, segment, position, batches)?;
                }
            }
            Entry::Synced { last_offset } | Entry::Lost { last_offset } => {
                state.durable_end = state.durable_end.max(last_offset + 1);
            }
            Entry::Truncate { offset } => {
                state.recovery_point = state.recovery_point.min(offset);
                state.durable_end = state.durable_end.min(offset);
                target.truncate(self.disk, offset)?;
            }
            Entry::Start { offset } => state.start_offset = state.start_offset.max(offset),
            Entry::Delete => {
                let directory = target.directory.clone();
                // Left on the map without offsets: whatever comes under this name is another log.
                target.topic_id = Uuid::ZERO;
                target.state = Replayed { recovery_point: 0, durable_end: 0, start_offset: 0 };
                target.segment = None;
                remove_dir(self.disk, &directory)?;
            }
        }
        Ok(())
    }

    /// The log called `name`, if the directory of that name is its own or can be.
    fn target(
        &self,
        name: &PartitionName,
        topic_id: Uuid,
        is_first: bool,
    ) -> Result<Option<Target>, LogError> {
        let directory = self.directory.join(name.to_string());
        let metadata = directory.join(PARTITION_METADATA);
        let found = read_text(self.disk, &metadata).map_err(LogError::io(&metadata))?;
        let owner = found.as_deref().and_then(parse_partition_metadata);
        if owner.is_some_and(|owner| owner != topic_id) {
            // A later topic of the same name: this one's directory is gone already.
            return Ok(None);
        }
        if owner.is_none() {
            // Not written before the power went, so nothing in it was synced: all of it is in the journal.
            self.disk.create_dir_all(&directory).map_err(LogError::io(&directory))?;
            self.disk
                .open(&metadata, OpenOptions::create_empty())
                .and_then(|file| file.write_all_at(partition_metadata_text(topic_id).as_bytes(), 0))
                .map_err(LogError::io(&metadata))?;
        }
        let known = |offsets: &Offsets| offsets.get(name).copied().filter(|_| is_first).unwrap_or(0);
        let (recovery_point, start_offset) = (known(self.recovery_points), known(self.starts));
        let state = Replayed { recovery_point, durable_end: recovery_point, start_offset };
        Ok(Some(Target { directory, topic_id, state, segment: None }))
    }
}

impl Target {
    /// Writes batches where they belong, unless they lie there.
    fn put(&mut self, disk: &Disk, segment: i64, position: u32, batches: &[u8]) -> Result<(), LogError> {
        let path = self.directory.join(offset_file_name(segment, LOG_SUFFIX));
        let file = match &self.segment {
            Some((open, file)) if *open == segment => file.clone(),
            _ => disk.open(&path, OpenOptions::create()).map_err(LogError::io(&path))?,
        };
        let mut found = vec![0; batches.len()];
        let read = file.read_at(&mut found, u64::from(position)).map_err(LogError::io(&path))?;
        if read < batches.len() || found != batches {
            file.write_all_at(batches, u64::from(position)).map_err(LogError::io(&path))?;
        }
        self.segment = Some((segment, file));
        Ok(())
    }

    /// Cuts the log back to `offset`.
    fn truncate(&mut self, disk: &Disk, offset: i64) -> Result<(), LogError> {
        self.segment = None;
        let directory = self.directory.clone();
        let io = |source: io::Error| LogError::Io { path: directory.clone(), source };
        let entries = disk.read_dir(&self.directory).map_err(io)?;
        let base_of = |name: &str| {
            [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX]
                .iter()
                .find_map(|suffix| parse_offset_file_name(name, suffix))
        };
        let bases = entries.iter().filter_map(|entry| parse_offset_file_name(&entry.name, LOG_SUFFIX));
        let last = bases.filter(|base| *base < offset).max();
        for entry in &entries {
            let is_behind = base_of(&entry.name).is_some_and(|base| base >= offset && Some(base) != last);
            let is_snapshot_behind =
                parse_offset_file_name(&entry.name, SNAPSHOT_SUFFIX).is_some_and(|of| of > offset);
            if is_behind || is_snapshot_behind {
                disk.remove_file(&self.directory.join(&entry.name)).map_err(io)?;
            }
        }
        let Some(last) = last else { return Ok(()) };
        let path = self.directory.join(offset_file_name(last, LOG_SUFFIX));
        let file = disk.open(&path, OpenOptions::write()).map_err(io)?;
        let length = file.len().map_err(io)?;
        let mut scan = Scan::new(file.clone(), 0, u32::try_from(length).unwrap_or(u32::MAX));
        let mut end = 0;
        // Behind a place that is no batch nothing is whole, and recovery will say so.
        while let Ok(Some(batch)) = scan.next() {
            if batch.header.last_offset() >= offset {
                file.set_len(u64::from(end)).map_err(io)?;
                break;
            }
            end = batch.end();
        }
        Ok(())
    }
}

fn remove_dir(disk: &Disk, directory: &Path) -> Result<(), LogError> {
    match disk.remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::io(directory)(error)),
        _ => Ok(()),
    }
}
