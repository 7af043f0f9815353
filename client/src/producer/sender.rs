//! Moves batches from the accumulator to the leaders, and their answers back. One task per producer owns all of it: who
//! is connected, what is on its way, what must be asked for; connecting, waiting for answers and asking run beside it
//! and report by [`Event`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::{Host, Instant};
use anabranch_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use anabranch_protocol::records::{seal, set_producer, set_transactional};
use anabranch_protocol::{ErrorCode, Uuid};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::Shared;
use super::accumulator::{Drained, QueueId};
use super::coordinator::init_producer_id;
use super::delivery::BatchMetadata;
use super::partition_queue::{Payload, ProducerIdentity, Settled, Verdict};
use super::transactional::announce;
use crate::cluster::Client;
use crate::connection::{Answer, CallOptions, Connection, PendingAnswer};
use crate::connections::Lane;
use crate::error::{ClientError, ErrorKind, Result};
use crate::topic_partition::TopicPartition;

/// The last version that names topics; those above give their ids.
const LAST_VERSION_BY_NAME: i16 = 12;

/// Whatever the sender waits for.
enum Event {
    Connected { node: i32, connection: Result<Connection> },
    Answered { node: i32, sent: Vec<Sent>, answer: Result<Answer> },
    Identified(Result<ProducerIdentity>),
    Announced(Result<()>),
    Refreshed(Result<()>),
}

/// A queue with something to send, and the leader of its partition.
type Located = (i32, QueueId, TopicPartition);

/// A batch on its way.
struct Sent {
    queue: QueueId,
    batch_id: u64,
    name: TopicPartition,
    topic_id: Uuid,
    records: Bytes,
}

struct Node {
    connection: Option<Connection>,
    /// To the task that waits for this node's answers, one after the other, so that they are taken in order.
    waiting: mpsc::UnboundedSender<(Vec<Sent>, Result<PendingAnswer>)>,
    connecting: bool,
    not_before: Instant,
    in_flight: usize,
}

struct Sender {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    events: mpsc::UnboundedReceiver<Event>,
    /// Cloned to whatever runs beside.
    reports: mpsc::UnboundedSender<Event>,
    nodes: BTreeMap<i32, Node>,
    identifying: bool,
    identify_at: Instant,
    identify_failures: u32,
    /// Topics whose metadata are missing or disproved.
    stale: BTreeSet<Arc<str>>,
    refreshing: bool,
    refresh_at: Instant,
    refresh_failures: u32,
    /// When all topics are asked for anew.
    refresh_all_at: Instant,
}

/// Runs until the producer is closed and everything is settled.
pub(super) async fn run(shared: Arc<Shared>) {
    let (reports, events) = mpsc::unbounded_channel();
    let lane = Arc::new(shared.client.new_lane());
    let refresh_all_at = shared.now() + max_age(&shared.client);
    let mut sender = Sender {
        shared,
        lane,
        events,
        reports,
        nodes: BTreeMap::new(),
        identifying: false,
        identify_at: Instant::default(),
        identify_failures: 0,
        stale: BTreeSet::new(),
        refreshing: false,
        refresh_at: Instant::default(),
        refresh_failures: 0,
        refresh_all_at,
    };
    sender.run().await;
}

fn max_age(client: &Client) -> Duration {
    Duration::from_millis(client.config().metadata_max_age_ms.max(1))
}

