//! Judges a history: no acknowledged record lost, none twice, all in order.
//!
//! It knows nothing of how the records travelled. Gaps between offsets are legal (control records, compaction).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::consumers::MEMBER;
use crate::history::{Commit, CommitOutcome, History, Log, Outcome, Seen, Sent, Value};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// Two values at one offset.
    InconsistentOffset { log: Log, offset: i64, values: [Value; 2] },
    /// One value at two offsets.
    Duplicate { log: Log, value: Value, offsets: [i64; 2] },
    /// Acknowledged, and not there in the end.
    Lost { log: Log, value: Value, offset: Option<i64> },
    /// A consumer has seen it, and it is not there in the end.
    SeenAndGone { log: Log, value: Value, offset: i64 },
    /// There, though it was refused for good.
    RefusedAndWritten { log: Log, value: Value, offset: i64 },
    /// There, though nobody has sent it to this log.
    NeverSent { log: Log, value: Value, offset: i64 },
    /// Of one producer, the value sent first comes last.
    OutOfOrder { log: Log, producer: u32, values: [Value; 2] },
    /// A consumer was given an offset that is not above the one before.
    NotForward { log: Log, consumer: u32, offsets: [i64; 2] },
    /// Of an acknowledged commit, or a later one, nothing is left.
    CommitLost { log: Log, committed: i64, finally: Option<i64> },
    /// The group has committed past this record, and no member was ever given it.
    CommittedUnseen { log: Log, member: u32, committed: i64, offset: i64 },
    /// Between two records that a consumer was given one after the other lies this one.
    Skipped { log: Log, consumer: u32, offset: i64 },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a run was like, for a test that wants to know that it tested something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) acked: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    /// Of those with an unknown outcome, the ones that are there.
    pub(crate) unknown_and_written: usize,
    pub(crate) polled: usize,
    pub(crate) committed: usize,
}

impl Summary {
    /// Adds up several runs.
    pub(crate) fn add(&mut self, other: &Summary) {
        let Summary { acked, refused, unknown, unknown_and_written, polled, committed } = other;
        self.acked += acked;
        self.refused += refused;
        self.unknown += unknown;
        self.unknown_and_written += unknown_and_written;
        self.polled += polled;
        self.committed += committed;
    }
}

/// All violations of a history, and what it was like.
pub(crate) fn check(history: &History) -> (Vec<Violation>, Summary) {
    let mut logs: BTreeMap<&Log, Evidence<'_>> = BTreeMap::new();
    for sent in &history.sent {
        logs.entry(&sent.log).or_default().sent.push(sent);
    }
    for seen in &history.seen {
        let (Seen::Positioned { log, .. } | Seen::Polled { log, .. }) = seen;
        logs.entry(log).or_default().seen.push(seen);
    }
    for (log, records) in &history.finally {
        logs.entry(log).or_default().finally = records;
    }
    let mut violations = Vec::new();
    let mut summary = Summary::default();
    for (log, evidence) in logs {
        let before = violations.len();
        evidence.check_offsets(log, &mut violations);
        evidence.check_presence(log, &mut violations, &mut summary);
        // With offsets that contradict one another there is no order to speak of.
        if violations.len() == before {
            evidence.check_send_order(log, &mut violations);
            evidence.check_poll_order(log, &mut violations);
        }
        let commits: Vec<&Commit> = history.commits.iter().filter(|commit| commit.log == *log).collect();
        summary.committed += commits.iter().filter(|commit| commit.outcome == CommitOutcome::Acked).count();
        check_commits(log, &commits, history.finally_committed.get(log).copied(), &mut violations);
        evidence.check_committed_was_seen(history, &commits, &mut violations);
    }
    (violations, summary)
}

/// The last acknowledged commit is in force, or one that may have come after it.
fn check_commits(log: &Log, commits: &[&Commit], finally: Option<i64>, violations: &mut Vec<Violation>) {
    let acked = commits.iter().filter(|commit| commit.outcome == CommitOutcome::Acked);
    let Some(last) = acked.max_by_key(|commit| commit.asked) else { return };
    // One that was acknowledged before the last was even asked for was surely before it.
    let mut may_be_last = commits.iter().filter(|commit| commit.known > last.asked);
    if !may_be_last.any(|commit| Some(commit.offset) == finally) {
        violations.push(Violation::CommitLost { log: log.clone(), committed: last.offset, finally });
    }
}

