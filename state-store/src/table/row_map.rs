//! Key to entry: the slab, the hash index over it, the segments of timed keys and, once asked for, the ordered index
//! and the groups.
//!
//! Each key that comes or goes costs the ordered index more than all else. It is given up when more keys have come and gone
//! since it was read than it takes to build it anew: who reads it often keeps it, who has read it once does not pay for ever.
//! Readers outside of the worker can do without, each at the cost of a look at all keys: only when several have done so is
//! it built for them.

use std::hash::{BuildHasher, Hasher};

use anabranch_host::chance::SeededState;

use super::clusters::Clusters;
use super::entry::Entry;
use super::index::Index;
use super::ordered::OrderedIndex;
use super::segments::Segments;
use super::slab::Slab;
use super::timed::{Suffix, TimedKeys};
use crate::error::{Error, Result};
use crate::row::Row;

/// Bytes of the hash index a key: eight a bucket, a half of them filled on average.
const INDEX_BYTES: usize = 16;
/// The ordered index is given up when so many times the keys that it has, and a few more, have come or gone unread.
const UNREAD_CHANGES: usize = 4;
const FEW_CHANGES: usize = 1024;
/// So many readers do without an ordered index: about what it takes to build it.
const READERS_WITHOUT: usize = 64;

/// The entries of a table by key.
#[derive(Debug)]
pub(crate) struct RowMap {
    pub(crate) slab: Slab,
    index: Index,
    ordered: Option<OrderedIndex>,
    /// Keys that have come or gone since the ordered index was read.
    unread_changes: usize,
    /// Those who would have read it since it was given up.
    readers_without: usize,
    clusters: Option<Clusters>,
    /// If keys have a time.
    timed: Option<TimedKeys>,
    segments: Segments,
    hasher: SeededState,
    /// Bytes of keys and rows outside of their entries.
    heap_bytes: usize,
}

impl RowMap {
    pub(crate) fn new(timed: Option<TimedKeys>) -> Self {
        RowMap {
            slab: Slab::default(),
            index: Index::new(),
            ordered: None,
            unread_changes: 0,
            readers_without: 0,
            clusters: None,
            timed,
            segments: Segments::default(),
            hasher: SeededState::default(),
            heap_bytes: 0,
        }
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u32 {
        hash_of(self.hasher, key)
    }

    #[inline]
    pub(crate) fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |slot| self.slab.get(slot).key() == key)
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &Entry {
        self.slab.get(slot)
    }

    /// The entry, to change its marks; its row is changed by [`set`](RowMap::set).
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Entry {
        self.slab.get_mut(slot)
    }

    /// Adds a key that is not there, as absent.
    pub(crate) fn insert(&mut self, hash: u32, key: &[u8]) -> Result<u32> {
        let entry = Entry::absent(key, hash);
        let heap_bytes = entry.heap_bytes();
        let slot = self.slab.insert(entry)?;
        self.heap_bytes += heap_bytes;
        self.index.insert(hash, slot);
        let segment = self.segment_of(key);
        if let Some(segment) = segment {
            self.slab.get_mut(slot).place = self.segments.insert(segment, slot);
        }
        self.order_changes();
        if let Some(ordered) = &mut self.ordered
            && is_ordered(self.timed, segment)
        {
            ordered.insert(key, slot);
        }
        if let Some(clusters) = &mut self.clusters {
            clusters.insert(slot, &self.slab, |group| hash_of(self.hasher, group));
        }
        Ok(slot)
    }

    #[inline]
    pub(crate) fn set(&mut self, slot: u32, row: Option<Row<'_>>) {
        let entry = self.slab.get_mut(slot);
        let before = entry.heap_bytes();
        entry.set(row);
        self.heap_bytes = self.heap_bytes + entry.heap_bytes() - before;
    }

    /// Notes that a key comes or goes.
    #[inline]
    fn order_changes(&mut self) {
        if self.ordered.is_some() {
            self.unread_changes += 1;
            if self.unread_changes > UNREAD_CHANGES * self.slab.len() + FEW_CHANGES {
                self.ordered = None;
            }
        }
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.order_changes();
        let entry = self.slab.get(slot);
        self.heap_bytes -= entry.heap_bytes();
        let (place, segment) = (entry.place, self.segment_of(entry.key()));
        self.index.remove(entry.hash, slot);
        if let Some(ordered) = &mut self.ordered {
            ordered.remove(entry.key());
        }
        if let Some(clusters) = &mut self.clusters {
            clusters.remove(slot, &self.slab, |group| hash_of(self.hasher, group));
        }
        self.slab.remove(slot);
        if let Some(moved) = segment.and_then(|segment| self.segments.remove(segment, place)) {
            self.slab.get_mut(moved).place = place;
        }
    }

