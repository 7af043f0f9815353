//! The fjall engine: an LSM tree in pure Rust, one database an instance, a keyspace a store.
//!
//! ```text
//!   <directory>/.lock    held as long as the engine is open
//!   <directory>/rows/    the database
//!   keyspace:            0x00 -> head     0x01 ‖ key -> row        (see `encoding`)
//! ```
//!
//! The byte before the key keeps the head apart and lets keys be empty, which fjall's own cannot be.
//!
//! fjall opens its own files and runs its own threads for flushes and compaction: neither goes through `Host`, so a
//! simulation uses `journal` in its place. Its journal is a prefix of what was written, whatever a crash takes: the
//! chunks of a store come back in order, each as a whole.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_host::{DirectoryLock, Disk};
use fjall::{
    Database, Error as FjallError, Guard, Keyspace, KeyspaceCreateOptions, LsmError, OwnedWriteBatch,
    PersistMode, Readable, Slice, Snapshot,
};
use smallvec::{SmallVec, smallvec};

use super::encoding::{decode_head, decode_into, encode_head, encode_row};
use super::{ChunkRows, Engine, EngineScan, EngineSnapshot, EngineStore};
use crate::error::{Error, Result};
use crate::row::{Checkpoint, RowBuffer};
use crate::table::ordered::{KeyRange, Order};

const NAME: &str = "fjall";
/// fjall's keys have at most 65,535 bytes; one is ours.
pub(crate) const KEY_LIMIT_BYTES: usize = 65_534;
const NAME_LIMIT_BYTES: usize = 255;
const DATABASE: &str = "rows";
/// The file that fjall writes last when it makes a database.
const MARKER: &str = "version";
const HEAD: u8 = 0;
const ROW: u8 = 1;

/// How much the engine may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FjallOptions {
    /// The cache of blocks read from disk, for all stores together.
    pub cache_bytes: u64,
    /// How much of a store fjall holds in memory before it writes a table. Each store may hold some of them.
    pub memtable_bytes: u64,
}

impl Default for FjallOptions {
    fn default() -> Self {
        FjallOptions { cache_bytes: 32 << 20, memtable_bytes: 16 << 20 }
    }
}

/// An engine on disk. A clone is the same engine; it is closed when the last clone and the last store is dropped.
#[derive(Clone)]
pub struct FjallEngine {
    open: Arc<OpenDatabase>,
}

struct OpenDatabase {
    options: FjallOptions,
    directory: PathBuf,
    /// Dropped before the lock: fjall writes until then.
    database: Database,
    _lock: DirectoryLock,
}

impl FjallEngine {
    /// Opens the engine in a directory of its own, which is made if it is not there. After a kill or a power cut, stores
    /// are as some chunk left them.
    ///
    /// # Errors
    /// [`Error::Locked`] if another instance has it open, an error if it is corrupt, [`Error::OtherVersion`], or the disk's.
    pub fn open(disk: &Disk, directory: &Path, options: FjallOptions) -> Result<Self> {
        let io = |source: std::io::Error| engine_error("to open the directory")(source.into());
        disk.create_dir_all(directory).map_err(io)?;
        let lock = disk.lock_dir(directory).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => Error::Locked { directory: directory.to_owned() },
            _ => io(error),
        })?;
        let path = directory.join(DATABASE);
        // Without the marker nothing was ever written: a first start was killed while the database was made, and fjall
        // would stumble over what it left.
        if disk.exists(&path).map_err(io)? && !disk.exists(&path.join(MARKER)).map_err(io)? {
            disk.remove_dir_all(&path).map_err(io)?;
        }
        let opened = Database::builder(&path).cache_size(options.cache_bytes).open();
        let database = opened.map_err(|error| fjall_error(None, "to open the database", directory, error))?;
        let open = OpenDatabase { options, directory: directory.to_owned(), database, _lock: lock };
        Ok(FjallEngine { open: Arc::new(open) })
    }

    fn create_options(&self) -> KeyspaceCreateOptions {
        KeyspaceCreateOptions::default().max_memtable_size(self.open.options.memtable_bytes)
    }

    fn error<'a>(
        &'a self,
        store: &'a str,
        action: &'static str,
    ) -> impl FnOnce(FjallError) -> Error + use<'a> {
        move |error| fjall_error(Some(store), action, &self.open.directory, error)
    }
}

