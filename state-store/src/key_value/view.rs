//! Committed rows of a table for readers outside of its worker, frozen at one moment.
//!
//! Of few rows the worker makes copies. Of many it shares the chunks that they lie in: who reads finds out which are asked for
//! and brings them into order.

use std::ops::ControlFlow;

use super::{KeyValueTable, turn};
use crate::engine::EngineScan;
use crate::engine::in_turn::InTurn;
use crate::error::{Error, Result};
use crate::row::Row;
use crate::table::entry::Entry;
use crate::table::frozen::{Frozen, committed_row};
use crate::table::ordered::{KeyRange, Order};
use crate::table::rows::{COPIED_ROWS, FrozenRows, MemoryRows, Rows};
use crate::table::selection::Selection;

/// So many rows of a range the worker looks up where it has an ordered index: no more than freezing costs anyway.
const LISTED_ROWS: usize = 4096;

impl KeyValueTable {
    /// The rows of a range as of the last commit, by key. In a table of timed keys they are all those that have a time, one
    /// segment after another.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn freeze(&mut self, range: &KeyRange<'_>, order: Order) -> Result<Rows> {
        let times = self.options.timed.map(|keys| (keys, 0, u64::MAX));
        self.freeze_selected(Selection { range: range.owned(), order, times })
    }

    /// The rows of a range whose times lie from `from` to `to`, as of the last commit: one segment after another, each by
    /// key. No other segment is looked at.
    ///
    /// # Errors
    /// [`Error::Misuse`] if keys have no time; if the engine cannot be read.
    pub fn freeze_times(
        &mut self,
        range: &KeyRange<'_>,
        (from, to): (u64, u64),
        order: Order,
    ) -> Result<Rows> {
        let Some(keys) = self.options.timed else {
            return Err(Error::Misuse("times were asked for of keys without a time"));
        };
        self.freeze_selected(Selection { range: range.owned(), order, times: Some((keys, from, to)) })
    }

    fn freeze_selected(&mut self, selection: Selection) -> Result<Rows> {
        let behind = self.behind.as_ref();
        let snapshots = behind.map_or(Ok(Vec::new()), |behind| behind.snapshots(selection.segments()))?;
        let engine = (!snapshots.is_empty()).then(|| -> Box<dyn EngineScan> {
            Box::new(InTurn::new(snapshots, selection.range.clone(), selection.order))
        });
        let memory = match self.listed(&selection) {
            Some(slots) if slots.len() <= COPIED_ROWS => MemoryRows::Copied(self.copied(&slots), 0),
            Some(slots) => MemoryRows::Frozen(FrozenRows::listed(self.frozen(), slots)),
            None => MemoryRows::Frozen(FrozenRows::new(self.frozen())),
        };
        Ok(Rows::new(memory, selection, engine))
    }

    /// The slots of a selection in its order, if they are few and there is an ordered index to find them by.
    fn listed(&mut self, selection: &Selection) -> Option<Vec<u32>> {
        if selection.range == KeyRange::all() {
            return None;
        }
        let (slab, ordered) = self.rows.ordered_if_worth()?;
        let mut slots: Vec<u32> = ordered.range(&selection.range).take(LISTED_ROWS + 1).collect();
        if slots.len() > LISTED_ROWS {
            return None;
        }
        slots.retain(|slot| selection.has_time(slab.get(*slot).key()));
        slots.sort_by(|left, right| selection.compare(slab.get(*left).key(), slab.get(*right).key()));
        Some(slots)
    }

    /// Committed rows, those that are absent too: they hide an engine's.
    fn copied(&self, slots: &[u32]) -> Vec<Entry> {
        let copy = |slot: &u32| {
            let entry = self.rows.get(*slot);
            let mut copy = Entry::absent(entry.key(), entry.hash);
            copy.set(committed_row(entry, self.committed, self.undo_lists()));
            copy
        };
        slots.iter().map(copy).collect()
    }

    fn frozen(&mut self) -> Frozen {
        let mut list = |epoch: u64| (epoch, self.undo[turn(epoch)].share(&self.rows.slab.kept));
        let lists = [Some(list(self.epoch)), self.sealed.map(list)];
        Frozen { chunks: self.rows.slab.freeze(), committed: self.committed, lists }
    }

    /// Shows the rows of a range as of the last commit, by key, until `each` breaks: for a reader on the worker's own
    /// thread, who asks often.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn scan_committed(
        &mut self,
        range: &KeyRange<'_>,
        order: Order,
        mut each: impl FnMut(&[u8], Row<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let engine = self.scan_engine(range, order)?;
        let (slab, ordered) = self.rows.ordered();
        let mut slots = ordered.range(range);
        if engine.is_some() {
            let slots = match order {
                Order::Forward => slots.collect(),
                Order::Reverse => slots.rev().collect(),
            };
            let memory = MemoryRows::Frozen(FrozenRows::listed(self.frozen(), slots));
            let mut rows = Rows::new(memory, Selection::of_keys(range, order), engine);
            while let Some((key, row)) = rows.next()? {
                if each(key, row).is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let list = |epoch: u64| (epoch, self.undo[turn(epoch)].get());
        let lists = [Some(list(self.epoch)), self.sealed.map(list)];
        let show = |slot: u32| {
            let entry = slab.get(slot);
            let row = committed_row(entry, self.committed, lists);
            row.map_or(ControlFlow::Continue(()), |row| each(entry.key(), row))
        };
        let _ = match order {
            Order::Forward => slots.try_for_each(show),
            Order::Reverse => slots.rev().try_for_each(show),
        };
        Ok(())
    }
}
