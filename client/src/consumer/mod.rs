//! The consumer: records of partitions that it is assigned, by hand or as a member of a group.
//!
//! ```text
//!   subscribe --> membership (task of its own) --events--> poll
//!   assign ------------------------------------------+      ^
//!                positions --> fetcher --> leaders --chunks-+
//! ```
//! Reading order: `positions`, `fetch_session`, `isolation`, [`assignor`], `membership`, all pure; `record`, what is handed
//! out; `fetcher` and `group`, which talk to brokers; this file, `poll`, `commit` and `offsets`, what users
//! call.

pub mod assignor;
mod commit;
mod fetch_session;
mod fetcher;
mod group;
mod isolation;
mod membership;
mod offsets;
mod poll;
mod positions;
mod record;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anabranch_host::Instant;

pub use membership::RebalanceEvent;
pub use poll::Polled;
pub use positions::LogBounds;
pub use record::{ConsumerRecord, FetchedBatches, TimestampType};

use crate::cluster::Client;
use crate::config::{AutoOffsetReset, ConsumerConfig, IsolationLevel};
use crate::error::{ClientError, Result};
use crate::group_offsets::Committer;
use crate::list_offsets::OffsetSpec;
use crate::topic_partition::TopicPartition;
use assignor::Assignor;
use fetcher::Fetcher;
use group::{Group, Wanted};
use membership::{MemberOptions, Membership};
use poll::Open;

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
///
/// ```
/// use std::time::Duration;
///
/// use anabranch_client::{Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (host, runtime) = anabranch_host::Host::real(1)?;
/// # runtime.block_on(async {
/// # let config = anabranch_broker::BrokerConfig::from_pairs([("auto.create.topics.enable", "true")])?;
/// # let broker = anabranch_broker::embedded::EmbeddedBroker::start(host.clone(), config).await?;
/// # let client = anabranch_client::Client::connect(&host, broker.dialer(), Default::default()).await?;
/// # let producer = Producer::new(&client, ProducerConfig::default())?;
/// # producer.send(ProducerRecord::new("clicks").key("ann").value("/home")).await?.await?;
/// let config = ConsumerConfig::from_pairs([
///     ("group.id", "readers"),
///     ("auto.offset.reset", "earliest"),
///     ("enable.auto.commit", "false"),
/// ])?;
/// let mut consumer = Consumer::new(&client, config)?;
/// consumer.subscribe(["clicks"])?;
/// let mut values = Vec::new();
/// // The first polls only tell of the assignment.
/// while values.is_empty() {
///     for record in consumer.poll(Duration::from_secs(1)).await?.records {
///         values.extend(record.value);
///     }
/// }
/// assert_eq!(values, ["/home"]);
/// consumer.commit().await?; // what was polled is processed
/// consumer.close().await?;
/// # broker.shutdown().await;
/// # Ok(())
/// # })
/// # }
/// ```
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
    auto_commit_running: Arc<AtomicBool>,
    /// Nobody else can have its `group.instance.id`.
    sole_instance: bool,
    closed: bool,
}

