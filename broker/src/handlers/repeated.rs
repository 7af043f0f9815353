//! What a request names more than once. A request may name a million things, so nobody compares each with all others; and
//! what is told of a thing may be large, so it is told once.

use std::collections::{BTreeMap, BTreeSet};

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
    }
}
