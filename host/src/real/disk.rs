//! The operating system's file system.
#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::{DirEntry, DiskSpace, OpenOptions};

/// The most slices the operating system takes in one call (`IOV_MAX`).
const MAX_SLICES: usize = 1024;

/// The file systems (ext4, XFS, Btrfs, F2FS, tmpfs; `statfs(2)`) whose `syncfs` is as good as a sync of each file. With others,
/// such as those in user space, it may stop half way.
const VOLUMES_THAT_SYNC: [rustix::fs::FsWord; 5] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];

/// The file system; syncs run on the runtime's blocking threads.
#[derive(Clone, Debug)]
pub(crate) struct RealDisk {
    runtime: Handle,
}

/// The file system that a directory lies on.
#[derive(Clone, Debug)]
pub(crate) struct RealVolume {
    /// Open for as long as the volume is looked at: the operating system tells each open file of failures since it was
    /// opened.
    directory: Arc<std::fs::File>,
    runtime: Handle,
}

/// An open file of the operating system.
#[derive(Clone, Debug)]
pub(crate) struct RealFile {
    file: Arc<std::fs::File>,
    runtime: Handle,
}

impl RealDisk {
    pub(crate) fn new(runtime: Handle) -> Self {
        RealDisk { runtime }
    }

    pub(crate) fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    pub(crate) fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        let volume = rustix::fs::statvfs(path)?;
        Ok(DiskSpace {
            total_bytes: volume.f_blocks.saturating_mul(volume.f_frsize),
            usable_bytes: volume.f_bavail.saturating_mul(volume.f_frsize),
        })
    }

    pub(crate) fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            // A name that is no text is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, is_dir: entry.file_type()?.is_dir() });
            }
        }
        entries.sort();
        Ok(entries)
    }

    pub(crate) fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    pub(crate) fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    pub(crate) fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    pub(crate) async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let directory = std::fs::File::open(path)?;
        blocking(&self.runtime, move || directory.sync_all()).await
    }

    pub(crate) fn volume(&self, path: &Path) -> io::Result<Option<RealVolume>> {
        let directory = std::fs::File::open(path)?;
        let is_trusted = VOLUMES_THAT_SYNC.contains(&rustix::fs::fstatfs(&directory)?.f_type);
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let volume = RealVolume { directory: Arc::new(directory), runtime: self.runtime.clone() };
        Ok((is_trusted && tells_failed_volumes(&release)).then_some(volume))
    }

    pub(crate) fn open(&self, path: &Path, options: OpenOptions) -> io::Result<RealFile> {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(options.write)
            .create(options.create)
            .truncate(options.truncate)
            .open(path)?;
        Ok(RealFile { file: Arc::new(file), runtime: self.runtime.clone() })
    }
}

impl RealVolume {
    pub(crate) async fn sync(&self) -> io::Result<()> {
        let directory = self.directory.clone();
        blocking(&self.runtime, move || rustix::fs::syncfs(&*directory).map_err(io::Error::from)).await
    }
}

/// Whether `syncfs` tells all that went wrong: of data since Linux 5.8, of metadata since 5.17.
fn tells_failed_volumes(release: &str) -> bool {
    let mut numbers = release.split('.').map(|part| part.parse::<u32>().ok());
    let version = numbers.next().flatten().zip(numbers.next().flatten());
    version.is_some_and(|version| version >= (5, 17))
}

impl RealFile {
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    pub(crate) fn write_all_vectored_at(
        &self,
        mut slices: &mut [io::IoSlice<'_>],
        mut offset: u64,
    ) -> io::Result<()> {
        // Empty slices first, so that a write of nothing is told from a full disk.
        io::IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let count = slices.len().min(MAX_SLICES);
            match rustix::io::pwritev(&*self.file, &slices[..count], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    io::IoSlice::advance_slices(&mut slices, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    pub(crate) fn allocate(&self, length: u64) -> io::Result<()> {
        rustix::fs::fallocate(&*self.file, rustix::fs::FallocateFlags::empty(), 0, length)
            .map_err(io::Error::from)
    }

    pub(crate) async fn sync_data(&self) -> io::Result<()> {
        let file = self.file.clone();
        blocking(&self.runtime, move || file.sync_data()).await
    }

    pub(crate) fn sync_now(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(crate) fn try_lock(&self) -> io::Result<()> {
        self.file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, "another process has locked this directory")
            }
            std::fs::TryLockError::Error(error) => error,
        })
    }

    /// Lets go of a lock. A failure leaves it to the operating system, which does so when the last handle closes.
    pub(crate) fn unlock(&self) {
        let _ = self.file.unlock();
    }
}

/// Runs a call that may block for long on a thread made for such.
async fn blocking<T: Send + 'static>(
    runtime: &Handle,
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    runtime.spawn_blocking(call).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use crate::disk::FileKind;
    use crate::{Host, OpenOptions};

    #[test]
    fn a_volume_is_synced_where_failures_are_told() {
        for (release, is_told) in [
            ("6.18.44-fc-v769\n", true),
            ("5.17", true),
            ("5.16.20-generic", false),
            ("4.19.0", false),
            ("10.0.1", true),
            ("", false),
            ("five.six", false),
        ] {
            assert_eq!(super::tells_failed_volumes(release), is_told, "{release}");
        }
        let directory = tempfile::tempdir().unwrap();
        let (host, runtime) = Host::real(1).unwrap();
        let volume = host.disk().volume(directory.path()).unwrap();
        host.disk().open(&directory.path().join("file"), OpenOptions::create()).unwrap();
        runtime.block_on(async {
            if let Some(volume) = volume {
                volume.sync().await.unwrap();
            }
        });
        assert!(host.disk().volume(std::path::Path::new("/proc")).unwrap().is_none());
    }

    #[test]
    fn many_slices_are_written_as_one_piece() {
        let directory = tempfile::tempdir().unwrap();
        let (host, _runtime) = Host::real(1).unwrap();
        let file = host.disk().open(&directory.path().join("file"), OpenOptions::create()).unwrap();
        let pieces: Vec<Vec<u8>> = (0..3000u32).map(|n| vec![n as u8; (n % 5) as usize]).collect();
        let mut slices: Vec<_> = pieces.iter().map(|piece| std::io::IoSlice::new(piece)).collect();
        file.write_all_vectored_at(&mut slices, 7).unwrap();
        let expected = [vec![0; 7], pieces.concat()].concat();
        assert_eq!(host.disk().read(&directory.path().join("file")).unwrap(), expected);
        file.write_all_vectored_at(&mut [], 0).unwrap();
        file.write_all_vectored_at(&mut [std::io::IoSlice::new(&[])], 0).unwrap();
        assert_eq!(file.len().unwrap(), expected.len() as u64);
    }

    #[test]
    fn a_lock_ends_with_its_owner_whoever_else_has_the_file_open() {
        let directory = tempfile::tempdir().unwrap();
        let (host, _runtime) = Host::real(1).unwrap();
        let lock = host.disk().lock_dir(directory.path()).unwrap();
        // As a process that is being started has it.
        let shared = match &lock.file.kind {
            FileKind::Real(file) => file.file.try_clone().unwrap(),
            FileKind::Simulated(_) => unreachable!("the host is real"),
        };
        host.disk().lock_dir(directory.path()).expect_err("locked");
        drop(lock);
        let _again = host.disk().lock_dir(directory.path()).expect("free");
        drop(shared);
        host.disk().lock_dir(directory.path()).expect_err("the one who has it now keeps it");
    }
}
