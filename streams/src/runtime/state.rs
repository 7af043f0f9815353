//! What an application is doing, and what it may do next.
//!
//! ```text
//! Created -> Rebalancing <-> Running -> PendingShutdown -> NotRunning
//!                 \            |
//!                  +-----------+------> PendingError -> Error
//! ```

use std::fmt;
use std::sync::Arc;

/// What an application is doing, in Kafka Streams' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not started.
    Created,
    /// Joining the group, or restoring state.
    Rebalancing,
    /// Every task it has is processing.
    Running,
    /// Stopping: committing what is done.
    PendingShutdown,
    /// Stopped.
    NotRunning,
    /// Stopping because of an error.
    PendingError,
    /// Stopped by an error.
    Error,
}

impl State {
    /// Whether it may be `next` after this.
    #[must_use]
    pub fn may_become(self, next: State) -> bool {
        use State::{Created, Error, NotRunning, PendingError, PendingShutdown, Rebalancing, Running};
        match self {
            Created => matches!(next, Rebalancing | PendingShutdown | PendingError),
            Rebalancing => matches!(next, Running | PendingShutdown | PendingError),
            Running => matches!(next, Rebalancing | PendingShutdown | PendingError),
            PendingShutdown => next == NotRunning,
            PendingError => next == Error,
            NotRunning | Error => false,
        }
    }

    /// Whether it works: it runs, or is about to.
    #[must_use]
    pub fn is_running_or_rebalancing(self) -> bool {
        matches!(self, State::Running | State::Rebalancing)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Created => "CREATED",
            State::Rebalancing => "REBALANCING",
            State::Running => "RUNNING",
            State::PendingShutdown => "PENDING_SHUTDOWN",
            State::NotRunning => "NOT_RUNNING",
            State::PendingError => "PENDING_ERROR",
            State::Error => "ERROR",
        })
    }
}

/// Told of the new state and the old one.
pub(crate) type StateListener = Arc<dyn Fn(State, State) + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::State::{
        self, Created, Error, NotRunning, PendingError, PendingShutdown, Rebalancing, Running,
    };

    #[test]
    fn what_may_follow() {
        let all = [Created, Rebalancing, Running, PendingShutdown, NotRunning, PendingError, Error];
        let check = |state: State, expected: &str| {
            let next: Vec<_> =
                all.iter().filter(|next| state.may_become(**next)).map(State::to_string).collect();
            assert_eq!(next.join(" "), expected, "{state}");
        };
        check(Created, "REBALANCING PENDING_SHUTDOWN PENDING_ERROR");
        check(Rebalancing, "RUNNING PENDING_SHUTDOWN PENDING_ERROR");
        check(Running, "REBALANCING PENDING_SHUTDOWN PENDING_ERROR");
        check(PendingShutdown, "NOT_RUNNING");
        check(PendingError, "ERROR");
        check(NotRunning, "");
        check(Error, "");
    }
}
