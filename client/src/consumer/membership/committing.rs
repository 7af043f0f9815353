//! Commits and the membership: in whose name they are made, and what their answers say about it.

use std::sync::Arc;

use anabranch_host::Instant;
use anabranch_protocol::ErrorCode;

use super::{Membership, State};
use crate::group_offsets::Committer;
use crate::topic_partition::TopicPartition;

impl Membership {
    /// As whom to commit.
    pub(in crate::consumer) fn committer(&self) -> Committer {
        Committer {
            group: Arc::clone(&self.options.group),
            generation: self.generation_id,
            member_id: Arc::clone(&self.member_id),
            instance_id: self.options.instance_id.clone(),
        }
    }

    /// The answer to a commit, as far as it concerns the membership of those who committed.
    pub(in crate::consumer) fn commit_answered(
        &mut self,
        committer: &Committer,
        code: ErrorCode,
        retry_at: Instant,
    ) {
        let mine = committer.generation == self.generation_id && committer.member_id == self.member_id;
        let about_membership = matches!(
            code,
            ErrorCode::UNKNOWN_MEMBER_ID
                | ErrorCode::ILLEGAL_GENERATION
                | ErrorCode::FENCED_INSTANCE_ID
                | ErrorCode::REBALANCE_IN_PROGRESS
        );
        if mine && about_membership && matches!(self.state, State::Member | State::Revoking) {
            self.accept("a commit", code, retry_at);
        }
    }

    /// Whether a commit was only overtaken by a rebalance: it came with a generation that has passed, or passes just now,
    /// and the member still has all these partitions. It may be tried again with the next generation.
    pub(in crate::consumer) fn has_overtaken<'a>(
        &self,
        committer: &Committer,
        mut partitions: impl Iterator<Item = &'a TopicPartition>,
    ) -> bool {
        let passing = matches!(self.state, State::Joining | State::Assigning { .. } | State::Syncing(_));
        let passed = committer.generation != self.generation_id;
        committer.member_id == self.member_id
            && (passing || passed)
            && partitions.all(|name| self.owned.contains(name))
    }
}
