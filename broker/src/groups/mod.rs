//! The group coordinators of this broker at work: one [shard](shard) for each partition of `__consumer_offsets`.
//!
//! The [coordinator](crate::coordinator::group) is pure. Here it gets its log, its clock and its callers: a call goes to
//! the shard of its group, under the shard's lock; the records that come of it are appended before the lock is let go,
//! so that the log has them in the order in which the state took them; and every answer leaves when all that was
//! appended before it is durable, also an answer that only looked. So nobody ever sees what a power cut can take back.
//!
//! A request whose assignment, subscription or offset makes a record larger than the log takes is refused and leaves no
//! trace. When an append fails
//! for another reason, the shard's state is worth nothing: whoever waits is told to look for the coordinator again,
//! and the state is folded anew from the log if there is one. One task wakes the shards at their deadlines.
//!
//! Reading order: [`shard`], then [`load`], [`answer`] and [`Groups`].

mod answer;
mod load;
mod shard;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use anabranch_host::{Host, Instant};
use anabranch_protocol::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::answer::Parked;
use self::answer::Patience;
pub(crate) use self::shard::EndOfTransaction;
use self::shard::{Shard, State};
use crate::config::GroupConfig;
use crate::coordinator::group::GroupCoordinator;
use crate::coordinator::group::effects::Effects;
use crate::coordinator::{Now, ReplyTo, partition_for};
use crate::internal_log::InternalLog;
use crate::watermark::Durable;

/// All group coordinators of this broker.
#[derive(Debug)]
pub(crate) struct Groups {
    host: Host,
    config: GroupConfig,
    /// As many as `__consumer_offsets` has partitions, once there is that topic.
    shards: OnceLock<Vec<Mutex<Shard>>>,
    /// Tells the task that wakes the shards that there is an earlier deadline than it knows.
    earlier: Arc<Notify>,
    /// When it will wake next, in nanoseconds of the monotonic clock.
    wakes_at: AtomicU64,
    patience: Patience,
}

impl Groups {
    /// Coordinators of no partition yet.
    pub(crate) fn new(host: Host, config: GroupConfig) -> Arc<Groups> {
        let shards = OnceLock::new();
        let earlier = Arc::new(Notify::new());
        let wakes_at = AtomicU64::new(u64::MAX);
        let patience = Patience::new(host.clone(), config.offsets_commit_timeout_ms);
        let groups = Arc::new(Groups {
            host: host.clone(),
            config,
            shards,
            earlier: earlier.clone(),
            wakes_at,
            patience,
        });
        host.spawn(keep_time(Arc::downgrade(&groups), host.clone(), earlier));
        groups
    }

    /// The partition of `__consumer_offsets` that a group lies in.
    pub(crate) fn partition_for(&self, group_id: &str) -> i32 {
        partition_for(group_id, self.partition_count())
    }

    /// How many partitions `__consumer_offsets` has, or will have.
    pub(crate) fn partition_count(&self) -> i32 {
        match self.shards.get() {
            Some(shards) => i32::try_from(shards.len()).unwrap_or(i32::MAX),
            None => self.config.offsets_topic_num_partitions,
        }
    }

    fn shards(&self) -> &[Mutex<Shard>] {
        self.shards.get().map_or(&[], Vec::as_slice)
    }

    fn shard(&self, partition: i32) -> Option<&Mutex<Shard>> {
        self.shards().get(usize::try_from(partition).ok()?)
    }

    // ---- partitions come and go

    /// There is `__consumer_offsets`, with so many partitions. Which group lies where depends on their number, so it
    /// never changes again.
    pub(crate) fn offsets_topic_found(&self, partition_count: usize) {
        self.shards.get_or_init(|| (0..partition_count).map(|_| Mutex::default()).collect());
    }

