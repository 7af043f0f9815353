//! DeleteRecords (21): moves the start of partitions up; Kafka Streams purges its repartition topics by it.
//!
//! Up to the high watermark (-1 means just that). A topic that is only compacted refuses: its records are a table, not a
//! stream that has been read. The answer leaves when the new start is durable.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};

use super::repeated::{last_of_each, merged};
use crate::metadata::creation::is_internal;
use crate::node::Node;
use crate::reply::{Answering, Reply, RequestContext};
use crate::topics::Topic;
use crate::watermark::Durable;

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

struct Outcome {
    index: i32,
    low_watermark: Result<i64, ErrorCode>,
    durable: Option<Durable>,
}

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DeleteRecordsRequest<'_>,
) -> Reply {
    // What is asked of a partition last counts.
    let asked = merged(message.topics, |topic| topic.name, |topic| &mut topic.partitions);
    let mut outcomes: Vec<(String, Vec<Outcome>)> = asked
        .into_iter()
        .map(|asked| {
            let topic = node.topics.by_name(asked.name);
            let delete = |partition: &DeleteRecordsPartition| match topic.as_deref() {
                // What coordinators keep is not for clients to cut.
                Some(_) if is_internal(asked.name) => failed(partition, ErrorCode::INVALID_TOPIC_EXCEPTION),
                topic => delete(topic, partition),
            };
            let partitions = last_of_each(asked.partitions, |partition| partition.partition_index);
            (asked.name.to_string(), partitions.iter().map(delete).collect())
        })
        .collect();
    let answering = request.answering;
    let known =
        |outcome: &Outcome| outcome.durable.as_ref().is_none_or(|durable| durable.outcome() == Some(Ok(())));
    if outcomes.iter().flat_map(|(_, partitions)| partitions).all(known) {
        return Reply::Now(answer(answering, &outcomes));
    }
    Reply::later(async move {
        for outcome in outcomes.iter_mut().flat_map(|(_, partitions)| partitions) {
            if let Some(durable) = outcome.durable.take()
                && let Err(gone) = wait(durable).await
            {
                outcome.low_watermark = Err(gone.error_code());
            }
        }
        answer(answering, &outcomes)
    })
}

fn wait(durable: Durable) -> Pin<Box<dyn Future<Output = Result<(), crate::watermark::Gone>> + Send>> {
    Box::pin(durable)
}

fn failed(asked: &DeleteRecordsPartition, error_code: ErrorCode) -> Outcome {
    Outcome { index: asked.partition_index, low_watermark: Err(error_code), durable: None }
}

fn delete(topic: Option<&Topic>, asked: &DeleteRecordsPartition) -> Outcome {
    let index = asked.partition_index;
    let failed = |error_code| failed(asked, error_code);
    let Some((topic, partition)) = topic.and_then(|topic| Some((topic, topic.partition(index)?))) else {
        return failed(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    };
    let config = topic.config();
    if config.cleanup_compact && !config.cleanup_delete {
        return failed(ErrorCode::POLICY_VIOLATION);
    }
    let high_watermark = partition.high_watermark();
    let offset = if asked.offset == HIGH_WATERMARK { high_watermark } else { asked.offset };
    if offset < 0 || offset > high_watermark {
        return failed(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    match partition.delete_records(offset) {
        Ok((start, durable)) => Outcome { index, low_watermark: Ok(start), durable: Some(durable) },
        Err(error) => failed(error.error_code()),
    }
}

fn answer(answering: Answering, outcomes: &[(String, Vec<Outcome>)]) -> anabranch_protocol::Segments {
    let topics = outcomes.iter().map(|(name, partitions)| DeleteRecordsTopicResult {
        name,
        partitions: partitions
            .iter()
            .map(|outcome| DeleteRecordsPartitionResult {
                partition_index: outcome.index,
                low_watermark: outcome.low_watermark.unwrap_or(-1),
                error_code: outcome.low_watermark.err().unwrap_or(ErrorCode::NONE),
            })
            .collect(),
    });
    answering.encode(&DeleteRecordsResponse { topics: topics.collect(), ..Default::default() })
}
