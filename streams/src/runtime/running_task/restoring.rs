//! How the state of a task on a worker comes back from its changelogs, and is followed while it stands by.

use std::sync::Arc;
use std::task::{Context, Waker};

use anabranch_client::records::batches;
use anabranch_client::{FetchedBatches, TopicPartition};
use anabranch_state_store::Checkpoint;

use super::position::FollowedPosition;
use super::task_offsets::TaskOffsets;
use super::{RunningTask, corrupt};
use crate::error::{Error, Result};
use crate::processor::Drops;
use crate::runtime::assignment::holdings::Role;
use crate::runtime::offsets::Offsets;
use crate::runtime::restore::{Feed, Goal, Restored};
use crate::runtime::restore_listener::{RestoreEvent, RestorePlace, StandbyEvent, SuspendReason};
use crate::task::StoreChangelog;

/// Fetched runs of changelogs that a task applies before its worker looks at its other tasks.
const RUNS_PER_TURN: usize = 8;

/// A store that comes back from a topic.
pub(super) struct LoggedStore {
    pub(super) changelog: StoreChangelog,
    /// As it comes; none once it is whole.
    feed: Option<Feed>,
    /// The next offset to be applied; none until it is known where the topic begins.
    pub(super) next: Option<i64>,
    /// Where the topic ended when it was last seen; none until it has been.
    end: Option<i64>,
    /// Where it ended when the restoration began, if that began from nothing: the store may write all rows when it is there.
    fills_up_to: Option<i64>,
    /// Records applied since the restoration began.
    restored: u64,
    /// When it last had all that its changelog had; before that, when it began to be read.
    pub(super) whole_ms: Option<i64>,
    /// What it reflects while it follows.
    pub(super) position: FollowedPosition,
}

/// What becomes of a task whose state is coming back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestoreStep {
    /// There was nothing to apply.
    Idle,
    /// Something was applied.
    Applied,
    /// All of it is there.
    Done,
    /// A changelog does not reach back to what is kept: the task's state must go, and come back from the start.
    Truncated,
}

impl StoreChangelog {
    /// Up to where it is read.
    fn goal(&self, role: Role) -> Goal {
        match (role, self.is_source) {
            (Role::Active, false) => Goal::End,
            (Role::Active, true) => Goal::Committed,
            (Role::Standby, false) => Goal::Follow,
            (Role::Standby, true) => Goal::FollowCommitted,
        }
    }
}

impl LoggedStore {
    /// A store that is restored from this changelog.
    pub(super) fn new(changelog: StoreChangelog) -> Self {
        let next = changelog.reflected.map(|checkpoint| checkpoint.offset + 1);
        LoggedStore {
            whole_ms: changelog.reflected.map(|checkpoint| checkpoint.wall_clock_ms),
            changelog,
            feed: None,
            next,
            end: None,
            fills_up_to: None,
            restored: 0,
            position: FollowedPosition::default(),
        }
    }
}

impl LoggedStore {
    /// As of when it has all up to `next`, now that its changelog ends at `end`: while it lags, deletions behind it may be as
    /// old as its last time at the end. A table of a source topic follows commits, not the end.
    fn reflects_ms(&mut self, next: i64, end: i64, wall_clock_ms: i64) -> i64 {
        if next >= end || self.changelog.is_source {
            self.whole_ms = Some(wall_clock_ms);
        }
        *self.whole_ms.get_or_insert(wall_clock_ms)
    }

    /// Whether it was restored from nothing, and all is there.
    fn is_filled(&self) -> bool {
        self.fills_up_to.is_some_and(|to| self.next >= Some(to))
    }
}

impl RunningTask {
    /// Whether every store has reached the end of its changelog, and can be read.
    pub(super) fn is_whole(&self) -> bool {
        self.stores.iter().flatten().all(|store| store.feed.is_none() && store.fills_up_to.is_none())
    }

    /// Begins to read every changelog from where its store is.
    pub(super) fn read_changelogs(&mut self) {
        let (partition, role) = (self.task.id().partition, self.role);
        for store in self.stores.iter_mut().flatten() {
            let name = TopicPartition::new(Arc::clone(&store.changelog.topic), partition);
            store.feed = Some(self.changelogs.read(name, store.next, store.changelog.goal(role)));
        }
    }

    /// Runs a standby from where it is: only what it lacks is restored. `committed` is what is committed beside the
    /// offsets of its inputs.
    pub(crate) fn promote(&mut self, committed: Offsets) {
        self.suspended(SuspendReason::Promoted);
        self.role = Role::Active;
        committed.iter().for_each(|(input, offset)| self.task.resume(&input.topic, &offset.metadata));
        self.offsets = TaskOffsets::resume(committed);
        for store in self.stores.iter_mut().flatten() {
            store.restored = 0;
            if let Some(feed) = &store.feed {
                feed.aim(store.changelog.goal(Role::Active));
            }
        }
        for (index, store) in self.stores.iter().enumerate() {
            // Of one whose beginning is not known yet the feed tells.
            if let Some(LoggedStore { next: Some(from), end: Some(to), .. }) = store {
                self.tell(index, |place| RestoreEvent::Start { place, from: *from, to: *to });
            }
        }
        self.restored = self.is_whole();
        self.note_progress();
    }