    /// This broker leads `partition`, and this is its log: the shard is folded from it, then it serves.
    pub(crate) fn elected(self: &Arc<Self>, partition: i32, log: Arc<dyn InternalLog>) {
        let Some(shard) = self.shard(partition) else {
            tracing::error!(partition, "__consumer_offsets has partitions that it did not have before");
            return;
        };
        // A log that is offline has no offsets; to load it fails.
        let is_empty = log.end_offset() >= 0 && log.start_offset() == log.end_offset();
        let mut shard = shard.lock();
        shard.unload(ErrorCode::NOT_COORDINATOR);
        let load = shard.begin_load(log);
        if is_empty {
            // The topic is new, or nobody has used this partition: nothing to read, so nobody need wait.
            let coordinator = GroupCoordinator::new(self.config.clone());
            // No records come of an empty coordinator, so there is none to fail.
            let _ = shard.loaded(self.now(), load, Some(coordinator));
            let deadline = shard.next_deadline();
            drop(shard);
            self.wake_by(deadline);
        } else {
            drop(shard);
            self.host.spawn(load::load_shard(self.clone(), partition, load));
        }
    }

    /// The broker stops: whoever waits is answered.
    pub(crate) fn shut_down(&self) {
        for shard in self.shards() {
            shard.lock().unload(ErrorCode::NOT_COORDINATOR);
        }
    }

    /// A topic was deleted, and with it go all offsets committed for it.
    pub(crate) fn topic_deleted(self: &Arc<Self>, topic: &str) {
        let now = self.now();
        for (partition, shard) in (0..).zip(self.shards()) {
            let outcome = shard.lock().call(now, |coordinator, effects| {
                coordinator.topic_deleted(now, topic, &mut effects.records);
            });
            if let Err(shard::Refused::Failed) = outcome {
                self.reload(partition);
            }
        }
    }

    // ---- requests

    /// Calls the coordinator of a group. What it says may be told when the [`Durable`] resolves.
    ///
    /// # Errors
    /// If this broker does not coordinate the group, or not yet.
    pub(crate) fn call<R>(
        self: &Arc<Self>,
        group_id: &str,
        request: impl FnOnce(&mut GroupCoordinator, Now, &mut Effects) -> R,
    ) -> Result<(R, Durable), ErrorCode> {
        let now = self.now();
        let partition = self.partition_for(group_id);
        self.in_shard(partition, |shard| {
            shard.call(now, |coordinator, effects| request(coordinator, now, effects))
        })
    }

    /// Calls the coordinator of a group with a request that may have to wait.
    ///
    /// # Errors
    /// If this broker does not coordinate the group, or not yet.
    pub(crate) fn park(
        self: &Arc<Self>,
        group_id: &str,
        request: impl FnOnce(&mut GroupCoordinator, Now, ReplyTo, &mut Effects),
    ) -> Result<Parked, ErrorCode> {
        let now = self.now();
        let partition = self.partition_for(group_id);
        let receiver = self.in_shard(partition, |shard| {
            shard.park(now, |coordinator, reply_to, effects| request(coordinator, now, reply_to, effects))
        })?;
        Ok(Parked::new(receiver, self.patience.clone()))
    }

    /// Whether a producer may write for a group in this epoch, before anybody is asked about its transaction.
    ///
    /// # Errors
    /// If this broker does not coordinate the group, or not yet, or there was a newer producer.
    pub(crate) fn check_producer(
        self: &Arc<Self>,
        group_id: &str,
        producer: (i64, i16),
    ) -> Result<(), ErrorCode> {
        self.in_shard(self.partition_for(group_id), |shard| shard.check_producer(producer))
    }

    /// Calls the coordinator of a group with a request that is part of a producer's transaction.
    ///
    /// # Errors
    /// If this broker does not coordinate the group, or not yet, or there was a newer producer.
    pub(crate) fn call_in_transaction<R>(
        self: &Arc<Self>,
        group_id: &str,
        producer: (i64, i16),
        request: impl FnOnce(&mut GroupCoordinator, Now, &mut Effects) -> R,
    ) -> Result<(R, Durable), ErrorCode> {
        let now = self.now();
        let partition = self.partition_for(group_id);
        self.in_shard(partition, |shard| {
            shard.check_producer(producer)?;
            shard.call(now, |coordinator, effects| request(coordinator, now, effects))
        })
    }

