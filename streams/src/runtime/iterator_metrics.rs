//! What is counted of iterators over stores that somebody holds open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::families::{Labels, in_unit, register};

/// Iterators that are open, by task and store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct IteratorFamilies {
    open: Family<Labels, Gauge>,
    oldest: Family<Labels, Gauge<f64, AtomicU64>>,
    opened: Arc<Mutex<Opened>>,
}

#[derive(Default)]
struct Opened {
    /// The number of the next one.
    next: u64,
    /// When each was opened, and its number.
    since_ms: BTreeMap<Labels, BTreeSet<(i64, u64)>>,
}

/// An iterator that counts as open as long as this lives.
pub(crate) struct CountedIterator {
    families: IteratorFamilies,
    labels: Labels,
    place: (i64, u64),
}

impl IteratorFamilies {
    pub(crate) fn new(r: &mut Registry) -> Self {
        IteratorFamilies {
            open: register(
                r,
                "state_num_open_iterators",
                "Iterators over a store that are open.",
                Family::default(),
            ),
            oldest: in_unit(
                r,
                "state_oldest_iterator_open_since",
                "When the oldest of them was opened, in seconds since 1970; 0 if none is open.",
                Unit::Seconds,
                Family::default(),
            ),
            opened: Arc::default(),
        }
    }

    /// An iterator is opened.
    pub(crate) fn opened(&self, task: String, store: &str, now_ms: i64) -> CountedIterator {
        let labels = vec![("task_id", task), ("store", store.to_owned())];
        let mut opened = self.opened.lock();
        let place = (now_ms, opened.next);
        opened.next += 1;
        let all = opened.since_ms.entry(labels.clone()).or_default();
        all.insert(place);
        self.tell(&labels, all);
        CountedIterator { families: self.clone(), labels, place }
    }

    fn tell(&self, labels: &Labels, all: &BTreeSet<(i64, u64)>) {
        self.open.get_or_create_owned(labels).set(i64::try_from(all.len()).unwrap_or(i64::MAX));
        let oldest_ms = all.first().map_or(0, |(since_ms, _)| *since_ms);
        self.oldest.get_or_create_owned(labels).set(oldest_ms as f64 / 1e3);
    }
}

impl Drop for CountedIterator {
    fn drop(&mut self) {
        let mut opened = self.families.opened.lock();
        if let Some(all) = opened.since_ms.get_mut(&self.labels) {
            all.remove(&self.place);
            self.families.tell(&self.labels, all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_open_are_told() {
        let families = IteratorFamilies::new(&mut Registry::default());
        let labels = vec![("task_id", "0_1".to_owned()), ("store", "counts".to_owned())];
        let check = |open: i64, oldest: f64| {
            assert_eq!(families.open.get_or_create_owned(&labels).get(), open);
            assert_eq!(families.oldest.get_or_create_owned(&labels).get(), oldest);
        };
        let open = |at_ms| families.opened("0_1".to_owned(), "counts", at_ms);
        let (first, second, third) = (open(1_000), open(2_000), open(2_000));
        check(3, 1.0);
        drop(first);
        check(2, 2.0);
        drop(third);
        check(1, 2.0);
        drop(second);
        check(0, 0.0);
    }
}
