//! An engine of one file on the host's disk: what a simulation has in place of fjall, whose files it cannot see.
//!
//! ```text
//!   <directory>/.lock      held as long as the engine is open
//!   <directory>/loading/   rows on their way into a store (`scratch`)
//!   <directory>/journal    frames:  length of the payload u32 | checksum of the payload u64 | payload
//!   payload                0 or 1: a store is written or dropped | its name | and if it is written:
//!                          0 or 1: a checkpoint follows | offset i64 | wall clock i64 | rows
//!   row                    key | 0 or 1: a row follows | row (see `encoding`)
//!   name, key, row         length u32 | bytes                                          (integers are big-endian)
//! ```
//!
//! It fails as fjall does: a frame that the end of the file cuts short was being written when the power went, and is
//! forgotten; any other that does not match its checksum is damage; a write or sync that has failed leaves an engine that
//! takes nothing more until it is opened again. Memory has where each row lies, and the file is read for it, so damage is
//! also met while the engine is open. Nothing is ever written over, so the file only grows.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use anabranch_host::{DirectoryLock, Disk, File, OpenOptions};
use parking_lot::Mutex;

use super::encoding::{decode_into, encode_row};
use super::scratch::{Scratch, ScratchFile};
use super::{
    ChunkRows, Engine, EngineScan, EngineSnapshot, EngineStore, KEY_LIMIT_BYTES, check_name, engine_error,
    lock_directory,
};
use crate::error::{Error, Result};
use crate::row::{Checkpoint, RowBuffer};
use crate::table::ordered::{KeyRange, Order};

const NAME: &str = "journal";
const FRAME_HEAD_BYTES: usize = 12;
const WRITTEN: u8 = 0;
const DROPPED: u8 = 1;
/// Frames after which the file is synced, as fjall does now and then.
const SYNC_EVERY: u64 = 16;

/// An engine on a simulated disk. A clone is the same engine.
#[derive(Clone, Debug)]
pub struct JournalEngine {
    open: Arc<OpenJournal>,
}

#[derive(Debug)]
struct OpenJournal {
    file: File,
    state: Mutex<State>,
    scratch: Scratch,
    _lock: DirectoryLock,
}

#[derive(Debug, Default)]
struct State {
    stores: BTreeMap<String, Stored>,
    end: u64,
    frames: u64,
    /// A write or a sync has failed: nobody knows what the file has.
    failed: bool,
}

#[derive(Clone, Debug, Default)]
struct Stored {
    rows: Arc<BTreeMap<Vec<u8>, Place>>,
    checkpoint: Option<Checkpoint>,
}

/// Where a row lies in the file.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    length: usize,
    checksum: u64,
}

/// FNV-1a: no flip of a single bit stays unseen.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl JournalEngine {
    /// Opens the engine in a directory of its own, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Locked`] if another instance has it open, an error if it is corrupt, or the disk's.
    pub fn open(disk: &Disk, directory: &Path) -> Result<Self> {
        let failed = |source: io::Error| failed("to open the directory", source);
        let lock = lock_directory(NAME, disk, directory)?;
        let file = disk.open(&directory.join("journal"), OpenOptions::create()).map_err(failed)?;
        let length = usize::try_from(file.len().map_err(failed)?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        let mut state = State::default();
        state.read(&bytes).ok_or_else(|| Error::CorruptEngine {
            directory: directory.to_owned(),
            detail: format!("the frame at {} does not match its checksum", state.end),
        })?;
        file.set_len(state.end).map_err(failed)?;
        let scratch = Scratch::open(disk, directory).map_err(failed)?;
        let open = OpenJournal { file, state: Mutex::new(state), scratch, _lock: lock };
        Ok(JournalEngine { open: Arc::new(open) })
    }

    /// Appends a frame and follows it.
    fn append(&self, payload: &[u8]) -> Result<()> {
        let mut state = self.open.state.lock();
        if state.failed {
            return Err(failed("to write after a write has failed", io::ErrorKind::Other.into()));
        }
        let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
        put_bytes(&mut frame, &checksum(payload).to_be_bytes(), payload);
        let mut written = self.open.file.write_all_at(&frame, state.end);
        state.frames += 1;
        if written.is_ok() && state.frames.is_multiple_of(SYNC_EVERY) {
            written = self.open.file.sync_now();
        }
        if let Err(error) = written {
            state.failed = true;
            return Err(failed("to write a chunk", error));
        }
        let at = state.end + FRAME_HEAD_BYTES as u64;
        state.end = at + payload.len() as u64;
        // What was just written is well formed.
        let _ = state.apply(payload, at);
        Ok(())
    }

    fn stored(&self, name: &str) -> Stored {
        self.open.state.lock().stores.get(name).cloned().unwrap_or_default()
    }

    fn read(&self, store: &str, place: Place, row: &mut RowBuffer) -> Result<()> {
        let mut bytes = vec![0; place.length];
        let read = self.open.file.read_exact_at(&mut bytes, place.offset);
        read.map_err(|error| failed("to read a row", error))?;
        if checksum(&bytes) != place.checksum {
            return Err(Error::corrupt_store(store, "a row does not match its checksum"));
        }
        decode_into(store, &bytes, row)
    }
}

