//! Produce (0): batches to append, one for each partition.
//!
//! Everything is appended before the handler returns, in the order of the request, so that the batches of one connection
//! keep their order; the answer leaves when all of them are durable. That holds for acks=1 as well as for acks=-1: a
//! record that was acknowledged survives a power cut, and here there is nobody else to wait for. With acks=0 there is no
//! answer at all, and an error closes the connection, which is the only way to tell.
//!
//! Reading order: [`batches`], what is to be appended; [`transaction`], what is asked before a batch of a transaction is; then
//! the request here.

mod batches;
mod transaction;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anabranch_protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceResponse,
};
use anabranch_protocol::{ErrorCode, Segments, Uuid};

use self::batches::{CheckedBatch, PartitionBatch, Refusal, TopicBatches};
use self::transaction::Answers;
use crate::coordinator::transaction::Caller;
use crate::log::{AppendError, AppendOrigin};
use crate::metadata::creation::is_internal;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::reply::{Answering, Reply, RequestContext};
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
    fn failed(index: i32, Refusal { error_code, message }: Refusal) -> Outcome {
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
        *self = Outcome::failed(self.index, error_code.into());
    }
}

pub(super) fn handle(node: &Arc<Node>, request: &RequestContext<'_>, message: ProduceRequest<'_>) -> Reply {
    let now_ms = node.host.wall_clock_ms();
    let (acks, timeout_ms, version) = (message.acks, message.timeout_ms, request.api_version());
    let transactional_id = message.transactional_id;
    let lacks_id = transactional_id.is_none() && transaction::has_transactional_batches(&message);
    let mut named = batches::named(node, version, message);
    let question = match transactional_id {
        None if lacks_id => Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        None => Ok(None),
        Some(_) => transaction::question(&mut named, now_ms),
    };
    let appending = Appending {
        metrics: &node.metrics,
        is_admin: request.client_id == Some(ADMIN_CLIENT_ID),
        acks,
        now_ms,
    };
    let mut topics = match (&question, transactional_id) {
        (Err(error_code), _) => refuse(named, *error_code),
        (Ok(Some(question)), Some(transactional_id)) => {
            let caller = Caller { transactional_id, producer: question.producer };
            let support = transaction::support(version);
            node.transactions.admit(&caller, &question.partitions, support, |admission| {
                appending.append_all(named, Some(&Answers::new(question, admission)))
            })
        }
        _ => appending.append_all(named, None),
    };
    let all = topics.iter().flat_map(|topic| &topic.partitions);
    let failed = all.filter(|outcome| !outcome.error_code.is_none()).count();
    node.metrics.failed_appends.add(failed as u64);
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
    let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
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

/// Nothing of a request is appended.
fn refuse(named: Vec<TopicBatches>, error_code: ErrorCode) -> Vec<TopicOutcome> {
    let refuse = |TopicBatches { name, id, partitions }| {
        let refuse = |named: PartitionBatch| Outcome::failed(named.index, error_code.into());
        TopicOutcome { name, id, partitions: partitions.into_iter().map(refuse).collect() }
    };
    named.into_iter().map(refuse).collect()
}

/// How a request's batches are appended.
struct Appending<'a> {
    metrics: &'a Metrics,
    /// It may write to internal topics.
    is_admin: bool,
    acks: i16,
    now_ms: i64,
}

impl Appending<'_> {
    fn append_all(&self, named: Vec<TopicBatches>, answers: Option<&Answers<'_>>) -> Vec<TopicOutcome> {
        let append_topic = |TopicBatches { name, id, partitions }: TopicBatches| {
            let append = |PartitionBatch { index, batch, refused }| {
                let appended = batch.map(|batch| {
                    let refused = |refused| Outcome::failed(index, refused);
                    self.append(&name, index, &batch, answers).unwrap_or_else(refused)
                });
                let refused = refused.map(|refused| Outcome::failed(index, refused));
                refused.or(appended).expect("there is a batch, or a reason why not")
            };
            let partitions = partitions.into_iter().map(append).collect();
            TopicOutcome { name, id, partitions }
        };
        named.into_iter().map(append_topic).collect()
    }

    fn append(
        &self,
        topic: &str,
        index: i32,
        batch: &CheckedBatch,
        answers: Option<&Answers<'_>>,
    ) -> Result<Outcome, Refusal> {
        let origin = answers.map_or(Ok(AppendOrigin::Client), |answers| answers.origin(topic, index))?;
        if !(-1..=1).contains(&self.acks) {
            return Err(ErrorCode::INVALID_REQUIRED_ACKS.into());
        }
        if is_internal(topic) && !self.is_admin {
            return Err(ErrorCode::INVALID_TOPIC_EXCEPTION.into());
        }
        // As many replicas as `min.insync.replicas` asks for, but no more than there are (KIP-966): this one is enough.
        match batch.partition.append(&batch.records, origin, self.now_ms) {
            Ok((appended, durable)) => {
                if !appended.is_duplicate {
                    let records = appended.last_offset - appended.base_offset + 1;
                    self.metrics.appended(records, batch.records.len());
                }
                Ok(Outcome {
                    index,
                    error_code: ErrorCode::NONE,
                    message: None,
                    records: Vec::new(),
                    base_offset: appended.base_offset,
                    log_append_time_ms: appended.log_append_time_ms,
                    log_start_offset: appended.log_start_offset,
                    durable: Some(durable),
                })
            }
            Err(error) => {
                tracing::debug!(%topic, partition = index, %error, "a batch is refused");
                let log_start_offset =
                    if tells_log_start(&error) { batch.partition.log_start_offset() } else { -1 };
                let (error_code, message) = (error.error_code(), Some(error.to_string()));
                let records = match error {
                    AppendError::InvalidRecord { records, .. }
                    | AppendError::InvalidTimestamp { records, .. } => records,
                    _ => Vec::new(),
                };
                let failed = Outcome::failed(index, Refusal { error_code, message });
                Ok(Outcome { log_start_offset, records, ..failed })
            }
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
