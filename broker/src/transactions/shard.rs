//! One partition's coordinator with its log.

use std::sync::Arc;

use anabranch_host::Instant;
use anabranch_protocol::ErrorCode;

use crate::coordinator::Now;
use crate::coordinator::transaction::TransactionCoordinator;
use crate::coordinator::transaction::effects::{Effects, Markers};
use crate::coordinator::transaction::records::TransactionRecord;
use crate::internal_log::{InternalLog, InternalLogError, RecordWriter};
use crate::watermark::Durable;

/// One partition's coordinator.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) state: State,
    /// Raised whenever the state is thrown away: a load that began before is of no use.
    epoch: u64,
    /// Kept while it loads, and after a failure.
    log: Option<(Arc<dyn InternalLog>, i32)>,
}

/// What a shard is doing.
#[derive(Debug, Default)]
pub(super) enum State {
    /// Another broker coordinates these transactional ids, or nobody.
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
    pub(super) coordinator: TransactionCoordinator,
    pub(super) writer: RecordWriter,
    /// The leader epoch of its log, which markers carry.
    pub(super) coordinator_epoch: i32,
}

/// A log to be read, for the shard as it is now.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) log: Arc<dyn InternalLog>,
    coordinator_epoch: i32,
    epoch: u64,
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
    /// Calls the coordinator, and appends what comes of it. The markers are to be written when all is durable.
    pub(super) fn call<R>(
        &mut self,
        now: Now,
        request: impl FnOnce(&mut TransactionCoordinator, &mut Effects) -> R,
    ) -> Result<(R, Vec<Markers>, Durable), Refused> {
        let active = self.active()?;
        let max_batch_bytes = Some(active.writer.log.max_batch_bytes());
        let mut effects = Effects { max_batch_bytes, ..Effects::default() };
        let outcome = request(&mut active.coordinator, &mut effects);
        let records = effects.records.iter().map(TransactionRecord::encode);
        match active.writer.append(now.wall_clock_ms, records, None) {
            Ok(()) => Ok((outcome, effects.markers, active.writer.log.settled())),
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// When the coordinator has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Active(active) => active.coordinator.next_deadline(),
            State::Away | State::Loading | State::Broken => None,
        }
    }

    /// Resolves when all that was appended is durable.
    pub(super) fn settled(&self) -> Option<Durable> {
        match &self.state {
            State::Active(active) => Some(active.writer.log.settled()),
            State::Away | State::Loading | State::Broken => None,
        }
    }

    /// Stops serving.
    pub(super) fn unload(&mut self) {
        self.epoch += 1;
        self.log = None;
        self.state = State::Away;
    }

    /// Reads its state from `log`: bring it to [`Shard::loaded`].
    pub(super) fn begin_load(&mut self, log: Arc<dyn InternalLog>, coordinator_epoch: i32) -> Load {
        self.epoch += 1;
        self.state = State::Loading;
        self.log = Some((log.clone(), coordinator_epoch));
        Load { log, coordinator_epoch, epoch: self.epoch }
    }

    /// As [`Shard::begin_load`], after an append failed; `None` if there is nothing to load.
    pub(super) fn begin_reload(&mut self) -> Option<Load> {
        match (&self.state, self.log.take()) {
            (State::Away, Some((log, coordinator_epoch))) => Some(self.begin_load(log, coordinator_epoch)),
            (_, log) => {
                self.log = log;
                None
            }
        }
    }

    /// The log has been read: serves from now on, unless things have changed meanwhile. Then the coordinator is to be told
    /// that all is loaded.
    pub(super) fn loaded(&mut self, load: Load, coordinator: Option<TransactionCoordinator>) -> bool {
        if self.epoch != load.epoch {
            return false;
        }
        self.state = match coordinator {
            Some(coordinator) => State::Active(Box::new(Active {
                coordinator,
                writer: RecordWriter::new(load.log),
                coordinator_epoch: load.coordinator_epoch,
            })),
            None => State::Broken,
        };
        true
    }

    pub(super) fn active(&mut self) -> Result<&mut Active, Refused> {
        match &mut self.state {
            State::Active(active) => Ok(active),
            State::Loading => Err(Refused::Because(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)),
            State::Broken => Err(Refused::Because(ErrorCode::COORDINATOR_NOT_AVAILABLE)),
            State::Away => Err(Refused::Because(ErrorCode::NOT_COORDINATOR)),
        }
    }

    /// Throws the state away: it has what the log has not.
    fn fail(&mut self, error: &InternalLogError) -> Refused {
        tracing::error!(%error, "a transaction coordinator could not write its records, and begins anew from its log");
        self.epoch += 1;
        if let State::Active(active) = std::mem::take(&mut self.state) {
            // A log that is gone stays gone.
            let is_gone = matches!(error, InternalLogError::Gone(_));
            self.log = (!is_gone).then_some((active.writer.log, active.coordinator_epoch));
        }
        Refused::Failed
    }
}
