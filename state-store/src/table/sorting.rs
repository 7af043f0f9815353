//! Items that are brought into order in small steps, so that nobody is held up who has them sorted beside other work: they
//! are sorted in runs as they come, and the runs are merged as they are read.

use std::cmp::Ordering;
use std::ops::Range;

/// Sorted runs of items, of which the smallest is taken first. All calls must compare alike.
#[derive(Debug)]
pub struct Sorting<T> {
    items: Vec<T>,
    /// What is left of each run, none of them empty: a heap by their first items.
    runs: Vec<Range<usize>>,
    /// Items from here on are in no run yet.
    unsorted: usize,
}

impl<T> Sorting<T> {
    /// No items.
    #[must_use]
    pub const fn new() -> Self {
        Sorting { items: Vec::new(), runs: Vec::new(), unsorted: 0 }
    }

    /// Items that are in order already.
    #[must_use]
    pub fn of_sorted(items: Vec<T>) -> Self {
        let (all, unsorted) = (0..items.len(), items.len());
        Sorting { items, runs: if all.is_empty() { Vec::new() } else { vec![all] }, unsorted }
    }

    /// Adds items to the run that is being made; returns how many it has.
    pub fn add(&mut self, items: impl Iterator<Item = T>) -> usize {
        self.items.extend(items);
        self.items.len() - self.unsorted
    }

    /// Sorts the run that is being made.
    pub fn end_run(&mut self, compare: impl Fn(&T, &T) -> Ordering) {
        let run = self.unsorted..self.items.len();
        if run.is_empty() {
            return;
        }
        self.items[run.clone()].sort_unstable_by(&compare);
        self.unsorted = run.end;
        self.runs.push(run);
        let mut at = self.runs.len() - 1;
        while at > 0 && self.is_before(at, (at - 1) / 2, &compare) {
            self.runs.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    /// The smallest item of all runs.
    #[inline]
    #[must_use]
    pub fn head(&self) -> Option<&T> {
        self.runs.first().map(|run| &self.items[run.start])
    }

    /// Takes the smallest item.
    pub fn advance(&mut self, compare: impl Fn(&T, &T) -> Ordering) {
        let Some(first) = self.runs.first_mut() else { return };
        first.start += 1;
        if first.start == first.end {
            self.runs.swap_remove(0);
        }
        let mut at = 0;
        loop {
            let children = [2 * at + 1, 2 * at + 2].into_iter().filter(|child| *child < self.runs.len());
            let least = children.reduce(|a, b| if self.is_before(b, a, &compare) { b } else { a });
            match least {
                Some(child) if self.is_before(child, at, &compare) => {
                    self.runs.swap(child, at);
                    at = child;
                }
                _ => return,
            }
        }
    }

    fn is_before(&self, run: usize, other: usize, compare: impl Fn(&T, &T) -> Ordering) -> bool {
        compare(&self.items[self.runs[run].start], &self.items[self.runs[other].start]).is_lt()
    }
}

impl<T> Default for Sorting<T> {
    fn default() -> Self {
        Sorting::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn all_come_in_order_however_many_runs_there_are() {
        let random = &mut Random(7);
        let descending = |left: &usize, right: &usize| right.cmp(left);
        for (count, run) in
            [(0, 1), (1, 1), (2, 1), (100, 1), (100, 7), (1000, 10), (1000, 333), (1000, 2000)]
        {
            let items: Vec<usize> = (0..count).map(|_| random.below(500)).collect();
            let mut sorting = Sorting::new();
            for items in items.chunks(run) {
                assert_eq!(sorting.add(items.iter().copied()), items.len());
                sorting.end_run(descending);
            }
            sorting.end_run(descending);
            let mut expected = items;
            expected.sort_by(descending);
            let mut sorted = Sorting::of_sorted(expected.clone());
            for sorting in [&mut sorting, &mut sorted] {
                let mut taken = Vec::new();
                while let Some(item) = sorting.head() {
                    taken.push(*item);
                    sorting.advance(descending);
                }
                assert_eq!(taken, expected, "{count} in runs of {run}");
            }
        }
    }
}
