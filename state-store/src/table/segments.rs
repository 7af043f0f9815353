//! Slots by segment: which rows of a table expire together.

use std::collections::BTreeMap;

/// The slots of each segment, in no order. An entry knows its place among those of its segment.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    slots: BTreeMap<u64, Vec<u32>>,
}

impl Segments {
    /// Adds a slot to a segment; returns its place.
    pub(crate) fn insert(&mut self, segment: u64, slot: u32) -> u32 {
        let slots = self.slots.entry(segment).or_default();
        slots.push(slot);
        slots.len() as u32 - 1
    }

    /// Removes what is in a place of a segment; returns the slot that has moved there, if one has.
    pub(crate) fn remove(&mut self, segment: u64, place: u32) -> Option<u32> {
        let slots = self.slots.get_mut(&segment)?;
        slots.swap_remove(place as usize);
        if slots.is_empty() {
            self.slots.remove(&segment);
            return None;
        }
        slots.get(place as usize).copied()
    }

    /// The oldest segment that has rows.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.slots.first_key_value().map(|(segment, _)| *segment)
    }

    /// The newest segment that has rows.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.slots.last_key_value().map(|(segment, _)| *segment)
    }

    /// The slots of the segments from one to another, segment by segment.
    pub(crate) fn slots(&self, first: u64, last: u64) -> impl Iterator<Item = u32> {
        let segments = (first <= last).then(|| self.slots.range(first..=last));
        segments.into_iter().flatten().flat_map(|(_, slots)| slots.iter().copied())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slots.values().map(|slots| slots.capacity() * size_of::<u32>()).sum()
    }
}
