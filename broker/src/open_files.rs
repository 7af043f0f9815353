//! Files that open when they are needed, and close again when too many are open.
//!
//! A broker with ten thousand partitions has many more segments than a process may open. So a segment knows its path,
//! opens its file at the first use, and the directory's [`OpenFiles`] closes those that have not been used for a while:
//! a clock hand goes round the open files, spares once those used since its last visit, and closes the others. The use
//! of a file that is open costs one lock of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use anabranch_host::{Disk, File, OpenOptions};
use parking_lot::Mutex;

/// The open files of a log directory.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    disk: Disk,
    max_open: usize,
    clock: Mutex<Clock>,
}

#[derive(Debug, Default)]
struct Clock {
    files: Vec<Weak<Slot>>,
    hand: usize,
}

/// A file by its path. Clones share the open file.
#[derive(Clone, Debug)]
pub(crate) struct LazyFile {
    slot: Arc<Slot>,
    open_files: Arc<OpenFiles>,
}

#[derive(Debug)]
struct Slot {
    path: Mutex<PathBuf>,
    file: Mutex<Option<File>>,
    used: AtomicBool,
}

impl OpenFiles {
    pub(crate) fn new(disk: Disk, max_open: usize) -> Arc<OpenFiles> {
        Arc::new(OpenFiles { disk, max_open: max_open.max(1), clock: Mutex::default() })
    }

    /// A file that opens at its first use.
    pub(crate) fn file(self: &Arc<Self>, path: PathBuf) -> LazyFile {
        let slot = Slot { path: Mutex::new(path), file: Mutex::new(None), used: AtomicBool::new(false) };
        LazyFile { slot: Arc::new(slot), open_files: self.clone() }
    }

    /// The disk they lie on.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Notes that a file was opened, and closes another if there are too many.
    fn opened(&self, slot: &Arc<Slot>) {
        let mut clock = self.clock.lock();
        let mut closed = None;
        // Two rounds at most: after the first none is spared.
        let mut visits = 2 * clock.files.len();
        while clock.files.len() >= self.max_open && visits > 0 {
            visits -= 1;
            let hand = clock.hand % clock.files.len();
            match clock.files[hand].upgrade() {
                // Whoever holds a file's lock is using it.
                Some(other) if !other.used.swap(false, Ordering::Relaxed) => match other.file.try_lock() {
                    Some(mut file) => {
                        closed = file.take();
                        drop(file);
                        clock.files.swap_remove(hand);
                    }
                    None => clock.hand = hand + 1,
                },
                Some(_) => clock.hand = hand + 1,
                None => {
                    clock.files.swap_remove(hand);
                }
            }
        }
        clock.files.push(Arc::downgrade(slot));
        drop(clock);
        drop(closed);
    }
}

impl LazyFile {
    /// The file, to read and write what is there.
    pub(crate) fn get(&self) -> io::Result<File> {
        self.get_with(OpenOptions::write())
    }

    /// The file; made if it is missing.
    pub(crate) fn get_or_create(&self) -> io::Result<File> {
        self.get_with(OpenOptions::create())
    }

    fn get_with(&self, options: OpenOptions) -> io::Result<File> {
        let mut file = self.slot.file.lock();
        self.slot.used.store(true, Ordering::Relaxed);
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        let opened = self.open_files.disk.open(&self.slot.path.lock(), options)?;
        *file = Some(opened.clone());
        self.open_files.opened(&self.slot);
        Ok(opened)
    }

    /// Its path.
    pub(crate) fn path(&self) -> PathBuf {
        self.slot.path.lock().clone()
    }

    /// Whether both are the same file of the same log.
    pub(crate) fn is_same(&self, other: &LazyFile) -> bool {
        Arc::ptr_eq(&self.slot, &other.slot)
    }

    /// Renames it.
    pub(crate) fn rename(&self, to: &Path) -> io::Result<()> {
        let mut path = self.slot.path.lock();
        self.open_files.disk.rename(&path, to)?;
        *path = to.to_path_buf();
        Ok(())
    }

    /// The disk it lies on.
    pub(crate) fn disk(&self) -> &Disk {
        &self.open_files.disk
    }

    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.slot.file.lock().is_some()
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::Host;

    use super::*;

    #[test]
    fn no_more_files_are_open_than_allowed_and_those_in_use_stay() {
        let directory = tempfile::tempdir().unwrap();
        let (host, _runtime) = Host::real(1).unwrap();
        let open_files = OpenFiles::new(host.disk(), 3);
        let files: Vec<_> = (0..10).map(|n| open_files.file(directory.path().join(n.to_string()))).collect();
        let open = || files.iter().filter(|file| file.is_open()).count();
        assert_eq!(open(), 0);
        assert!(files[0].get().is_err(), "it is not there yet");
        for (n, file) in files.iter().enumerate() {
            file.get_or_create().unwrap().write_all_at(&[n as u8], 0).unwrap();
            assert!(open() <= 3);
        }
        for round in 0..50 {
            let n = round * 7 % 10;
            let mut byte = [0];
            files[n].get().unwrap().read_exact_at(&mut byte, 0).unwrap();
            assert_eq!(byte, [n as u8]);
            // One that is used all the time is spared.
            files[0].get().unwrap();
            assert!(files[0].is_open() && open() <= 3);
        }
        drop(files);
        open_files.file(directory.path().join("last")).get_or_create().unwrap();
    }
}
