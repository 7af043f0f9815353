//! What of a log is on the disk.
//!
//! Two answers, because there are two ways to get there. The *watermark* is what clients are told: records below it
//! survive a power cut, through the journal or in synced segments. The *recovery point* is what lies in synced segments
//! alone: below it, recovery neither scans nor needs the journal, so the journal may forget.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use anabranch_host::Disk;
use anabranch_protocol::Uuid;
use parking_lot::Mutex;

use crate::open_files::LazyFile;
use crate::partition_name::PartitionName;
use crate::watermark::Watermark;

/// The durability of one log, shared between the log, the journal and the checkpoint.
#[derive(Debug)]
pub(crate) struct Durability {
    name: PartitionName,
    topic_id: Uuid,
    directory: PathBuf,
    watermark: Arc<Watermark>,
    recovery_point: AtomicI64,
    /// The recovery point that a crash cannot take back.
    checkpointed_end: AtomicI64,
    log_start_offset: AtomicI64,
    /// The start that a crash cannot take back.
    durable_start_offset: AtomicI64,
    /// The checksum of the file of leader epochs as it was last written.
    epochs_checksum: Mutex<Option<u32>>,
    /// Whether the last that was written of the log is a snapshot of its producers.
    has_snapshot: AtomicBool,
    unsynced: Mutex<Unsynced>,
    /// The generation of the journal that knows this log by `number`; only the committer reads and writes both.
    registered_in: AtomicU64,
    number: AtomicU32,
}

/// What the next checkpoint has to sync.
#[derive(Debug, Default)]
struct Unsynced {
    parts: Parts,
    /// Bytes of batches since the last sync, also of one ahead of the checkpoint.
    appended_bytes: u64,
    /// The recovery point once the parts are synced.
    end_offset: i64,
    /// Whether the journal has this log on its list.
    is_listed: bool,
    /// How often the log was cut back: a sync that was under way then must not move the recovery point.
    truncations: u64,
}

#[derive(Debug, Default)]
struct Parts {
    files: Vec<LazyFile>,
    /// Whether names in the log's directory are not synced.
    names: bool,
    /// Whether the directory itself is new.
    directory: bool,
    /// The text of a small file to be replaced: the leader epochs.
    text: Option<(PathBuf, String)>,
}

/// What of a log a checkpoint syncs; it is given back to [`Durability::synced`] or [`Durability::put_back`].
#[derive(Debug)]
pub(crate) struct Taken {
    parts: Parts,
    end_offset: i64,
    truncations: u64,
}

impl Taken {
    /// How many syncs it takes, one by one.
    pub(crate) fn syncs(&self) -> usize {
        let Parts { files, names, directory, text } = &self.parts;
        files.len() + usize::from(*names) + usize::from(*directory) + 2 * usize::from(text.is_some())
    }

    /// Writes the small file beside the one that it is to replace; whether there is one. It is to be synced before
    /// [`Durability::replace_text`].
    pub(crate) fn write_text(&self, disk: &Disk) -> io::Result<bool> {
        let Some((path, text)) = &self.parts.text else { return Ok(false) };
        disk.write_beside(path, text.as_bytes())?;
        Ok(true)
    }
}

impl Durability {
    pub(crate) fn new(
        name: PartitionName,
        topic_id: Uuid,
        directory: PathBuf,
        watermark: Arc<Watermark>,
        recovery_point: i64,
        log_start_offset: i64,
    ) -> Arc<Durability> {
        Arc::new(Durability {
            name,
            topic_id,
            directory,
            watermark,
            recovery_point: AtomicI64::new(recovery_point),
            checkpointed_end: AtomicI64::new(recovery_point),
            log_start_offset: AtomicI64::new(log_start_offset),
            durable_start_offset: AtomicI64::new(log_start_offset),
            epochs_checksum: Mutex::default(),
            has_snapshot: AtomicBool::new(false),
            unsynced: Mutex::new(Unsynced { end_offset: recovery_point, ..Unsynced::default() }),
            registered_in: AtomicU64::new(0),
            number: AtomicU32::new(0),
        })
    }

