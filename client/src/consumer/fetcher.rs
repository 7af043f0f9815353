//! Keeps records coming: learns where partitions begin, asks each leader for those that can take more, one request per
//! broker at a time, and queues what comes. Nothing here waits in the name of the user: [`Fetcher::drive`] starts what is
//! due, each request runs beside, and when it ends drives again; whoever waits is told by `changed`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Instant;
use anabranch_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic, PartitionData,
};
use anabranch_protocol::{ErrorCode, Uuid};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::fetch_session::{FetchFrom, FetchSession, NextFetch};
use super::isolation::visible;
use super::positions::{Fetchable, LogBounds, Positions, Take};
use super::record::FetchedBatches;
use crate::cluster::{Client, CoordinatorKind};
use crate::config::{ConsumerConfig, IsolationLevel};
use crate::connection::CallOptions;
use crate::connections::Lane;
use crate::error::{ClientError, ErrorKind, Result};
use crate::group_offsets;
use crate::list_offsets::{OffsetSpec, list_offsets};
use crate::topic_partition::TopicPartition;

/// The last version that names topics; those above give their ids.
const LAST_VERSION_BY_NAME: i16 = 12;

/// Batches that lie here until the user takes them.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) name: TopicPartition,
    pub(super) turn: u64,
    pub(super) batches: FetchedBatches,
    /// Whether it is the last of its answer.
    pub(super) ends: bool,
}

/// What the user's calls and the requests on their way share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) positions: Positions,
    /// In the order in which they came.
    chunks: VecDeque<Chunk>,
    /// What the user must know.
    errors: VecDeque<ClientError>,
    sessions: BTreeMap<i32, FetchSession>,
    /// Brokers that have a request of ours.
    fetching: BTreeSet<i32>,
    stale: BTreeSet<Arc<str>>,
    refreshing: bool,
    refresh_at: Instant,
    /// Refreshes in a row that did not find what was asked for.
    misses: u32,
    failures: u32,
    closed: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: Client,
    config: ConsumerConfig,
    lane: Lane,
    pub(super) state: Mutex<State>,
    pub(super) changed: Arc<Notify>,
}

impl Fetcher {
    pub(super) fn new(client: &Client, config: &ConsumerConfig) -> Arc<Self> {
        Arc::new(Fetcher {
            client: client.clone(),
            config: config.clone(),
            lane: client.new_lane(),
            state: Mutex::new(State {
                positions: Positions::new(config.auto_offset_reset),
                chunks: VecDeque::new(),
                errors: VecDeque::new(),
                sessions: BTreeMap::new(),
                fetching: BTreeSet::new(),
                stale: BTreeSet::new(),
                refreshing: false,
                refresh_at: Instant::default(),
                misses: 0,
                failures: 0,
                closed: false,
            }),
            changed: Arc::new(Notify::new()),
        })
    }

