//! A table's segments in the engine: a store for each, so that an expired one is dropped and not deleted row by row.
//!
//! The segment of time 17 of the store `0_1-counts` is the store `0_1-counts#17`; names of stores have no `#`. Chunks are
//! written segment by segment and what they reflect is noted in the table's own store, last: an engine brings batches back
//! in their order, so whatever a crash takes, the rows that the note speaks of are there. So it is when a table is restored
//! from nothing: its segments are loaded one after the other, the table's own store at last. Segments of a table that
//! reflects nothing are what is left of one that did not come so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::loading::Loading;
use super::merged::MergedSnapshot;
use super::runs::MergedRows;
use super::{ChunkRows, Engine, EngineScan, EngineSnapshot, EngineStore};
use crate::error::Result;
use crate::row::{Row, RowBuffer};
use crate::table::ordered::{KeyRange, Order};
use crate::table::timed::TimedKeys;

/// Between the name of a table's store and the number of a segment.
const SEPARATOR: char = '#';

/// Whether a store of this name is a segment of a table, whose own store says what it reflects.
#[must_use]
pub fn is_segment(store: &str) -> bool {
    store.contains(SEPARATOR)
}

/// The stores of a table's segments.
#[derive(Debug)]
pub(crate) struct SegmentStores {
    engine: Arc<dyn Engine>,
    name: String,
    keys: TimedKeys,
    segments: BTreeMap<u64, SegmentStore>,
}

#[derive(Debug)]
struct SegmentStore {
    store: Box<dyn EngineStore>,
    /// Whether every row of it is in memory too.
    complete: bool,
    /// Read since the eviction last came by.
    used: bool,
}

/// Rows of a chunk that belong together.
type Part<'r> = Vec<(&'r [u8], Option<Row<'r>>)>;

impl SegmentStores {
    /// Opens the segments that are there.
    pub(crate) fn open(engine: Arc<dyn Engine>, name: &str, keys: TimedKeys) -> Result<Self> {
        let mut segments = BTreeMap::new();
        for found in engine.store_names()? {
            let number = found.strip_prefix(name).and_then(|rest| rest.strip_prefix(SEPARATOR));
            if let Some(segment) = number.and_then(|number| number.parse().ok()) {
                let store = engine.open_store(&found)?;
                let complete = store.is_empty()?;
                segments.insert(segment, SegmentStore { store, complete, used: false });
            }
        }
        Ok(SegmentStores { engine, name: name.to_owned(), keys, segments })
    }

    /// The segment of a key; `None` if the key belongs to the table's own store.
    pub(crate) fn segment_of(&self, key: &[u8]) -> Option<u64> {
        self.keys.segment_of(key)
    }

    /// Whether every row of a segment is in memory.
    pub(crate) fn is_complete(&self, segment: u64) -> bool {
        self.segments.get(&segment).is_none_or(|segment| segment.complete)
    }

    /// Whether every row of every segment is in memory.
    pub(crate) fn are_complete(&self) -> bool {
        self.segments.values().all(|segment| segment.complete)
    }

    /// The first segment from one to another of which rows may be missing in memory. Those before it are used.
    pub(crate) fn incomplete(&mut self, first: u64, last: u64) -> Option<u64> {
        if first > last {
            return None;
        }
        for (number, segment) in self.segments.range_mut(first..=last) {
            segment.used = true;
            if !segment.complete {
                return Some(*number);
            }
        }
        None
    }

    /// The segments that were not used since this was asked last, oldest first.
    pub(crate) fn unused(&mut self) -> Vec<u64> {
        let unused = |(number, segment): (&u64, &mut SegmentStore)| {
            (!std::mem::take(&mut segment.used)).then_some(*number)
        };
        self.segments.iter_mut().filter_map(unused).collect()
    }

    /// Notes that all rows of a segment are in memory, or that one is not. False if the engine has no such segment.
    pub(crate) fn set_complete(&mut self, segment: u64, complete: bool) -> bool {
        let found = self.segments.get_mut(&segment);
        found.map(|segment| segment.complete = complete).is_some()
    }

    /// Reads a row of a segment.
    pub(crate) fn get(&self, segment: u64, key: &[u8], row: &mut RowBuffer) -> Result<bool> {
        match self.segments.get(&segment) {
            Some(segment) => segment.store.get(key, row),
            None => Ok(false),
        }
    }

