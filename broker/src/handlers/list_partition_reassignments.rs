//! ListPartitionReassignments (46): where there is one broker, nothing ever moves.

use std::sync::Arc;

use anabranch_protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    _node: &Arc<Node>,
    request: &RequestContext<'_>,
    _message: ListPartitionReassignmentsRequest<'_>,
) -> Reply {
    // Topics that are not there are left out as well as those of which nothing moves.
    request.answer(&ListPartitionReassignmentsResponse::default())
}
