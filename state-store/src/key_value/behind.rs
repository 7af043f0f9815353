//! The table's side of its engine: loading, write-behind, restore, eviction.
//!
//! An entry is *clean*, and may be evicted, if the epoch of its last write is stored. No mark is set or cleared for it:
//! finishing a run of write-behind raises the stored epoch and makes all its rows clean at once, an abort that puts back
//! an entry's epoch makes it clean again.
//!
//! A *run* is cut at the last committed epoch. Its rows are written in chunks, each as of the last commit when it is
//! written; the last chunk carries the changelog offset of the cut. A crash in the middle leaves rows that are newer than
//! the offset says: the changelog behind the offset is replayed to its end over them, and the last write wins.

use std::sync::Arc;

use super::bulk::{Bulk, hidden};
use super::{KeyValueTable, check_size};
use crate::engine::segments::SegmentStores;
use crate::engine::{ChunkRows, Engine, EngineScan, EngineSnapshot, EngineStore};
use crate::error::{Error, Result};
use crate::row::{Checkpoint, Row, RowBuffer};
use crate::table::entry::NONE;
use crate::table::frozen::committed_row;
use crate::table::ordered::{KeyRange, Order};
use crate::table::timed::TimedKeys;

/// An engine's store and what the table knows of it.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) store: Box<dyn EngineStore>,
    /// If keys have a time: the stores of their segments. `store` has what has none.
    pub(super) segments: Option<SegmentStores>,
    /// Whether every row of `store` is in memory too.
    pub(super) complete: bool,
    /// Rows of epochs up to this one are in the engine.
    pub(super) stored: u64,
    /// What the engine reflects.
    pub(super) stored_checkpoint: Option<Checkpoint>,
    /// What the committed rows reflect.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Slots of committed rows to be written, some of them more than once.
    pub(super) dirty: Vec<u32>,
    run: Option<Run>,
    /// It is restored from nothing: nothing is written behind.
    pub(super) bulk: Option<Bulk>,
    /// The slot that the eviction looks at next.
    hand: u32,
    /// The epoch that was stored when the eviction last found nothing more: until another one is, it looks no further.
    exhausted: Option<u64>,
}

#[derive(Debug)]
struct Run {
    /// The last epoch it holds.
    cut: u64,
    checkpoint: Option<Checkpoint>,
    slots: Vec<u32>,
    /// Slots before this one are written.
    written: usize,
}

impl Behind {
    pub(super) fn open(store: Box<dyn EngineStore>) -> Result<Self> {
        let checkpoint = store.checkpoint()?;
        Ok(Behind {
            complete: store.is_empty()?,
            store,
            segments: None,
            stored: 0,
            stored_checkpoint: checkpoint,
            checkpoint,
            dirty: Vec::new(),
            run: None,
            bulk: None,
            hand: 0,
            exhausted: None,
        })
    }

    pub(super) fn open_segments(engine: Arc<dyn Engine>, name: &str, keys: TimedKeys) -> Result<Self> {
        let behind = Behind::open(engine.open_store(name)?)?;
        Ok(Behind { segments: Some(SegmentStores::open(engine, name, keys)?), ..behind })
    }

    /// Whether every row that can be shown is in memory too. In a table of timed keys one without a time is no row.
    #[inline]
    pub(super) fn is_complete(&self) -> bool {
        match &self.segments {
            _ if self.hides_rows() => false,
            None => self.complete,
            Some(segments) => segments.are_complete(),
        }
    }

    /// Whether the engine has nothing to say about a key that is not in memory.
    #[inline]
    pub(super) fn is_complete_for(&self, key: &[u8]) -> bool {
        match &self.segments {
            _ if self.hides_rows() => false,
            None => self.complete,
            Some(segments) => segments.segment_of(key).map_or(self.complete, |id| segments.is_complete(id)),
        }
    }

