//! SyncGroup (14): the leader of a classic group hands in the assignment, everybody gets their part of it.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use bytes::Bytes;

use crate::coordinator::group::effects::Reply as GroupReply;
use crate::coordinator::group::sync::{SyncGroup, SyncGroupReply};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The first version that says what was agreed on, and must.
const PROTOCOL_VERSION: i16 = 5;

pub(super) fn handle(node: &Arc<Node>, request: &RequestContext<'_>, message: SyncGroupRequest<'_>) -> Reply {
    let is_whole = message.protocol_type.is_some() && message.protocol_name.is_some();
    if request.api_version() >= PROTOCOL_VERSION && !is_whole {
        return request.answer(&refused(ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
    }
    let assignments = message.assignments.iter();
    let assignments =
        assignments.map(|member| (member.member_id, Bytes::copy_from_slice(&member.assignment)));
    let sync = SyncGroup {
        group_id: message.group_id,
        generation_id: message.generation_id,
        member_id: message.member_id,
        instance_id: message.group_instance_id,
        protocol_type: message.protocol_type,
        protocol_name: message.protocol_name,
        assignments: assignments.collect(),
    };
    let parked = node.groups.park(message.group_id, |coordinator, now, reply_to, effects| {
        coordinator.sync_group(now, sync, reply_to, effects);
    });
    let answering = request.answering;
    match parked {
        Ok(parked) => Reply::later(async move {
            match parked.answer().await {
                Ok(GroupReply::Sync(reply)) => answering.encode(&response(&reply)),
                Ok(GroupReply::Join(_)) => answering.encode(&refused(ErrorCode::NOT_COORDINATOR)),
                Err(error_code) => answering.encode(&refused(error_code)),
            }
        }),
        Err(error_code) => request.answer(&refused(error_code)),
    }
}

fn refused(error_code: ErrorCode) -> SyncGroupResponse<'static> {
    SyncGroupResponse { error_code, ..Default::default() }
}

fn response(reply: &SyncGroupReply) -> SyncGroupResponse<'_> {
    SyncGroupResponse {
        throttle_time_ms: 0,
        error_code: reply.error,
        protocol_type: reply.protocol_type.as_deref(),
        protocol_name: reply.protocol_name.as_deref(),
        assignment: reply.assignment.clone(),
    }
}
