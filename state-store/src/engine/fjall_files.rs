//! fjall's files, looked at before fjall opens them: damage with which it would go on, and show rows that are not all, is
//! told.
//!
//! ```text
//!   <id>.jnl                 batches, then nothing or zeros; the newest takes what is written, the others are sealed
//!     batch:                 1 | items u32 | seqno u64 | items | 3 | xxh3 of the items u64 | "FJL" 3
//!     item:                  2 | kind | 0 | keyspace u64 | key length u16 | value length u32, twice | key | value
//!       or                   4 | keyspace u64
//!   keyspaces/<id>/tables/   its tables
//!   keyspaces/<id>/v<n>      which of them count
//!   keyspaces/<id>/current   n u64 | xxh3, 128 bits, of v<n> | 0
//! ```
//! Integers are little-endian.
//!
//! - A journal that is gone would not be missed.
//! - A sealed journal would be cut where it is damaged, and newer ones replayed on top of it.
//! - A keyspace without `current` would be taken for one that was never finished, and removed. Then the journal would bring
//!   back its newest rows, or in time its old ones.
//! - A keyspace that is gone as a whole would not be missed. fjall would go on to know its number by its name, and replay
//!   what the journal has of it over a new one of that name. So which ones were dropped is noted.
//! - Chunks of a store that are gone would not be missed. So its head, which every chunk writes, has the chunk's number.
//! - `v<n>` is not checked against its checksum, nor the order of batches.
//!
//! Only the newest journal may end anywhere: that is what a crash leaves. It is cut where its last whole batch ends. If
//! tables hold what it does not have any more, it was no crash: fjall makes a journal durable before a table.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use anabranch_host::{Disk, File, OpenOptions};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::encoding::HEAD_BYTES;

/// How names of journals end: there is always one.
const JOURNAL: &str = ".jnl";
/// The folder of keyspaces, a folder each; in it that of its tables, and the file that names the version that counts.
const KEYSPACES: &str = "keyspaces";
const TABLES: &str = "tables";
const CURRENT: &str = "current";
const CURRENT_BYTES: usize = 25;

/// The key of a store's head.
pub(super) const HEAD: u8 = 0;
/// The number of a store's first chunk.
pub(super) const FIRST_CHUNK: u64 = 1;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const START_BYTES: usize = 13;
const ITEM_BYTES: usize = 21;
const CLEAR_BYTES: usize = 9;
const END_BYTES: usize = 13;
const TRAILER: &[u8] = b"FJL\x03";
/// No number of a batch is as high.
const SEQNO_LIMIT: u64 = 1 << 62;
/// How long a journal is made.
const NEW_JOURNAL_BYTES: u64 = 64 << 20;
const BUFFER_BYTES: usize = 1 << 20;

/// What the journals have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// How far they reach.
    pub(super) reach: Reach,
    /// The first batch of each keyspace that has tables too, with the number of its chunk: tables have what was before.
    pub(super) first: BTreeMap<u64, (u64, u64)>,
    /// Keyspaces that they write to and that were dropped.
    pub(super) removed: BTreeSet<u64>,
}

/// How far the journals reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// To the batch of this number, or to none: tables hold nothing newer.
    To(Option<u64>),
    /// A journal was just begun: nothing is known.
    #[default]
    Unknown,
}

/// A keyspace's chunk in a batch; none says that it has no number.
type Chunks = BTreeMap<u64, Option<u64>>;

/// The number of the chunk that has written a head; none if chunks had none then.
pub(super) fn chunk_number(head: &[u8]) -> Option<u64> {
    head.get(HEAD_BYTES..).and_then(|number| number.first_chunk()).map(|number| u64::from_be_bytes(*number))
}