    /// Ends a producer's transaction in a partition of `__consumer_offsets`: the offsets it has there count from now on, or
    /// never did.
    ///
    /// # Errors
    /// If this broker does not coordinate those groups, or not yet, or the marker comes too late.
    pub(crate) fn end_transaction(
        self: &Arc<Self>,
        partition: i32,
        end: &EndOfTransaction,
    ) -> Result<Durable, ErrorCode> {
        self.in_shard(partition, |shard| shard.end_transaction(end))
    }

    /// Looks at all coordinators here.
    ///
    /// # Errors
    /// If one of them is still loading: what could be said would be incomplete.
    pub(crate) fn look<R>(
        self: &Arc<Self>,
        mut at: impl FnMut(&GroupCoordinator) -> R,
    ) -> Result<(Vec<R>, Vec<Durable>), ErrorCode> {
        let mut seen = (Vec::new(), Vec::new());
        for shard in self.shards() {
            let shard = shard.lock();
            match &shard.state {
                State::Active(active) => {
                    seen.0.push(at(&active.coordinator));
                    seen.1.push(active.writer.log.settled());
                }
                State::Loading => return Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
                // What cannot be read is nobody's to list, as what another broker leads.
                State::Away | State::Broken => {}
            }
        }
        Ok(seen)
    }

    fn in_shard<R>(
        self: &Arc<Self>,
        partition: i32,
        call: impl FnOnce(&mut Shard) -> Result<R, shard::Refused>,
    ) -> Result<R, ErrorCode> {
        // No shard: no topic yet, as the index is a remainder of their count.
        let mut shard = self.shard(partition).ok_or(ErrorCode::NOT_COORDINATOR)?.lock();
        let outcome = call(&mut shard);
        let deadline = shard.next_deadline();
        drop(shard);
        self.wake_by(deadline);
        outcome.map_err(|refused| match refused {
            shard::Refused::Because(error) => error,
            shard::Refused::Failed => {
                self.reload(partition);
                ErrorCode::NOT_COORDINATOR
            }
        })
    }

    // ---- time

    fn now(&self) -> Now {
        Now { monotonic: self.host.now(), wall_clock_ms: self.host.wall_clock_ms() }
    }

    /// Makes sure that the shards are woken by `deadline`.
    fn wake_by(&self, deadline: Option<Instant>) {
        if deadline.is_some_and(|deadline| nanos(deadline) < self.wakes_at.load(Ordering::SeqCst)) {
            self.earlier.notify_one();
        }
    }

    /// Lets all shards do what is due; when to come again.
    fn expire(self: &Arc<Self>) -> Option<Instant> {
        // From here on every new deadline wakes the task anew: it may be in a shard that was looked at already.
        self.wakes_at.store(u64::MAX, Ordering::SeqCst);
        let now = self.now();
        let mut next: Option<Instant> = None;
        for (partition, shard) in (0..).zip(self.shards()) {
            let mut shard = shard.lock();
            if shard.next_deadline().is_some_and(|deadline| deadline <= now.monotonic) {
                let outcome = shard.call(now, |coordinator, effects| coordinator.expire(now, effects));
                if let Err(shard::Refused::Failed) = outcome {
                    drop(shard);
                    self.reload(partition);
                    continue;
                }
            }
            next = [next, shard.next_deadline()].into_iter().flatten().min();
        }
        self.wakes_at.store(next.map_or(u64::MAX, nanos), Ordering::SeqCst);
        next
    }

    /// Folds a shard again whose append failed.
    fn reload(self: &Arc<Self>, partition: i32) {
        let Some(shard) = self.shard(partition) else { return };
        let load = shard.lock().begin_reload();
        if let Some(load) = load {
            self.host.spawn(load::load_shard(self.clone(), partition, load));
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.earlier.notify_one();
    }
}

fn nanos(at: Instant) -> u64 {
    u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX)
}

/// Wakes the shards at their deadlines, for as long as there are any.
async fn keep_time(groups: Weak<Groups>, host: Host, earlier: Arc<Notify>) {
    /// Far enough to be never.
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24);
    loop {
        let next = match groups.upgrade() {
            Some(groups) => groups.expire(),
            None => return,
        };
        let next = next.unwrap_or_else(|| host.now() + NEVER);
        tokio::select! {
            biased;
            () = earlier.notified() => {}
            () = host.sleep_until(next) => {}
        }
    }
}
