//! What a node sees of its disk.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::dice::mix;
use super::file_system::{FileSystem, InodeId};
use super::node::SimNode;
use super::trace::{EventKind, fingerprint};
use crate::disk::DiskKind;
use crate::{DirEntry, Disk, OpenOptions};

impl SimNode {
    pub(crate) fn disk(&self) -> Disk {
        Disk { kind: DiskKind::Simulated(SimDisk { node: self.clone() }) }
    }
}

/// The disk of a simulated node, in one of its lives.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    node: SimNode,
}

impl SimDisk {
    /// Runs a call on the file system, if the process has not ended.
    fn call<T>(&self, call: impl FnOnce(&mut FileSystem) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.node.shared.state();
        self.node.check_alive(&state)?;
        call(&mut state.node(self.node.id).disk)
    }

    /// As [`SimDisk::call`], for what changes the name `path`.
    fn change<T>(&self, path: &Path, call: impl FnOnce(&mut FileSystem) -> io::Result<T>) -> io::Result<T> {
        let result = self.call(call);
        let payload = fingerprint(path.as_os_str().as_encoded_bytes()) ^ u64::from(result.is_ok());
        self.node.shared.state().record(EventKind::Name, self.node.id, payload);
        result
    }

    pub(crate) fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.change(path, |disk| disk.create_dir_all(path))
    }

    pub(crate) fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.call(|disk| disk.read_dir(path))
    }

    pub(crate) fn exists(&self, path: &Path) -> io::Result<bool> {
        self.call(|disk| disk.exists(path))
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(to, |disk| disk.rename(from, to))
    }

    pub(crate) fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(path, |disk| disk.remove_file(path))
    }

    pub(crate) fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.change(path, |disk| disk.remove_dir_all(path))
    }

    pub(crate) async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let (id, sync) = self.call(|disk| disk.begin_sync_dir(path))?;
        self.node.sleep(sync.takes).await;
        let result = self.call(|disk| disk.end_sync_dir(id, sync));
        record_sync(&self.node, id, result.is_ok());
        result
    }

    pub(crate) async fn sync_volume(&self) -> io::Result<()> {
        let syncs = self.call(|disk| Ok(disk.begin_sync_volume()))?;
        self.node.sleep(syncs.takes()).await;
        let (id, result) = self.call(|disk| Ok(disk.end_sync_volume(syncs)))?;
        record_sync(&self.node, id, result.is_ok());
        result
    }

    pub(crate) fn open(&self, path: &Path, options: OpenOptions) -> io::Result<SimFile> {
        let (id, opening) = self.change(path, |disk| disk.open(path, options))?;
        let open = OpenFile { disk: self.clone(), id, opening, writable: options.write };
        Ok(SimFile { open: Arc::new(open) })
    }
}

fn record_sync(node: &SimNode, id: InodeId, ok: bool) {
    node.shared.state().record(EventKind::Sync, node.id, id.0 << 1 | u64::from(ok));
}

/// An open file of a simulated disk.
#[derive(Clone)]
pub(crate) struct SimFile {
    open: Arc<OpenFile>,
}

struct OpenFile {
    disk: SimDisk,
    id: InodeId,
    /// Told apart from other openings of the same file.
    opening: u64,
    writable: bool,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("id", &self.open.id).finish_non_exhaustive()
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // A process that has ended has nothing open any more.
        let _ = self.disk.call(|disk| {
            disk.close(self.id, self.opening);
            Ok(())
        });
    }
}

impl SimFile {
    /// Refuses a change through a file opened to read.
    fn check_writable(&self, error: Errno) -> io::Result<()> {
        if self.open.writable { Ok(()) } else { Err(error.into()) }
    }

    fn record(&self, payload: u64) {
        let node = &self.open.disk.node;
        node.shared.state().record(EventKind::Write, node.id, mix(self.open.id.0) ^ payload);
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        self.open.disk.call(|disk| Ok(disk.file(self.open.id)?.len()))
    }

    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.open.disk.call(|disk| disk.read(self.open.id, buffer, offset))
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable(Errno::BADF)?;
        self.record(fingerprint(bytes) ^ mix(offset));
        self.open.disk.call(|disk| disk.write(self.open.id, bytes, offset))
    }

    pub(crate) fn write_all_vectored_at(&self, slices: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum());
        slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
        self.write_all_at(&bytes, offset)
    }

    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        self.check_writable(Errno::INVAL)?;
        self.record(mix(length));
        self.open.disk.call(|disk| {
            disk.file(self.open.id)?.set_len(length);
            Ok(())
        })
    }

    pub(crate) fn allocate(&self, length: u64) -> io::Result<()> {
        self.check_writable(Errno::BADF)?;
        if length == 0 {
            return Err(Errno::INVAL.into());
        }
        self.record(mix(length));
        self.open.disk.call(|disk| disk.allocate(self.open.id, length))
    }

    pub(crate) async fn sync_data(&self) -> io::Result<()> {
        let OpenFile { disk, id, .. } = &*self.open;
        let sync = disk.call(|disk| disk.begin_sync(*id))?;
        disk.node.sleep(sync.takes).await;
        let result = disk.call(|disk| disk.end_sync(*id, sync));
        record_sync(&disk.node, *id, result.is_ok());
        result
    }

    pub(crate) fn sync_now(&self) -> io::Result<()> {
        let OpenFile { disk, id, .. } = &*self.open;
        let result = disk.call(|disk| {
            let sync = disk.begin_sync(*id)?;
            disk.end_sync(*id, sync)
        });
        record_sync(&disk.node, *id, result.is_ok());
        result
    }

    pub(crate) fn try_lock(&self) -> io::Result<()> {
        self.open.disk.call(|disk| disk.try_lock(self.open.id, self.open.opening))
    }
}
