//! Tasks that are assigned here and cannot be opened, or read on, for now.
//!
//! What may pass, such as a coordinator that does not answer, is tried again until `task.timeout.ms` is over. Then, and at once if
//! it is anything else (a supplier that panics), the uncaught error handler says what follows, as of a worker that fails.
//! Commits that the group does not take for the moment are bounded alike.

use std::collections::BTreeSet;
use std::time::Duration;

use anabranch_client::{ClientError, ErrorCode};
use tokio::sync::oneshot;

use super::Member;
use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::runtime::offsets::Offsets;
use crate::runtime::task_timeout::{TaskTimeout, may_pass};
use crate::runtime::uncaught::UncaughtErrorAnswer;
use crate::runtime::worker::ToWorker;

/// After which it is tried again, if the call has not taken long itself.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// A commit that the group has not taken yet.
pub(crate) struct DeferredCommit {
    pub(super) offsets: Offsets,
    pub(super) reply: oneshot::Sender<Result<(), ClientError>>,
    timeout: TaskTimeout,
}

impl DeferredCommit {
    pub(super) fn new(
        offsets: Offsets,
        reply: oneshot::Sender<Result<(), ClientError>>,
        limit: Duration,
    ) -> Self {
        DeferredCommit { offsets, reply, timeout: TaskTimeout::new(limit) }
    }
}

impl Member {
    /// A commit has failed: it is tried again after the next poll, since only polling lets a rebalance go on. Not if that is
    /// of no use, or was for too long.
    pub(super) fn defer(&mut self, mut commit: DeferredCommit, error: ClientError) {
        let is_rebalance = error.code() == Some(ErrorCode::REBALANCE_IN_PROGRESS);
        let why = match error.is_retriable() {
            true if is_rebalance || !commit.timeout.is_over(self.shared.client.host().now()) => {
                tracing::debug!(%error, "the commit is tried again");
                self.deferred.push(commit);
                return;
            }
            true => commit.timeout.over_in_a_call(&error),
            false => error,
        };
        // A worker that has been closed meanwhile does not wait.
        let _ = commit.reply.send(Err(why));
    }

    /// Tasks could not be opened: they wait until they are tried again, or everything ends.
    ///
    /// # Errors
    /// This one, if this instance is to end by it.
    pub(super) async fn not_opened(&mut self, tasks: BTreeSet<TaskId>, error: Error) -> Result<()> {
        let now = self.shared.client.host().now();
        let error = match may_pass(&error) {
            true if !self.opening.is_over(now) => {
                tracing::warn!(?tasks, %error, "not opened; it is tried again");
                self.open_later(&tasks, now + TRY_AGAIN);
                return Ok(());
            }
            true => self.opening.over(&error),
            // It could not even begin.
            false if !self.joined => return Err(error),
            false => error,
        };
        self.opening.progressed();
        let answer = self.what_follows(&error);
        tracing::error!(?tasks, %error, ?answer, "tasks cannot be opened");
        match answer {
            UncaughtErrorAnswer::ShutdownClient => return Err(error),
            UncaughtErrorAnswer::ReplaceThread => {}
            UncaughtErrorAnswer::ShutdownApplication => self.end_everywhere(error),
        }
        let at = self.pauses.try_again_at(now);
        self.open_later(&tasks, at);
        Ok(())
    }

    /// It is not known where a task is to read on: it is opened again from its last commit.
    pub(super) async fn not_read(&mut self, task: TaskId, error: Error) -> Result<()> {
        let tasks = BTreeSet::from([task]);
        self.close(&tasks, |tasks, reply| ToWorker::Lose { tasks, reply }).await?;
        self.not_opened(tasks, error).await
    }
}
