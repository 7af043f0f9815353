//! The consumer: records of partitions that it is assigned, by hand or as a member of a group.
//!
//! ```text
//!   subscribe --> membership (task of its own) --events--> poll
//!   assign ------------------------------------------+      ^
//!                positions --> fetcher --> leaders --chunks-+
//! ```
//! Reading order: `positions`, `fetch_session`, `isolation`, [`assignor`], `membership`, all pure; `record`, what is handed
//! out; `fetcher` and `group`, which talk to brokers; this file, what users call.

pub mod assignor;
mod fetch_session;
mod fetcher;
mod group;
mod isolation;
mod membership;
mod positions;
mod record;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Instant;
use anabranch_protocol::ErrorCode;

pub use membership::RebalanceEvent;
pub use positions::LogBounds;
pub use record::{ConsumerRecord, FetchedBatches};

use crate::cluster::{Client, CoordinatorKind};
use crate::config::{ConsumerConfig, IsolationLevel};
use crate::error::{ClientError, Result};
use crate::group_offsets::{self, Committer, OffsetAndMetadata};
use crate::list_offsets::OffsetSpec;
use crate::topic_partition::TopicPartition;
use assignor::{Assignor, RangeAssignor};
use fetcher::Fetcher;
use group::Group;
use membership::{MemberOptions, Membership};

/// What a poll returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Polled<T> {
    /// Changes of what the consumer owns, in order. The member goes on when the consumer polls again. Records come only
    /// with a poll that has none.
    pub events: Vec<RebalanceEvent>,
    /// What was read, per partition in order.
    pub records: Vec<T>,
}

/// As whom a consumer is known to its group: what a transaction needs in order to commit for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group.
    pub group_id: Arc<str>,
    /// The generation, -1 outside of the group.
    pub generation_id: i32,
    /// The member id, empty outside of the group.
    pub member_id: Arc<str>,
    /// The lasting name, if there is one.
    pub group_instance_id: Option<Arc<str>>,
}

/// Reads records. One task uses it at a time; heartbeats and fetches go on beside.
pub struct Consumer {
    client: Client,
    config: ConsumerConfig,
    fetcher: Arc<Fetcher>,
    assignors: Vec<Arc<dyn Assignor>>,
    group: Option<Arc<Group>>,
    by_hand: bool,
    /// Decoded records that `poll` has not returned yet.
    open: VecDeque<Open>,
    auto_commit_at: Instant,
    auto_commit_running: Arc<std::sync::atomic::AtomicBool>,
    closed: bool,
}

/// A chunk that is being handed out record by record.
struct Open {
    name: TopicPartition,
    turn: u64,
    records: std::vec::IntoIter<ConsumerRecord>,
    next_offset: i64,
    leader_epoch: i32,
    ends: bool,
}

impl Consumer {
    /// A consumer.
    ///
    /// # Errors
    /// Invalid, if the configuration cannot be.
    pub fn new(client: &Client, config: ConsumerConfig) -> Result<Consumer> {
        let mut assignors: Vec<Arc<dyn Assignor>> = Vec::new();
        for name in &config.partition_assignment_strategy {
            match name.as_str() {
                "range" | "org.apache.kafka.clients.consumer.RangeAssignor" => {
                    assignors.push(Arc::new(RangeAssignor));
                }
                other => {
                    return Err(ClientError::invalid(format!(
                        "configuration partition.assignment.strategy={other}: expected range"
                    )));
                }
            }
        }
        Self::with_assignors(client, config, assignors)
    }

    /// A consumer with these assignors, the preferred one first, whatever `partition.assignment.strategy` says.
    ///
    /// # Errors
    /// Invalid, if the configuration cannot be or no assignor is given.
    pub fn with_assignors(
        client: &Client,
        config: ConsumerConfig,
        assignors: Vec<Arc<dyn Assignor>>,
    ) -> Result<Consumer> {
        config.validate()?;
        if assignors.is_empty() {
            return Err(ClientError::invalid("a consumer needs an assignor"));
        }
        Ok(Consumer {
            fetcher: Fetcher::new(client, &config),
            client: client.clone(),
            assignors,
            group: None,
            by_hand: false,
            open: VecDeque::new(),
            auto_commit_at: client.host().now() + Duration::from_millis(config.auto_commit_interval_ms),
            auto_commit_running: Arc::default(),
            config,
            closed: false,
        })
    }