impl Sender {
    async fn run(&mut self) {
        let host = self.shared.client.host().clone();
        loop {
            let now = host.now();
            let settled = self.shared.accumulator.lock().advance(now);
            self.tell(settled);
            self.identify(now);
            while self.send_round(now).await {}
            self.refresh(now);
            let until = {
                let mut accumulator = self.shared.accumulator.lock();
                if accumulator.is_closed() && accumulator.is_empty() {
                    return;
                }
                accumulator.sleep_until(self.next_deadline(now))
            };
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.take(event),
                () = self.shared.wake.notified() => {}
                () = host.sleep_until(until) => {}
            }
            while let Ok(event) = self.events.try_recv() {
                self.take(event);
            }
        }
    }

    /// When something of the sender's own is due.
    fn next_deadline(&self, now: Instant) -> Instant {
        let mut deadline = self.refresh_all_at;
        let mut due = |at: Instant| deadline = deadline.min(at);
        if !self.stale.is_empty() && !self.refreshing {
            due(self.refresh_at);
        }
        if !self.identifying && self.identify_at > now {
            due(self.identify_at);
        }
        for node in self.nodes.values().filter(|node| node.not_before > now) {
            due(node.not_before);
        }
        deadline
    }

    fn retry_after(&self, failures: u32) -> Duration {
        let client = &self.shared.client;
        client.backoff().delay(failures, client.host().random_u64())
    }

    /// Tells everybody whose batch has an outcome; before, its transaction.
    fn tell(&self, settled: Vec<Settled>) {
        let mut failed = false;
        if let Some(transactional) = &self.shared.transactional {
            for error in settled.iter().filter_map(Settled::error) {
                transactional.state.lock().batch_failed(error);
                failed = true;
            }
        }
        if failed {
            // Before it is told: who knows that a record failed must not be able to send another.
            self.shared.abandon_failed();
        }
        self.shared.settle(settled);
    }

    /// Asks for a producer id if one is missing. That of a transactional producer comes from its coordinator.
    fn identify(&mut self, now: Instant) {
        if self.shared.transactional.is_some() {
            return;
        }
        if self.identifying || now < self.identify_at || !self.shared.accumulator.lock().needs_identity() {
            return;
        }
        self.identifying = true;
        let (client, reports) = (self.shared.client.clone(), self.reports.clone());
        self.shared.client.host().spawn(async move {
            // The sender may be gone by the end, here as below.
            let _ = reports.send(Event::Identified(new_identity(&client).await));
        });
    }

    /// Asks for the topics that are stale.
    fn refresh(&mut self, now: Instant) {
        if now >= self.refresh_all_at {
            self.refresh_all_at = now + max_age(&self.shared.client);
            self.stale.extend(self.shared.accumulator.lock().topics());
        }
        if self.refreshing || self.stale.is_empty() || now < self.refresh_at {
            return;
        }
        self.refreshing = true;
        let topics: Vec<_> = std::mem::take(&mut self.stale).into_iter().collect();
        let (client, reports) = (self.shared.client.clone(), self.reports.clone());
        self.shared.client.host().spawn(async move {
            let refreshed = client.refresh_topics(&topics, now, true).await;
            let _ = reports.send(Event::Refreshed(refreshed.map(drop)));
        });
    }

    /// Sends one request to each leader that has batches and can take one. Says whether any was sent.
    async fn send_round(&mut self, now: Instant) -> bool {
        let ready = self.shared.accumulator.lock().ready();
        if ready.is_empty() {
            return false;
        }
        let metadata = self.shared.client.metadata();
        let mut located = Vec::with_capacity(ready.len());
        for (queue, name) in ready {
            match metadata.leader(&name) {
                Some((leader, _)) if metadata.broker(leader).is_some() => located.push((leader, queue, name)),
                _ => {
                    self.stale.insert(name.topic);
                }
            }
        }
        let mut by_leader: BTreeMap<i32, Vec<QueueId>> = BTreeMap::new();
        for (leader, queue, _) in self.admitted(located) {
            by_leader.entry(leader).or_default().push(queue);
        }
        let mut any_sent = false;
        for (leader, queues) in by_leader {
            let Some(connection) = self.ready_connection(leader, now) else { continue };
            let drained = self.shared.accumulator.lock().drain(now, &queues);
            if drained.is_empty() {
                continue;
            }
            any_sent = true;
            self.send(leader, &connection, drained).await;
        }
        any_sent
    }

    /// Those that may be sent: in a transaction, those that are part of it; the others are announced, if need be.
    fn admitted(&self, mut located: Vec<Located>) -> Vec<Located> {
        let Some(transactional) = &self.shared.transactional else { return located };
        let mut state = transactional.state.lock();
        located.retain(|(leader, _, name)| state.admits(name, *leader));
        if let Some(names) = state.start_adding() {
            let (shared, reports) = (Arc::clone(&self.shared), self.reports.clone());
            self.shared.client.host().spawn(async move {
                let _ = reports.send(Event::Announced(announce(&shared, &names).await));
            });
        }
        located
    }

    /// The connection to a leader, if it stands and may take another request; opens it if it does not stand.
    fn ready_connection(&mut self, leader: i32, now: Instant) -> Option<Connection> {
        let max_in_flight = self.shared.config.max_in_flight_requests_per_connection;
        let node = self.nodes.entry(leader).or_insert_with(|| Node {
            connection: None,
            waiting: await_answers(self.shared.client.host(), leader, self.reports.clone()),
            connecting: false,
            not_before: Instant::default(),
            in_flight: 0,
        });
        if node.in_flight >= max_in_flight {
            return None;
        }
        if let Some(connection) = node.connection.as_ref().filter(|connection| connection.is_open()) {
            return Some(connection.clone());
        }
        node.connection = None;
        if !node.connecting && now >= node.not_before {
            node.connecting = true;
            let (client, lane, reports) =
                (self.shared.client.clone(), Arc::clone(&self.lane), self.reports.clone());
            self.shared.client.host().spawn(async move {
                let connection = match client.address(leader) {
                    Ok(address) => lane.connection(&address).await,
                    Err(error) => Err(error),
                };
                let _ = reports.send(Event::Connected { node: leader, connection });
            });
        }
        None
    }

    /// Seals the batches and sends them in one request.
    async fn send(&mut self, leader: i32, connection: &Connection, drained: Vec<Drained>) {
        let metadata = self.shared.client.metadata();
        let mut by_id = true;
        let mut sent = Vec::with_capacity(drained.len());
        for Drained { queue, name, outgoing } in drained {
            let records = self.seal(outgoing.payload, outgoing.identity, outgoing.sequence);
            let topic_id = metadata.topic(&name.topic).map_or(Uuid::ZERO, |topic| topic.id);
            by_id &= !topic_id.is_zero();
            sent.push(Sent { queue, batch_id: outgoing.batch_id, name, topic_id, records });
        }
        // Neighbours in the order of queues mostly have the same topic, but a topic must not occur twice.
        sent.sort_by(|one, other| one.name.topic.cmp(&other.name.topic));
        let mut topic_data: Vec<TopicProduceData<'_>> = Vec::new();
        for batch in &sent {
            let data =
                PartitionProduceData { index: batch.name.partition, records: Some(batch.records.clone()) };
            match topic_data.last_mut().filter(|topic| topic.name == &*batch.name.topic) {
                Some(topic) => topic.partition_data.push(data),
                None => topic_data.push(TopicProduceData {
                    name: &batch.name.topic,
                    topic_id: batch.topic_id,
                    partition_data: vec![data],
                }),
            }
        }
        let transactional = self.shared.transactional.as_ref();
        let request = ProduceRequest {
            transactional_id: transactional.map(|transactional| transactional.id.as_str()),
            acks: -1,
            timeout_ms: i32::try_from(self.shared.client.config().request_timeout_ms).unwrap_or(i32::MAX),
            topic_data,
        };
        let mut max_version = if by_id { i16::MAX } else { LAST_VERSION_BY_NAME };
        if let Some(transactional) = transactional {
            let mut state = transactional.state.lock();
            max_version = max_version.min(state.protocol().max_produce_version());
            state.sent(leader, sent.iter().map(|batch| &batch.name));
        }
        let options = CallOptions { max_version, timeout: None };
        let pending = connection.submit(&request, options).await;
        drop(request);
        if let Some(node) = self.nodes.get_mut(&leader) {
            node.in_flight += 1;
            // That task lives as long as the node is known.
            let _ = node.waiting.send((sent, pending));
        }
    }

    /// The bytes of a batch with the producer's numbers in them.
    fn seal(&self, payload: Payload, identity: ProducerIdentity, sequence: i32) -> Bytes {
        let mut batch = match payload {
            Payload::Sealed(bytes) => return bytes,
            Payload::Away => unreachable!("a batch is with the sender once at a time"),
            Payload::Unstamped(batch) => batch,
            Payload::Builder(mut builder) => {
                let batch = builder.finish();
                self.shared.accumulator.lock().keep_builder(builder);
                batch
            }
        };
        set_producer(&mut batch, identity.id, identity.epoch, sequence);
        if self.shared.transactional.is_some() {
            set_transactional(&mut batch);
        }
        seal(&mut batch);
        batch.freeze()
    }

    fn take(&mut self, event: Event) {
        let now = self.shared.now();
        match event {
            Event::Connected { node, connection } => {
                let pause = self.retry_after(1);
                let Some(state) = self.nodes.get_mut(&node) else { return };
                state.connecting = false;
                match connection {
                    Ok(connection) => state.connection = Some(connection),
                    Err(error) => {
                        tracing::debug!(node, %error, "producer cannot connect");
                        state.not_before = now + pause;
                        // The leader may be another by now.
                        self.stale.extend(self.shared.accumulator.lock().topics());
                    }
                }
            }
            Event::Identified(identity) => {
                self.identifying = false;
                match identity {
                    Ok(identity) => {
                        self.identify_failures = 0;
                        self.shared.accumulator.lock().identify(now, identity);
                    }
                    Err(error) if error.is_retriable() => {
                        tracing::debug!(%error, "producer has no id yet");
                        self.identify_failures += 1;
                        self.identify_at = now + self.retry_after(self.identify_failures);
                    }
                    Err(error) => {
                        let settled = self.shared.accumulator.lock().fail(now, &error);
                        self.tell(settled);
                    }
                }
            }
            Event::Announced(outcome) => {
                if let Some(transactional) = &self.shared.transactional {
                    transactional.state.lock().adding_ended(outcome.as_ref().err());
                    transactional.answered.notify_waiters();
                }
                if let Err(error) = outcome {
                    tracing::debug!(%error, "partitions do not become part of the transaction");
                    self.shared.abandon_failed();
                }
            }
            Event::Refreshed(refreshed) => {
                self.refreshing = false;
                match refreshed {
                    Ok(()) => self.refresh_failures = 0,
                    Err(error) => {
                        tracing::debug!(%error, "producer cannot refresh metadata");
                        self.stale.extend(self.shared.accumulator.lock().topics());
                        self.refresh_failures += 1;
                    }
                }
                self.refresh_at = now + self.retry_after(self.refresh_failures.max(1));
                let metadata = self.shared.client.metadata();
                let mut accumulator = self.shared.accumulator.lock();
                for name in accumulator.topics() {
                    if let Some(topic) = metadata.topic(&name) {
                        accumulator.learn_topic(topic);
                    }
                }
            }
            Event::Answered { node, sent, answer } => {
                if let Some(node) = self.nodes.get_mut(&node) {
                    node.in_flight -= 1;
                }
                self.answered(now, node, sent, answer);
                if let Some(transactional) = &self.shared.transactional {
                    transactional.answered.notify_waiters();
                }
            }
        }
    }

    /// Hands each batch its verdict.
    fn answered(&mut self, now: Instant, leader: i32, sent: Vec<Sent>, answer: Result<Answer>) {
        let decoded = match &answer {
            Ok(answer) => answer.decode::<ProduceResponse<'_>>().map(|response| (answer.version(), response)),
            Err(error) => Err(error.clone()),
        };
        let mut settled = Vec::new();
        let mut position = 0;
        let mut topic_before = None;
        for batch in sent {
            position = if topic_before == Some(batch.topic_id) { position + 1 } else { 0 };
            topic_before = Some(batch.topic_id);
            let verdict = match &decoded {
                Ok((version, response)) => match find(response, *version, &batch, position) {
                    Some(found) => {
                        let leader = &found.current_leader;
                        if leader.leader_id >= 0 {
                            self.shared.client.learn_leader(
                                &batch.name,
                                leader.leader_id,
                                leader.leader_epoch,
                            );
                        }
                        verdict(&batch.name, found, self.shared.transactional.is_some())
                    }
                    None => Verdict::Retry(ClientError::corrupt(format!("no answer for {}", batch.name))),
                },
                Err(error) if error.kind() == ErrorKind::Invalid => Verdict::Refused(error.clone()),
                Err(error) => Verdict::Unanswered(error.clone()),
            };
            if let Verdict::Retry(error)
            | Verdict::Unanswered(error)
            | Verdict::OutOfOrder(error)
            | Verdict::TooLarge(error) = &verdict
            {
                tracing::debug!(partition = %batch.name, %error, "producer sends a batch again");
                if !verdict.passes_soon() && matches!(verdict, Verdict::Retry(_) | Verdict::Unanswered(_)) {
                    self.stale.insert(Arc::clone(&batch.name.topic));
                }
            }
            if let Some(transactional) = &self.shared.transactional {
                let is_written = matches!(verdict, Verdict::Written(_));
                transactional.state.lock().answered(leader, &batch.name, is_written);
            }
            let client = &self.shared.client;
            let backoff = match verdict.passes_soon() {
                true => client.backoff().soon(),
                false => client.backoff(),
            };
            let retry_after = |failures| backoff.delay(failures, client.host().random_u64());
            let mut accumulator = self.shared.accumulator.lock();
            settled.extend(accumulator.answered(
                now,
                batch.queue,
                batch.batch_id,
                batch.records,
                verdict,
                retry_after,
            ));
        }
        self.tell(settled);
    }
}

