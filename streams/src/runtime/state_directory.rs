//! The directory where an instance keeps its state: `<state.dir>/<application.id>/`.
//!
//! ```text
//! .lock        held as long as the instance runs: one instance a directory
//! process-id   32 hex digits, made once: a killed instance that comes back is the same process to the group
//! stores/      the engine's files
//! ```

use std::io;
use std::path::{Path, PathBuf};

use anabranch_host::{DirectoryLock, Disk, Host};

/// A locked state directory.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    process_id: [u8; 16],
    _lock: DirectoryLock,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateDirectoryError {
    /// Another instance uses it.
    #[error("the state directory {} is in use by another instance: give each instance a `state.dir` of its own", .0.display())]
    Locked(PathBuf),
    /// It holds something that is none of ours.
    #[error("{} is no process id: this is no state directory, or it is damaged; move it away to start from the changelogs", .0.display())]
    Foreign(PathBuf),
    /// The file system refused.
    #[error("the state directory {} cannot be used: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl StateDirectory {
    /// Makes, locks and reads the directory of `application_id` below `base`.
    ///
    /// # Errors
    /// If it is in use, damaged, or the file system refuses.
    pub(crate) async fn open(
        host: &Host,
        base: &Path,
        application_id: &str,
    ) -> Result<StateDirectory, StateDirectoryError> {
        let path = base.join(application_id);
        let failed = |source| StateDirectoryError::Io { path: path.clone(), source };
        let disk = host.disk();
        disk.create_dir_all(&path).map_err(failed)?;
        let lock = disk.lock_dir(&path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => StateDirectoryError::Locked(path.clone()),
            _ => failed(error),
        })?;
        let process_id =
            process_id(host, &disk, &path.join("process-id")).await.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => StateDirectoryError::Foreign(path.join("process-id")),
                _ => failed(error),
            })?;
        Ok(StateDirectory { path, process_id, _lock: lock })
    }

    /// The process id, the same over restarts.
    pub(crate) fn process_id(&self) -> [u8; 16] {
        self.process_id
    }

    /// Removes all stores.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(crate) fn remove_stores(&self, disk: &Disk) -> Result<(), StateDirectoryError> {
        let stores = self.stores();
        let removed = disk.exists(&stores).and_then(|exists| match exists {
            true => disk.remove_dir_all(&stores),
            false => Ok(()),
        });
        removed.map_err(|source| StateDirectoryError::Io { path: stores, source })
    }

    /// Where the engine keeps its files.
    pub(crate) fn stores(&self) -> PathBuf {
        self.path.join("stores")
    }
}

async fn process_id(host: &Host, disk: &Disk, path: &Path) -> io::Result<[u8; 16]> {
    if disk.exists(path)? {
        let text = disk.read(path)?;
        return std::str::from_utf8(&text)
            .ok()
            .and_then(parse_hex)
            .ok_or_else(|| io::ErrorKind::InvalidData.into());
    }
    let id = host.random_uuid();
    disk.write_atomically(path, hex(&id).as_bytes()).await?;
    Ok(id)
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let text = text.trim_end();
    // `from_str_radix` would take a sign.
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instance_at_a_time_and_the_same_id_after_a_restart() {
        let (host, runtime) = Host::real(1).expect("threads");
        let base = tempfile::tempdir().expect("a directory");
        runtime.block_on(async {
            let first = StateDirectory::open(&host, base.path(), "app").await.expect("a new directory");
            let id = first.process_id();
            let second = StateDirectory::open(&host, base.path(), "app").await;
            assert!(matches!(second, Err(StateDirectoryError::Locked(_))), "{second:?}");
            drop(first);
            let again = StateDirectory::open(&host, base.path(), "app").await.expect("the same directory");
            assert_eq!(again.process_id(), id);
            drop(again);
            let file = base.path().join("app").join("process-id");
            host.disk().write_atomically(&file, b"something else").await.expect("write");
            let damaged = StateDirectory::open(&host, base.path(), "app").await;
            assert!(matches!(damaged, Err(StateDirectoryError::Foreign(_))), "{damaged:?}");
        });
    }
}
