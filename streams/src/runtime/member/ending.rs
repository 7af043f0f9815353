//! The member's life as a whole, and how it ends: workers first, then what reads beside them, then the group is left, then
//! what is on disk is closed. What is not done within the time that its user gives it for that is given up, as a crash
//! would.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anabranch_state_store::Engine;
use futures::FutureExt;
use tokio::sync::oneshot;

use super::phase::Phase;
use super::{Member, Stop};
use crate::error::{Error, Result};
use crate::processor::said;
use crate::runtime::local_state;
use crate::runtime::shared::{Command, Shared, TOO_LATE};
use crate::runtime::state::State;
use crate::runtime::state_directory::StateDirectory;
use crate::runtime::worker::ToWorker;
use crate::state::Globals;

/// So long those may take that are given up; and, if it is too late for it, what closes the state.
const LET_GO_WITHIN: Duration = Duration::from_millis(400);

/// Why an end was not clean whose work is all committed.
const NOT_CLOSED: &str = "the state directory was not synced and closed in time, so it stays locked until it is: all work is committed, \
                          and if the process ends before, the next start reads more of the changelogs";

impl Member {
    /// Runs until it is stopped or fails.
    pub(crate) async fn run(mut self) {
        self.enter(State::Rebalancing);
        let shared = Arc::clone(&self.shared);
        // Of what user code says within the loop nothing may end it unheard.
        let turned = AssertUnwindSafe(shared.in_time(self.turn_until_ended())).catch_unwind().await;
        let turned = match turned {
            Ok(Some(turned)) => turned,
            // It was amid something that takes longer.
            Ok(None) => self.wish_to_stop(),
            Err(panic) => Err(Error::fatal(format_args!("the group's member panicked: {}", said(&*panic)))),
        };
        let reply = match turned {
            Ok(reply) => Some(reply),
            Err(error) => {
                if self.phase == Phase::Abandoned {
                    self.workers.abandon();
                } else {
                    tracing::error!(%error, "the application fails");
                }
                *self.shared.error.lock() = Some(Arc::new(error));
                self.enter(State::PendingError);
                None
            }
        };
        let failed = reply.is_none();
        if !failed {
            self.enter(State::PendingShutdown);
        }
        let stopped = shared.in_time(self.stop_workers()).await;
        if stopped.is_none() {
            self.workers.abandon();
        }
        let Member { consumer, directory, listener, maker, workers, global, from_workers, deferred, .. } =
            self;
        // Whoever still waits for an answer hears that there is none.
        drop((from_workers, deferred));
        let is_clean = !failed && stopped.is_some();
        let mut left = Box::pin(async {
            workers.ended().await;
            let reader_ends = async {
                if let Some(global) = global {
                    global.end(is_clean).await;
                }
            };
            let ((), left) = tokio::join!(reader_ends, consumer.close());
            if let Err(error) = left {
                tracing::warn!(%error, "leaving the group");
            }
        });
        let has_left = shared.in_time(left.as_mut()).await.is_some();
        if !has_left {
            // Whoever is in no user code lets go of the state at once.
            let _ = shared.client.host().timeout(LET_GO_WITHIN, left.as_mut()).await;
        }
        drop(left);
        *shared.globals.lock() = Globals::default();
        shared.iterators.end();
        let engine = maker.into_engine();
        // Durable and unlocked before anybody is told.
        let is_closed = close_state(&shared, engine, directory).await;
        shared.enter(if failed { State::Error } else { State::NotRunning }, listener.as_ref());
        if let Some(reply) = reply {
            let stopped = stopped.filter(|stopped| has_left || stopped.is_err());
            let stopped = stopped.unwrap_or_else(|| Err(Error::fatal(TOO_LATE)));
            let stopped =
                stopped.and_then(|()| is_closed.then_some(()).ok_or_else(|| Error::fatal(NOT_CLOSED)));
            // Whoever asked may have given up.
            let _ = reply.send(stopped);
        }
    }

    /// The wish for an end that is waiting.
    fn wish_to_stop(&mut self) -> Result<Stop> {
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Stop(reply) = command {
                return Ok(reply);
            }
        }
        Err(Error::fatal(TOO_LATE))
    }

    async fn stop_workers(&mut self) -> Result<()> {
        self.phase.stop();
        let mut stopped = Ok(());
        for worker in self.workers.numbers() {
            let (reply, mut answer) = oneshot::channel();
            self.tell(worker, ToWorker::Stop { reply });
            loop {
                match self.hear_until(&mut answer, worker, false).await {
                    // None if it has failed and is gone.
                    Ok(result) => {
                        stopped = stopped.and(result.unwrap_or(Ok(())));
                        break;
                    }
                    // Of whichever worker: this one may have to be heard yet, for its last commit.
                    Err(error) => stopped = stopped.and(Err(error)),
                }
            }
        }
        self.shared.placed.lock().clear();
        stopped
    }
}

/// Closes what is on disk. Whether that is done in the time there is for it; it goes on if not.
async fn close_state(
    shared: &Shared,
    engine: Option<Arc<dyn Engine>>,
    directory: Option<StateDirectory>,
) -> bool {
    let Some(engine) = engine else { return true };
    let host = shared.client.host();
    let mut closing = match local_state::close(host, engine, directory) {
        Ok(closing) => closing,
        Err(error) => {
            tracing::warn!(%error, "no thread to sync the state: the next start reads more of the changelogs");
            return true;
        }
    };
    // It says itself what has failed.
    let is_closed = shared.in_time(&mut closing).await.is_some()
        || host.timeout(LET_GO_WITHIN, &mut closing).await.is_ok();
    if !is_closed {
        tracing::warn!("the state directory is not synced and closed in time: it stays locked until it is");
    }
    is_closed
}
