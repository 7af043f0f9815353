//! DeleteAcls (31): as a Kafka without authorizer answers, filter by filter.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::delete_acls::{
    DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse,
};

use crate::authorization::NO_AUTHORIZER;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    _node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DeleteAclsRequest<'_>,
) -> Reply {
    let refused = message.filters.iter().map(|_| DeleteAclsFilterResult {
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some(NO_AUTHORIZER),
        ..Default::default()
    });
    request.answer(&DeleteAclsResponse { filter_results: refused.collect(), ..Default::default() })
}
