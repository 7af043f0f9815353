//! A cleaned segment takes the place of those it was made of, whatever moment the power chooses.
//!
//! ```text
//! 1  *.cleaned is written and synced           before: the old segments count; what is .cleaned is removed at the start
//! 2  .cleaned -> .swap, directory synced       from here on the new segment counts: the start finishes what is left
//! 3  old -> .deleted, directory synced
//! 4  .swap -> the segment's own name, directory synced
//! ```
//! Readers never wait: from step 3 on they read the file that is called `.swap`, and who holds an old file goes on with
//! it until it is removed, `file.delete.delay.ms` later.

use std::path::Path;

use anabranch_host::{Disk, OpenOptions};
use parking_lot::RwLock;

use super::super::error::LogError;
use super::super::names::{
    DELETED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX,
    TRANSACTION_CHECKSUM_SUFFIX, TRANSACTION_INDEX_SUFFIX, offset_file_name, parse_offset_file_name,
};
use super::super::retention::RemovedFiles;
use super::super::scan::{Scan, ScanError};
use super::super::segment::Segment;
use super::super::{Log, LogDirectory};
use super::Stop;
use super::pace::Interrupted;
use super::rewrite::CLEANED_SUFFIX;
use super::source::Source;

/// What comes behind the names of files that are whole and will take the place of others.
pub(crate) const SWAP_SUFFIX: &str = ".swap";

/// Puts `cleaned` in the place of `group`. Returns the files that are not needed any more.
pub(super) async fn swap(
    log: &RwLock<Log>,
    directory: &LogDirectory,
    group: &[Source],
    cleaned: Segment,
) -> Result<RemovedFiles, Stop> {
    for file in cleaned.all_files() {
        directory.sync_file(file).await?;
    }
    let partition = log.read().path().to_path_buf();
    directory.sync_names(&partition).await?;
    log.write().begin_swap(group, &cleaned)?;
    directory.sync_names(&partition).await?;
    let removed = log.write().replace(group, cleaned)?;
    directory.sync_names(&partition).await?;
    log.write().finish_swap(group[0].base_offset)?;
    directory.sync_names(&partition).await?;
    Ok(removed)
}

impl Log {
    /// Where the group stands in the log, if it is there as it was.
    fn place_of(&self, group: &[Source]) -> Result<usize, Interrupted> {
        if self.watermark().gone().is_some() || self.truncating_to.is_some() {
            return Err(Interrupted);
        }
        let first = group.first().ok_or(Interrupted)?.base_offset;
        let at = self.segments.partition_point(|segment| segment.base_offset() < first);
        let present = self.segments.get(at..at + group.len()).ok_or(Interrupted)?;
        let is_same = |(segment, source): (&Segment, &Source)| {
            segment.file().is_same(&source.file) && segment.bytes() == source.bytes
        };
        // The active segment is never one of them.
        let is_there = present.iter().zip(group).all(is_same) && at + group.len() < self.segments.len();
        if is_there { Ok(at) } else { Err(Interrupted) }
    }

    fn begin_swap(&mut self, group: &[Source], cleaned: &Segment) -> Result<(), Stop> {
        self.place_of(group)?;
        // From here on until the end the segments must not go: the start would bring them back.
        self.is_swapping = true;
        let renamed = cleaned.change_suffix(CLEANED_SUFFIX, SWAP_SUFFIX);
        renamed.map_err(|error| LogError::io(&self.files.directory)(error).into())
    }

    fn replace(&mut self, group: &[Source], cleaned: Segment) -> Result<RemovedFiles, Stop> {
        let at = match self.place_of(group) {
            Ok(at) => at,
            Err(interrupted) => {
                self.is_swapping = false;
                if self.watermark().gone().is_none() {
                    remove(&cleaned)?;
                }
                return Err(interrupted.into());
            }
        };
        let directory = self.files.directory.clone();
        let mut paths = Vec::new();
        for segment in &self.segments[at..at + group.len()] {
            paths.extend(segment.rename_files(DELETED_SUFFIX).map_err(LogError::io(&directory))?);
        }
        for source in &group[1..] {
            let snapshot = directory.join(offset_file_name(source.base_offset, SNAPSHOT_SUFFIX));
            if self.disk().exists(&snapshot).map_err(LogError::io(&snapshot))? {
                paths.push(snapshot);
            }
        }
        self.segments.splice(at..at + group.len(), [cleaned]);
        Ok(RemovedFiles { paths })
    }

