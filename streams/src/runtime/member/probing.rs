//! When the member asks its group for another placement because something is still to move (a probing rebalance, KIP-441).

use std::collections::BTreeSet;
use std::time::Duration;

use anabranch_host::Instant;

use crate::processor::TaskId;

/// Between two requests because something has caught up.
const PROBE_AGAIN: Duration = Duration::from_secs(1);

/// What may move, and when it is asked for.
#[derive(Debug)]
pub(super) struct Probing {
    /// Tasks that are to run here once they have caught up.
    warming: BTreeSet<TaskId>,
    /// Whatever has caught up by then.
    at: Option<Instant>,
    /// When something had caught up.
    last: Instant,
}

impl Probing {
    /// Nothing is to move.
    pub(super) fn new(now: Instant) -> Self {
        Probing { warming: BTreeSet::new(), at: None, last: now }
    }

    /// An assignment has come: what it warms up here, and when it is to be looked again.
    pub(super) fn assigned(&mut self, warming: BTreeSet<TaskId>, at: Option<Instant>) {
        self.warming = warming;
        self.at = at;
    }

    /// Another placement is asked for then.
    pub(super) fn ask_at(&mut self, at: Instant) {
        self.at = Some(at);
    }

    /// Why another placement is to be asked for now, if it is. That is told once.
    pub(super) fn is_due(
        &mut self,
        now: Instant,
        has_caught_up: impl Fn(&TaskId) -> bool,
    ) -> Option<&'static str> {
        if self.at.take_if(|at| now >= *at).is_some() {
            return Some("something is still to move");
        }
        if now >= self.last + PROBE_AGAIN && self.warming.iter().any(has_caught_up) {
            self.last = now;
            return Some("a task that is to move has caught up");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_placement_is_asked_for_in_time_or_when_a_task_has_caught_up() {
        let at = |milliseconds| Instant::from_start(Duration::from_millis(milliseconds));
        let warming = TaskId { subtopology: 0, partition: 1 };
        let mut probing = Probing::new(at(0));
        let mut check = |assigned: Option<Option<Instant>>, now, has_caught_up, expected: Option<&str>| {
            if let Some(look_again) = assigned {
                probing.assigned(BTreeSet::from([warming]), look_again);
            }
            let due = probing.is_due(at(now), |task| has_caught_up && *task == warming);
            assert_eq!(due.map(|why| why.split(' ').next().unwrap_or_default()), expected, "at {now}");
        };
        check(None, 5000, true, None);
        check(Some(Some(at(6000))), 5000, false, None);
        check(None, 6000, true, Some("something"));
        check(None, 6000, true, Some("a"));
        check(None, 6999, true, None);
        check(None, 7000, false, None);
        check(None, 7001, true, Some("a"));
        check(Some(None), 9000, false, None);
    }
}
