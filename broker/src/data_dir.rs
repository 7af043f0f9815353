//! The data directory: one process at a time, formatted at the first start, refused if it is somebody else's.
//!
//! `meta.properties` says whose it is, in Kafka's form:
//!
//! ```text
//! version=1
//! cluster.id=MkU3OEVBNTcwNTJENDM2Qg        which cluster; clients see it
//! node.id=1                                which broker of it
//! directory.id=v8bHkc4oTMySGUfWJxOLcw      which directory
//! anabranch.format=1                       that our broker wrote it: another's files are left alone
//! ```

use std::io;
use std::path::{Path, PathBuf};

use anabranch_host::{DirectoryLock, Disk, Host};
use anabranch_protocol::Uuid;

use crate::config::properties::parse_properties;
use crate::error::{Error, ErrorKind, Result};

pub(crate) const META_PROPERTIES: &str = "meta.properties";
const FORMAT_KEY: &str = "anabranch.format";
/// The last line of the file: a CRC-32C of those before it.
const CHECKSUM_KEY: &str = "anabranch.checksum";
const FORMAT: &str = "1";

/// An open data directory. Dropping it lets another process have it; an ephemeral one is removed.
#[derive(Debug)]
pub(crate) struct DataDir {
    disk: Disk,
    path: PathBuf,
    ephemeral: bool,
    cluster_id: String,
    directory_id: Uuid,
    lock: Option<DirectoryLock>,
}

impl DataDir {
    /// Opens `path` for the broker `node_id`, and formats it if it is new; without a path, a temporary directory.
    pub(crate) async fn open(host: &Host, path: Option<&Path>, node_id: i32) -> Result<DataDir> {
        let disk = host.disk();
        let (path, ephemeral) = match path {
            Some(path) => (path.to_path_buf(), false),
            None => (std::env::temp_dir().join(format!("anabranch-{:016x}", host.random_u64())), true),
        };
        let created =
            if ephemeral { disk.create_dir_all(&path) } else { disk.create_dir_durably(&path).await };
        created.map_err(|error| Error::disk(&path, error))?;
        let lock = disk.lock_dir(&path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::new(
                ErrorKind::InUse,
                format!("{} is in use by another broker; stop it or take another directory", path.display()),
            ),
            _ => Error::disk(&path, error),
        })?;
        let meta_path = path.join(META_PROPERTIES);
        let known = match disk.read(&meta_path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::disk(&meta_path, error)),
        };
        let (cluster_id, directory_id) = match known {
            Some(bytes) => read_meta(&path, &bytes, node_id)?,
            None => {
                check_empty(&disk, &path)?;
                let (cluster_id, directory_id) = (Uuid(host.random_uuid()), Uuid(host.random_uuid()));
                let text = meta_text(&cluster_id.to_string(), node_id, directory_id);
                if ephemeral {
                    // Nothing of it outlives this process, so nothing needs to be on the disk.
                    disk.open(&meta_path, anabranch_host::OpenOptions::create_empty())
                        .and_then(|file| file.write_all_at(text.as_bytes(), 0))
                        .map_err(|error| Error::disk(&meta_path, error))?;
                } else {
                    disk.write_atomically(&meta_path, text.as_bytes())
                        .await
                        .map_err(|error| Error::disk(&meta_path, error))?;
                }
                (cluster_id.to_string(), directory_id)
            }
        };
        Ok(DataDir { disk, path, ephemeral, cluster_id, directory_id, lock: Some(lock) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes when the broker stops.
    pub(crate) fn is_ephemeral(&self) -> bool {
        self.ephemeral
    }

    /// The cluster that this directory belongs to.
    pub(crate) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The id of this directory.
    pub(crate) fn directory_id(&self) -> Uuid {
        self.directory_id
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        drop(self.lock.take());
        if self.ephemeral
            && let Err(error) = self.disk.remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the temporary data directory stays behind");
        }
    }
}

/// The text of `meta.properties`.
pub(crate) fn meta_text(cluster_id: &str, node_id: i32, directory_id: Uuid) -> String {
    let lines = format!(
        "version=1\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\n{FORMAT_KEY}={FORMAT}\n"
    );
    format!("{lines}{CHECKSUM_KEY}={:08x}\n", crc_fast::crc32_iscsi(lines.as_bytes()))
}

/// Refuses a directory that holds anything that is not known to be harmless.
pub(crate) fn check_empty(disk: &Disk, path: &Path) -> Result<()> {
    let entries = disk.read_dir(path).map_err(|error| Error::disk(path, error))?;
    let harmless = [".lock", "lost+found", "meta.properties.tmp"];
    match entries.iter().find(|entry| !harmless.contains(&entry.name.as_str())) {
        None => Ok(()),
        Some(stranger) => Err(Error::new(
            ErrorKind::DataDirectory,
            format!(
                "{} is no data directory of a broker, and not empty ({} is in it); take an empty or a new one",
                path.display(),
                stranger.name
            ),
        )),
    }
}

