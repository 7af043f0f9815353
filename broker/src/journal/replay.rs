//! Reading the journal after a crash.
//!
//! The last group may be torn: nobody was told that it is durable, and it is left out. A damaged group *behind which
//! another one stands* was durable, since groups are written one after the other, each only when the one before is
//! synced: that is corruption. If only the payload of a batch is damaged, its log and offsets are known and it may lie
//! whole in its segment, so the reader is told ([`Entry::Lost`]); if the damage hides what was lost, nothing is read.

use std::io;
use std::path::{Path, PathBuf};

use anabranch_host::{Disk, File, HashMap, OpenOptions};
use anabranch_protocol::Uuid;

use super::FILE_NAMES;
use super::format::{
    ALIGNMENT, ENTRY_HEADER_BYTES, EntryHeader, GROUP_HEADER_BYTES, GroupHeader, JournalId, Kind, parse_name,
};
use crate::partition_name::PartitionName;

/// Bytes read at a time in the search for later groups.
const SEARCH_BYTES: u64 = 256 << 10;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Durable entries are damaged, and which is not known.
    #[error("{}: corrupt at byte {position}: {reason}", path.display())]
    Corrupt { path: PathBuf, position: u64, reason: &'static str },
    /// A file was there and is not.
    #[error("{}: it is gone", path.display())]
    Missing { path: PathBuf },
}

/// What the journal says of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// Batches, and where in which segment they belong.
    Append { base_offset: i64, last_offset: i64, segment: i64, position: u32, batches: &'a [u8] },
    /// Batches up to here are synced in their segment.
    Synced { last_offset: i64 },
    /// Batches up to here were durable, but their bytes are damaged here.
    Lost { last_offset: i64 },
    /// The log was cut back to here.
    Truncate { offset: i64 },
    /// The log begins here.
    Start { offset: i64 },
    /// The log was deleted.
    Delete,
}

