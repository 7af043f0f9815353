//! The key-value table of one store and task: transaction, cache and store in one.
//!
//! An entry holds the newest row of its key. The first write of an *epoch* to a key saves the row it replaces in the undo
//! list of the epoch; commit forgets the list, abort puts the lists back, newest first. While a commit is in flight the
//! next epoch is open already, so there are at most two lists. Every access is one probe, whatever is uncommitted.
//!
//! A cached table also keeps a *pending list*: keys written but not yet emitted, in the order of their last write. It must
//! be flushed before an epoch is sealed.
//!
//! ```text
//!   put, update, flush      seal_epoch           commit_epoch
//!   ------------------> open ---------> sealed ---------------> committed
//!          ^               \               /
//!          +----------------+--- abort ---+
//! ```
//!
//! Behind the table there may be an engine on disk. Committed rows are written behind, when the owner finds time
//! ([`write_behind`]); rows that the engine has may be evicted from memory, from then on the table is not *complete* and
//! asks the engine for what it does not know. A store that is restored from nothing is written at once when all is there
//! (`bulk`).
//!
//! Who calls: the task that owns the store. The table calls nobody but its engine; what is to be forwarded or logged is
//! handed out to the caller.
//!
//! [`write_behind`]: KeyValueTable::write_behind

mod behind;
mod bulk;
#[cfg(test)]
mod killed_tests;
#[cfg(test)]
mod memory_tests;
mod scan;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod timed_tests;
mod view;
#[cfg(test)]
mod view_tests;

use std::sync::Arc;

use self::behind::Behind;
use self::bulk::Bulk;
use crate::engine::{Engine, EngineScan, EngineStore};
use crate::error::{Error, Result};
use crate::row::{Checkpoint, Context, Emission, Row, RowBuffer, Update};
use crate::table::entry::{MAX_BYTES, NONE};
use crate::table::frozen::{UndoLists, committed_row};
use crate::table::kept::KeptBytes;
use crate::table::ordered::{KeyRange, Order};
use crate::table::pending::{PendingList, Taken};
use crate::table::row_map::RowMap;
use crate::table::rows::Rows;
use crate::table::share::{InMemory, Share};
use crate::table::timed::TimedKeys;
use crate::table::undo::UndoList;

/// The writes between two commits. Later epochs are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(u64);

/// How a table behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// Keep a pending list: writes are emitted at the flush, the last one of each key only.
    pub cached: bool,
    /// Keys have a time in them: rows can be read by group, and expire by segment. A key that is too short to have one is
    /// read and written by itself only; what reads many rows passes it over.
    pub timed: Option<TimedKeys>,
}

/// A key-value store's rows; see the module's text.
///
/// ```
/// use anabranch_state_store::{Checkpoint, Context, KeyValueTable, Row, TableOptions};
///
/// let mut table = KeyValueTable::in_memory(TableOptions::default());
/// table.put(b"ann", Some(Row::new(b"5", 1_000)), &Context::none(1_000))?;
///
/// // The changelog has acknowledged the epoch's records: they stay.
/// let epoch = table.seal_epoch()?;
/// table.commit_epoch(epoch, Some(Checkpoint { offset: 0, wall_clock_ms: 1_000 }))?;
///
/// // Something failed before the next commit: back to the last one.
/// table.put(b"ann", None, &Context::none(1_000))?;
/// assert_eq!(table.get(b"ann")?, None);
/// table.abort();
/// assert_eq!(table.get(b"ann")?, Some(Row::new(b"5", 1_000)));
/// # Ok::<(), anabranch_state_store::Error>(())
/// ```
#[derive(Debug)]
pub struct KeyValueTable {
    options: TableOptions,
    rows: RowMap,
    pending: PendingList,
    /// The epoch that is written now.
    epoch: u64,
    /// All epochs up to this one are committed.
    committed: u64,
    /// Two undo lists, used in turn: when an epoch ends its list is cleared, and its allocation serves the epoch after
    /// next.
    undo: [Share<UndoList>; 2],
    /// The epoch whose commit is in flight: the one before the open one.
    sealed: Option<u64>,
    /// Slots that were written as absent: to be removed when nothing needs them any more.
    tombstones: Vec<u32>,
    scratch: RowBuffer,
    behind: Option<Behind>,
}

impl KeyValueTable {
    /// A table that lives in memory alone.
    #[must_use]
    pub fn in_memory(options: TableOptions) -> Self {
        KeyValueTable {
            options,
            rows: RowMap::new(options.timed),
            pending: PendingList::default(),
            epoch: 1,
            committed: 0,
            undo: [Share::default(), Share::default()],
            sealed: None,
            tombstones: Vec::new(),
            scratch: RowBuffer::default(),
            behind: None,
        }
    }

