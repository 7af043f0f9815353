//! What happens when a worker fails with an error that no policy has answered, tasks cannot be opened, or the instance fails as
//! a member of its group.

use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Instant;

use crate::error::Error;

/// What to do about an error that ends a worker, keeps tasks from being opened for `task.timeout.ms`, or is of the instance as a
/// member of its group: polling fails, what the leader says cannot be followed, or whatever else (`StreamsUncaughtExceptionHandler`).
///
/// Whatever is found wrong before the first tasks run is the error of [`Streams::start`](super::application::Streams::start),
/// and nobody is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UncaughtErrorAnswer {
    /// Another worker takes its place, and its tasks go on from their last commit: the first time at once. What fails again
    /// and again is tried again and again, after a pause that begins at 100 ms and doubles up to 10 s; the other workers'
    /// tasks go on meanwhile. After a minute without a failure it is the first time again. Tasks that could not be opened are
    /// tried again alike; so is polling, and another placement is asked for. After any other failure, of the local state say, all
    /// workers of the instance are replaced. The reader of global tables cannot be, nor can the local state be opened again
    /// beside it: then the instance ends. (So it does in Kafka Streams.)
    ReplaceThread,
    /// This instance ends; others take over its tasks.
    #[default]
    ShutdownClient,
    /// All instances of the application end.
    ShutdownApplication,
}

pub use UncaughtErrorAnswer::{ReplaceThread, ShutdownApplication, ShutdownClient};

/// Looks at the error and says what to do.
pub(crate) type UncaughtErrorHandler = Arc<dyn Fn(&Error) -> UncaughtErrorAnswer + Send + Sync>;

/// Before the second try, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Whoever has not failed for so long after its last try has recovered.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);

/// How long the tasks of workers that fail wait before they are tried again.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// Failures in a row.
    failures: u32,
    tried_at: Instant,
}

impl Pauses {
    /// A worker has failed: when its tasks are to be tried again.
    pub(crate) fn try_again_at(&mut self, now: Instant) -> Instant {
        if now > self.tried_at + RECOVERED_AFTER {
            self.failures = 0;
        }
        let pause = match self.failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(10)).min(LONGEST_PAUSE),
        };
        self.failures = self.failures.saturating_add(1);
        self.tried_at = now + pause;
        self.tried_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_again_waits_longer() {
        let at = |milliseconds| Instant::from_start(Duration::from_millis(milliseconds));
        let mut pauses = Pauses::default();
        // Failed at, tried again at, in milliseconds.
        for (failed, tried) in [
            (5, 5),
            (10, 110),
            (110, 310),
            (320, 720),
            (720, 1520),
            (721, 2321),
            (2400, 5600),
            (5600, 12_000),
            (12_000, 22_000),
            (82_000, 92_000),
            // It had recovered.
            (152_001, 152_001),
            (152_002, 152_102),
        ] {
            assert_eq!(pauses.try_again_at(at(failed)), at(tried), "failed at {failed}");
        }
    }
}