    /// Notes that a row is to be in the engine only; false if its segment was dropped there.
    fn set_incomplete_for(&mut self, key: &[u8]) -> bool {
        let segment = self.segments.as_mut().and_then(|segments| Some((segments.segment_of(key)?, segments)));
        match segment {
            Some((segment, segments)) => segments.set_complete(segment, false),
            None => {
                self.complete = false;
                true
            }
        }
    }

    fn get(&self, key: &[u8], row: &mut RowBuffer) -> Result<bool> {
        match self.segments.as_ref().and_then(|segments| Some((segments, segments.segment_of(key)?))) {
            Some((segments, segment)) => segments.get(segment, key, row),
            None => self.store.get(key, row),
        }
    }

    fn write(&mut self, rows: &mut ChunkRows<'_, '_>, checkpoint: Option<Checkpoint>) -> Result<()> {
        match &mut self.segments {
            None => self.store.write(rows, checkpoint),
            Some(segments) => {
                let others = segments.write(rows)?;
                self.store.write(&mut others.into_iter(), checkpoint)
            }
        }
    }

    /// Whether nothing was ever written of it. Segments may be left of a load that did not come to its end.
    pub(super) fn is_new(&self) -> Result<bool> {
        let is_new = self.stored_checkpoint.is_none() && self.run.is_none();
        Ok(is_new && self.store.is_empty()?)
    }

    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    /// The rows in the engine, at least those that are not in memory.
    pub(super) fn snapshot(&self) -> Result<Box<dyn EngineSnapshot>> {
        match &self.segments {
            _ if self.hides_rows() => Err(hidden()),
            Some(segments) => segments.snapshot(),
            None => self.store.snapshot(),
        }
    }

    /// About how many rows the engine has.
    pub(super) fn approximate_rows(&self) -> Result<u64> {
        let of_segments = self.segments.as_ref().map_or(Ok(0), SegmentStores::approximate_rows)?;
        Ok(self.store.approximate_rows()? + of_segments)
    }

    pub(super) fn scan(&self, range: &KeyRange<'_>, order: Order) -> Result<Box<dyn EngineScan>> {
        self.snapshot()?.scan(range, order)
    }

    /// What may have rows of segments from one to another that are not in memory, oldest first.
    pub(super) fn snapshots(&self, (first, last): (u64, u64)) -> Result<Vec<Box<dyn EngineSnapshot>>> {
        match &self.segments {
            _ if self.hides_rows() => Err(hidden()),
            Some(segments) => segments.snapshots(first, last),
            None if self.complete => Ok(Vec::new()),
            None => Ok(vec![self.store.snapshot()?]),
        }
    }

    pub(super) fn check_key(&self, key: &[u8]) -> Result<()> {
        let limit = self.store.key_limit_bytes();
        if key.len() > limit {
            return Err(Error::KeyTooLarge { length: key.len(), limit, engine: self.store.engine() });
        }
        Ok(())
    }

    /// Notes the rows of a committed epoch; the table has `rows` keys.
    pub(super) fn committed(&mut self, slots: &[u32], checkpoint: Option<Checkpoint>, rows: usize) {
        self.checkpoint = checkpoint.or(self.checkpoint);
        self.dirty.extend_from_slice(slots);
        if self.dirty.len() > 2 * rows + 1024 {
            self.dirty.sort_unstable();
            self.dirty.dedup();
        }
    }

    fn begin_run(&mut self, committed: u64) {
        let mut slots = std::mem::take(&mut self.dirty);
        if let Some(unfinished) = self.run.take() {
            slots.extend_from_slice(&unfinished.slots[unfinished.written..]);
        }
        // In the order of the slots, so that memory is read straight through.
        slots.sort_unstable();
        slots.dedup();
        self.run = Some(Run { cut: committed, checkpoint: self.checkpoint, slots, written: 0 });
    }
}

