//! Opening the logs of a directory.
//!
//! After a clean stop the checkpoints tell all there is to know, and no segment is opened. After a crash the journal is
//! put back first; then each log is scanned from its recovery point on. Where the scan meets something that is no batch,
//! two cases are told apart by how far the log was durable: behind that it is a *torn tail*, which nobody was told of,
//! and it is cut; before it, it is *corruption*: the log goes offline and nothing is cut. A log that the checkpoint knows
//! and whose directory is gone goes offline as well, unless it was deleted. A deletion begins with another name for the
//! directory and counts from when the journal says so; where the crash came between, the name is given back first.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_host::{Disk, Host, OpenOptions, Volume};
use anabranch_protocol::Uuid;

use super::checkpoint::{CLEAN_SHUTDOWN, Checkpoint, LEADER_EPOCHS, Remembered, read_text};
use super::compaction::{finish_swaps, is_swap_file};
use super::crash_scan::CrashScan;
use super::directory::LogDirectoryConfig;
use super::error::LogError;
use super::index_interval_bytes;
use super::leader_epochs::LeaderEpochs;
use super::names::{LOG_SUFFIX, SNAPSHOT_SUFFIX, offset_file_name, parse_offset_file_name};
use super::owner::{Owner, PARTITION_METADATA, write_owner};
use super::producer_rebuild::{damaged_transactions, rebuild_producers, segment_that_holds};
use super::producer_state::ProducerStates;
use super::replay::{Outcome, Replay, Replayed};
use super::segment::{Segment, SegmentFiles};
use crate::config::Flush;
use crate::journal;
use crate::open_files::OpenFiles;
use crate::partition_name::{PartitionName, is_deleted_directory};

/// Files with these ends are leftovers of something that a crash stopped.
const LEFTOVER_SUFFIXES: [&str; 3] = [".deleted", ".cleaned", ".tmp"];

/// How many syncs [`sync_log`] takes for a log of one segment.
const SYNCS_OF_A_LOG: usize = 9;

/// A log that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) outcome: Result<Recovered, LogError>,
    pub(super) topic_id: Option<Uuid>,
    /// How far it was durable, whatever is left of it.
    pub(super) remembered: Remembered,
}

/// A log that is in order.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) topic_id: Option<Uuid>,
    pub(super) segments: Vec<Segment>,
    pub(super) start_offset: i64,
    pub(super) end_offset: i64,
    pub(super) recovery_point: i64,
    pub(super) producers: ProducerStates,
    pub(super) epochs: LeaderEpochs,
    /// From where on there may be something that is not synced.
    pub(super) unsynced_from: Option<i64>,
}

/// Opens the logs in `path`. After this all they hold is synced, if anything ever is in this directory.
pub(super) async fn recover(
    host: &Host,
    path: &Path,
    open_files: &Arc<OpenFiles>,
    volume: Option<&Volume>,
    config: &LogDirectoryConfig,
) -> Result<Vec<(PartitionName, Found)>, LogError> {
    let disk = &host.disk();
    let marker = path.join(CLEAN_SHUTDOWN);
    let is_clean = disk.exists(&marker).map_err(LogError::io(&marker))?;
    if !is_clean && !config.is_ephemeral {
        journal::sync(disk, path).await.map_err(LogError::io(path))?;
    }
    let checkpoint = Checkpoint::read(disk, path).map_err(LogError::io(path))?;
    let Outcome { logs: replayed, deleted } = match is_clean {
        true => Outcome::default(),
        false => {
            take_back_deletions(host, path, &checkpoint).map_err(LogError::io(path))?;
            Replay::run(disk, path, &checkpoint)?
        }
    };
    let mut opening = Opening {
        host,
        disk,
        path,
        open_files,
        config,
        is_clean,
        now_ms: host.wall_clock_ms(),
        checkpoint,
        replayed,
        deleted,
    };
    let entries: Vec<_> =
        disk.read_dir(path).map_err(LogError::io(path))?.into_iter().filter(|entry| entry.is_dir).collect();
    if !config.is_ephemeral && entries.iter().any(|entry| is_deleted_directory(&entry.name)) {
        // Else a directory might come back under its old name, without its files.
        disk.sync_dir(path).await.map_err(LogError::io(path))?;
    }
    let mut found = Vec::new();
    for entry in entries {
        if is_deleted_directory(&entry.name) {
            let directory = path.join(&entry.name);
            disk.remove_dir_all(&directory).map_err(LogError::io(&directory))?;
        } else if let Some(name) = PartitionName::parse_directory(&entry.name)
            && let Some(log) = opening.open(&name).await?
        {
            found.push((name, log));
        }
    }
    opening.miss(&mut found);
    let is_unsynced = |(_, log): &(PartitionName, Found)| {
        log.outcome.as_ref().is_ok_and(|recovered| recovered.unsynced_from.is_some())
    };
    if (!is_clean || found.iter().any(is_unsynced)) && !config.is_ephemeral {
        opening.sync(&mut found, volume).await?;
    }
    if is_clean {
        // From here on a crash is one.
        disk.remove_file(&marker).map_err(LogError::io(&marker))?;
        if !config.is_ephemeral {
            disk.sync_dir(path).await.map_err(LogError::io(path))?;
        }
    }
    Ok(found)
}