impl State {
    /// Reads all frames that are whole; none if one is damaged.
    fn read(&mut self, bytes: &[u8]) -> Option<()> {
        let mut rest = bytes;
        while let Some((length, behind)) = rest.split_first_chunk()
            && let Some((expected, behind)) = behind.split_first_chunk()
            && let Some((payload, behind)) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)
        {
            if checksum(payload) != u64::from_be_bytes(*expected) {
                return None;
            }
            self.apply(payload, self.end + FRAME_HEAD_BYTES as u64)?;
            self.end += (FRAME_HEAD_BYTES + payload.len()) as u64;
            rest = behind;
        }
        Some(())
    }

    /// Follows the payload that lies at an offset of the file; none if it is none.
    fn apply(&mut self, payload: &[u8], at: u64) -> Option<()> {
        let mut rest = payload;
        let kind = take::<1>(&mut rest)?;
        let name = std::str::from_utf8(take_bytes(&mut rest)?).ok()?;
        if kind == [DROPPED] {
            self.stores.remove(name);
            return Some(());
        }
        let has_checkpoint = take::<1>(&mut rest)? == [1];
        let (offset, wall_clock_ms) = (take::<8>(&mut rest)?, take::<8>(&mut rest)?);
        let store = self.stores.entry(name.to_owned()).or_default();
        if has_checkpoint {
            let (offset, wall_clock_ms) = (i64::from_be_bytes(offset), i64::from_be_bytes(wall_clock_ms));
            store.checkpoint = Some(Checkpoint { offset, wall_clock_ms });
        }
        let rows = Arc::make_mut(&mut store.rows);
        while !rest.is_empty() {
            let key = take_bytes(&mut rest)?;
            if take::<1>(&mut rest)? == [0] {
                rows.remove(key);
                continue;
            }
            let row = take_bytes(&mut rest)?;
            let offset = at + (payload.len() - rest.len() - row.len()) as u64;
            rows.insert(key.to_vec(), Place { offset, length: row.len(), checksum: checksum(row) });
        }
        Some(())
    }
}