    /// Follows the changelogs from now on. Everything that counts has been committed.
    ///
    /// # Errors
    /// If the nodes cannot be made anew.
    pub(crate) fn demote(mut self) -> Result<RunningTask> {
        self.suspended(SuspendReason::Migrated);
        self.note_position();
        self.task = self.task.renewed()?;
        self.told_drops = Drops::default();
        self.changelog_ids.clear();
        self.outbox.clear();
        (self.role, self.restored) = (Role::Standby, false);
        (self.sealed, self.offsets) = (None, TaskOffsets::default());
        self.rewinding.clear();
        // Where they end now is told when they begin to be read.
        self.stores.iter_mut().flatten().for_each(|store| store.end = None);
        self.read_changelogs();
        self.note_progress();
        Ok(self)
    }

    /// Whether a changelog has brought something; wakes the caller when one does.
    pub(crate) fn poll_restore(&mut self, context: &mut Context<'_>) -> bool {
        let mut any = false;
        for (index, store) in self.stores.iter_mut().enumerate() {
            let Some(store) = store else { continue };
            any |= store.feed.as_mut().is_some_and(|feed| feed.poll_ready(context));
            any |= store.is_filled() && self.task.poll_load(index, context);
        }
        any
    }

    /// Applies what the changelogs have brought.
    ///
    /// # Errors
    /// If a changelog cannot be read, or a store refuses a row.
    pub(crate) fn restore_step(&mut self, wall_clock_ms: i64) -> Result<RestoreStep> {
        if self.restored {
            return Ok(RestoreStep::Idle);
        }
        let mut applied = 0;
        for index in 0..self.stores.len() {
            while applied < RUNS_PER_TURN
                && let Some(store) = &mut self.stores[index]
                && let Some(restored) = store.feed.as_mut().and_then(Feed::take)
            {
                applied += 1;
                match restored {
                    Restored::Begin { from, to } => {
                        if store.next.is_none() {
                            self.task.begin_restore(index)?;
                            store.fills_up_to = Some(to);
                        }
                        (store.next, store.end) = (Some(from), Some(to));
                        self.tell(index, |place| RestoreEvent::Start { place, from, to });
                        self.tell_of_standby(index, |place| StandbyEvent::Start { place, from });
                    }
                    Restored::Batches { fetched, limit } => {
                        self.apply(index, &fetched, limit, wall_clock_ms)?
                    }
                    Restored::End(end) => {
                        (store.feed, store.next, store.end) = (None, Some(end), Some(end));
                        store.fills_up_to = store.fills_up_to.map(|to| to.min(end));
                        if end > 0 {
                            self.task.restored_to(index, Checkpoint { offset: end - 1, wall_clock_ms })?;
                        }
                        if store.fills_up_to.is_none() {
                            self.tell_end(index);
                        }
                    }
                    Restored::Truncated => return Ok(RestoreStep::Truncated),
                    Restored::Failed(error) => {
                        let topic = &store.changelog.topic;
                        return Err(Error::fatal(format_args!("restoring from `{topic}`")).with_source(error));
                    }
                }
            }
        }
        let filled = self.fill()?;
        if applied > 0 {
            self.tell_num_keys();
        }
        if self.role == Role::Active && self.is_whole() {
            self.restored = true;
            self.note_progress();
            return Ok(RestoreStep::Done);
        }
        if applied == 0 {
            return Ok(if filled { RestoreStep::Applied } else { RestoreStep::Idle });
        }
        self.note_progress();
        Ok(RestoreStep::Applied)
    }

    /// Lets stores that were restored from nothing write their rows; whether one went on.
    fn fill(&mut self) -> Result<bool> {
        let mut any = false;
        for index in 0..self.stores.len() {
            let noop = &mut Context::from_waker(Waker::noop());
            let Some(store) = self.stores[index].as_mut().filter(|store| store.is_filled()) else { continue };
            if !self.task.poll_load(index, noop) {
                continue;
            }
            any = true;
            if self.task.end_restore(index)? {
                store.fills_up_to = None;
                if store.feed.is_none() {
                    self.tell_end(index);
                }
            }
        }
        Ok(any)
    }