    /// All rows of a segment.
    pub(crate) fn scan(&self, segment: u64) -> Result<Option<Box<dyn EngineScan>>> {
        let Some(segment) = self.segments.get(&segment) else { return Ok(None) };
        segment.store.snapshot()?.scan(&KeyRange::all(), Order::Forward).map(Some)
    }

    /// About how many rows all of them have.
    pub(crate) fn approximate_rows(&self) -> Result<u64> {
        self.segments.values().map(|segment| segment.store.approximate_rows()).sum()
    }

    /// The segments of which rows may be missing in memory, as they are now.
    pub(crate) fn snapshot(&self) -> Result<Box<dyn EngineSnapshot>> {
        let missing = self.segments.values().filter(|segment| !segment.complete);
        let snapshots: Result<Vec<_>> = missing.map(|segment| segment.store.snapshot()).collect();
        Ok(Box::new(MergedSnapshot(snapshots?)))
    }

    /// The segments from one to another as they are now, oldest first: those of which rows are not in memory.
    pub(crate) fn snapshots(&self, first: u64, last: u64) -> Result<Vec<Box<dyn EngineSnapshot>>> {
        if first > last {
            return Ok(Vec::new());
        }
        let missing = self.segments.range(first..=last).filter(|(_, segment)| !segment.complete);
        missing.map(|(_, segment)| segment.store.snapshot()).collect()
    }

    /// Writes those rows of a chunk that belong to segments, and gives back the others.
    pub(crate) fn write<'r>(&mut self, rows: &mut ChunkRows<'_, 'r>) -> Result<Part<'r>> {
        let mut parts: BTreeMap<u64, Part<'r>> = BTreeMap::new();
        let mut others = Vec::new();
        for (key, row) in rows {
            match self.segment_of(key) {
                Some(segment) => parts.entry(segment).or_default().push((key, row)),
                None => others.push((key, row)),
            }
        }
        for (segment, part) in parts {
            // Nothing is to be deleted where nothing is.
            if !self.segments.contains_key(&segment) && part.iter().all(|(_, row)| row.is_none()) {
                continue;
            }
            self.make(segment)?.write(&mut part.into_iter(), None)?;
        }
        Ok(others)
    }

    /// Begins to write rows into segments, of which there are none. They are there when that is done and they are
    /// [opened](SegmentStores::open_loaded).
    pub(crate) fn load(&self, rows: BTreeMap<u64, MergedRows>) -> Result<Loading> {
        let stores = rows.into_iter().map(|(segment, rows)| (self.store_name(segment), rows));
        self.engine.load_stores(stores.collect())
    }

    /// Opens the segments that were loaded; `complete` says that all their rows are in memory too.
    pub(crate) fn open_loaded(&mut self, complete: bool) -> Result<()> {
        *self = SegmentStores::open(Arc::clone(&self.engine), &self.name, self.keys)?;
        self.segments.values_mut().for_each(|segment| segment.complete |= complete);
        Ok(())
    }

    /// Drops all of them.
    pub(crate) fn clear(&mut self) -> Result<()> {
        while let Some((number, store)) = self.segments.pop_first() {
            drop(store);
            self.engine.drop_store(&self.store_name(number))?;
        }
        Ok(())
    }

    fn store_name(&self, segment: u64) -> String {
        format!("{}{SEPARATOR}{segment}", self.name)
    }

    fn make(&mut self, segment: u64) -> Result<&mut dyn EngineStore> {
        let name = self.store_name(segment);
        let store = match self.segments.entry(segment) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let store = self.engine.open_store(&name)?;
                // Its rows come from memory.
                new.insert(SegmentStore { store, complete: true, used: true })
            }
        };
        Ok(&mut *store.store)
    }

    /// Drops the segments before this one.
    pub(crate) fn drop_before(&mut self, segment: u64) -> Result<()> {
        while let Some(oldest) = self.segments.first_entry().filter(|oldest| *oldest.key() < segment) {
            let (number, store) = oldest.remove_entry();
            drop(store);
            self.engine.drop_store(&self.store_name(number))?;
        }
        Ok(())
    }
}