impl std::fmt::Debug for FjallEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallEngine").field("directory", &self.open.directory).finish_non_exhaustive()
    }
}

impl Engine for FjallEngine {
    fn open_store(&self, name: &str) -> Result<Box<dyn EngineStore>> {
        check_name(name)?;
        let opened = self.open.database.keyspace(name, || self.create_options());
        let keyspace = opened.map_err(self.error(name, "to open a store"))?;
        let mut store = FjallStore { name: name.into(), head: None, engine: self.clone(), keyspace };
        let head = store.keyspace.get([HEAD]).map_err(store.error("to read a store's head"))?;
        store.head = match head {
            Some(head) => Some(decode_head(name, &head)?),
            None if store.is_empty()? => None,
            None => return Err(Error::corrupt_store(name, "it has rows but no head")),
        };
        Ok(Box::new(store))
    }

    fn drop_store(&self, name: &str) -> Result<()> {
        check_name(name)?;
        if !self.open.database.keyspace_exists(name) {
            return Ok(());
        }
        let opened = self.open.database.keyspace(name, || self.create_options());
        let keyspace = opened.map_err(self.error(name, "to open a store"))?;
        self.open.database.delete_keyspace(keyspace).map_err(self.error(name, "to drop a store"))
    }

    fn store_names(&self) -> Result<Vec<String>> {
        let names = self.open.database.list_keyspace_names();
        let mut names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn sync(&self) -> Result<()> {
        let synced = self.open.database.persist(PersistMode::SyncAll);
        synced.map_err(|error| fjall_error(None, "to sync", &self.open.directory, error))
    }
}

struct FjallStore {
    name: Arc<str>,
    /// The checkpoint of the head; `None` if no head is written yet.
    head: Option<Option<Checkpoint>>,
    /// Dropped before the engine.
    keyspace: Keyspace,
    engine: FjallEngine,
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore")
            .field("name", &self.name)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl FjallStore {
    fn error(&self, action: &'static str) -> impl FnOnce(FjallError) -> Error + use<'_> {
        self.engine.error(&self.name, action)
    }

    fn batch(&self) -> OwnedWriteBatch {
        self.engine.open.database.batch()
    }
}

impl EngineStore for FjallStore {
    fn engine(&self) -> &'static str {
        NAME
    }

    fn key_limit_bytes(&self) -> usize {
        KEY_LIMIT_BYTES
    }

    fn is_empty(&self) -> Result<bool> {
        let first = self.keyspace.range([ROW]..).next().map(Guard::key).transpose();
        Ok(first.map_err(self.error("to read"))?.is_none())
    }

    fn get(&self, key: &[u8], row: &mut RowBuffer) -> Result<bool> {
        match self.keyspace.get(row_key(key)).map_err(self.error("to read a row"))? {
            None => Ok(false),
            Some(bytes) => decode_into(&self.name, &bytes, row).map(|()| true),
        }
    }

    fn snapshot(&self) -> Result<Box<dyn EngineSnapshot>> {
        Ok(Box::new(FjallSnapshot {
            snapshot: self.engine.open.database.snapshot(),
            keyspace: self.keyspace.clone(),
            name: self.name.clone(),
            engine: self.engine.clone(),
        }))
    }

    fn write(&mut self, rows: &mut ChunkRows<'_, '_>, checkpoint: Option<Checkpoint>) -> Result<()> {
        let mut batch = self.batch();
        let mut buffer = Vec::new();
        for (key, row) in rows {
            match row {
                Some(row) => {
                    buffer.clear();
                    encode_row(row, &mut buffer);
                    batch.insert(&self.keyspace, &row_key(key)[..], &buffer[..]);
                }
                None => batch.remove(&self.keyspace, &row_key(key)[..]),
            }
        }
        let head = if checkpoint.is_some() { checkpoint } else { self.head.flatten() };
        if checkpoint.is_some() || self.head.is_none() {
            batch.insert(&self.keyspace, [HEAD], encode_head(head));
        }
        batch.commit().map_err(self.error("to write a chunk"))?;
        self.head = Some(head);
        Ok(())
    }

    fn ingest(&mut self, rows: &mut ChunkRows<'_, '_>) -> Result<()> {
        if self.head.is_none() {
            // Rows without a head would be taken for damage.
            self.write(&mut std::iter::empty(), None)?;
        }
        let mut ingestion = self.keyspace.start_ingestion().map_err(self.error("to begin a bulk load"))?;
        let mut before: Option<Slice> = None;
        let mut buffer = Vec::new();
        for (key, row) in rows {
            let key = Slice::from(&row_key(key)[..]);
            if before.replace(key.clone()).is_some_and(|before| before >= key) {
                return Err(Error::Misuse("rows were ingested out of order"));
            }
            let written = match row {
                Some(row) => {
                    buffer.clear();
                    encode_row(row, &mut buffer);
                    ingestion.write(key, &buffer[..])
                }
                None => ingestion.write_tombstone(key),
            };
            written.map_err(self.error("to write a bulk load"))?;
        }
        ingestion.finish().map_err(self.error("to finish a bulk load"))
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        Ok(self.head.flatten())
    }
}

struct FjallSnapshot {
    snapshot: Snapshot,
    keyspace: Keyspace,
    name: Arc<str>,
    engine: FjallEngine,
}

impl std::fmt::Debug for FjallSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallSnapshot").field("name", &self.name).finish_non_exhaustive()
    }
}

