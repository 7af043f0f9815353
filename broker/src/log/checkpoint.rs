//! What a log directory remembers of its logs from one start to the next.
//!
//! Kafka's text checkpoints have a version, a count and a line for each entry:
//!
//! ```text
//! recovery-point-offset-checkpoint        topic partition offset: below it, segments are synced
//! log-start-offset-checkpoint             topic partition offset: where a log begins, if not with its first segment
//! replication-offset-checkpoint           topic partition offset: the high watermark
//! <partition>/leader-epoch-checkpoint     epoch offset
//! ```
//!
//! The first three are written for Kafka's tools. A topic may be deleted and another of its name be made, and then they do
//! not say of which they speak; so what recovery goes by stands in one file of our own, which names the topic by its id
//! and is replaced as a whole:
//!
//! ```text
//! anabranch-checkpoint                    topic partition topic-id recovery-point log-start epochs-checksum snapshot;
//!                                         a checksum on the first line, and maybe `journal <bytes of each file>` on the
//!                                         second
//! ```
//!
//! It is also what tells that something is gone: every log in it has a directory, and where it says `journal` the journal
//! has both its files, of that size at least.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anabranch_host::Disk;
use anabranch_protocol::Uuid;

use crate::partition_name::PartitionName;

pub(super) const CHECKPOINT: &str = "anabranch-checkpoint";
pub(super) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub(super) const LOG_STARTS: &str = "log-start-offset-checkpoint";
pub(super) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
pub(super) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
pub(super) const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

const VERSION: &str = "0";
const SNAPSHOT: &str = "snapshot";
const JOURNAL: &str = "journal ";

/// The lines of a checkpoint of Kafka's, split into their words; none if it is not whole.
pub(super) fn parse_lines(text: &str) -> Option<Vec<Vec<&str>>> {
    let mut lines = text.lines();
    if lines.next()?.trim() != VERSION {
        return None;
    }
    let count: usize = lines.next()?.trim().parse().ok()?;
    let entries: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    (entries.len() == count).then_some(entries)
}

/// The text of a checkpoint of Kafka's.
pub(super) fn lines_text(lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("{VERSION}\n{}\n", lines.len());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// What is remembered of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) topic_id: Uuid,
    /// Below it, segments are synced.
    pub(super) recovery_point: i64,
    /// The first offset that may be read.
    pub(super) start_offset: i64,
    /// The checksum of the file of leader epochs, which Kafka gave none; none if it is not known.
    pub(super) epochs_checksum: Option<u32>,
    /// Whether a clean stop has left a snapshot of the producers at the recovery point; without one there were none.
    pub(super) has_snapshot: bool,
}

/// What is remembered of the logs of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// Bytes that each file of the journal has at least; none if there may be no journal.
    pub(super) journal_bytes: Option<u64>,
    pub(super) logs: BTreeMap<PartitionName, Remembered>,
}

impl Checkpoint {
    /// Reads the file in `directory`. If it is missing or damaged nothing is remembered, and recovery scans all there is.
    pub(super) fn read(disk: &Disk, directory: &Path) -> io::Result<Checkpoint> {
        let path = directory.join(CHECKPOINT);
        let Some(text) = read_text(disk, &path)? else { return Ok(Checkpoint::default()) };
        let checkpoint = Checkpoint::parse(&text);
        if checkpoint.is_none() {
            tracing::warn!(path = %path.display(), "the checkpoint is damaged and not used");
        }
        Ok(checkpoint.unwrap_or_default())
    }

    /// Replaces the file in `directory`.
    pub(super) async fn write(&self, disk: &Disk, directory: &Path) -> io::Result<()> {
        disk.write_atomically(&directory.join(CHECKPOINT), self.to_text().as_bytes()).await
    }

    fn parse(text: &str) -> Option<Checkpoint> {
        let (crc, mut lines) = text.split_once('\n')?;
        if u32::from_str_radix(crc, 16).ok()? != crc_fast::crc32_iscsi(lines.as_bytes()) {
            return None;
        }
        let mut journal_bytes = None;
        if let Some(rest) = lines.strip_prefix(JOURNAL) {
            let (bytes, rest) = rest.split_once('\n')?;
            journal_bytes = Some(bytes.parse().ok()?);
            lines = rest;
        }
        let mut logs = BTreeMap::new();
        for fields in parse_lines(lines)? {
            let &[topic, partition, topic_id, recovery_point, start_offset, ref rest @ ..] =
                fields.as_slice()
            else {
                return None;
            };
            let (epochs_checksum, has_snapshot) = match *rest {
                [] => ("-", false),
                [digits] | [digits, "-"] => (digits, false),
                [digits, SNAPSHOT] => (digits, true),
                _ => return None,
            };
            let epochs_checksum = match epochs_checksum {
                "-" => None,
                digits => Some(u32::from_str_radix(digits, 16).ok()?),
            };
            let remembered = Remembered {
                topic_id: topic_id.parse().ok()?,
                recovery_point: recovery_point.parse().ok()?,
                start_offset: start_offset.parse().ok()?,
                epochs_checksum,
                has_snapshot,
            };
            logs.insert(PartitionName::new(topic, partition.parse().ok()?), remembered);
        }
        Some(Checkpoint { journal_bytes, logs })
    }

