//! What happens by itself: transactions whose time is up are aborted, and transactional ids that nobody has used for long
//! are forgotten. Looked for from time to time, as in Kafka.

use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Instant;
use tracing::info;

use super::TransactionCoordinator;
use super::effects::Effects;
use super::metadata::TransactionState;
use super::records::TransactionRecord;
use crate::coordinator::Now;

impl TransactionCoordinator {
    /// Does what is due. Call it at [`TransactionCoordinator::next_deadline`]; calling it early or late is harmless.
    pub(crate) fn expire(&mut self, now: Now, effects: &mut Effects) {
        if is_due(self.next_abort, now) {
            self.abort_timed_out(now, effects);
        }
        if is_due(self.next_expiration, now) {
            self.forget_idle(now, effects);
        }
        self.set_timers(now);
    }

    /// When [`TransactionCoordinator::expire`] should be called next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        [self.next_abort, self.next_expiration].into_iter().flatten().min()
    }

    /// Sets the times that have come, or were never set.
    pub(super) fn set_timers(&mut self, now: Now) {
        let after = |ms: i64| now.monotonic + Duration::from_millis(u64::try_from(ms).unwrap_or(0).max(1));
        if self.next_abort.is_none_or(|at| at <= now.monotonic) {
            self.next_abort = Some(after(self.config.abort_interval_ms));
        }
        if self.next_expiration.is_none_or(|at| at <= now.monotonic) {
            self.next_expiration = Some(after(self.config.expiration_interval_ms));
        }
    }

    /// Says when the time of a transaction is up that has just begun.
    pub(super) fn set_deadline(&mut self, now: Now, transactional_id: &str) {
        if let Some(known) = self.transactions.get_mut(transactional_id) {
            let timeout_ms = u64::try_from(known.metadata.timeout_ms).unwrap_or(0);
            known.deadline = Some(now.monotonic + Duration::from_millis(timeout_ms));
        }
    }

    /// The same for those that were loaded: what is left by the wall clock, which may have jumped since they began, but no
    /// more than all of it.
    pub(super) fn set_deadlines(&mut self, now: Now) {
        for known in self.transactions.values_mut() {
            let metadata = &known.metadata;
            let passed_ms = now.wall_clock_ms.saturating_sub(metadata.start_ms).max(0);
            let left_ms = i64::from(metadata.timeout_ms).saturating_sub(passed_ms);
            known.deadline = Some(now.monotonic + Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)));
        }
    }

    fn abort_timed_out(&mut self, now: Now, effects: &mut Effects) {
        let timed_out = self.transactions.iter().filter(|(_, known)| {
            known.metadata.state == TransactionState::Ongoing
                && known.deadline.is_some_and(|deadline| deadline < now.monotonic)
        });
        let timed_out: Vec<Arc<str>> = timed_out.map(|(id, _)| id.clone()).collect();
        for transactional_id in &timed_out {
            info!(transactional_id = &**transactional_id, "the time of a transaction is up: it is aborted");
            self.fence(now, transactional_id, effects);
        }
    }

    fn forget_idle(&mut self, now: Now, effects: &mut Effects) {
        let before_ms = now.wall_clock_ms.saturating_sub(self.config.id_expiration_ms);
        let idle = self.transactions.iter().filter(|(_, known)| {
            let is_busy =
                known.metadata.state == TransactionState::Ongoing || known.metadata.state.is_prepared();
            !is_busy && known.metadata.last_update_ms <= before_ms
        });
        let gone: Vec<_> =
            idle.map(|(id, _)| TransactionRecord { transactional_id: id.clone(), value: None }).collect();
        gone.iter().for_each(|record| self.replay(record));
        effects.records.extend(gone);
    }
}

fn is_due(at: Option<Instant>, now: Now) -> bool {
    at.is_some_and(|at| at <= now.monotonic)
}
