//! One partition's coordinator with its log, and those who wait for its answers.

use std::sync::Arc;

use anabranch_host::{HashMap, Instant};
use anabranch_protocol::ErrorCode;
use bytes::BytesMut;
use tokio::sync::oneshot;

use crate::coordinator::group::GroupCoordinator;
use crate::coordinator::group::effects::{Effects, InTransaction, Reply};
use crate::coordinator::group::records::GroupRecord;
use crate::coordinator::{Now, ReplyTo};
use crate::internal_log::{InternalLog, InternalLogError, RecordWriter};
use crate::watermark::Durable;

/// One partition's coordinator.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) state: State,
    /// Raised whenever the state is thrown away: a load that began before is of no use.
    epoch: u64,
    /// Kept while it loads, and after a failure.
    log: Option<Arc<dyn InternalLog>>,
}

/// What a shard is doing.
#[derive(Debug, Default)]
pub(super) enum State {
    /// Another broker coordinates these groups, or nobody.
    #[default]
    Away,
    /// Its log is being read.
    Loading,
    /// Serves.
    Active(Box<Active>),
    /// Its log cannot be read.
    Broken,
}

/// A coordinator that serves.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) coordinator: GroupCoordinator,
    pub(super) writer: RecordWriter,
    waiting: HashMap<ReplyTo, oneshot::Sender<(Reply, Durable)>>,
    next_reply: u64,
}

/// A log to be read, for the shard as it is now.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) log: Arc<dyn InternalLog>,
    epoch: u64,
}

/// The end of a producer's transaction, as the log has it.
#[derive(Clone, Debug)]
pub(crate) struct EndOfTransaction {
    pub(crate) producer_id: i64,
    pub(crate) is_commit: bool,
    /// Of a producer whose epoch rises with every transaction (KIP-890).
    pub(crate) bumps_epoch: bool,
    /// The control batch.
    pub(crate) marker: BytesMut,
}

/// Why a call was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// What to answer.
    Because(ErrorCode),
    /// Its records could not be appended: the shard must be folded anew.
    Failed,
}

