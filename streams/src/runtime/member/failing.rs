//! Failures of the member's own, which belong to no worker: what the group says cannot be followed, polling fails.
//!
//! The uncaught error handler says what follows, as of a worker that fails (in Kafka Streams both are one thread). If another
//! try is its answer, that comes after a pause. What fails before the first assignment is an error of the start.

use anabranch_client::ClientError;

use super::{Member, Stop};
use crate::error::{Error, Result};
use crate::runtime::uncaught::UncaughtErrorAnswer;
use crate::runtime::worker::client_error;

impl Member {
    /// Turns until it is stopped, or fails with what cannot be tried again: of that the handler hears too, but for what it was
    /// asked of before.
    pub(super) async fn turn_until_ended(&mut self) -> Result<Stop> {
        loop {
            let error = match self.turn_until_stopped().await {
                Err(error) if self.joined && !self.abandoned && !self.has_asked => error,
                ended => return ended,
            };
            match self.what_follows(&error) {
                UncaughtErrorAnswer::ShutdownApplication => self.end_everywhere(error),
                UncaughtErrorAnswer::ShutdownClient => return Err(error),
                UncaughtErrorAnswer::ReplaceThread => {
                    tracing::warn!("nothing can take the place of what has failed: the instance ends");
                    return Err(error);
                }
            }
        }
    }

    /// Polling has failed: if the instance goes on, it polls again later, as another member if need be.
    ///
    /// # Errors
    /// This one, if this instance is to end by it.
    pub(super) fn not_polled(&mut self, error: ClientError) -> Result<()> {
        self.failed(client_error("reading the source topics", error))?;
        self.poll_at = Some(self.pauses.try_again_at(self.shared.client.host().now()));
        self.consumer.join_anew().map_err(|error| client_error("joining the group again", error))
    }

    /// What the leader says cannot be followed: if the instance goes on, it asks for another placement later.
    ///
    /// # Errors
    /// This one, if this instance is to end by it.
    pub(super) fn refused(&mut self, error: Error) -> Result<()> {
        self.failed(error)?;
        self.is_refused = true;
        self.probe_at = Some(self.pauses.try_again_at(self.shared.client.host().now()));
        Ok(())
    }

    fn failed(&mut self, error: Error) -> Result<()> {
        // Of a worker that has failed meanwhile it was asked already.
        if !self.joined || self.has_asked {
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