    pub(crate) fn name(&self) -> &PartitionName {
        &self.name
    }

    pub(crate) fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    pub(crate) fn watermark(&self) -> &Arc<Watermark> {
        &self.watermark
    }

    pub(crate) fn recovery_point(&self) -> i64 {
        self.recovery_point.load(Ordering::Acquire)
    }

    /// The recovery point as the checkpoint on the disk has it: recovery writes to no segment before it.
    pub(crate) fn checkpointed_end(&self) -> i64 {
        self.checkpointed_end.load(Ordering::Acquire)
    }

    /// Notes that the checkpoint on the disk has this recovery point. A cut that came meanwhile has lowered it already.
    pub(crate) fn checkpointed(&self, recovery_point: i64) {
        self.checkpointed_end.store(recovery_point.min(self.recovery_point()), Ordering::Release);
    }

    /// The checksum of the file of leader epochs; none if it was never written.
    pub(crate) fn epochs_checksum(&self) -> Option<u32> {
        *self.epochs_checksum.lock()
    }

    /// Notes what the file of leader epochs holds.
    pub(crate) fn epochs_are(&self, text: &str) {
        *self.epochs_checksum.lock() = Some(crc_fast::crc32_iscsi(text.as_bytes()));
    }

    /// Whether the log was closed, and has left a snapshot of its producers.
    pub(crate) fn has_snapshot(&self) -> bool {
        self.has_snapshot.load(Ordering::Acquire)
    }

    /// Notes that the log was closed with a snapshot.
    pub(crate) fn closed_with_snapshot(&self) {
        self.has_snapshot.store(true, Ordering::Release);
    }

    pub(crate) fn log_start_offset(&self) -> i64 {
        self.log_start_offset.load(Ordering::Acquire)
    }

    pub(crate) fn set_log_start_offset(&self, offset: i64) {
        self.log_start_offset.store(offset, Ordering::Release);
    }

    pub(crate) fn durable_start_offset(&self) -> i64 {
        self.durable_start_offset.load(Ordering::Acquire)
    }

    pub(super) fn start_is_durable(&self, offset: i64) {
        self.durable_start_offset.fetch_max(offset, Ordering::AcqRel);
    }

    /// Notes that `file` has bytes that are not synced; once it and those noted before are, the recovery point is
    /// `end_offset`. Returns whether the log is to be listed for the next checkpoint.
    pub(crate) fn wrote(&self, file: &LazyFile, end_offset: i64) -> bool {
        let mut unsynced = self.unsynced.lock();
        // Appends go to one file for long, so the last one is nearly always it.
        let files = &mut unsynced.parts.files;
        if !files.last().is_some_and(|last| last.is_same(file)) {
            files.retain(|known| !known.is_same(file));
            files.push(file.clone());
        }
        unsynced.end_offset = end_offset;
        !std::mem::replace(&mut unsynced.is_listed, true)
    }

    /// Counts the bytes of a batch; whether `limit_bytes` have just been reached since the last sync.
    pub(super) fn appended(&self, bytes: u64, limit_bytes: u64) -> bool {
        let mut unsynced = self.unsynced.lock();
        let before = unsynced.appended_bytes;
        unsynced.appended_bytes += bytes;
        before < limit_bytes && unsynced.appended_bytes >= limit_bytes
    }

    /// Syncs the file that is appended to, so that the next checkpoint finds little to do there. Nothing else is changed by
    /// it: only a checkpoint moves the recovery point.
    pub(crate) async fn sync_ahead(&self) -> io::Result<()> {
        let last = {
            let mut unsynced = self.unsynced.lock();
            unsynced.appended_bytes = 0;
            unsynced.parts.files.last().cloned()
        };
        match last {
            Some(file) => sync_if_there(&file).await,
            None => Ok(()),
        }
    }

    /// Notes that a file was made, renamed or removed in the log's directory, or that the directory itself was made.
    pub(crate) fn named(&self, is_new_directory: bool) -> bool {
        let mut unsynced = self.unsynced.lock();
        unsynced.parts.names = true;
        unsynced.parts.directory |= is_new_directory;
        !std::mem::replace(&mut unsynced.is_listed, true)
    }

