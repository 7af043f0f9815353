//! LeaveGroup (13): members leave a classic group, or an administrator removes them. One member up to version 2, many
//! from version 3 on.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};

use crate::coordinator::group::leave::LeavingMember;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The first version with many members.
const MANY_MEMBERS_VERSION: i16 = 3;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: LeaveGroupRequest<'_>,
) -> Reply {
    let is_many = request.api_version() >= MANY_MEMBERS_VERSION;
    let leaving: Vec<LeavingMember<'_>> = if is_many {
        let members = message.members.iter();
        let leaving = members.map(|member| LeavingMember {
            member_id: member.member_id,
            instance_id: member.group_instance_id,
            reason: member.reason,
        });
        leaving.collect()
    } else {
        vec![LeavingMember { member_id: message.member_id, instance_id: None, reason: None }]
    };
    let outcome = node.groups.call(message.group_id, |coordinator, now, effects| {
        coordinator.leave_group(now, message.group_id, &leaving, effects)
    });
    let refused = |error_code| LeaveGroupResponse { error_code, ..Default::default() };
    match outcome {
        Ok((Ok(errors), durable)) => {
            let response = if is_many {
                let members = leaving.iter().zip(&errors).map(|(leaving, error_code)| MemberResponse {
                    member_id: leaving.member_id,
                    group_instance_id: leaving.instance_id,
                    error_code: *error_code,
                });
                LeaveGroupResponse { members: members.collect(), ..Default::default() }
            } else {
                refused(errors.first().copied().unwrap_or(ErrorCode::NONE))
            };
            node.groups.answer(request, [durable], &response, || refused(ErrorCode::NOT_COORDINATOR))
        }
        Ok((Err(error_code), _)) | Err(error_code) => request.answer(&refused(error_code)),
    }
}
