//! Reading many rows where they lie: by key, by group, or in any order.

use std::ops::ControlFlow;

use super::KeyValueTable;
use crate::error::Result;
use crate::row::Row;
use crate::table::ordered::{KeyRange, Order};
use crate::table::timed::Suffix;

impl KeyValueTable {
    /// Shows the newest rows of a range without a copy, until `each` breaks.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn scan(
        &mut self,
        range: &KeyRange<'_>,
        order: Order,
        mut each: impl FnMut(&[u8], Row<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if !self.is_complete() {
            let mut rows = self.range(range, order)?;
            while let Some((key, row)) = rows.next()? {
                if each(key, row).is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let (slab, ordered) = self.rows.ordered();
        let show = |slot: u32| {
            let entry = slab.get(slot);
            entry.row().map_or(ControlFlow::Continue(()), |row| each(entry.key(), row))
        };
        let mut slots = ordered.range(range);
        let _ = match order {
            Order::Forward => slots.try_for_each(show),
            Order::Reverse => slots.rev().try_for_each(show),
        };
        Ok(())
    }

    /// Shows the newest rows of a group whose suffixes lie from `from` to `to`. Asks for no order of all keys, so a table
    /// that is read by group alone keeps none.
    ///
    /// # Errors
    /// [`Error::Misuse`](crate::Error::Misuse) if keys have no time; if the engine cannot be read.
    pub fn scan_group(
        &mut self,
        group: &[u8],
        from: Suffix,
        to: Suffix,
        order: Order,
        mut each: impl FnMut(&[u8], Row<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if let Some(timed) = self.rows.timed() {
            self.load_segments(timed.segment_at(from.0), timed.segment_at(to.0))?;
        }
        let (slab, mut slots) = self.rows.group(group, from, to)?;
        let show = |slot: u32| {
            let entry = slab.get(slot);
            entry.row().map_or(ControlFlow::Continue(()), |row| each(entry.key(), row))
        };
        let _ = match order {
            Order::Forward => slots.try_for_each(show),
            Order::Reverse => slots.rev().try_for_each(show),
        };
        Ok(())
    }

    /// Shows the newest rows of the segments that have times from `from` to `to`, in any order, which asks for no order of
    /// the keys.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn scan_segments(&mut self, from: u64, to: u64, mut each: impl FnMut(&[u8], Row<'_>)) -> Result<()> {
        let Some(timed) = self.rows.timed() else { return Ok(()) };
        let (first, last) = (timed.segment_at(from), timed.segment_at(to));
        self.load_segments(first, last)?;
        for entry in self.rows.segment_slots(first, last).map(|slot| self.rows.get(slot)) {
            if let Some(row) = entry.row() {
                each(entry.key(), row);
            }
        }
        Ok(())
    }

    /// Whether every row is in memory.
    fn is_complete(&self) -> bool {
        self.behind.as_ref().is_none_or(|behind| behind.is_complete())
    }
}
