//! LeaveGroup: members leave, or an administrator removes them.

use anabranch_protocol::ErrorCode;
use tracing::info;

use super::rebalance::GroupTurn;

/// Who leaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LeavingMember<'a> {
    /// Empty when an administrator names a static member by its instance id alone.
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// Why, in the client's words.
    pub(crate) reason: Option<&'a str>,
}

impl GroupTurn<'_> {
    /// Takes `members` out of the group, then rebalances once. One error for each, in their order.
    pub(super) fn leave(&mut self, members: &[LeavingMember<'_>]) -> Vec<ErrorCode> {
        let before = self.group.member_count();
        let errors: Vec<ErrorCode> = members.iter().map(|member| self.leave_one(*member)).collect();
        if self.group.member_count() < before {
            self.rebalance("members left");
        } else if errors.contains(&ErrorCode::NONE) {
            // Only members that had not joined yet: those who have may be waiting for them.
            self.complete_join_if_all_joined();
        }
        errors
    }

    fn leave_one(&mut self, leaving: LeavingMember<'_>) -> ErrorCode {
        let member_id = if leaving.member_id.is_empty() {
            match leaving.instance_id.and_then(|instance_id| self.group.static_member_id(instance_id)) {
                Some(member_id) => member_id.clone(),
                None => return ErrorCode::UNKNOWN_MEMBER_ID,
            }
        } else {
            leaving.member_id.into()
        };
        if self.group.is_pending_member(&member_id) {
            self.group.remove_member(&member_id);
            self.cancel_session(&member_id);
        } else {
            if !leaving.member_id.is_empty()
                && let Err(error) = self.group.validate_member(&member_id, leaving.instance_id)
            {
                return error;
            }
            self.remove_member(&member_id);
        }
        info!(group = &*self.group.id, member = &*member_id, reason = leaving.reason, "a member leaves");
        ErrorCode::NONE
    }
}
