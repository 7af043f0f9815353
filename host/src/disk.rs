//! Files and directories.
//!
//! Reads and writes are synchronous (they meet the page cache); `sync` is async, because a slow disk takes time that a
//! simulation must be able to spend. What is written is durable only after [`File::sync_data`], a created, renamed or
//! removed name only after [`Disk::sync_dir`]; all of them at once after [`Volume::sync`]. A failed sync must never be
//! retried: the pages are lost.

use std::io;
use std::path::{Path, PathBuf};

use crate::{real, sim};

/// How to open a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Make it if it is not there.
    pub create: bool,
    /// Cut it to nothing.
    pub truncate: bool,
    /// Allow writes.
    pub write: bool,
}

impl OpenOptions {
    /// To read what is there.
    #[must_use]
    pub const fn read() -> Self {
        OpenOptions { create: false, truncate: false, write: false }
    }

    /// To read and write; made if missing, kept if present.
    #[must_use]
    pub const fn create() -> Self {
        OpenOptions { create: true, truncate: false, write: true }
    }

    /// To read and write; empty.
    #[must_use]
    pub const fn create_empty() -> Self {
        OpenOptions { create: true, truncate: true, write: true }
    }

    /// To read and write what is there.
    #[must_use]
    pub const fn write() -> Self {
        OpenOptions { create: false, truncate: false, write: true }
    }
}

/// Whether the system only lacked something for a moment, space or file descriptors: nothing was done, and the same call
/// may work later. Any other error of a write says that nothing is known of what was written.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    const TOO_MANY_OPEN_FILES: [i32; 2] = [23, 24];
    error.kind() == io::ErrorKind::StorageFull
        || error.raw_os_error().is_some_and(|code| TOO_MANY_OPEN_FILES.contains(&code))
}

/// How much a volume holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that this process may still write.
    pub usable_bytes: u64,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name, without the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// The disk of one host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Disk {
    pub(crate) kind: DiskKind,
}

#[derive(Clone, Debug)]
pub(crate) enum DiskKind {
    Real(real::RealDisk),
    Simulated(sim::SimDisk),
}

/// An open file. Cheap to clone; all clones are the same open file.
#[derive(Clone, Debug)]
pub struct File {
    pub(crate) kind: FileKind,
}

#[derive(Clone, Debug)]
pub(crate) enum FileKind {
    Real(real::RealFile),
    Simulated(sim::SimFile),
}

/// The volume that a directory lies on, as a place whose every change can be made durable at once.
#[derive(Clone, Debug)]
pub struct Volume {
    kind: VolumeKind,
}

#[derive(Clone, Debug)]
enum VolumeKind {
    Real(real::RealVolume),
    Simulated(sim::SimDisk),
}

/// A directory that no other process may use as long as this lives.
#[derive(Debug)]
pub struct DirectoryLock {
    pub(crate) file: File,
}

impl Disk {
    /// Whether only code that goes through this type sees its files.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        matches!(self.kind, DiskKind::Simulated(_))
    }

    /// Makes a directory and those above it; no error if it is there.
    ///
    /// # Errors
    /// What the file system says; so for all calls below.
    pub fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        match &self.kind {
            DiskKind::Real(disk) => disk.create_dir_all(path),
            DiskKind::Simulated(disk) => disk.create_dir_all(path),
        }
    }

    /// Makes a directory and those above it, as [`Disk::create_dir_all`], so that a power cut does not undo it.
    pub async fn create_dir_durably(&self, path: &Path) -> io::Result<()> {
        self.create_dir_all(path)?;
        for above in path.ancestors().skip(1) {
            // All of them, for a process that ended between making one and syncing may have left it. What may not be
            // read was not made here.
            match self.sync_dir(above).await {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// How much the volume of a directory holds; none if nobody knows, as in simulation.
    pub fn space(&self, path: &Path) -> io::Result<Option<DiskSpace>> {
        match &self.kind {
            DiskKind::Real(disk) => disk.space(path).map(Some),
            DiskKind::Simulated(_) => Ok(None),
        }
    }

    /// The names in a directory, sorted.
    pub fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        match &self.kind {
            DiskKind::Real(disk) => disk.read_dir(path),
            DiskKind::Simulated(disk) => disk.read_dir(path),
        }
    }

    /// Whether something has this name.
    pub fn exists(&self, path: &Path) -> io::Result<bool> {
        match &self.kind {
            DiskKind::Real(disk) => disk.exists(path),
            DiskKind::Simulated(disk) => disk.exists(path),
        }
    }

    /// Renames a file or directory, replacing a file of that name.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match &self.kind {
            DiskKind::Real(disk) => disk.rename(from, to),
            DiskKind::Simulated(disk) => disk.rename(from, to),
        }
    }

    /// Removes a file.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        match &self.kind {
            DiskKind::Real(disk) => disk.remove_file(path),
            DiskKind::Simulated(disk) => disk.remove_file(path),
        }
    }

    /// Removes a directory and what is in it.
    pub fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        match &self.kind {
            DiskKind::Real(disk) => disk.remove_dir_all(path),
            DiskKind::Simulated(disk) => disk.remove_dir_all(path),
        }
    }

    /// Makes created, renamed and removed names of this directory durable.
    pub async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match &self.kind {
            DiskKind::Real(disk) => disk.sync_dir(path).await,
            DiskKind::Simulated(disk) => disk.sync_dir(path).await,
        }
    }

    /// The volume that a directory lies on; none if it cannot be synced as a whole, or would not tell of a failure.
    pub fn volume(&self, path: &Path) -> io::Result<Option<Volume>> {
        let kind = match &self.kind {
            DiskKind::Real(disk) => disk.volume(path)?.map(VolumeKind::Real),
            DiskKind::Simulated(disk) => Some(VolumeKind::Simulated(disk.clone())),
        };
        Ok(kind.map(|kind| Volume { kind }))
    }

    /// Opens a file.
    pub fn open(&self, path: &Path, options: OpenOptions) -> io::Result<File> {
        match &self.kind {
            DiskKind::Real(disk) => disk.open(path, options).map(|file| File { kind: FileKind::Real(file) }),
            DiskKind::Simulated(disk) => {
                disk.open(path, options).map(|file| File { kind: FileKind::Simulated(file) })
            }
        }
    }

    /// A whole file.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenOptions::read())?;
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Writes a whole file so that after a power cut either the old or the new content is there: a temporary file
    /// beside it, synced, renamed, the directory synced.
    pub async fn write_atomically(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.write_beside(path, bytes)?.sync_data().await?;
        self.put_in_place(path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new("."))).await
    }

    /// The first half of [`Disk::write_atomically`], for who syncs many files at once: writes the temporary file, which is
    /// to be synced before [`Disk::put_in_place`].
    pub fn write_beside(&self, path: &Path, bytes: &[u8]) -> io::Result<File> {
        let file = self.open(&beside(path), OpenOptions::create_empty())?;
        file.write_all_at(bytes, 0)?;
        Ok(file)
    }

    /// The second half: renames the temporary file. The directory is to be synced then.
    pub fn put_in_place(&self, path: &Path) -> io::Result<()> {
        self.rename(&beside(path), path)
    }

    /// Locks a directory by the file `.lock` in it; the operating system lets go when the process ends.
    ///
    /// # Errors
    /// `WouldBlock` if another process holds it.
    pub fn lock_dir(&self, path: &Path) -> io::Result<DirectoryLock> {
        let file = self.open(&path.join(".lock"), OpenOptions::create())?;
        match &file.kind {
            FileKind::Real(file) => file.try_lock()?,
            FileKind::Simulated(file) => file.try_lock()?,
        }
        Ok(DirectoryLock { file })
    }
}