/// Starts a task that reports the answers of one node in the order of the requests.
fn await_answers(
    host: &Host,
    node: i32,
    reports: mpsc::UnboundedSender<Event>,
) -> mpsc::UnboundedSender<(Vec<Sent>, Result<PendingAnswer>)> {
    let (waiting, mut requests) = mpsc::unbounded_channel::<(Vec<Sent>, Result<PendingAnswer>)>();
    host.spawn(async move {
        while let Some((sent, pending)) = requests.recv().await {
            let answer = match pending {
                Ok(pending) => pending.answer().await,
                Err(error) => Err(error),
            };
            let _ = reports.send(Event::Answered { node, sent, answer });
        }
    });
    waiting
}

/// The part of an answer that is for a batch: most likely at its place in the request.
fn find<'r, 'a>(
    response: &'r ProduceResponse<'a>,
    version: i16,
    batch: &Sent,
    position: usize,
) -> Option<&'r PartitionProduceResponse<'a>> {
    let topic = response.responses.iter().find(|topic| {
        if version > LAST_VERSION_BY_NAME {
            topic.topic_id == batch.topic_id
        } else {
            topic.name == &*batch.name.topic
        }
    })?;
    let partitions = &topic.partition_responses;
    let own = |partition: &&PartitionProduceResponse<'_>| partition.index == batch.name.partition;
    partitions.get(position).filter(own).or_else(|| partitions.iter().find(own))
}

