//! Failures of the member's own, which belong to no worker: what the group says cannot be followed, polling fails.
//!
//! The uncaught error handler says what follows, as of a worker that fails (in Kafka Streams both are one thread). If another
//! try is its answer, that comes after a pause: another placement is asked for, it is polled again, and after any other
//! failure all workers are replaced. What fails before the first assignment is an error of the start.

use anabranch_client::ClientError;
use anabranch_host::Instant;
use tokio::sync::oneshot;

use super::phase::Phase;
use super::{Member, Stop};
use crate::error::{Error, Result};
use crate::runtime::uncaught::UncaughtErrorAnswer;
use crate::runtime::worker::client_error;

impl Member {
    /// Turns until it is stopped, or is to end by a failure.
    pub(super) async fn turn_until_ended(&mut self) -> Result<Stop> {
        let mut replaces = None;
        loop {
            let turned = match replaces.take() {
                None => self.turn_until_stopped().await,
                Some(error) => match self.begin_again(error).await {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
            };
            let error = match turned {
                Err(error) if self.phase.may_go_on() => error,
                ended => return ended,
            };
            match self.what_follows(&error) {
                UncaughtErrorAnswer::ShutdownApplication => self.end_everywhere(error),
                UncaughtErrorAnswer::ShutdownClient => return Err(error),
                UncaughtErrorAnswer::ReplaceThread => replaces = Some(error),
            }
        }
    }

    /// Answers what a user has asked for. If the instance is to end by a failure meanwhile, that is more than an answer.
    ///
    /// # Errors
    /// That failure.
    pub(super) fn answer<T>(&self, reply: oneshot::Sender<Result<T>>, done: Result<T>) -> Result<()> {
        let ends = match &done {
            Err(error) if self.phase == Phase::ToEnd => Err(Error::new(error.kind(), error)),
            _ => Ok(()),
        };
        // Whoever asked may have given up.
        let _ = reply.send(done);
        ends
    }

    /// Polling has failed: if the instance goes on, it polls again later, as another member if need be.
    ///
    /// # Errors
    /// This one, if this instance is to end by it.
    pub(super) fn not_polled(&mut self, error: ClientError) -> Result<()> {
        self.failed(client_error("reading the source topics", error))?;
        self.poll_at = Some(self.try_again_at());
        self.consumer.join_anew().map_err(|error| client_error("joining the group again", error))
    }

    /// What the leader says cannot be followed: if the instance goes on, it asks for another placement later.
    ///
    /// # Errors
    /// This one, if this instance is to end by it.
    pub(super) fn refused(&mut self, error: Error) -> Result<()> {
        self.failed(error)?;
        self.phase.refuse();
        let at = self.try_again_at();
        self.probing.ask_at(at);
        Ok(())
    }

    /// When that is tried again which has just failed.
    pub(super) fn try_again_at(&mut self) -> Instant {
        self.pauses.try_again_at(self.shared.client.host().now())
    }

    fn failed(&mut self, error: Error) -> Result<()> {
        // It may be about to end by a worker that has failed meanwhile.
        if !self.phase.may_go_on() {
            return Err(error);
        }
        let answer = self.what_follows(&error);
        tracing::error!(%error, ?answer, "the group's member has failed");
        match answer {
            UncaughtErrorAnswer::ShutdownClient => return Err(error),
            UncaughtErrorAnswer::ReplaceThread => {}
            UncaughtErrorAnswer::ShutdownApplication => self.end_everywhere(error),
        }
        Ok(())
    }
}
