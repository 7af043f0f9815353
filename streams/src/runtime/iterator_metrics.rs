//! What is counted of iterators over stores that somebody holds open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anabranch_host::{Host, Instant};
use parking_lot::Mutex;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::families::{Labels, in_unit, register};

/// How long iterators are open, from a look at a few rows to what should not be.
const DURATION_SECONDS: [f64; 7] = [0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0];
/// It is told if iterators keep more than this part of what stores may have in memory...
const MUCH: usize = 8;
/// ...but not more often than this.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Iterators that are open, by task and store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct IteratorFamilies {
    open: Family<Labels, Gauge>,
    oldest: Family<Labels, Gauge<f64, AtomicU64>>,
    durations: Family<Labels, Histogram>,
    longest: Family<Labels, Gauge<f64, AtomicU64>>,
    opened: Arc<Mutex<Opened>>,
}

#[derive(Default)]
struct Opened {
    /// The number of the next one.
    next: u64,
    /// When each was opened, and its number.
    since_ms: BTreeMap<Labels, BTreeSet<(i64, u64)>>,
    /// The longest since it was last asked for.
    longest: BTreeMap<Labels, Duration>,
    /// When it was last told that they keep much.
    told: Option<Instant>,
}

/// An iterator that counts as open as long as this lives.
pub(crate) struct CountedIterator {
    families: IteratorFamilies,
    labels: Labels,
    place: (i64, u64),
    host: Host,
    since: Instant,
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
            durations: in_unit(
                r,
                "state_iterator_duration",
                "How long those were open that are closed.",
                Unit::Seconds,
                Family::new_with_constructor(|| Histogram::new(DURATION_SECONDS)),
            ),
            longest: in_unit(
                r,
                "state_iterator_duration_max",
                "The longest of them.",
                Unit::Seconds,
                Family::default(),
            ),
            opened: Arc::default(),
        }
    }

    /// An iterator over a task's store is opened.
    pub(crate) fn opened(&self, task: String, store: &str, host: &Host) -> CountedIterator {
        let labels = vec![("task_id", task), ("store", store.to_owned())];
        let mut opened = self.opened.lock();
        let place = (host.wall_clock_ms(), opened.next);
        opened.next += 1;
        let all = opened.since_ms.entry(labels.clone()).or_default();
        all.insert(place);
        self.tell(&labels, all);
        CountedIterator { families: self.clone(), labels, place, host: host.clone(), since: host.now() }
    }

    fn tell(&self, labels: &Labels, all: &BTreeSet<(i64, u64)>) {
        self.open.get_or_create_owned(labels).set(i64::try_from(all.len()).unwrap_or(i64::MAX));
        let oldest_ms = all.first().map_or(0, |(since_ms, _)| *since_ms);
        self.oldest.get_or_create_owned(labels).set(oldest_ms as f64 / 1e3);
    }

    /// Shows the longest that was closed since this was last called.
    pub(super) fn show(&self) {
        self.longest.clear();
        for (labels, longest) in std::mem::take(&mut self.opened.lock().longest) {
            self.longest.get_or_create_owned(&labels).set(longest.as_secs_f64());
        }
    }

    /// Tells, now and then, that iterators keep much of what stores may have in memory, and which was opened first.
    pub(super) fn tell_of_kept(&self, kept: usize, budget: usize, now: Instant) {
        let mut opened = self.opened.lock();
        if kept <= budget / MUCH || opened.told.is_some_and(|told| now - told < TELL_AGAIN) {
            return;
        }
        let firsts = opened.since_ms.iter().filter_map(|(labels, all)| Some((all.first()?.0, labels)));
        if let Some((since_ms, labels)) = firsts.min() {
            tracing::warn!(
                kept, budget, since_ms, oldest = ?labels,
                "iterators that are open keep rows that were changed since, out of statestore.memory.max.bytes: read them to \
                 the end, or drop them"
            );
            opened.told = Some(now);
        }
    }
}

impl Drop for CountedIterator {
    fn drop(&mut self) {
        let duration = self.host.now() - self.since;
        self.families.durations.get_or_create_owned(&self.labels).observe(duration.as_secs_f64());
        let opened = &mut *self.families.opened.lock();
        let longest = opened.longest.entry(self.labels.clone()).or_default();
        *longest = duration.max(*longest);
        if let Some(all) = opened.since_ms.get_mut(&self.labels) {
            all.remove(&self.place);
            self.families.tell(&self.labels, all);
        }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::{Sim, SimOptions};

    use super::*;

    #[test]
    fn those_that_are_open_are_told() {
        let families = IteratorFamilies::new(&mut Registry::default());
        let labels = vec![("task_id", "0_1".to_owned()), ("store", "counts".to_owned())];
        let sim = Sim::new(0, SimOptions::default());
        let host = sim.node("node");
        let begin = host.wall_clock_ms();
        let check = |open: i64, oldest_ms: Option<i64>| {
            assert_eq!(families.open.get_or_create_owned(&labels).get(), open);
            let oldest_ms = oldest_ms.map_or(0, |after| begin + after);
            assert_eq!(families.oldest.get_or_create_owned(&labels).get(), oldest_ms as f64 / 1e3);
        };
        let longest = || {
            families.show();
            families.longest.get_or_create_owned(&labels).get()
        };
        let open = || families.opened("0_1".to_owned(), "counts", &host);
        let second = Duration::from_secs(1);
        let first = open();
        sim.block_on(sim.sleep(second));
        let (middle, last) = (open(), open());
        check(3, Some(0));
        sim.block_on(sim.sleep(second));
        drop(first);
        check(2, Some(1000));
        drop(last);
        check(1, Some(1000));
        assert_eq!((longest(), longest()), (2.0, 0.0));
        drop(middle);
        check(0, None);
        assert_eq!(longest(), 1.0);
    }
}
