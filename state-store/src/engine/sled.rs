//! The sled engine (feature `sled`): a tree of trees in pure Rust, one database an instance, a tree a store.
//!
//! ```text
//!   <directory>/.lock     held as long as the engine is open
//!   <directory>/version   the version of what follows
//!   <directory>/rows/     the database
//!   <directory>/loading/  rows on their way into a store (`scratch`)
//!   tree:                 0x00 -> head     0x01 ‖ key -> row        (see `encoding`)
//! ```
//!
//! sled writes all trees to one log and gives back a prefix of it after a crash: the chunks of all stores in their order,
//! each as a whole. What was written is on disk half a second later, or at once after [`Engine::sync`]; a crash takes
//! away what is younger, and the changelog brings it back.
//!
//! A tree of sled's has no snapshots. So as long as a snapshot lives, whoever writes first puts aside what it replaces,
//! and who reads the snapshot takes that in place of what the tree has. sled opens its own files and runs its own
//! thread: neither goes through `Host`, so a simulation uses the memory engine in its place.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anabranch_host::{DirectoryLock, Disk, OpenOptions};
use parking_lot::Mutex;
use sled::{Batch, Db, Error as SledError, IVec, Tree};

use super::encoding::{decode_into, encode_head, encode_row, read_head};
use super::scratch::{Scratch, ScratchFile};
use super::{
    ChunkRows, Engine, EngineScan, EngineSnapshot, EngineStore, KEY_LIMIT_BYTES, check_name, engine_error,
    lock_directory,
};
use crate::error::{Error, Result};
use crate::row::{Checkpoint, RowBuffer};
use crate::table::ordered::{KeyRange, Order};

const NAME: &str = "sled";
const DATABASE: &str = "rows";
const VERSION_FILE: &str = "version";
/// Of the directory and of what is in it, sled's own files among it.
const VERSION: &str = "1";
/// The tree that every database of sled's has.
const DEFAULT_TREE: &[u8] = b"__sled__default";
const HEAD: u8 = 0;
const ROW: u8 = 1;
/// What sled says of a database that somebody has open: its errors have no kind for it.
const LOCKED: &str = "could not acquire lock";
const LOCK_TRIES: u32 = 1000;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// How much the engine may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SledOptions {
    /// The cache of pages, for all stores together.
    pub cache_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        SledOptions { cache_bytes: 32 << 20 }
    }
}

/// An engine on disk. A clone is the same engine; it is closed when the last clone and the last store is dropped.
///
/// ```
/// use anabranch_state_store::{Engine, SledEngine, SledOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (host, _threads) = anabranch_host::Host::real(1)?;
/// let directory = tempfile::tempdir()?;
/// let engine = SledEngine::open(&host.disk(), directory.path(), SledOptions::default())?;
/// let store = engine.open_store("0_0-counts")?;
/// assert_eq!(store.checkpoint()?, None);
/// assert!(store.is_empty()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SledEngine {
    open: Arc<OpenDatabase>,
}

struct OpenDatabase {
    directory: PathBuf,
    scratch: Scratch,
    /// Dropped before the lock: sled writes until then.
    database: Db,
    _lock: DirectoryLock,
}

