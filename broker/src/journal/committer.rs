//! The task that makes queued entries durable, one group and one sync at a time.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::format::{
    ALIGNMENT, ENTRY_HEADER_BYTES, EntryHeader, GROUP_HEADER_BYTES, GroupHeader, JournalId, Kind, write_name,
};
use super::{Durability, FILE_NAMES, Journal, Queued};
use crate::config::Flush;
use anabranch_host::{File, OpenOptions};

/// Payload bytes of one group, unless a single entry is larger. Recovery reads a group at a time.
const MAX_GROUP_BYTES: usize = 16 << 20;

/// Owns the journal's files. Ends when the journal is closed and all is durable, or when the disk fails.
#[derive(Debug)]
pub(crate) struct Committer {
    journal: Journal,
    /// None with `flush=os`: there is nothing to write.
    files: Option<[File; 2]>,
    journal_id: JournalId,
    generation: u64,
    /// Groups in this generation.
    sequence: u64,
    /// Groups in the one before.
    previous_groups: u32,
    /// Logs registered in this generation.
    logs: u32,
    position: u64,
    /// What the last durable group said is checkpointed.
    declared: u64,
    /// The group at hand without the batches; kept for its memory.
    arena: Vec<u8>,
    /// Where in the arena each batch belongs.
    cuts: Vec<usize>,
}

impl Committer {
    pub(super) async fn new(journal: Journal) -> io::Result<Committer> {
        let shared = &journal.shared;
        let files = match shared.flush {
            Flush::Os => None,
            Flush::Commit => {
                let open = |name| {
                    let file = shared.disk.open(&shared.directory.join(name), OpenOptions::create())?;
                    // Space of its own, so that a full disk does not stop what is under way.
                    file.allocate(shared.file_bytes)?;
                    Ok::<_, io::Error>(file)
                };
                let files = [open(FILE_NAMES[0])?, open(FILE_NAMES[1])?];
                for file in &files {
                    file.sync_data().await?;
                }
                shared.disk.sync_dir(&shared.directory).await?;
                Some(files)
            }
        };
        let journal_id = shared.host.random_uuid();
        Ok(Committer {
            journal,
            files,
            journal_id,
            generation: 1,
            sequence: 0,
            previous_groups: 0,
            logs: 0,
            position: 0,
            declared: 0,
            arena: Vec::new(),
            cuts: Vec::new(),
        })
    }

    /// Runs until the journal is closed or the disk fails.
    pub(crate) async fn run(mut self) {
        let mut entries = Vec::new();
        loop {
            let is_closing = {
                let mut queue = self.journal.shared.queue.lock();
                std::mem::swap(&mut entries, &mut queue.entries);
                queue.is_closing
            };
            if self.journal.check_online().is_err() {
                return;
            }
            if entries.is_empty() {
                if is_closing {
                    return;
                }
                self.journal.shared.queued.notified().await;
                continue;
            }
            let mut rest = entries.as_slice();
            while !rest.is_empty() {
                let (group, after) = rest.split_at(group_length(rest));
                if let Err(error) = self.commit(group).await {
                    self.journal.fail("the journal cannot be synced", &error);
                    return;
                }
                rest = after;
            }
            entries.clear();
        }
    }

    /// Makes the entries durable and tells those who wait.
    async fn commit(&mut self, group: &[Queued]) -> io::Result<()> {
        if let Some(files) = self.files.clone() {
            self.maybe_rotate(group);
            let header = self.lay_out(group)?;
            let file = &files[(self.generation % 2) as usize];
            let mut slices = self.slices(group);
            file.write_all_vectored_at(&mut slices, self.position)?;
            let shared = &self.journal.shared;
            let began = shared.host.now();
            file.sync_data().await?;
            shared.sync_times.observe(shared.host.now() - began);
            self.position += header.padded_bytes();
            self.sequence += 1;
            self.declared = header.checkpointed;
        }
        for entry in group {
            match entry.kind {
                Kind::Append => entry.log.watermark().advance(entry.last_offset + 1),
                Kind::Start => entry.log.start_is_durable(entry.base_offset),
                Kind::Delete => self.journal.leave(&entry.log),
                _ => {}
            }
        }
        let committed = &self.journal.shared.committed;
        committed.advance(committed.value() + group.len() as i64);
        Ok(())
    }

