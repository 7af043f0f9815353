//! `task.timeout.ms` (KIP-572): what fails and may pass, such as a call that no broker answers, is tried again, but not for ever.
//!
//! The time runs from the first failure on, and ends when something comes of the work again. Then the failure is as any other: the
//! uncaught error handler says what follows. Whoever waits for the group to be rebalanced has not failed.

use std::error::Error as _;
use std::time::Duration;

use anabranch_client::ClientError;
use anabranch_host::Instant;

use crate::error::Error;

/// How long somebody has failed, and may fail.
#[derive(Debug)]
pub(crate) struct TaskTimeout {
    limit: Duration,
    /// The first failure since something came of the work.
    since: Option<Instant>,
}

impl TaskTimeout {
    pub(crate) fn new(limit: Duration) -> Self {
        TaskTimeout { limit, since: None }
    }

    /// It has failed once more. Whether that is too long now; if it may not be tried again at all, at once.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        self.limit.is_zero() || now - since > self.limit
    }

    /// Whether it has failed since something came of it.
    pub(crate) fn has_begun(&self) -> bool {
        self.since.is_some()
    }

    /// Something has come of it.
    pub(crate) fn progressed(&mut self) {
        self.since = None;
    }

    /// The error that says that it was too long.
    #[cold]
    pub(crate) fn over(&self, why: &Error) -> Error {
        Error::fatal(format_args!("nothing has come of it for {:?} (task.timeout.ms): {why}", self.limit))
    }

    /// The same, where it is told by a client's call.
    #[cold]
    pub(crate) fn over_in_a_call(&self, why: &ClientError) -> ClientError {
        let text = format!("nothing has come of it for {:?} (task.timeout.ms): {why}", self.limit);
        ClientError::invalid(text)
    }
}

/// Whether an error is of a call that may succeed later.
pub(crate) fn may_pass(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<ClientError>());
    cause.is_some_and(ClientError::is_retriable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_when_nothing_has_come_of_it_for_too_long() {
        let check = |limit_ms: u64, failures: &[(u64, bool)]| {
            let mut timeout = TaskTimeout::new(Duration::from_millis(limit_ms));
            for (at_ms, expected) in failures {
                let at = Instant::from_start(Duration::from_millis(*at_ms));
                assert_eq!(timeout.is_over(at), *expected, "{limit_ms}: at {at_ms} of {failures:?}");
            }
            timeout.progressed();
            assert_eq!(timeout.is_over(Instant::from_start(Duration::from_secs(1000))), limit_ms == 0);
        };
        check(100, &[(5000, false), (5100, false), (5101, true), (5200, true)]);
        check(0, &[(5000, true)]);
        check(u64::MAX, &[(0, false), (u64::MAX / 2_000_000, false)]);
    }

    #[test]
    fn what_may_pass_is_told_by_its_cause() {
        let wrapped = |cause| Error::fatal("asking").with_source(cause);
        assert!(may_pass(&wrapped(ClientError::retriable("no answer"))));
        assert!(!may_pass(&wrapped(ClientError::invalid("refused"))));
        assert!(!may_pass(&Error::fatal("broken")));
    }
}
