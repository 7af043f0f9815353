//! Reading many rows where they lie: by key, by group, or in any order.

use std::ops::ControlFlow;

use super::KeyValueTable;
use crate::error::Result;
use crate::row::Row;
use crate::table::clusters::{SUFFIX_BYTES, Suffix};
use crate::table::ordered::{KeyRange, Order};

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

    /// Shows the newest rows of a group: keys that are `group` and a suffix of [`SUFFIX_BYTES`] from `from` to `to`. Asks
    /// for no order of all keys, so a table that is read by group alone keeps none.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn scan_group(
        &mut self,
        group: &[u8],
        from: Suffix,
        to: Suffix,
        order: Order,
        mut each: impl FnMut(&[u8], Row<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if !self.is_complete() {
            let key = |(time, number): Suffix| [group, &time.to_be_bytes(), &number.to_be_bytes()].concat();
            let (first, last) = (key(from), key(to));
            return self.scan(&KeyRange::inclusive(Some(&first), Some(&last)), order, |key, row| {
                // Longer keys that begin with the group may lie in between.
                if key.len() == group.len() + SUFFIX_BYTES {
                    each(key, row)
                } else {
                    ControlFlow::Continue(())
                }
            });
        }
        let (slab, mut slots) = self.rows.group(group, from, to);
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

    /// Shows all newest rows in any order, which asks for no order of the keys.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn scan_in_any_order(&mut self, mut each: impl FnMut(&[u8], Row<'_>)) -> Result<()> {
        if !self.is_complete() {
            return self.scan(&KeyRange::all(), Order::Forward, |key, row| {
                each(key, row);
                ControlFlow::Continue(())
            });
        }
        let slab = &self.rows.slab;
        for entry in (0..slab.slots()).map(|slot| slab.get(slot)).filter(|entry| entry.occupied) {
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
