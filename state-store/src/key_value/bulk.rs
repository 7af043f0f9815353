//! The restoration of a store that has nothing yet: its rows are written to the engine once, in the order of their keys.
//!
//! As long as there is room rows are restored into memory, and nothing is written. When the table grows over what it may
//! have, its rows go into sorted runs, and so does all that follows ([`Runs`]): a run takes a third of the memory, is made
//! without a look into a table that no cache holds, and can be put aside in a file. At the end the rows are merged and
//! loaded into the engine beside the work of the caller.
//!
//! ```text
//!   begin_restore -> in memory ---- end_restore --> loading, may be read ----> stored
//!                        |                                                       ^
//!                        +-- evict --> in runs ---- end_restore --> loading -----+
//! ```
//!
//! The checkpoint is written when all rows are in the engine. A crash before leaves a store without one, and the next
//! restoration begins anew. Rows that are in runs cannot be read, nor can the store be written to, until they are loaded;
//! what is restored meanwhile waits in memory.

use std::task::Context;

use super::behind::Behind;
use super::{KeyValueTable, check_size};
use crate::engine::loading::Loading;
use crate::engine::runs::Runs;
use crate::error::{Error, Result};
use crate::row::{Checkpoint, Row};
use crate::table::row_map::RowMap;

/// Fewer rows are written in chunks.
const BULK_ROWS: usize = if cfg!(test) { 50 } else { 20_000 };

/// How far such a restoration is.
#[derive(Debug)]
pub(super) enum Bulk {
    /// All rows are in memory.
    Resident,
    /// No row is.
    Runs(Runs),
    /// They are being written.
    Loading(Load),
}

#[derive(Debug)]
pub(super) struct Load {
    loading: Loading,
    /// What the rows reflect.
    checkpoint: Option<Checkpoint>,
    /// The last epoch whose rows are among them.
    cut: u64,
    /// All of them are in memory too.
    resident: bool,
    /// Bytes that the rows have in memory on their way.
    bytes: usize,
}

impl Bulk {
    /// Bytes in memory outside of the table.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Bulk::Resident => 0,
            Bulk::Runs(runs) => runs.bytes(),
            Bulk::Loading(load) => load.bytes,
        }
    }

    /// The last epoch whose rows are no more to be changed.
    pub(super) fn cut(&self) -> Option<u64> {
        match self {
            Bulk::Loading(load) => Some(load.cut),
            _ => None,
        }
    }

    /// Whether rows are neither in memory nor in the engine.
    fn hides_rows(&self) -> bool {
        match self {
            Bulk::Resident => false,
            Bulk::Runs(_) => true,
            Bulk::Loading(load) => !load.resident,
        }
    }
}

