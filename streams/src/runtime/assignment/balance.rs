//! Levels loads: what is placed already moves as little as balance demands. Pure; `placement` calls it.
//!
//! A load is a number of tasks over a number of workers. Two processes are level when the lighter one would not be lighter
//! still with one task more: `load(a) / workers(a) <= (load(b) + 1) / workers(b)`. The number of tasks that each process
//! has then hardly depends on where they lay before (it is D'Hondt's), so whoever joins takes only, and whoever leaves
//! only gives.

use std::cmp::Ordering;

/// The loads of all processes, by their index.
pub(super) struct Loads<'a> {
    workers: &'a [usize],
    counts: Vec<usize>,
}

impl<'a> Loads<'a> {
    /// Nothing anywhere; `workers` of each process, at least one.
    pub(super) fn none(workers: &'a [usize]) -> Self {
        Loads { workers, counts: vec![0; workers.len()] }
    }

    pub(super) fn add(&mut self, process: usize) {
        self.counts[process] += 1;
    }

    /// Compares two processes by what their load would be with one task more.
    pub(super) fn lighter(&self, a: usize, b: usize) -> Ordering {
        ((self.counts[a] + 1) * self.workers[b])
            .cmp(&((self.counts[b] + 1) * self.workers[a]))
            .then(a.cmp(&b))
    }

    /// Whether a task should move from `a` to `b`.
    pub(super) fn is_uneven(&self, a: usize, b: usize) -> bool {
        self.counts[a] * self.workers[b] > (self.counts[b] + 1) * self.workers[a]
    }

    /// Compares two processes by their loads.
    pub(super) fn compare(&self, a: usize, b: usize) -> Ordering {
        (self.counts[a] * self.workers[b]).cmp(&(self.counts[b] * self.workers[a]))
    }

    /// Moves tasks, one by one, from where is more to where is less, until no move that is allowed levels any more.
    ///
    /// `best` names what moves to a process from those of which [`is_uneven`](Loads::is_uneven) says that they have too
    /// much: the index of the process it comes from, after it has moved it. Each move strictly lowers the sum over all
    /// tasks of `rank in its process / workers`, so this ends.
    pub(super) fn level(&mut self, mut best: impl FnMut(&Loads<'_>, usize) -> Option<usize>) {
        'moves: loop {
            let mut order: Vec<usize> = (0..self.counts.len()).collect();
            order.sort_unstable_by(|a, b| self.lighter(*a, *b));
            for to in order {
                if let Some(from) = best(self, to) {
                    self.counts[from] -= 1;
                    self.counts[to] += 1;
                    continue 'moves;
                }
            }
            return;
        }
    }
}