impl SledEngine {
    /// Opens the engine in a directory of its own, which is made if it is not there. After a kill or a power cut, stores
    /// are as some chunk left them.
    ///
    /// # Errors
    /// [`Error::Locked`] if another instance has it open, an error if it is corrupt, [`Error::OtherVersion`], or the disk's.
    pub fn open(disk: &Disk, directory: &Path, options: SledOptions) -> Result<Self> {
        let io = |source: std::io::Error| engine_error(NAME, "to open the directory")(source.into());
        let lock = lock_directory(NAME, disk, directory)?;
        let (path, marker) = (directory.join(DATABASE), directory.join(VERSION_FILE));
        let found =
            if disk.exists(&marker).map_err(io)? { disk.read(&marker).map_err(io)? } else { Vec::new() };
        match String::from_utf8_lossy(&found).trim() {
            VERSION => {}
            // Without it nothing was ever written that counts: a first start was cut off.
            "" => {
                if disk.exists(&path).map_err(io)? {
                    disk.remove_dir_all(&path).map_err(io)?;
                }
                let file = disk.open(&marker, OpenOptions::create_empty()).map_err(io)?;
                file.write_all_at(VERSION.as_bytes(), 0).map_err(io)?;
            }
            found => {
                let what = format!("the database in {}", directory.display());
                return Err(Error::OtherVersion { what, found: found.to_owned(), known: VERSION.to_owned() });
            }
        }
        let database = open_database(&path, options)
            .map_err(|error| sled_error(None, "to open the database", directory, error))?;
        let (directory, scratch) = (directory.to_owned(), Scratch::open(disk, directory).map_err(io)?);
        let open = OpenDatabase { directory, scratch, database, _lock: lock };
        Ok(SledEngine { open: Arc::new(open) })
    }

    fn error<'a>(
        &'a self,
        store: &'a str,
        action: &'static str,
    ) -> impl FnOnce(SledError) -> Error + use<'a> {
        move |error| sled_error(Some(store), action, &self.open.directory, error)
    }
}

