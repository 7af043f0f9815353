//! ListOffsets (2): offsets by time, and the two ends of a partition.
//!
//! ```text
//!  -1  latest: the high watermark, or the last stable offset for readers of committed records
//!  -2  earliest                                                   -4  earliest on this broker (version 8)
//!  -3  the record with the largest timestamp (version 7)         -5, -6  of tiered storage, which there is none of
//! >= 0 the first record whose timestamp is at least this, wherever it lies in a batch
//! ```
//! What lies behind the end that the reader may see is not found.

use std::iter::{repeat, zip};
use std::sync::Arc;

use anabranch_host::HashMap;
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};

use super::repeated::merged;
use crate::node::Node;
use crate::partition::{Isolation, Partition};
use crate::reply::{Reply, RequestContext};
use crate::watermark::Gone;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;
/// Of a consumer; brokers and debuggers have others.
const CONSUMER: i32 = -1;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: ListOffsetsRequest<'_>,
) -> Reply {
    let isolation = Isolation::from_wire(message.isolation_level);
    let mut asked: HashMap<(&str, i32), Asked> = HashMap::default();
    for (topic, wanted) in message.topics.iter().flat_map(|topic| zip(repeat(topic), &topic.partitions)) {
        let asked = asked.entry((topic.name, wanted.partition_index));
        asked.and_modify(|asked| *asked = Asked::Twice).or_insert(Asked::Once);
    }
    let topics = message.topics.iter().map(|topic| {
        let found = node.topics.by_name(topic.name);
        let partitions = topic.partitions.iter().filter_map(|wanted| {
            let refuse = |error_code| failed(wanted, error_code);
            match asked.remove(&(topic.name, wanted.partition_index)) {
                Some(Asked::Once) => {}
                Some(Asked::Twice) => return Some(refuse(ErrorCode::INVALID_REQUEST)),
                None => return None,
            }
            if !is_known_timestamp(wanted.timestamp, request.api_version()) {
                return Some(refuse(ErrorCode::UNSUPPORTED_VERSION));
            }
            Some(match found.as_ref().and_then(|topic| topic.partition(wanted.partition_index)) {
                None => refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                Some(partition) => {
                    find(&partition, wanted, isolation, message.replica_id).unwrap_or_else(refuse)
                }
            })
        });
        ListOffsetsTopicResponse { name: topic.name, partitions: partitions.collect() }
    });
    let topics = merged(topics, |topic| topic.name, |topic| &mut topic.partitions);
    request.answer(&ListOffsetsResponse { topics, ..Default::default() })
}

/// How often a request asks for a partition. More than once is refused, and told once: two answers could not be told apart.
enum Asked {
    Once,
    Twice,
}

fn is_known_timestamp(timestamp: i64, version: i16) -> bool {
    let since = match timestamp {
        0.. | LATEST | EARLIEST => 0,
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        _ => return false,
    };
    version >= since
}

fn failed(wanted: &ListOffsetsPartition, error_code: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse { partition_index: wanted.partition_index, error_code, ..Default::default() }
}

fn find(
    partition: &Partition,
    wanted: &ListOffsetsPartition,
    isolation: Isolation,
    replica_id: i32,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    partition.check().map_err(Gone::error_code)?;
    partition.check_leader_epoch(wanted.current_leader_epoch)?;
    let end = match replica_id {
        CONSUMER => partition.end_for(isolation),
        _ => partition.log_end_offset(),
    };
    let found = |offset, timestamp, leader_epoch| ListOffsetsPartitionResponse {
        partition_index: wanted.partition_index,
        error_code: ErrorCode::NONE,
        timestamp,
        offset,
        leader_epoch,
    };
    let nothing = found(-1, -1, -1);
    match wanted.timestamp {
        LATEST => Ok(found(end, -1, partition.leader_epoch())),
        EARLIEST | EARLIEST_LOCAL => {
            let start = partition.log_start_offset();
            // In an empty log the next record's epoch, which is the leader's.
            let epoch = match partition.epoch_of(start) {
                -1 => partition.leader_epoch(),
                epoch => epoch,
            };
            Ok(found(start, -1, epoch))
        }
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok(nothing),
        timestamp => {
            let record = match timestamp {
                MAX_TIMESTAMP => partition.find_largest_timestamp(end),
                _ => partition.find_timestamp(timestamp, end),
            };
            let record = record.map_err(|error| {
                tracing::error!(partition = %partition.name(), %error, "an offset cannot be looked up");
                error.error_code()
            })?;
            match record {
                Some(record) => Ok(found(record.offset, record.timestamp, record.leader_epoch)),
                None => Ok(nothing),
            }
        }
    }
}
