//! How a worker bounds the memory of stores that are kept on disk.
//!
//! Their rows stay in memory after they were written to the engine, for the next read. When all of them together are over
//! the worker's part of `statestore.memory.max.bytes`, the largest stores forget what the engine has. Small ones stay whole,
//! and a store that is whole never asks the disk for a key that it does not have.
//!
//! What lies in memory alone takes its part of the budget first: stores in memory, records that wait for their time or their
//! counterpart, the instance's global tables. Nothing of it can be forgotten, so if it takes nearly all, that is told, and
//! the others keep a small part.
//!
//! What is not committed, or not yet written, cannot be forgotten. So while the memory is over the budget the engines are
//! written in every turn, and if that does not help, a commit comes early. What is not committed has a limit of its own
//! (`statestore.uncommitted.max.bytes`): over it a commit is due at once, and while that is in flight nothing is processed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{RunningTask, Worker};
use crate::error::Result;

/// Chunks that each store writes in a turn while the memory is over its budget.
const CHUNKS_PER_TURN: usize = 16;
/// Commits for want of memory are at least so far apart.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
/// Stores on disk keep this part of the budget, whatever the others take.
const LEAST_PART: usize = 8;
/// How often it is told that the others take nearly all.
const TELL_AGAIN: Duration = Duration::from_secs(60);

impl Worker {
    /// Whether stores have more in memory than they may.
    pub(super) fn is_over_budget(&self) -> bool {
        let resident: usize = self.tasks.values().flat_map(RunningTask::resident_bytes).sum();
        resident > 0 && resident > self.budget()
    }

    /// What stores on disk may have in memory: what the others leave.
    fn budget(&self) -> usize {
        let budget = self.context.memory_max_bytes.load(Ordering::Relaxed);
        let pinned: usize =
            self.tasks.values().flat_map(RunningTask::pinned_bytes).map(|(_, bytes)| bytes).sum();
        budget.saturating_sub(pinned).max(budget / LEAST_PART)
    }

    /// Whether what is not committed has reached its limit.
    pub(super) fn uncommitted_is_full(&self) -> bool {
        let uncommitted: usize = self.tasks.values().map(RunningTask::uncommitted_bytes).sum();
        uncommitted + self.held.bytes() > self.context.uncommitted_max_bytes.load(Ordering::Relaxed)
    }

    /// Tells, now and then, that what cannot be forgotten fills the memory, and which store has most of it.
    pub(super) fn tell_of_full_memory(&mut self) {
        let (budget, now) = (self.context.memory_max_bytes.load(Ordering::Relaxed), self.context.host.now());
        if self.told_of_memory.is_some_and(|told| now - told < TELL_AGAIN) {
            return;
        }
        let pinned = self.tasks.values().flat_map(|task| {
            let id = task.id();
            task.pinned_bytes().map(move |(store, bytes)| (bytes, id, store))
        });
        let (mut total, mut most) = (0, None);
        for (bytes, task, store) in pinned {
            total += bytes;
            most = most.max(Some((bytes, task, store)));
        }
        if let Some((bytes, task, store)) = most.filter(|_| total > budget / LEAST_PART * (LEAST_PART - 1)) {
            tracing::warn!(
                total, budget, %task, store, bytes,
                "what lies in memory alone fills statestore.memory.max.bytes: bound what waits (a shorter grace or window, \
                 `max_records`), keep stores on disk, add instances, or raise the limit"
            );
            self.told_of_memory = Some(now);
        }
    }

    /// Brings the memory back below its budget, as far as that is possible now. Whether engines have more to write.
    pub(super) fn evict(&mut self) -> Result<bool> {
        let mut more = false;
        for task in self.tasks.values_mut() {
            let mut chunks = 0..CHUNKS_PER_TURN;
            while chunks.next().is_some() && task.write_behind()? {}
            more |= chunks.is_empty();
        }
        // A little more than need be, so that it lasts for a while.
        let budget = self.budget() / 8 * 7;
        let level = level(self.tasks.values().flat_map(RunningTask::resident_bytes).collect(), budget);
        self.tasks.values_mut().try_for_each(|task| task.evict(level))?;
        Ok(more)
    }

    /// Whether a commit is due because what is not committed fills the memory: a row that is to be undone by an abort costs
    /// about a third of its size once more.
    pub(super) fn is_short_of_memory(&self) -> bool {
        let uncommitted: usize = self.tasks.values().map(RunningTask::uncommitted_bytes).sum();
        uncommitted > self.context.memory_max_bytes.load(Ordering::Relaxed) / 8
            && self.is_over_budget()
            && self.pace.since_begun(self.context.host.now()) >= COMMIT_INTERVAL
    }
}

/// The size that the largest are to be brought down to so that all together are within `budget`.
fn level(mut sizes: Vec<usize>, budget: usize) -> usize {
    sizes.sort_unstable();
    let (mut rest, mut count) = (budget, sizes.len());
    for size in sizes {
        let share = rest / count;
        if size > share {
            return share;
        }
        (rest, count) = (rest - size, count - 1);
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_give() {
        for (sizes, budget, expected) in [
            (vec![], 0, usize::MAX),
            (vec![10, 20, 30], 60, usize::MAX),
            (vec![30, 10, 20], 59, 29),
            (vec![10, 100, 1000], 200, 95),
            (vec![10, 100, 1000], 400, 290),
            (vec![5, 5, 5], 3, 1),
            (vec![0, 0, 7], 0, 0),
        ] {
            let level = level(sizes.clone(), budget);
            assert_eq!(level, expected, "{sizes:?}, {budget}");
            assert!(sizes.iter().map(|size| *size.min(&level)).sum::<usize>() <= budget, "{sizes:?}");
        }
    }
}
