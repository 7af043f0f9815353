//! Fetch (1): records from offsets on, now or when there are enough.
//!
//! The answer leaves at once if there are `min_bytes` (also where only limits keep them from being given), an error,
//! records of a segment that is not the last, or nothing to wait for; else the request is parked until there may be enough
//! or the time is up. Only whole batches are returned, and the batch that holds the offset is returned from its start:
//! readers drop what they have. At least one batch comes even if it is larger than all limits, so that nobody hangs on a
//! large record; the partitions after it get what is left of `max_bytes`, in their order. A partition that is named more
//! than once is answered once.
//!
//! Reading order: [`read`] (what the partitions give), [`parked`] (when to read again), then the request and its waiting
//! here.

mod parked;
mod read;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anabranch_protocol::messages::fetch::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use anabranch_protocol::{Segments, Uuid};

use super::repeated::last_of_each;
use crate::fetch_session::{Context, Told, TopicKey, Wanted};
use crate::node::Node;
use crate::partition::Isolation;
use crate::reply::{Answering, Reply, RequestContext};
use parked::Parked;
use read::{Found, Read, Target, read};

/// The first version that names topics by id.
const TOPIC_ID_VERSION: i16 = 13;
/// The first version whose clients can read zstd.
const ZSTD_VERSION: i16 = 10;

/// A fetch under way.
struct Fetch {
    node: Arc<Node>,
    answering: Answering,
    context: Context,
    targets: Vec<Target>,
    max_bytes: usize,
    min_bytes: usize,
    isolation: Isolation,
}

pub(super) fn handle(node: &Arc<Node>, request: &RequestContext<'_>, message: FetchRequest<'_>) -> Reply {
    let by_id = request.api_version() >= TOPIC_ID_VERSION;
    let wanted = wanted(node, &message, by_id);
    let forgotten: Vec<_> = message
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| {
            let key = key(node, by_id, topic.topic, topic.topic_id);
            topic.partitions.iter().map(move |partition| (key.clone(), *partition))
        })
        .collect();
    let context = match node.fetch_sessions.context(
        message.session_id,
        message.session_epoch,
        &wanted,
        &forgotten,
        by_id,
        request.received,
    ) {
        Ok(context) => context,
        Err(error_code) => return request.answer(&FetchResponse { error_code, ..Default::default() }),
    };
    let wanted = match &context {
        Context::Whole { .. } => last_of_each(wanted, |wanted| (wanted.topic.clone(), wanted.partition)),
        Context::Incremental { session, .. } => session.lock().wanted().cloned().collect(),
    };
    let is_follower = message.replica_id >= 0 || message.replica_state.replica_id >= 0;
    let takes_zstd = request.api_version() >= ZSTD_VERSION;
    let targets =
        wanted.into_iter().map(|wanted| Target::find(node, wanted, is_follower, takes_zstd)).collect();
    let max_bytes = usize::try_from(message.max_bytes).unwrap_or(0).min(node.config.fetch_max_bytes);
    let fetch = Fetch {
        node: node.clone(),
        answering: request.answering,
        context,
        targets,
        max_bytes,
        min_bytes: usize::try_from(message.min_bytes).unwrap_or(0).min(max_bytes),
        isolation: Isolation::from_wire(message.isolation_level),
    };
    let wait = Duration::from_millis(u64::try_from(message.max_wait_ms).unwrap_or(0));
    let first = fetch.read();
    if wait.is_zero() || fetch.targets.is_empty() || fetch.is_enough(&first) {
        return Reply::Now(fetch.respond(first));
    }
    let parked = Parked::after(&first, fetch.isolation);
    Reply::later(fetch.wait(parked, request.received + wait))
}

fn wanted(node: &Node, message: &FetchRequest<'_>, by_id: bool) -> Vec<Wanted> {
    let mut wanted = Vec::with_capacity(message.topics.iter().map(|topic| topic.partitions.len()).sum());
    for topic in &message.topics {
        let key = key(node, by_id, topic.topic, topic.topic_id);
        wanted.extend(topic.partitions.iter().map(|partition| Wanted {
            topic: key.clone(),
            partition: partition.partition,
            fetch_offset: partition.fetch_offset,
            max_bytes: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        }));
    }
    wanted
}

fn key(node: &Node, by_id: bool, name: &str, id: Uuid) -> TopicKey {
    if by_id {
        return TopicKey::Id(id);
    }
    // The name of a topic that is there is shared, not copied.
    TopicKey::Name(node.topics.by_name(name).map_or_else(|| name.into(), |topic| topic.name.clone()))
}

impl Fetch {
    fn read(&self) -> Read {
        read(&self.targets, self.max_bytes, self.node.memory.fetch_bytes(self.max_bytes), self.isolation)
    }