    fn finish_swap(&mut self, base_offset: i64) -> Result<(), Stop> {
        self.is_swapping = false;
        if self.watermark().gone().is_some() {
            return Err(Interrupted.into());
        }
        let found = self.segments.binary_search_by_key(&base_offset, Segment::base_offset);
        let segment = &self.segments[found.map_err(|_| Interrupted)?];
        let renamed = segment.change_suffix(SWAP_SUFFIX, "");
        renamed.map_err(|error| LogError::io(&self.files.directory)(error).into())
    }
}

/// Removes the files of a segment that did not take its place.
pub(super) fn remove(segment: &Segment) -> Result<(), LogError> {
    for file in segment.all_files() {
        let path = file.path();
        match file.disk().remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(LogError::io(&path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a name is that of a file in a swap.
pub(crate) fn is_swap_file(name: &str) -> bool {
    name.ends_with(SWAP_SUFFIX)
}

/// Finishes the swaps that a crash has left in a partition's directory: the segments whose place a new one takes go, and
/// it gets its name. Indexes are made anew.
pub(crate) async fn finish_swaps(disk: &Disk, directory: &Path, is_ephemeral: bool) -> Result<(), LogError> {
    let io = |source| LogError::Io { path: directory.to_path_buf(), source };
    let names: Vec<String> =
        disk.read_dir(directory).map_err(io)?.into_iter().map(|entry| entry.name).collect();
    let log_swap = format!("{LOG_SUFFIX}{SWAP_SUFFIX}");
    let bases: Vec<i64> = names.iter().filter_map(|name| parse_offset_file_name(name, &log_swap)).collect();
    let remove = |name: &str| match disk.remove_file(&directory.join(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
        _ => Ok(()),
    };
    for name in names.iter().filter(|name| is_swap_file(name)) {
        if parse_offset_file_name(name, &log_swap).is_none() {
            remove(name)?;
        }
    }
    let suffixes =
        [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX, TRANSACTION_CHECKSUM_SUFFIX];
    for base in &bases {
        let end = end_of(disk, &directory.join(offset_file_name(*base, &log_swap)))?.unwrap_or(*base);
        for name in &names {
            let of = suffixes.iter().find_map(|suffix| parse_offset_file_name(name, suffix));
            if of.is_some_and(|of| of == *base || (*base..end).contains(&of)) {
                remove(name)?;
            }
        }
    }
    let sync = async || if is_ephemeral { Ok(()) } else { disk.sync_dir(directory).await.map_err(io) };
    sync().await?;
    for base in &bases {
        let from = directory.join(offset_file_name(*base, &log_swap));
        tracing::info!(segment = %from.display(), "a cleaned segment takes its place, as was begun before the crash");
        disk.rename(&from, &directory.join(offset_file_name(*base, LOG_SUFFIX))).map_err(io)?;
    }
    sync().await
}

/// The offset after the last batch of a segment's file; none if it has none.
fn end_of(disk: &Disk, path: &Path) -> Result<Option<i64>, LogError> {
    let file = disk.open(path, OpenOptions::read()).map_err(LogError::io(path))?;
    let bytes = file.len().map_err(LogError::io(path))?;
    let mut scan = Scan::new(file, 0, u32::try_from(bytes).unwrap_or(u32::MAX));
    let mut end = None;
    loop {
        match scan.next_checked() {
            Ok(Some(found)) => end = Some(found.header.next_offset()),
            Ok(None) => return Ok(end),
            Err(ScanError::Io(source)) => return Err(LogError::Io { path: path.to_path_buf(), source }),
            Err(ScanError::NoBatch { position, reason }) => {
                return Err(LogError::Corrupt {
                    path: path.to_path_buf(),
                    position: u64::from(position),
                    reason,
                });
            }
        }
    }
}
