//! OffsetForLeaderEpoch (23): where the records of a leader epoch end, by which a reader finds out whether what it has
//! read is still there (KIP-320).

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};

use crate::node::Node;
use crate::reply::{Reply, RequestContext};
use crate::topics::Topic;
use crate::watermark::Gone;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: OffsetForLeaderEpochRequest<'_>,
) -> Reply {
    let topics = message.topics.iter().map(|asked| {
        let topic = node.topics.by_name(asked.topic);
        OffsetForLeaderTopicResult {
            topic: asked.topic,
            partitions: asked.partitions.iter().map(|partition| find(topic.as_deref(), partition)).collect(),
        }
    });
    request.answer(&OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() })
}

fn find(topic: Option<&Topic>, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let failed = |error_code| EpochEndOffset { error_code, partition: asked.partition, ..Default::default() };
    let Some(partition) = topic.and_then(|topic| topic.partition(asked.partition)) else {
        return failed(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    };
    let checked = partition.check().map_err(Gone::error_code);
    if let Err(error_code) = checked.and_then(|()| partition.check_leader_epoch(asked.current_leader_epoch)) {
        return failed(error_code);
    }
    let (leader_epoch, end_offset) = partition.end_of_epoch(asked.leader_epoch).unwrap_or((-1, -1));
    EpochEndOffset { error_code: ErrorCode::NONE, partition: asked.partition, leader_epoch, end_offset }
}