    fn is_enough(&self, read: &Read) -> bool {
        read.bytes >= self.min_bytes
            || read.must_answer
            || read.bytes_there(&self.targets, self.isolation) >= self.min_bytes
    }

    /// Waits until there is enough, or `deadline`, or the broker stops.
    async fn wait(self, mut parked: Parked, deadline: anabranch_host::Instant) -> Segments {
        let host = self.node.host.clone();
        let mut stopping = self.node.stopping.subscribe();
        let stop = async {
            // An error would mean that the broker is gone, which is a stop, too.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        let mut stop = pin!(stop);
        let mut time = pin!(host.sleep_until(deadline));
        loop {
            let mut moves = parked.moves(&self.targets);
            let is_over = std::future::poll_fn(|context| {
                let moved = moves.iter_mut().any(|moved| Pin::new(moved).poll(context).is_ready());
                if moved {
                    return Poll::Ready(false);
                }
                let is_over =
                    time.as_mut().poll(context).is_ready() || stop.as_mut().poll(context).is_ready();
                if is_over { Poll::Ready(true) } else { Poll::Pending }
            })
            .await;
            drop(moves);
            if !is_over && !parked.may_be_enough(&self.targets, self.min_bytes) {
                continue;
            }
            let read = self.read();
            if is_over || self.is_enough(&read) {
                return self.respond(read);
            }
            parked = Parked::after(&read, self.isolation);
        }
    }

    fn respond(self, read: Read) -> Segments {
        let Fetch { node, answering, context, targets, .. } = self;
        node.metrics.bytes_out.add(read.bytes as u64);
        let (session_id, shown) = match context {
            Context::Whole { wants_session: false } => (0, None),
            Context::Whole { wants_session: true } => {
                let by_id = answering.api_version >= TOPIC_ID_VERSION;
                let wanted = targets.iter().map(|target| target.wanted.clone()).collect();
                let random = || node.host.random_u64();
                match node.fetch_sessions.open(wanted, by_id, node.host.now(), random) {
                    Some((id, session)) => {
                        let mut session = session.lock();
                        // The first answer of a session shows everything.
                        for (target, found) in targets.iter().zip(&read.found) {
                            tell(&mut session, target, found);
                        }
                        (id, None)
                    }
                    None => (0, None),
                }
            }
            Context::Incremental { id, session } => {
                let mut session = session.lock();
                let told =
                    targets.iter().zip(&read.found).map(|(target, found)| tell(&mut session, target, found));
                (id, Some(told.collect::<Vec<bool>>()))
            }
        };
        let mut responses: Vec<FetchableTopicResponse<'_>> = Vec::new();
        let mut last_topic: Option<&TopicKey> = None;
        for (index, (target, found)) in targets.iter().zip(read.found).enumerate() {
            if shown.as_ref().is_some_and(|shown| !shown[index]) {
                continue;
            }
            if last_topic != Some(&target.wanted.topic) {
                let (topic, topic_id) = match &target.wanted.topic {
                    TopicKey::Name(name) => (&**name, Uuid::ZERO),
                    TopicKey::Id(id) => ("", *id),
                };
                responses.push(FetchableTopicResponse { topic, topic_id, partitions: Vec::new() });
                last_topic = Some(&target.wanted.topic);
            }
            if let Some(response) = responses.last_mut() {
                response.partitions.push(describe(target.wanted.partition, found));
            }
        }
        answering.encode(&FetchResponse { session_id, responses, ..Default::default() })
    }
}

fn tell(session: &mut crate::fetch_session::Session, target: &Target, found: &Found) -> bool {
    let told = found.offsets.map_or(Told { high_watermark: -1, log_start_offset: -1 }, |offsets| Told {
        high_watermark: offsets.high_watermark,
        log_start_offset: offsets.log_start_offset,
    });
    let is_error = !found.error_code.is_none() || found.diverging.is_some();
    session.tell(&target.wanted.topic, target.wanted.partition, told, is_error, !found.records.is_empty())
}

fn describe(partition_index: i32, found: Found) -> PartitionData {
    let Found { error_code, offsets, records, diverging, aborted_transactions } = found;
    PartitionData {
        partition_index,
        error_code,
        high_watermark: offsets.map_or(-1, |offsets| offsets.high_watermark),
        last_stable_offset: offsets.map_or(-1, |offsets| offsets.last_stable_offset),
        log_start_offset: offsets.map_or(-1, |offsets| offsets.log_start_offset),
        aborted_transactions,
        // Never null: librdkafka takes null records for a broken answer.
        records: Some(records),
        diverging_epoch: diverging
            .map_or_else(EpochEndOffset::default, |(epoch, end_offset)| EpochEndOffset { epoch, end_offset }),
        ..Default::default()
    }
}