/// What a leader's answer means for a batch.
fn verdict(name: &TopicPartition, answer: &PartitionProduceResponse<'_>, transactional: bool) -> Verdict {
    let code = answer.error_code;
    let detail = answer.record_errors.first().and_then(|record| record.batch_index_error_message);
    let text = answer.error_message.or(detail);
    let error = || ClientError::from_code_and_text(&format!("writing to {name}"), code, text);
    match code {
        ErrorCode::NONE => Verdict::Written(BatchMetadata {
            base_offset: answer.base_offset,
            log_append_time: answer.log_append_time_ms,
        }),
        // So old that the leader no longer knows where it is.
        ErrorCode::DUPLICATE_SEQUENCE_NUMBER => {
            Verdict::Written(BatchMetadata { base_offset: -1, log_append_time: -1 })
        }
        // The epoch of a transactional producer is its coordinator's: whoever has a larger one has taken its place.
        ErrorCode::INVALID_PRODUCER_EPOCH if transactional => Verdict::Refused(error()),
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
        | ErrorCode::UNKNOWN_PRODUCER_ID
        | ErrorCode::INVALID_PRODUCER_EPOCH => Verdict::OutOfOrder(error()),
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => Verdict::TooLarge(error()),
        ErrorCode::INVALID_RECORD | ErrorCode::INVALID_TIMESTAMP => {
            let places = answer.record_errors.iter().map(|record| record.batch_index).collect();
            Verdict::BadRecords(error(), places)
        }
        code if code.is_retriable() => Verdict::Retry(error()),
        _ => Verdict::Refused(error()),
    }
}

/// Asks any broker for a producer id. One attempt.
async fn new_identity(client: &Client) -> Result<ProducerIdentity> {
    let connection = client.any_connection().await?;
    let (code, identity, _) = init_producer_id(&connection, None, i32::MAX, None).await?;
    if code != ErrorCode::NONE {
        return Err(ClientError::from_code("asking for a producer id", code));
    }
    Ok(identity)
}