impl KeyValueTable {
    /// What the engine reflects: the changelog behind it must be restored when the store is opened again.
    #[must_use]
    pub fn stored_checkpoint(&self) -> Option<Checkpoint> {
        self.behind.as_ref().and_then(|behind| behind.stored_checkpoint)
    }

    /// Whether [`write_behind`](KeyValueTable::write_behind) has something to do.
    #[must_use]
    pub fn has_unstored(&self) -> bool {
        self.behind.as_ref().is_some_and(|behind| {
            behind.run.is_some() || !behind.dirty.is_empty() || behind.checkpoint != behind.stored_checkpoint
        })
    }

    /// Committed rows still to be written behind; a row that several commits wrote may be counted for each.
    #[must_use]
    pub fn unstored_rows(&self) -> usize {
        self.behind.as_ref().map_or(0, |behind| {
            behind.dirty.len() + behind.run.as_ref().map_or(0, |run| run.slots.len() - run.written)
        })
    }

    /// Writes one chunk of about `chunk_bytes` to the engine and says whether there is more to write. The rows stay in
    /// memory, clean once their run is finished.
    ///
    /// # Errors
    /// If the engine cannot be written; the same chunk is written again then.
    pub fn write_behind(&mut self, chunk_bytes: usize) -> Result<bool> {
        if self.is_bulk()? {
            return Ok(self.load_goes_on());
        }
        if !self.has_unstored() {
            return Ok(false);
        }
        let Some(mut behind) = self.behind.take() else { return Ok(false) };
        if behind.run.is_none() {
            behind.begin_run(self.committed);
        }
        let written = self.write_chunk(&mut behind, chunk_bytes);
        self.behind = Some(behind);
        let finished = written?;
        if finished {
            self.sweep_tombstones();
        }
        Ok(!finished || self.has_unstored())
    }

    /// Applies a changelog record straight to the committed rows, nothing to be undone, forwarded or logged.
    ///
    /// # Errors
    /// [`Error::Misuse`] if anything is uncommitted; if the row is too large.
    pub fn restore(&mut self, key: &[u8], row: Option<Row<'_>>) -> Result<()> {
        if self.has_uncommitted() || self.sealed.is_some() {
            return Err(Error::Misuse("rows were restored while others are uncommitted"));
        }
        if self.restore_into_runs(key, row)? {
            return Ok(());
        }
        if let Some(row) = row {
            check_size(key, row)?;
        }
        let hash = self.rows.hash(key);
        let slot = match self.rows.find(hash, key) {
            Some(slot) => slot,
            // An incomplete table need not know what the engine has: it will be written over.
            None if row.is_none()
                && self.behind.as_ref().is_none_or(|behind| behind.is_complete_for(key)) =>
            {
                return Ok(());
            }
            None => self.insert(hash, key)?,
        };
        let Some(behind) = &mut self.behind else {
            if row.is_some() {
                self.rows.set(slot, row)
            } else {
                self.rows.remove(slot)
            }
            return Ok(());
        };
        // Restored rows belong to a committed epoch that no run has.
        let loaded = behind.bulk.as_ref().and_then(Bulk::cut).unwrap_or(behind.stored);
        if self.committed <= behind.run.as_ref().map_or(loaded, |run| run.cut) {
            self.committed = self.epoch;
            self.epoch += 1;
        }
        let entry = self.rows.get_mut(slot);
        if entry.epoch != self.committed {
            entry.epoch = self.committed;
            behind.dirty.push(slot);
        }
        entry.referenced = true;
        if row.is_none() && !entry.tombstone {
            entry.tombstone = true;
            self.tombstones.push(slot);
        }
        self.rows.set(slot, row);
        Ok(())
    }

    /// Notes how far the changelog was restored.
    pub fn restored_to(&mut self, checkpoint: Checkpoint) {
        if let Some(behind) = &mut self.behind {
            behind.checkpoint = Some(checkpoint);
        }
    }

