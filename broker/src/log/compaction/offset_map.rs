//! The last offset of each key in the dirty part of a log.
//!
//! A table of 24 bytes a key, open addressing, that grows with the keys that come, up to `log.cleaner.dedupe.buffer.size`.
//! When that is reached the round ends where the map is full, and the next one begins there.

use super::key_hash::{Hash, KeyHasher};

/// Bytes of a slot: hash and offset.
const SLOT_BYTES: usize = size_of::<Slot>();
/// Slots of a new map.
const FIRST_SLOTS: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: Hash,
    /// -1: nobody is here.
    offset: i64,
}

const EMPTY: Slot = Slot { hash: [0; 2], offset: -1 };

/// Keys and their last offsets.
#[derive(Debug)]
pub(super) struct OffsetMap {
    hasher: KeyHasher,
    slots: Vec<Slot>,
    keys: usize,
    max_slots: usize,
    /// The share of slots in use at which the largest table is full.
    load_factor: f64,
    /// Up to where the map knows all keys.
    latest_offset: i64,
}

impl OffsetMap {
    /// An empty map of at most `max_bytes`.
    pub(super) fn new(hasher: KeyHasher, max_bytes: usize, load_factor: f64) -> OffsetMap {
        let max_slots = (max_bytes / SLOT_BYTES).max(2);
        OffsetMap {
            hasher,
            slots: vec![EMPTY; FIRST_SLOTS.min(max_slots)],
            keys: 0,
            max_slots,
            load_factor: load_factor.clamp(0.1, 0.95),
            latest_offset: -1,
        }
    }

    /// Whether no more keys are to be put. They can be: a batch that was begun is put whole.
    pub(super) fn is_full(&self) -> bool {
        self.keys as f64 >= self.max_slots as f64 * self.load_factor
    }

    /// Keys in the map.
    pub(super) fn len(&self) -> usize {
        self.keys
    }

    /// Notes that a record with this key lies at `offset`, which is above those before.
    pub(super) fn put(&mut self, key: &[u8], offset: i64) {
        if self.keys + 1 >= self.room() {
            self.grow();
        }
        let hash = self.hasher.hash(key);
        let at = self.find(hash);
        let slot = &mut self.slots[at];
        if slot.offset < 0 {
            self.keys += 1;
        }
        *slot = Slot { hash, offset };
    }

    /// The last offset of a key, if the map has it.
    pub(super) fn get(&self, key: &[u8]) -> Option<i64> {
        let offset = self.slots[self.find(self.hasher.hash(key))].offset;
        (offset >= 0).then_some(offset)
    }

    /// Up to which offset all keys are in the map; -1: none.
    pub(super) fn latest_offset(&self) -> i64 {
        self.latest_offset
    }

    /// All keys up to `offset` are in the map now.
    pub(super) fn reached(&mut self, offset: i64) {
        self.latest_offset = offset;
    }

    /// Keys that the table takes before it grows.
    fn room(&self) -> usize {
        let slots = self.slots.len();
        if slots < self.max_slots {
            slots / 4 * 3
        } else {
            (slots as f64 * self.load_factor.max(0.75)) as usize
        }
    }

    /// Where the hash is, or belongs.
    fn find(&self, hash: Hash) -> usize {
        let slots = self.slots.len();
        let mut at = ((u128::from(hash[0]) * slots as u128) >> 64) as usize;
        loop {
            let slot = &self.slots[at];
            if slot.offset < 0 || slot.hash == hash {
                return at;
            }
            at = if at + 1 == slots { 0 } else { at + 1 };
        }
    }

    fn grow(&mut self) {
        let doubled = self.slots.len() * 2;
        let slots = if self.slots.len() < self.max_slots { doubled.min(self.max_slots) } else { doubled };
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots]);
        for slot in old.into_iter().filter(|slot| slot.offset >= 0) {
            let at = self.find(slot.hash);
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_each_key_is_known_whatever_the_size() {
        for max_bytes in [0, 24 * 100, 24 * 3000, 24 << 20] {
            let mut map = OffsetMap::new(KeyHasher::new([1, 2]), max_bytes, 0.9);
            for offset in 0..10_000i64 {
                map.put(&(offset % 3333).to_be_bytes(), offset);
            }
            assert_eq!(map.len(), 3333);
            for key in 0..3333i64 {
                let last = (0..10_000).rev().find(|offset| offset % 3333 == key);
                assert_eq!(map.get(&key.to_be_bytes()), last, "{key}");
            }
            assert_eq!(map.get(b"another"), None);
            assert_eq!(map.is_full(), max_bytes < 24 * 3334);
        }
    }

    #[test]
    fn it_takes_no_more_than_it_needs() {
        let mut map = OffsetMap::new(KeyHasher::new([1, 2]), 128 << 20, 0.9);
        (0..5000i64).for_each(|key| map.put(&key.to_be_bytes(), key));
        assert!(map.slots.len() * SLOT_BYTES <= 8192 * 24, "{}", map.slots.len());
    }
}