/// What is known of one log.
#[derive(Default)]
struct Evidence<'a> {
    sent: Vec<&'a Sent>,
    seen: Vec<&'a Seen>,
    finally: &'a [(i64, Value)],
}

impl Evidence<'_> {
    fn polled(&self) -> impl Iterator<Item = (i64, Value)> {
        self.seen.iter().flat_map(|seen| {
            match seen {
                Seen::Polled { records, .. } => records.as_slice(),
                Seen::Positioned { .. } => &[],
            }
            .iter()
            .copied()
        })
    }

    fn acked(&self) -> impl Iterator<Item = (i64, Value)> {
        self.sent.iter().filter_map(|sent| match sent.outcome {
            Outcome::Acked { offset } => Some((offset?, sent.value)),
            Outcome::Refused | Outcome::Unknown => None,
        })
    }

    /// Whoever speaks of an offset says the same.
    fn check_offsets(&self, log: &Log, violations: &mut Vec<Violation>) {
        let mut values: BTreeMap<i64, Value> = BTreeMap::new();
        let mut offsets: BTreeMap<Value, i64> = BTreeMap::new();
        for (offset, value) in self.finally.iter().copied().chain(self.polled()).chain(self.acked()) {
            let first_value = *values.entry(offset).or_insert(value);
            if first_value != value {
                let values = [first_value, value];
                violations.push(Violation::InconsistentOffset { log: log.clone(), offset, values });
            }
            let first_offset = *offsets.entry(value).or_insert(offset);
            if first_offset != offset {
                let offsets = [first_offset, offset];
                violations.push(Violation::Duplicate { log: log.clone(), value, offsets });
            }
        }
        // Within the log itself, where one is read twice by mistake of the log rather than of somebody's memory.
        for pair in self.finally.windows(2) {
            if pair[0].0 >= pair[1].0 {
                let offsets = [pair[0].0, pair[1].0];
                violations.push(Violation::NotForward { log: log.clone(), consumer: u32::MAX, offsets });
            }
        }
        violations.dedup();
    }

    /// What was acknowledged or seen is there; what is there was sent.
    fn check_presence(&self, log: &Log, violations: &mut Vec<Violation>, summary: &mut Summary) {
        let there: BTreeMap<Value, i64> =
            self.finally.iter().map(|(offset, value)| (*value, *offset)).collect();
        let outcomes: BTreeMap<Value, Outcome> =
            self.sent.iter().map(|sent| (sent.value, sent.outcome)).collect();
        for (value, outcome) in &outcomes {
            let written = there.get(value);
            match outcome {
                Outcome::Acked { offset } => {
                    summary.acked += 1;
                    if written.is_none() {
                        violations.push(Violation::Lost { log: log.clone(), value: *value, offset: *offset });
                    }
                }
                Outcome::Refused => {
                    summary.refused += 1;
                    if let Some(offset) = written {
                        let (log, value, offset) = (log.clone(), *value, *offset);
                        violations.push(Violation::RefusedAndWritten { log, value, offset });
                    }
                }
                Outcome::Unknown => {
                    summary.unknown += 1;
                    summary.unknown_and_written += usize::from(written.is_some());
                }
            }
        }
        for (value, offset) in &there {
            if !outcomes.contains_key(value) {
                violations.push(Violation::NeverSent { log: log.clone(), value: *value, offset: *offset });
            }
        }
        let mut gone: BTreeMap<Value, i64> = BTreeMap::new();
        for (offset, value) in self.polled() {
            summary.polled += 1;
            if !there.contains_key(&value) {
                gone.insert(value, offset);
            }
        }
        let gone = gone.into_iter();
        violations.extend(gone.map(|(value, offset)| Violation::SeenAndGone {
            log: log.clone(),
            value,
            offset,
        }));
    }

    /// What one producer has sent lies in the order in which it was sent.
    fn check_send_order(&self, log: &Log, violations: &mut Vec<Violation>) {
        let offsets: BTreeMap<Value, i64> =
            self.finally.iter().map(|(offset, value)| (*value, *offset)).collect();
        let mut last: BTreeMap<u32, (Value, i64)> = BTreeMap::new();
        for sent in &self.sent {
            let Some(offset) = offsets.get(&sent.value).copied() else { continue };
            if let Some((before, offset_before)) = last.insert(sent.producer, (sent.value, offset))
                && offset_before > offset
            {
                let (log, producer, values) = (log.clone(), sent.producer, [before, sent.value]);
                violations.push(Violation::OutOfOrder { log, producer, values });
            }
        }
    }

    /// A consumer goes forward and leaves nothing out.
    fn check_poll_order(&self, log: &Log, violations: &mut Vec<Violation>) {
        let mut last: BTreeMap<u32, i64> = BTreeMap::new();
        for seen in &self.seen {
            match seen {
                Seen::Positioned { consumer, .. } => drop(last.remove(consumer)),
                Seen::Polled { consumer, records, .. } => {
                    for (offset, _) in records {
                        let Some(before) = last.insert(*consumer, *offset) else { continue };
                        if before >= *offset {
                            let (log, consumer, offsets) = (log.clone(), *consumer, [before, *offset]);
                            violations.push(Violation::NotForward { log, consumer, offsets });
                        } else if let Some(skipped) = self.first_between(before, *offset) {
                            let (log, consumer) = (log.clone(), *consumer);
                            violations.push(Violation::Skipped { log, consumer, offset: skipped });
                        }
                    }
                }
            }
        }
    }

    /// Nobody in the group commits past what the group was given.
    fn check_committed_was_seen(
        &self,
        history: &History,
        commits: &[&Commit],
        violations: &mut Vec<Violation>,
    ) {
        let mut given: BTreeSet<i64> = BTreeSet::new();
        let mut seen = 0;
        for commit in commits {
            for seen in &history.seen[seen..commit.seen] {
                if let Seen::Polled { consumer, log, records } = seen
                    && *log == commit.log
                    && *consumer >= MEMBER
                {
                    given.extend(records.iter().map(|(offset, _)| *offset));
                }
            }
            seen = commit.seen;
            let below = self.finally.iter().take_while(|(offset, _)| *offset < commit.offset);
            if let Some((offset, _)) = below.into_iter().find(|(offset, _)| !given.contains(offset)) {
                let (log, member, committed) = (commit.log.clone(), commit.member, commit.offset);
                violations.push(Violation::CommittedUnseen { log, member, committed, offset: *offset });
                // One gap shows in every commit after it.
                return;
            }
        }
    }

    /// The first record between two offsets.
    fn first_between(&self, after: i64, before: i64) -> Option<i64> {
        let next = self.finally.partition_point(|(offset, _)| *offset <= after);
        self.finally.get(next).map(|(offset, _)| *offset).filter(|offset| *offset < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Recorder;

    /// A history in words: `p1 5@0` producer 1 sent value 5, acknowledged at offset 0 (`5?` unknown, `5!` refused),
    /// `c1 5@0 6@1` consumer 1 was given those in one poll, `c1 seek`, `m1 2` member 1 committed offset 2 (`2?` unknown),
    /// `log 5@0 6@1` what is there in the end, `committed 2` what is committed then.
    fn history(text: &str) -> History {
        let log = || ("topic".to_string(), 0);
        let recorder = Recorder::default();
        for line in text.split(',') {
            let (who, what) = line.trim().split_once(' ').expect("who and what");
            let number = || who[1..].parse().expect("a number");
            let records = || -> Vec<(i64, Value)> {
                let at = |record: &str| {
                    let (value, offset) = record.split_once('@').expect("value@offset");
                    (offset.parse().expect("an offset"), value.parse().expect("a value"))
                };
                what.split_whitespace().filter(|record| *record != "-").map(at).collect()
            };
            match &who[..1] {
                "p" => {
                    let digits = what.split(['@', '?', '!']).next().expect("a value");
                    let sent = recorder.send(number(), log(), digits.parse().expect("a value"));
                    if what.contains('@') {
                        recorder.outcome(&sent, Outcome::Acked { offset: Some(records()[0].0) });
                    } else if what.contains('!') {
                        recorder.outcome(&sent, Outcome::Refused);
                    }
                }
                "m" => {
                    let offset = what.trim_end_matches('?').parse().expect("an offset");
                    let commit = recorder.commit(MEMBER + number(), log(), offset);
                    let outcome =
                        if what.ends_with('?') { CommitOutcome::Unknown } else { CommitOutcome::Acked };
                    recorder.committed(&commit, outcome);
                }
                _ if who == "committed" => {
                    recorder.finally_committed(log(), what.parse().expect("an offset"));
                }
                "c" if what == "seek" => recorder.positioned(number(), log()),
                "c" => recorder.polled(number(), log(), records()),
                _ => recorder.finally(log(), records()),
            }
        }
        recorder.read()
    }

    fn found(text: &str) -> Vec<String> {
        let name = |violation: &Violation| format!("{violation:?}").split(' ').next().map(str::to_string);
        check(&history(text)).0.iter().filter_map(name).collect()
    }

    #[test]
    fn what_is_right_passes() {
        for text in [
            "log -",
            "p1 5@0, p1 6@1, log 5@0 6@1",
            "p1 5?, log -",
            "p1 5?, log 5@0",
            "p1 5!, log -",
            "p1 5@0, p2 6@5, log 5@0 6@5",
            "p1 5@0, p1 6?, p1 7@2, p2 8@1, log 5@0 8@1 7@2",
            "p1 5@0, p1 6@3, c1 5@0, c1 6@3, log 5@0 6@3",
            "p1 5@0, p1 6@1, c1 5@0 6@1, c1 seek, c1 5@0, c2 6@1, log 5@0 6@1",
            "p1 5@0, c1001 5@0, m1 1, log 5@0, committed 1",
            "p1 5@0, p1 6@1, c1001 5@0, c1002 6@1, m1 1, m2 2?, log 5@0 6@1, committed 1",
            "p1 5@0, p1 6@1, c1001 5@0 6@1, m1 1?, m1 2, log 5@0 6@1, committed 1",
            "p1 5@0, c1001 5@0, m1 1?, log 5@0",
        ] {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_found() {
        for (text, expected) in [
            ("p1 5@0, p1 6@0, log 5@0 6@1", "InconsistentOffset"),
            ("p1 5@0, p1 6?, c1 6@0, log 5@0", "InconsistentOffset"),
            ("p1 5@0, log 5@0 5@1", "Duplicate"),
            ("p1 5@0, log 5@1", "Duplicate"),
            ("p1 5@0, c1 5@3, log 5@0", "Duplicate"),
            ("p1 5@0, log -", "Lost"),
            ("p1 5@0, p1 6@1, log 6@1", "Lost"),
            ("p1 5?, c1 5@0, log -", "SeenAndGone"),
            ("p1 5!, log 5@0", "RefusedAndWritten"),
            ("p1 5@0, log 5@0 9@1", "NeverSent"),
            ("p1 5@1, p1 6@0, log 6@0 5@1", "OutOfOrder"),
            ("p1 5?, p1 6@0, log 6@0 5@1", "OutOfOrder"),
            ("p1 5@0, p1 6@1, c1 6@1, c1 5@0, log 5@0 6@1", "NotForward"),
            ("p1 5@0, c1 5@0, c1 5@0, log 5@0", "NotForward"),
            ("p1 5@0, p1 6@1, p1 7@2, c1 5@0 7@2, log 5@0 6@1 7@2", "Skipped"),
            ("p1 5@0, p1 6@1, p1 7@2, c1 5@0, c1 7@2, log 5@0 6@1 7@2", "Skipped"),
            ("p1 5@0, c1001 5@0, m1 1, log 5@0", "CommitLost"),
            ("p1 5@0, p1 6@1, c1001 5@0 6@1, m1 1, m1 2, log 5@0 6@1, committed 1", "CommitLost"),
            ("p1 5@0, m1 1, c1001 5@0, log 5@0, committed 1", "CommittedUnseen"),
            ("p1 5@0, p1 6@1, c1001 6@1, m1 2, log 5@0 6@1, committed 2", "CommittedUnseen"),
            ("p1 5@0, c1 5@0, m1 1, log 5@0, committed 1", "CommittedUnseen"),
        ] {
            let found = found(text);
            assert!(found.iter().any(|name| name == expected), "{text}: {found:?}, not {expected}");
        }
    }

    #[test]
    fn summary_counts() {
        let (_, summary) = check(&history("p1 5@0, p1 6?, p1 7?, p1 8!, c1 5@0, log 5@0 6@1"));
        let expected =
            Summary { acked: 1, refused: 1, unknown: 2, unknown_and_written: 1, polled: 1, committed: 0 };
        assert_eq!(summary, expected);
    }
}
