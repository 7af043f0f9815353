//! Iterators over rows that own what they show: the table may be written while they are read.
//!
//! A short range is copied; for a long one the chunks of the table are shared and copied only where it is written. If
//! rows of the range may be in the engine alone, a snapshot of the engine is merged in; where both have a key, the table
//! is right.

use std::cmp::Ordering;

use super::entry::Entry;
use super::frozen::Frozen;
use super::ordered::{KeyRange, Order};
use super::row_map::RowMap;
use super::selection::Selection;
use super::sorting::Sorting;
use crate::engine::EngineScan;
use crate::error::Result;
use crate::row::{Row, RowBuffer};

/// Ranges up to so many rows are copied.
pub(crate) const COPIED_ROWS: usize = 128;
/// Slots that are looked at, and sorted if they are asked for, in one step: a few milliseconds.
const RUN: u32 = 16 * 1024;

/// The rows of a range as they were when it was asked for. As long as they are held, the table may have to copy what it
/// writes: give them up soon.
pub struct Rows {
    memory: MemoryRows,
    selection: Selection,
    engine: Option<EngineRows>,
}

/// Rows in memory, those in front being shown already.
pub(crate) enum MemoryRows {
    /// In the order in which they are shown, and the place of the next one.
    Copied(Vec<Entry>, usize),
    Frozen(FrozenRows),
}

/// Slots that are asked for, in order, and what is in them.
pub(crate) struct FrozenRows {
    frozen: Frozen,
    slots: Sorting<u32>,
    /// Slots from here on were not looked at yet.
    looked_at: u32,
}

/// An engine's rows with one row read ahead.
struct EngineRows {
    scan: Box<dyn EngineScan>,
    key: Vec<u8>,
    row: RowBuffer,
    state: Ahead,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ahead {
    /// The buffers hold nothing to be shown.
    Empty,
    Full,
    End,
}

impl Rows {
    /// The newest rows of a table. With an engine's rows, what is absent in memory hides them.
    pub(crate) fn of_table(
        rows: &mut RowMap,
        range: &KeyRange<'_>,
        order: Order,
        engine: Option<Box<dyn EngineScan>>,
    ) -> Self {
        let (slab, ordered) = rows.ordered();
        let shown = |slot: &u32| engine.is_some() || !slab.get(*slot).is_absent();
        let mut slots: Vec<u32> = ordered.range(range).filter(shown).collect();
        if order == Order::Reverse {
            slots.reverse();
        }
        let memory = if slots.len() <= COPIED_ROWS {
            MemoryRows::Copied(slots.into_iter().map(|slot| rows.get(slot).clone()).collect(), 0)
        } else {
            MemoryRows::Frozen(FrozenRows::listed(Frozen::newest(rows.slab.freeze()), slots))
        };
        Rows::new(memory, Selection::of_keys(range, order), engine)
    }

    /// Those of the selection, the engine's in its order.
    pub(crate) fn new(memory: MemoryRows, selection: Selection, engine: Option<Box<dyn EngineScan>>) -> Self {
        Rows { memory, selection, engine: engine.map(EngineRows::new) }
    }

    /// Brings some more of the rows into order, if that is still to be done, and says whether this is to be called again.
    /// [`next`](Rows::next) does all of it, which may take long.
    pub fn prepare(&mut self) -> bool {
        match &mut self.memory {
            MemoryRows::Copied(..) => false,
            MemoryRows::Frozen(rows) => rows.prepare(&self.selection),
        }
    }