/// Shows `visit` all entries that may not be in synced segments, oldest first. `file_bytes` is what each of the files had
/// at least when the journal was made; none if it is not known that there is one.
pub(crate) fn replay<E: From<ReplayError>>(
    disk: &Disk,
    directory: &Path,
    file_bytes: Option<u64>,
    mut visit: impl FnMut(&PartitionName, Uuid, Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for generation in needed_generations(disk, directory, file_bytes)? {
        let mut logs = HashMap::default();
        for group in &generation.groups {
            let body = generation.read_body(group)?;
            generation.visit_entries(group, &body, &mut logs, &mut visit)?;
        }
    }
    Ok(())
}

/// Makes durable what the files hold. After the end of a process alone, the newest groups may be in the page cache only;
/// what is done because of them must not outlast them.
pub(crate) async fn sync(disk: &Disk, directory: &Path) -> io::Result<()> {
    for name in FILE_NAMES {
        let path = directory.join(name);
        if disk.exists(&path)? {
            disk.open(&path, OpenOptions::write())?.sync_data().await?;
        }
    }
    disk.sync_dir(directory).await
}

/// Empties the journal's files: all they hold is in synced segments.
pub(crate) async fn reset(disk: &Disk, directory: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for name in FILE_NAMES {
        let path = directory.join(name);
        if disk.exists(&path)? {
            let file = disk.open(&path, OpenOptions::write())?;
            let generation = read_group_header(&file, 0)?.map_or(0, |header| header.generation);
            files.push((generation, file));
        }
    }
    // The newest first: without it the older one is as whole as it was, without the older one the newest is not.
    files.sort_by_key(|(generation, _)| std::cmp::Reverse(*generation));
    for (_, file) in files {
        file.set_len(0)?;
        file.sync_data().await?;
    }
    Ok(())
}

/// One file of the journal.
struct Generation {
    path: PathBuf,
    file: File,
    file_bytes: u64,
    number: u64,
    groups: Vec<Group>,
    /// A group that stands behind a first one that does not verify.
    orphan: Option<GroupHeader>,
}

struct Group {
    position: u64,
    header: GroupHeader,
}

/// What the entries of a group look like.
#[derive(PartialEq, Eq)]
enum Body {
    Whole,
    /// Only payloads of batches are damaged.
    PayloadDamaged,
    Damaged,
}

/// The generations that are not checkpointed, oldest first.
fn needed_generations(
    disk: &Disk,
    directory: &Path,
    file_bytes: Option<u64>,
) -> Result<Vec<Generation>, ReplayError> {
    let mut generations = Vec::new();
    for name in FILE_NAMES {
        let path = directory.join(name);
        let io = |source| ReplayError::Io { path: path.clone(), source };
        if disk.exists(&path).map_err(io)? {
            let generation = Generation::read(disk, path)?;
            if file_bytes.is_some_and(|bytes| generation.file_bytes < bytes) {
                return Err(generation.corrupt(generation.file_bytes, "it is cut off here"));
            }
            generations.push(generation);
        } else if file_bytes.is_some() {
            return Err(ReplayError::Missing { path });
        }
    }
    let groups = || generations.iter().flat_map(|generation: &Generation| &generation.groups);
    let checkpointed = groups().map(|group| group.header.checkpointed).max().unwrap_or(0);
    let newest = groups().map(|group| group.header).max_by_key(|header| header.generation);
    for generation in &generations {
        if generation.orphan.is_some_and(|orphan| orphan.generation > checkpointed) {
            return Err(generation.corrupt(0, "the first group is damaged, but there are others behind it"));
        }
    }
    generations.retain(|generation| !generation.groups.is_empty() && generation.number > checkpointed);
    generations.sort_by_key(|generation| generation.number);
    if let Some(newest) = newest
        && newest.generation > checkpointed + 1
    {
        let before = generations.iter().find(|generation| generation.number + 1 == newest.generation);
        if before.is_none_or(|before| before.groups.len() as u64 != u64::from(newest.previous_groups)) {
            let last = generations.last().expect("the newest is not checkpointed");
            return Err(last.corrupt(0, "the generation before it is not whole"));
        }
    }
    Ok(generations)
}

impl Generation {
    fn read(disk: &Disk, path: PathBuf) -> Result<Generation, ReplayError> {
        let io = |source| ReplayError::Io { path: path.clone(), source };
        let file = disk.open(&path, OpenOptions::read()).map_err(io)?;
        let file_bytes = file.len().map_err(io)?;
        let mut generation =
            Generation { path, file, file_bytes, number: 0, groups: Vec::new(), orphan: None };
        let mut position = 0;
        let mut identity: Option<(JournalId, u64)> = None;
        loop {
            let header = generation.header_at(position)?.filter(|header| {
                let is_next = header.sequence == generation.groups.len() as u64;
                is_next && identity.is_none_or(|identity| identity == (header.journal_id, header.generation))
            });
            let body = match &header {
                Some(header) => generation.check_body(position, header)?,
                None => Body::Damaged,
            };
            if let Some(header) = header {
                identity = Some((header.journal_id, header.generation));
                generation.number = header.generation;
            }
            if body != Body::Whole {
                let later = generation.later_group(position + ALIGNMENT, identity)?;
                match (later, body, &identity) {
                    (None, ..) => break,
                    (Some(_), Body::PayloadDamaged, _) => {}
                    (Some(later), _, None) => {
                        generation.orphan = Some(later);
                        break;
                    }
                    (Some(_), _, Some(_)) => {
                        return Err(generation.corrupt(position, "a group that was durable is damaged"));
                    }
                }
            }
            let Some(header) = header else { break };
            generation.groups.push(Group { position, header });
            position += header.padded_bytes();
        }
        Ok(generation)
    }

    fn corrupt(&self, position: u64, reason: &'static str) -> ReplayError {
        ReplayError::Corrupt { path: self.path.clone(), position, reason }
    }

    fn io(&self) -> impl FnOnce(io::Error) -> ReplayError {
        let path = self.path.clone();
        move |source| ReplayError::Io { path, source }
    }

    fn header_at(&self, position: u64) -> Result<Option<GroupHeader>, ReplayError> {
        read_group_header(&self.file, position).map_err(self.io())
    }

    /// A group behind `from` that proves those before it to have been durable: one of the same generation, or of any if
    /// that is not known.
    fn later_group(
        &self,
        from: u64,
        of: Option<(JournalId, u64)>,
    ) -> Result<Option<GroupHeader>, ReplayError> {
        let mut buffer = vec![0; SEARCH_BYTES as usize];
        let mut position = from;
        while position < self.file_bytes {
            let read = self.file.read_at(&mut buffer, position).map_err(self.io())?;
            for sector in buffer[..read].chunks(ALIGNMENT as usize) {
                if let Some(header) = GroupHeader::parse(sector)
                    && of.is_none_or(|of| of == (header.journal_id, header.generation))
                {
                    return Ok(Some(header));
                }
            }
            position += SEARCH_BYTES;
        }
        Ok(None)
    }

    fn read_body(&self, group: &Group) -> Result<Vec<u8>, ReplayError> {
        let mut body = vec![0; group.header.length as usize];
        self.file.read_exact_at(&mut body, group.position + GROUP_HEADER_BYTES as u64).map_err(self.io())?;
        Ok(body)
    }

    fn check_body(&self, position: u64, header: &GroupHeader) -> Result<Body, ReplayError> {
        let end = position + GROUP_HEADER_BYTES as u64 + u64::from(header.length);
        if end > self.file_bytes {
            return Ok(Body::Damaged);
        }
        let body = self.read_body(&Group { position, header: *header })?;
        let mut rest = body.as_slice();
        let mut outcome = Body::Whole;
        for _ in 0..header.count {
            let Some((entry, payload)) = take_entry(&mut rest) else { return Ok(Body::Damaged) };
            if crc_fast::crc32_iscsi(payload) != entry.payload_crc {
                match entry.kind {
                    Kind::Append => outcome = Body::PayloadDamaged,
                    _ => return Ok(Body::Damaged),
                }
            }
        }
        Ok(if rest.is_empty() { outcome } else { Body::Damaged })
    }

    fn visit_entries<E: From<ReplayError>>(
        &self,
        group: &Group,
        body: &[u8],
        logs: &mut HashMap<u32, (PartitionName, Uuid)>,
        visit: &mut impl FnMut(&PartitionName, Uuid, Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = body;
        while let Some((entry, payload)) = take_entry(&mut rest) {
            let last_offset = entry.last_offset;
            let said = match entry.kind {
                Kind::Register => {
                    let name = parse_name(payload)
                        .ok_or_else(|| self.corrupt(group.position, "an entry does not name a log"))?;
                    logs.insert(entry.log, name);
                    continue;
                }
                Kind::Append if crc_fast::crc32_iscsi(payload) != entry.payload_crc => {
                    Entry::Lost { last_offset }
                }
                Kind::Append => Entry::Append {
                    base_offset: entry.base_offset,
                    last_offset,
                    segment: entry.segment,
                    position: entry.position,
                    batches: payload,
                },
                Kind::Synced => Entry::Synced { last_offset },
                Kind::Truncate => Entry::Truncate { offset: entry.base_offset },
                Kind::Start => Entry::Start { offset: entry.base_offset },
                Kind::Delete => Entry::Delete,
            };
            let (name, topic_id) = logs
                .get(&entry.log)
                .ok_or_else(|| self.corrupt(group.position, "an entry speaks of a log without a name"))?;
            visit(name, *topic_id, said)?;
        }
        Ok(())
    }
}

/// Takes an entry and its payload off the front.
fn take_entry<'a>(rest: &mut &'a [u8]) -> Option<(EntryHeader, &'a [u8])> {
    let header = EntryHeader::parse(rest)?;
    let (payload, after) = rest[ENTRY_HEADER_BYTES..].split_at_checked(header.payload_length as usize)?;
    *rest = after;
    Some((header, payload))
}

/// The group that begins at `position`, if one does.
fn read_group_header(file: &File, position: u64) -> io::Result<Option<GroupHeader>> {
    let mut bytes = [0; GROUP_HEADER_BYTES];
    let read = file.read_at(&mut bytes, position)?;
    Ok(GroupHeader::parse(&bytes[..read]))
}