    /// Evicts rows that the engine has too, those not used for long first, until at most `bytes` are resident. Rows that
    /// are not yet stored stay: write them behind first. Where rows are read by group, a read brings back whole segments,
    /// so whole segments go, and the newest one stays.
    ///
    /// # Errors
    /// If rows that are being restored have to be put aside, and the disk fails.
    pub fn evict(&mut self, bytes: usize) -> Result<()> {
        match self.behind.as_mut().and_then(|behind| behind.bulk.as_mut()) {
            Some(Bulk::Resident) if self.rows.bytes() > bytes => return self.move_into_runs(bytes),
            Some(Bulk::Runs(runs)) => runs.set_limit(bytes),
            _ => self.evict_rows(bytes),
        }
        Ok(())
    }

    fn evict_rows(&mut self, bytes: usize) {
        let has_groups = self.rows.has_groups();
        let Some(behind) = &mut self.behind else { return };
        if self.rows.bytes() <= bytes || behind.exhausted == Some(behind.stored) {
            return;
        }
        if let Some(segments) = behind.segments.as_mut().filter(|_| has_groups) {
            let newest = self.rows.newest_segment();
            for segment in segments.unused() {
                if self.rows.bytes() <= bytes || Some(segment) == newest {
                    return;
                }
                let slots: Vec<u32> = self.rows.segment_slots(segment, segment).collect();
                slots.into_iter().for_each(|slot| _ = self.evict_row(slot));
            }
            return;
        }
        let slots = self.rows.slab.slots();
        let (mut looked_at, mut is_held) = (0, false);
        // In the first round the hand takes away the marks of use, in the second the rows.
        while looked_at < 2 * u64::from(slots) {
            let Some(behind) = &mut self.behind else { return };
            let slot = behind.hand;
            let held_up_to = self.rows.slab.end_if_held(slot);
            let next = held_up_to.unwrap_or(slot + 1);
            behind.hand = next % slots;
            looked_at += u64::from(next - slot);
            if held_up_to.is_some() {
                is_held = true;
            } else if self.rows.get(slot).referenced {
                self.rows.get_mut(slot).referenced = false;
            } else if self.evict_row(slot) && self.rows.bytes() <= bytes {
                return;
            }
        }
        if let Some(behind) = &mut self.behind
            && !is_held
        {
            behind.exhausted = Some(behind.stored);
        }
    }

    /// Evicts a row if it is clean; whether it was. What views hold stays: it would only be copied for them.
    fn evict_row(&mut self, slot: u32) -> bool {
        if self.rows.slab.end_if_held(slot).is_some() {
            return false;
        }
        let Some(behind) = &mut self.behind else { return false };
        let entry = self.rows.get(slot);
        if !entry.occupied || entry.epoch > behind.stored || entry.pending != NONE {
            return false;
        }
        if !entry.is_absent() && !behind.set_incomplete_for(entry.key()) {
            return false;
        }
        self.rows.remove(slot);
        true
    }

    /// Forgets the rows of the segments before this one, in memory and in the engine. No deletion is emitted and nothing
    /// brings them back. Call it when an epoch is committed; what a later epoch has written there stays until the next
    /// call.
    ///
    /// # Errors
    /// If the engine cannot be written.
    pub fn drop_segments(&mut self, before: u64) -> Result<()> {
        if let Some(behind) = &mut self.behind {
            behind.drop_segments(before)?;
        }
        if self.rows.oldest_segment().is_none_or(|oldest| oldest >= before) || before == 0 {
            return Ok(());
        }
        let expired: Vec<u32> = self.rows.segment_slots(0, before - 1).collect();
        for slot in expired {
            let entry = self.rows.get(slot);
            if entry.epoch <= self.committed && entry.pending == NONE {
                self.rows.remove(slot);
            }
        }
        Ok(())
    }

