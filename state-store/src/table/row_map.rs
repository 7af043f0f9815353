//! Key to entry: the slab, the hash index over it and, once asked for, the ordered index and the groups.

use std::hash::{BuildHasher, Hasher};

use anabranch_host::chance::SeededState;

use super::clusters::{Clusters, Suffix};
use super::entry::Entry;
use super::index::Index;
use super::ordered::OrderedIndex;
use super::slab::Slab;
use crate::error::Result;
use crate::row::Row;

/// Bytes of the hash index a key: eight a bucket, a half of them filled on average.
const INDEX_BYTES: usize = 16;

/// The entries of a table by key.
#[derive(Debug)]
pub(crate) struct RowMap {
    pub(crate) slab: Slab,
    index: Index,
    ordered: Option<OrderedIndex>,
    clusters: Option<Clusters>,
    hasher: SeededState,
    /// Bytes of keys and rows outside of their entries.
    heap_bytes: usize,
}

impl RowMap {
    pub(crate) fn new() -> Self {
        RowMap {
            slab: Slab::default(),
            index: Index::new(),
            ordered: None,
            clusters: None,
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
        if let Some(ordered) = &mut self.ordered {
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

    /// Removes a key.
    pub(crate) fn remove(&mut self, slot: u32) {
        let entry = self.slab.get(slot);
        self.heap_bytes -= entry.heap_bytes();
        self.index.remove(entry.hash, slot);
        if let Some(ordered) = &mut self.ordered {
            ordered.remove(entry.key());
        }
        if let Some(clusters) = &mut self.clusters {
            clusters.remove(slot, &self.slab, |group| hash_of(self.hasher, group));
        }
        self.slab.remove(slot);
    }

    /// The slab and the ordered index, which is built now if this is the first time.
    pub(crate) fn ordered(&mut self) -> (&Slab, &OrderedIndex) {
        let ordered = self.ordered.get_or_insert_with(|| OrderedIndex::build(&self.slab));
        (&self.slab, ordered)
    }

    /// The slots of a group's keys whose suffixes lie from `from` to `to`, in their order, and the slab. The groups are
    /// made now if this is the first time.
    pub(crate) fn group(
        &mut self,
        group: &[u8],
        from: Suffix,
        to: Suffix,
    ) -> (&Slab, impl DoubleEndedIterator<Item = u32>) {
        let (slab, hasher) = (&self.slab, self.hasher);
        let clusters =
            self.clusters.get_or_insert_with(|| Clusters::build(slab, |group| hash_of(hasher, group)));
        (slab, clusters.range(hash_of(hasher, group), group, from, to, slab))
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
    }
}

#[inline]
fn hash_of(hasher: SeededState, key: &[u8]) -> u32 {
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    (hasher.finish() >> 32) as u32
}
