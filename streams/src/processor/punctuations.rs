//! What is due by stream time or by the wall clock, for all nodes of a task.
//!
//! When a punctuation is due next is a memo: an abort takes it back with the epoch it belongs to. By stream time it is
//! committed as well, so that a restart neither repeats nor skips one; by the wall clock a restart begins anew.

use super::{MemoId, Memos};

/// Which clock a punctuation follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PunctuationType {
    /// The highest time of the records that the task has processed. It stands still while no record comes.
    StreamTime,
    /// The clock on the wall.
    WallClockTime,
}

/// When a punctuation is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) clock: PunctuationType,
    pub(crate) every_ms: i64,
}

/// The punctuations of a task.
#[derive(Debug, Default)]
pub(crate) struct Punctuations(Vec<Punctuation>);

#[derive(Debug)]
struct Punctuation {
    /// The node's place in the task, and which of its punctuations it is.
    node: usize,
    number: usize,
    schedule: Schedule,
    due: MemoId,
}

/// What a memo holds that will never be due.
const CANCELLED: i64 = i64::MAX;

impl Punctuations {
    /// Adds one and gives its id.
    pub(crate) fn register(
        &mut self,
        (node, name, number): (usize, &str, usize),
        schedule: Schedule,
        memos: &mut Memos,
    ) -> usize {
        let memo = format!("{name}.punctuation-{number}");
        let due = match schedule.clock {
            PunctuationType::StreamTime => memos.register(&memo),
            PunctuationType::WallClockTime => memos.register_by_task(&memo),
        };
        self.0.push(Punctuation { node, number, schedule, due });
        self.0.len() - 1
    }

    /// Whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all of them: the nodes are made anew.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The task begins: what was never due is due for the first time right after the first record, or an interval from
    /// now.
    pub(crate) fn start(&self, wall_clock_ms: i64, memos: &mut Memos) {
        for Punctuation { schedule, due, .. } in &self.0 {
            let first = match schedule.clock {
                PunctuationType::StreamTime => 0,
                PunctuationType::WallClockTime => wall_clock_ms.saturating_add(schedule.every_ms),
            };
            if memos.is_unknown(*due) {
                memos.set(*due, first);
            }
        }
    }

    /// When the next one is due by this clock.
    pub(crate) fn next_due(&self, clock: PunctuationType, memos: &Memos) -> Option<i64> {
        let due = self.0.iter().filter(|one| one.schedule.clock == clock).map(|one| memos.get(one.due));
        due.min().filter(|due| *due != CANCELLED)
    }

    /// Takes the earliest that is due at `now`: the node's place and which of its punctuations it is. Its next time is
    /// behind `now`: intervals that were missed are one call.
    pub(crate) fn take_due(
        &self,
        clock: PunctuationType,
        now: i64,
        memos: &mut Memos,
    ) -> Option<(usize, usize)> {
        let due = self.0.iter().filter(|one| one.schedule.clock == clock && memos.get(one.due) <= now);
        let one = due.min_by_key(|one| memos.get(one.due))?;
        let (was_due, every_ms) = (memos.get(one.due), one.schedule.every_ms);
        let intervals = (now - was_due) / every_ms + 1;
        memos.set(one.due, was_due.saturating_add(intervals.saturating_mul(every_ms)));
        Some((one.node, one.number))
    }

    /// Lets one never be due again.
    pub(crate) fn cancel(&self, id: usize, memos: &mut Memos) {
        if let Some(one) = self.0.get(id) {
            memos.set(one.due, CANCELLED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PunctuationType::{StreamTime, WallClockTime};
    use super::*;

    fn schedule(clock: PunctuationType, every_ms: i64) -> Schedule {
        Schedule { clock, every_ms }
    }

    #[test]
    fn missed_intervals_are_one_call() {
        let (mut all, mut memos) = (Punctuations::default(), Memos::default());
        all.register((4, "node", 0), schedule(StreamTime, 10), &mut memos);
        all.start(0, &mut memos);
        let mut fired = Vec::new();
        for now in [3, 4, 10, 45, 49, 50, 61] {
            while let Some(one) = all.take_due(StreamTime, now, &mut memos) {
                assert_eq!(one, (4, 0));
                fired.push((now, all.next_due(StreamTime, &memos)));
            }
        }
        assert_eq!(fired, [(3, Some(10)), (10, Some(20)), (45, Some(50)), (50, Some(60)), (61, Some(70))]);
    }

    #[test]
    fn the_earliest_goes_first_and_a_cancelled_one_not_at_all() {
        let (mut all, mut memos) = (Punctuations::default(), Memos::default());
        all.register((0, "a", 0), schedule(WallClockTime, 50), &mut memos);
        let third = all.register((1, "b", 0), schedule(WallClockTime, 30), &mut memos);
        all.register((1, "b", 1), schedule(WallClockTime, 20), &mut memos);
        all.start(100, &mut memos);
        assert_eq!(all.next_due(WallClockTime, &memos), Some(120));
        assert_eq!(all.take_due(StreamTime, 1_000, &mut memos), None);
        assert_eq!(all.take_due(WallClockTime, 119, &mut memos), None);
        let mut fired = Vec::new();
        while let Some(one) = all.take_due(WallClockTime, 160, &mut memos) {
            fired.push(one);
        }
        assert_eq!(fired, [(1, 1), (1, 0), (0, 0)]);
        all.cancel(third, &mut memos);
        assert_eq!(all.take_due(WallClockTime, 180, &mut memos), Some((1, 1)));
        assert_eq!(all.take_due(WallClockTime, 199, &mut memos), None);
    }

    #[test]
    fn an_abort_takes_back_what_was_due() {
        let (mut all, mut memos) = (Punctuations::default(), Memos::default());
        all.register((0, "a", 0), schedule(StreamTime, 10), &mut memos);
        all.register((0, "a", 1), schedule(WallClockTime, 10), &mut memos);
        all.start(0, &mut memos);
        let mut saved = Vec::new();
        memos.save_to(&mut saved);
        all.take_due(StreamTime, 25, &mut memos);
        all.take_due(WallClockTime, 25, &mut memos);
        assert_eq!(memos.known().collect::<Vec<_>>(), [("a.punctuation-0", 30)]);
        memos.restore(&saved);
        assert_eq!(all.next_due(StreamTime, &memos), Some(0));
        assert_eq!(all.next_due(WallClockTime, &memos), Some(10));
    }
}