    /// A table over a store of an engine. It reflects the changelog up to [`stored_checkpoint`]; what is behind it must be
    /// [restored].
    ///
    /// # Errors
    /// If the store cannot be read.
    ///
    /// [`stored_checkpoint`]: KeyValueTable::stored_checkpoint
    /// [restored]: KeyValueTable::restore
    pub fn open(store: Box<dyn EngineStore>, options: TableOptions) -> Result<Self> {
        let behind = Behind::open(store)?;
        Ok(KeyValueTable { behind: Some(behind), ..KeyValueTable::in_memory(options) })
    }

    /// A table over the store of this name in an engine, and a store more for each segment if keys have a time.
    ///
    /// # Errors
    /// If a store cannot be read.
    pub fn open_in(engine: Arc<dyn Engine>, name: &str, options: TableOptions) -> Result<Self> {
        let Some(keys) = options.timed else { return KeyValueTable::open(engine.open_store(name)?, options) };
        let behind = Behind::open_segments(engine, name, keys)?;
        Ok(KeyValueTable { behind: Some(behind), ..KeyValueTable::in_memory(options) })
    }

    /// Counts there what views keep of it: rows that it has changed or forgotten since, and all of them once it is gone.
    #[must_use]
    pub fn counting_kept(mut self, kept: KeptBytes) -> Self {
        self.rows.slab.kept = kept;
        self
    }

