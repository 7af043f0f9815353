//! The entries, in chunks that never move and that frozen views share.

use std::sync::Arc;

use super::entry::Entry;
use super::kept::{Kept, KeptBytes};
use super::share::{InMemory, Share};
use crate::error::{Error, Result};

/// Entries a chunk: a write under a frozen view copies one chunk, 32 KiB.
pub(crate) const CHUNK_ENTRIES: usize = 256;
const CHUNK_BITS: u32 = CHUNK_ENTRIES.trailing_zeros();

/// Entries by slot. A slot stays the same as long as its key is there.
#[derive(Debug, Default)]
pub(crate) struct Slab {
    chunks: Vec<Share<Vec<Entry>>>,
    free: Vec<u32>,
    /// Slots ever given out.
    slots: u32,
    /// Where it is counted what views keep.
    pub(crate) kept: KeptBytes,
}

/// The chunks of a slab as they were when a view was taken.
pub(crate) type FrozenChunks = Vec<Arc<Kept<Vec<Entry>>>>;

impl Slab {
    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &Entry {
        &self.chunks[(slot >> CHUNK_BITS) as usize].get()[slot as usize % CHUNK_ENTRIES]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.chunks[(slot >> CHUNK_BITS) as usize].get_mut()[slot as usize % CHUNK_ENTRIES]
    }

    /// Notes that the row was used, if that costs no copy.
    #[inline]
    pub(crate) fn reference(&mut self, slot: u32) {
        let chunk = &mut self.chunks[(slot >> CHUNK_BITS) as usize];
        if !chunk.is_held() {
            chunk.get_mut()[slot as usize % CHUNK_ENTRIES].referenced = true;
        }
    }

    pub(crate) fn insert(&mut self, entry: Entry) -> Result<u32> {
        if let Some(slot) = self.free.pop() {
            *self.get_mut(slot) = entry;
            return Ok(slot);
        }
        let slot = self.slots;
        if slot >= u32::MAX - 1 {
            return Err(Error::TooLarge {
                what: "the number of rows in memory",
                limit: u64::from(u32::MAX) - 1,
            });
        }
        if (slot as usize).is_multiple_of(CHUNK_ENTRIES) {
            // The first chunk grows on demand: a task may have many small stores.
            let capacity = if slot == 0 { 4 } else { CHUNK_ENTRIES };
            self.chunks.push(Share::Owned(Vec::with_capacity(capacity)));
        }
        self.slots += 1;
        self.chunks[(slot >> CHUNK_BITS) as usize].get_mut().push(entry);
        Ok(slot)
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        *self.get_mut(slot) = Entry::vacant();
        self.free.push(slot);
    }

    /// Keys, absent ones included.
    pub(crate) fn len(&self) -> usize {
        self.slots as usize - self.free.len()
    }

    /// One more than the highest slot.
    pub(crate) fn slots(&self) -> u32 {
        self.slots
    }

    pub(crate) fn freeze(&mut self) -> FrozenChunks {
        self.chunks.iter_mut().map(|chunk| chunk.share(&self.kept)).collect()
    }

    /// Where the chunk of a slot ends, if views hold it.
    pub(crate) fn end_if_held(&self, slot: u32) -> Option<u32> {
        let chunk = slot >> CHUNK_BITS;
        self.chunks[chunk as usize].is_held().then(|| self.slots.min((chunk + 1) << CHUNK_BITS))
    }
}

/// Views may have its chunks for longer.
impl Drop for Slab {
    fn drop(&mut self) {
        self.chunks.iter_mut().for_each(Share::leave);
    }
}

impl InMemory for Vec<Entry> {
    fn bytes(&self) -> usize {
        self.iter().map(|entry| size_of::<Entry>() + entry.heap_bytes()).sum()
    }
}

/// The entry of a slot in frozen chunks.
pub(crate) fn frozen_entry(chunks: &FrozenChunks, slot: u32) -> &Entry {
    &chunks[(slot >> CHUNK_BITS) as usize][slot as usize % CHUNK_ENTRIES]
}

/// One more than the highest slot of frozen chunks.
pub(crate) fn frozen_slots(chunks: &FrozenChunks) -> u32 {
    chunks.last().map_or(0, |last| (chunks.len() - 1) as u32 * CHUNK_ENTRIES as u32 + last.len() as u32)
}