/// Opens the database of a directory that is locked. Sled has a lock of its own and lets go of it by closing the file,
/// which a process that another thread is just starting has open as well, until it runs its own program. Nobody else can
/// have it: so wait for that one, but not for ever.
fn open_database(path: &Path, options: SledOptions) -> std::result::Result<Db, SledError> {
    let config = sled::Config::new().path(path).cache_capacity(options.cache_bytes);
    for _ in 0..LOCK_TRIES {
        match config.open() {
            Err(SledError::Io(error)) if error.to_string().starts_with(LOCKED) => {
                std::thread::park_timeout(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
    config.open()
}

impl std::fmt::Debug for SledEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledEngine").field("directory", &self.open.directory).finish_non_exhaustive()
    }
}

impl Engine for SledEngine {
    fn open_store(&self, name: &str) -> Result<Box<dyn EngineStore>> {
        check_name(name)?;
        let tree = self.open.database.open_tree(name).map_err(self.error(name, "to open a store"))?;
        let mut store = SledStore {
            name: name.into(),
            head: None,
            tree,
            snapshots: Mutex::default(),
            engine: self.clone(),
        };
        let head = store.tree.get([HEAD]).map_err(store.error("to read a store's head"))?;
        store.head = read_head(name, head.as_deref(), || store.is_empty())?;
        Ok(Box::new(store))
    }

    fn drop_store(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let dropped = self.open.database.drop_tree(name);
        dropped.map(drop).map_err(self.error(name, "to drop a store"))
    }

    fn store_names(&self) -> Result<Vec<String>> {
        let names = self.open.database.tree_names().into_iter().filter(|name| *name != DEFAULT_TREE);
        let mut names: Vec<String> = names.map(|name| String::from_utf8_lossy(&name).into_owned()).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn sync(&self) -> Result<()> {
        let synced = self.open.database.flush();
        synced.map(drop).map_err(|error| sled_error(None, "to sync", &self.open.directory, error))
    }
}

struct SledStore {
    name: Arc<str>,
    /// The checkpoint of the head; `None` if no head is written yet.
    head: Option<Option<Checkpoint>>,
    /// Dropped before the engine.
    tree: Tree,
    /// Those that may still be read.
    snapshots: Mutex<Vec<Weak<PutAside>>>,
    engine: SledEngine,
}

/// What a snapshot's rows were before they were written: row keys as sled has them, and what they had.
type PutAside = Mutex<BTreeMap<Vec<u8>, Option<IVec>>>;

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore")
            .field("name", &self.name)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl SledStore {
    fn error(&self, action: &'static str) -> impl FnOnce(SledError) -> Error + use<'_> {
        self.engine.error(&self.name, action)
    }

    /// Writes a batch; `keys` are those of its rows.
    fn apply(&mut self, batch: Batch, keys: &[Vec<u8>]) -> Result<()> {
        self.snapshots.get_mut().retain(|snapshot| snapshot.strong_count() > 0);
        let snapshots: Vec<_> = self.snapshots.get_mut().iter().filter_map(Weak::upgrade).collect();
        for snapshot in snapshots {
            for key in keys {
                if !snapshot.lock().contains_key(key) {
                    let before = self.tree.get(key).map_err(self.error("to keep a snapshot"))?;
                    snapshot.lock().insert(key.clone(), before);
                }
            }
        }
        self.tree.apply_batch(batch).map_err(self.error("to write a chunk"))
    }
}

impl EngineStore for SledStore {
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
        let first = self.tree.range([ROW]..).keys().next().transpose();
        Ok(first.map_err(self.error("to read"))?.is_none())
    }

    fn approximate_rows(&self) -> Result<u64> {
        // It counts them. One is the head.
        Ok((self.tree.len() as u64).saturating_sub(1))
    }

    fn get(&self, key: &[u8], row: &mut RowBuffer) -> Result<bool> {
        match self.tree.get(row_key(key)).map_err(self.error("to read a row"))? {
            None => Ok(false),
            Some(bytes) => decode_into(&self.name, &bytes, row).map(|()| true),
        }
    }

    fn snapshot(&self) -> Result<Box<dyn EngineSnapshot>> {
        let put_aside = Arc::new(PutAside::default());
        self.snapshots.lock().push(Arc::downgrade(&put_aside));
        let (tree, name, engine) = (self.tree.clone(), Arc::clone(&self.name), self.engine.clone());
        Ok(Box::new(SledSnapshot { put_aside, tree, name, engine }))
    }

    fn write(&mut self, rows: &mut ChunkRows<'_, '_>, checkpoint: Option<Checkpoint>) -> Result<()> {
        let (mut batch, mut keys, mut buffer) = (Batch::default(), Vec::new(), Vec::new());
        for (key, row) in rows {
            let key = row_key(key);
            match row {
                Some(row) => {
                    buffer.clear();
                    encode_row(row, &mut buffer);
                    batch.insert(&key[..], &buffer[..]);
                }
                None => batch.remove(&key[..]),
            }
            keys.push(key);
        }
        let head = if checkpoint.is_some() { checkpoint } else { self.head.flatten() };
        if checkpoint.is_some() || self.head.is_none() {
            batch.insert(&[HEAD], &encode_head(head)[..]);
        }
        self.apply(batch, &keys)?;
        self.head = Some(head);
        Ok(())
    }

    fn scratch_file(&self) -> Result<Option<ScratchFile>> {
        let file = self.engine.open.scratch.file().map(Some);
        file.map_err(|error| engine_error(NAME, "to make a file for rows that are put aside")(error.into()))
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        Ok(self.head.flatten())
    }
}

struct SledSnapshot {
    put_aside: Arc<PutAside>,
    tree: Tree,
    name: Arc<str>,
    engine: SledEngine,
}

impl std::fmt::Debug for SledSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledSnapshot").field("name", &self.name).finish_non_exhaustive()
    }
}

impl EngineSnapshot for SledSnapshot {
    fn scan(&self, range: &KeyRange<'_>, order: Order) -> Result<Box<dyn EngineScan>> {
        let start = match range.start() {
            Bound::Unbounded => Bound::Included(vec![ROW]),
            start => start.map(row_key),
        };
        let end = match range.end() {
            Bound::Unbounded => Bound::Excluded(vec![ROW + 1]),
            end => end.map(row_key),
        };
        let rest = (!range.is_empty()).then(|| Rest {
            tree: self.tree.range((start.clone(), end.clone())),
            head: None,
            bounds: (start, end),
        });
        let (put_aside, name) = (Arc::clone(&self.put_aside), Arc::clone(&self.name));
        Ok(Box::new(SledScan { rest, order, put_aside, name, engine: self.engine.clone() }))
    }
}

struct SledScan {
    rest: Option<Rest>,
    order: Order,
    put_aside: Arc<PutAside>,
    name: Arc<str>,
    engine: SledEngine,
}

/// What is still to be read.
struct Rest {
    tree: sled::Iter,
    /// What the tree has next.
    head: Option<(IVec, IVec)>,
    bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>),
}

