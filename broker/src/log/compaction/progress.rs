//! How far each log is clean, over restarts: `cleaner-offset-checkpoint`, in Kafka's form.
//!
//! ```text
//! 0
//! 1
//! orders 0 4711
//! ```
//! What it says is only used to save work: a log that it does not know, or knows wrongly, is cleaned from its start.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anabranch_host::Disk;

use super::super::checkpoint::{lines_text, parse_lines, read_text};
use crate::partition_name::PartitionName;

const FILE_NAME: &str = "cleaner-offset-checkpoint";

/// The end of the clean part of each log that was cleaned.
#[derive(Debug)]
pub struct CleanerProgress {
    disk: Disk,
    path: PathBuf,
    ends: BTreeMap<PartitionName, i64>,
    /// What the file says.
    written: BTreeMap<PartitionName, i64>,
}

impl CleanerProgress {
    /// Reads the file in `directory`, if there is one.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn load(disk: &Disk, directory: &Path) -> io::Result<CleanerProgress> {
        let path = directory.join(FILE_NAME);
        let ends = match read_text(disk, &path)? {
            Some(text) => parse(&text).unwrap_or_else(|| {
                tracing::warn!(path = %path.display(), "the checkpoint is damaged and not used");
                BTreeMap::new()
            }),
            None => BTreeMap::new(),
        };
        Ok(CleanerProgress { disk: disk.clone(), path, written: ends.clone(), ends })
    }

    /// Where the clean part of a log ends.
    #[must_use]
    pub fn of(&self, name: &PartitionName) -> Option<i64> {
        self.ends.get(name).copied()
    }

    /// A log is clean up to `end`.
    pub fn cleaned(&mut self, name: &PartitionName, end: i64) {
        self.ends.insert(name.clone(), end);
    }

    /// Forgets the logs that are not compacted any more, or are no more.
    pub fn retain(&mut self, is_compacted: impl Fn(&PartitionName) -> bool) {
        self.ends.retain(|name, _| is_compacted(name));
    }

    /// Writes the file, if anything has changed.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn save(&mut self) -> io::Result<()> {
        if self.ends == self.written {
            return Ok(());
        }
        let lines = self.ends.iter().map(|(name, end)| format!("{} {} {end}", name.topic, name.partition));
        let text = lines_text(lines.collect::<Vec<_>>().into_iter());
        self.disk.write_atomically(&self.path, text.as_bytes()).await?;
        self.written.clone_from(&self.ends);
        Ok(())
    }
}

fn parse(text: &str) -> Option<BTreeMap<PartitionName, i64>> {
    let mut ends = BTreeMap::new();
    for fields in parse_lines(text)? {
        let &[topic, partition, end] = fields.as_slice() else { return None };
        ends.insert(PartitionName::new(topic, partition.parse().ok()?), end.parse().ok()?);
    }
    Some(ends)
}

#[cfg(test)]
mod tests {
    use anabranch_host::Host;

    use super::*;

    #[test]
    fn it_is_known_after_a_restart_and_what_is_no_more_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let (host, runtime) = Host::real(1).unwrap();
        runtime.block_on(async {
            let load = || CleanerProgress::load(&host.disk(), directory.path()).unwrap();
            let names = [PartitionName::new("a", 0), PartitionName::new("b", 3)];
            let mut progress = load();
            assert_eq!(progress.of(&names[0]), None);
            progress.cleaned(&names[0], 5);
            progress.cleaned(&names[1], 7);
            progress.save().await.unwrap();
            let path = directory.path().join("cleaner-offset-checkpoint");
            assert_eq!(host.disk().read(&path).unwrap(), b"0\n2\na 0 5\nb 3 7\n");
            let mut progress = load();
            assert_eq!((progress.of(&names[0]), progress.of(&names[1])), (Some(5), Some(7)));
            progress.retain(|name| *name == names[1]);
            progress.save().await.unwrap();
            assert_eq!((load().of(&names[0]), load().of(&names[1])), (None, Some(7)));
            host.disk().write_atomically(&path, b"0\n3\na 0 5\n").await.unwrap();
            assert_eq!(load().of(&names[0]), None);
        });
    }
}
