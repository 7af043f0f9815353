//! The data directory before the first start: formatted for a cluster, or looked at. For the command line.

use std::io;
use std::path::Path;

use anabranch_host::Host;
use anabranch_protocol::Uuid;

use crate::config::properties::parse_properties;
use crate::data_dir::{META_PROPERTIES, check_empty, meta_text, read_meta};
use crate::error::{Error, ErrorKind, Result};

pub use crate::metadata::FINALIZED_FEATURES;

/// Makes `path` the data directory of a broker of a cluster; false if it is one already. A new one gets this id, or one
/// by chance.
///
/// # Errors
/// If it is in use, is another broker's or holds something else.
pub async fn format(
    host: &Host,
    path: &Path,
    node_id: i32,
    cluster_id: &str,
    directory_id: Option<Uuid>,
) -> Result<bool> {
    let disk = host.disk();
    disk.create_dir_durably(path).await.map_err(|error| Error::disk(path, error))?;
    let meta_path = path.join(META_PROPERTIES);
    match disk.read(&meta_path) {
        Ok(bytes) => return read_meta(path, &bytes, node_id).map(|_| false),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::disk(&meta_path, error)),
        Err(_) => check_empty(&disk, path)?,
    }
    let _lock = disk.lock_dir(path).map_err(|error| Error::disk(path, error))?;
    let directory_id = directory_id.unwrap_or_else(|| Uuid(host.random_uuid()));
    let text = meta_text(cluster_id, node_id, directory_id);
    disk.write_atomically(&meta_path, text.as_bytes())
        .await
        .map_err(|error| Error::disk(&meta_path, error))?;
    Ok(true)
}

/// What `meta.properties` in `path` says; none if the directory is not formatted.
///
/// # Errors
/// If the file cannot be read.
pub fn describe(host: &Host, path: &Path) -> Result<Option<Vec<(String, String)>>> {
    let meta_path = path.join(META_PROPERTIES);
    let bytes = match host.disk().read(&meta_path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::disk(&meta_path, error)),
    };
    let broken =
        |problem: String| Error::new(ErrorKind::DataDirectory, format!("{}: {problem}", meta_path.display()));
    let text = String::from_utf8(bytes).map_err(|_| broken("it is no text".to_string()))?;
    parse_properties(&text).map(Some).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::DataDir;

    #[test]
    fn a_formatted_directory_is_opened_with_its_id_and_not_formatted_twice() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        let (host, runtime) = Host::real(1).unwrap();
        runtime.block_on(async {
            assert_eq!(describe(&host, &path).unwrap(), None);
            let cluster_id = Uuid([7; 16]).to_string();
            let directory_id = Some(Uuid([9; 16]));
            assert!(format(&host, &path, 3, &cluster_id, directory_id).await.unwrap());
            assert!(!format(&host, &path, 3, &cluster_id, None).await.unwrap());
            assert!(format(&host, &path, 4, &cluster_id, None).await.is_err(), "it is node 3's");
            let described = describe(&host, &path).unwrap().unwrap();
            assert!(described.contains(&("cluster.id".to_string(), cluster_id.clone())));
            assert!(described.contains(&("directory.id".to_string(), Uuid([9; 16]).to_string())));
            let opened = DataDir::open(&host, Some(&path), 3).await.unwrap();
            assert_eq!(opened.cluster_id(), cluster_id);
        });
    }
}