    #[inline]
    fn segment_of(&self, key: &[u8]) -> Option<u64> {
        self.timed.as_ref()?.segment_of(key)
    }

    /// How keys are laid out, if they have a time.
    pub(crate) fn timed(&self) -> Option<TimedKeys> {
        self.timed
    }

    /// The oldest segment that has rows in memory.
    pub(crate) fn oldest_segment(&self) -> Option<u64> {
        self.segments.oldest()
    }

    /// The newest segment that has rows in memory.
    pub(crate) fn newest_segment(&self) -> Option<u64> {
        self.segments.newest()
    }

    /// Whether rows are read by group, and so whole segments at a time.
    pub(crate) fn has_groups(&self) -> bool {
        self.clusters.is_some()
    }

    /// The slots of the segments from one to another, segment by segment.
    pub(crate) fn segment_slots(&self, first: u64, last: u64) -> impl Iterator<Item = u32> {
        self.segments.slots(first, last)
    }

    /// The slab and the ordered index, which is built now if this is the first time.
    pub(crate) fn ordered(&mut self) -> (&Slab, &OrderedIndex) {
        (self.unread_changes, self.readers_without) = (0, 0);
        let timed = self.timed;
        let is_shown = |key: &[u8]| is_ordered(timed, timed.and_then(|timed| timed.segment_of(key)));
        let ordered = self.ordered.get_or_insert_with(|| OrderedIndex::build(&self.slab, is_shown));
        (&self.slab, ordered)
    }

    /// The same for a reader who can do without: nothing if the index is not there and is not worth it yet.
    pub(crate) fn ordered_if_worth(&mut self) -> Option<(&Slab, &OrderedIndex)> {
        if self.ordered.is_none() && self.readers_without < READERS_WITHOUT {
            self.readers_without += 1;
            return None;
        }
        Some(self.ordered())
    }

    /// The slots of a group's keys whose suffixes lie from `from` to `to`, in their order, and the slab. The groups are
    /// made now if this is the first time.
    ///
    /// # Errors
    /// [`Error::Misuse`] if keys have no time.
    pub(crate) fn group(
        &mut self,
        group: &[u8],
        from: Suffix,
        to: Suffix,
    ) -> Result<(&Slab, impl DoubleEndedIterator<Item = u32>)> {
        let Some(timed) = self.timed else { return Err(Error::Misuse("keys without a time have no groups")) };
        let (slab, hasher) = (&self.slab, self.hasher);
        let clusters =
            self.clusters.get_or_insert_with(|| Clusters::build(timed, slab, |group| hash_of(hasher, group)));
        Ok((slab, clusters.range(hash_of(hasher, group), group, from, to, slab)))
    }

    /// Keys, absent ones included.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Bytes of the keys that are there. The room that removed ones leave is used again and not counted.
    pub(crate) fn bytes(&self) -> usize {
        self.len() * (size_of::<Entry>() + INDEX_BYTES)
            + self.heap_bytes
            + self.ordered.as_ref().map_or(0, OrderedIndex::bytes)
            + self.clusters.as_ref().map_or(0, Clusters::bytes)
            + self.segments.bytes()
    }
}

/// Whether a key of this segment is among those in order: in a table of timed keys one without a time is no row.
fn is_ordered(timed: Option<TimedKeys>, segment: Option<u64>) -> bool {
    timed.is_none() || segment.is_some()
}

#[inline]
fn hash_of(hasher: SeededState, key: &[u8]) -> u32 {
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    (hasher.finish() >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ordered::KeyRange;

    #[test]
    fn an_order_that_nobody_reads_is_given_up() {
        let mut rows = RowMap::new(None);
        let come_and_go = |rows: &mut RowMap, times: u32| {
            for time in 0..times {
                let key = time.to_be_bytes();
                let slot = rows.insert(rows.hash(&key), &key).expect("few");
                rows.remove(slot);
            }
        };
        let changes = FEW_CHANGES as u32 / 2;
        come_and_go(&mut rows, 3 * changes);
        assert!(rows.ordered.is_none(), "nobody has asked");
        for _ in 0..3 {
            rows.ordered();
            come_and_go(&mut rows, changes - 2);
            assert!(rows.ordered.is_some(), "read often enough");
        }
        come_and_go(&mut rows, 10);
        assert!(rows.ordered.is_none());
        // Made anew of all keys.
        for key in [b"b", b"a", b"c"] {
            rows.insert(rows.hash(key), key).expect("few");
        }
        let (slab, ordered) = rows.ordered();
        let keys: Vec<&[u8]> = ordered.range(&KeyRange::all()).map(|slot| slab.get(slot).key()).collect();
        assert_eq!(keys, [b"a", b"b", b"c"]);
    }
}
