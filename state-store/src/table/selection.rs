//! Which rows are read, and in what order.

use std::cmp::Ordering;

use super::ordered::{KeyRange, Order};
use super::timed::TimedKeys;

/// The rows of a range, by key; with times, those whose time lies among them, one segment after another.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) range: KeyRange<'static>,
    pub(crate) order: Order,
    /// The first and the last time, in a table of such keys.
    pub(crate) times: Option<(TimedKeys, u64, u64)>,
}

impl Selection {
    /// By key alone.
    pub(crate) fn of_keys(range: &KeyRange<'_>, order: Order) -> Self {
        Selection { range: range.owned(), order, times: None }
    }

    /// Whether a key is among those that are read.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.range.contains(key) && self.has_time(key)
    }

    /// Whether the time of a key is; one without a time is no row where times are asked for.
    pub(crate) fn has_time(&self, key: &[u8]) -> bool {
        self.times.is_none_or(|(keys, from, to)| {
            keys.split(key).is_some_and(|(_, (time, _))| (from..=to).contains(&time))
        })
    }

    /// Which of two keys is shown first.
    pub(crate) fn compare(&self, left: &[u8], right: &[u8]) -> Ordering {
        let segments = match self.times {
            Some((keys, ..)) => keys.segment_of(left).cmp(&keys.segment_of(right)),
            None => Ordering::Equal,
        };
        let forward = segments.then_with(|| left.cmp(right));
        match self.order {
            Order::Forward => forward,
            Order::Reverse => forward.reverse(),
        }
    }

    /// The segments that may have rows of it.
    pub(crate) fn segments(&self) -> (u64, u64) {
        self.times.map_or((0, u64::MAX), |(keys, from, to)| (keys.segment_at(from), keys.segment_at(to)))
    }
}
