//! LeaveGroup: members leave, or an administrator removes them.

use anabranch_protocol::ErrorCode;
use tracing::info;

use super::classic::GroupState;
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
        let errors: Vec<ErrorCode> = members.iter().map(|member| self.leave_one(*member)).collect();
        // Also after members that had not joined yet, as Apache Kafka does, though the others lost nobody.
        if errors.contains(&ErrorCode::NONE) && self.group.state != GroupState::Empty {
            self.rebalance("members left");
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
