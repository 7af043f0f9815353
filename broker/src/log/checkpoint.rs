//! Kafka's text checkpoints: a version, a count, a line for each entry.
//!
//! ```text
//! recovery-point-offset-checkpoint        topic partition offset: below it, segments are synced
//! log-start-offset-checkpoint             topic partition offset: where a log begins, if not with its first segment
//! replication-offset-checkpoint           topic partition offset: the high watermark
//! <partition>/leader-epoch-checkpoint     epoch offset
//! <partition>/partition.metadata          `version: 0`, `topic_id: <id>`
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anabranch_host::Disk;
use anabranch_protocol::Uuid;

use crate::partition_name::PartitionName;

pub(super) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub(super) const LOG_STARTS: &str = "log-start-offset-checkpoint";
pub(super) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
pub(super) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
pub(super) const PARTITION_METADATA: &str = "partition.metadata";
pub(super) const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

const VERSION: &str = "0";

/// The lines of a checkpoint, split into their words; none if it is not whole.
pub(super) fn parse_checkpoint(text: &str) -> Option<Vec<Vec<&str>>> {
    let mut lines = text.lines();
    if lines.next()?.trim() != VERSION {
        return None;
    }
    let count: usize = lines.next()?.trim().parse().ok()?;
    let entries: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    (entries.len() == count).then_some(entries)
}

/// The text of a checkpoint.
pub(super) fn write_checkpoint(lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("{VERSION}\n{}\n", lines.len());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Offsets by partition, as three files of a log directory hold them.
pub(super) type Offsets = BTreeMap<PartitionName, i64>;

/// Reads a file of offsets. One that is missing or damaged holds none: all of them can be found otherwise, at the price of
/// a longer scan.
pub(super) fn read_offsets(disk: &Disk, path: &Path) -> io::Result<Offsets> {
    let Some(text) = read_text(disk, path)? else { return Ok(Offsets::new()) };
    let offsets = parse_offsets(&text);
    if offsets.is_none() {
        tracing::warn!(path = %path.display(), "the checkpoint is damaged and not used");
    }
    Ok(offsets.unwrap_or_default())
}

fn parse_offsets(text: &str) -> Option<Offsets> {
    let mut offsets = Offsets::new();
    for fields in parse_checkpoint(text)? {
        let &[topic, partition, offset] = fields.as_slice() else { return None };
        offsets.insert(PartitionName::new(topic, partition.parse().ok()?), offset.parse().ok()?);
    }
    Some(offsets)
}

/// The text of a file of offsets.
pub(super) fn offsets_text(offsets: &Offsets) -> String {
    write_checkpoint(
        offsets.iter().map(|(name, offset)| format!("{} {} {offset}", name.topic, name.partition)),
    )
}

/// The text of `partition.metadata`.
pub(super) fn partition_metadata_text(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// The topic id in `partition.metadata`.
pub(super) fn parse_partition_metadata(text: &str) -> Option<Uuid> {
    let mut lines = text.lines();
    let version = lines.next()?.strip_prefix("version:")?;
    let topic_id = lines.next()?.strip_prefix("topic_id:")?;
    (version.trim() == VERSION).then(|| topic_id.trim().parse().ok())?
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
    use super::*;

    #[test]
    fn offsets_lead_back_and_damage_is_noticed() {
        let offsets: Offsets =
            [("b", 1, 7), ("a-b", 0, i64::MAX)].map(|(t, p, o)| (PartitionName::new(t, p), o)).into();
        let text = offsets_text(&offsets);
        assert_eq!(text, "0\n2\na-b 0 9223372036854775807\nb 1 7\n");
        assert_eq!(parse_offsets(&text), Some(offsets));
        for cut in 0..text.len() - 1 {
            assert_eq!(parse_offsets(&text[..cut]), None, "{:?}", &text[..cut]);
        }
    }

    #[test]
    fn partition_metadata_leads_back() {
        let id = Uuid([9; 16]);
        let text = partition_metadata_text(id);
        assert_eq!(parse_partition_metadata(&text), Some(id));
        for bad in
            ["", "version: 0", "version: 1\ntopic_id: CQkJCQkJCQkJCQkJCQkJCQ", "version: 0\ntopic_id: x"]
        {
            assert_eq!(parse_partition_metadata(bad), None, "{bad:?}");
        }
    }
}
