//! The fjall engine: an LSM tree in pure Rust, one database an instance, a keyspace a store.
//!
//! ```text
//!   <directory>/.lock    held as long as the engine is open
//!   <directory>/rows/    the database
//!   <directory>/loading/ rows on their way into a store (`scratch`)
//!   <directory>/filling  the keyspace that is being filled at once, if one is (`fjall_load`)
//!   <directory>/dropped/ one file per removed keyspace, named like its folder, holding (u64) the newest journal's number
//!                        at removal; deleted once no journal mentions the keyspace
//!   keyspace:            0x00 -> head ‖ chunk u64     0x01 ‖ key -> row        (see `encoding`)
//! ```
//!
//! Every chunk writes the head, with its number in the store: none can be missing unseen (`fjall_files`).
//!
//! The byte before the key keeps the head apart and lets keys be empty, which fjall's own cannot be. Keys that are longer
//! than fjall's are in buckets (`long_keys`).
//!
//! fjall opens its own files and runs its own threads for flushes and compaction: neither goes through `Host`, so a
//! simulation uses `journal` in its place. Its journal is a prefix of what was written, whatever a crash takes: the
//! chunks of a store come back in order, each as a whole.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch_host::{DirectoryLock, Disk, OpenOptions};
use fjall::config::PartitioningPolicy;
use fjall::{
    AbstractTree, Database, Error as FjallError, Guard, Keyspace, KeyspaceCreateOptions, LsmError,
    OwnedWriteBatch, PersistMode, Readable, Snapshot,
};
use parking_lot::Mutex;
use smallvec::smallvec;

use super::encoding::{decode_into, encode_head, encode_row, read_head};
use super::fjall_files::{self, FIRST_CHUNK, Found, HEAD, Reach, chunk_number};
use super::fjall_load::{self, Filling};
use super::fjall_rows::{ROW, row_key};
use super::loading::Loading;
use super::long_keys::{self, Bucket, PREFIX_BYTES, shortened};
use super::runs::MergedRows;
use super::scratch::{Scratch, ScratchFile};
use super::{
    ChunkRows, Engine, EngineScan, EngineSnapshot, EngineStore, KEY_LIMIT_BYTES, check_name, engine_error,
    lock_directory,
};
use crate::error::{Error, Result};
use crate::row::{Checkpoint, RowBuffer};
use crate::table::ordered::{KeyRange, Order};

pub(super) const NAME: &str = "fjall";
const DATABASE: &str = "rows";
/// The file that fjall writes last when it makes a database.
const MARKER: &str = "version";
const DROPPED: &str = "dropped";
/// When sealed journals are longer than this, stores that hold them back write a table. The least that fjall takes: a start
/// replays all of them, and a store that gets little, as that of a table beside its segments does, would hold back as much
/// as is allowed.
const JOURNAL_BYTES: u64 = 64 << 20;

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
///
/// ```
/// use std::sync::Arc;
///
/// use anabranch_state_store::{Checkpoint, Context, FjallEngine, FjallOptions, KeyValueTable, Row, TableOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (host, _runtime) = anabranch_host::Host::real(1)?;
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let open = || FjallEngine::open(&host.disk(), directory, FjallOptions::default());
/// let mut table = KeyValueTable::open_in(Arc::new(open()?), "counts", TableOptions::default())?;
/// table.put(b"ann", Some(Row::new(b"5", 1_000)), &Context::none(1_000))?;
/// let epoch = table.seal_epoch()?;
/// table.commit_epoch(epoch, Some(Checkpoint { offset: 7, wall_clock_ms: 1_000 }))?;
/// while table.write_behind(1 << 20)? {} // chunks of 1 MiB
/// drop(table);
///
/// let mut table = KeyValueTable::open_in(Arc::new(open()?), "counts", TableOptions::default())?;
/// assert_eq!(table.stored_checkpoint().map(|checkpoint| checkpoint.offset), Some(7));
/// assert_eq!(table.get(b"ann")?, Some(Row::new(b"5", 1_000)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FjallEngine {
    pub(super) open: Arc<OpenDatabase>,
}

