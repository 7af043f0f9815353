//! What a request wants appended: of each partition one batch, looked at as far as Kafka looks at it before it asks the
//! coordinator of its transaction.
//!
//! A partition may be named more than once. Then the last batch that is one is appended, and if another is none, that is
//! what the answer tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use anabranch_protocol::records::{BatchHeader, Compression};
use anabranch_protocol::{ErrorCode, Uuid};
use bytes::Bytes;

use super::{TOPIC_ID_VERSION, ZSTD_VERSION};
use crate::handlers::repeated::merged;
use crate::log::{AppendError, one_batch};
use crate::node::Node;
use crate::partition::Partition;
use crate::topics::Topic;

/// What is to be appended to one topic.
pub(super) struct TopicBatches {
    pub(super) name: Arc<str>,
    pub(super) id: Uuid,
    pub(super) partitions: Vec<PartitionBatch>,
}

/// What is to be appended to one partition, and what is told of it instead of what becomes of that. Never nothing.
pub(super) struct PartitionBatch {
    pub(super) index: i32,
    pub(super) batch: Option<CheckedBatch>,
    pub(super) refused: Option<Refusal>,
}

/// A batch, and where it goes.
pub(super) struct CheckedBatch {
    pub(super) partition: Arc<Partition>,
    pub(super) header: BatchHeader,
    pub(super) records: Bytes,
}

/// Why nothing is appended, for the client's program and for its user.
pub(super) struct Refusal {
    pub(super) error_code: ErrorCode,
    pub(super) message: Option<String>,
}

impl From<ErrorCode> for Refusal {
    fn from(error_code: ErrorCode) -> Self {
        Refusal { error_code, message: None }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        Refusal { error_code: error.error_code(), message: Some(error.to_string()) }
    }
}

/// All that a request names, each partition once.
pub(super) fn named(node: &Node, version: i16, message: ProduceRequest<'_>) -> Vec<TopicBatches> {
    let topics = message.topic_data.into_iter().map(|data| topic(node, version, data));
    let mut topics = match topics.len() {
        0 | 1 => topics.collect(),
        _ => merged(topics, |topic| (topic.name.clone(), topic.id), |topic| &mut topic.partitions),
    };
    topics.retain(|topic| !topic.partitions.is_empty());
    for topic in &mut topics {
        topic.partitions = once_each(std::mem::take(&mut topic.partitions));
    }
    topics
}

fn topic(node: &Node, version: i16, data: TopicProduceData<'_>) -> TopicBatches {
    let by_id = version >= TOPIC_ID_VERSION;
    let topic = if by_id { node.topics.by_id(&data.topic_id) } else { node.topics.by_name(data.name) };
    let name = topic.as_ref().map_or_else(|| data.name.into(), |topic| topic.name.clone());
    let unknown = if by_id { ErrorCode::UNKNOWN_TOPIC_ID } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
    let partitions = data.partition_data.into_iter().map(|data| {
        let index = data.index;
        match topic.as_deref().ok_or(unknown.into()).and_then(|topic| check(topic, version, data)) {
            Ok(batch) => PartitionBatch { index, batch: Some(batch), refused: None },
            Err(refused) => PartitionBatch { index, batch: None, refused: Some(refused) },
        }
    });
    TopicBatches { name, id: data.topic_id, partitions: partitions.collect() }
}

fn check(topic: &Topic, version: i16, data: PartitionProduceData) -> Result<CheckedBatch, Refusal> {
    let partition = topic.partition(data.index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let records = data.records.unwrap_or_default();
    let header = one_batch(&records)?.header;
    if version < ZSTD_VERSION && header.compression() == Ok(Compression::Zstd) {
        let message = "Produce requests below version 7 must not use zstd".to_string();
        return Err(Refusal { error_code: ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, message: Some(message) });
    }
    Ok(CheckedBatch { partition, header, records })
}

/// Each partition once, at the place where it is named first.
fn once_each(named: Vec<PartitionBatch>) -> Vec<PartitionBatch> {
    if named.is_sorted_by(|one, next| one.index < next.index) {
        return named;
    }
    let mut places = BTreeMap::new();
    let mut distinct: Vec<PartitionBatch> = Vec::with_capacity(named.len());
    for again in named {
        let place = *places.entry(again.index).or_insert(distinct.len());
        match distinct.get_mut(place) {
            Some(first) => {
                first.batch = again.batch.or(first.batch.take());
                first.refused = again.refused.or(first.refused.take());
            }
            None => distinct.push(again),
        }
    }
    distinct
}
