//! How far each log is clean, over restarts: `cleaner-offset-checkpoint`, in Kafka's form.
//!
//! ```text
//! 0
//! 1
//! orders 0 4711 Wd2hrpJ8QpuP2gG8cQyzYg      with the topic's id, which Kafka does not write
//! checksum 1c291ca3                          nor this: a CRC-32C of the lines before
//! ```
//! What it says saves work, and a log that it does not know is cleaned from its start. But it must be true: where a log is
//! said to be clean and is not, a tombstone could go before what it deletes. So a file without its checksum is not used, nor
//! what it says of a topic that was deleted since, though another has its name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anabranch_host::Disk;
use anabranch_protocol::Uuid;

use super::super::checkpoint::{lines_text, parse_lines, read_text};
use crate::partition_name::PartitionName;

const FILE_NAME: &str = "cleaner-offset-checkpoint";

/// The end of the clean part of each log that was cleaned.
#[derive(Debug)]
pub struct CleanerProgress {
    disk: Disk,
    path: PathBuf,
    ends: Ends,
    /// What the file says.
    written: Ends,
}

/// The topic's id and the end of the clean part.
type Ends = BTreeMap<PartitionName, (Uuid, i64)>;

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

    /// Where the clean part of a log of this topic ends.
    #[must_use]
    pub fn of(&self, name: &PartitionName, topic_id: Uuid) -> Option<i64> {
        self.ends.get(name).filter(|(of, _)| *of == topic_id).map(|(_, end)| *end)
    }

    /// A log is clean up to `end`.
    pub fn cleaned(&mut self, name: &PartitionName, topic_id: Uuid, end: i64) {
        self.ends.insert(name.clone(), (topic_id, end));
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
        let line = |(name, (id, end)): (&PartitionName, &(Uuid, i64))| {
            format!("{} {} {end} {id}", name.topic, name.partition)
        };
        let lines = self.ends.iter().map(line);
        let text = with_checksum(&lines_text(lines.collect::<Vec<_>>().into_iter()));
        self.disk.write_atomically(&self.path, text.as_bytes()).await?;
        self.written.clone_from(&self.ends);
        Ok(())
    }
}

fn with_checksum(lines: &str) -> String {
    format!("{lines}checksum {:08x}\n", crc_fast::crc32_iscsi(lines.as_bytes()))
}

fn parse(text: &str) -> Option<Ends> {
    let lines = &text[..text.trim_end_matches('\n').rfind('\n')? + 1];
    if text != with_checksum(lines) {
        return None;
    }
    let mut ends = BTreeMap::new();
    for fields in parse_lines(lines)? {
        let &[topic, partition, end, id] = fields.as_slice() else { return None };
        let name = PartitionName::new(topic, partition.parse().ok()?);
        ends.insert(name, (id.parse().ok()?, end.parse().ok()?));
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
            let ids = [Uuid([1; 16]), Uuid([2; 16])];
            let mut progress = load();
            assert_eq!(progress.of(&names[0], ids[0]), None);
            progress.cleaned(&names[0], ids[0], 5);
            progress.cleaned(&names[1], ids[1], 7);
            progress.save().await.unwrap();
            let path = directory.path().join("cleaner-offset-checkpoint");
            let text = String::from_utf8(host.disk().read(&path).unwrap()).unwrap();
            assert_eq!(text, with_checksum(&format!("0\n2\na 0 5 {}\nb 3 7 {}\n", ids[0], ids[1])));
            let mut progress = load();
            assert_eq!((progress.of(&names[0], ids[0]), progress.of(&names[1], ids[1])), (Some(5), Some(7)));
            assert_eq!(progress.of(&names[0], ids[1]), None, "a topic that was made anew under the name");
            progress.retain(|name| *name == names[1]);
            progress.save().await.unwrap();
            assert_eq!((load().of(&names[0], ids[0]), load().of(&names[1], ids[1])), (None, Some(7)));
            let text = with_checksum(&format!("0\n1\na 0 5 {}\n", ids[0]));
            host.disk().write_atomically(&path, text.as_bytes()).await.unwrap();
            assert_eq!(load().of(&names[0], ids[0]), Some(5));
            for position in 0..text.len() {
                let mut flipped = text.clone().into_bytes();
                flipped[position] ^= 1;
                for damaged in [&flipped[..], &text.as_bytes()[..position]] {
                    host.disk().write_atomically(&path, damaged).await.unwrap();
                    assert_eq!(load().of(&names[0], ids[0]), None, "{position}");
                }
            }
        });
    }
}
