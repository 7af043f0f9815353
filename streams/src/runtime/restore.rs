//! State that comes back, and state that is followed: changelogs are read beside the work, and applied by the worker that
//! owns the task.
//!
//! One reader an instance, with one consumer, reads all changelogs that are asked for, each from behind the offset that
//! the store reflects: to the end at the time of the start, to a given offset, or on and on for a standby. Raw batches
//! go into a feed for each; when a worker is behind with one, that partition is fetched no more until there is room.
//!
//! Of two who read one changelog the later one is served until it is gone: the other one's task lies on a worker that does
//! not come back from user code, or is about to be dropped.
//!
//! A topic that is a table's changelog is read up to the group's committed offset only: what lies behind has not been
//! processed, and would be its own old value then. For a standby that offset is asked for again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anabranch_client::{
    Client, ClientError, Consumer, ConsumerConfig, ErrorCode, ErrorKind as ClientErrorKind, FetchedBatches,
    IsolationLevel, OffsetSpec, TopicPartition,
};
use anabranch_host::Instant;
use tokio::sync::{Notify, mpsc};

/// Fetched runs that may wait for the worker, per changelog.
const QUEUE: usize = 4;
/// How long one poll of the changelogs waits.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// After which something is tried again that the brokers refuse for the moment.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// How often the committed offsets are asked for that a followed source topic is read up to.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Up to where a changelog is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// To the end as it is now.
    End,
    /// To the offset that the group has committed: it is a source topic.
    Committed,
    /// On and on.
    Follow,
    /// On and on, but not beyond the offset that the group has committed.
    FollowCommitted,
}

/// What a changelog brings.
#[derive(Debug)]
pub(crate) enum Restored {
    /// It is read from here, and there is so much for now.
    Begin { from: i64, to: i64 },
    /// Records to be applied: those before the limit, if there is one.
    Batches { fetched: FetchedBatches, limit: i64 },
    /// All up to the goal, which is the next offset.
    End(i64),
    /// The log does not reach back to where the store is any more: deletions may be gone.
    Truncated,
    /// It cannot be read.
    Failed(ClientError),
}

/// What is asked of the reader.
enum Order {
    Read { id: u64, partition: TopicPartition, from: Option<i64>, goal: Goal, way: Way },
    Aim { id: u64, goal: Goal },
    Located { id: u64, goal: Goal, located: Result<Located, ClientError> },
    Forget { id: u64 },
}

#[derive(Clone, Copy, Debug)]
struct Located {
    start: i64,
    end: i64,
    committed: i64,
}

/// The way to the reader. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Changelogs {
    orders: mpsc::UnboundedSender<Order>,
    room: Arc<Notify>,
    next: Arc<AtomicUsize>,
}

/// The way of batches to a feed.
#[derive(Clone)]
struct Way {
    sender: mpsc::UnboundedSender<Restored>,
    waiting: Arc<AtomicUsize>,
}

/// One changelog as it comes.
pub(crate) struct Feed {
    id: u64,
    changelogs: Changelogs,
    receiver: mpsc::UnboundedReceiver<Restored>,
    waiting: Arc<AtomicUsize>,
    /// Taken from the queue by a poll, not yet by the worker.
    ready: Option<Restored>,
}

impl Changelogs {
    /// Starts the reader; it ends when nobody can reach it any more. `group` is whose offsets bound source topics.
    pub(crate) fn start(client: &Client, config: ConsumerConfig, group: Arc<str>) -> Changelogs {
        let (sender, orders) = mpsc::unbounded_channel();
        let room = Arc::new(Notify::new());
        let reader = Reader {
            client: client.clone(),
            config,
            group,
            room: Arc::clone(&room),
            answers: sender.downgrade(),
            readings: BTreeMap::new(),
            consumer: None,
            held: BTreeMap::new(),
            ask_at: Instant::default(),
        };
        client.host().spawn(reader.run(orders));
        Changelogs { orders: sender, room, next: Arc::default() }
    }