    fn to_text(&self) -> String {
        let journal = self.journal_bytes.map_or(String::new(), |bytes| format!("{JOURNAL}{bytes}\n"));
        let lines = lines_text(self.logs.iter().map(|(name, log)| {
            let epochs = log.epochs_checksum.map_or("-".to_string(), |checksum| format!("{checksum:08x}"));
            let snapshot = if log.has_snapshot { SNAPSHOT } else { "-" };
            format!(
                "{} {} {} {} {} {epochs} {snapshot}",
                name.topic, name.partition, log.topic_id, log.recovery_point, log.start_offset
            )
        }));
        let lines = journal + &lines;
        format!("{:08x}\n{lines}", crc_fast::crc32_iscsi(lines.as_bytes()))
    }

    /// What is remembered of the log of this name, if it is the same topic's.
    pub(super) fn of(&self, name: &PartitionName, topic_id: Uuid) -> Option<Remembered> {
        self.logs.get(name).copied().filter(|log| log.topic_id == topic_id)
    }

    /// Writes the checkpoints that Kafka's tools know. Nothing of ours reads them, so they are not synced.
    pub(super) fn write_for_tools(
        &self,
        disk: &Disk,
        directory: &Path,
        high_watermarks: &BTreeMap<PartitionName, i64>,
    ) -> io::Result<()> {
        let points = self.logs.iter().map(|(name, log)| offset_line(name, log.recovery_point));
        let starts: Vec<String> = (self.logs.iter())
            .filter(|(_, log)| log.start_offset > 0)
            .map(|(name, log)| offset_line(name, log.start_offset))
            .collect();
        let marks = high_watermarks.iter().map(|(name, offset)| offset_line(name, *offset));
        for (name, text) in [
            (RECOVERY_POINTS, lines_text(points)),
            (LOG_STARTS, lines_text(starts.into_iter())),
            (HIGH_WATERMARKS, lines_text(marks)),
        ] {
            let path = directory.join(name);
            disk.write_beside(&path, text.as_bytes())?;
            disk.put_in_place(&path)?;
        }
        Ok(())
    }
}

fn offset_line(name: &PartitionName, offset: i64) -> String {
    format!("{} {} {offset}", name.topic, name.partition)
}

/// A whole file as text; none if it is missing or no text.
pub(super) fn read_text(disk: &Disk, path: &Path) -> io::Result<Option<String>> {
    match disk.read(path) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::Host;

    use super::*;

    fn some() -> Checkpoint {
        let remembered = |n: u8| Remembered {
            topic_id: Uuid([n; 16]),
            recovery_point: i64::MAX - i64::from(n),
            start_offset: i64::from(n),
            epochs_checksum: (n > 0).then_some(u32::from(n)),
            has_snapshot: n > 0,
        };
        let logs = [("b", 1, 0), ("a-b", 0, 200)];
        let logs = logs.map(|(topic, partition, n)| (PartitionName::new(topic, partition), remembered(n)));
        Checkpoint { journal_bytes: None, logs: logs.into() }
    }

    #[test]
    fn what_is_remembered_leads_back_and_damage_is_noticed() {
        for journal_bytes in [None, Some(32 << 20)] {
            let checkpoint = Checkpoint { journal_bytes, ..some() };
            let text = checkpoint.to_text();
            assert_eq!(Checkpoint::parse(&text), Some(checkpoint));
            for cut in 0..text.len() {
                assert_eq!(Checkpoint::parse(&text[..cut]), None, "{:?}", &text[..cut]);
            }
            for position in 0..text.len() {
                let mut damaged = text.clone().into_bytes();
                damaged[position] ^= 1;
                assert_eq!(Checkpoint::parse(&String::from_utf8(damaged).unwrap()), None, "{position}");
            }
        }
        let name = PartitionName::new("b", 1);
        assert!(some().of(&name, Uuid([0; 16])).is_some());
        assert_eq!(some().of(&name, Uuid([1; 16])), None, "another topic of the same name");
    }

    #[test]
    fn tools_find_kafkas_files() {
        let directory = tempfile::tempdir().unwrap();
        let (host, _runtime) = Host::real(1).unwrap();
        let marks = [(PartitionName::new("b", 1), 7)].into();
        some().write_for_tools(&host.disk(), directory.path(), &marks).unwrap();
        let read = |name| read_text(&host.disk(), &directory.path().join(name)).unwrap().unwrap();
        assert_eq!(read(RECOVERY_POINTS), "0\n2\na-b 0 9223372036854775607\nb 1 9223372036854775807\n");
        assert_eq!(read(LOG_STARTS), "0\n1\na-b 0 200\n");
        assert_eq!(read(HIGH_WATERMARKS), "0\n1\nb 1 7\n");
    }
}