impl Shard {
    /// Calls the coordinator, and appends what comes of it.
    pub(super) fn call<R>(
        &mut self,
        now: Now,
        request: impl FnOnce(&mut GroupCoordinator, &mut Effects) -> R,
    ) -> Result<(R, Durable), Refused> {
        let active = self.active()?;
        let mut effects = active.effects();
        let response = request(&mut active.coordinator, &mut effects);
        match active.settle(now, effects) {
            Ok(()) => Ok((response, active.writer.log.settled())),
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Calls the coordinator with a request whose answer may come later.
    pub(super) fn park(
        &mut self,
        now: Now,
        request: impl FnOnce(&mut GroupCoordinator, ReplyTo, &mut Effects),
    ) -> Result<oneshot::Receiver<(Reply, Durable)>, Refused> {
        let active = self.active()?;
        let (sender, receiver) = oneshot::channel();
        active.next_reply += 1;
        let reply_to = ReplyTo(active.next_reply);
        active.waiting.insert(reply_to, sender);
        let mut effects = active.effects();
        request(&mut active.coordinator, reply_to, &mut effects);
        match active.settle(now, effects) {
            Ok(()) => Ok(receiver),
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Appends the marker that ends a producer's transaction, and ends it.
    pub(super) fn end_transaction(&mut self, end: &EndOfTransaction) -> Result<Durable, Refused> {
        let active = self.active()?;
        match active.writer.log.append_marker(end.marker.clone(), end.bumps_epoch) {
            Ok(appended) => {
                active.coordinator.replay_end_of_transaction(end.producer_id, end.is_commit);
                Ok(appended.durable)
            }
            // Nothing has changed.
            Err(InternalLogError::Fenced(error_code)) => Err(Refused::Because(error_code)),
            Err(error) => {
                tracing::error!(%error, "a marker cannot be written to a coordinator's log");
                Err(Refused::Because(ErrorCode::KAFKA_STORAGE_ERROR))
            }
        }
    }

    /// Whether a producer may append in this epoch.
    pub(super) fn check_producer(&mut self, producer: (i64, i16)) -> Result<(), Refused> {
        self.active()?.writer.log.check_producer(producer.0, producer.1).map_err(Refused::Because)
    }

    /// When the coordinator has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Active(active) => active.coordinator.next_deadline(),
            State::Away | State::Loading | State::Broken => None,
        }
    }

    /// Stops serving; whoever waits is answered with `error`.
    pub(super) fn unload(&mut self, error: ErrorCode) {
        self.epoch += 1;
        self.log = None;
        if let State::Active(active) = std::mem::take(&mut self.state) {
            active.unload(error);
        }
    }

    /// Reads its state from `log`: bring it to [`Shard::loaded`].
    pub(super) fn begin_load(&mut self, log: Arc<dyn InternalLog>) -> Load {
        self.epoch += 1;
        self.state = State::Loading;
        self.log = Some(log.clone());
        Load { log, epoch: self.epoch }
    }

    /// As [`Shard::begin_load`], after an append failed; `None` if that has been seen to.
    pub(super) fn begin_reload(&mut self) -> Option<Load> {
        match (&self.state, self.log.take()) {
            (State::Away, Some(log)) => Some(self.begin_load(log)),
            (_, log) => {
                self.log = log;
                None
            }
        }
    }

    /// The log has been read: serves from now on, unless things have changed meanwhile.
    pub(super) fn loaded(
        &mut self,
        now: Now,
        load: Load,
        coordinator: Option<GroupCoordinator>,
    ) -> Result<(), Refused> {
        if self.epoch != load.epoch {
            return Ok(());
        }
        let Some(coordinator) = coordinator else {
            self.state = State::Broken;
            return Ok(());
        };
        self.state = State::Active(Box::new(Active {
            coordinator,
            writer: RecordWriter::new(load.log),
            waiting: HashMap::default(),
            next_reply: 0,
        }));
        self.call(now, |coordinator, effects| coordinator.loaded(now, effects)).map(|_| ())
    }

    fn active(&mut self) -> Result<&mut Active, Refused> {
        match &mut self.state {
            State::Active(active) => Ok(active),
            State::Loading => Err(Refused::Because(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)),
            State::Broken => Err(Refused::Because(ErrorCode::COORDINATOR_NOT_AVAILABLE)),
            State::Away => Err(Refused::Because(ErrorCode::NOT_COORDINATOR)),
        }
    }

    /// Throws the state away: it has what the log has not.
    fn fail(&mut self, error: &InternalLogError) -> Refused {
        tracing::error!(%error, "a group coordinator could not write its records, and begins anew from its log");
        self.epoch += 1;
        let State::Active(active) = std::mem::take(&mut self.state) else { return Refused::Failed };
        // A log that is gone stays gone.
        self.log = (!matches!(error, InternalLogError::Gone(_))).then(|| active.writer.log.clone());
        active.unload(ErrorCode::NOT_COORDINATOR);
        Refused::Failed
    }
}

impl Active {
    /// What a call is to fill.
    fn effects(&self) -> Effects {
        Effects { max_batch_bytes: Some(self.writer.log.max_batch_bytes()), ..Effects::default() }
    }

    /// Appends the records, then sends the answers on their way.
    fn settle(&mut self, now: Now, effects: Effects) -> Result<(), InternalLogError> {
        let now_ms = now.wall_clock_ms;
        self.writer.append(now_ms, effects.records.iter().map(GroupRecord::encode), None)?;
        if let Some(InTransaction { producer_id, producer_epoch, records }) = &effects.transaction {
            let producer = Some((*producer_id, *producer_epoch));
            self.writer.append(now_ms, records.iter().map(GroupRecord::encode), producer)?;
        }
        self.send(effects.replies);
        Ok(())
    }

    fn send(&mut self, replies: Vec<(ReplyTo, Reply)>) {
        for (reply_to, reply) in replies {
            if let Some(sender) = self.waiting.remove(&reply_to) {
                // Nobody there: the client hung up.
                let _ = sender.send((reply, self.writer.log.settled()));
            }
        }
    }

    fn unload(mut self: Box<Self>, error: ErrorCode) {
        let replies = self.coordinator.unload(error);
        for (reply_to, reply) in replies {
            if let Some(sender) = self.waiting.remove(&reply_to) {
                // A refusal tells nothing that could be lost.
                let _ = sender.send((reply, Durable::already()));
            }
        }
    }
}