pub(super) struct OpenDatabase {
    options: FjallOptions,
    disk: Disk,
    directory: PathBuf,
    scratch: Scratch,
    /// Held by the bulk load that is under way.
    pub(super) filling: Mutex<Filling>,
    /// Written since the journals were last looked at.
    unbound_bytes: AtomicU64,
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
        let io = |source: std::io::Error| engine_error(NAME, "to open the directory")(source.into());
        let lock = lock_directory(NAME, disk, directory)?;
        let path = directory.join(DATABASE);
        // Without the marker nothing was ever written: a first start was killed while the database was made, and fjall
        // would stumble over what it left.
        if disk.exists(&path).map_err(io)? && !disk.exists(&path.join(MARKER)).map_err(io)? {
            disk.remove_dir_all(&path).map_err(io)?;
        }
        let corrupt = |detail| Error::CorruptEngine { directory: directory.to_owned(), detail };
        let dropped = directory.join(DROPPED);
        let is_dropped = |keyspace: &str| disk.exists(&dropped.join(keyspace));
        let found = fjall_files::inspect(disk, &path, is_dropped).map_err(io)?.map_err(corrupt)?;
        let builder = Database::builder(&path).cache_size(options.cache_bytes);
        let opened = builder.max_journaling_size(JOURNAL_BYTES).open();
        let database = opened.map_err(|error| fjall_error(None, "to open the database", directory, error))?;
        // It has removed what was left of them. What the journal has of them is to be missed by nobody.
        if disk.exists(&dropped).map_err(io)? {
            for noted in disk.read_dir(&dropped).map_err(io)? {
                if !noted.name.parse().is_ok_and(|id| found.removed.contains(&id)) {
                    disk.remove_file(&dropped.join(&noted.name)).map_err(io)?;
                }
            }
        }
        let scratch = Scratch::open(disk, directory).map_err(io)?;
        let filling = Mutex::new(Filling::open(disk, directory).map_err(io)?);
        let (disk, directory) = (disk.clone(), directory.to_owned());
        let open = OpenDatabase {
            options,
            disk,
            directory,
            scratch,
            filling,
            unbound_bytes: AtomicU64::new(0),
            database,
            _lock: lock,
        };
        let engine = FjallEngine { open: Arc::new(open) };
        engine.drop_half_filled()?;
        match engine.tables_that_do_not_fit(&found)? {
            Some(detail) => Err(Error::CorruptEngine { directory: engine.open.directory.clone(), detail }),
            None => Ok(engine),
        }
    }

    /// Notes that a keyspace is going to be removed, for its files go one by one: what a crash leaves of them is no damage,
    /// nor is what journals have of it, up to the newest one there is now.
    fn note_removal(&self, keyspace: &Keyspace) -> std::io::Result<()> {
        let (disk, dropped) = (&self.open.disk, self.open.directory.join(DROPPED));
        let Some((folders, name)) = keyspace.path().parent().zip(keyspace.path().file_name()) else {
            return Ok(());
        };
        disk.create_dir_all(&dropped)?;
        let (oldest, newest) = fjall_files::journal_span(disk, &self.open.directory.join(DATABASE))?;
        for earlier in disk.read_dir(&dropped)? {
            let noted = dropped.join(&earlier.name);
            let last = disk.read(&noted)?.first_chunk().map_or(u64::MAX, |last| u64::from_be_bytes(*last));
            if last < oldest && !disk.exists(&folders.join(&earlier.name))? {
                disk.remove_file(&noted)?;
            }
        }
        let noted = disk.open(&dropped.join(name), OpenOptions::create_empty())?;
        noted.write_all_at(&newest.to_be_bytes(), 0)
    }

    /// What is wrong with the tables of a store, if something is: newer than the journals, or older than their beginning.
    fn tables_that_do_not_fit(&self, found: &Found) -> Result<Option<String>> {
        for name in self.store_names()? {
            let opened = self.open.database.keyspace(&name, || self.create_options());
            let keyspace = opened.map_err(self.error(&name, "to open a store"))?;
            let persisted = keyspace.tree.get_highest_persisted_seqno();
            if let Reach::To(last) = found.reach
                && persisted > last
            {
                return Ok(Some(format!("store {name} has tables that are newer than the journal's end")));
            }
            let id = keyspace.path().file_name().and_then(|id| id.to_str()).and_then(|id| id.parse().ok());
            let Some((batch, chunk)) = id.and_then(|id: u64| found.first.get(&id)) else { continue };
            // A table has the newest head of its chunks alone: one that reaches into the journals has all before them.
            if persisted >= Some(*batch) {
                continue;
            }
            let head = keyspace.tree.get([HEAD], *batch);
            let head = head.map_err(|error| self.error(&name, "to read a store's head")(error.into()))?;
            if head.and_then(|head| chunk_number(&head)).is_some_and(|before| before + 1 != *chunk) {
                return Ok(Some(format!("chunks of store {name} before {chunk} are gone")));
            }
        }
        Ok(None)
    }

    pub(super) fn sync_journal(&self) -> Result<()> {
        let synced = self.open.database.persist(PersistMode::SyncAll);
        synced.map_err(|error| fjall_error(None, "to sync", &self.open.directory, error))
    }

    fn create_options(&self) -> KeyspaceCreateOptions {
        // Tables that are loaded go to the last level as they are. As a whole their index and their filter, of megabytes
        // each, would not be cached, and read for every row.
        let in_parts = || PartitioningPolicy::new([false, true]);
        KeyspaceCreateOptions::default()
            .max_memtable_size(self.open.options.memtable_bytes)
            .index_block_partitioning_policy(in_parts())
            .filter_block_partitioning_policy(in_parts())
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

impl FjallEngine {
    pub(super) fn open_fjall_store(&self, name: &str) -> Result<FjallStore> {
        check_name(name)?;
        let opened = self.open.database.keyspace(name, || self.create_options());
        let keyspace = opened.map_err(self.error(name, "to open a store"))?;
        let (name, written) = (name.into(), Arc::default());
        let store = FjallStore { name, written, engine: self.clone(), keyspace };
        let head = store.keyspace.get([HEAD]).map_err(store.error("to read a store's head"))?;
        let chunks = head.as_deref().and_then(chunk_number).unwrap_or(FIRST_CHUNK - 1);
        let head = read_head(&store.name, head.as_deref(), || store.is_empty())?;
        *store.written.lock() = Written { head, chunks };
        Ok(store)
    }
}

impl Engine for FjallEngine {
    fn open_store(&self, name: &str) -> Result<Box<dyn EngineStore>> {
        Ok(Box::new(self.open_fjall_store(name)?))
    }

    fn drop_store(&self, name: &str) -> Result<()> {
        check_name(name)?;
        if !self.open.database.keyspace_exists(name) {
            return Ok(());
        }
        let opened = self.open.database.keyspace(name, || self.create_options());
        let keyspace = opened.map_err(self.error(name, "to open a store"))?;
        self.note_removal(&keyspace).map_err(|source| self.error(name, "to drop a store")(source.into()))?;
        self.open.database.delete_keyspace(keyspace).map_err(self.error(name, "to drop a store"))
    }

    fn store_names(&self) -> Result<Vec<String>> {
        let names = self.open.database.list_keyspace_names();
        let mut names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn sync(&self) -> Result<()> {
        self.sync_journal()
    }

    fn load_stores(&self, stores: Vec<(String, MergedRows)>) -> Result<Loading> {
        let engine = self.clone();
        Loading::beside(NAME, move |stop| engine.fill_stores(stores, stop))
    }
}

/// What was written last.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The checkpoint of the head; `None` if no head is written yet.
    pub(super) head: Option<Option<Checkpoint>>,
    /// The number of the last chunk.
    chunks: u64,
}

#[derive(Clone)]
pub(super) struct FjallStore {
    name: Arc<str>,
    /// Shared with the thread that loads rows.
    pub(super) written: Arc<Mutex<Written>>,
    /// Dropped before the engine.
    pub(super) keyspace: Keyspace,
    pub(super) engine: FjallEngine,
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore")
            .field("name", &self.name)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl FjallStore {
    pub(super) fn error(&self, action: &'static str) -> impl FnOnce(FjallError) -> Error + use<'_> {
        self.engine.error(&self.name, action)
    }

    fn batch(&self) -> OwnedWriteBatch {
        self.engine.open.database.batch()
    }

    /// fjall looks how long its journals are when a store writes a table, which many stores that get little each do not do
    /// for long.
    fn bound_journal(&self, written: usize) -> Result<()> {
        let unbound = &self.engine.open.unbound_bytes;
        if unbound.fetch_add(written as u64, Ordering::Relaxed) + (written as u64) < JOURNAL_BYTES {
            return Ok(());
        }
        unbound.store(0, Ordering::Relaxed);
        self.keyspace.rotate_memtable().map(|_| ()).map_err(self.error("to write a table"))
    }

    /// The rows of the long keys that begin with `prefix`.
    fn bucket(&self, prefix: &[u8]) -> Result<Bucket> {
        match self.keyspace.get(row_key(prefix)).map_err(self.error("to read rows with long keys"))? {
            Some(bytes) => long_keys::decode(&self.name, &bytes),
            None => Ok(Bucket::new()),
        }
    }
}

impl EngineStore for FjallStore {
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
        let first = self.keyspace.range([ROW]..).next().map(Guard::key).transpose();
        Ok(first.map_err(self.error("to read"))?.is_none())
    }

    fn approximate_rows(&self) -> Result<u64> {
        // One is the head.
        Ok((self.keyspace.approximate_len() as u64).saturating_sub(1))
    }

    fn get(&self, key: &[u8], row: &mut RowBuffer) -> Result<bool> {
        if let Some((prefix, rest)) = long_keys::split(key) {
            let bucket = self.bucket(prefix)?;
            return bucket
                .get(rest)
                .map_or(Ok(false), |bytes| decode_into(&self.name, bytes, row).map(|()| true));
        }
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
        let (mut buffer, mut bytes) = (Vec::new(), 0);
        let mut buckets: BTreeMap<&[u8], Bucket> = BTreeMap::new();
        for (key, row) in rows {
            buffer.clear();
            if let Some(row) = row {
                encode_row(row, &mut buffer);
            }
            bytes += key.len() + buffer.len();
            let row = row.map(|_| &buffer[..]);
            if let Some((prefix, rest)) = long_keys::split(key) {
                if !buckets.contains_key(prefix) {
                    buckets.insert(prefix, self.bucket(prefix)?);
                }
                if let Some(bucket) = buckets.get_mut(prefix) {
                    change(bucket, rest, row);
                }
                continue;
            }
            match row {
                Some(row) => batch.insert(&self.keyspace, &row_key(key)[..], row),
                None => batch.remove(&self.keyspace, &row_key(key)[..]),
            }
        }
        for (prefix, bucket) in buckets {
            match bucket.is_empty() {
                true => batch.remove(&self.keyspace, &row_key(prefix)[..]),
                false => batch.insert(&self.keyspace, &row_key(prefix)[..], long_keys::encode(&bucket)),
            }
        }
        let mut written = self.written.lock();
        let head = if checkpoint.is_some() { checkpoint } else { written.head.flatten() };
        let mut encoded = encode_head(head).to_vec();
        encoded.extend_from_slice(&(written.chunks + 1).to_be_bytes());
        batch.insert(&self.keyspace, [HEAD], encoded);
        batch.commit().map_err(self.error("to write a chunk"))?;
        *written = Written { head: Some(head), chunks: written.chunks + 1 };
        drop(written);
        self.bound_journal(bytes)
    }

    fn load(&mut self, rows: MergedRows, checkpoint: Option<Checkpoint>) -> Result<Loading> {
        if fjall_load::are_few(&rows) {
            return Ok(Loading::in_chunks(rows, checkpoint));
        }
        let mut store = self.clone();
        Loading::beside(NAME, move |stop| store.fill_in_turn(rows, checkpoint, stop))
    }

    fn scratch_file(&self) -> Result<Option<ScratchFile>> {
        let file = self.engine.open.scratch.file().map(Some);
        file.map_err(|error| engine_error(NAME, "to make a file for rows that are put aside")(error.into()))
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        Ok(self.written.lock().head.flatten())
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
            // Of a bucket some rows may be behind the bound.
            Bound::Excluded(key) if long_keys::split(key).is_some() => {
                Bound::Included(row_key(shortened(key)))
            }
            start => start.map(|key| row_key(shortened(key))),
        };
        let end = match range.end() {
            Bound::Unbounded => Bound::Excluded(smallvec![ROW + 1]),
            Bound::Excluded(key) if long_keys::split(key).is_some() => {
                Bound::Included(row_key(shortened(key)))
            }
            end => end.map(|key| row_key(shortened(key))),
        };
        let long = |bound: Bound<&[u8]>| match bound {
            Bound::Included(key) if long_keys::split(key).is_some() => Bound::Included(key.to_vec()),
            Bound::Excluded(key) if long_keys::split(key).is_some() => Bound::Excluded(key.to_vec()),
            _ => Bound::Unbounded,
        };
        let bounds = (long(range.start()), long(range.end()));
        let rows = (!range.is_empty()).then(|| self.snapshot.range(&self.keyspace, (start, end)));
        let (name, engine) = (self.name.clone(), self.engine.clone());
        Ok(Box::new(FjallScan { rows, order, bounds, bucket: VecDeque::new(), name, engine }))
    }
}

struct FjallScan {
    rows: Option<fjall::Iter>,
    order: Order,
    /// Those bounds that lie in a bucket.
    bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    /// Keys and rows of the bucket that is being read, in the order that is asked for.
    bucket: VecDeque<(Vec<u8>, Vec<u8>)>,
    name: Arc<str>,
    engine: FjallEngine,
}

impl EngineScan for FjallScan {
    fn next(&mut self, key: &mut Vec<u8>, row: &mut RowBuffer) -> Result<bool> {
        loop {
            if let Some((found, bytes)) = self.bucket.pop_front() {
                *key = found;
                decode_into(&self.name, &bytes, row)?;
                return Ok(true);
            }
            let Some(rows) = &mut self.rows else { return Ok(false) };
            let next = match self.order {
                Order::Forward => rows.next(),
                Order::Reverse => rows.next_back(),
            };
            let Some(guard) = next else { return Ok(false) };
            let (found, bytes) =
                guard.into_inner().map_err(self.engine.error(&self.name, "to read a range"))?;
            if found.len() > PREFIX_BYTES {
                self.open_bucket(&found[1..], &bytes)?;
                continue;
            }
            key.clear();
            key.extend_from_slice(&found[1..]);
            decode_into(&self.name, &bytes, row)?;
            return Ok(true);
        }
    }
}

impl FjallScan {
    fn open_bucket(&mut self, prefix: &[u8], bytes: &[u8]) -> Result<()> {
        let (start, end) = (self.bounds.0.as_ref(), self.bounds.1.as_ref());
        let range = KeyRange::new(start.map(Vec::as_slice), end.map(Vec::as_slice));
        for (rest, row) in long_keys::decode(&self.name, bytes)? {
            let key = [prefix, &rest].concat();
            if range.contains(&key) {
                match self.order {
                    Order::Forward => self.bucket.push_back((key, row)),
                    Order::Reverse => self.bucket.push_front((key, row)),
                }
            }
        }
        Ok(())
    }
}

/// Puts an encoded row into a bucket, or takes it out.
fn change(bucket: &mut Bucket, rest: &[u8], row: Option<&[u8]>) {
    match row {
        Some(row) => drop(bucket.insert(rest.to_vec(), row.to_vec())),
        None => drop(bucket.remove(rest)),
    }
}

/// fjall's errors by what the caller must do: those of a store, or of the whole database. What cannot be told apart from
/// a failing disk is the disk's.
fn fjall_error(store: Option<&str>, action: &'static str, directory: &Path, error: FjallError) -> Error {
    use std::io::ErrorKind::{AlreadyExists, InvalidData, InvalidInput, NotFound, UnexpectedEof};
    let other_version = |found: String| {
        let what = format!("the database in {}", directory.display());
        Error::OtherVersion { what, found, known: "3".to_owned() }
    };
    match error {
        FjallError::Locked => Error::Locked { directory: directory.to_owned() },
        FjallError::InvalidVersion(Some(version)) => other_version(version.to_string()),
        FjallError::Storage(LsmError::InvalidVersion(version)) => other_version(version.to_string()),
        FjallError::Poisoned | FjallError::KeyspaceDeleted => engine_error(NAME, action)(error.into()),
        // Files that end too early, are not there, or are where none should be are damage; anything else is the disk's.
        FjallError::Storage(LsmError::Io(ref io)) | FjallError::Io(ref io)
            if !matches!(
                io.kind(),
                AlreadyExists | InvalidData | InvalidInput | NotFound | UnexpectedEof
            ) =>
        {
            engine_error(NAME, action)(error.into())
        }
        damage => match store {
            Some(store) => Error::corrupt_store(store, damage.to_string()),
            None => Error::CorruptEngine { directory: directory.to_owned(), detail: damage.to_string() },
        },
    }
}
