//! WriteTxnMarkers (27): ends transactions in partitions. The coordinators of this broker write their markers without it;
//! it is for tools that end a transaction which no coordinator knows.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};

use crate::coordinator::transaction::metadata::EPOCH_BUMP;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};
use crate::transactions::Marker;
use crate::watermark::Durable;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: WriteTxnMarkersRequest<'_>,
) -> Reply {
    let mut durables: Vec<Durable> = Vec::new();
    let results: Vec<_> = message
        .markers
        .iter()
        .map(|marker| {
            result(marker, |topic, index| match write(node, marker, topic, index) {
                Ok(durable) => {
                    durables.push(durable);
                    ErrorCode::NONE
                }
                Err(error_code) => error_code,
            })
        })
        .collect();
    let unsure = || {
        let failed = |marker| result(marker, |_, _| ErrorCode::KAFKA_STORAGE_ERROR);
        WriteTxnMarkersResponse { markers: message.markers.iter().map(failed).collect() }
    };
    request.answer_after_all(durables, &WriteTxnMarkersResponse { markers: results }, unsure)
}

fn write(node: &Node, marker: &WritableTxnMarker<'_>, topic: &str, index: i32) -> Result<Durable, ErrorCode> {
    let marker = Marker {
        producer_id: marker.producer_id,
        producer_epoch: marker.producer_epoch,
        is_commit: marker.transaction_result,
        bumps_epoch: i16::from(marker.transaction_version) >= EPOCH_BUMP,
        coordinator_epoch: marker.coordinator_epoch,
    };
    node.transactions.write_marker(topic, index, marker).map_err(|error_code| match error_code {
        // Senders ask partitions, and know what those answer.
        ErrorCode::COORDINATOR_NOT_AVAILABLE
        | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
        | ErrorCode::NOT_COORDINATOR => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        other => other,
    })
}

fn result<'a>(
    marker: &WritableTxnMarker<'a>,
    mut error_of: impl FnMut(&str, i32) -> ErrorCode,
) -> WritableTxnMarkerResult<'a> {
    let topics = marker.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| WritableTxnMarkerPartitionResult {
            partition_index: *index,
            error_code: error_of(topic.name, *index),
        });
        WritableTxnMarkerTopicResult { name: topic.name, partitions: partitions.collect() }
    });
    WritableTxnMarkerResult { producer_id: marker.producer_id, topics: topics.collect() }
}
