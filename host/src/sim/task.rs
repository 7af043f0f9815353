//! Tasks of the simulated world: how they are named, made, woken and aborted.
//!
//! A future need not be `Send` and so stays with the executor; what travels through the shared state is the recipe that
//! makes it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use super::dice::Dice;
use super::trace::NodeId;

/// Names a task, in the order of their making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TaskId(pub(super) u64);

impl TaskId {
    /// The future given to `block_on`.
    pub(super) const MAIN: TaskId = TaskId(0);
}

/// A task's future, as the executor holds it.
pub(super) type Body = Pin<Box<dyn Future<Output = ()>>>;

/// A task that was made and that the executor has not taken in yet.
pub(super) struct Spawned {
    pub(super) id: TaskId,
    pub(super) node: NodeId,
    pub(super) signal: Arc<Signal>,
    /// Called on the executor's thread.
    pub(super) make: Box<dyn FnOnce() -> Body + Send>,
}

/// The tasks that can go on, in no order of merit: chance picks the next. It depends on which they are alone, not on who
/// was woken first: `tokio::sync::watch` wakes in an order of its own chance.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadyTasks {
    /// Sorted.
    ids: Arc<Mutex<Vec<TaskId>>>,
}

impl ReadyTasks {
    fn ids(&self) -> MutexGuard<'_, Vec<TaskId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, id: TaskId) {
        let mut ids = self.ids();
        // The main task may be there twice: woken for a future that has ended, and for the next.
        if let Err(place) = ids.binary_search(&id) {
            ids.insert(place, id);
        }
    }

    pub(super) fn pick(&self, dice: &mut Dice) -> Option<TaskId> {
        let mut ids = self.ids();
        match ids.len() {
            0 => None,
            1 => ids.pop(),
            count => {
                let index = usize::try_from(dice.below(count as u64)).expect("below a usize");
                Some(ids.remove(index))
            }
        }
    }
}

/// What others can tell a task: that it is to go on, or to end.
#[derive(Debug)]
pub(super) struct Signal {
    id: TaskId,
    ready: ReadyTasks,
    /// Whether it is among the ready tasks.
    queued: AtomicBool,
    aborted: AtomicBool,
}

impl Signal {
    pub(super) fn new(id: TaskId, ready: ReadyTasks) -> Arc<Signal> {
        Arc::new(Signal { id, ready, queued: AtomicBool::new(false), aborted: AtomicBool::new(false) })
    }

    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    /// Ends the task when its turn comes.
    pub(super) fn abort(self: &Arc<Self>) {
        self.aborted.store(true, Ordering::Relaxed);
        self.wake_by_ref();
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed)
    }

    /// Its turn has come: from now on a wake counts for the next turn.
    pub(super) fn take_turn(&self) {
        self.queued.store(false, Ordering::Relaxed);
    }
}

// All of it happens on one thread; atomics only because wakers must be `Sync`.
impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.push(self.id);
        }
    }
}