/// What opening a log needs to know.
struct Opening<'a> {
    host: &'a Host,
    disk: &'a Disk,
    path: &'a Path,
    open_files: &'a Arc<OpenFiles>,
    config: &'a LogDirectoryConfig,
    is_clean: bool,
    now_ms: i64,
    checkpoint: Checkpoint,
    replayed: BTreeMap<PartitionName, Replayed>,
    deleted: BTreeSet<(PartitionName, Uuid)>,
}

impl Opening<'_> {
    /// Opens one log. Only trouble with the disk is an error; a damaged log is a result. None if the directory is what
    /// the power left of a log that nobody was told of.
    async fn open(&mut self, name: &PartitionName) -> Result<Option<Found>, LogError> {
        let directory = self.path.join(name.to_string());
        let owner = Owner::read(self.disk, &directory).map_err(LogError::io(&directory))?;
        let mut topic_id = owner.topic_id();
        if owner == Owner::Unwritten && !self.is_clean {
            let was_synced =
                self.disk.exists(&directory.join(LEADER_EPOCHS)).map_err(LogError::io(&directory))?;
            let known = self.checkpoint.logs.get(name);
            if !was_synced || known.is_none() {
                let is_missed = known.is_some_and(|log| !self.is_deleted(name, log));
                self.put_aside(name, &directory, was_synced || is_missed)?;
                return Ok(None);
            }
        }
        let replayed = self.replayed.remove(name);
        let is_replayed = replayed.is_some();
        let remembered = match topic_id {
            Some(topic_id) => self.checkpoint.of(name, topic_id),
            None => self.checkpoint.logs.get(name).copied(),
        };
        if topic_id.is_none() {
            tracing::warn!(partition = %name, "{PARTITION_METADATA} is damaged or gone");
            if let Some(known) = remembered.filter(|log| log.topic_id != Uuid::ZERO) {
                topic_id = Some(known.topic_id);
                write_owner(self.disk, &directory, known.topic_id).map_err(LogError::io(&directory))?;
            }
        }
        let said = replayed.unwrap_or_else(|| Replayed::new(remembered));
        let epochs_checksum = remembered.and_then(|log| log.epochs_checksum);
        let files = SegmentFiles::new(directory, self.open_files.clone());
        let outcome = match self.open_segments(&files).await {
            Ok(segments) if self.is_clean && knows_end(remembered, &segments) => {
                self.open_clean(&files, segments, topic_id, &said, remembered).await
            }
            Ok(segments) => self.open_unclean(&files, segments, topic_id, &said, is_replayed, remembered),
            Err(error) => Err(error),
        };
        match outcome {
            Err(error @ LogError::Io { .. }) => Err(error),
            outcome => {
                let remembered = Remembered {
                    topic_id: topic_id.or(remembered.map(|log| log.topic_id)).unwrap_or(Uuid::ZERO),
                    recovery_point: said.durable_end,
                    start_offset: said.start_offset,
                    epochs_checksum,
                    has_snapshot: remembered.is_some_and(|log| log.has_snapshot),
                };
                Ok(Some(Found { outcome, topic_id, remembered }))
            }
        }
    }

    fn is_deleted(&self, name: &PartitionName, log: &Remembered) -> bool {
        self.deleted.contains(&(name.clone(), log.topic_id))
    }

    /// Removes what the power left of a log that was never synced, not even its owner. If it may have been synced after
    /// all, somebody has removed the owner, and the directory only gets another name.
    fn put_aside(&self, name: &PartitionName, directory: &Path, is_kept: bool) -> Result<(), LogError> {
        if is_kept {
            let to = self.path.join(name.stray_directory(u128::from_be_bytes(self.host.random_uuid())));
            tracing::warn!(partition = %name, to = %to.display(), "a log that belongs to no topic is put aside");
            return self.disk.rename(directory, &to).map_err(LogError::io(directory));
        }
        tracing::info!(partition = %name, "a log that belongs to no topic, and was never synced, is removed");
        self.disk.remove_dir_all(directory).map_err(LogError::io(directory))
    }

    /// The segments that lie in the directory. Leftovers are removed.
    async fn open_segments(&self, files: &SegmentFiles) -> Result<Vec<Segment>, LogError> {
        let interval = index_interval_bytes(&self.config.default_config);
        let mut segments = Vec::new();
        let list = || self.disk.read_dir(&files.directory).map_err(LogError::io(&files.directory));
        let mut entries = list()?;
        if entries.iter().any(|entry| is_swap_file(&entry.name)) {
            finish_swaps(self.disk, &files.directory, self.config.is_ephemeral).await?;
            entries = list()?;
        }
        for entry in entries {
            let path = files.directory.join(&entry.name);
            if LEFTOVER_SUFFIXES.iter().any(|suffix| entry.name.ends_with(suffix)) {
                self.disk.remove_file(&path).map_err(LogError::io(&path))?;
            } else if let Some(base_offset) = parse_offset_file_name(&entry.name, LOG_SUFFIX) {
                let file = files.file(base_offset, LOG_SUFFIX).get().map_err(LogError::io(&path))?;
                let bytes = u32::try_from(file.len().map_err(LogError::io(&path))?).map_err(|_| {
                    LogError::Corrupt {
                        path,
                        position: u64::from(u32::MAX),
                        reason: "a segment is never so large".to_string(),
                    }
                })?;
                segments.push(Segment::new(files, base_offset, bytes, interval, self.now_ms));
            }
        }
        segments.sort_by_key(Segment::base_offset);
        Ok(segments)
    }

    /// After a clean stop the recovery point is the end of the log.
    async fn open_clean(
        &self,
        files: &SegmentFiles,
        mut segments: Vec<Segment>,
        topic_id: Option<Uuid>,
        said: &Replayed,
        remembered: Option<Remembered>,
    ) -> Result<Recovered, LogError> {
        let end_offset = said.recovery_point;
        let first = segments.first().map_or(end_offset, Segment::base_offset);
        check_begin(files, first, said)?;
        let (_, epochs) = self.read_epochs(files, remembered.and_then(|log| log.epochs_checksum))?;
        let epochs = match epochs {
            Some(epochs) => epochs,
            None => {
                let epochs = epochs_of(&segments)?;
                let path = files.directory.join(LEADER_EPOCHS);
                if !segments.is_empty() {
                    let written = self.disk.write_atomically(&path, epochs.to_text().as_bytes()).await;
                    written.map_err(LogError::io(&path))?;
                }
                epochs
            }
        };
        let snapshot = files.directory.join(offset_file_name(end_offset, SNAPSHOT_SUFFIX));
        let damaged_from = damaged_transactions(&segments);
        let has_snapshot = self.disk.exists(&snapshot).map_err(LogError::io(&snapshot))?;
        let is_expected = remembered.is_some_and(|log| log.has_snapshot);
        if is_expected && !has_snapshot {
            tracing::warn!(path = %snapshot.display(), "the producer snapshot is gone and made anew");
        }
        let producers = match has_snapshot || is_expected || damaged_from.is_some() {
            true => rebuild_producers(files, &mut segments, end_offset, damaged_from, self.now_ms)?,
            // A log without producers gets no snapshot.
            false => ProducerStates::default(),
        };
        Ok(Recovered {
            topic_id,
            segments,
            start_offset: said.start_offset.min(end_offset),
            end_offset,
            recovery_point: end_offset,
            producers,
            epochs,
            unsynced_from: damaged_from,
        })
    }

    /// After a crash the log is what a scan finds.
    fn open_unclean(
        &self,
        files: &SegmentFiles,
        segments: Vec<Segment>,
        topic_id: Option<Uuid>,
        said: &Replayed,
        is_replayed: bool,
        remembered: Option<Remembered>,
    ) -> Result<Recovered, LogError> {
        // Segments go when the checkpoint or the journal says so, and with `flush=os` there is none that is synced.
        if let Some(first) = segments.first()
            && remembered.is_some()
            && self.config.flush == Flush::Commit
        {
            check_begin(files, first.base_offset(), said)?;
        }
        let epochs_checksum = remembered.and_then(|log| log.epochs_checksum);
        let (text, known_epochs) = self.read_epochs(files, epochs_checksum)?;
        // Without the file they are in the batches alone.
        let scan_from = if known_epochs.is_some() { said.recovery_point } else { 0 };
        let mut scan = CrashScan {
            directory: &files.directory,
            segments,
            epochs: known_epochs.unwrap_or_default(),
            start_offset: said.start_offset,
            durable_end: said.durable_end,
            end_offset: 0,
            gap_from: None,
            is_cut: false,
        };
        // Epochs are noted anew from the recovery point on.
        scan.epochs.truncate_end(said.recovery_point);
        scan.run(scan_from)?;
        let CrashScan { mut segments, epochs, end_offset, is_cut, .. } = scan;
        let first = segments.first().map_or(end_offset, Segment::base_offset);
        let start_offset = said.start_offset.clamp(first, end_offset.max(first));
        let has_other_epochs = text.is_none_or(|text| text != epochs.to_text());
        self.remove_snapshots_behind(files, end_offset)?;
        // Indexes were synced when their segment was closed, and the recovery point passed its end. Of those behind it a
        // crash leaves what it likes: they are made anew, which is no damage.
        let unsynced_from = said.recovery_point - 1;
        let synced = &segments[..segment_that_holds(&segments, unsynced_from)];
        let anew_from = damaged_transactions(synced).unwrap_or(unsynced_from);
        let producers = rebuild_producers(files, &mut segments, end_offset, Some(anew_from), self.now_ms)?;
        // Those of the last segment are written when it is closed.
        let has_closed_anew = segments.last().is_some_and(|last| last.base_offset() > anew_from);
        let is_changed =
            is_replayed || is_cut || has_other_epochs || has_closed_anew || end_offset != said.recovery_point;
        Ok(Recovered {
            topic_id,
            segments,
            start_offset,
            end_offset,
            recovery_point: end_offset,
            producers,
            epochs,
            unsynced_from: is_changed.then_some(anew_from.min(said.changed_from)),
        })
    }

    /// The text of the file of leader epochs, and what it says if that can be believed.
    fn read_epochs(
        &self,
        files: &SegmentFiles,
        checksum: Option<u32>,
    ) -> Result<(Option<String>, Option<LeaderEpochs>), LogError> {
        let path = files.directory.join(LEADER_EPOCHS);
        let text = read_text(self.disk, &path).map_err(LogError::io(&path))?;
        // After a crash the file may be newer than the checkpoint that has its checksum.
        let is_known =
            |text: &&str| checksum.is_none_or(|checksum| checksum == crc_fast::crc32_iscsi(text.as_bytes()));
        let epochs = text.as_deref().filter(is_known).and_then(LeaderEpochs::parse);
        if epochs.is_none() && checksum.is_some() {
            tracing::warn!(path = %path.display(), "the leader epochs are not as they were synced; they are made anew");
        }
        Ok((text, epochs))
    }

    /// The checkpoint names every log that was ever synced. What is not there, and was not deleted, is lost.
    fn miss(&self, found: &mut Vec<(PartitionName, Found)>) {
        let known: BTreeSet<PartitionName> = found.iter().map(|(name, _)| name.clone()).collect();
        for (name, log) in &self.checkpoint.logs {
            if log.recovery_point == 0 || known.contains(name) || self.is_deleted(name, log) {
                continue;
            }
            // If the directory is brought back, it must hold also what the journal alone said.
            let replayed = self.replayed.get(name).map_or(0, |replayed| replayed.durable_end);
            let remembered = Remembered { recovery_point: log.recovery_point.max(replayed), ..*log };
            let lost = format!("had records up to offset {}", remembered.recovery_point);
            let outcome = Err(LogError::Missing { path: self.path.join(name.to_string()), lost });
            found.push((name.clone(), Found { outcome, topic_id: Some(log.topic_id), remembered }));
        }
    }

    fn remove_snapshots_behind(&self, files: &SegmentFiles, end_offset: i64) -> Result<(), LogError> {
        for entry in self.disk.read_dir(&files.directory).map_err(LogError::io(&files.directory))? {
            if parse_offset_file_name(&entry.name, SNAPSHOT_SUFFIX).is_some_and(|of| of > end_offset) {
                let path = files.directory.join(&entry.name);
                self.disk.remove_file(&path).map_err(LogError::io(&path))?;
            }
        }
        Ok(())
    }

    /// Makes all that was recovered durable, so that the journal is not needed any more.
    async fn sync(
        &self,
        found: &mut [(PartitionName, Found)],
        volume: Option<&Volume>,
    ) -> Result<(), LogError> {
        let mut unsynced = Vec::new();
        for (name, log) in &mut *found {
            if let Ok(recovered) = &mut log.outcome
                && let Some(from) = recovered.unsynced_from
            {
                unsynced.push((self.path.join(name.to_string()), recovered, from));
            }
        }
        match volume {
            Some(volume) if unsynced.len() * SYNCS_OF_A_LOG >= self.config.sync_volume_from => {
                sync_logs(self.disk, volume, self.path, &mut unsynced).await?;
            }
            _ => {
                for (directory, recovered, from) in unsynced {
                    sync_log(self.disk, &directory, recovered, from).await?;
                }
            }
        }
        let mut checkpoint = Checkpoint::default();
        for (name, log) in &*found {
            let mut remembered = log.remembered;
            if let Ok(recovered) = &log.outcome {
                remembered.recovery_point = recovered.recovery_point;
                remembered.start_offset = recovered.start_offset;
                remembered.has_snapshot = false;
            }
            checkpoint.logs.insert(name.clone(), remembered);
        }
        self.disk.sync_dir(self.path).await.map_err(LogError::io(self.path))?;
        checkpoint.write(self.disk, self.path).await.map_err(LogError::io(self.path))
    }
}