    /// Notes that a small file is to be replaced.
    pub(crate) fn replaces(&self, path: PathBuf, text: String) -> bool {
        let mut unsynced = self.unsynced.lock();
        unsynced.parts.text = Some((path, text));
        !std::mem::replace(&mut unsynced.is_listed, true)
    }

    /// Forgets what was to be synced from `offset` on: the log was cut back to there.
    pub(crate) fn truncated(&self, offset: i64) {
        let mut unsynced = self.unsynced.lock();
        unsynced.truncations += 1;
        unsynced.end_offset = unsynced.end_offset.min(offset);
        self.recovery_point.fetch_min(offset, Ordering::AcqRel);
        self.checkpointed_end.fetch_min(offset, Ordering::AcqRel);
        self.log_start_offset.fetch_min(offset, Ordering::AcqRel);
        self.durable_start_offset.fetch_min(offset, Ordering::AcqRel);
        self.watermark.cut_back(offset);
    }

    /// Takes all that was noted, to sync it.
    pub(crate) fn take_unsynced(&self) -> Taken {
        let mut unsynced = self.unsynced.lock();
        unsynced.is_listed = false;
        unsynced.appended_bytes = 0;
        let parts = std::mem::take(&mut unsynced.parts);
        Taken { parts, end_offset: unsynced.end_offset, truncations: unsynced.truncations }
    }

    /// Leaves what was taken to the next try; whether the log is to be listed for it.
    pub(crate) fn put_back(&self, taken: Taken) -> bool {
        let Parts { files, names, directory, text } = taken.parts;
        let mut unsynced = self.unsynced.lock();
        let parts = &mut unsynced.parts;
        let newer = std::mem::replace(&mut parts.files, files);
        parts.files.extend(newer);
        parts.text = parts.text.take().or(text);
        parts.names |= names;
        parts.directory |= directory;
        !std::mem::replace(&mut unsynced.is_listed, true)
    }

    /// Puts the small file that was [written](Taken::write_text) in its place, which is to be synced as well.
    pub(crate) fn replace_text(&self, taken: &Taken, disk: &Disk) -> io::Result<()> {
        let Some((path, text)) = &taken.parts.text else { return Ok(()) };
        disk.put_in_place(path)?;
        self.epochs_are(text);
        Ok(())
    }

    /// Moves the recovery point: what was taken is synced.
    pub(crate) fn synced(&self, taken: &Taken) {
        let unsynced = self.unsynced.lock();
        if unsynced.truncations == taken.truncations {
            self.recovery_point.fetch_max(taken.end_offset, Ordering::AcqRel);
        }
    }

    /// Syncs what was taken, one by one.
    pub(crate) async fn sync(&self, taken: &Taken, disk: &Disk) -> io::Result<()> {
        let Parts { files, names, directory, text } = &taken.parts;
        if let Some((path, text)) = text {
            disk.write_atomically(path, text.as_bytes()).await?;
            self.epochs_are(text);
        }
        for file in files {
            sync_if_there(file).await?;
        }
        if *names {
            disk.sync_dir(&self.directory).await?;
        }
        if *directory && let Some(parent) = self.directory.parent() {
            disk.sync_dir(parent).await?;
        }
        Ok(())
    }

    /// The number by which `generation` of the journal knows the log; none if it does not yet.
    pub(super) fn number_in(&self, generation: u64) -> Option<u32> {
        let is_registered = self.registered_in.load(Ordering::Relaxed) == generation;
        is_registered.then(|| self.number.load(Ordering::Relaxed))
    }

    pub(super) fn register(&self, generation: u64, number: u32) {
        self.registered_in.store(generation, Ordering::Relaxed);
        self.number.store(number, Ordering::Relaxed);
    }
}

/// Syncs a file; one that retention has removed meanwhile needs no sync.
async fn sync_if_there(file: &LazyFile) -> io::Result<()> {
    match file.get() {
        Ok(file) => file.sync_data().await,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
