//! Produce (0): batches to append, one for each partition.
//!
//! Everything is appended before the handler returns, in the order of the request, so that the batches of one connection
//! keep their order; the answer leaves when all of them are durable. That holds for acks=1 as well as for acks=-1: a
//! record that was acknowledged survives a power cut, and here there is nobody else to wait for. With acks=0 there is no
//! answer at all, and an error closes the connection, which is the only way to tell.
//!
//! Reading order: [`transaction`], what is asked before a batch of a transaction is appended; then the request here.

mod transaction;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anabranch_protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use anabranch_protocol::records::{BatchHeader, Compression};
use anabranch_protocol::{ErrorCode, Segments, Uuid};

use self::transaction::Answers;
use crate::coordinator::transaction::Caller;
use crate::log::{AppendError, AppendOrigin};
use crate::metadata::creation::is_internal;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::reply::{Answering, Reply, RequestContext};
use crate::topics::Topic;
use crate::watermark::{Durable, Gone};

/// The first version that names topics by id.
const TOPIC_ID_VERSION: i16 = 13;
/// The first version whose clients can read zstd.
const ZSTD_VERSION: i16 = 7;
/// How the admin client calls itself; it alone may write to internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// What became of the batches of one topic.
struct TopicOutcome {
    name: Arc<str>,
    id: Uuid,
    partitions: Vec<Outcome>,
}

/// What became of one batch.
struct Outcome {
    index: i32,
    error_code: ErrorCode,
    message: Option<String>,
    records: Vec<(i32, String)>,
    base_offset: i64,
    log_append_time_ms: i64,
    log_start_offset: i64,
    durable: Option<Durable>,
}

impl Outcome {
    fn failed(index: i32, error_code: ErrorCode, message: Option<String>) -> Outcome {
        Outcome {
            index,
            error_code,
            message,
            records: Vec::new(),
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            durable: None,
        }
    }

    fn fail(&mut self, error_code: ErrorCode) {
        *self = Outcome::failed(self.index, error_code, None);
    }
}

pub(super) fn handle(node: &Arc<Node>, request: &RequestContext<'_>, message: ProduceRequest<'_>) -> Reply {
    let now_ms = node.host.wall_clock_ms();
    let acks = message.acks;
    let (question, refused) = match transaction::question(node, &message, request.api_version(), now_ms) {
        Ok(question) => (question.filter(|_| is_known(acks)), None),
        Err(error_code) => (None, Some(error_code)),
    };
    let append_all = |answers: Option<&Answers<'_>>| -> Vec<TopicOutcome> {
        let append = |data| append_topic(node, request, acks, data, answers, now_ms, refused);
        message.topic_data.into_iter().map(append).collect()
    };
    let mut topics = match (&question, message.transactional_id) {
        (Some(question), Some(transactional_id)) => {
            let caller = Caller { transactional_id, producer: question.producer };
            let support = transaction::support(request.api_version());
            node.transactions.admit(&caller, &question.partitions, support, |admission| {
                append_all(Some(&Answers::new(question, admission)))
            })
        }
        _ => append_all(None),
    };
    if acks == 0 {
        let failed =
            topics.iter().flat_map(|topic| &topic.partitions).find(|outcome| !outcome.error_code.is_none());
        if let Some(outcome) = failed {
            return Reply::Close(format!("a Produce with acks=0 failed: {}", outcome.error_code));
        }
    }
    let answering = request.answering;
    if topics.iter_mut().all(settle) {
        return if acks == 0 { Reply::Silent } else { Reply::Now(answer(answering, &topics)) };
    }
    // With acks=0 nobody is told, but the request counts as under way: else a producer could fill the memory with what
    // the disk has not taken yet.
    let timeout = Duration::from_millis(u64::try_from(message.timeout_ms).unwrap_or(0));
    let node = node.clone();
    Reply::later(async move {
        let all = std::future::poll_fn(|context| {
            let mut waits = false;
            for outcome in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                let Some(durable) = &mut outcome.durable else { continue };
                match std::pin::Pin::new(durable).poll(context) {
                    Poll::Ready(outcome_of_sync) => finish(outcome, outcome_of_sync),
                    Poll::Pending => waits = true,
                }
            }
            if waits { Poll::Pending } else { Poll::Ready(()) }
        });
        let all = pin!(all);
        if node.host.timeout(timeout, all).await.is_err() {
            for outcome in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                if outcome.durable.is_some() {
                    // The records are there and may become durable yet; an idempotent producer tries again.
                    outcome.fail(ErrorCode::REQUEST_TIMED_OUT);
                }
            }
        }
        if acks == 0 { Segments::default() } else { answer(answering, &topics) }
    })
}

/// Whether nothing of the topic has to be waited for.
fn settle(topic: &mut TopicOutcome) -> bool {
    let mut settled = true;
    for outcome in &mut topic.partitions {
        match outcome.durable.as_ref().map(Durable::outcome) {
            None => {}
            Some(Some(known)) => finish(outcome, known),
            Some(None) => settled = false,
        }
    }
    settled
}

fn finish(outcome: &mut Outcome, known: Result<(), Gone>) {
    outcome.durable = None;
    if let Err(gone) = known {
        outcome.fail(gone.error_code());
    }
}

fn is_known(acks: i16) -> bool {
    (-1..=1).contains(&acks)
}