    /// Starts nothing any more.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
    }

    /// The next error that the user must know.
    pub(super) fn take_error(&self) -> Option<ClientError> {
        self.state.lock().errors.pop_front()
    }

    /// The next batches that the user may have.
    pub(super) fn take_chunk(&self) -> Option<Chunk> {
        let mut state = self.state.lock();
        let mut at = 0;
        while let Some(chunk) = state.chunks.get(at) {
            match state.positions.may_take(&chunk.name, chunk.turn) {
                Take::Now => return state.chunks.remove(at),
                Take::Later => at += 1,
                Take::Never => drop(state.chunks.remove(at)),
            }
        }
        None
    }

    /// When something is due that no answer announces.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let state = self.state.lock();
        let refresh = (!state.stale.is_empty() && !state.refreshing).then_some(state.refresh_at);
        state.positions.next_retry(now).into_iter().chain(refresh).min()
    }

    fn now(&self) -> Instant {
        self.client.host().now()
    }

    fn retry_at(&self, failures: u32) -> Instant {
        let host = self.client.host();
        host.now() + self.client.backoff().delay(failures.max(1), host.random_u64())
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.client.config().request_timeout_ms)
    }

    /// Starts all that is due.
    pub(super) fn drive(self: &Arc<Self>) {
        let now = self.now();
        let host = self.client.host();
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        let unknown = state.positions.take_unknown(now);
        if !unknown.is_empty() {
            match &self.config.group_id {
                None => self.settle_committed(&mut state, unknown, Ok(BTreeMap::new())),
                Some(group) => {
                    let (fetcher, group) = (Arc::clone(self), group.clone());
                    host.spawn(async move { fetcher.learn_committed(&group, unknown).await });
                }
            }
        }
        self.fetch_all(&mut state, now);
        let resetting = state.positions.take_resetting(now, host.wall_clock_ms());
        if !resetting.is_empty() {
            let fetcher = Arc::clone(self);
            host.spawn(async move { fetcher.look_up(resetting).await });
        }
        self.refresh(&mut state, now);
    }

    /// Asks for the committed offsets.
    async fn learn_committed(self: &Arc<Self>, group: &str, partitions: BTreeMap<TopicPartition, u64>) {
        let names: Vec<_> = partitions.keys().cloned().collect();
        let stable = self.config.isolation_level == IsolationLevel::ReadCommitted;
        let asking = async {
            let address = self.client.find_coordinator(CoordinatorKind::Group, group).await?;
            let connection = self.client.shared_lane().connection(&address).await?;
            group_offsets::fetch(&connection, group, Some(&names), stable).await
        };
        let timeout = self.timeout();
        let found = self.client.host().timeout(timeout, asking).await;
        let found =
            found.unwrap_or_else(|_| Err(ClientError::timed_out("asking for committed offsets", timeout)));
        self.settle_committed(&mut self.state.lock(), partitions, found);
        self.go_on();
    }

    fn settle_committed(
        &self,
        state: &mut State,
        partitions: BTreeMap<TopicPartition, u64>,
        found: Result<BTreeMap<TopicPartition, group_offsets::OffsetAndMetadata>>,
    ) {
        match found {
            Ok(found) => {
                state.failures = 0;
                for (name, turn) in partitions {
                    if let Err(error) = state.positions.committed(&name, turn, found.get(&name)) {
                        state.errors.push_back(error);
                    }
                }
            }
            Err(error) => self.failed(state, partitions.into_iter(), error),
        }
    }

    /// Looks up offsets.
    async fn look_up(self: &Arc<Self>, partitions: Vec<(TopicPartition, u64, OffsetSpec)>) {
        let wanted = partitions.iter().map(|(name, _, spec)| (name.clone(), *spec)).collect();
        let found = list_offsets(&self.client, &wanted, self.config.isolation_level, self.timeout()).await;
        {
            let mut state = self.state.lock();
            for (name, turn, _) in partitions {
                match found.get(&name) {
                    Some(Ok(listed)) => {
                        state.positions.looked_up(&name, turn, listed.offset, listed.leader_epoch);
                    }
                    Some(Err(error)) => {
                        self.failed(&mut state, [(name, turn)].into_iter(), error.clone());
                    }
                    None => {}
                }
            }
        }
        self.go_on();
    }

    /// Questions failed: they are asked again, and the user is told what no retry mends.
    fn failed(
        &self,
        state: &mut State,
        partitions: impl Iterator<Item = (TopicPartition, u64)>,
        error: ClientError,
    ) {
        state.failures += 1;
        let retry_at = self.retry_at(state.failures);
        for (name, turn) in partitions {
            state.positions.failed(&name, turn, retry_at);
            state.stale.insert(name.topic);
        }
        if error.is_retriable() {
            tracing::debug!(%error, "consumer tries again");
        } else {
            state.errors.push_back(error);
        }
    }

    fn go_on(self: &Arc<Self>) {
        self.drive();
        self.changed.notify_waiters();
    }

    /// Starts to ask for metadata that are missing, disproved or old.
    fn refresh(self: &Arc<Self>, state: &mut State, now: Instant) {
        let metadata = self.client.metadata();
        let age = Duration::from_millis(self.client.config().metadata_max_age_ms);
        let old = state
            .positions
            .topics()
            .into_iter()
            .filter(|topic| metadata.topic(topic).is_none_or(|known| known.learnt + age <= now));
        state.stale.extend(old);
        if state.refreshing || state.stale.is_empty() || now < state.refresh_at {
            return;
        }
        state.refreshing = true;
        let topics: Vec<_> = std::mem::take(&mut state.stale).into_iter().collect();
        let fetcher = Arc::clone(self);
        self.client.host().spawn(async move {
            let create = fetcher.config.allow_auto_create_topics;
            let asked = fetcher.client.refresh_topics(&topics, now, create);
            let asked = fetcher.client.host().timeout(fetcher.timeout(), asked).await;
            {
                let mut state = fetcher.state.lock();
                state.refreshing = false;
                let found = match asked {
                    Ok(Ok(metadata)) => topics.iter().all(|topic| metadata.topic(topic).is_some()),
                    _ => {
                        state.stale.extend(topics);
                        false
                    }
                };
                state.misses = if found { 0 } else { state.misses + 1 };
                state.refresh_at = fetcher.retry_at(state.misses);
            }
            fetcher.go_on();
        });
    }

    /// Sends a fetch to every broker that has none and leads something that can take more.
    fn fetch_all(self: &Arc<Self>, state: &mut State, now: Instant) {
        let fetchable = state.positions.fetchable(now);
        if fetchable.is_empty() {
            return;
        }
        let metadata = self.client.metadata();
        let mut by_node: BTreeMap<i32, Vec<(Fetchable, FetchFrom)>> = BTreeMap::new();
        for partition in fetchable {
            let Some((leader, leader_epoch)) = metadata.leader(&partition.name) else {
                state.stale.insert(Arc::clone(&partition.name.topic));
                continue;
            };
            let topic_id = metadata.topic(&partition.name.topic).map_or(Uuid::ZERO, |topic| topic.id);
            if !state.positions.is_read_on(&partition.name, topic_id) {
                tracing::warn!(partition = %partition.name, "its topic was deleted and made anew");
                continue;
            }
            let from = FetchFrom { topic_id, leader_epoch, offset: partition.offset };
            let node = partition.read_replica.filter(|node| metadata.broker(*node).is_some());
            by_node.entry(node.unwrap_or(leader)).or_default().push((partition, from));
        }
        // A request waits for bytes of the partitions that it names, so one that left out a full partition would hold
        // it back after the user has made room. The user has something to do meanwhile.
        for full in state.positions.full() {
            if let Some((leader, _)) = metadata.leader(&full) {
                by_node.remove(&leader);
            }
        }
        for (node, partitions) in by_node {
            if !state.fetching.insert(node) {
                continue;
            }
            for (partition, _) in &partitions {
                state.positions.fetching(&partition.name, partition.turn);
            }
            let wanted: BTreeMap<_, _> =
                partitions.iter().map(|(one, from)| (one.name.clone(), *from)).collect();
            let session = state.sessions.entry(node).or_default();
            // What the broker has said of a partition went to one that is no more (it was taken away and came back, or another
            // offset was sought meanwhile), and it would not say it again.
            let is_unheard = |(name, from): (&TopicPartition, &FetchFrom)| {
                session.has_told(name, from) && state.positions.bounds(name).is_none()
            };
            if wanted.iter().any(is_unheard) {
                session.broken();
            }
            let next = session.next(&wanted);
            let asked: BTreeMap<_, _> =
                partitions.into_iter().map(|(one, from)| (one.name, (one.turn, from))).collect();
            let fetcher = Arc::clone(self);
            self.client.host().spawn(async move { fetcher.fetch(node, next, asked).await });
        }
    }

    /// One request.
    async fn fetch(
        self: &Arc<Self>,
        node: i32,
        next: NextFetch,
        asked: BTreeMap<TopicPartition, (u64, FetchFrom)>,
    ) {
        let outcome = self.ask(node, &next, &asked).await;
        {
            let mut state = self.state.lock();
            state.fetching.remove(&node);
            for (name, (turn, _)) in &asked {
                state.positions.fetch_ended(name, *turn);
            }
            match outcome {
                Ok(answer) => {
                    state.failures = 0;
                    if answer.code == ErrorCode::NONE {
                        for (name, partition) in answer.partitions {
                            self.take(&mut state, name, partition);
                        }
                    } else if answer.code.is_retriable() {
                        tracing::debug!(node, code = %answer.code, "fetch session ends");
                    } else {
                        let error = ClientError::from_code("fetching", answer.code);
                        let partitions = asked.into_iter().map(|(name, (turn, _))| (name, turn));
                        self.failed(&mut state, partitions, error);
                    }
                }
                Err(error) => {
                    if let Some(session) = state.sessions.get_mut(&node) {
                        session.broken();
                    }
                    let partitions = asked.into_iter().map(|(name, (turn, _))| (name, turn));
                    self.failed(&mut state, partitions, error);
                }
            }
        }
        self.go_on();
    }

    async fn ask(
        &self,
        node: i32,
        next: &NextFetch,
        asked: &BTreeMap<TopicPartition, (u64, FetchFrom)>,
    ) -> Result<Fetched> {
        let connection = self.lane.connection(&self.client.address(node)?).await?;
        let by_id = asked.values().all(|(_, from)| !from.topic_id.is_zero())
            && next.forgotten.iter().all(|(_, topic_id)| !topic_id.is_zero());
        let mut topics: Vec<FetchTopic<'_>> = Vec::new();
        for (name, from) in &next.told {
            let partition = FetchPartition {
                partition: name.partition,
                current_leader_epoch: from.leader_epoch,
                fetch_offset: from.offset,
                partition_max_bytes: self.config.max_partition_fetch_bytes,
                ..Default::default()
            };
            match topics.last_mut().filter(|topic| topic.topic == &*name.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(FetchTopic {
                    topic: &name.topic,
                    topic_id: from.topic_id,
                    partitions: vec![partition],
                }),
            }
        }
        let forgotten = next.forgotten.iter().map(|(name, topic_id)| ForgottenTopic {
            topic: &name.topic,
            topic_id: *topic_id,
            partitions: vec![name.partition],
        });
        let request = FetchRequest {
            max_wait_ms: i32::try_from(self.config.fetch_max_wait_ms).unwrap_or(i32::MAX),
            min_bytes: self.config.fetch_min_bytes,
            max_bytes: self.config.fetch_max_bytes,
            isolation_level: self.config.isolation_level as i8,
            session_id: next.id,
            session_epoch: next.epoch,
            topics,
            forgotten_topics_data: forgotten.collect(),
            rack_id: &self.config.client_rack,
            ..Default::default()
        };
        let options = CallOptions {
            max_version: if by_id { i16::MAX } else { LAST_VERSION_BY_NAME },
            timeout: Some(self.timeout() + Duration::from_millis(self.config.fetch_max_wait_ms)),
        };
        let answer = connection.call_with(&request, options).await?;
        let response: FetchResponse<'_> = answer.decode()?;
        let mut partitions = Vec::new();
        {
            let mut state = self.state.lock();
            let session = state.sessions.entry(node).or_default();
            let by_id = answer.version() > LAST_VERSION_BY_NAME;
            for topic in &response.responses {
                for data in &topic.partitions {
                    let topic_id = if by_id { topic.topic_id } else { Uuid::ZERO };
                    let Some(name) = session.find(topic_id, topic.topic, data.partition_index) else {
                        continue;
                    };
                    if let Some((name, (turn, from))) = asked.get_key_value(name) {
                        partitions.push((name.clone(), *turn, *from, data));
                    }
                }
            }
            session.answered(response.error_code, response.session_id);
        }
        // Walking the batches takes time: not under the lock.
        let read = partitions.into_iter().map(|(name, turn, from, data)| {
            let mut one = self.read(&name, turn, from.offset, data);
            one.chunks.iter_mut().for_each(|chunk| chunk.topic_id = from.topic_id);
            (name, one)
        });
        let partitions = read.collect();
        Ok(Fetched { code: response.error_code, partitions })
    }

    /// Takes one partition's part of an answer apart.
    fn read(&self, name: &TopicPartition, turn: u64, from: i64, data: &PartitionData) -> FetchedPartition {
        let leader = &data.current_leader;
        if leader.leader_id >= 0 {
            self.client.learn_leader(name, leader.leader_id, leader.leader_epoch);
        }
        let aborted = (self.config.isolation_level == IsolationLevel::ReadCommitted)
            .then(|| data.aborted_transactions.as_deref().unwrap_or_default());
        let bounds = LogBounds {
            high_watermark: data.high_watermark,
            last_stable_offset: data.last_stable_offset,
            log_start_offset: data.log_start_offset,
        };
        let mut chunks = Vec::new();
        let mut code = data.error_code;
        let mut error = None;
        let records = data.records.clone().unwrap_or_default();
        if code == ErrorCode::NONE && !records.is_empty() {
            match visible(&records, from, aborted) {
                Ok(seen) => match seen.next_offset {
                    Some(next_offset) => chunks = chunks_of(name, from, seen.runs, next_offset, bounds),
                    None => {
                        code = ErrorCode::CORRUPT_MESSAGE;
                        error = Some(ClientError::corrupt(format!(
                            "fetching {name} at offset {from}: {} bytes hold no whole batch behind it",
                            records.len()
                        )));
                    }
                },
                Err(source) => {
                    code = ErrorCode::CORRUPT_MESSAGE;
                    let text = format!("fetching {name} at offset {from}: {source}");
                    error = Some(ClientError::caused_by(ErrorKind::Corrupt, text, source));
                }
            }
        }
        FetchedPartition {
            turn,
            from,
            code,
            error,
            bounds,
            chunks,
            read_replica: data.preferred_read_replica,
        }
    }

    /// Takes one partition's part of an answer in.
    fn take(&self, state: &mut State, name: TopicPartition, fetched: FetchedPartition) {
        let FetchedPartition { turn, from, code, error, bounds, chunks, read_replica } = fetched;
        match code {
            ErrorCode::NONE => {
                state.positions.learn_bounds(&name, turn, bounds);
                if read_replica >= 0 {
                    let until =
                        Positions::replica_until(self.now(), self.client.config().metadata_max_age_ms);
                    state.positions.prefer_replica(&name, turn, read_replica, until);
                }
                let next_offset = chunks.last().map(|chunk| chunk.next_offset);
                if let Some(next_offset) = next_offset
                    && state.positions.fetched(&name, turn, from, next_offset)
                {
                    let last = chunks.len() - 1;
                    for (index, batches) in chunks.into_iter().enumerate() {
                        let chunk = Chunk { name: name.clone(), turn, batches, ends: index == last };
                        state.chunks.push_back(chunk);
                    }
                }
            }
            ErrorCode::OFFSET_OUT_OF_RANGE => {
                let retry_at = self.retry_at(1);
                state.positions.failed(&name, turn, retry_at);
                if let Err(error) = state.positions.out_of_range(&name, turn, from) {
                    state.errors.push_back(error);
                }
            }
            code => {
                let error =
                    error.unwrap_or_else(|| ClientError::from_code(&format!("fetching {name}"), code));
                self.failed(state, [(name, turn)].into_iter(), error);
            }
        }
    }
}