impl Consumer {
    /// A consumer.
    ///
    /// # Errors
    /// Invalid, if the configuration cannot be.
    pub fn new(client: &Client, config: ConsumerConfig) -> Result<Consumer> {
        let assignor = |name: &String| {
            assignor::by_name(name).ok_or_else(|| {
                ClientError::invalid(format!(
                    "configuration partition.assignment.strategy={name}: expected range, roundrobin, sticky or \
                     cooperative-sticky"
                ))
            })
        };
        let assignors =
            config.partition_assignment_strategy.iter().map(assignor).collect::<Result<Vec<_>>>()?;
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
            sole_instance: false,
            closed: false,
        })
    }

    /// As [`Consumer::with_assignors`], for a consumer whose `group.instance.id` nobody else can have, because a lock goes
    /// with it, say. Another consumer that is fenced fails, as in Kafka: another process is in its place. What fences this
    /// one can only be a join of its own, or of the process before, that came to the coordinator late; so it joins again,
    /// and fails only if that happens again and again.
    ///
    /// # Errors
    /// As [`Consumer::with_assignors`].
    pub fn with_sole_instance_id(
        client: &Client,
        config: ConsumerConfig,
        assignors: Vec<Arc<dyn Assignor>>,
    ) -> Result<Consumer> {
        let mut consumer = Consumer::with_assignors(client, config, assignors)?;
        consumer.sole_instance = true;
        Ok(consumer)
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
        let mut topics: Vec<Arc<str>> = topics.into_iter().map(|topic| Arc::from(topic.as_ref())).collect();
        topics.sort_unstable();
        topics.dedup();
        let group = self.enter_group()?;
        group.want(None);
        group.membership.lock().subscribe(topics);
        group.wake.notify_one();
        Ok(())
    }

    /// Joins the group for all topics whose names are `wanted` (by a regular expression, say), in place of those before;
    /// Kafka's own topics are not among them. Topics that come or go are noticed within `metadata.max.age.ms`; it is a
    /// member also while there are none.
    ///
    /// # Errors
    /// Invalid, without a `group.id` or after [`Consumer::assign`].
    pub fn subscribe_matching(
        &mut self,
        wanted: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<()> {
        self.subscribe_also_matching([""; 0], wanted)
    }

    /// As [`Consumer::subscribe_matching`], and for these topics beside, there or not.
    ///
    /// # Errors
    /// Invalid, without a `group.id` or after [`Consumer::assign`].
    pub fn subscribe_also_matching<T: AsRef<str>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
        wanted: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<()> {
        let named = topics.into_iter().map(|topic| Arc::from(topic.as_ref())).collect();
        let group = self.enter_group()?;
        group.want(Some(Wanted { named, matches: Arc::new(wanted) }));
        group.wake.notify_one();
        Ok(())
    }

    /// The group, whose task is started if need be.
    fn enter_group(&mut self) -> Result<&Arc<Group>> {
        self.check_open()?;
        let Some(group_id) = &self.config.group_id else {
            return Err(ClientError::invalid("subscribing needs a group.id"));
        };
        if self.by_hand {
            return Err(ClientError::invalid(
                "a consumer is either assigned partitions or subscribes to topics",
            ));
        }
        let now = self.now();
        Ok(self.group.get_or_insert_with(|| {
            let options = MemberOptions {
                group: Arc::from(group_id.as_str()),
                instance_id: self.config.group_instance_id.as_deref().map(Arc::from),
                sole_instance: self.sole_instance,
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
        }))
    }

    /// Leaves the group and gives up all partitions.
    pub fn unsubscribe(&mut self) {
        if let Some(group) = &self.group {
            group.want(None);
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
        if self.group.as_ref().is_some_and(|group| group.is_wanted()) {
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

    /// Joins its group as another member, after it has failed as one for what no retry mends ([`Consumer::poll`] says so
    /// again and again): what was refused may be allowed by now. Nothing happens if it has not failed.
    ///
    /// # Errors
    /// Invalid, after [`Consumer::close`].
    pub fn join_anew(&mut self) -> Result<()> {
        let has_failed = |group: &mut Arc<Group>| group.membership.lock().failure().is_some();
        if let Some(failed) = self.group.take_if(has_failed) {
            let group = self.enter_group()?;
            failed.hand_on(group);
            group.wake.notify_one();
        }
        Ok(())
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

    /// Where to begin in this topic's partitions without a committed offset, in place of `auto.offset.reset`.
    pub fn set_offset_reset(&mut self, topic: &str, reset: AutoOffsetReset) {
        self.fetcher.state.lock().positions.set_reset(topic, reset);
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

    /// How many offsets lie between the position and the end of what may be read, as of the last fetch; `None` before the
    /// first one (`currentLag` of KIP-695).
    #[must_use]
    pub fn current_lag(&self, partition: &TopicPartition) -> Option<i64> {
        let state = self.fetcher.state.lock();
        let bounds = state.positions.bounds(partition)?;
        let end = match self.config.isolation_level {
            IsolationLevel::ReadCommitted => bounds.last_stable_offset,
            IsolationLevel::ReadUncommitted => bounds.high_watermark,
        };
        Some(end.saturating_sub(state.positions.position(partition)?))
    }

    /// What the leader said of the partition's log with the last fetch.
    #[must_use]
    pub fn log_bounds(&self, partition: &TopicPartition) -> Option<LogBounds> {
        self.fetcher.state.lock().positions.bounds(partition)
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

#[cfg(test)]
mod tests;