/// The ids of the cluster and the directory, if the directory is node `node_id`'s.
pub(crate) fn read_meta(path: &Path, bytes: &[u8], node_id: i32) -> Result<(String, Uuid)> {
    let foreign = |problem: String| {
        Error::new(ErrorKind::DataDirectory, format!("{}: {problem}", path.join(META_PROPERTIES).display()))
    };
    let text = std::str::from_utf8(bytes).map_err(|_| foreign("it is no text".to_string()))?;
    // Others may write the file anew, without the line and in another order.
    if let Some((lines, checksum)) = text.split_once(CHECKSUM_KEY)
        && checksum.strip_prefix('=').and_then(|digits| u32::from_str_radix(digits.trim_end(), 16).ok())
            != Some(crc_fast::crc32_iscsi(lines.as_bytes()))
    {
        return Err(foreign(format!("the file is damaged: {CHECKSUM_KEY} does not match; bring it back")));
    }
    let pairs = parse_properties(text).map_err(foreign)?;
    let value = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    match value(FORMAT_KEY) {
        Some(FORMAT) => {}
        Some(format) => {
            let problem = format!("{FORMAT_KEY} is {format}; this version of the broker reads {FORMAT} only");
            return Err(foreign(problem));
        }
        None => {
            let problem =
                "the directory was formatted by another broker, such as Apache Kafka; take an empty one";
            return Err(foreign(problem.to_string()));
        }
    }
    let owner = value("node.id").and_then(|owner| owner.parse::<i32>().ok());
    if owner != Some(node_id) {
        let owner = owner.map_or("nobody".to_string(), |owner| format!("node {owner}"));
        return Err(foreign(format!("the directory belongs to {owner}, but node.id is {node_id}")));
    }
    let cluster_id = value("cluster.id").filter(|id| !id.is_empty());
    let directory_id = value("directory.id").and_then(|id| id.parse().ok());
    match (cluster_id, directory_id) {
        (Some(cluster_id), Some(directory_id)) => Ok((cluster_id.to_string(), directory_id)),
        _ => Err(foreign("cluster.id or directory.id is missing".to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(scenario: impl AsyncFnOnce(Host) -> T) -> T {
        let (host, runtime) = Host::real(1).unwrap();
        runtime.block_on(scenario(host))
    }

    #[test]
    fn a_new_directory_is_formatted_once_and_known_again() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("a/b");
        block_on(async |host| {
            let first = DataDir::open(&host, Some(&path), 1).await.unwrap();
            let (cluster_id, directory_id) = (first.cluster_id().to_string(), first.directory_id());
            assert_eq!(cluster_id.len(), 22);
            let second = DataDir::open(&host, Some(&path), 1).await.unwrap_err();
            assert_eq!(second.kind(), ErrorKind::InUse);
            drop(first);
            let again = DataDir::open(&host, Some(&path), 1).await.unwrap();
            assert_eq!((again.cluster_id(), again.directory_id()), (cluster_id.as_str(), directory_id));
        });
    }

    #[test]
    fn what_is_not_ours_is_refused_and_left_alone() {
        let meta = "version=1\nnode.id=1\ncluster.id=c\ndirectory.id=v8bHkc4oTMySGUfWJxOLcw\n";
        for (name, content, message) in [
            ("thesis.tex", "text", "is no data directory of a broker, and not empty (thesis.tex is in it)"),
            (META_PROPERTIES, meta, "was formatted by another broker, such as Apache Kafka"),
            (META_PROPERTIES, "anabranch.format=2", "anabranch.format is 2; this version"),
            (META_PROPERTIES, "anabranch.format=1\nnode.id=3", "belongs to node 3, but node.id is 1"),
            (META_PROPERTIES, "anabranch.format=1\nnode.id=1", "cluster.id or directory.id is missing"),
        ] {
            let temporary = tempfile::tempdir().unwrap();
            block_on(async |host| {
                let path = temporary.path().join(name);
                host.disk().write_atomically(&path, content.as_bytes()).await.unwrap();
                let error = DataDir::open(&host, Some(temporary.path()), 1).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::DataDirectory);
                assert!(error.to_string().contains(message), "{error}");
                assert_eq!(host.disk().read(&path).unwrap(), content.as_bytes());
            });
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let temporary = tempfile::tempdir().unwrap();
        block_on(async |host| {
            drop(DataDir::open(&host, Some(temporary.path()), 1).await.unwrap());
            let path = temporary.path().join(META_PROPERTIES);
            let bytes = host.disk().read(&path).unwrap();
            let ids = read_meta(&path, &bytes, 1).unwrap();
            for position in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[position] ^= 1;
                // Where only the checksum's own line is hit, the rest is as it was.
                match read_meta(&path, &damaged, 1) {
                    // Where the line of the checksum itself is hit, the rest is as it was.
                    Ok(found) => {
                        assert_eq!(found, ids, "{position}");
                        assert!(position >= bytes.len() - 30, "{position}");
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::DataDirectory),
                }
            }
        });
    }

    #[test]
    fn an_ephemeral_directory_leaves_nothing_behind() {
        block_on(async |host| {
            let data_dir = DataDir::open(&host, None, 1).await.unwrap();
            let path = data_dir.path().to_path_buf();
            assert!(data_dir.is_ephemeral() && host.disk().exists(&path).unwrap());
            drop(data_dir);
            assert!(!host.disk().exists(&path).unwrap());
        });
    }
}