    /// Reads a changelog from `from` on, or from its start.
    pub(crate) fn read(&self, partition: TopicPartition, from: Option<i64>, goal: Goal) -> Feed {
        let id = self.next.fetch_add(1, Ordering::Relaxed) as u64;
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let way = Way { sender, waiting: Arc::clone(&waiting) };
        self.tell(Order::Read { id, partition, from, goal, way });
        Feed { id, changelogs: self.clone(), receiver, waiting, ready: None }
    }

    fn tell(&self, order: Order) {
        // It ends with the process only.
        let _ = self.orders.send(order);
    }
}

impl Feed {
    /// Reads up to another goal from now on.
    pub(crate) fn aim(&self, goal: Goal) {
        self.changelogs.tell(Order::Aim { id: self.id, goal });
    }

    /// Whether something waits to be taken; wakes the caller when something does.
    pub(crate) fn poll_ready(&mut self, context: &mut Context<'_>) -> bool {
        if self.ready.is_none()
            && let Poll::Ready(restored) = self.receiver.poll_recv(context)
        {
            self.ready =
                Some(restored.unwrap_or_else(|| Restored::Failed(ClientError::closed("changelog reader"))));
        }
        self.ready.is_some()
    }

    /// What has arrived first.
    pub(crate) fn take(&mut self) -> Option<Restored> {
        let taken = self.ready.take().or_else(|| self.receiver.try_recv().ok())?;
        if matches!(taken, Restored::Batches { .. }) && self.waiting.fetch_sub(1, Ordering::Relaxed) == QUEUE
        {
            self.changelogs.room.notify_one();
        }
        Some(taken)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.changelogs.tell(Order::Forget { id: self.id });
    }
}

/// A changelog that is being read.
struct Reading {
    partition: TopicPartition,
    goal: Goal,
    /// What it starts from, until it is known where the log starts and ends.
    from: Option<i64>,
    /// The next offset to be fetched; none until that is known.
    position: Option<i64>,
    /// Not to be read beyond.
    limit: i64,
    /// A question for its bounds is under way.
    asked: bool,
    begun: bool,
    /// The consumer has read beyond the limit: what lies there is fetched again when the limit has moved.
    astray: bool,
    way: Way,
}

impl Reading {
    /// Whether the goal is reached, and told.
    fn is_done(&self) -> bool {
        let aims = matches!(self.goal, Goal::End | Goal::Committed);
        aims && !self.asked && self.position.is_some_and(|position| position >= self.limit)
    }

    /// Whether the consumer has it.
    fn is_read(&self) -> bool {
        self.position.is_some() && !self.is_done()
    }

    /// Whether it is to be fetched now.
    fn is_fetched(&self) -> bool {
        self.position.is_some_and(|position| position < self.limit)
            && self.way.waiting.load(Ordering::Relaxed) < QUEUE
    }

    fn tell(&self, restored: Restored) {
        if matches!(restored, Restored::Batches { .. }) {
            self.way.waiting.fetch_add(1, Ordering::Relaxed);
        }
        // If nobody listens any more, an order to forget it is on its way.
        let _ = self.way.sender.send(restored);
    }
}

/// What the consumer does with a partition.
#[derive(Clone, Copy)]
struct Held {
    /// The reading that it is for.
    id: u64,
    paused: bool,
}

struct Reader {
    client: Client,
    config: ConsumerConfig,
    group: Arc<str>,
    room: Arc<Notify>,
    answers: mpsc::WeakUnboundedSender<Order>,
    readings: BTreeMap<u64, Reading>,
    consumer: Option<Consumer>,
    /// What it has.
    held: BTreeMap<TopicPartition, Held>,
    /// When to ask for committed offsets again.
    ask_at: Instant,
}

