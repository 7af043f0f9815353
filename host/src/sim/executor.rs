//! The loop of the simulated world: one thread, virtual time, chance.
//!
//! As long as tasks are ready, chance picks the next to be polled, and a little time passes. When none is, time skips to
//! the next event. So any interleaving that the real world can show at an await comes up under some seed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::state::Shared;
use super::task::{Body, Signal, TaskId};
use super::trace::{EventKind, NodeId};

/// Why a run did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// The future waits, and nothing will ever happen again.
    #[error("deadlock: everything waits, and nothing will happen (at {at:?}, {tasks} tasks)")]
    Deadlock {
        /// The virtual time.
        at: Duration,
        /// Tasks that wait.
        tasks: usize,
    },
    /// More steps than `SimOptions::max_steps`.
    #[error("not done after {steps} steps (at {at:?}): a loop that never sleeps?")]
    Steps {
        /// The virtual time.
        at: Duration,
        /// Steps taken.
        steps: u64,
    },
    /// More virtual time than `SimOptions::max_time`.
    #[error("not done after {at:?} of virtual time")]
    Time {
        /// The virtual time.
        at: Duration,
    },
}

/// The tasks and the loop that runs them.
pub(super) struct Executor {
    shared: Arc<Shared>,
    tasks: RefCell<BTreeMap<TaskId, Task>>,
    steps: Cell<u64>,
    running: Cell<bool>,
}

struct Task {
    node: NodeId,
    signal: Arc<Signal>,
    waker: Waker,
    /// Absent while it is being polled.
    body: Option<Body>,
}

impl Executor {
    pub(super) fn new(shared: Arc<Shared>) -> Executor {
        Executor {
            shared,
            tasks: RefCell::new(BTreeMap::new()),
            steps: Cell::new(0),
            running: Cell::new(false),
        }
    }

    /// Runs the world until `future` is done.
    pub(super) fn block_on<F: Future>(&self, future: F) -> Result<F::Output, Stuck> {
        assert!(!self.running.replace(true), "block_on within block_on of the same simulation");
        let _stop = StopOnDrop(&self.running);
        let mut future = pin!(future);
        let signal = Signal::new(TaskId::MAIN, self.shared.ready.clone());
        let waker = signal.waker();
        waker.wake_by_ref();
        let mut wakers = Vec::new();
        loop {
            self.take_in_spawned();
            match self.next_task(&mut wakers)? {
                TaskId::MAIN => {
                    signal.take_turn();
                    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return Ok(output);
                    }
                }
                id => self.poll_task(id),
            }
        }
    }

    /// Picks a ready task; lets time go on until there is one.
    fn next_task(&self, wakers: &mut Vec<Waker>) -> Result<TaskId, Stuck> {
        let mut first = true;
        loop {
            let mut state = self.shared.state();
            let at = state.agenda.now().since_start();
            let steps = self.steps.get() + 1;
            self.steps.set(steps);
            if steps > state.options.max_steps {
                return Err(Stuck::Steps { at, steps });
            }
            if at > state.options.max_time {
                return Err(Stuck::Time { at });
            }
            if first {
                let poll_time = state.options.poll_time;
                state.agenda.pass(poll_time);
                first = false;
            }
            state.happen(wakers);
            if !wakers.is_empty() {
                drop(state);
                wakers.drain(..).for_each(Waker::wake);
                state = self.shared.state();
            }
            if let Some(id) = self.shared.ready.pick(&mut state.scheduling) {
                return Ok(id);
            }
            if !state.agenda.skip_to_next() {
                return Err(Stuck::Deadlock { at, tasks: self.tasks.borrow().len() });
            }
        }
    }

    fn take_in_spawned(&self) {
        let spawned = std::mem::take(&mut self.shared.state().spawned);
        for task in spawned {
            let waker = task.signal.waker();
            waker.wake_by_ref();
            let body = Some((task.make)());
            self.tasks
                .borrow_mut()
                .insert(task.id, Task { node: task.node, signal: task.signal, waker, body });
        }
    }

    fn poll_task(&self, id: TaskId) {
        let (mut body, waker, node) = {
            let mut tasks = self.tasks.borrow_mut();
            // It may have ended since it was woken.
            let Some(task) = tasks.get_mut(&id) else { return };
            let mut state = self.shared.state();
            let node = state.node(task.node);
            if node.paused && !task.signal.is_aborted() {
                // It stays queued, so that nobody queues it a second time.
                node.parked.push(id);
                return;
            }
            task.signal.take_turn();
            state.record(EventKind::Poll, task.node, id.0);
            drop(state);
            if task.signal.is_aborted() {
                let task = tasks.remove(&id);
                drop(tasks);
                // Destructors may come back here.
                drop(task);
                return;
            }
            (task.body.take().expect("present between polls"), task.waker.clone(), task.node)
        };
        let done = body.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.tasks.borrow_mut();
        if done {
            let task = tasks.remove(&id);
            drop(tasks);
            drop((task, body));
        } else if let Some(task) = tasks.get_mut(&id) {
            debug_assert_eq!(task.node, node, "ids are never used twice");
            task.body = Some(body);
        }
    }

    /// Drops the tasks of a node, oldest first.
    pub(super) fn drop_tasks_of(&self, node: NodeId) {
        let gone: Vec<Task> = {
            let mut tasks = self.tasks.borrow_mut();
            let ids: Vec<TaskId> =
                tasks.iter().filter(|(_, task)| task.node == node).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| tasks.remove(id)).collect()
        };
        // Destructors may come back here, so the borrow has ended; a `Vec` drops front to back.
        drop(gone);
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps.get()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // Oldest first, and those that their destructors start too (which then never run).
        loop {
            let spawned = std::mem::take(&mut self.shared.state().spawned);
            let tasks = std::mem::take(self.tasks.get_mut());
            if spawned.is_empty() && tasks.is_empty() {
                return;
            }
            drop((tasks, spawned));
        }
    }
}

struct StopOnDrop<'a>(&'a Cell<bool>);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
