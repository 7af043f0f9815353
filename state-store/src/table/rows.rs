//! Iterators over a range that own what they show: the table may be written while they are read.
//!
//! A short range is copied; for a long one the chunks of the table are shared and copied only where it is written.

use super::entry::Entry;
use super::ordered::{KeyRange, Order};
use super::row_map::RowMap;
use super::slab::{FrozenChunks, frozen_entry};
use crate::error::Result;
use crate::row::Row;

/// Ranges up to so many rows are copied.
const COPIED_ROWS: usize = 128;

/// The rows of a range as they were when it was asked for.
#[derive(Debug)]
pub struct Rows {
    memory: MemoryRows,
    at: usize,
}

#[derive(Debug)]
enum MemoryRows {
    Copied(Vec<Entry>),
    Frozen { chunks: FrozenChunks, slots: Vec<u32> },
}

impl Rows {
    pub(crate) fn new(rows: &mut RowMap, range: &KeyRange<'_>, order: Order) -> Self {
        let (slab, ordered) = rows.ordered();
        let mut slots: Vec<u32> = ordered.range(range).filter(|slot| !slab.get(*slot).is_absent()).collect();
        if order == Order::Reverse {
            slots.reverse();
        }
        let memory = if slots.len() <= COPIED_ROWS {
            MemoryRows::Copied(slots.into_iter().map(|slot| rows.get(slot).clone()).collect())
        } else {
            MemoryRows::Frozen { chunks: rows.slab.freeze(), slots }
        };
        Rows { memory, at: 0 }
    }

    /// The next key and its row.
    ///
    /// # Errors
    /// If the engine cannot be read.
    #[allow(clippy::should_implement_trait, reason = "it lends what it shows")]
    pub fn next(&mut self) -> Result<Option<(&[u8], Row<'_>)>> {
        let entry = match &self.memory {
            MemoryRows::Copied(entries) => entries.get(self.at),
            MemoryRows::Frozen { chunks, slots } => {
                slots.get(self.at).map(|slot| frozen_entry(chunks, *slot))
            }
        };
        self.at += 1;
        Ok(entry.and_then(|entry| entry.row().map(|row| (entry.key(), row))))
    }
}