    /// Reads the segments from one to another whole, if rows of them are not in memory: who reads ranges asks for them
    /// with every record.
    pub(super) fn load_segments(&mut self, first: u64, last: u64) -> Result<()> {
        if self.hides_rows() {
            return Err(hidden());
        }
        let missing = |table: &mut Self| table.behind.as_mut()?.segments.as_mut()?.incomplete(first, last);
        while let Some(segment) = missing(self) {
            self.load_segment(segment)?;
        }
        Ok(())
    }

    #[cold]
    fn load_segment(&mut self, segment: u64) -> Result<()> {
        let Some(segments) = self.behind.as_ref().and_then(|behind| behind.segments.as_ref()) else {
            return Ok(());
        };
        if let Some(mut scan) = segments.scan(segment)? {
            let (mut key, mut row) = (Vec::new(), RowBuffer::default());
            while scan.next(&mut key, &mut row)? {
                let hash = self.rows.hash(&key);
                // What is in memory is right, a deletion too.
                if self.rows.find(hash, &key).is_none() {
                    let slot = self.rows.insert(hash, &key)?;
                    self.rows.set(slot, Some(row.row()));
                }
            }
        }
        if let Some(segments) = self.behind.as_mut().and_then(|behind| behind.segments.as_mut()) {
            segments.set_complete(segment, true);
        }
        Ok(())
    }

    /// Reads a row that is not in memory.
    #[cold]
    pub(super) fn load(&mut self, hash: u32, key: &[u8]) -> Result<Option<u32>> {
        let Some(behind) = &self.behind else { return Ok(None) };
        if key.len() > behind.store.key_limit_bytes() {
            return Ok(None);
        }
        if behind.hides_rows() {
            return Err(hidden());
        }
        let found = behind.get(key, &mut self.scratch)?;
        // Absence is kept too: who asks for a key mostly writes it next.
        let slot = self.rows.insert(hash, key)?;
        if found {
            self.rows.set(slot, Some(self.scratch.row()));
        }
        self.rows.get_mut(slot).referenced = true;
        Ok(Some(slot))
    }

    /// Writes the next chunk of the run; says whether it was the last one.
    fn write_chunk(&mut self, behind: &mut Behind, chunk_bytes: usize) -> Result<bool> {
        let Some(mut run) = behind.run.take() else { return Ok(true) };
        let rest = &run.slots[run.written..];
        let mut bytes = 0;
        let fits = |slot: &&u32| {
            let before = bytes;
            bytes += self.rows.get(**slot).packed_bytes() + size_of::<u64>();
            before == 0 || bytes <= chunk_bytes
        };
        let mut chunk: Vec<u32> = rest.iter().take_while(fits).copied().collect();
        let count = chunk.len();
        let last = count == rest.len();
        let checkpoint = if last { run.checkpoint } else { None };
        let written = self.write_sorted(&mut chunk, |rows| behind.write(rows, checkpoint));
        if written.is_ok() {
            run.written += count;
        }
        if last && written.is_ok() {
            behind.stored = run.cut;
            behind.stored_checkpoint = run.checkpoint.or(behind.stored_checkpoint);
        } else {
            behind.run = Some(run);
        }
        written.map(|()| last)
    }

    /// Hands the committed rows of `slots` to `write`, in the order of their keys. Slots that a dropped segment has left
    /// empty are passed over.
    fn write_sorted(
        &self,
        slots: &mut Vec<u32>,
        write: impl FnOnce(&mut ChunkRows<'_, '_>) -> Result<()>,
    ) -> Result<()> {
        slots.retain(|slot| self.rows.get(*slot).occupied);
        slots.sort_unstable_by(|left, right| self.rows.get(*left).key().cmp(self.rows.get(*right).key()));
        let row = |slot: &u32| {
            let entry = self.rows.get(*slot);
            (entry.key(), committed_row(entry, self.committed, self.undo_lists()))
        };
        write(&mut slots.iter().map(row))
    }
}
