//! What an instance's member, its workers' askers and its user share: its plan, its state, and what is asked of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use anabranch_client::Client;
use anabranch_host::Instant;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::assignment::holdings::Holdings;
use super::global::Positions;
use super::metrics::Metrics;
use super::plan::Plan;
use super::query::OpenIterators;
use super::state::{State, StateListener};
use super::worker::ToWorker;
use super::workers::WorkerSenders;
use crate::error::{Error, Result};
use crate::processor::{TaskId, calling};
use crate::state::Globals;

/// What the instance's task, its workers' askers and its user share.
pub(crate) struct Shared {
    pub(crate) application_id: String,
    pub(crate) client: Client,
    /// What the group runs, as of the last assignment.
    pub(crate) plan: Mutex<Arc<Plan>>,
    /// Topics that feed global stores, and how many partitions each has.
    pub(super) global_topics: BTreeMap<String, i32>,
    /// Until it ends: what lies on disk is closed then, whoever still holds a handle.
    pub(crate) globals: Mutex<Globals>,
    /// The same of iterators over stores.
    pub(crate) iterators: OpenIterators,
    /// How far the topics of the global stores are read, if there are any.
    pub(crate) globals_read: Option<watch::Receiver<Positions>>,
    pub(crate) state: watch::Sender<State>,
    /// When all is to have ended, if its user does not wait longer.
    pub(super) end_by: watch::Sender<Option<Instant>>,
    /// The member's task has ended, with all that it held.
    pub(super) over: watch::Sender<bool>,
    /// Counts commits.
    pub(crate) committed: watch::Sender<u64>,
    /// Why it failed, if it did.
    pub(crate) error: Mutex<Option<Arc<Error>>>,
    pub(crate) metrics: Arc<Metrics>,
    /// What of the application is here.
    pub(crate) holdings: Arc<Holdings>,
    /// Which worker runs a task.
    pub(crate) placed: Mutex<BTreeMap<TaskId, usize>>,
    pub(super) workers: WorkerSenders,
    pub(super) commands: mpsc::UnboundedSender<Command>,
}

/// The wish for a clean end: who waits for it.
pub(crate) type Stop = oneshot::Sender<Result<()>>;

/// Why an end was not clean.
pub(crate) const TOO_LATE: &str =
    "not stopped in time: what was not committed is processed again by the next start";

/// However the member's task ends: whoever waits for the instance hears that it has.
pub(super) struct Told(pub(super) Arc<Shared>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.has_ended();
    }
}

/// What its user asks of a running instance.
pub(crate) enum Command {
    /// Commit, leave the group, end.
    Stop(Stop),
    /// One worker more.
    AddThread { reply: oneshot::Sender<Result<usize>> },
    /// One worker less.
    RemoveThread { reply: oneshot::Sender<Result<usize>> },
    /// Process nothing for a while, or go on.
    Sleep(bool),
    /// End at once, as a crash would.
    Abandon,
}

impl Shared {
    /// Tells a worker. One that has failed is gone; the instance hears of that by itself.
    pub(crate) fn tell(&self, worker: usize, message: ToWorker) {
        if let Some(worker) = self.workers.lock().get(&worker) {
            let _ = worker.send(message);
        }
    }

    /// What the group runs, as of the last assignment.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.lock())
    }

    /// Changes the state and tells who listens.
    pub(crate) fn enter(&self, state: State, listener: Option<&StateListener>) {
        let mut old = state;
        self.state.send_if_modified(|current| {
            let may = current.may_become(state);
            if may {
                old = std::mem::replace(current, state);
            }
            may
        });
        if old != state {
            tracing::info!(from = %old, to = %state, "state");
            if let Some(listener) = listener {
                // Whoever only watches does not end what it watches.
                if let Err(error) = calling("the state listener", || listener(state, old)) {
                    tracing::error!(%error, "the application goes on");
                }
            }
        }
    }

    /// What comes of `work`; none if the time is over in which all is to have ended.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut end_by = self.end_by.subscribe();
        let over = async {
            let by = end_by.wait_for(Option::is_some).await.map(|by| *by);
            match by {
                Ok(Some(by)) => self.client.host().sleep_until(by).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = over => None,
        }
    }

    /// Nobody works on it any more: unless that was said already, it has failed.
    fn has_ended(&self) {
        self.iterators.end();
        self.state.send_if_modified(|state| {
            let is_news = !matches!(*state, State::NotRunning | State::Error);
            if is_news {
                *state = State::Error;
            }
            is_news
        });
        self.over.send_replace(true);
    }

    /// Why it has stopped.
    pub(super) fn failure(&self) -> Error {
        match &*self.error.lock() {
            Some(error) => Error::new(error.kind(), error),
            None => Error::fatal("the application has stopped"),
        }
    }
}
