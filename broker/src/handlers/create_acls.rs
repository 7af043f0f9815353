//! CreateAcls (30): as a Kafka without authorizer answers, entry by entry.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::create_acls::{AclCreationResult, CreateAclsRequest, CreateAclsResponse};

use crate::authorization::NO_AUTHORIZER;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    _node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: CreateAclsRequest<'_>,
) -> Reply {
    let refused = message.creations.iter().map(|_| AclCreationResult {
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some(NO_AUTHORIZER),
    });
    request.answer(&CreateAclsResponse { results: refused.collect(), ..Default::default() })
}