impl Reader {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        enum Woken {
            Order(Option<Order>),
            Room,
            Polled(Result<Vec<FetchedBatches>, ClientError>),
        }
        loop {
            let room = Arc::clone(&self.room);
            let consumer = &mut self.consumer;
            let polled = async {
                match consumer {
                    Some(consumer) => consumer.poll_batches(POLL).await.map(|polled| polled.records),
                    None => std::future::pending().await,
                }
            };
            let woken = tokio::select! {
                biased;
                order = orders.recv() => Woken::Order(order),
                () = room.notified() => Woken::Room,
                polled = polled => Woken::Polled(polled),
            };
            match woken {
                Woken::Order(None) => return,
                Woken::Order(Some(order)) => {
                    self.follow(order);
                    while let Ok(order) = orders.try_recv() {
                        self.follow(order);
                    }
                }
                Woken::Room => {}
                Woken::Polled(Ok(fetched)) => fetched.into_iter().for_each(|fetched| self.fetched(fetched)),
                Woken::Polled(Err(error)) => self.failed(&error),
            }
            self.ask_for_committed();
            self.assign();
        }
    }

    fn follow(&mut self, order: Order) {
        match order {
            Order::Read { id, partition, from, goal, way } => {
                let reading = Reading {
                    partition,
                    goal,
                    from,
                    position: None,
                    limit: i64::MAX,
                    asked: false,
                    begun: false,
                    astray: false,
                    way,
                };
                self.readings.insert(id, reading);
                self.locate(id);
            }
            Order::Aim { id, goal } => {
                if let Some(reading) = self.readings.get_mut(&id) {
                    reading.goal = goal;
                    self.locate(id);
                }
            }
            Order::Located { id, goal, located } => self.located(id, goal, located),
            Order::Forget { id } => drop(self.readings.remove(&id)),
        }
    }

    /// Asks where a changelog starts and ends.
    fn locate(&mut self, id: u64) {
        let Some(reading) = self.readings.get_mut(&id) else { return };
        reading.asked = true;
        let (client, answers, group) = (self.client.clone(), self.answers.clone(), Arc::clone(&self.group));
        let (partition, goal) = (reading.partition.clone(), reading.goal);
        let host = client.host().clone();
        host.clone().spawn(async move {
            let located = loop {
                match locate(&client, &group, &partition, goal).await {
                    // The brokers were asked for long whether they do not have it yet.
                    Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {
                        break Err(error);
                    }
                    Err(error) if error.is_retriable() && answers.strong_count() > 0 => {
                        tracing::debug!(%partition, %error, "where a changelog ends is asked again");
                        host.sleep(TRY_AGAIN).await;
                    }
                    located => break located,
                }
            };
            if let Some(answers) = answers.upgrade() {
                // The reader ends with the last who can reach it.
                let _ = answers.send(Order::Located { id, goal, located });
            }
        });
    }

    fn located(&mut self, id: u64, goal: Goal, located: Result<Located, ClientError>) {
        // What was asked for an earlier goal is too old for this one.
        let Some(reading) = self.readings.get_mut(&id).filter(|reading| reading.goal == goal) else { return };
        reading.asked = false;
        let Located { start, end, committed } = match located {
            Ok(located) => located,
            Err(error) => {
                reading.tell(Restored::Failed(error));
                self.readings.remove(&id);
                return;
            }
        };
        let known = reading.position.or(reading.from);
        if known.is_some_and(|from| from < start || from > end) {
            reading.tell(Restored::Truncated);
            self.readings.remove(&id);
            return;
        }
        let position = known.unwrap_or(start);
        reading.limit = match reading.goal {
            Goal::End => end,
            Goal::Follow => i64::MAX,
            Goal::Committed | Goal::FollowCommitted => committed.clamp(position, end.max(position)),
        };
        if !reading.begun {
            reading.begun = true;
            reading.tell(Restored::Begin { from: position, to: reading.limit.min(end) });
        }
        if reading.position.is_none() {
            reading.position = Some(position);
        }
        if reading.is_done() {
            reading.tell(Restored::End(reading.limit));
        }
    }

    fn fetched(&mut self, fetched: FetchedBatches) {
        let partition = TopicPartition::new(Arc::clone(&fetched.topic), fetched.partition);
        let found = self.held.get(&partition).and_then(|held| self.readings.get_mut(&held.id));
        let Some(reading) = found.filter(|reading| reading.position == Some(fetched.fetch_offset)) else {
            return;
        };
        let (limit, next) = (reading.limit, fetched.next_offset);
        reading.position = Some(next.min(limit));
        reading.astray |= next > limit;
        reading.tell(Restored::Batches { fetched, limit });
        if reading.is_done() {
            reading.tell(Restored::End(limit));
        }
    }

    /// The consumer cannot go on: it is made anew, and it is looked whether the logs still reach back far enough.
    fn failed(&mut self, error: &ClientError) {
        tracing::warn!(%error, "reading changelogs");
        self.consumer = None;
        if !error.is_retriable() && !matches!(error.kind(), ClientErrorKind::Invalid) {
            self.readings.values().for_each(|reading| reading.tell(Restored::Failed(error.clone())));
            self.readings.clear();
            return;
        }
        let all: Vec<u64> = self.readings.keys().copied().collect();
        all.into_iter().for_each(|id| self.locate(id));
    }

    /// Followed source topics may have come further.
    fn ask_for_committed(&mut self) {
        let now = self.client.host().now();
        if now < self.ask_at {
            return;
        }
        self.ask_at = now + ASK_AGAIN;
        let follows = |reading: &Reading| reading.goal == Goal::FollowCommitted && !reading.asked;
        let all: Vec<u64> = self.readings.iter().filter(|(_, r)| follows(r)).map(|(id, _)| *id).collect();
        all.into_iter().for_each(|id| self.locate(id));
    }

    /// The consumer has what is to be read, and rests where there is no room.
    fn assign(&mut self) {
        // Of two of one partition the later one stays.
        let read = self.readings.iter().filter(|(_, reading)| reading.is_read());
        let wanted: BTreeMap<_, _> = read.map(|(id, reading)| (reading.partition.clone(), *id)).collect();
        if wanted.is_empty() {
            self.consumer = None;
        }
        if self.consumer.is_none() {
            self.held.clear();
        }
        if let Err(error) = self.hold(wanted) {
            self.failed(&error);
        }
    }

    /// Lets the consumer read these partitions, each for a reading.
    fn hold(&mut self, wanted: BTreeMap<TopicPartition, u64>) -> Result<(), ClientError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let consumer = match &mut self.consumer {
            Some(consumer) => consumer,
            none => none.insert(Consumer::new(&self.client, self.config.clone())?),
        };
        if !wanted.keys().eq(self.held.keys()) {
            let partitions: Vec<TopicPartition> = wanted.keys().cloned().collect();
            consumer.assign(&partitions)?;
            self.held.retain(|partition, _| wanted.contains_key(partition));
        }
        for (partition, id) in wanted {
            let Some(reading) = self.readings.get_mut(&id) else { continue };
            let before = self.held.get(&partition).copied();
            if before.is_none_or(|held| held.id != id) || reading.astray {
                reading.astray = false;
                consumer.seek(&partition, reading.position.unwrap_or(0))?;
            }
            let paused = !reading.is_fetched();
            if paused != before.is_some_and(|held| held.paused) {
                let name = std::slice::from_ref(&partition);
                if paused { consumer.pause(name) } else { consumer.resume(name) }?;
            }
            self.held.insert(partition, Held { id, paused });
        }
        Ok(())
    }
}

async fn locate(
    client: &Client,
    group: &str,
    partition: &TopicPartition,
    goal: Goal,
) -> Result<Located, ClientError> {
    let start = offset_of(client, partition, OffsetSpec::Earliest).await?;
    let end = offset_of(client, partition, OffsetSpec::Latest).await?;
    let committed = match goal {
        Goal::Committed | Goal::FollowCommitted => {
            let partitions = std::slice::from_ref(partition);
            let committed = client.admin().stable_offsets(group, Some(partitions)).await?;
            committed.get(partition).map_or(0, |committed| committed.offset)
        }
        Goal::End | Goal::Follow => end,
    };
    Ok(Located { start, end, committed })
}

async fn offset_of(
    client: &Client,
    partition: &TopicPartition,
    spec: OffsetSpec,
) -> Result<i64, ClientError> {
    let wanted = BTreeMap::from([(partition.clone(), spec)]);
    let listed = client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
    match listed.into_values().next() {
        Some(offset) => Ok(offset?.offset),
        None => Err(ClientError::retriable(format!("no answer for {partition}"))),
    }
}