fn append_topic(
    node: &Node,
    request: &RequestContext<'_>,
    acks: i16,
    data: TopicProduceData<'_>,
    answers: Option<&Answers<'_>>,
    now_ms: i64,
    refused: Option<ErrorCode>,
) -> TopicOutcome {
    let by_id = request.api_version() >= TOPIC_ID_VERSION;
    let topic = if by_id { node.topics.by_id(&data.topic_id) } else { node.topics.by_name(data.name) };
    let name = topic.as_ref().map_or_else(|| data.name.into(), |topic| topic.name.clone());
    let found = match (refused, topic) {
        (Some(error_code), _) => Err(error_code),
        (None, Some(topic)) if is_internal(&topic.name) && request.client_id != Some(ADMIN_CLIENT_ID) => {
            Err(ErrorCode::INVALID_TOPIC_EXCEPTION)
        }
        (None, Some(topic)) => Ok(topic),
        (None, None) if by_id => Err(ErrorCode::UNKNOWN_TOPIC_ID),
        (None, None) => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    };
    let version = request.api_version();
    let append = |data: PartitionProduceData| {
        let outcome = match &found {
            Ok(topic) => append(&node.metrics, topic, acks, data, answers, version, now_ms),
            Err(error_code) => Outcome::failed(data.index, *error_code, None),
        };
        if !outcome.error_code.is_none() {
            node.metrics.failed_appends.increment();
        }
        outcome
    };
    TopicOutcome {
        name,
        id: data.topic_id,
        partitions: data.partition_data.into_iter().map(append).collect(),
    }
}

fn append(
    metrics: &Metrics,
    topic: &Topic,
    acks: i16,
    data: PartitionProduceData,
    answers: Option<&Answers<'_>>,
    version: i16,
    now_ms: i64,
) -> Outcome {
    let index = data.index;
    let Some(partition) = topic.partition(index) else {
        return Outcome::failed(index, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, None);
    };
    let Some(records) = data.records.filter(|records| !records.is_empty()) else {
        let message = "Produce requests must have exactly one record batch";
        return Outcome::failed(index, ErrorCode::INVALID_RECORD, Some(message.to_string()));
    };
    if version < ZSTD_VERSION
        && BatchHeader::parse(&records).is_ok_and(|header| header.compression() == Ok(Compression::Zstd))
    {
        let message = "Produce requests below version 7 must not use zstd";
        return Outcome::failed(index, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, Some(message.to_string()));
    }
    if !is_known(acks) {
        return Outcome::failed(index, ErrorCode::INVALID_REQUIRED_ACKS, None);
    }
    let origin = match answers.map_or(Ok(AppendOrigin::Client), |answers| answers.origin(&topic.name, index))
    {
        Ok(origin) => origin,
        Err((error_code, message)) => return Outcome::failed(index, error_code, Some(message)),
    };
    // As many replicas as `min.insync.replicas` asks for, but no more than there are (KIP-966): this one is enough.
    match partition.append(&records, origin, now_ms) {
        Ok((appended, durable)) => {
            if !appended.is_duplicate {
                metrics.appended(appended.last_offset - appended.base_offset + 1, records.len());
            }
            Outcome {
                index,
                error_code: ErrorCode::NONE,
                message: None,
                records: Vec::new(),
                base_offset: appended.base_offset,
                log_append_time_ms: appended.log_append_time_ms,
                log_start_offset: appended.log_start_offset,
                durable: Some(durable),
            }
        }
        Err(error) => {
            tracing::debug!(topic = %topic.name, partition = index, %error, "a batch is refused");
            let mut outcome = Outcome::failed(index, error.error_code(), Some(error.to_string()));
            if tells_log_start(&error) {
                outcome.log_start_offset = partition.log_start_offset();
            }
            if let AppendError::InvalidRecord { records, .. }
            | AppendError::InvalidTimestamp { records, .. } = error
            {
                outcome.records = records;
            }
            outcome
        }
    }
}

/// Whether the start of the log is told with the error, as with Kafka: not if the partition or the whole batch was no good,
/// or Kafka would not have come as far as the log.
fn tells_log_start(error: &AppendError) -> bool {
    !matches!(
        error,
        AppendError::Corrupt(_)
            | AppendError::UnsupportedFormat(_)
            | AppendError::NotOneBatch(_)
            | AppendError::TooLarge { .. }
            | AppendError::UnpacksTooLarge { .. }
            | AppendError::LargerThanSegment { .. }
            | AppendError::Shortage { .. }
            | AppendError::Truncating
            | AppendError::Gone(_)
    )
}

fn answer(answering: Answering, topics: &[TopicOutcome]) -> Segments {
    answering.encode(&ProduceResponse {
        responses: topics
            .iter()
            .map(|topic| TopicProduceResponse {
                name: &topic.name,
                topic_id: topic.id,
                partition_responses: topic.partitions.iter().map(describe).collect(),
            })
            .collect(),
        ..Default::default()
    })
}

fn describe(outcome: &Outcome) -> PartitionProduceResponse<'_> {
    PartitionProduceResponse {
        index: outcome.index,
        error_code: outcome.error_code,
        base_offset: outcome.base_offset,
        log_append_time_ms: outcome.log_append_time_ms,
        log_start_offset: outcome.log_start_offset,
        record_errors: outcome
            .records
            .iter()
            .map(|(index, message)| BatchIndexAndErrorMessage {
                batch_index: *index,
                batch_index_error_message: Some(message),
            })
            .collect(),
        error_message: outcome.message.as_deref(),
        ..Default::default()
    }
}