/// Looks at the files of a database, and cuts off what a crash has left of a batch. Says what the journals have, or
/// what is damaged. Nothing is missed of the folder of a keyspace that is being dropped.
pub(super) fn inspect(
    disk: &Disk,
    database: &Path,
    is_dropped: impl Fn(&str) -> io::Result<bool>,
) -> io::Result<Result<Found, String>> {
    if !disk.exists(database)? || disk.read_dir(database)?.is_empty() {
        return Ok(Ok(Found::default()));
    }
    let keyspaces = match keyspaces(disk, &database.join(KEYSPACES), &is_dropped)? {
        Ok(keyspaces) => keyspaces,
        Err(damage) => return Ok(Err(damage)),
    };
    let journals = match journals(disk, database)? {
        Ok(journals) => journals,
        Err(damage) => return Ok(Err(damage)),
    };
    let mut last = None;
    let mut is_fresh = false;
    let (mut first, mut next) = (BTreeMap::new(), BTreeMap::new());
    let mut removed = BTreeSet::new();
    for (index, id) in journals.iter().enumerate() {
        let path = database.join(format!("{id}{JOURNAL}"));
        let mut journal = Journal::open(disk, &path)?;
        let mut end = 0;
        let mut written = Chunks::new();
        while let Some((seqno, after)) = journal.batch(end, &mut written)? {
            for (keyspace, chunk) in std::mem::take(&mut written) {
                if keyspaces.unfinished.contains(&keyspace) {
                    return Ok(Err(format!("keyspace {keyspace} was written to, and has no `{CURRENT}`")));
                }
                let Some(has_tables) = keyspaces.finished.get(&keyspace) else {
                    if !is_dropped(&keyspace.to_string())? {
                        return Ok(Err(format!("keyspace {keyspace} was written to, and is gone")));
                    }
                    // The numbers of its batches may have been given to others since.
                    removed.insert(keyspace);
                    continue;
                };
                if last >= Some(seqno) {
                    return Ok(Err(format!("the batches of journal {id} are out of order at byte {end}")));
                }
                last = Some(seqno);
                // One that was written before chunks had numbers.
                let Some(chunk) = chunk else { continue };
                let expected = next.insert(keyspace, chunk + 1);
                if expected.is_none() && *has_tables {
                    first.insert(keyspace, (seqno, chunk));
                } else if expected.unwrap_or(FIRST_CHUNK) != chunk {
                    return Ok(Err(format!("chunks of keyspace {keyspace} before {chunk} are gone")));
                }
            }
            end = after;
        }
        if index + 1 < journals.len() {
            if !journal.is_zero_from(end)? {
                return Ok(Err(format!("journal {id} is sealed and damaged at byte {end}")));
            }
        } else if end == 0 && journal.length >= NEW_JOURNAL_BYTES && journal.is_zero_from(0)? {
            is_fresh = true;
        } else if end < journal.length {
            let file = disk.open(&path, OpenOptions::write())?;
            file.set_len(end)?;
            file.sync_now()?;
        }
    }
    let reach = if is_fresh { Reach::Unknown } else { Reach::To(last) };
    Ok(Ok(Found { reach, first, removed }))
}

/// The folders of keyspaces, by their numbers.
#[derive(Default)]
struct Keyspaces {
    /// Each with whether it has tables.
    finished: BTreeMap<u64, bool>,
    /// Those that a crash may have left while they were made, or removed.
    unfinished: BTreeSet<u64>,
}

fn keyspaces(
    disk: &Disk,
    folder: &Path,
    is_dropped: impl Fn(&str) -> io::Result<bool>,
) -> io::Result<Result<Keyspaces, String>> {
    let mut found = Keyspaces::default();
    let list = |path: &Path| if disk.exists(path)? { disk.read_dir(path) } else { Ok(Vec::new()) };
    for entry in list(folder)?.into_iter().filter(|entry| entry.is_dir) {
        let Ok(id) = entry.name.parse() else {
            return Ok(Err(format!("{} is no keyspace", entry.name)));
        };
        let path = folder.join(&entry.name);
        let has_tables = !list(&path.join(TABLES))?.is_empty();
        if !disk.exists(&path.join(CURRENT))? {
            if is_dropped(&entry.name)? {
                continue;
            }
            if has_tables {
                let damage = format!("keyspace {id} has tables, and nothing says which of them count");
                return Ok(Err(damage));
            }
            found.unfinished.insert(id);
            continue;
        }
        let current = disk.read(&path.join(CURRENT))?;
        let damaged = || Ok(Err(format!("what says which tables of keyspace {id} count is damaged")));
        if current.len() != CURRENT_BYTES {
            return damaged();
        }
        let (Some(version), Some(checksum)) = (current.first_chunk(), current[8..].first_chunk()) else {
            return damaged();
        };
        let version = path.join(format!("v{}", u64::from_le_bytes(*version)));
        if !disk.exists(&version)? || xxh3_128(&disk.read(&version)?) != u128::from_le_bytes(*checksum) {
            return damaged();
        }
        found.finished.insert(id, has_tables);
    }
    Ok(Ok(found))
}

/// The oldest journal and the newest.
pub(super) fn journal_span(disk: &Disk, database: &Path) -> io::Result<(u64, u64)> {
    let journals = journals(disk, database)?.unwrap_or_default();
    Ok((journals.first().copied().unwrap_or(0), journals.last().copied().unwrap_or(u64::MAX)))
}