    fn now(&self) -> Instant {
        self.client.host().now()
    }

    fn check_open(&self) -> Result<()> {
        if self.closed { Err(ClientError::closed("consumer")) } else { Ok(()) }
    }

    /// Joins the group for these topics, in place of those before.
    ///
    /// # Errors
    /// Invalid, without a `group.id` or after [`Consumer::assign`].
    pub fn subscribe<T: AsRef<str>>(&mut self, topics: impl IntoIterator<Item = T>) -> Result<()> {
        self.check_open()?;
        let Some(group_id) = &self.config.group_id else {
            return Err(ClientError::invalid("subscribing needs a group.id"));
        };
        if self.by_hand {
            return Err(ClientError::invalid(
                "a consumer is either assigned partitions or subscribes to topics",
            ));
        }
        let mut topics: Vec<Arc<str>> = topics.into_iter().map(|topic| Arc::from(topic.as_ref())).collect();
        topics.sort_unstable();
        topics.dedup();
        let now = self.now();
        let group = self.group.get_or_insert_with(|| {
            let options = MemberOptions {
                group: Arc::from(group_id.as_str()),
                instance_id: self.config.group_instance_id.as_deref().map(Arc::from),
                rack: (!self.config.client_rack.is_empty()).then(|| self.config.client_rack.clone()),
                session_timeout: Duration::from_millis(self.config.session_timeout_ms),
                heartbeat_interval: Duration::from_millis(self.config.heartbeat_interval_ms),
                max_poll_interval: Duration::from_millis(self.config.max_poll_interval_ms),
            };
            let group = Group::new(Membership::new(options, self.assignors.clone(), now));
            self.client.host().spawn(group::run(
                self.client.clone(),
                Arc::clone(&group),
                Arc::clone(&self.fetcher.changed),
                self.config.allow_auto_create_topics,
            ));
            group
        });
        group.membership.lock().subscribe(topics);
        group.wake.notify_one();
        Ok(())
    }

    /// Leaves the group and gives up all partitions.
    pub fn unsubscribe(&mut self) {
        if let Some(group) = &self.group {
            group.membership.lock().unsubscribe();
            group.wake.notify_one();
        }
        self.by_hand = false;
        self.open.clear();
        self.fetcher.state.lock().positions.assign(&[]);
    }