/// A key of the snapshot, and its row if it had one.
type Next = (Vec<u8>, Option<IVec>);

impl Rest {
    /// The next key of the snapshot, and its row if it had one. The tree is looked at first: what is put aside is so
    /// before the tree is written, so a row that the tree has lost is found there.
    fn next(&mut self, order: Order, put_aside: &PutAside) -> std::result::Result<Option<Next>, SledError> {
        if self.head.is_none() {
            let next = match order {
                Order::Forward => self.tree.next(),
                Order::Reverse => self.tree.next_back(),
            };
            self.head = next.transpose()?;
        }
        let (start, end) = (&self.bounds.0, &self.bounds.1);
        // Bounds that meet would make the map panic.
        let is_over = |start: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>| {
            KeyRange::new(start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice)).is_empty()
        };
        let aside = match is_over(start, end) {
            true => None,
            false => {
                let put_aside = put_aside.lock();
                let mut range = put_aside.range::<Vec<u8>, _>((start.as_ref(), end.as_ref()));
                let first = match order {
                    Order::Forward => range.next(),
                    Order::Reverse => range.next_back(),
                };
                first.map(|(key, before)| (key.clone(), before.clone()))
            }
        };
        let in_order = |left: &[u8], right: &[u8]| match order {
            Order::Forward => left <= right,
            Order::Reverse => left >= right,
        };
        let next = match (aside, &self.head) {
            (None, None) => return Ok(None),
            (Some((key, before)), Some((of_tree, _))) if in_order(&key, of_tree) => {
                if *key == **of_tree {
                    self.head = None;
                }
                (key, before)
            }
            (Some((key, before)), None) => (key, before),
            (_, Some(_)) => match self.head.take() {
                Some((key, row)) => (key.to_vec(), Some(row)),
                None => return Ok(None),
            },
        };
        match order {
            Order::Forward => self.bounds.0 = Bound::Excluded(next.0.clone()),
            Order::Reverse => self.bounds.1 = Bound::Excluded(next.0.clone()),
        }
        Ok(Some(next))
    }
}

impl EngineScan for SledScan {
    fn next(&mut self, key: &mut Vec<u8>, row: &mut RowBuffer) -> Result<bool> {
        let Some(rest) = &mut self.rest else { return Ok(false) };
        loop {
            let next = rest.next(self.order, &self.put_aside);
            let Some((found, bytes)) = next.map_err(self.engine.error(&self.name, "to read a range"))? else {
                return Ok(false);
            };
            // Without a row it was written after the snapshot was taken.
            if let Some(bytes) = bytes {
                key.clear();
                key.extend_from_slice(&found[1..]);
                decode_into(&self.name, &bytes, row)?;
                return Ok(true);
            }
        }
    }
}

/// The key of a row as sled has it.
fn row_key(key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(ROW);
    bytes.extend_from_slice(key);
    bytes
}

/// sled's errors by what the caller must do. What cannot be told apart from a failing disk is the disk's.
fn sled_error(store: Option<&str>, action: &'static str, directory: &Path, error: SledError) -> Error {
    match (error, store) {
        (SledError::Corruption { .. }, Some(store)) => {
            Error::corrupt_store(store, "sled finds its pages damaged")
        }
        (SledError::Corruption { .. }, None) => Error::CorruptEngine {
            directory: directory.to_owned(),
            detail: "sled finds its pages damaged".to_owned(),
        },
        (error, _) => engine_error(NAME, action)(error.into()),
    }
}
