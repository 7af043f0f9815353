//! A frozen view of a table for readers outside of its worker: committed rows only.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::KeyValueTable;
use crate::engine::EngineSnapshot;
use crate::error::Result;
use crate::table::frozen::Frozen;
use crate::table::ordered::{KeyRange, Order};
use crate::table::rows::Rows;
use crate::table::slab::frozen_slots;

/// The committed rows of a table at some moment. Taking it costs the worker little; the work of sorting is done by the
/// first who reads it, on the reader's thread. Give it up soon: as long as it lives, what the table writes is copied first.
#[derive(Debug)]
pub struct FrozenView {
    frozen: Arc<Frozen>,
    /// All slots in the order of their keys.
    sorted: OnceLock<Arc<Vec<u32>>>,
    engine: Option<Box<dyn EngineSnapshot>>,
}

impl KeyValueTable {
    /// The rows as of the last commit, for a reader on another thread.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn freeze(&mut self) -> Result<FrozenView> {
        let engine = match &self.behind {
            Some(behind) if !behind.is_complete() => Some(behind.snapshot()?),
            _ => None,
        };
        let sealed = self.sealed.as_mut().map(|(epoch, list)| (*epoch, list.share()));
        let lists = [Some((self.epoch, self.open.share())), sealed];
        let frozen = Frozen { chunks: self.rows.slab.freeze(), committed: self.committed, lists };
        Ok(FrozenView { frozen: Arc::new(frozen), sorted: OnceLock::new(), engine })
    }
}

impl FrozenView {
    /// The rows of a range. To read page by page, ask again from behind the last key.
    ///
    /// # Errors
    /// If the engine cannot be read.
    pub fn range(&self, range: &KeyRange<'_>, order: Order) -> Result<Rows> {
        let slots = self.sorted.get_or_init(|| {
            let mut slots: Vec<u32> = frozen_slots(&self.frozen.chunks).collect();
            slots.sort_unstable_by(|left, right| self.key(*left).cmp(self.key(*right)));
            Arc::new(slots)
        });
        let engine = self.engine.as_ref().map(|engine| engine.scan(range, order)).transpose()?;
        Ok(Rows::of_view(self.frozen.clone(), slots.clone(), self.positions(slots, range), order, engine))
    }

    /// Where the sorted slots are in the range.
    fn positions(&self, slots: &[u32], range: &KeyRange<'_>) -> Range<usize> {
        if range.is_empty() {
            return 0..0;
        }
        let start = slots.partition_point(|slot| range.starts_after(self.key(*slot)));
        let length = slots[start..].partition_point(|slot| range.contains(self.key(*slot)));
        start..start + length
    }

    fn key(&self, slot: u32) -> &[u8] {
        self.frozen.entry(slot).key()
    }
}
