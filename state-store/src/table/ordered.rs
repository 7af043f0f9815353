//! The ordered index, built at the first range read, and the ranges it is asked for.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::slab::Slab;

/// A range of keys, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange<'a> {
    start: Bound<Cow<'a, [u8]>>,
    end: Bound<Cow<'a, [u8]>>,
}

/// Which end of a range comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Reverse,
}

impl<'a> KeyRange<'a> {
    /// All keys.
    #[must_use]
    pub const fn all() -> Self {
        KeyRange { start: Bound::Unbounded, end: Bound::Unbounded }
    }

    /// From `start` to `end`. A range that ends before it starts is empty.
    #[must_use]
    pub fn new(start: Bound<&'a [u8]>, end: Bound<&'a [u8]>) -> Self {
        KeyRange { start: start.map(Cow::Borrowed), end: end.map(Cow::Borrowed) }
    }

    /// From `first` to `last`, both included; `None` is open (Kafka's `range`).
    #[must_use]
    pub fn inclusive(first: Option<&'a [u8]>, last: Option<&'a [u8]>) -> Self {
        let bound = |key: Option<&'a [u8]>| key.map_or(Bound::Unbounded, Bound::Included);
        KeyRange::new(bound(first), bound(last))
    }

    /// All keys that start with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &'a [u8]) -> Self {
        // The first key behind: the prefix without its trailing 0xff bytes, the last byte one higher.
        let end = match prefix.iter().rposition(|byte| *byte != u8::MAX) {
            None => Bound::Unbounded,
            Some(last) => {
                let mut behind = prefix[..=last].to_vec();
                behind[last] += 1;
                Bound::Excluded(Cow::Owned(behind))
            }
        };
        KeyRange { start: Bound::Included(Cow::Borrowed(prefix)), end }
    }

    /// The first key or the one before it.
    #[must_use]
    pub fn start(&self) -> Bound<&[u8]> {
        self.start.as_ref().map(AsRef::as_ref)
    }

    /// The last key or the one behind it.
    #[must_use]
    pub fn end(&self) -> Bound<&[u8]> {
        self.end.as_ref().map(AsRef::as_ref)
    }

    /// The same range with bytes of its own.
    #[must_use]
    pub fn owned(&self) -> KeyRange<'static> {
        let bound = |bound: Bound<&[u8]>| bound.map(|key| Cow::Owned(key.to_vec()));
        KeyRange { start: bound(self.start()), end: bound(self.end()) }
    }

    /// Whether no key can be in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match (self.start(), self.end()) {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (
                Bound::Included(start) | Bound::Excluded(start),
                Bound::Included(end) | Bound::Excluded(end),
            ) => start >= end,
            _ => false,
        }
    }

    /// Whether `key` is in it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        !self.starts_after(key)
            && match self.end() {
                Bound::Unbounded => true,
                Bound::Included(end) => key <= end,
                Bound::Excluded(end) => key < end,
            }
    }

    /// Whether `key` lies before the range.
    pub(crate) fn starts_after(&self, key: &[u8]) -> bool {
        match self.start() {
            Bound::Unbounded => false,
            Bound::Included(start) => key < start,
            Bound::Excluded(start) => key <= start,
        }
    }
}

/// Slots in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct OrderedIndex {
    slots: BTreeMap<OrderedKey, u32>,
    heap_bytes: usize,
}

/// So many that a window's key, twelve bytes behind a short text, needs no allocation.
const INLINE_KEY_BYTES: usize = 30;

/// A key of the index, its bytes in place if they are few.
#[derive(Debug)]
enum OrderedKey {
    Inline { length: u8, bytes: [u8; INLINE_KEY_BYTES] },
    Heap(Box<[u8]>),
}

