//! The transaction coordinators of this broker at work: one [shard] for each partition of `__transaction_state`.
//!
//! The [coordinator](crate::coordinator::transaction) is pure. Here it gets its log, its clock and its callers, as the
//! [groups](crate::groups) do: records are appended under the shard's lock in the order in which the state took them, and
//! an answer leaves when they are durable. What is decided is carried out by a task of its own ([`markers`]): when the
//! decision is durable it writes a marker into each partition of the transaction, and when those are durable the
//! transaction is complete. Each step waits for the disk, since a power cut may keep a later write of another log and lose
//! an earlier one.
//!
//! A partition takes a batch of a transaction only if the coordinator knows that it is part of it ([`membership`]). The
//! batch is appended under the coordinator's lock, so that no marker comes between.
//!
//! Locks are taken in one order: a shard's, then that of a group's shard or of a log.
//!
//! Reading order: [`shard`], [`load`], [`Transactions`], then [`membership`], [`markers`] and [`hanging`].

mod hanging;
mod load;
mod markers;
mod membership;
mod shard;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use anabranch_host::Host;
use anabranch_protocol::ErrorCode;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

pub(crate) use self::markers::Marker;
pub(crate) use self::membership::{Admission, Support};
use self::shard::{Refused, Shard, State};
use crate::config::TransactionConfig;
use crate::coordinator::transaction::TransactionCoordinator;
use crate::coordinator::transaction::effects::{Effects, Markers};
use crate::coordinator::{Now, partition_for};
use crate::groups::Groups;
use crate::internal_log::InternalLog;
use crate::topics::Topics;
use crate::watermark::Durable;

/// All transaction coordinators of this broker.
pub(crate) struct Transactions {
    host: Host,
    config: TransactionConfig,
    /// As many as `__transaction_state` has partitions, once there is that topic.
    shards: OnceLock<Vec<Mutex<Shard>>>,
    /// Where markers are written.
    topics: Arc<Topics>,
    groups: Arc<Groups>,
    /// Tells the task that wakes the shards, and whoever waits for all of them, that one begins to serve.
    loaded: Arc<Notify>,
}

/// What a call has come to.
pub(crate) struct Called<R> {
    /// What the coordinator says.
    pub(crate) outcome: R,
    /// It may be told when this resolves.
    pub(crate) durable: Durable,
    /// Resolve when the transactions that the call has decided are complete.
    pub(crate) complete: Vec<oneshot::Receiver<()>>,
}

impl Transactions {
    /// Coordinators of no partition yet.
    pub(crate) fn new(
        host: Host,
        config: TransactionConfig,
        topics: Arc<Topics>,
        groups: Arc<Groups>,
    ) -> Arc<Transactions> {
        let loaded = Arc::new(Notify::new());
        let transactions = Arc::new(Transactions {
            host: host.clone(),
            config,
            shards: OnceLock::new(),
            topics,
            groups,
            loaded: loaded.clone(),
        });
        host.spawn(keep_time(Arc::downgrade(&transactions), host.clone(), loaded));
        transactions
    }

    /// The partition of `__transaction_state` that a transactional id lies in.
    pub(crate) fn partition_for(&self, transactional_id: &str) -> i32 {
        let count = match self.shards.get() {
            Some(shards) => i32::try_from(shards.len()).unwrap_or(i32::MAX),
            None => self.config.state_log_num_partitions,
        };
        partition_for(transactional_id, count)
    }

    fn shards(&self) -> &[Mutex<Shard>] {
        self.shards.get().map_or(&[], Vec::as_slice)
    }

    fn shard(&self, partition: i32) -> Option<&Mutex<Shard>> {
        self.shards().get(usize::try_from(partition).ok()?)
    }

    // ---- partitions come and go

    /// There is `__transaction_state`, with so many partitions, and that never changes again.
    pub(crate) fn state_topic_found(&self, partition_count: usize) {
        self.shards.get_or_init(|| (0..partition_count).map(|_| Mutex::default()).collect());
    }

    /// This broker leads `partition`, and this is its log: the shard is folded from it, then it serves.
    pub(crate) fn elected(self: &Arc<Self>, partition: i32, log: Arc<dyn InternalLog>, leader_epoch: i32) {
        let Some(shard) = self.shard(partition) else {
            tracing::error!(partition, "__transaction_state has partitions that it did not have before");
            return;
        };
        // A log that is offline has no offsets; to load it fails.
        let is_empty = log.end_offset() >= 0 && log.start_offset() == log.end_offset();
        let mut shard = shard.lock();
        let load = shard.begin_load(log, leader_epoch);
        if is_empty {
            // Nothing to read, and so nothing to carry out.
            shard.loaded(load, Some(TransactionCoordinator::new(self.config.clone())));
            let _ =
                self.run(&mut shard, partition, |coordinator, now, effects| coordinator.loaded(now, effects));
            drop(shard);
            self.loaded.notify_waiters();
        } else {
            drop(shard);
            self.host.spawn(load::load_shard(self.clone(), partition, load));
        }
    }