impl EngineSnapshot for FjallSnapshot {
    fn scan(&self, range: &KeyRange<'_>, order: Order) -> Result<Box<dyn EngineScan>> {
        let start = match range.start() {
            Bound::Unbounded => Bound::Included(smallvec![ROW]),
            start => start.map(row_key),
        };
        let end = match range.end() {
            Bound::Unbounded => Bound::Excluded(smallvec![ROW + 1]),
            end => end.map(row_key),
        };
        let rows = (!range.is_empty()).then(|| self.snapshot.range(&self.keyspace, (start, end)));
        Ok(Box::new(FjallScan { rows, order, name: self.name.clone(), engine: self.engine.clone() }))
    }
}

struct FjallScan {
    rows: Option<fjall::Iter>,
    order: Order,
    name: Arc<str>,
    engine: FjallEngine,
}

impl EngineScan for FjallScan {
    fn next(&mut self, key: &mut Vec<u8>, row: &mut RowBuffer) -> Result<bool> {
        let Some(rows) = &mut self.rows else { return Ok(false) };
        let next = match self.order {
            Order::Forward => rows.next(),
            Order::Reverse => rows.next_back(),
        };
        let Some(guard) = next else { return Ok(false) };
        let (found, bytes) = guard.into_inner().map_err(self.engine.error(&self.name, "to read a range"))?;
        key.clear();
        key.extend_from_slice(&found[1..]);
        decode_into(&self.name, &bytes, row)?;
        Ok(true)
    }
}

/// Refuses names that fjall would panic at.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_LIMIT_BYTES {
        return Err(Error::StoreName { name: name.to_owned(), limit: NAME_LIMIT_BYTES });
    }
    Ok(())
}

/// The key of a row as fjall has it, on the stack if it is short.
fn row_key(key: &[u8]) -> SmallVec<[u8; 64]> {
    let mut bytes = SmallVec::with_capacity(1 + key.len());
    bytes.push(ROW);
    bytes.extend_from_slice(key);
    bytes
}

fn engine_error(action: &'static str) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> Error {
    move |source| Error::Engine { engine: NAME, action, source }
}

/// fjall's errors by what the caller must do: those of a store, or of the whole database. What cannot be told apart from
/// a failing disk is the disk's.
fn fjall_error(store: Option<&str>, action: &'static str, directory: &Path, error: FjallError) -> Error {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    let other_version = |found: String| {
        let what = format!("the database in {}", directory.display());
        Error::OtherVersion { what, found, known: "3".to_owned() }
    };
    match error {
        FjallError::Locked => Error::Locked { directory: directory.to_owned() },
        FjallError::InvalidVersion(Some(version)) => other_version(version.to_string()),
        FjallError::Storage(LsmError::InvalidVersion(version)) => other_version(version.to_string()),
        FjallError::Poisoned | FjallError::KeyspaceDeleted => engine_error(action)(error.into()),
        // Files that end too early or are not there are damage; anything else is the disk's.
        FjallError::Storage(LsmError::Io(ref io)) | FjallError::Io(ref io)
            if !matches!(io.kind(), InvalidData | NotFound | UnexpectedEof) =>
        {
            engine_error(action)(error.into())
        }
        damage => match store {
            Some(store) => Error::corrupt_store(store, damage.to_string()),
            None => Error::CorruptEngine { directory: directory.to_owned(), detail: damage.to_string() },
        },
    }
}