/// A length, something fixed, and the bytes.
fn put_bytes(out: &mut Vec<u8>, between: &[u8], bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(between);
    out.extend_from_slice(bytes);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_be_bytes(take(rest)?) as usize;
    let (taken, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(taken)
}

fn failed(action: &'static str, error: io::Error) -> Error {
    engine_error(NAME, action)(error.into())
}

impl Engine for JournalEngine {
    fn open_store(&self, name: &str) -> Result<Box<dyn EngineStore>> {
        check_name(name)?;
        Ok(Box::new(JournalStore { engine: self.clone(), name: name.into() }))
    }

    fn drop_store(&self, name: &str) -> Result<()> {
        if !self.open.state.lock().stores.contains_key(name) {
            return Ok(());
        }
        let mut payload = vec![DROPPED];
        put_bytes(&mut payload, &[], name.as_bytes());
        self.append(&payload)
    }

    fn store_names(&self) -> Result<Vec<String>> {
        Ok(self.open.state.lock().stores.keys().cloned().collect())
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.open.state.lock();
        let synced = match state.failed {
            true => Err(io::ErrorKind::Other.into()),
            false => self.open.file.sync_now(),
        };
        state.failed = synced.is_err();
        synced.map_err(|error| failed("to sync", error))
    }
}

#[derive(Debug)]
struct JournalStore {
    engine: JournalEngine,
    name: Arc<str>,
}

impl EngineStore for JournalStore {
    fn engine(&self) -> &'static str {
        NAME
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn key_limit_bytes(&self) -> usize {
        KEY_LIMIT_BYTES
    }

    fn is_empty(&self) -> Result<bool> {
        Ok(self.engine.stored(&self.name).rows.is_empty())
    }

    fn approximate_rows(&self) -> Result<u64> {
        Ok(self.engine.stored(&self.name).rows.len() as u64)
    }

    fn get(&self, key: &[u8], row: &mut RowBuffer) -> Result<bool> {
        match self.engine.stored(&self.name).rows.get(key) {
            None => Ok(false),
            Some(place) => self.engine.read(&self.name, *place, row).map(|()| true),
        }
    }

    fn snapshot(&self) -> Result<Box<dyn EngineSnapshot>> {
        let rows = self.engine.stored(&self.name).rows;
        Ok(Box::new(JournalSnapshot { engine: self.engine.clone(), name: Arc::clone(&self.name), rows }))
    }

    fn write(&mut self, rows: &mut ChunkRows<'_, '_>, checkpoint: Option<Checkpoint>) -> Result<()> {
        let mut payload = vec![WRITTEN];
        put_bytes(&mut payload, &[], self.name.as_bytes());
        payload.push(u8::from(checkpoint.is_some()));
        let Checkpoint { offset, wall_clock_ms } =
            checkpoint.unwrap_or(Checkpoint { offset: 0, wall_clock_ms: 0 });
        payload.extend_from_slice(&offset.to_be_bytes());
        payload.extend_from_slice(&wall_clock_ms.to_be_bytes());
        let mut encoded = Vec::new();
        for (key, row) in rows {
            put_bytes(&mut payload, &[], key);
            payload.push(u8::from(row.is_some()));
            if let Some(row) = row {
                encoded.clear();
                encode_row(row, &mut encoded);
                put_bytes(&mut payload, &[], &encoded);
            }
        }
        self.engine.append(&payload)
    }

    fn scratch_file(&self) -> Result<Option<ScratchFile>> {
        let file = self.engine.open.scratch.file().map(Some);
        file.map_err(|error| failed("to make a file for rows that are put aside", error))
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        Ok(self.engine.stored(&self.name).checkpoint)
    }
}

#[derive(Debug)]
struct JournalSnapshot {
    engine: JournalEngine,
    name: Arc<str>,
    rows: Arc<BTreeMap<Vec<u8>, Place>>,
}

impl EngineSnapshot for JournalSnapshot {
    fn scan(&self, range: &KeyRange<'_>, order: Order) -> Result<Box<dyn EngineScan>> {
        let mut rows: Vec<(Vec<u8>, Place)> = Vec::new();
        if !range.is_empty() {
            let owned = |bound: Bound<&[u8]>| bound.map(<[u8]>::to_vec);
            let bounds = (owned(range.start()), owned(range.end()));
            rows.extend(self.rows.range::<Vec<u8>, _>(bounds).map(|(key, place)| (key.clone(), *place)));
        }
        if order == Order::Forward {
            rows.reverse();
        }
        Ok(Box::new(JournalScan { engine: self.engine.clone(), name: Arc::clone(&self.name), rows }))
    }
}

struct JournalScan {
    engine: JournalEngine,
    name: Arc<str>,
    /// The next one is the last.
    rows: Vec<(Vec<u8>, Place)>,
}

impl EngineScan for JournalScan {
    fn next(&mut self, key: &mut Vec<u8>, row: &mut RowBuffer) -> Result<bool> {
        let Some((found, place)) = self.rows.pop() else { return Ok(false) };
        key.clear();
        key.extend_from_slice(&found);
        self.engine.read(&self.name, place, row)?;
        Ok(true)
    }
}