    /// Reads these partitions, in place of those before, without the group's doing.
    ///
    /// # Errors
    /// Invalid, after [`Consumer::subscribe`].
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.check_open()?;
        if self.group.as_ref().is_some_and(|group| !group.membership.lock().topics().is_empty()) {
            return Err(ClientError::invalid(
                "a consumer is either assigned partitions or subscribes to topics",
            ));
        }
        self.by_hand = true;
        self.fetcher.state.lock().positions.assign(partitions);
        Ok(())
    }

    /// The partitions it has.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.fetcher.state.lock().positions.assigned()
    }

    /// Joins the group again, for a reason that the coordinator logs.
    pub fn enforce_rebalance(&self, reason: &str) {
        if let Some(group) = &self.group {
            group.membership.lock().request_rejoin(reason);
            group.wake.notify_one();
        }
    }

    /// As whom it is known to its group; none without a `group.id`.
    #[must_use]
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        let committer = self.committer()?;
        Some(GroupMetadata {
            group_id: committer.group,
            generation_id: committer.generation,
            member_id: committer.member_id,
            group_instance_id: committer.instance_id,
        })
    }

    fn committer(&self) -> Option<Committer> {
        match &self.group {
            Some(group) => Some(group.membership.lock().committer()),
            None => self.config.group_id.as_deref().map(Committer::outsider),
        }
    }

    fn on_assigned(&self, partition: &TopicPartition, done: bool) -> Result<()> {
        if done { Ok(()) } else { Err(ClientError::invalid(format!("{partition} is not assigned"))) }
    }

    /// Reads on at this offset.
    ///
    /// # Errors
    /// Invalid, if the partition is not assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<()> {
        if offset < 0 {
            return Err(ClientError::invalid(format!("{partition}: offset {offset} cannot be")));
        }
        let done = self.fetcher.state.lock().positions.seek(partition, offset, -1);
        self.on_assigned(partition, done)
    }

    /// Reads on at the first record that is there.
    ///
    /// # Errors
    /// Invalid, if the partition is not assigned.
    pub fn seek_to_beginning(&mut self, partition: &TopicPartition) -> Result<()> {
        let done = self.fetcher.state.lock().positions.seek_to(partition, OffsetSpec::Earliest);
        self.on_assigned(partition, done)
    }

    /// Reads on at the end.
    ///
    /// # Errors
    /// Invalid, if the partition is not assigned.
    pub fn seek_to_end(&mut self, partition: &TopicPartition) -> Result<()> {
        let done = self.fetcher.state.lock().positions.seek_to(partition, OffsetSpec::Latest);
        self.on_assigned(partition, done)
    }

    /// Returns nothing of these partitions until [`Consumer::resume`].
    ///
    /// # Errors
    /// Invalid, if one is not assigned.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, true)
    }

    /// Ends [`Consumer::pause`].
    ///
    /// # Errors
    /// Invalid, if one is not assigned.
    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, false)?;
        self.fetcher.drive();
        Ok(())
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) -> Result<()> {
        for partition in partitions {
            let done = self.fetcher.state.lock().positions.set_paused(partition, paused);
            self.on_assigned(partition, done)?;
        }
        Ok(())
    }

    /// The paused partitions.
    #[must_use]
    pub fn paused(&self) -> Vec<TopicPartition> {
        self.fetcher.state.lock().positions.paused()
    }

    /// The offset of the next record that a poll returns, if it is settled.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.fetcher.state.lock().positions.position(partition)
    }

    /// What the leader said of the partition's log with the last fetch.
    #[must_use]
    pub fn log_bounds(&self, partition: &TopicPartition) -> Option<LogBounds> {
        self.fetcher.state.lock().positions.bounds(partition)
    }

    /// Waits for records or events, at most for `timeout`; returns up to `max.poll.records`. With `enable.auto.commit`,
    /// what earlier polls returned counts as processed.
    ///
    /// # Errors
    /// Invalid or Fenced, if the member or a partition cannot go on; Corrupt, if records do not parse; Closed.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Polled<ConsumerRecord>> {
        let deadline = self.now() + timeout;
        let events = self.begin_poll().await?;
        if !events.is_empty() {
            return Ok(Polled { events, records: Vec::new() });
        }
        loop {
            let changed = Arc::clone(&self.fetcher.changed);
            let mut changed = std::pin::pin!(changed.notified());
            // Before looking, so that what comes after is not missed.
            changed.as_mut().enable();
            self.fetcher.drive();
            let records = self.take_records()?;
            if !records.is_empty() {
                // The next are fetched while these are processed.
                self.fetcher.drive();
                return Ok(Polled { events: Vec::new(), records });
            }
            let events = self.wait(deadline, changed).await?;
            if let Some(events) = events {
                return Ok(Polled { events, records: Vec::new() });
            }
        }
    }

    /// As [`Consumer::poll`], but returns all that is here as raw batches, unchecked and not decompressed.
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    pub async fn poll_batches(&mut self, timeout: Duration) -> Result<Polled<FetchedBatches>> {
        let deadline = self.now() + timeout;
        let events = self.begin_poll().await?;
        if !events.is_empty() {
            return Ok(Polled { events, records: Vec::new() });
        }
        self.drop_open();
        loop {
            let changed = Arc::clone(&self.fetcher.changed);
            let mut changed = std::pin::pin!(changed.notified());
            changed.as_mut().enable();
            self.fetcher.drive();
            let mut records = Vec::new();
            while let Some(chunk) = self.fetcher.take_chunk() {
                let mut state = self.fetcher.state.lock();
                let (next_offset, epoch) = (chunk.batches.next_offset, chunk.batches.leader_epoch);
                state.positions.advance(&chunk.name, chunk.turn, next_offset, epoch);
                if chunk.ends {
                    state.positions.chunk_taken(&chunk.name, chunk.turn);
                }
                records.push(chunk.batches);
            }
            if !records.is_empty() {
                self.fetcher.drive();
                return Ok(Polled { events: Vec::new(), records });
            }
            let events = self.wait(deadline, changed).await?;
            if let Some(events) = events {
                return Ok(Polled { events, records: Vec::new() });
            }
        }
    }

    /// What every poll begins with: the group learns that the user is there and has dealt with the events of before.
    async fn begin_poll(&mut self) -> Result<Vec<RebalanceEvent>> {
        self.check_open()?;
        let now = self.now();
        if let Some(group) = &self.group {
            group.membership.lock().polled(now);
            self.fetcher.state.lock().positions.drop_revoked();
            group.wake.notify_one();
        }
        if self.auto_commits() && now >= self.auto_commit_at {
            self.commit_beside();
        }
        self.take_events().await
    }

    /// Takes the group's events and follows them.
    async fn take_events(&mut self) -> Result<Vec<RebalanceEvent>> {
        let Some(group) = self.group.clone() else { return Ok(Vec::new()) };
        let events = group.membership.lock().take_events();
        for event in &events {
            match event {
                RebalanceEvent::Assigned { partitions, .. } => {
                    self.fetcher.state.lock().positions.add(partitions);
                }
                RebalanceEvent::Revoked(partitions) => {
                    let mut offsets = self.fetcher.state.lock().positions.to_commit();
                    offsets.retain(|name, _| partitions.contains(name));
                    if self.auto_commits() && !offsets.is_empty() {
                        // If that fails, whoever gets the partitions reads some records again.
                        if let Err(error) = self.commit_offsets(&offsets).await {
                            tracing::warn!(%error, "offsets of revoked partitions are not committed");
                        }
                    }
                    self.fetcher.state.lock().positions.revoke(partitions);
                }
                RebalanceEvent::Lost(partitions) => {
                    self.fetcher.state.lock().positions.remove(partitions);
                }
            }
        }
        if events.is_empty()
            && let Some(error) = group.membership.lock().failure()
        {
            return Err(error.clone());
        }
        Ok(events)
    }

    /// Waits until something changes; gives back events, or nothing at all when the time is up.
    async fn wait(
        &mut self,
        deadline: Instant,
        changed: std::pin::Pin<&mut tokio::sync::futures::Notified<'_>>,
    ) -> Result<Option<Vec<RebalanceEvent>>> {
        let events = self.take_events().await?;
        if !events.is_empty() {
            return Ok(Some(events));
        }
        if let Some(error) = self.fetcher.take_error() {
            return Err(error);
        }
        let now = self.now();
        if now >= deadline {
            return Ok(Some(Vec::new()));
        }
        let until = self.fetcher.next_deadline(now).map_or(deadline, |at| at.max(now).min(deadline));
        let host = self.client.host();
        // Either way everything is looked at again.
        let _ = host.timeout(until.saturating_duration_since(now), changed).await;
        Ok(None)
    }

    /// Up to `max.poll.records` of what is here.
    fn take_records(&mut self) -> Result<Vec<ConsumerRecord>> {
        let mut taken = Vec::new();
        let mut at = 0;
        while taken.len() < self.config.max_poll_records {
            if at == self.open.len() {
                let Some(chunk) = self.fetcher.take_chunk() else { break };
                let records = match record::decode(&chunk.batches, self.config.check_crcs) {
                    Ok(records) => records,
                    Err(error) if taken.is_empty() => {
                        // It is read again: the user who polls on finds the same.
                        let mut state = self.fetcher.state.lock();
                        let offset = chunk.batches.fetch_offset;
                        state.positions.seek(&chunk.name, offset, -1);
                        return Err(error);
                    }
                    Err(_) => {
                        // First what is good; the same error comes with the next poll.
                        let mut state = self.fetcher.state.lock();
                        let offset = chunk.batches.fetch_offset;
                        state.positions.seek(&chunk.name, offset, -1);
                        break;
                    }
                };
                self.open.push_back(Open {
                    name: chunk.name,
                    turn: chunk.turn,
                    records: records.into_iter(),
                    next_offset: chunk.batches.next_offset,
                    leader_epoch: chunk.batches.leader_epoch,
                    ends: chunk.ends,
                });
            }
            let mut state = self.fetcher.state.lock();
            let open = &mut self.open[at];
            match state.positions.may_take(&open.name, open.turn) {
                positions::Take::Later => {
                    at += 1;
                    continue;
                }
                positions::Take::Never => {
                    self.open.remove(at);
                    continue;
                }
                positions::Take::Now => {}
            }
            let room = self.config.max_poll_records - taken.len();
            taken.extend(open.records.by_ref().take(room));
            let last = taken
                .last()
                .filter(|last| last.partition == open.name.partition && last.topic == open.name.topic);
            if open.records.len() == 0 {
                state.positions.advance(&open.name, open.turn, open.next_offset, open.leader_epoch);
                if open.ends {
                    state.positions.chunk_taken(&open.name, open.turn);
                }
                self.open.remove(at);
            } else if let Some(last) = last {
                state.positions.advance(&open.name, open.turn, last.offset + 1, last.leader_epoch);
            }
        }
        Ok(taken)
    }

    /// Puts decoded records back: they are fetched again.
    fn drop_open(&mut self) {
        let mut state = self.fetcher.state.lock();
        for open in self.open.drain(..) {
            if let Some(position) = state.positions.position(&open.name)
                && state.positions.may_take(&open.name, open.turn) != positions::Take::Never
            {
                state.positions.seek(&open.name, position, -1);
            }
        }
    }

    fn auto_commits(&self) -> bool {
        self.config.enable_auto_commit && self.config.group_id.is_some()
    }

    /// Commits the positions without waiting; at most one such commit is on its way.
    fn commit_beside(&mut self) {
        use std::sync::atomic::Ordering;
        self.auto_commit_at = self.now() + Duration::from_millis(self.config.auto_commit_interval_ms);
        let offsets = self.fetcher.state.lock().positions.to_commit();
        let Some(commit) = self.commit_task(offsets) else { return };
        if !self.auto_commit_running.swap(true, Ordering::Relaxed) {
            let running = Arc::clone(&self.auto_commit_running);
            self.client.host().spawn(async move {
                if let Err(error) = commit.run().await {
                    tracing::warn!(%error, "automatic commit failed");
                }
                running.store(false, Ordering::Relaxed);
            });
        }
    }

    fn commit_task(&self, offsets: BTreeMap<TopicPartition, OffsetAndMetadata>) -> Option<Commit> {
        let group_id = self.config.group_id.as_deref()?;
        (!offsets.is_empty()).then(|| Commit {
            client: self.client.clone(),
            group_id: Arc::from(group_id),
            group: self.group.clone(),
            offsets,
        })
    }

    /// Commits the positions: all that polls have returned counts as processed.
    ///
    /// # Errors
    /// As [`Consumer::commit_offsets`].
    pub async fn commit(&self) -> Result<()> {
        let offsets = self.fetcher.state.lock().positions.to_commit();
        self.commit_offsets(&offsets).await
    }

    /// Commits these offsets, each that of the next record to read.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time or the group rebalances and waits for this consumer to
    /// poll; Fenced, if the partitions may belong to somebody else; Invalid, without a `group.id` or if they are refused.
    pub async fn commit_offsets(&self, offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>) -> Result<()> {
        self.check_open()?;
        if self.config.group_id.is_none() {
            return Err(ClientError::invalid("committing needs a group.id"));
        }
        match self.commit_task(offsets.clone()) {
            Some(commit) => commit.run().await,
            None => Ok(()),
        }
    }

    /// The group's committed offsets of these partitions; those without are left out.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time; Invalid, without a `group.id`.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        let Some(group_id) = &self.config.group_id else {
            return Err(ClientError::invalid("committed offsets need a group.id"));
        };
        let stable = self.config.isolation_level == IsolationLevel::ReadCommitted;
        let mut retry = self.client.retry();
        loop {
            let attempt = async {
                let address = self.client.find_coordinator(CoordinatorKind::Group, group_id).await?;
                let connection = self.client.shared_lane().connection(&address).await?;
                group_offsets::fetch(&connection, group_id, Some(partitions), stable).await
            };
            match attempt.await {
                Ok(offsets) => return Ok(offsets),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Commits if `enable.auto.commit` says so, leaves the group (unless it is a static member) and ends.
    ///
    /// # Errors
    /// That of the commit; the consumer is closed all the same.
    pub async fn close(mut self) -> Result<()> {
        let committed = if self.auto_commits() { self.commit().await } else { Ok(()) };
        self.end();
        if let Some(group) = &self.group {
            let mut ended = group.ended.subscribe();
            let timeout = Duration::from_millis(self.client.config().request_timeout_ms);
            // If the coordinator does not answer, the session's end does it.
            let _ = self.client.host().timeout(timeout, ended.wait_for(|ended| *ended)).await;
        }
        committed
    }

    fn end(&mut self) {
        self.closed = true;
        self.fetcher.close();
        if let Some(group) = &self.group {
            group.membership.lock().close();
            group.wake.notify_one();
            group.closing.notify_one();
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consumer({:?}, {:?})", self.config.group_id, self.assignment())
    }
}

/// A commit on its way.
struct Commit {
    client: Client,
    group_id: Arc<str>,
    group: Option<Arc<Group>>,
    offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
}

impl Commit {
    async fn run(mut self) -> Result<()> {
        let client = self.client.clone();
        let mut retry = client.retry();
        loop {
            let Err(error) = self.attempt().await else { return Ok(()) };
            if error.code() == Some(ErrorCode::REBALANCE_IN_PROGRESS) {
                let waits_for_us =
                    self.group.as_ref().is_none_or(|group| !group.membership.lock().goes_on_by_itself());
                if waits_for_us {
                    return Err(error);
                }
            }
            retry.after(error).await?;
        }
    }

    /// One request; what is committed is taken out of `offsets`.
    async fn attempt(&mut self) -> Result<()> {
        let (committer, known) = match &self.group {
            Some(group) => {
                let membership = group.membership.lock();
                (membership.committer(), membership.coordinator().map(str::to_string))
            }
            None => (Committer::outsider(&self.group_id), None),
        };
        let address = match known {
            Some(address) => address,
            None => self.client.find_coordinator(CoordinatorKind::Group, &self.group_id).await?,
        };
        let connection = self.client.shared_lane().connection(&address).await?;
        let codes = group_offsets::commit(&connection, &committer, &self.offsets).await?;
        let mut failure = None;
        for (name, code) in codes {
            if code == ErrorCode::NONE {
                self.offsets.remove(&name);
                continue;
            }
            let error =
                ClientError::from_code(&format!("committing {name} for group {}", self.group_id), code);
            // What no retry mends speaks for the whole.
            if failure.as_ref().is_none_or(|(before, _): &(ClientError, _)| before.is_retriable()) {
                failure = Some((error, code));
            }
        }
        let Some((error, code)) = failure else { return Ok(()) };
        if let Some(group) = &self.group {
            let host = self.client.host();
            let retry_at = host.now() + self.client.backoff().delay(1, host.random_u64());
            let mut membership = group.membership.lock();
            if matches!(code, ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE) {
                membership.coordinator_moved();
            }
            membership.commit_answered(&committer, code, retry_at);
            drop(membership);
            group.wake.notify_one();
        }
        Err(error)
    }
}
