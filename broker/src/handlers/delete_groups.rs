//! DeleteGroups (42): groups without members go, with their offsets. One that is named more than once goes once.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

use super::repeated::distinct;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DeleteGroupsRequest<'_>,
) -> Reply {
    let named = distinct(message.groups_names);
    let mut durables = Vec::with_capacity(named.len());
    let results = named.iter().map(|group_id| {
        let outcome = node
            .groups
            .call(group_id, |coordinator, now, effects| coordinator.delete_group(now, group_id, effects));
        let error_code = match outcome {
            Ok((error_code, durable)) => {
                durables.push(durable);
                error_code
            }
            Err(error_code) => error_code,
        };
        DeletableGroupResult { group_id, error_code }
    });
    let response = DeleteGroupsResponse { throttle_time_ms: 0, results: results.collect() };
    let unsure = || {
        let results = named.iter();
        let results =
            results.map(|group_id| DeletableGroupResult { group_id, error_code: ErrorCode::NOT_COORDINATOR });
        DeleteGroupsResponse { throttle_time_ms: 0, results: results.collect() }
    };
    node.groups.answer(request, durables, &response, unsure)
}
