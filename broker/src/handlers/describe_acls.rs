//! DescribeAcls (29): as a Kafka without authorizer answers.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_acls::{DescribeAclsRequest, DescribeAclsResponse};

use crate::authorization::NO_AUTHORIZER;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    _node: &Arc<Node>,
    request: &RequestContext<'_>,
    _message: DescribeAclsRequest<'_>,
) -> Reply {
    request.answer(&DescribeAclsResponse {
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some(NO_AUTHORIZER),
        ..Default::default()
    })
}
