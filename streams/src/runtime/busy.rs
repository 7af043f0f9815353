//! Since when a worker is at work on a task: how one is found that does not come back from user code.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anabranch_host::Instant;

use crate::processor::TaskId;

/// What a worker is at. Cheap to clone; the worker writes it, its instance reads it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Microseconds since the start of the world, plus one; 0 while it is at nothing.
    since: AtomicU64,
    /// Sub-topology and partition.
    task: AtomicU64,
    retired: AtomicBool,
}

impl Busy {
    /// It is at a task from now on.
    pub(crate) fn begin(&self, task: TaskId, now: Instant) {
        let task = u64::from(task.subtopology) << 32 | u64::from(task.partition.cast_unsigned());
        self.inner.task.store(task, Ordering::Relaxed);
        let since = u64::try_from(now.since_start().as_micros()).unwrap_or(u64::MAX - 1);
        self.inner.since.store(since + 1, Ordering::Release);
    }

    /// It is back.
    pub(crate) fn end(&self) {
        self.inner.since.store(0, Ordering::Release);
    }

    /// The task that it is at, if for longer than `limit`, and for how long.
    pub(crate) fn beyond(&self, limit: Duration, now: Instant) -> Option<(TaskId, Duration)> {
        let since = self.inner.since.load(Ordering::Acquire).checked_sub(1)?;
        let time = now.since_start().saturating_sub(Duration::from_micros(since));
        let task = self.inner.task.load(Ordering::Relaxed);
        let partition = (task as u32).cast_signed();
        (time > limit).then_some((TaskId { subtopology: (task >> 32) as u32, partition }, time))
    }

    /// Its tasks are given up: whatever it does from now on must have no effect.
    pub(crate) fn retire(&self) {
        self.inner.retired.store(true, Ordering::Release);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.inner.retired.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_away_for_too_long_is_named() {
        let at = |seconds| Instant::from_start(Duration::from_secs(seconds));
        let (busy, limit) = (Busy::default(), Duration::from_secs(5));
        assert_eq!(busy.beyond(limit, at(100)), None, "it waits");
        let task = TaskId { subtopology: 3, partition: 7 };
        busy.begin(task, at(10));
        assert_eq!(busy.beyond(limit, at(15)), None);
        assert_eq!(busy.beyond(limit, at(16)), Some((task, Duration::from_secs(6))));
        busy.end();
        assert_eq!(busy.beyond(limit, at(100)), None);
    }
}
