//! What the journal holds, put back into the segments after a crash.
//!
//! Batches are written where they belong, unless their bytes lie there already; cuts and deletions are done again. All of
//! it may be done twice: a crash during recovery changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use anabranch_host::{Disk, File, OpenOptions};
use anabranch_protocol::Uuid;

use super::checkpoint::{Checkpoint, LEADER_EPOCHS, Remembered};
use super::error::LogError;
use super::names::{
    INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_CHECKSUM_SUFFIX,
    TRANSACTION_INDEX_SUFFIX, offset_file_name, parse_offset_file_name,
};
use super::owner::{Owner, write_owner};
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
            ReplayError::Missing { path } => {
                let lost = "perhaps the newest records were in it alone; bring it back".to_string();
                LogError::Missing { path, lost }
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
    /// Segments from this one on were written to or cut by the replay.
    pub(super) changed_from: i64,
}

impl Replayed {
    /// What the checkpoint alone says.
    pub(super) fn new(remembered: Option<Remembered>) -> Self {
        let (recovery_point, start_offset) =
            remembered.map_or((0, 0), |log| (log.recovery_point, log.start_offset));
        Replayed { recovery_point, durable_end: recovery_point, start_offset, changed_from: i64::MAX }
    }
}

/// A replay into the logs of a directory.
pub(super) struct Replay<'a> {
    disk: &'a Disk,
    directory: &'a Path,
    checkpoint: &'a Checkpoint,
    logs: BTreeMap<PartitionName, Target>,
    deleted: BTreeSet<(PartitionName, Uuid)>,
}

/// What a replay has learnt.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What is known of the logs that the journal speaks of.
    pub(super) logs: BTreeMap<PartitionName, Replayed>,
    /// Logs that were deleted, by the ids of their topics.
    pub(super) deleted: BTreeSet<(PartitionName, Uuid)>,
}

/// A log that entries are put into.
struct Target {
    directory: PathBuf,
    topic_id: Uuid,
    state: Replayed,
    /// Whether the directory is gone: nothing is put there, or it would look like a whole log.
    is_missing: bool,
    /// The segment that got the last batch.
    segment: Option<(i64, File)>,
}

impl<'a> Replay<'a> {
    /// Replays the journal in `directory`.
    pub(super) fn run(
        disk: &'a Disk,
        directory: &'a Path,
        checkpoint: &'a Checkpoint,
    ) -> Result<Outcome, LogError> {
        let mut replay =
            Replay { disk, directory, checkpoint, logs: BTreeMap::new(), deleted: BTreeSet::new() };
        journal::replay(disk, directory, checkpoint.journal_bytes, |name, topic_id, entry| {
            replay.apply(name, topic_id, entry)
        })?;
        let logs = replay.logs.into_iter().map(|(name, target)| (name, target.state)).collect();
        Ok(Outcome { logs, deleted: replay.deleted })
    }

    fn apply(&mut self, name: &PartitionName, topic_id: Uuid, entry: Entry<'_>) -> Result<(), LogError> {
        if entry == Entry::Delete {
            return self.delete(name, topic_id);
        }
        if self.logs.get(name).is_none_or(|target| target.topic_id != topic_id) {
            match self.target(name, topic_id)? {
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
                state.start_offset = state.start_offset.min(offset);
                target.truncate(self.disk, offset)?;
            }
            Entry::Start { offset } => state.start_offset = state.start_offset.max(offset),
            Entry::Delete => {}
        }
        Ok(())
    }

    /// Removes what is left of a log that was deleted.
    fn delete(&mut self, name: &PartitionName, topic_id: Uuid) -> Result<(), LogError> {
        let directory = self.directory.join(name.to_string());
        if self.owner(&directory)? == Owner::Topic(topic_id) {
            remove_dir(self.disk, &directory)?;
        }
        if self.logs.get(name).is_some_and(|target| target.topic_id == topic_id) {
            self.logs.remove(name);
        }
        self.deleted.insert((name.clone(), topic_id));
        Ok(())
    }

    fn owner(&self, directory: &Path) -> Result<Owner, LogError> {
        Owner::read(self.disk, directory).map_err(LogError::io(directory))
    }

    /// Whether a checkpoint has come to the log of this directory.
    fn was_synced(&self, directory: &Path) -> Result<bool, LogError> {
        self.disk.exists(&directory.join(LEADER_EPOCHS)).map_err(LogError::io(directory))
    }

    /// The log called `name`, if the directory of that name is its own or can be.
    fn target(&self, name: &PartitionName, topic_id: Uuid) -> Result<Option<Target>, LogError> {
        let directory = self.directory.join(name.to_string());
        let known = self.checkpoint.of(name, topic_id);
        let mut is_missing = false;
        match self.owner(&directory)? {
            Owner::Topic(owner) if owner == topic_id => {}
            // A later topic of the same name: this one's directory is gone already.
            Owner::Topic(_) => return Ok(None),
            // What is in the checkpoint was synced, name, owner and all.
            Owner::Unwritten if known.is_some() && !self.was_synced(&directory)? => is_missing = true,
            // Nothing of it was synced, so all of it is in the journal; or the owner is lost alone.
            Owner::Unwritten | Owner::Damaged => {
                write_owner(self.disk, &directory, topic_id).map_err(LogError::io(&directory))?;
            }
        }
        let state = Replayed::new(known);
        Ok(Some(Target { directory, topic_id, state, is_missing, segment: None }))
    }
}

impl Target {
    /// Writes batches where they belong, unless they lie there.
    fn put(&mut self, disk: &Disk, segment: i64, position: u32, batches: &[u8]) -> Result<(), LogError> {
        if self.is_missing {
            return Ok(());
        }
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
        // Also what lies there already may not be synced.
        self.state.changed_from = self.state.changed_from.min(segment);
        self.segment = Some((segment, file));
        Ok(())
    }

    /// Cuts the log back to `offset`.
    fn truncate(&mut self, disk: &Disk, offset: i64) -> Result<(), LogError> {
        if self.is_missing {
            return Ok(());
        }
        self.segment = None;
        let directory = self.directory.clone();
        let io = |source: io::Error| LogError::Io { path: directory.clone(), source };
        let entries = disk.read_dir(&self.directory).map_err(io)?;
        let base_of = |name: &str| {
            let of_segments = [
                LOG_SUFFIX,
                INDEX_SUFFIX,
                TIME_INDEX_SUFFIX,
                TRANSACTION_INDEX_SUFFIX,
                TRANSACTION_CHECKSUM_SUFFIX,
            ];
            of_segments.iter().find_map(|suffix| parse_offset_file_name(name, suffix))
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
        self.state.changed_from = self.state.changed_from.min(last);
        let path = self.directory.join(offset_file_name(last, LOG_SUFFIX));
        let file = disk.open(&path, OpenOptions::write()).map_err(io)?;
        let length = file.len().map_err(io)?;
        let mut scan = Scan::new(file.clone(), 0, u32::try_from(length).unwrap_or(u32::MAX));
        // A batch ends where the log was cut. If the walk does not get there, an earlier try has cut deeper already, and
        // an entry that says so follows.
        while let Ok(Some(batch)) = scan.next() {
            if batch.header.next_offset() >= offset {
                file.set_len(u64::from(batch.end())).map_err(io)?;
                break;
            }
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