    /// The newest row of `key`.
    ///
    /// # Errors
    /// If the engine cannot be read.
    #[inline]
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Row<'_>>> {
        let hash = self.rows.hash(key);
        Ok(self.find_or_load(hash, key)?.and_then(|slot| self.rows.get(slot).row()))
    }

    /// The row of `key` as of the last commit.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn get_committed(&mut self, key: &[u8]) -> Result<Option<Row<'_>>> {
        let hash = self.rows.hash(key);
        let slot = self.find_or_load(hash, key)?;
        Ok(slot.and_then(|slot| committed_row(self.rows.get(slot), self.committed, self.undo_lists())))
    }

    /// Writes a row, or deletes it.
    ///
    /// # Errors
    /// If the row is too large, or the engine cannot be read.
    #[inline]
    pub fn put(&mut self, key: &[u8], row: Option<Row<'_>>, context: &Context<'_>) -> Result<()> {
        let hash = self.rows.hash(key);
        let slot = self.find_or_load(hash, key)?;
        self.write(slot, hash, key, row, Some(context))
    }

    /// Writes a row that is never emitted: what a store notes for itself.
    ///
    /// # Errors
    /// As [`put`](KeyValueTable::put).
    pub fn put_unseen(&mut self, key: &[u8], row: Option<Row<'_>>) -> Result<()> {
        let hash = self.rows.hash(key);
        let slot = self.find_or_load(hash, key)?;
        self.write(slot, hash, key, row, None)
    }

    /// Shows the newest row of `key` to `change`, which may give a new one: read, modify and write by one probe.
    ///
    /// # Errors
    /// If the row is too large, or the engine cannot be read.
    #[inline]
    pub fn update<'n>(
        &mut self,
        key: &[u8],
        context: &Context<'_>,
        change: impl FnOnce(Option<Row<'_>>) -> Update<'n>,
    ) -> Result<()> {
        let hash = self.rows.hash(key);
        let slot = self.find_or_load(hash, key)?;
        match change(slot.and_then(|slot| self.rows.get(slot).row())) {
            Update::Keep => Ok(()),
            Update::Delete => self.write(slot, hash, key, None, Some(context)),
            Update::Put(new) => self.write(slot, hash, key, Some(new), Some(context)),
        }
    }

    /// The newest rows of a range. The iterator owns what it shows.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn range(&mut self, range: &KeyRange<'_>, order: Order) -> Result<Rows> {
        let engine = self.scan_engine(range, order)?;
        Ok(Rows::of_table(&mut self.rows, range, order, engine))
    }

    /// All rows, by key. The iterator owns what it shows.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn all(&mut self) -> Result<Rows> {
        self.range(&KeyRange::all(), Order::Forward)
    }

    /// Takes the first pending key whose last write was before `writes` (see [`pending_writes`]), to be looked at by
    /// [`taken`]; `false` if there is none. What was neither there nor is there is left out.
    ///
    /// [`pending_writes`]: KeyValueTable::pending_writes
    /// [`taken`]: KeyValueTable::taken
    pub fn take_pending(&mut self, writes: usize) -> bool {
        while let Some((slot, was_there)) = self.pending.take_before(writes) {
            let entry = self.rows.slab.get_mut(slot);
            entry.pending = NONE;
            if was_there || !entry.is_absent() {
                return true;
            }
        }
        if self.pending.len() == 0 {
            self.pending.clear();
        }
        false
    }

    /// What [`take_pending`](KeyValueTable::take_pending) has just taken, until the table is written again.
    #[inline]
    #[must_use]
    pub fn taken(&self) -> Option<Emission<'_>> {
        let Taken { slot, old, context } = self.pending.taken()?;
        let (key, new) = self.rows.get(slot).key_and_row();
        Some(Emission { key, new, old, context })
    }

    /// The present end of the pending list: a flush takes what was written before it, so that rows which are written
    /// while the flush forwards wait for the next one.
    #[must_use]
    pub fn pending_writes(&self) -> usize {
        self.pending.writes()
    }

    /// Hands all pending keys to `each`, in the order of their last write.
    ///
    /// # Errors
    /// The first one of `each`; the keys behind it stay pending.
    pub fn flush<E>(
        &mut self,
        mut each: impl FnMut(Emission<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let writes = self.pending.writes();
        while self.take_pending(writes) {
            self.taken().map_or(Ok(()), &mut each)?;
        }
        Ok(())
    }

    /// Ends the open epoch and begins the next: what was written in it will be committed, or undone, as one.
    ///
    /// # Errors
    /// [`Error::Misuse`] if keys are pending, or the epoch before is neither committed nor aborted.
    pub fn seal_epoch(&mut self) -> Result<Epoch> {
        if self.pending.len() > 0 {
            return Err(Error::Misuse("an epoch was sealed before the pending list was flushed"));
        }
        if self.sealed.is_some() {
            return Err(Error::Misuse("an epoch was sealed while the commit of the one before is in flight"));
        }
        self.pending.clear();
        let epoch = self.epoch;
        self.sealed = Some(epoch);
        self.epoch += 1;
        Ok(Epoch(epoch))
    }

    /// Forgets the undo list of the sealed epoch. `checkpoint` is the highest acknowledged changelog offset of the epoch,
    /// if it wrote to the changelog.
    ///
    /// # Errors
    /// [`Error::Misuse`] if `epoch` is not the sealed one.
    pub fn commit_epoch(&mut self, epoch: Epoch, checkpoint: Option<Checkpoint>) -> Result<()> {
        let Some(sealed) = self.sealed.take_if(|sealed| *sealed == epoch.0) else {
            return Err(Error::Misuse("an epoch was committed that is not the sealed one"));
        };
        self.committed = sealed;
        let list = &mut self.undo[turn(sealed)];
        match &mut self.behind {
            Some(behind) => behind.committed(list.get().slots(), checkpoint, self.rows.len()),
            None => self.sweep_tombstones(),
        }
        forget(&mut self.undo[turn(sealed)]);
        Ok(())
    }

    /// Puts everything back to the last commit and drops the pending list.
    pub fn abort(&mut self) {
        self.pending.clear();
        for epoch in [Some(self.epoch), self.sealed.take()].into_iter().flatten() {
            let list = std::mem::take(&mut self.undo[turn(epoch)]);
            self.undo(list.get());
            self.undo[turn(epoch)] = list;
            forget(&mut self.undo[turn(epoch)]);
        }
        self.sweep_tombstones();
    }

    /// Bytes held only so that an abort can put rows back.
    #[must_use]
    pub fn uncommitted_bytes(&self) -> usize {
        self.undo.iter().map(|list| list.get().bytes()).sum()
    }

    /// Bytes of the pending list.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending.bytes()
    }

    /// Keys to be emitted at the next flush.
    #[must_use]
    pub fn pending_rows(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of the rows in memory and their indices, and of those on their way into the engine.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        let bulk = self.behind.as_ref().and_then(|behind| behind.bulk.as_ref());
        self.rows.bytes() + bulk.map_or(0, Bulk::bytes)
    }

    /// Keys in memory, those of rows deleted but not yet forgotten among them.
    #[must_use]
    pub fn resident_rows(&self) -> usize {
        self.rows.len()
    }

    /// About how many rows there are: in memory, or where not all are there, by what the engine says.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn approximate_rows(&self) -> Result<u64> {
        let in_memory = self.rows.len().saturating_sub(self.tombstones.len()) as u64;
        match &self.behind {
            Some(behind) if !behind.is_complete() => Ok(in_memory.max(behind.approximate_rows()?)),
            _ => Ok(in_memory),
        }
    }

    /// Whether anything was written since the last commit.
    #[must_use]
    pub fn has_uncommitted(&self) -> bool {
        self.undo.iter().any(|list| !list.get().slots().is_empty())
    }

    #[inline]
    fn write(
        &mut self,
        slot: Option<u32>,
        hash: u32,
        key: &[u8],
        row: Option<Row<'_>>,
        context: Option<&Context<'_>>,
    ) -> Result<()> {
        if let Some(row) = row {
            check_size(key, row)?;
        }
        let slot = match slot {
            Some(slot) => slot,
            None if row.is_none() => return Ok(()),
            None => self.insert(hash, key)?,
        };
        let entry = self.rows.get_mut(slot);
        if row.is_none() {
            if entry.is_absent() && entry.pending == NONE {
                return Ok(());
            }
            if !entry.tombstone {
                entry.tombstone = true;
                self.tombstones.push(slot);
            }
        }
        if entry.epoch != self.epoch {
            entry.undo = self.undo[turn(self.epoch)].get_mut().push(slot, entry);
            entry.epoch = self.epoch;
        }
        if let Some(context) = context.filter(|_| self.options.cached) {
            if entry.pending == NONE {
                entry.pending = self.pending.add(slot, entry, context);
            } else {
                self.pending.touch(entry.pending, context);
            }
        }
        self.rows.set(slot, row);
        Ok(())
    }

    /// The slot of a key, read from the engine if it is not in memory. `None` if there is no row.
    #[inline]
    fn find_or_load(&mut self, hash: u32, key: &[u8]) -> Result<Option<u32>> {
        let slot = self.rows.find(hash, key);
        match &self.behind {
            None => Ok(slot),
            Some(behind) => match slot {
                Some(slot) => {
                    self.rows.slab.reference(slot);
                    Ok(Some(slot))
                }
                None if behind.is_complete_for(key) => Ok(None),
                None => self.load(hash, key),
            },
        }
    }

    /// The rows of a range in the engine, if not all of them are in memory.
    fn scan_engine(&mut self, range: &KeyRange<'_>, order: Order) -> Result<Option<Box<dyn EngineScan>>> {
        match &self.behind {
            Some(behind) if !behind.is_complete() => behind.scan(range, order).map(Some),
            _ => Ok(None),
        }
    }

    /// Adds a key that is not there, as absent.
    fn insert(&mut self, hash: u32, key: &[u8]) -> Result<u32> {
        if let Some(behind) = &self.behind {
            behind.check_key(key)?;
        }
        self.rows.insert(hash, key)
    }

    fn undo_lists(&self) -> UndoLists<'_> {
        let list = |epoch: u64| (epoch, self.undo[turn(epoch)].get());
        [Some(list(self.epoch)), self.sealed.map(list)]
    }

    fn undo(&mut self, list: &UndoList) {
        for (position, slot) in list.slots().iter().enumerate() {
            let previous = list.previous(position as u32);
            self.rows.set(*slot, previous.row);
            let entry = self.rows.get_mut(*slot);
            entry.epoch = previous.epoch;
            entry.pending = NONE;
            if previous.row.is_none() && !entry.tombstone {
                entry.tombstone = true;
                self.tombstones.push(*slot);
            }
        }
    }

    /// Removes absent rows that neither an undo list nor the engine waits for.
    fn sweep_tombstones(&mut self) {
        if self.tombstones.is_empty() {
            return;
        }
        let settled = self.behind.as_ref().map_or(self.committed, Behind::stored);
        let mut tombstones = std::mem::take(&mut self.tombstones);
        tombstones.retain(|slot| {
            let entry = self.rows.get_mut(*slot);
            let waits = entry.is_absent() && entry.epoch > settled;
            entry.tombstone = waits;
            if entry.occupied && entry.is_absent() && !waits {
                self.rows.remove(*slot);
            }
            waits
        });
        self.tombstones = tombstones;
    }
}

/// Which of the two undo lists an epoch has.
fn turn(epoch: u64) -> usize {
    (epoch % 2) as usize
}

/// Empties the undo list of an epoch that is over. What a view holds of it is left to the view.
fn forget(list: &mut Share<UndoList>) {
    match list {
        Share::Owned(list) => list.clear(),
        Share::Shared(_) => list.leave(),
    }
}

fn check_size(key: &[u8], row: Row<'_>) -> Result<()> {
    if key.len() + row.value.len() + row.headers.len() > MAX_BYTES {
        return Err(Error::TooLarge { what: "the bytes of key, value and headers", limit: MAX_BYTES as u64 });
    }
    Ok(())
}
