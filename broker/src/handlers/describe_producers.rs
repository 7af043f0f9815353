//! DescribeProducers (61): the producers that have written to partitions lately, and their open transactions. A partition
//! may have thousands of them; it is answered as often as it is named, but [not for ever](Told).

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

use super::repeated::Told;
use crate::log;
use crate::metadata::creation::check_name;
use crate::node::Node;
use crate::partition::Partition;
use crate::reply::{Reply, RequestContext};
use crate::watermark::Gone;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DescribeProducersRequest<'_>,
) -> Reply {
    let mut durables = Vec::new();
    let mut told = Told::new();
    let topics = message.topics.iter().map(|topic| {
        let found = node.topics.by_name(topic.name);
        let partitions = topic.partition_indexes.iter().filter_map(|partition_index| {
            let asked = (topic.name, *partition_index);
            if !told.may_tell(&asked) {
                return None;
            }
            let refused = |error_code| PartitionResponse {
                partition_index: *partition_index,
                error_code,
                ..Default::default()
            };
            let response = match found.as_ref().and_then(|topic| topic.partition(*partition_index)) {
                None if check_name(topic.name).is_err() => refused(ErrorCode::INVALID_TOPIC_EXCEPTION),
                None => refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                Some(partition) => match describe(&partition) {
                    Ok(active_producers) => {
                        durables.push(partition.settled());
                        PartitionResponse { active_producers, ..refused(ErrorCode::NONE) }
                    }
                    Err(error_code) => refused(error_code),
                },
            };
            told.tell(asked, size_of_val(&*response.active_producers));
            Some(response)
        });
        TopicResponse { name: topic.name, partitions: partitions.collect() }
    });
    let response = DescribeProducersResponse { throttle_time_ms: 0, topics: topics.collect() };
    let unsure = || {
        let topics = message.topics.iter().map(|topic| {
            let failed = |partition_index: &i32| PartitionResponse {
                partition_index: *partition_index,
                error_code: ErrorCode::KAFKA_STORAGE_ERROR,
                ..Default::default()
            };
            let partitions = topic.partition_indexes.iter().map(failed);
            TopicResponse { name: topic.name, partitions: partitions.collect() }
        });
        DescribeProducersResponse { throttle_time_ms: 0, topics: topics.collect() }
    };
    request.answer_after_all(durables, &response, unsure)
}

fn describe(partition: &Partition) -> Result<Vec<ProducerState>, ErrorCode> {
    partition.check().map_err(Gone::error_code)?;
    let producers = partition.producers();
    let state = |(producer_id, state): &(i64, log::ProducerState)| ProducerState {
        producer_id: *producer_id,
        producer_epoch: i32::from(state.epoch),
        last_sequence: state.last_sequence(),
        last_timestamp: state.last_timestamp,
        coordinator_epoch: state.coordinator_epoch,
        current_txn_start_offset: state.transaction_first_offset.unwrap_or(-1),
    };
    Ok(producers.iter().map(state).collect())
}
