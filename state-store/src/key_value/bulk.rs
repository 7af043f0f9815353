//! The restoration of a store that has nothing yet: its rows are written to the engine once, in the order of their keys.
//!
//! As long as there is room rows are restored into memory, and nothing is written. When the table grows over what it may
//! have, its rows go into sorted runs, and so does all that follows ([`SegmentRuns`]): a run takes a third of the memory, is made
//! without a look into a table that no cache holds, and can be put aside in a file. At the end the rows are merged and
//! loaded into the engine beside the work of the caller.
//!
//! ```text
//!   begin_restore -> in memory ---- end_restore --> loading, may be read ----> stored
//!                        |                                                       ^
//!                        +-- evict --> in runs ---- end_restore --> loading -----+
//! ```
//!
//! Rows that have a time are collected, and loaded, by segment. What expires meanwhile goes when all is loaded.
//!
//! The checkpoint is written when all rows are in the engine. A crash before leaves a store without one, and the next
//! restoration begins anew. Rows that are in runs cannot be read, nor can the store be written to, until they are loaded;
//! what is restored meanwhile waits in memory.

use std::task::{Context, Waker};

use super::behind::Behind;
use super::{KeyValueTable, check_size};
use crate::engine::loading::Loading;
use crate::engine::runs::MergedRows;
use crate::engine::segment_runs::{MergedSegments, SegmentRuns};
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
    Runs(SegmentRuns),
    /// They are being written.
    Loading(Load),
}

#[derive(Debug)]
pub(super) struct Load {
    loading: Loading,
    /// If that are segments: the rows that are to be loaded after them.
    own: Option<MergedRows>,
    /// Segments before this one have expired since.
    floor: u64,
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
                if let Some(segments) = &mut behind.segments {
                    segments.clear()?;
                }
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

    /// Waits until what is on its way into the engine is there: for whoever closes the store. Rows that have not all come
    /// are given up if they are in runs: they are sooner read again than the rest of them is written to a store that has rows.
    ///
    /// # Errors
    /// If the engine cannot be written.
    pub fn finish_load(&mut self) -> Result<()> {
        let Some(behind) = &mut self.behind else { return Ok(()) };
        if behind.bulk.as_ref().is_some_and(|bulk| matches!(bulk, Bulk::Resident)) {
            // It has not come to its end: what is there is kept, and the rest restored next time.
            behind.bulk = None;
        }
        while let Some(Behind { bulk: Some(Bulk::Loading(load)), .. }) = &mut self.behind {
            load.loading.wait();
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

    /// Whether what is on its way into the engine waits for the next call.
    pub(super) fn load_goes_on(&self) -> bool {
        match self.behind.as_ref().and_then(|behind| behind.bulk.as_ref()) {
            Some(Bulk::Loading(load)) => load.loading.poll_ready(&mut Context::from_waker(Waker::noop())),
            _ => false,
        }
    }

    fn advance_load(&mut self) -> Result<()> {
        let Some(behind) = &mut self.behind else { return Ok(()) };
        if behind.advance_load()? {
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
    fn runs(&mut self, limit: usize) -> Result<SegmentRuns> {
        let Some(behind) = &mut self.behind else { return Err(Error::Misuse("a table without an engine")) };
        let mut runs = SegmentRuns::new(behind.store.name(), behind.store.engine(), self.options.timed);
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

    fn begin_load(&mut self, runs: SegmentRuns, cut: u64, resident: bool) -> Result<()> {
        let (bytes, checkpoint) = (runs.bytes(), self.checkpoint);
        let MergedSegments { segments, own } = runs.merge();
        let (loading, own) = match &self.segments {
            Some(stores) if !segments.is_empty() => (stores.load(segments)?, Some(own)),
            _ => (self.store.load(own, checkpoint)?, None),
        };
        self.bulk = Some(Bulk::Loading(Load { loading, own, floor: 0, checkpoint, cut, resident, bytes }));
        Ok(())
    }

    /// Goes on with what is on its way into the engine; true when it has just come to its end.
    fn advance_load(&mut self) -> Result<bool> {
        loop {
            let Some(Bulk::Loading(load)) = &mut self.bulk else { return Ok(false) };
            if !load.loading.advance(&mut *self.store)? {
                return Ok(false);
            }
            let Some(own) = load.own.take() else {
                self.stored = load.cut;
                self.stored_checkpoint = load.checkpoint.or(self.stored_checkpoint);
                self.bulk = None;
                return Ok(true);
            };
            if let Some(segments) = &mut self.segments {
                segments.open_loaded(load.resident)?;
                segments.drop_before(load.floor)?;
            }
            load.loading = self.store.load(own, load.checkpoint)?;
        }
    }

    /// Drops the segments before this one. Those that are being loaded are dropped when they are there.
    pub(super) fn drop_segments(&mut self, before: u64) -> Result<()> {
        match (&mut self.bulk, &mut self.segments) {
            (Some(Bulk::Runs(runs)), _) => runs.drop_before(before),
            (Some(Bulk::Loading(load)), _) if load.own.is_some() => load.floor = load.floor.max(before),
            (_, Some(segments)) => segments.drop_before(before)?,
            _ => {}
        }
        Ok(())
    }
}

/// Who reads rows that are not there yet would see none.
#[cold]
pub(super) fn hidden() -> Error {
    Error::Misuse("a store was read before it was restored")
}