/// Gives the directories of logs that were about to be deleted their names back, if the checkpoint knows them. If the
/// journal says that they are deleted, it is done again.
fn take_back_deletions(host: &Host, path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    let disk = &host.disk();
    for entry in disk.read_dir(path)?.into_iter().filter(|entry| entry.is_dir) {
        let Some(name) = PartitionName::parse_deleted_directory(&entry.name) else { continue };
        let from = path.join(&entry.name);
        let Some(topic_id) = Owner::read(disk, &from)?.topic_id() else { continue };
        let to = path.join(name.to_string());
        if checkpoint.of(&name, topic_id).is_none() || Owner::read(disk, &to)? == Owner::Topic(topic_id) {
            continue;
        }
        if disk.exists(&to)? {
            // Of a later topic of the name. It came behind the deletion, so it was durable only if that was: then the
            // journal has all of it.
            disk.rename(&to, &path.join(name.deleted_directory(u128::from_be_bytes(host.random_uuid()))))?;
        }
        disk.rename(&from, &to)?;
    }
    Ok(())
}

/// Whether the first segment, which begins at `first`, holds the first offset that may be read.
fn check_begin(files: &SegmentFiles, first: i64, said: &Replayed) -> Result<(), LogError> {
    if first > said.start_offset {
        return Err(LogError::Corrupt {
            path: files.directory.clone(),
            position: 0,
            reason: format!("segments are gone: it held offset {}, and begins at {first}", said.start_offset),
        });
    }
    Ok(())
}

