//! When a worker commits by the clock.
//!
//! Every `commit.interval.ms`; and, unless its user has set that, under exactly-once also as soon as a worker has no input at
//! hand, if its last commit began a moment ago ([`IDLE_INTERVAL`]). Nobody sees a result before its commit: under load larger
//! transactions serve better than earlier ones, when it is quiet nothing comes of waiting. So there are a hundred
//! transactions a second of a worker at most, and none of one that has nothing to commit.
//!
//! After a transaction ends, the coordinator still writes its markers; one begun at once would be refused and retried 20 ms
//! later, so the worker waits up to [`MARKERS_TIME`] first.

use std::time::Duration;

use anabranch_host::Instant;

use crate::runtime::config::{ExactlyOnce, StreamsConfig};

/// Between the beginnings of two commits of a worker that has no input at hand, if it may commit early.
const IDLE_INTERVAL: Duration = Duration::from_millis(10);
/// Within this time a coordinator has mostly told all partitions that a transaction has ended.
const MARKERS_TIME: Duration = Duration::from_millis(10);

/// How far apart commits are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitIntervals {
    /// While there is input.
    under_load: Duration,
    /// While there is none.
    idle: Duration,
    /// From the end of one to the beginning of the next, at least.
    rest: Duration,
}

impl CommitIntervals {
    /// As an application is configured.
    pub(crate) fn of(config: &StreamsConfig) -> Self {
        let under_load = Duration::from_millis(config.commit_interval_ms);
        let may_be_early = config.guarantee == ExactlyOnce && !config.commit_interval_is_set;
        let idle = if may_be_early { under_load.min(IDLE_INTERVAL) } else { under_load };
        let rest =
            if config.guarantee == ExactlyOnce { (idle / 2).min(MARKERS_TIME) } else { Duration::ZERO };
        CommitIntervals { under_load, idle, rest }
    }
}

/// The commits of a worker, by the clock.
#[derive(Debug)]
pub(super) struct Pace {
    intervals: CommitIntervals,
    /// When the last commit began, and when the last one ended.
    began: Instant,
    ended: Instant,
}

impl Pace {
    /// The first interval begins now.
    pub(super) fn new(intervals: CommitIntervals, now: Instant) -> Self {
        Pace { intervals, began: now, ended: now }
    }

    /// A commit begins.
    pub(super) fn begins(&mut self, now: Instant) {
        self.began = now;
    }

    /// It has ended, somehow.
    pub(super) fn ends(&mut self, now: Instant) {
        self.ended = now;
    }

    /// For how long the last commit has lasted, or how long ago it began.
    pub(super) fn since_begun(&self, now: Instant) -> Duration {
        now - self.began
    }

    /// Whether a transaction has only just ended. Its coordinator still tells the partitions, and would keep the next one
    /// waiting for longer than this: Kafka's brokers ask it again after 20 ms.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now < self.ended + self.intervals.rest
    }

    /// When the next commit is due of a worker that has input at hand, or is `idle`.
    pub(super) fn due_at(&self, idle: bool) -> Instant {
        let interval = if idle { self.intervals.idle } else { self.intervals.under_load };
        (self.began + interval).max(self.ended + self.intervals.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the next commit is due under load, and of an idle worker, after one that began at 1,000 and ended at `ended`;
    /// and until when nothing is begun. In milliseconds.
    fn check(pairs: &[(&str, &str)], ended: u64, expected: (u64, u64, u64)) {
        let at = |milliseconds| Instant::from_start(Duration::from_millis(milliseconds));
        let config = StreamsConfig::from_pairs(pairs.iter().copied()).expect("sound settings");
        let mut pace = Pace::new(CommitIntervals::of(&config), at(0));
        pace.begins(at(1000));
        pace.ends(at(ended));
        let (loaded, idle, fresh) = expected;
        assert_eq!((pace.due_at(false), pace.due_at(true)), (at(loaded), at(idle)), "{pairs:?} {ended}");
        assert!(!pace.is_fresh(at(fresh)), "{pairs:?} {ended}");
        assert!(fresh <= ended || pace.is_fresh(at(fresh - 1)), "{pairs:?} {ended}");
    }

    const EXACTLY_ONCE: (&str, &str) = ("processing.guarantee", "exactly_once_v2");

    #[test]
    fn exactly_once_an_idle_worker_commits_early() {
        check(&[EXACTLY_ONCE], 1003, (1100, 1010, 1008));
        check(&[EXACTLY_ONCE], 1005, (1100, 1010, 1010));
        // One that took long: the next begins not before its markers are written.
        check(&[EXACTLY_ONCE], 1050, (1100, 1055, 1055));
        check(&[EXACTLY_ONCE], 1200, (1205, 1205, 1205));
    }

    #[test]
    fn an_interval_that_is_set_is_kept() {
        check(&[EXACTLY_ONCE, ("commit.interval.ms", "100")], 1003, (1100, 1100, 1013));
        check(&[EXACTLY_ONCE, ("commit.interval.ms", "1000")], 1003, (2000, 2000, 1013));
        check(&[EXACTLY_ONCE, ("commit.interval.ms", "10")], 1003, (1010, 1010, 1008));
        check(&[EXACTLY_ONCE, ("commit.interval.ms", "0")], 1003, (1003, 1003, 1003));
    }

    #[test]
    fn at_least_once_it_makes_no_difference() {
        check(&[], 1003, (31_000, 31_000, 1003));
        check(&[("commit.interval.ms", "100")], 1003, (1100, 1100, 1003));
    }
}
