//! Whose log a directory holds: `partition.metadata`, `version: 0` and `topic_id: <id>` as Kafka has it, and a third line,
//! `checksum: <CRC-32C of the two before>`, which Kafka does not read. Without it a flipped bit would make a log one of
//! another topic, and so a stray to be deleted.
//!
//! Topics of the same name may follow each other, so the name of a directory does not say it. The file is written before
//! the first batch and synced with it.

use std::io;
use std::path::Path;

use anabranch_host::{Disk, OpenOptions};
use anabranch_protocol::Uuid;

pub(super) const PARTITION_METADATA: &str = "partition.metadata";

/// Whose log a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This topic's.
    Topic(Uuid),
    /// Nobody knows: the power went before the file was synced, so nothing else in the directory was either.
    Unwritten,
    /// Nobody knows: the file is damaged.
    Damaged,
}

impl Owner {
    /// Reads the file in `directory`.
    pub(super) fn read(disk: &Disk, directory: &Path) -> io::Result<Owner> {
        match disk.read(&directory.join(PARTITION_METADATA)) {
            Ok(bytes) => Ok(Owner::parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Owner::Unwritten),
            Err(error) => Err(error),
        }
    }

    fn parse(bytes: &[u8]) -> Owner {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let topic_id = text.strip_prefix("version: 0\ntopic_id: ").and_then(|rest| {
            let (id, checksum) = rest.split_once('\n').unwrap_or((rest, ""));
            let topic_id = id.parse().ok()?;
            // One that Kafka has written ends here.
            (checksum.is_empty() || text == text_of(topic_id)).then_some(topic_id)
        });
        match topic_id {
            Some(topic_id) => Owner::Topic(topic_id),
            // A part of the file, or blocks that were given to it and not written.
            None if bytes.len() < text_of(Uuid::ZERO).len() || bytes.iter().all(|byte| *byte == 0) => {
                Owner::Unwritten
            }
            None => Owner::Damaged,
        }
    }

    pub(super) fn topic_id(self) -> Option<Uuid> {
        match self {
            Owner::Topic(topic_id) => Some(topic_id),
            Owner::Unwritten | Owner::Damaged => None,
        }
    }
}

/// Writes the file into `directory`, which is made if it is missing.
pub(super) fn write_owner(disk: &Disk, directory: &Path, topic_id: Uuid) -> io::Result<()> {
    disk.create_dir_all(directory)?;
    let file = disk.open(&directory.join(PARTITION_METADATA), OpenOptions::create_empty())?;
    file.write_all_at(text_of(topic_id).as_bytes(), 0)
}

fn text_of(topic_id: Uuid) -> String {
    let lines = format!("version: 0\ntopic_id: {topic_id}\n");
    format!("{lines}checksum: {:08x}\n", crc_fast::crc32_iscsi(lines.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_names_the_topic_and_a_torn_one_nobody() {
        let id = Uuid([9; 16]);
        let text = text_of(id);
        let kafkas = "version: 0\ntopic_id: CQkJCQkJCQkJCQkJCQkJCQ";
        assert!(text.starts_with(kafkas));
        for whole in [text.as_str(), kafkas, &text[..kafkas.len() + 1]] {
            assert_eq!(Owner::parse(whole.as_bytes()), Owner::Topic(id));
        }
        for length in (0..text.len()).filter(|length| !(kafkas.len()..=kafkas.len() + 1).contains(length)) {
            assert_eq!(Owner::parse(&text.as_bytes()[..length]), Owner::Unwritten, "{length}");
        }
        for position in 0..text.len() {
            for bit in 0..8 {
                let mut flipped = text.clone().into_bytes();
                flipped[position] ^= 1 << bit;
                assert_eq!(Owner::parse(&flipped), Owner::Damaged, "byte {position} bit {bit}");
            }
        }
        assert_eq!(Owner::parse(&vec![0; text.len()]), Owner::Unwritten);
    }
}
