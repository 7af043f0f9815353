//! Files for rows on their way into a store. They count for nothing once the process has ended.
//!
//! ```text
//!   <directory>/loading/<n>    a file, gone when whoever writes it is done
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch_host::{Disk, File, OpenOptions};

const LOADING: &str = "loading";

/// The files of an engine.
#[derive(Debug)]
pub(super) struct Scratch {
    disk: Disk,
    directory: PathBuf,
    next: AtomicU64,
}

impl Scratch {
    /// Removes what a crash has left in an engine's directory.
    pub(super) fn open(disk: &Disk, engine: &Path) -> io::Result<Scratch> {
        let directory = engine.join(LOADING);
        if disk.exists(&directory)? {
            disk.remove_dir_all(&directory)?;
        }
        Ok(Scratch { disk: disk.clone(), directory, next: AtomicU64::new(0) })
    }

    /// A new file.
    pub(super) fn file(&self) -> io::Result<ScratchFile> {
        self.disk.create_dir_all(&self.directory)?;
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let path = self.directory.join(name);
        let file = self.disk.open(&path, OpenOptions::create_empty())?;
        Ok(ScratchFile { disk: self.disk.clone(), path, file, end: AtomicU64::new(0) })
    }
}

/// A file that is removed when it is dropped.
#[derive(Debug)]
pub struct ScratchFile {
    disk: Disk,
    path: PathBuf,
    file: File,
    end: AtomicU64,
}

impl ScratchFile {
    /// Writes behind all that was written; says where.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(bytes, at).map(|()| at)
    }

    pub(super) fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    /// How many bytes it has.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.end.load(Ordering::Relaxed)
    }

    /// Changes a byte.
    #[cfg(test)]
    pub(super) fn damage(&self, at: u64) {
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, at).expect("there");
        self.file.write_all_at(&[byte[0] ^ 1], at).expect("there");
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // What stays goes at the next start.
        let _ = self.disk.remove_file(&self.path);
    }
}
