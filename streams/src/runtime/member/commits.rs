//! Commits that the member makes for its workers, all of whom are one member of the group.
//!
//! What the group does not take for the moment (it is being rebalanced, its coordinator moves) is tried again, as long as
//! `task.timeout.ms` allows.

use std::time::Duration;

use anabranch_client::{ClientError, ErrorCode};
use tokio::sync::oneshot;

use super::Member;
use crate::runtime::offsets::Offsets;
use crate::runtime::task_timeout::TaskTimeout;

/// A commit that the group has not taken yet.
pub(super) struct DeferredCommit {
    pub(super) offsets: Offsets,
    reply: oneshot::Sender<Result<(), ClientError>>,
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
    /// Commits. What the group does not take for the moment (it is being rebalanced, its coordinator moves) is deferred.
    pub(super) async fn commit(&mut self, mut commit: DeferredCommit) {
        let committed = loop {
            match self.consumer.commit_offsets(&commit.offsets).await {
                Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {
                    if !self.leave_out_what_is_gone(&mut commit.offsets).await {
                        break Err(error);
                    }
                }
                committed => break committed,
            }
        };
        match committed {
            Err(error) => self.defer(commit, error),
            Ok(()) => {
                // A worker that has been closed meanwhile does not wait.
                let _ = commit.reply.send(Ok(()));
                self.shared.committed.send_modify(|count| *count += 1);
            }
        }
    }

    /// A commit has failed: it is tried again after the next poll, since only polling lets a rebalance go on. Not if that is
    /// of no use, or was for too long.
    fn defer(&mut self, mut commit: DeferredCommit, error: ClientError) {
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

    /// Tries again what was deferred.
    pub(super) async fn commit_deferred(&mut self) {
        for commit in std::mem::take(&mut self.deferred) {
            self.commit(commit).await;
        }
    }
}