    /// Goes on in the other file if this one is full and the other may be overwritten; grows if not.
    fn maybe_rotate(&mut self, group: &[Queued]) {
        let bytes: usize = group.iter().map(entry_bytes).sum();
        let is_full = self.position + bytes as u64 > self.journal.shared.file_bytes;
        // Not what is checkpointed counts, but what the journal durably says is: after a crash right now, recovery
        // must know that it need not look for what the other file held.
        if !is_full || self.sequence == 0 || self.declared + 1 < self.generation {
            return;
        }
        self.journal.shared.closed.store(self.generation, Ordering::Release);
        self.journal.shared.to_sync.notify_one();
        self.generation += 1;
        self.previous_groups = u32::try_from(self.sequence).unwrap_or(u32::MAX);
        self.sequence = 0;
        self.position = 0;
        self.logs = 0;
    }

    /// Fills the arena with all of the group but the payloads of batches, in the order of the file.
    fn lay_out(&mut self, group: &[Queued]) -> io::Result<GroupHeader> {
        self.cuts.clear();
        self.arena.clear();
        self.arena.resize(GROUP_HEADER_BYTES, 0);
        let (mut length, mut count) = (0, 0);
        for entry in group {
            let number = match entry.log.number_in(self.generation) {
                Some(number) => number,
                None => {
                    length += self.register(&entry.log);
                    count += 1;
                    self.logs
                }
            };
            let mut header = EntryHeader::new(entry.kind, number);
            header.base_offset = entry.base_offset;
            header.last_offset = entry.last_offset;
            header.segment = entry.segment;
            header.position = entry.position;
            if entry.kind == Kind::Append {
                let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
                digest.update(&entry.head);
                digest.update(&entry.rest);
                header.payload_crc = digest.finalize() as u32;
                header.payload_length = (entry.head.len() + entry.rest.len()) as u32;
            }
            self.push_header(&header);
            if entry.kind == Kind::Append {
                self.arena.extend_from_slice(&entry.head);
                self.cuts.push(self.arena.len());
            }
            length += ENTRY_HEADER_BYTES + header.payload_length as usize;
            count += 1;
        }
        let header = GroupHeader {
            journal_id: self.journal_id,
            generation: self.generation,
            sequence: self.sequence,
            checkpointed: self.journal.shared.checkpointed.load(Ordering::Acquire),
            length: u32::try_from(length).map_err(io::Error::other)?,
            count,
            previous_groups: self.previous_groups,
        };
        header.write(self.arena.first_chunk_mut().expect("the arena begins with room for it"));
        // Padding up to the next group, so that no stale bytes stand between the two.
        let padding = header.padded_bytes() - GROUP_HEADER_BYTES as u64 - length as u64;
        debug_assert!(padding < ALIGNMENT);
        self.arena.resize(self.arena.len() + padding as usize, 0);
        Ok(header)
    }

    /// Adds the entry that names a log, and returns its bytes.
    fn register(&mut self, log: &Arc<Durability>) -> usize {
        self.logs += 1;
        log.register(self.generation, self.logs);
        let mut name = Vec::new();
        write_name(log.name(), log.topic_id(), &mut name);
        let mut header = EntryHeader::new(Kind::Register, self.logs);
        header.payload_length = name.len() as u32;
        header.payload_crc = crc_fast::crc32_iscsi(&name);
        self.push_header(&header);
        self.arena.extend_from_slice(&name);
        ENTRY_HEADER_BYTES + name.len()
    }

    fn push_header(&mut self, header: &EntryHeader) {
        let mut bytes = [0; ENTRY_HEADER_BYTES];
        header.write(&mut bytes);
        self.arena.extend_from_slice(&bytes);
    }

    /// The pieces of a group in the order of the file: runs of the arena, and the batches between them.
    fn slices<'a>(&'a self, group: &'a [Queued]) -> Vec<IoSlice<'a>> {
        let mut slices = Vec::with_capacity(2 * self.cuts.len() + 1);
        let mut from = 0;
        let batches = group.iter().filter(|entry| entry.kind == Kind::Append);
        for (batch, cut) in batches.zip(&self.cuts) {
            slices.push(IoSlice::new(&self.arena[from..*cut]));
            slices.push(IoSlice::new(&batch.rest));
            from = *cut;
        }
        slices.push(IoSlice::new(&self.arena[from..]));
        slices
    }
}

fn entry_bytes(entry: &Queued) -> usize {
    ENTRY_HEADER_BYTES + entry.head.len() + entry.rest.len()
}

/// How many of the entries make the next group.
fn group_length(entries: &[Queued]) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&Queued| {
        bytes += entry_bytes(entry);
        bytes <= MAX_GROUP_BYTES
    };
    entries.iter().take_while(fits).count().max(1)
}