/// An answer.
struct Fetched {
    code: ErrorCode,
    partitions: Vec<(TopicPartition, FetchedPartition)>,
}

/// One partition's part of an answer, taken apart.
struct FetchedPartition {
    turn: u64,
    from: i64,
    code: ErrorCode,
    error: Option<ClientError>,
    bounds: LogBounds,
    chunks: Vec<FetchedBatches>,
    read_replica: i32,
}

/// The runs as what the user gets; at least one, if only to move the position on.
fn chunks_of(
    name: &TopicPartition,
    from: i64,
    runs: Vec<super::isolation::Run>,
    next_offset: i64,
    bounds: LogBounds,
) -> Vec<FetchedBatches> {
    let chunk = |records: Bytes, fetch_offset, next_offset, leader_epoch| FetchedBatches {
        topic: Arc::clone(&name.topic),
        partition: name.partition,
        records,
        fetch_offset,
        next_offset,
        leader_epoch,
        bounds,
        topic_id: Uuid::ZERO,
    };
    let mut chunks = Vec::with_capacity(runs.len().max(1));
    let mut fetch_offset = from;
    for run in runs {
        chunks.push(chunk(run.records, fetch_offset, run.next_offset, run.leader_epoch));
        fetch_offset = run.next_offset;
    }
    match chunks.last_mut() {
        // Markers behind the last run are passed over with it.
        Some(last) => last.next_offset = next_offset,
        None => chunks.push(chunk(Bytes::new(), from, next_offset, -1)),
    }
    chunks
}