impl KeyValueTable {
    /// Says that the store is going to be restored from the start of its changelog. If it has nothing yet, its rows are
    /// written all at once in the end ([`end_restore`](KeyValueTable::end_restore)), and until then cannot be read.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn begin_restore(&mut self) -> Result<()> {
        let is_new = self.rows.len() == 0 && self.committed == 0 && !self.has_uncommitted();
        match &mut self.behind {
            Some(behind) if is_new && behind.bulk.is_none() && behind.is_new()? => {
                behind.bulk = Some(Bulk::Resident);
            }
            _ => {}
        }
        Ok(())
    }

    /// Says that the store has been restored to the end. True when its rows may be read; until then it is to be called
    /// again, when [`poll_load`](KeyValueTable::poll_load) says so.
    ///
    /// # Errors
    /// If the engine cannot be written.
    pub fn end_restore(&mut self) -> Result<bool> {
        let Some(behind) = &mut self.behind else { return Ok(true) };
        match behind.bulk.take() {
            Some(Bulk::Resident) => self.load_resident()?,
            Some(Bulk::Runs(runs)) => behind.begin_load(runs, self.committed, false)?,
            bulk => behind.bulk = bulk,
        }
        self.advance_load()?;
        Ok(!self.hides_rows())
    }

    /// Whether what is on its way into the engine goes on when it is asked to; wakes the caller when it does.
    pub fn poll_load(&self, context: &mut Context<'_>) -> bool {
        match self.behind.as_ref().and_then(|behind| behind.bulk.as_ref()) {
            Some(Bulk::Loading(load)) => load.loading.poll_ready(context),
            _ => true,
        }
    }

    /// Waits until rows that are in memory, and on their way into the engine, are there: for whoever closes the store.
    /// What cannot be read yet is given up.
    ///
    /// # Errors
    /// If the engine cannot be written.
    pub fn finish_load(&mut self) -> Result<()> {
        let Some(behind) = &mut self.behind else { return Ok(()) };
        if behind.bulk.as_ref().is_some_and(|bulk| matches!(bulk, Bulk::Resident)) {
            // It has not come to its end: what is there is kept, and the rest restored next time.
            behind.bulk = None;
        }
        if let Some(Bulk::Loading(load)) = &mut behind.bulk
            && load.resident
        {
            load.loading.wait(&mut *behind.store)?;
            self.advance_load()?;
        }
        Ok(())
    }

    /// Whether rows cannot be read because they are on their way into the engine.
    #[must_use]
    pub fn hides_rows(&self) -> bool {
        self.behind.as_ref().is_some_and(Behind::hides_rows)
    }

    /// Whether nothing can be written behind for now.
    pub(super) fn is_bulk(&mut self) -> Result<bool> {
        self.advance_load()?;
        Ok(self.behind.as_ref().is_some_and(|behind| behind.bulk.is_some()))
    }

    fn advance_load(&mut self) -> Result<()> {
        let Some(behind) = &mut self.behind else { return Ok(()) };
        if let Some(Bulk::Loading(load)) = &mut behind.bulk
            && load.loading.advance(&mut *behind.store)?
        {
            behind.stored = load.cut;
            behind.stored_checkpoint = load.checkpoint.or(behind.stored_checkpoint);
            behind.bulk = None;
            self.sweep_tombstones();
        }
        Ok(())
    }

    /// Begins to load the rows that are in memory, if there are many.
    fn load_resident(&mut self) -> Result<()> {
        if self.rows.len() < BULK_ROWS {
            return Ok(());
        }
        let runs = self.runs(usize::MAX)?;
        let Some(behind) = &mut self.behind else { return Ok(()) };
        behind.begin_load(runs, self.committed, true)
    }

    /// The rows of a table that is being restored take more than so many bytes: they go into runs.
    pub(super) fn move_into_runs(&mut self, bytes: usize) -> Result<()> {
        let runs = self.runs(bytes)?;
        self.rows = RowMap::new(self.options.timed);
        self.tombstones.clear();
        if let Some(behind) = &mut self.behind {
            behind.complete = false;
            behind.bulk = Some(Bulk::Runs(runs));
        }
        Ok(())
    }

    /// All rows. None is to be written behind any more.
    fn runs(&mut self, limit: usize) -> Result<Runs> {
        let Some(behind) = &mut self.behind else { return Err(Error::Misuse("a table without an engine")) };
        let mut runs = Runs::new(behind.store.name(), behind.store.engine());
        runs.set_limit(limit);
        for slot in 0..self.rows.slab.slots() {
            let (key, row) = self.rows.get(slot).key_and_row();
            if row.is_some() {
                runs.push(key, row, || behind.store.scratch_file())?;
            }
        }
        behind.dirty = Vec::new();
        Ok(runs)
    }

    /// Takes a restored row, if rows go into runs.
    #[inline]
    pub(super) fn restore_into_runs(&mut self, key: &[u8], row: Option<Row<'_>>) -> Result<bool> {
        let Some(behind) = &mut self.behind else { return Ok(false) };
        behind.check_key(key)?;
        let Some(Bulk::Runs(runs)) = &mut behind.bulk else { return Ok(false) };
        if let Some(row) = row {
            check_size(key, row)?;
        }
        runs.push(key, row, || behind.store.scratch_file())?;
        Ok(true)
    }
}

impl Behind {
    pub(super) fn hides_rows(&self) -> bool {
        self.bulk.as_ref().is_some_and(Bulk::hides_rows)
    }

    fn begin_load(&mut self, runs: Runs, cut: u64, resident: bool) -> Result<()> {
        let (bytes, checkpoint) = (runs.bytes(), self.checkpoint);
        let loading = self.store.load(runs.merge(), checkpoint)?;
        self.bulk = Some(Bulk::Loading(Load { loading, checkpoint, cut, resident, bytes }));
        Ok(())
    }
}

/// Who reads rows that are not there yet would see none.
#[cold]
pub(super) fn hidden() -> Error {
    Error::Misuse("a store was read before it was restored")
}