    /// The broker stops: nothing more is begun.
    pub(crate) fn shut_down(&self) {
        self.shards().iter().for_each(|shard| shard.lock().unload());
    }

    // ---- requests

    /// Calls the coordinator of a transactional id.
    ///
    /// # Errors
    /// If this broker does not coordinate it, or not yet.
    pub(crate) fn call<R>(
        self: &Arc<Self>,
        transactional_id: &str,
        request: impl FnOnce(&mut TransactionCoordinator, Now, &mut Effects) -> R,
    ) -> Result<Called<R>, ErrorCode> {
        let partition = self.partition_for(transactional_id);
        let Some(shard) = self.shard(partition) else { return Err(ErrorCode::NOT_COORDINATOR) };
        let mut shard = shard.lock();
        self.run(&mut shard, partition, request)
    }

    /// Looks at all coordinators here.
    ///
    /// # Errors
    /// If one of them is still loading: what could be said would be incomplete.
    pub(crate) fn look<R>(
        &self,
        mut at: impl FnMut(&TransactionCoordinator, Now) -> R,
    ) -> Result<(Vec<R>, Vec<Durable>), ErrorCode> {
        let now = self.now();
        let mut seen = (Vec::new(), Vec::new());
        for shard in self.shards() {
            let shard = shard.lock();
            match &shard.state {
                State::Active(active) => {
                    seen.0.push(at(&active.coordinator, now));
                    seen.1.push(active.writer.log.settled());
                }
                State::Loading => return Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
                State::Away | State::Broken => {}
            }
        }
        Ok(seen)
    }

    /// Calls the coordinator of a shard, appends what comes of it, and has it carried out.
    fn run<R>(
        self: &Arc<Self>,
        shard: &mut MutexGuard<'_, Shard>,
        partition: i32,
        request: impl FnOnce(&mut TransactionCoordinator, Now, &mut Effects) -> R,
    ) -> Result<Called<R>, ErrorCode> {
        let now = self.now();
        let (outcome, markers, durable) = shard
            .call(now, |coordinator, effects| request(coordinator, now, effects))
            .map_err(|refused| match refused {
                Refused::Because(error_code) => error_code,
                Refused::Failed => {
                    if let Some(load) = shard.begin_reload() {
                        self.host.spawn(load::load_shard(self.clone(), partition, load));
                    }
                    ErrorCode::NOT_COORDINATOR
                }
            })?;
        let complete = markers.into_iter().map(|markers| self.carry_out(shard, partition, markers)).collect();
        Ok(Called { outcome, durable, complete })
    }

    fn carry_out(
        self: &Arc<Self>,
        shard: &MutexGuard<'_, Shard>,
        partition: i32,
        markers: Markers,
    ) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let Some(durable) = shard.settled() else { return receiver };
        let transactions = self.clone();
        self.host.spawn(async move {
            if durable.await.is_ok() {
                markers::write_all(&transactions, partition, &markers).await;
            }
            // Nobody there: the answer has left, or its client has.
            let _ = sender.send(());
        });
        receiver
    }

    fn now(&self) -> Now {
        Now { monotonic: self.host.now(), wall_clock_ms: self.host.wall_clock_ms() }
    }

    /// Lets all shards do what is due; when to come again.
    fn expire(self: &Arc<Self>) -> Option<anabranch_host::Instant> {
        let now = self.host.now();
        let mut next = None;
        for (partition, shard) in (0..).zip(self.shards()) {
            let mut shard = shard.lock();
            if shard.next_deadline().is_some_and(|deadline| deadline <= now) {
                // A failure is seen to where it happens.
                let _ = self
                    .run(&mut shard, partition, |coordinator, now, effects| coordinator.expire(now, effects));
            }
            next = [next, shard.next_deadline()].into_iter().flatten().min();
        }
        next
    }
}

impl std::fmt::Debug for Transactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transactions").field("shards", &self.shards().len()).finish_non_exhaustive()
    }
}

impl Drop for Transactions {
    fn drop(&mut self) {
        self.loaded.notify_waiters();
        self.loaded.notify_one();
    }
}

/// Wakes the shards at their deadlines, for as long as there are any.
async fn keep_time(transactions: Weak<Transactions>, host: Host, loaded: Arc<Notify>) {
    /// Far enough to be never.
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24);
    loop {
        let notified = loaded.notified();
        tokio::pin!(notified);
        // What is loaded from here on is not missed.
        notified.as_mut().enable();
        let next = match transactions.upgrade() {
            Some(transactions) => transactions.expire(),
            None => return,
        };
        let next = next.unwrap_or_else(|| host.now() + NEVER);
        tokio::select! {
            biased;
            () = notified => {}
            () = host.sleep_until(next) => {}
        }
    }
}