    /// Applies a run of a changelog to its store.
    fn apply(
        &mut self,
        index: usize,
        fetched: &FetchedBatches,
        limit: i64,
        wall_clock_ms: i64,
    ) -> Result<()> {
        let mut count = 0;
        for batch in batches(&fetched.records) {
            let batch = batch.and_then(|batch| batch.check_crc().map(|()| batch));
            let batch = batch.map_err(|error| corrupt(fetched, error))?;
            let records = batch.records(&mut self.scratch).map_err(|error| corrupt(fetched, error))?;
            for record in records {
                let record = record.map_err(|error| corrupt(fetched, error))?;
                let wanted = record.offset >= fetched.fetch_offset && record.offset < limit;
                let Some(key) = record.key.filter(|_| wanted) else { continue };
                self.headers.clear();
                if !record.headers.is_empty() {
                    record.headers.encode_into(&mut self.headers);
                }
                self.task.restore(index, key, record.value, record.timestamp, &self.headers)?;
                count += 1;
            }
        }
        let next = fetched.next_offset.min(limit);
        let bounds = &fetched.bounds;
        let stable = match bounds.last_stable_offset {
            // Brokers do not tell whoever reads all.
            ..0 => bounds.high_watermark,
            stable => stable.min(bounds.high_watermark),
        };
        let mut end = next;
        if let Some(store) = &mut self.stores[index] {
            let wall_clock_ms = store.reflects_ms(next, stable, wall_clock_ms);
            self.task.restored_to(index, Checkpoint { offset: next - 1, wall_clock_ms })?;
            store.next = Some(next);
            store.end = store.end.max(Some(fetched.bounds.high_watermark.min(limit)));
            store.restored += count;
            end = store.end.unwrap_or(next);
        }
        self.metrics.restored(count);
        self.tell(index, |place| RestoreEvent::Batch { place, next, records: count });
        self.tell_of_standby(index, |place| StandbyEvent::Batch { place, next, records: count, end });
        Ok(())
    }

    fn tell_end(&self, index: usize) {
        let records = self.stores[index].as_ref().map_or(0, |store| store.restored);
        self.tell(index, |place| RestoreEvent::End { place, records });
    }

    /// Tells the listener of a store of a task that is to run.
    fn tell(&self, index: usize, event: impl FnOnce(RestorePlace) -> RestoreEvent) {
        if let (Some(listener), Some(place), Role::Active) =
            (&self.listeners.restore, self.place(index), self.role)
        {
            listener(&event(place));
        }
    }

    /// Tells the listener of a store of a standby.
    fn tell_of_standby(&self, index: usize, event: impl FnOnce(RestorePlace) -> StandbyEvent) {
        if let (Some(listener), Some(place), Role::Standby) =
            (&self.listeners.standby, self.place(index), self.role)
        {
            listener(&event(place));
        }
    }

    fn place(&self, index: usize) -> Option<RestorePlace> {
        let changelog = &self.stores[index].as_ref()?.changelog;
        let (store, topic) = (Arc::clone(&changelog.store), Arc::clone(&changelog.topic));
        let id = self.task.id();
        Some(RestorePlace { task: Some(id), store, topic, partition: id.partition })
    }

    /// Its restoration ends before it is whole, if it was under way; or it is followed no more, if it was.
    pub(crate) fn suspended(&self, reason: SuspendReason) {
        if self.restored {
            return;
        }
        for (index, store) in self.stores.iter().enumerate() {
            let Some(store) = store.as_ref().filter(|one| one.feed.is_some() || one.fills_up_to.is_some())
            else {
                continue;
            };
            self.tell(index, |place| RestoreEvent::Suspended { place, records: store.restored });
            if let (Some(next), Some(end)) = (store.next, store.end) {
                self.tell_of_standby(index, |place| StandbyEvent::Suspended { place, next, end, reason });
            }
        }
    }

    /// Writes down how far its state is.
    pub(super) fn note_progress(&self) {
        let stores = || self.stores.iter().flatten();
        let applied = stores().map(|store| store.next.unwrap_or(0)).sum();
        // Until a changelog has begun its end is not known.
        let behind = |store: &LoggedStore| match store.feed {
            Some(_) => Some((store.end? - store.next?).max(0)),
            None => Some(0),
        };
        self.progress.note(applied, stores().map(behind).sum());
        self.progress.set_running(self.restored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lags_is_as_old_as_its_last_time_at_the_end() {
        // Where it is, where its changelog ends, the time; and as of when it counts.
        let check = |reflected: Option<i64>, is_source: bool, steps: &[(i64, i64, i64, i64)]| {
            let reflected = reflected.map(|wall_clock_ms| Checkpoint { offset: 4, wall_clock_ms });
            let changelog =
                StoreChangelog { topic: "changelog".into(), is_source, reflected, store: "store".into() };
            let mut store = LoggedStore::new(changelog);
            for (next, end, now, expected) in steps {
                assert_eq!(store.reflects_ms(*next, *end, *now), *expected, "{next} of {end} at {now}");
            }
        };
        check(None, false, &[(10, 30, 100, 100), (20, 30, 200, 100), (30, 30, 300, 300), (35, 40, 400, 300)]);
        check(Some(50), false, &[(10, 30, 100, 50), (30, 30, 200, 200)]);
        check(Some(50), true, &[(10, 30, 100, 100)]);
    }
}