impl OrderedIndex {
    /// Of the keys that `is_shown` holds for.
    pub(crate) fn build(slab: &Slab, is_shown: impl Fn(&[u8]) -> bool) -> Self {
        let shown = |slot: &u32| slab.get(*slot).occupied && is_shown(slab.get(*slot).key());
        let mut slots: Vec<u32> = (0..slab.slots()).filter(shown).collect();
        slots.sort_unstable_by(|left, right| slab.get(*left).key().cmp(slab.get(*right).key()));
        let mut index = OrderedIndex::default();
        let keyed = slots.into_iter().map(|slot| (OrderedKey::new(slab.get(slot).key()), slot));
        index.slots = keyed.collect();
        index.heap_bytes = index.slots.keys().map(OrderedKey::heap_bytes).sum();
        index
    }

    pub(crate) fn insert(&mut self, key: &[u8], slot: u32) {
        let key = OrderedKey::new(key);
        self.heap_bytes += key.heap_bytes();
        self.slots.insert(key, slot);
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        if let Some((key, _)) = self.slots.remove_entry(key) {
            self.heap_bytes -= key.heap_bytes();
        }
    }

    pub(crate) fn range(&self, range: &KeyRange<'_>) -> impl DoubleEndedIterator<Item = u32> {
        // The map would panic on a range that ends before it starts.
        let bounds = if range.is_empty() {
            let nothing: &[u8] = &[];
            (Bound::Included(nothing), Bound::Excluded(nothing))
        } else {
            (range.start(), range.end())
        };
        self.slots.range::<[u8], _>(bounds).map(|(_, slot)| *slot)
    }

    /// An estimate: the tree's nodes are two thirds full on average.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.len() * (size_of::<OrderedKey>() + size_of::<u32>()) * 3 / 2 + self.heap_bytes
    }
}

impl OrderedKey {
    fn new(key: &[u8]) -> Self {
        if key.len() > INLINE_KEY_BYTES {
            return OrderedKey::Heap(key.into());
        }
        let mut bytes = [0; INLINE_KEY_BYTES];
        bytes[..key.len()].copy_from_slice(key);
        OrderedKey::Inline { length: key.len() as u8, bytes }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            OrderedKey::Inline { .. } => 0,
            OrderedKey::Heap(bytes) => bytes.len(),
        }
    }
}

impl Borrow<[u8]> for OrderedKey {
    fn borrow(&self) -> &[u8] {
        match self {
            OrderedKey::Inline { length, bytes } => &bytes[..*length as usize],
            OrderedKey::Heap(bytes) => bytes,
        }
    }
}

impl PartialEq for OrderedKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for OrderedKey {}

impl PartialOrd for OrderedKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderedKey {
    fn cmp(&self, other: &Self) -> Ordering {
        Borrow::<[u8]>::borrow(self).cmp(other.borrow())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_what_starts_with_it() {
        let keys: [&[u8]; 9] = [
            b"",
            b"a",
            b"a\xff",
            b"a\xff\xff",
            b"a\xff\xff\x01",
            b"b",
            b"\xff",
            b"\xff\xff",
            b"\xff\xff\x00",
        ];
        for prefix in keys {
            let range = KeyRange::prefix(prefix);
            for key in keys {
                assert_eq!(range.contains(key), key.starts_with(prefix), "{prefix:?} {key:?}");
            }
        }
    }

    #[test]
    fn an_inverted_range_is_empty() {
        use Bound::{Excluded, Included, Unbounded};
        let (a, b): (&[u8], &[u8]) = (b"a", b"b");
        for (range, expected) in [
            (KeyRange::new(Included(a), Included(a)), false),
            (KeyRange::new(Included(a), Excluded(a)), true),
            (KeyRange::new(Excluded(a), Included(a)), true),
            (KeyRange::new(Excluded(a), Excluded(a)), true),
            (KeyRange::new(Included(b), Included(a)), true),
            (KeyRange::new(Included(a), Excluded(b)), false),
            (KeyRange::new(Unbounded, Excluded(b)), false),
        ] {
            assert_eq!(range.is_empty(), expected, "{range:?}");
            // No panic, whatever the range.
            assert_eq!(OrderedIndex::default().range(&range).count(), 0);
        }
    }
}
