//! How a worker bounds the memory of stores that are kept on disk.
//!
//! Their rows stay in memory after they were written to the engine, for the next read. When all of them together are over
//! the worker's part of `statestore.memory.max.bytes`, the largest stores forget what the engine has. Small ones stay whole,
//! and a store that is whole never asks the disk for a key that it does not have.
//!
//! What is not committed, or not yet written, cannot be forgotten. So while the memory is over the budget the engines are
//! written in every turn, and if that does not help, a commit comes early.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{RunningTask, Worker};
use crate::error::Result;

/// Chunks that each store writes in a turn while the memory is over its budget.
const CHUNKS_PER_TURN: usize = 16;
/// Commits for want of memory are at least so far apart.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

impl Worker {
    /// Whether stores have more in memory than they may.
    pub(super) fn is_over_budget(&self) -> bool {
        let resident: usize = self.tasks.values().flat_map(RunningTask::resident_bytes).sum();
        resident > self.context.memory_max_bytes.load(Ordering::Relaxed)
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
        let budget = self.context.memory_max_bytes.load(Ordering::Relaxed) / 8 * 7;
        let level = level(self.tasks.values().flat_map(RunningTask::resident_bytes).collect(), budget);
        self.tasks.values_mut().for_each(|task| task.evict(level));
        Ok(more)
    }

    /// Whether a commit is due because what is not committed fills the memory: a row that is to be undone by an abort costs
    /// about a third of its size once more.
    pub(super) fn is_short_of_memory(&self) -> bool {
        let uncommitted: usize = self.tasks.values().map(RunningTask::uncommitted_bytes).sum();
        uncommitted > self.context.memory_max_bytes.load(Ordering::Relaxed) / 8
            && self.is_over_budget()
            && self.context.host.now() - self.last_commit >= COMMIT_INTERVAL
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
