//! Deadlines by key: set, cancelled, and taken when due.
//!
//! A heartbeat moves its member's deadline, far more often than a deadline passes. So moving one *later* touches only
//! the table: the queue keeps the old entry, which comes up too early, finds the true deadline and is queued again.
//! Hence [`Timers::next_deadline`] may be early, never late.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_host::{HashMap, Instant};

/// What a deadline is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// A member of a group must have been heard of.
    Session {
        /// Of the member.
        group_id: Arc<str>,
        /// Of the member, pending ones too.
        member_id: Arc<str>,
    },
    /// The join phase of a group ends.
    Join {
        /// Of the group.
        group_id: Arc<str>,
    },
    /// All members of a group must have sent SyncGroup.
    Sync {
        /// Of the group.
        group_id: Arc<str>,
    },
    /// Offsets and groups nobody needs are removed.
    Expiration,
}

/// All deadlines of one coordinator.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: HashMap<Timer, Entry>,
    /// By time, then by order of queuing, so that the order in which deadlines fire is one.
    queue: BTreeMap<(Instant, u64), Timer>,
    next_sequence: u64,
}

#[derive(Debug)]
struct Entry {
    deadline: Instant,
    /// Its place in the queue, at the deadline or before.
    queued: (Instant, u64),
}

impl Timers {
    /// Sets the deadline of `timer`, in place of an earlier one.
    pub(crate) fn set(&mut self, timer: Timer, deadline: Instant) {
        if let Some(entry) = self.deadlines.get_mut(&timer) {
            entry.deadline = deadline;
            if entry.queued.0 <= deadline {
                return;
            }
            self.queue.remove(&entry.queued);
        }
        self.enqueue(timer, deadline);
    }

    /// Takes `timer` away, if it is set.
    pub(crate) fn cancel(&mut self, timer: &Timer) {
        if let Some(entry) = self.deadlines.remove(timer) {
            self.queue.remove(&entry.queued);
        }
    }

    /// Takes the next timer whose deadline has come.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        while let Some(first) = self.queue.first_entry() {
            if first.key().0 > now {
                return None;
            }
            let timer = first.remove();
            match self.deadlines.get(&timer) {
                Some(entry) if entry.deadline > now => {
                    let deadline = entry.deadline;
                    self.enqueue(timer, deadline);
                }
                _ => {
                    self.deadlines.remove(&timer);
                    return Some(timer);
                }
            }
        }
        None
    }

    /// When [`Timers::take_due`] should be asked again.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Whether `timer` is set.
    #[cfg(test)]
    pub(crate) fn is_set(&self, timer: &Timer) -> bool {
        self.deadlines.contains_key(timer)
    }

    /// How many are set.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.deadlines.len(), self.queue.len(), "each deadline is queued once");
        self.deadlines.len()
    }

    fn enqueue(&mut self, timer: Timer, deadline: Instant) {
        let queued = (deadline, self.next_sequence);
        self.next_sequence += 1;
        self.queue.insert(queued, timer.clone());
        self.deadlines.insert(timer, Entry { deadline, queued });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(ms))
    }

    fn join(group: &str) -> Timer {
        Timer::Join { group_id: group.into() }
    }

    #[test]
    fn deadlines_fire_in_their_order_once_and_at_their_last_setting() {
        let mut timers = Timers::default();
        for (group, ms) in
            [("late", 30), ("moved later", 5), ("moved earlier", 50), ("cancelled", 1), ("b", 7), ("a", 7)]
        {
            timers.set(join(group), at(ms));
        }
        timers.set(join("moved later"), at(20));
        timers.set(join("moved earlier"), at(6));
        timers.cancel(&join("cancelled"));
        assert_eq!(timers.len(), 5);
        assert_eq!(timers.next_deadline(), Some(at(5)), "early is allowed, late is not");

        let mut fired = Vec::new();
        for ms in 0..40 {
            while let Some(Timer::Join { group_id }) = timers.take_due(at(ms)) {
                fired.push((ms, group_id.to_string()));
            }
        }
        let expected = [(6, "moved earlier"), (7, "b"), (7, "a"), (20, "moved later"), (30, "late")];
        assert_eq!(fired, expected.map(|(ms, group)| (ms, group.to_string())));
        assert_eq!((timers.next_deadline(), timers.len()), (None, 0));
    }
}
