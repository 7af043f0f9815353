//! The member's life as a whole, and how it ends: workers first, then what reads beside them, then the group is left, then
//! what is on disk is closed. What is not done within the time that its user gives it for that is given up, as a crash
//! would.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::oneshot;

use super::{Member, Stop};
use crate::error::{Error, Result};
use crate::processor::said;
use crate::runtime::shared::{Command, TOO_LATE};
use crate::runtime::state::State;
use crate::runtime::worker::ToWorker;
use crate::state::Globals;

/// So long those may take that are given up.
const LET_GO_WITHIN: Duration = Duration::from_millis(500);

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
                if self.abandoned {
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
        let Member { consumer, directory, listener, task_config, workers, global, .. } = self;
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
        // Durable and unlocked before anybody is told.
        if let Some(engine) = &task_config.engine
            && let Err(error) = engine.sync()
        {
            tracing::warn!(%error, "the state is not synced: the next start reads more of the changelogs");
        }
        *shared.globals.lock() = Globals::default();
        shared.iterators.end();
        drop((task_config, directory));
        shared.enter(if failed { State::Error } else { State::NotRunning }, listener.as_ref());
        if let Some(reply) = reply {
            let stopped = stopped.filter(|stopped| has_left || stopped.is_err());
            // Whoever asked may have given up.
            let _ = reply.send(stopped.unwrap_or_else(|| Err(Error::fatal(TOO_LATE))));
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
        self.stopping = true;
        let mut stopped = Ok(());
        for worker in self.workers.numbers() {
            let (reply, answer) = oneshot::channel();
            self.tell(worker, ToWorker::Stop { reply });
            match self.hear_until(answer, worker, false).await {
                Ok(Some(result)) => stopped = stopped.and(result),
                // It has failed before and is gone.
                Ok(None) => {}
                Err(error) => stopped = stopped.and(Err(error)),
            }
        }
        self.shared.placed.lock().clear();
        stopped
    }
}