    /// The next key and its row.
    ///
    /// # Errors
    /// If the engine cannot be read.
    #[allow(clippy::should_implement_trait, reason = "it lends what it shows")]
    pub fn next(&mut self) -> Result<Option<(&[u8], Row<'_>)>> {
        while self.prepare() {}
        loop {
            if let Some(engine) = &mut self.engine {
                engine.read_ahead(&self.selection)?;
            }
            let in_memory = self.memory.head();
            let in_engine = self.engine.as_ref().and_then(EngineRows::head);
            let from_memory = match (in_memory, in_engine) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(at), Some(key)) => self.selection.compare(self.memory.key(at), key),
            };
            if from_memory.is_ge()
                && let Some(engine) = &mut self.engine
            {
                engine.state = Ahead::Empty;
            }
            match in_memory {
                Some(at) if from_memory.is_le() => {
                    self.memory.advance(&self.selection);
                    if self.memory.row(at).is_some() {
                        return Ok(self.memory.row(at).map(|row| (self.memory.key(at), row)));
                    }
                }
                _ => return Ok(self.engine.as_ref().map(|engine| (&engine.key[..], engine.row.row()))),
            }
        }
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("selection", &self.selection).finish_non_exhaustive()
    }
}

impl MemoryRows {
    /// The place of the next row.
    fn head(&self) -> Option<usize> {
        match self {
            MemoryRows::Copied(entries, next) => (*next < entries.len()).then_some(*next),
            MemoryRows::Frozen(rows) => rows.slots.head().map(|slot| *slot as usize),
        }
    }

    fn advance(&mut self, selection: &Selection) {
        match self {
            MemoryRows::Copied(_, next) => *next += 1,
            MemoryRows::Frozen(FrozenRows { frozen, slots, .. }) => {
                slots.advance(|left, right| compare(frozen, selection, *left, *right));
            }
        }
    }

    fn key(&self, at: usize) -> &[u8] {
        match self {
            MemoryRows::Copied(entries, _) => entries[at].key(),
            MemoryRows::Frozen(rows) => rows.frozen.entry(at as u32).key(),
        }
    }

    fn row(&self, at: usize) -> Option<Row<'_>> {
        match self {
            MemoryRows::Copied(entries, _) => entries[at].row(),
            MemoryRows::Frozen(rows) => rows.frozen.row(at as u32),
        }
    }
}

impl FrozenRows {
    /// All slots are still to be looked at.
    pub(crate) fn new(frozen: Frozen) -> Self {
        FrozenRows { frozen, slots: Sorting::new(), looked_at: 0 }
    }

    /// The slots that are asked for, in order.
    pub(crate) fn listed(frozen: Frozen, slots: Vec<u32>) -> Self {
        let looked_at = frozen.slots();
        FrozenRows { frozen, slots: Sorting::of_sorted(slots), looked_at }
    }

    fn prepare(&mut self, selection: &Selection) -> bool {
        let FrozenRows { frozen, slots, looked_at } = self;
        let all = frozen.slots();
        if *looked_at == all {
            return false;
        }
        // Slots that lie near each other are in one run.
        let some = *looked_at..all.min(*looked_at + RUN);
        *looked_at = some.end;
        let is_asked = |slot: &u32| {
            let entry = frozen.entry(*slot);
            entry.occupied && selection.contains(entry.key())
        };
        if slots.add(some.filter(is_asked)) >= RUN as usize || *looked_at == all {
            slots.end_run(|left, right| compare(frozen, selection, *left, *right));
        }
        *looked_at < all
    }
}

/// Which of two slots comes first.
fn compare(frozen: &Frozen, selection: &Selection, left: u32, right: u32) -> Ordering {
    selection.compare(frozen.entry(left).key(), frozen.entry(right).key())
}

impl EngineRows {
    fn new(scan: Box<dyn EngineScan>) -> Self {
        EngineRows { scan, key: Vec::new(), row: RowBuffer::default(), state: Ahead::Empty }
    }

    /// Segments may have rows of other times than those that are asked for.
    fn read_ahead(&mut self, selection: &Selection) -> Result<()> {
        while self.state == Ahead::Empty {
            let more = self.scan.next(&mut self.key, &mut self.row)?;
            self.state = match more {
                true if selection.has_time(&self.key) => Ahead::Full,
                true => Ahead::Empty,
                false => Ahead::End,
            };
        }
        Ok(())
    }

    /// The key read ahead.
    fn head(&self) -> Option<&[u8]> {
        (self.state == Ahead::Full).then_some(&self.key[..])
    }
}
