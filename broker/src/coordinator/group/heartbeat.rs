//! Heartbeat: a member lives, and learns whether it has to join again.

use anabranch_protocol::ErrorCode;

use super::classic::GroupState;
use super::rebalance::GroupTurn;

/// A Heartbeat request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heartbeat<'a> {
    pub(crate) group_id: &'a str,
    pub(crate) generation_id: i32,
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
}

impl GroupTurn<'_> {
    /// A Heartbeat for this group.
    pub(super) fn heartbeat(&mut self, request: Heartbeat<'_>) -> ErrorCode {
        if let Err(error) = self.group.validate_member(request.member_id, request.instance_id) {
            return error;
        }
        if request.generation_id != self.group.generation_id {
            return ErrorCode::ILLEGAL_GENERATION;
        }
        self.heard_of(request.member_id);
        match self.group.state {
            GroupState::PreparingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            // Members beat from the answer to their JoinGroup on.
            GroupState::CompletingRebalance | GroupState::Stable => ErrorCode::NONE,
            GroupState::Empty | GroupState::Dead => ErrorCode::UNKNOWN_MEMBER_ID,
        }
    }

    /// Restarts the session of `member_id`, if there is such a member.
    pub(super) fn heard_of(&mut self, member_id: &str) {
        if let Some(member) = self.group.member(member_id) {
            let member_id = member.id.clone();
            self.restart_session(&member_id);
        }
    }
}