/// The numbers of the journals, oldest first.
fn journals(disk: &Disk, database: &Path) -> io::Result<Result<Vec<u64>, String>> {
    let mut ids: Vec<u64> = Vec::new();
    for entry in disk.read_dir(database)? {
        if let Some(id) = entry.name.strip_suffix(JOURNAL) {
            match id.parse() {
                Ok(id) => ids.push(id),
                Err(_) => return Ok(Err(format!("{} is no journal", entry.name))),
            }
        }
    }
    ids.sort_unstable();
    if ids.is_empty() {
        return Ok(Err("its journal is gone".to_owned()));
    }
    // The oldest go first.
    match ids.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        Some(pair) => Ok(Err(format!("journal {} is gone", pair[0] + 1))),
        None => Ok(Ok(ids)),
    }
}

/// A journal that is read from its beginning to its end.
struct Journal {
    file: File,
    length: u64,
    buffer: Vec<u8>,
    /// Where the buffer begins.
    start: u64,
}

impl Journal {
    fn open(disk: &Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open(path, OpenOptions::read())?;
        Ok(Journal { length: file.len()?, file, buffer: Vec::new(), start: 0 })
    }

    /// So many bytes from `at`; none if the file ends before.
    fn bytes(&mut self, at: u64, count: usize) -> io::Result<Option<&[u8]>> {
        let end = at + count as u64;
        if end > self.length {
            return Ok(None);
        }
        if at < self.start || end > self.start + self.buffer.len() as u64 {
            let left = usize::try_from(self.length - at).unwrap_or(usize::MAX);
            self.buffer.resize(count.max(BUFFER_BYTES).min(left), 0);
            self.file.read_exact_at(&mut self.buffer, at)?;
            self.start = at;
        }
        let from = (at - self.start) as usize;
        Ok(Some(&self.buffer[from..from + count]))
    }

    fn tag(&mut self, at: u64) -> io::Result<Option<u8>> {
        Ok(self.bytes(at, 1)?.map(|bytes| bytes[0]))
    }

    /// The number of the batch at `at` and where it ends, if there is a whole and sound one; `chunks` gets what it writes
    /// to.
    fn batch(&mut self, at: u64, chunks: &mut Chunks) -> io::Result<Option<(u64, u64)>> {
        let Some(start) = self.bytes(at, START_BYTES)? else { return Ok(None) };
        if start[0] != START {
            return Ok(None);
        }
        let (items, seqno) = (u32_at(start, 1), u64_at(start, 5));
        if seqno >= SEQNO_LIMIT {
            return Ok(None);
        }
        let mut at = at + START_BYTES as u64;
        let mut checksum = Xxh3::new();
        for _ in 0..items {
            let length = match self.tag(at)? {
                Some(CLEAR) => CLEAR_BYTES,
                Some(ITEM) => {
                    let Some(head) = self.bytes(at, ITEM_BYTES)? else { return Ok(None) };
                    let (kind, compression) = (head[1], head[2]);
                    let (key, value) = (usize::from(u16_at(head, 11)), u32_at(head, 13));
                    if kind > 2 || compression != 0 || u32_at(head, 17) != value {
                        return Ok(None);
                    }
                    ITEM_BYTES + key + value as usize
                }
                _ => return Ok(None),
            };
            let Some(item) = self.bytes(at, length)? else { return Ok(None) };
            checksum.update(item);
            let chunk = chunks.entry(u64_at(item, if item[0] == CLEAR { 1 } else { 3 })).or_default();
            if let (ITEM, Some([HEAD, head @ ..])) = (item[0], item.get(ITEM_BYTES..)) {
                let is_head = u16_at(item, 11) == 1;
                *chunk = is_head.then(|| chunk_number(head)).flatten().or(*chunk);
            }
            at += length as u64;
        }
        let Some(end) = self.bytes(at, END_BYTES)? else { return Ok(None) };
        let is_sound = end[0] == END && u64_at(end, 1) == checksum.digest() && end.ends_with(TRAILER);
        Ok(is_sound.then_some((seqno, at + END_BYTES as u64)))
    }

    /// Whether nothing but zeros, or nothing at all, follows.
    fn is_zero_from(&mut self, mut at: u64) -> io::Result<bool> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while at < self.length {
            let count = ZEROS.len().min(usize::try_from(self.length - at).unwrap_or(usize::MAX));
            if self.bytes(at, count)?.is_none_or(|bytes| bytes != &ZEROS[..count]) {
                return Ok(false);
            }
            at += count as u64;
        }
        Ok(true)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes[at..].first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Where the batches of a journal end.
#[cfg(test)]
pub(super) fn batch_ends(disk: &Disk, path: &Path) -> Vec<u64> {
    let mut journal = Journal::open(disk, path).expect("there");
    let mut ends = Vec::new();
    let mut at = 0;
    while let Some((_, end)) = journal.batch(at, &mut Chunks::new()).expect("read") {
        ends.push(end);
        at = end;
    }
    ends
}
