//! Iterators over a range that own what they show: the table may be written while they are read.
//!
//! A short range is copied; for a long one the chunks of the table are shared and copied only where it is written. If
//! rows of the range may be in the engine alone, a snapshot of the engine is merged in; where both have a key, the table
//! is right.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::entry::Entry;
use super::frozen::Frozen;
use super::ordered::{KeyRange, Order};
use super::row_map::RowMap;
use crate::engine::EngineScan;
use crate::error::Result;
use crate::row::{Row, RowBuffer};

/// Ranges up to so many rows are copied.
const COPIED_ROWS: usize = 128;

/// The rows of a range as they were when it was asked for.
pub struct Rows {
    memory: MemoryRows,
    order: Order,
    /// Rows of `memory` that are still to be shown.
    rest: Range<usize>,
    engine: Option<EngineRows>,
}

enum MemoryRows {
    Copied(Vec<Entry>),
    Frozen(Arc<Frozen>, Arc<Vec<u32>>),
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
        let slots: Vec<u32> = ordered.range(range).filter(shown).collect();
        let rest = 0..slots.len();
        let memory = if slots.len() <= COPIED_ROWS {
            MemoryRows::Copied(slots.into_iter().map(|slot| rows.get(slot).clone()).collect())
        } else {
            MemoryRows::Frozen(Arc::new(Frozen::newest(rows.slab.freeze())), Arc::new(slots))
        };
        Rows { memory, order, rest, engine: engine.map(EngineRows::new) }
    }

    /// The rows of a view: of its slots, which are in the order of their keys, those in `rest`.
    pub(crate) fn of_view(
        frozen: Arc<Frozen>,
        slots: Arc<Vec<u32>>,
        rest: Range<usize>,
        order: Order,
        engine: Option<Box<dyn EngineScan>>,
    ) -> Self {
        Rows { memory: MemoryRows::Frozen(frozen, slots), order, rest, engine: engine.map(EngineRows::new) }
    }

    /// The next key and its row.
    ///
    /// # Errors
    /// If the engine cannot be read.
    #[allow(clippy::should_implement_trait, reason = "it lends what it shows")]
    pub fn next(&mut self) -> Result<Option<(&[u8], Row<'_>)>> {
        loop {
            if let Some(engine) = &mut self.engine {
                engine.read_ahead()?;
            }
            let in_memory = self.head();
            let in_engine = self.engine.as_ref().and_then(EngineRows::head);
            let from_memory = match (in_memory, in_engine) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(at), Some(key)) => match self.order {
                    Order::Forward => self.memory.key(at).cmp(key),
                    Order::Reverse => key.cmp(self.memory.key(at)),
                },
            };
            if from_memory.is_ge()
                && let Some(engine) = &mut self.engine
            {
                engine.state = Ahead::Empty;
            }
            match in_memory {
                Some(at) if from_memory.is_le() => {
                    self.advance();
                    if self.memory.row(at).is_some() {
                        return Ok(self.memory.row(at).map(|row| (self.memory.key(at), row)));
                    }
                }
                _ => return Ok(self.engine.as_ref().map(|engine| (&engine.key[..], engine.row.row()))),
            }
        }
    }

    /// Where the next row in memory is.
    fn head(&self) -> Option<usize> {
        match self.order {
            _ if self.rest.is_empty() => None,
            Order::Forward => Some(self.rest.start),
            Order::Reverse => Some(self.rest.end - 1),
        }
    }

    fn advance(&mut self) {
        match self.order {
            Order::Forward => self.rest.start += 1,
            Order::Reverse => self.rest.end -= 1,
        }
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("order", &self.order)
            .field("in_memory", &self.rest.len())
            .finish_non_exhaustive()
    }
}

impl MemoryRows {
    fn key(&self, at: usize) -> &[u8] {
        match self {
            MemoryRows::Copied(entries) => entries[at].key(),
            MemoryRows::Frozen(frozen, slots) => frozen.entry(slots[at]).key(),
        }
    }

    fn row(&self, at: usize) -> Option<Row<'_>> {
        match self {
            MemoryRows::Copied(entries) => entries[at].row(),
            MemoryRows::Frozen(frozen, slots) => frozen.row(slots[at]),
        }
    }
}

impl EngineRows {
    fn new(scan: Box<dyn EngineScan>) -> Self {
        EngineRows { scan, key: Vec::new(), row: RowBuffer::default(), state: Ahead::Empty }
    }

    fn read_ahead(&mut self) -> Result<()> {
        if self.state == Ahead::Empty {
            let more = self.scan.next(&mut self.key, &mut self.row)?;
            self.state = if more { Ahead::Full } else { Ahead::End };
        }
        Ok(())
    }

    /// The key read ahead.
    fn head(&self) -> Option<&[u8]> {
        (self.state == Ahead::Full).then_some(&self.key[..])
    }
}
