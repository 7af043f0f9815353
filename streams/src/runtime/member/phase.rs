//! How far an instance has come, from its start to its end: what that lets happen when something fails.

/// From top to bottom, but for a placement that cannot be followed, which another one may replace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// No assignment was followed yet: what fails is an error of the start.
    #[default]
    Starting,
    /// It follows its group.
    Joined,
    /// The last assignment cannot be followed: another one is asked for.
    Refused,
    /// The uncaught error handler has said that this instance ends, or nothing else is left.
    ToEnd,
    /// Its user has let go of it: nothing is to be committed.
    Abandoned,
    /// The workers are told to end: nobody takes the place of one that fails.
    Stopping,
}

impl Phase {
    /// An assignment is followed.
    pub(super) fn join(&mut self) {
        if *self == Phase::Starting {
            *self = Phase::Joined;
        }
    }

    /// An assignment cannot be followed.
    pub(super) fn refuse(&mut self) {
        if *self == Phase::Joined {
            *self = Phase::Refused;
        }
    }

    /// An assignment can be followed.
    pub(super) fn accept(&mut self) {
        if *self == Phase::Refused {
            *self = Phase::Joined;
        }
    }

    /// It ends by a failure.
    pub(super) fn end(&mut self) {
        if !matches!(self, Phase::Abandoned | Phase::Stopping) {
            *self = Phase::ToEnd;
        }
    }

    /// Nobody wants it any more.
    pub(super) fn abandon(&mut self) {
        if *self != Phase::Stopping {
            *self = Phase::Abandoned;
        }
    }

    /// Its workers end.
    pub(super) fn stop(&mut self) {
        *self = Phase::Stopping;
    }

    /// Whether it could not even begin yet.
    pub(super) fn is_starting(self) -> bool {
        self == Phase::Starting
    }

    /// Whether it goes on after a failure, if the uncaught error handler does not say otherwise.
    pub(super) fn may_go_on(self) -> bool {
        matches!(self, Phase::Joined | Phase::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::Phase::{self, Abandoned, Joined, Refused, Starting, Stopping, ToEnd};

    #[test]
    fn what_follows_what() {
        let check = |step: fn(&mut Phase), expected: [Phase; 6]| {
            for (before, after) in
                [Starting, Joined, Refused, ToEnd, Abandoned, Stopping].into_iter().zip(expected)
            {
                let mut phase = before;
                step(&mut phase);
                assert_eq!(phase, after, "after {before:?}");
            }
        };
        check(Phase::join, [Joined, Joined, Refused, ToEnd, Abandoned, Stopping]);
        check(Phase::refuse, [Starting, Refused, Refused, ToEnd, Abandoned, Stopping]);
        check(Phase::accept, [Starting, Joined, Joined, ToEnd, Abandoned, Stopping]);
        check(Phase::end, [ToEnd, ToEnd, ToEnd, ToEnd, Abandoned, Stopping]);
        check(Phase::abandon, [Abandoned, Abandoned, Abandoned, Abandoned, Abandoned, Stopping]);
        check(Phase::stop, [Stopping; 6]);
    }
}
