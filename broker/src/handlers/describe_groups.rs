//! DescribeGroups (15): classic groups with their members, as an administrator sees them.
//!
//! A group is told as often as it is named, but [not for ever](Told): who asks a million times is not told a million times of
//! all its members. A group that does not exist is *Dead* without an error, up to version 5; from version 6 on it also is an error.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use super::repeated::Told;
use crate::authorization;
use crate::coordinator::group::admin;
use crate::coordinator::group::classic::GroupState;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The first version whose clients know GROUP_ID_NOT_FOUND.
const GROUP_ID_NOT_FOUND_VERSION: i16 = 6;

/// A group, or why it cannot be shown, with what to say of that.
type Found = Result<admin::DescribedGroup, (ErrorCode, String)>;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DescribeGroupsRequest<'_>,
) -> Reply {
    let asked = message.groups;
    let mut durables = Vec::with_capacity(asked.len());
    let mut told = Told::new();
    let found: Vec<(&str, Found)> = asked
        .iter()
        .filter_map(|group_id| {
            if !told.may_tell(group_id) {
                return None;
            }
            let seen = node.groups.call(group_id, |coordinator, _, _| coordinator.describe_group(group_id));
            let found = match seen {
                Ok((group, durable)) => {
                    durables.push(durable);
                    group.ok_or_else(|| {
                        (ErrorCode::GROUP_ID_NOT_FOUND, format!("Group {group_id} not found."))
                    })
                }
                Err(error_code) => Err((error_code, String::new())),
            };
            told.tell(*group_id, found.as_ref().map_or(0, admin::DescribedGroup::bytes));
            Some((*group_id, found))
        })
        .collect();
    let version = request.api_version();
    let operations = authorization::if_asked(message.include_authorized_operations, authorization::GROUP);
    let groups = found.iter().map(|(group_id, found)| describe(group_id, found, version, operations));
    let response = DescribeGroupsResponse { throttle_time_ms: 0, groups: groups.collect() };
    let unsure = || {
        let groups = asked.iter().map(|group_id| DescribedGroup {
            error_code: ErrorCode::NOT_COORDINATOR,
            group_id,
            ..Default::default()
        });
        DescribeGroupsResponse { throttle_time_ms: 0, groups: groups.collect() }
    };
    node.groups.answer(request, durables, &response, unsure)
}

fn describe<'a>(group_id: &'a str, found: &'a Found, version: i16, operations: i32) -> DescribedGroup<'a> {
    match found {
        Ok(group) => {
            let members = group.members.iter().map(|member| DescribedGroupMember {
                member_id: &member.member_id,
                group_instance_id: member.instance_id.as_deref(),
                client_id: &member.client_id,
                client_host: &member.client_host,
                member_metadata: member.metadata.clone(),
                member_assignment: member.assignment.clone(),
            });
            DescribedGroup {
                group_id,
                group_state: group.state.name(),
                protocol_type: &group.protocol_type,
                protocol_data: &group.protocol_name,
                members: members.collect(),
                authorized_operations: operations,
                ..Default::default()
            }
        }
        Err((ErrorCode::GROUP_ID_NOT_FOUND, message)) => {
            let is_error = version >= GROUP_ID_NOT_FOUND_VERSION;
            DescribedGroup {
                error_code: if is_error { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::NONE },
                error_message: is_error.then_some(message),
                group_id,
                group_state: GroupState::Dead.name(),
                authorized_operations: if is_error { authorization::NOT_ASKED } else { operations },
                ..Default::default()
            }
        }
        Err((error_code, _)) => DescribedGroup { error_code: *error_code, group_id, ..Default::default() },
    }
}
