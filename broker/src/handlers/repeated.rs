//! What a request names more than once. A request may name a million things, so nobody compares each with all others; and
//! what is told of a thing may be large, so it is told again only [so often](Told).

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use anabranch_host::HashMap;

/// How often each thing is named.
pub(super) struct Repeated<K>(BTreeMap<K, usize>);

impl<K: Ord> Repeated<K> {
    /// Of all that a request names.
    pub(super) fn among(named: impl IntoIterator<Item = K>) -> Self {
        let mut counts = BTreeMap::new();
        named.into_iter().for_each(|thing| *counts.entry(thing).or_default() += 1);
        Repeated(counts)
    }

    /// Whether it is named more than once.
    pub(super) fn has(&self, thing: &K) -> bool {
        self.0.get(thing).is_some_and(|count| *count > 1)
    }

    /// The first time that a thing is asked for: whether it is named more than once. None for the same thing later.
    pub(super) fn take(&mut self, thing: &K) -> Option<bool> {
        self.0.remove(thing).map(|count| count > 1)
    }
}

/// Bytes of what is told again in one answer: more than anybody asks for who names something twice by mistake, and as much
/// as makes no difference to a broker that holds answers of this size for every fetch.
const AGAIN_BYTES: usize = 1024 * 1024;

/// What has been told in an answer. Kafka tells a thing as often as it is named; so does this, until what was told again
/// has reached a mebibyte. Else a small request could ask for any amount of memory.
pub(super) struct Told<K> {
    before: BTreeSet<K>,
    again_bytes: usize,
}

impl<K: Ord> Told<K> {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Told { before: BTreeSet::new(), again_bytes: 0 }
    }

    /// Whether the thing may be told: it was not yet, or there is room.
    pub(super) fn may_tell(&self, thing: &K) -> bool {
        self.again_bytes < AGAIN_BYTES || !self.before.contains(thing)
    }

    /// It is told, in so many bytes.
    pub(super) fn tell(&mut self, thing: K, bytes: usize) {
        if !self.before.insert(thing) {
            self.again_bytes += bytes;
        }
    }
}

/// Each thing once: as it is named last, at the place where it is named first, as Kafka has it.
pub(super) fn last_of_each<T, K: Hash + Eq>(
    named: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Vec<T> {
    let named = named.into_iter();
    let mut places: HashMap<K, usize> = HashMap::default();
    let mut distinct: Vec<T> = Vec::with_capacity(named.size_hint().0);
    for thing in named {
        let place = *places.entry(key(&thing)).or_insert(distinct.len());
        match distinct.get_mut(place) {
            Some(first) => *first = thing,
            None => distinct.push(thing),
        }
    }
    distinct
}

/// Topics that are named more than once as one, with the partitions of all, as Kafka answers where it goes by partition.
pub(super) fn merged<T, K: Ord, P>(
    topics: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
    partitions: impl Fn(&mut T) -> &mut Vec<P>,
) -> Vec<T> {
    let mut places = BTreeMap::new();
    let mut merged: Vec<T> = Vec::new();
    for mut topic in topics {
        let place = *places.entry(key(&topic)).or_insert(merged.len());
        match merged.get_mut(place) {
            Some(first) => partitions(first).append(partitions(&mut topic)),
            None => merged.push(topic),
        }
    }
    merged
}

/// Each thing once, where it is named first.
pub(super) fn distinct<K: Ord + Copy>(named: impl IntoIterator<Item = K>) -> Vec<K> {
    let mut seen = BTreeSet::new();
    named.into_iter().filter(|thing| seen.insert(*thing)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_taken_once() {
        let named = ["a", "b", "a"];
        let mut repeated = Repeated::among(named);
        assert_eq!(named.map(|name| repeated.has(&name)), [true, false, true]);
        assert_eq!(named.map(|name| repeated.take(&name)), [Some(true), Some(false), None]);
        assert_eq!(distinct(named), ["a", "b"]);
        let named = [("a", 1), ("b", 2), ("a", 3)];
        assert_eq!(last_of_each(named, |thing| thing.0), [("a", 3), ("b", 2)]);
        let topics = [("a", vec![1]), ("b", vec![2]), ("a", vec![3, 1])];
        assert_eq!(
            merged(topics, |topic| topic.0, |topic| &mut topic.1),
            [("a", vec![1, 3, 1]), ("b", vec![2])]
        );
    }

    #[test]
    fn what_is_told_again_is_bounded_and_what_is_new_is_told() {
        let mut told = Told::new();
        let mut tell = |thing: &'static str, bytes| {
            let may_tell = told.may_tell(&thing);
            if may_tell {
                told.tell(thing, bytes);
            }
            may_tell
        };
        assert!(tell("large", 2 * AGAIN_BYTES));
        assert!(tell("small", AGAIN_BYTES / 2));
        let again = ["small", "small", "small", "large", "other", "other"];
        assert_eq!(again.map(|thing| tell(thing, AGAIN_BYTES / 2)), [true, true, false, false, true, false]);
    }
}