/// The epochs as the batches have them.
fn epochs_of(segments: &[Segment]) -> Result<LeaderEpochs, LogError> {
    let mut epochs = LeaderEpochs::default();
    for segment in segments {
        let mut scan = segment.scan(0)?;
        while let Some(batch) = scan.next().map_err(|error| segment.scan_error(error))? {
            epochs.assign(batch.header.partition_leader_epoch, batch.header.base_offset);
        }
    }
    Ok(epochs)
}

/// Whether the recovery point is the end of the log: after a clean stop it is, unless the checkpoint was lost.
fn knows_end(remembered: Option<Remembered>, segments: &[Segment]) -> bool {
    match remembered {
        Some(log) => segments.last().is_none_or(|last| last.base_offset() <= log.recovery_point),
        None => segments.iter().all(|segment| segment.bytes() == 0),
    }
}

/// Those that have anything at `from` or behind it.
fn unsynced_segments(log: &mut Recovered, from: i64) -> &mut [Segment] {
    let first = log.segments.partition_point(|segment| segment.base_offset() <= from).saturating_sub(1);
    &mut log.segments[first..]
}

/// Does what [`sync_log`] does for many logs at once.
async fn sync_logs(
    disk: &Disk,
    volume: &Volume,
    path: &Path,
    logs: &mut [(PathBuf, &mut Recovered, i64)],
) -> Result<(), LogError> {
    for (directory, log, from) in &mut *logs {
        for segment in unsynced_segments(log, *from) {
            segment.flush_indexes()?;
        }
        let epochs = directory.join(LEADER_EPOCHS);
        disk.write_beside(&epochs, log.epochs.to_text().as_bytes()).map_err(LogError::io(&epochs))?;
    }
    volume.sync().await.map_err(LogError::io(path))?;
    // Only what is synced may replace what was.
    for (directory, ..) in &*logs {
        let epochs = directory.join(LEADER_EPOCHS);
        disk.put_in_place(&epochs).map_err(LogError::io(&epochs))?;
    }
    volume.sync().await.map_err(LogError::io(path))
}

/// Syncs the segments of a log that have anything at `from` or behind it, and what stands beside them.
async fn sync_log(disk: &Disk, directory: &Path, log: &mut Recovered, from: i64) -> Result<(), LogError> {
    let io = |source| LogError::Io { path: directory.to_path_buf(), source };
    for segment in unsynced_segments(log, from) {
        segment.flush_indexes()?;
        for file in segment.all_files() {
            match file.get() {
                Ok(file) => file.sync_data().await.map_err(io)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io(error)),
            }
        }
    }
    let metadata = directory.join(PARTITION_METADATA);
    if disk.exists(&metadata).map_err(io)? {
        let file = disk.open(&metadata, OpenOptions::write()).map_err(io)?;
        file.sync_data().await.map_err(io)?;
    }
    let epochs = directory.join(LEADER_EPOCHS);
    disk.write_atomically(&epochs, log.epochs.to_text().as_bytes()).await.map_err(io)?;
    disk.sync_dir(directory).await.map_err(io)
}
