//! What a worker still owes: tasks that have lost what they had processed and have committed none since, and for how long
//! nothing has come of what it tries.
//!
//! What others commit is no progress of a task that fails again and again. One that has left, or only follows its changelogs by
//! now, owes nothing: it is for others to do again what it had done.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::processor::TaskId;
use crate::runtime::task_timeout::TaskTimeout;

/// A worker's debts, and its patience.
#[derive(Debug)]
pub(super) struct Owing {
    tasks: BTreeSet<TaskId>,
    /// Those that the commit in flight brings further.
    moving: BTreeSet<TaskId>,
    timeout: TaskTimeout,
}

impl Owing {
    /// Nothing is owed; it may fail for `limit` (`task.timeout.ms`).
    pub(super) fn new(limit: Duration) -> Self {
        Owing { tasks: BTreeSet::new(), moving: BTreeSet::new(), timeout: TaskTimeout::new(limit) }
    }

    /// How long nothing has come of it.
    pub(super) fn timeout(&mut self) -> &mut TaskTimeout {
        &mut self.timeout
    }

    /// What a task had processed is undone.
    pub(super) fn lost(&mut self, task: TaskId) {
        self.tasks.insert(task);
    }

    /// A commit begins that brings these tasks further.
    pub(super) fn begins(&mut self, moving: BTreeSet<TaskId>) {
        self.moving = moving;
    }

    /// The commit has succeeded.
    pub(super) fn committed(&mut self) {
        let moved = std::mem::take(&mut self.moving);
        self.tasks.retain(|task| !moved.contains(task));
    }

    /// Forgets tasks that do not run here any more. If nothing is owed then, something has come of it.
    pub(super) fn forget_who_left(&mut self, runs: impl Fn(&TaskId) -> bool) {
        self.tasks.retain(runs);
        if self.tasks.is_empty() {
            self.timeout.progressed();
        }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[derive(Debug)]
    enum Event {
        /// What these tasks had processed is undone.
        Fails(&'static [i32]),
        /// A commit succeeds that brings these further.
        Commits(&'static [i32]),
        /// Only these run here now.
        Stay(&'static [i32]),
    }
    use Event::{Commits, Fails, Stay};

    /// The tasks 1 and 2 run at first. Whether a failure after all of it, `LIMIT` after the first one, is one too many.
    fn check(events: &[Event], expected: bool) {
        let task = |partition: &i32| TaskId { subtopology: 0, partition: *partition };
        let tasks = |all: &[i32]| all.iter().map(task).collect::<BTreeSet<_>>();
        let (mut owing, mut here) = (Owing::new(LIMIT), tasks(&[1, 2]));
        for event in events {
            match event {
                Fails(failed) => {
                    assert!(!owing.timeout().is_over(Instant::default()));
                    tasks(failed).into_iter().for_each(|task| owing.lost(task));
                }
                Commits(moved) => {
                    owing.begins(tasks(moved));
                    owing.committed();
                    owing.forget_who_left(|task| here.contains(task));
                }
                Stay(stay) => {
                    here = tasks(stay);
                    owing.forget_who_left(|task| here.contains(task));
                }
            }
        }
        let later = Instant::from_start(LIMIT + Duration::from_millis(1));
        assert_eq!(owing.timeout().is_over(later), expected, "{events:?}");
    }

    #[test]
    fn time_runs_while_a_task_that_runs_owes_something() {
        check(&[], false);
        check(&[Fails(&[1])], true);
        check(&[Fails(&[1]), Commits(&[1])], false);
        check(&[Fails(&[1]), Commits(&[2])], true);
        check(&[Fails(&[1, 2]), Commits(&[2])], true);
        check(&[Fails(&[1, 2]), Commits(&[2]), Commits(&[1])], false);
        // A call has failed, and nothing was lost.
        check(&[Fails(&[])], true);
        check(&[Fails(&[]), Commits(&[])], false);
    }

    #[test]
    fn who_has_left_or_only_follows_owes_nothing() {
        check(&[Fails(&[1]), Stay(&[2])], false);
        check(&[Fails(&[1]), Stay(&[1])], true);
        check(&[Fails(&[1, 2]), Stay(&[2])], true);
        check(&[Fails(&[1, 2]), Stay(&[2]), Commits(&[2])], false);
        check(&[Fails(&[1, 2]), Stay(&[])], false);
        check(&[Fails(&[1]), Stay(&[]), Fails(&[])], true);
    }
}
