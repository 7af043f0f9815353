//! What lies behind the tables: an embedded engine that keeps rows on disk.
//!
//! An engine holds named stores. A store is written in chunks; a chunk is there as a whole or not at all, and after a
//! crash a store is as some chunk left it, none before it missing. The last chunk of a run carries the changelog offset
//! that the run reflects. So whatever a crash takes away, the changelog after [`checkpoint`](EngineStore::checkpoint)
//! brings back: nothing need be synced, and a crash wipes nothing.
//!
//! A store that is restored from nothing is written once, in the order of its keys: what comes is sorted in [`runs`], which
//! lie in a [`scratch`] file when memory is short, and [`loading`] writes them beside all else.
//!
//! Reading order: the traits here, [`encoding`], [`runs`], [`segment_runs`], [`scratch`], [`loading`], the engines
//! [`memory`], [`fjall`] with its `fjall_files`, `fjall_load`, `fjall_rows` and `long_keys`, [`journal`] (in a simulation) and `sled`
//! (a feature), [`segments`] (a table over several stores), `merged` (their rows as one) and `in_turn` (one after the other).

pub(crate) mod encoding;
pub(crate) mod fjall;
mod fjall_files;
mod fjall_load;
mod fjall_rows;
pub(crate) mod in_turn;
pub(crate) mod journal;
pub(crate) mod loading;
mod long_keys;
pub(crate) mod memory;
mod merged;
pub(crate) mod runs;
pub(crate) mod scratch;
pub(crate) mod segment_runs;
pub(crate) mod segments;
#[cfg(feature = "sled")]
pub(crate) mod sled;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anabranch_host::{DirectoryLock, Disk};

use self::fjall::{FjallEngine, FjallOptions};
use self::journal::JournalEngine;
use self::loading::Loading;
use self::runs::MergedRows;
use self::scratch::ScratchFile;
use crate::error::{Error, Result};
use crate::row::{Checkpoint, Row, RowBuffer};
use crate::table::ordered::{KeyRange, Order};

/// The longest key that every engine can hold.
pub(crate) const KEY_LIMIT_BYTES: usize = 1 << 20;
/// The longest name of a store.
const NAME_LIMIT_BYTES: usize = 255;

/// Refuses names that an engine cannot give to a store.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_LIMIT_BYTES {
        return Err(Error::StoreName { name: name.to_owned(), limit: NAME_LIMIT_BYTES });
    }
    Ok(())
}

/// Opens the engine of an instance in a directory of its own, which is made if it is not there.
///
/// # Errors
/// [`Error::Locked`] if another instance has it open, an error if it is corrupt or of another version, or
/// the disk's.
pub fn open_engine(disk: &Disk, directory: &Path) -> Result<Arc<dyn Engine>> {
    if disk.is_simulated() {
        return Ok(Arc::new(JournalEngine::open(disk, directory)?));
    }
    Ok(Arc::new(FjallEngine::open(disk, directory, FjallOptions::default())?))
}

/// Makes an engine's directory if it is not there, and locks it.
fn lock_directory(engine: &'static str, disk: &Disk, directory: &Path) -> Result<DirectoryLock> {
    let failed = |error: io::Error| engine_error(engine, "to open the directory")(error.into());
    disk.create_dir_all(directory).map_err(failed)?;
    disk.lock_dir(directory).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { directory: directory.to_owned() },
        _ => failed(error),
    })
}

/// What fails in an engine, or in the disk under it.
fn engine_error(
    engine: &'static str,
    action: &'static str,
) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> Error {
    move |source| Error::Engine { engine, action, source }
}

/// Stores by name. One an instance; the names say task and store.
pub trait Engine: Debug + Send + Sync {
    /// Opens a store, made if it is not there. At most one table may have it open.
    ///
    /// # Errors
    /// If it is corrupt, of another format version, or its name is too long.
    fn open_store(&self, name: &str) -> Result<Box<dyn EngineStore>>;

    /// Removes a store and all that is in it; no error if it is not there. Nobody may have it open.
    ///
    /// # Errors
    /// If the disk fails.
    fn drop_store(&self, name: &str) -> Result<()>;

    /// The stores that are there, by name.
    ///
    /// # Errors
    /// If the disk fails.
    fn store_names(&self) -> Result<Vec<String>>;

    /// Makes all that was written durable. For a clean stop: a crash without it costs a longer restore, never rows.
    ///
    /// # Errors
    /// If the disk fails.
    fn sync(&self) -> Result<()>;

    /// Begins to write rows into new stores of these names, one after the other. Nobody may open them until they are in.
    ///
    /// # Errors
    /// If a store cannot be made.
    fn load_stores(&self, stores: Vec<(String, MergedRows)>) -> Result<Loading> {
        let opened = stores.into_iter().map(|(name, rows)| Ok((self.open_store(&name)?, rows)));
        Ok(Loading::of_stores(opened.collect::<Result<_>>()?))
    }
}

/// Rows of a chunk: a key and its row, or its absence if it is to be removed.
pub type ChunkRows<'i, 'r> = dyn Iterator<Item = (&'r [u8], Option<Row<'r>>)> + 'i;

/// One store of an engine.
pub trait EngineStore: Debug + Send {
    /// The engine's name.
    fn engine(&self) -> &'static str;

    /// The store's name.
    fn name(&self) -> &str;

    /// The longest key it can hold.
    fn key_limit_bytes(&self) -> usize;

    /// Whether it holds no row.
    ///
    /// # Errors
    /// If it cannot be read; so for all calls below.
    fn is_empty(&self) -> Result<bool>;

    /// About how many rows it holds: what was deleted or written over may be among them.
    fn approximate_rows(&self) -> Result<u64>;

    /// Reads a row into `row`; `false` if there is none.
    fn get(&self, key: &[u8], row: &mut RowBuffer) -> Result<bool>;

    /// The store as it is now, for whoever reads it later or elsewhere.
    fn snapshot(&self) -> Result<Box<dyn EngineSnapshot>>;

    /// Writes a chunk and, if it is the last one of a run, what the run reflects; all of it or nothing.
    fn write(&mut self, rows: &mut ChunkRows<'_, '_>, checkpoint: Option<Checkpoint>) -> Result<()>;

    /// Begins to write rows into the store, which has none, and then the checkpoint. Nobody may write to it until they are
    /// in.
    fn load(&mut self, rows: MergedRows, checkpoint: Option<Checkpoint>) -> Result<Loading> {
        Ok(Loading::in_chunks(rows, checkpoint))
    }

    /// A file for rows that are put aside, if the engine has a place for one.
    fn scratch_file(&self) -> Result<Option<ScratchFile>>;

    /// What the last finished run reflects.
    fn checkpoint(&self) -> Result<Option<Checkpoint>>;
}

/// A store as it was at some moment.
pub trait EngineSnapshot: Debug + Send + Sync {
    /// Reads a range.
    ///
    /// # Errors
    /// If it cannot be read.
    fn scan(&self, range: &KeyRange<'_>, order: Order) -> Result<Box<dyn EngineScan>>;
}

/// Rows of a range, one by one.
pub trait EngineScan: Send {
    /// Reads the next row into the buffers; `false` at the end.
    ///
    /// # Errors
    /// If it cannot be read.
    fn next(&mut self, key: &mut Vec<u8>, row: &mut RowBuffer) -> Result<bool>;
}

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod load_tests;
#[cfg(test)]
mod tests;
