//! A host of the simulated world, in one of its lives.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use super::agenda::{EntryKey, Event};
use super::state::Shared;
use super::task::{Body, Signal, Spawned};
use super::trace::{EventKind, NodeId};
use crate::task::CatchUnwind;
use crate::{Instant, JoinError, JoinHandle};

/// What a `Host` of the simulated world is made of. When the node has died, its tasks are gone, and whoever still holds
/// this from outside gets errors.
#[derive(Clone)]
pub(crate) struct SimNode {
    pub(super) shared: Arc<Shared>,
    pub(super) id: NodeId,
    pub(super) life: u32,
}

impl fmt::Debug for SimNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNode").field("id", &self.id).field("life", &self.life).finish_non_exhaustive()
    }
}

impl SimNode {
    pub(crate) fn now(&self) -> Instant {
        self.shared.state().agenda.now()
    }

    pub(crate) fn wall_clock_ms(&self) -> i64 {
        let mut state = self.shared.state();
        let since_start_ms = i64::try_from(state.agenda.now().since_start().as_millis()).unwrap_or(i64::MAX);
        let start_ms = state.options.wall_clock_start_ms;
        start_ms.saturating_add(since_start_ms).saturating_add(state.node(self.id).wall_clock_skew_ms)
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        Sleep { node: self.clone(), deadline: self.now() + duration, entry: None }
    }

    pub(crate) fn random_u64(&self) -> u64 {
        let mut state = self.shared.state();
        let drawn = state.node(self.id).dice.next();
        state.record(EventKind::Random, self.id, drawn);
        drawn
    }

    /// Waits until the process is asked to stop.
    pub(crate) async fn interrupted(&self) {
        poll_fn(|context| {
            let mut state = self.shared.state();
            // What is left of a former life has no process to be asked.
            let alive = state.is_alive(self.id, self.life);
            let node = state.node(self.id);
            if alive && node.interrupted {
                return Poll::Ready(());
            }
            if alive && !node.interrupt_waiters.iter().any(|waker| waker.will_wake(context.waker())) {
                node.interrupt_waiters.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_pinned(move || future)
    }

    pub(crate) fn spawn_pinned<M, F>(&self, make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let node = self.clone();
        let make = move || -> Body {
            Box::pin(async move {
                let output = CatchUnwind::new(async move { make().await }).await;
                if let Err(JoinError::Panicked(message)) = &output {
                    let mut state = node.shared.state();
                    let name = state.node(node.id).name.clone();
                    state.panics.push((name, message.clone()));
                }
                // Nobody listens if the handle was dropped.
                let _ = sender.send(output);
            })
        };
        let mut state = self.shared.state();
        let id = state.next_task_id();
        let signal = Signal::new(id, self.shared.ready.clone());
        let abort = signal.clone();
        // A dead node starts nothing: the recipe is dropped (outside the lock), and the handle says so.
        if state.is_alive(self.id, self.life) {
            state.record(EventKind::Spawn, self.id, id.0);
            state.spawned.push(Spawned { id, node: self.id, signal, make: Box::new(make) });
        }
        drop(state);
        JoinHandle::new(receiver, Arc::new(move || abort.abort()))
    }
}

/// Waits for a moment of virtual time.
#[derive(Debug)]
pub(crate) struct Sleep {
    node: SimNode,
    deadline: Instant,
    entry: Option<EntryKey>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.node.shared.state();
        if state.agenda.now() >= this.deadline {
            // Its entry has come up by now, or will find nobody who minds.
            return Poll::Ready(());
        }
        let event = Event::Wake { node: this.node.id, waker: context.waker().clone() };
        match this.entry.and_then(|key| state.agenda.get_mut(key)) {
            Some(entry) => *entry = event,
            None => this.entry = Some(state.agenda.add(this.deadline, event)),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.entry {
            let removed = self.node.shared.state().agenda.remove(key);
            // A waker may run anybody's code when it goes; the lock is free by now.
            drop(removed);
        }
    }
}