/// The temporary file of one that is to be replaced.
fn beside(path: &Path) -> PathBuf {
    path.with_added_extension("tmp")
}

impl Drop for DirectoryLock {
    /// Lets go now. Closing the file would not do: a process that another thread is just starting shares what is open
    /// until it runs its own program, and with it the lock.
    fn drop(&mut self) {
        match &self.file.kind {
            FileKind::Real(file) => file.unlock(),
            // No process is started from within a simulation.
            FileKind::Simulated(_) => {}
        }
    }
}

impl Volume {
    /// Makes all that was written durable, and all names. For many files that is much cheaper than one by one; what others
    /// have written to the volume goes with it.
    ///
    /// # Errors
    /// If anything could not be written since the last call, whosever it was. After an error the unsynced bytes of every
    /// file are of unknown state; calling again proves nothing.
    pub async fn sync(&self) -> io::Result<()> {
        match &self.kind {
            VolumeKind::Real(volume) => volume.sync().await,
            VolumeKind::Simulated(disk) => disk.sync_volume().await,
        }
    }
}

impl File {
    /// Bytes in the file.
    ///
    /// # Errors
    /// What the file system says; so for all calls below.
    pub fn len(&self) -> io::Result<u64> {
        match &self.kind {
            FileKind::Real(file) => file.len(),
            FileKind::Simulated(file) => file.len(),
        }
    }

    /// Whether the file holds nothing.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads into `buffer` from `offset`; fewer bytes than asked only at the end of the file.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.kind {
            FileKind::Real(file) => file.read_at(buffer, offset),
            FileKind::Simulated(file) => file.read_at(buffer, offset),
        }
    }

    /// Fills `buffer` from `offset`.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.read_at(buffer, offset)? == buffer.len() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before the bytes asked for"))
    }

    /// Writes all of `bytes` at `offset`. On an error some of them may have been written.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match &self.kind {
            FileKind::Real(file) => file.write_all_at(bytes, offset),
            FileKind::Simulated(file) => file.write_all_at(bytes, offset),
        }
    }

    /// Writes all of `slices`, one after the other, at `offset`, as if they were one piece. On an error some of it may
    /// have been written.
    pub fn write_all_vectored_at(&self, slices: &mut [io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        match &self.kind {
            FileKind::Real(file) => file.write_all_vectored_at(slices, offset),
            FileKind::Simulated(file) => file.write_all_vectored_at(slices, offset),
        }
    }

    /// Cuts the file, or fills it up with zeros.
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        match &self.kind {
            FileKind::Real(file) => file.set_len(length),
            FileKind::Simulated(file) => file.set_len(length),
        }
    }

    /// Reserves disk space for the first `length` bytes, zero-filled: writes within need no new blocks.
    pub fn allocate(&self, length: u64) -> io::Result<()> {
        match &self.kind {
            FileKind::Real(file) => file.allocate(length),
            FileKind::Simulated(file) => file.allocate(length),
        }
    }

    /// Makes what was written durable (fdatasync).
    ///
    /// # Errors
    /// After an error the unsynced bytes are of unknown state; calling again proves nothing.
    pub async fn sync_data(&self) -> io::Result<()> {
        match &self.kind {
            FileKind::Real(file) => file.sync_data().await,
            FileKind::Simulated(file) => file.sync_data().await,
        }
    }

    /// As [`File::sync_data`], for a caller that cannot wait: it holds up its thread, and takes no time in simulation.
    ///
    /// # Errors
    /// As [`File::sync_data`].
    pub fn sync_now(&self) -> io::Result<()> {
        match &self.kind {
            FileKind::Real(file) => file.sync_now(),
            FileKind::Simulated(file) => file.sync_now(),
        }
    }
}
