//! Heartbeat (12): a member of a classic group lives, and learns whether it must join again.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use crate::coordinator::group::heartbeat::Heartbeat;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(node: &Arc<Node>, request: &RequestContext<'_>, message: HeartbeatRequest<'_>) -> Reply {
    let heartbeat = Heartbeat {
        group_id: message.group_id,
        generation_id: message.generation_id,
        member_id: message.member_id,
        instance_id: message.group_instance_id,
    };
    let outcome = node
        .groups
        .call(message.group_id, |coordinator, now, effects| coordinator.heartbeat(now, heartbeat, effects));
    let response = |error_code| HeartbeatResponse { throttle_time_ms: 0, error_code };
    match outcome {
        Ok((error_code, durable)) => node
            .groups
            .answer(request, [durable], &response(error_code), || response(ErrorCode::NOT_COORDINATOR)),
        // Nobody's session has begun to run before the group is there.
        Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => request.answer(&response(ErrorCode::NONE)),
        Err(error_code) => request.answer(&response(error_code)),
    }
}
