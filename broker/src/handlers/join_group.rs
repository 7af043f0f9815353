//! JoinGroup (11): a member of a classic group asks for its place. Answered when the group has a new generation.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};
use bytes::Bytes;

use crate::coordinator::group::effects::Reply as GroupReply;
use crate::coordinator::group::join::{JoinGroup, JoinGroupReply};
use crate::coordinator::group::member::Protocol;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The first version whose clients come back with the id they are given (KIP-394).
const MEMBER_ID_REQUIRED_VERSION: i16 = 4;
/// The first version whose clients know `skip_assignment` (KIP-814).
const SKIP_ASSIGNMENT_VERSION: i16 = 9;

pub(super) fn handle(node: &Arc<Node>, request: &RequestContext<'_>, message: JoinGroupRequest<'_>) -> Reply {
    let version = request.api_version();
    let protocols = message.protocols.iter().map(|protocol| Protocol {
        name: protocol.name.into(),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    });
    let join = JoinGroup {
        group_id: message.group_id,
        member_id: message.member_id,
        instance_id: message.group_instance_id,
        client_id: request.client_id.unwrap_or_default(),
        client_host: &client_host(request.peer),
        session_timeout_ms: message.session_timeout_ms,
        // Version 0 has one timeout for both.
        rebalance_timeout_ms: match message.rebalance_timeout_ms {
            -1 => message.session_timeout_ms,
            rebalance_timeout_ms => rebalance_timeout_ms,
        },
        protocol_type: message.protocol_type,
        protocols: protocols.collect(),
        reason: message.reason.filter(|reason| !reason.is_empty()),
        uuid: node.host.random_uuid(),
        requires_known_member_id: version >= MEMBER_ID_REQUIRED_VERSION,
        supports_skipping_assignment: version >= SKIP_ASSIGNMENT_VERSION,
    };
    let parked = node.groups.park(message.group_id, |coordinator, now, reply_to, effects| {
        coordinator.join_group(now, join, reply_to, effects);
    });
    let answering = request.answering;
    match parked {
        Ok(parked) => Reply::later(async move {
            match parked.answer().await {
                Ok(GroupReply::Join(reply)) => answering.encode(&response(&reply)),
                Ok(GroupReply::Sync(_)) => answering.encode(&refused(ErrorCode::NOT_COORDINATOR)),
                Err(error_code) => answering.encode(&refused(error_code)),
            }
        }),
        Err(error_code) => request.answer(&refused(error_code)),
    }
}

fn refused(error_code: ErrorCode) -> JoinGroupResponse<'static> {
    JoinGroupResponse { error_code, generation_id: -1, ..Default::default() }
}

fn response(reply: &JoinGroupReply) -> JoinGroupResponse<'_> {
    let members = reply.members.iter().map(|member| JoinGroupResponseMember {
        member_id: &member.member_id,
        group_instance_id: member.instance_id.as_deref(),
        metadata: member.metadata.clone(),
    });
    JoinGroupResponse {
        throttle_time_ms: 0,
        error_code: reply.error,
        generation_id: reply.generation_id,
        protocol_type: reply.protocol_type.as_deref(),
        protocol_name: reply.protocol_name.as_deref(),
        leader: &reply.leader,
        skip_assignment: reply.skip_assignment,
        member_id: &reply.member_id,
        members: members.collect(),
    }
}

/// The other end's address as Java writes one, without the port: that is how tools show it.
fn client_host(peer: &str) -> String {
    let host = match peer.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => peer,
    };
    format!("/{}", host.trim_start_matches('[').trim_end_matches(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_shown_as_java_shows_them() {
        for (peer, expected) in
            [("127.0.0.1:4711", "/127.0.0.1"), ("[::1]:4711", "/::1"), ("in-process", "/in-process")]
        {
            assert_eq!(client_host(peer), expected);
        }
    }
}
