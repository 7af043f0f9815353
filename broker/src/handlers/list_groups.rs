//! ListGroups (16): all groups that this broker coordinates, of some states and types only if wanted.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use crate::coordinator::group::admin::CLASSIC_GROUP_TYPE;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: ListGroupsRequest<'_>,
) -> Reply {
    let refused = |error_code| ListGroupsResponse { error_code, ..Default::default() };
    let (listed, durables) = match node.groups.look(|coordinator| coordinator.list_groups()) {
        Ok(seen) => seen,
        Err(error_code) => return request.answer(&refused(error_code)),
    };
    let is_type_wanted = is_wanted(&message.types_filter, CLASSIC_GROUP_TYPE);
    let wanted =
        listed.iter().flatten().filter(|group| is_wanted(&message.states_filter, group.state.name()));
    let groups = wanted.filter(|_| is_type_wanted).map(|group| ListedGroup {
        group_id: &group.group_id,
        protocol_type: &group.protocol_type,
        group_state: group.state.name(),
        group_type: CLASSIC_GROUP_TYPE,
    });
    let response = ListGroupsResponse { groups: groups.collect(), ..Default::default() };
    node.groups.answer(request, durables, &response, || refused(ErrorCode::NOT_COORDINATOR))
}

/// Whether `name` is among those wanted, in capitals or not; an empty list wants all.
fn is_wanted(filter: &[&str], name: &str) -> bool {
    filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
}
