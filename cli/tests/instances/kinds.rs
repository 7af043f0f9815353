//! What must be true in the end of sessions, of results that come once, and of what is joined with a global table and with
//! versions of rows.
//!
//! Exactly once: the newest count of each session is right, each window that has closed has given its count once, and each
//! record has met its place once, and the version of its time once that is there. At least once: nothing is missing or less.

use std::collections::{BTreeMap, BTreeSet};

use anabranch::prelude::{ExactlyOnce, Guarantee};

use crate::application::{GAP_MS, GRACE_MS, WINDOW_MS};
use crate::judge::{Rows, Seen};

/// What was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    pub(crate) sessions: Vec<Seen<i64>>,
    pub(crate) finals: Vec<Seen<i64>>,
    pub(crate) placed: Vec<Seen<String>>,
    pub(crate) answers: Vec<Seen<String>>,
}

impl Results {
    /// All that is wrong, given what was read.
    pub(crate) fn judge(
        &self,
        numbers: &[Seen<i64>],
        (left, right): (&[Seen<i64>], &[Seen<i64>]),
        guarantee: Guarantee,
    ) -> Vec<String> {
        let mut violations = self.judge_sessions(left, guarantee);
        violations.extend(self.judge_finals(left, guarantee));
        violations.extend(self.judge_placed(right, guarantee));
        violations.extend(self.judge_answers(numbers, guarantee));
        violations
    }

    fn judge_sessions(&self, left: &[Seen<i64>], guarantee: Guarantee) -> Vec<String> {
        let newest: Rows<i64> = self.sessions.iter().map(|seen| (seen.key.clone(), seen.value)).collect();
        let expected = sessions(left);
        let mut violations = Vec::new();
        for (session, count) in &expected {
            let found = newest.get(session).copied().unwrap_or(0);
            if found < *count || guarantee == ExactlyOnce && found != *count {
                violations.push(format!("the session {session} has {found} records instead of {count}"));
            }
        }
        // At least once, the deletion of one that has grown may be missing.
        for (session, count) in newest.iter().filter(|(session, _)| !expected.contains_key(*session)) {
            if guarantee == ExactlyOnce && *count != 0 {
                violations.push(format!("the session {session} has {count} records, and is none"));
            }
        }
        violations
    }

    fn judge_finals(&self, left: &[Seen<i64>], guarantee: Guarantee) -> Vec<String> {
        let mut found: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for seen in &self.finals {
            found.entry(&seen.key).or_default().push(seen.value);
        }
        let mut violations = Vec::new();
        for (window, (count, has_closed)) in windows(left) {
            let found = found.remove(window.as_str()).unwrap_or_default();
            let is_right = match (guarantee, has_closed) {
                (_, false) if found.is_empty() => true,
                (ExactlyOnce, _) => found == [count],
                _ => found.iter().any(|found| *found >= count),
            };
            if !is_right {
                violations.push(format!("the window {window} has given {found:?} instead of {count}"));
            }
        }
        violations.extend(found.keys().map(|window| format!("the window {window} is none")));
        violations
    }

    fn judge_placed(&self, right: &[Seen<i64>], guarantee: Guarantee) -> Vec<String> {
        let place =
            |key: &str| key.strip_prefix('k').and_then(|number| number.parse::<i64>().ok()).unwrap_or(0);
        let expected = right.iter().map(|seen| format!("{} {:?}", seen.value, Some(2 * place(&seen.key))));
        once(
            "placed",
            self.placed.iter().map(|seen| seen.value.clone()).collect(),
            expected.collect(),
            guarantee,
        )
    }

    /// A number may come before the first row of its key. Once a version is there it is not lost.
    fn judge_answers(&self, numbers: &[Seen<i64>], guarantee: Guarantee) -> Vec<String> {
        let expected = numbers.iter().map(|seen| seen.value.to_string()).collect();
        let (mut violations, mut found, mut has_version) = (Vec::new(), Vec::new(), BTreeSet::new());
        for Seen { key, value, .. } in &self.answers {
            let (number, version) = value.split_once(' ').unwrap_or_default();
            found.push(number.to_string());
            let is_right = match version {
                "Some(2)" => {
                    has_version.insert(key);
                    true
                }
                // The right one is still to come.
                "None" | "Some(1)" => guarantee != ExactlyOnce || !has_version.contains(key),
                _ => false,
            };
            if !is_right {
                violations.push(format!("{key}: {number} has met the version {version}"));
            }
        }
        violations.extend(once("answers", found, expected, guarantee));
        violations
    }
}

/// Whether all that is expected was found, and once if so.
fn once(what: &str, mut found: Vec<String>, mut expected: Vec<String>, guarantee: Guarantee) -> Vec<String> {
    expected.sort_unstable();
    found.sort_unstable();
    if guarantee != ExactlyOnce {
        found.dedup();
    }
    if found == expected {
        return Vec::new();
    }
    let at = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    let at = at.unwrap_or(found.len().min(expected.len()));
    let (of_found, of_expected) = (found.get(at), expected.get(at));
    vec![format!(
        "{} {what}, {} expected; the first that differs is {of_found:?}, expected {of_expected:?}",
        found.len(),
        expected.len()
    )]
}

/// The sessions of records, and how many each has.
fn sessions(left: &[Seen<i64>]) -> Rows<i64> {
    let mut times: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for record in left {
        times.entry(&record.key).or_default().push(record.timestamp);
    }
    let mut counts = Rows::new();
    for (key, mut times) in times {
        times.sort_unstable();
        for session in times.chunk_by(|a, b| b - a <= GAP_MS) {
            let (first, last) = (session[0], session[session.len() - 1]);
            counts.insert(format!("{key} {first} {last}"), session.len() as i64);
        }
    }
    counts
}

/// The windows of records, how many each has, and whether it must have closed: the newest update of a partition may have come
/// to the suppression a window late.
fn windows(left: &[Seen<i64>]) -> BTreeMap<String, (i64, bool)> {
    let mut newest: BTreeMap<i32, i64> = BTreeMap::new();
    for record in left {
        let newest = newest.entry(record.partition).or_default();
        *newest = record.timestamp.max(*newest);
    }
    let mut windows = BTreeMap::new();
    for record in left {
        let start = record.timestamp / WINDOW_MS * WINDOW_MS;
        let has_closed = start + 2 * WINDOW_MS + GRACE_MS <= newest[&record.partition];
        let window = windows.entry(format!("{} {start}", record.key)).or_insert((0, has_closed));
        window.0 += 1;
    }
    windows
}

#[test]
fn what_is_wrong_is_seen() {
    let seen = |key: &str, timestamp, value| Seen { partition: 0, timestamp, key: key.to_string(), value };
    let placed =
        |value: &str| Seen { partition: 0, timestamp: 0, key: "k3".to_string(), value: value.to_string() };
    let left = [seen("k", 100, 1), seen("k", 150, 2), seen("k", 90_000, 3)];
    let (right, numbers) = ([seen("k3", 0, 7)], [seen("k3", 0, 8), seen("k3", 0, 9)]);
    let good = Results {
        sessions: vec![
            seen("k 100 100", 0, 1),
            seen("k 100 100", 0, 0),
            seen("k 100 150", 0, 2),
            seen("k 90000 90000", 0, 1),
        ],
        finals: vec![seen("k 0", 0, 2)],
        placed: vec![placed("7 Some(6)")],
        answers: vec![placed("8 None"), placed("9 Some(2)")],
    };
    let check = |change: &dyn Fn(&mut Results), expected: [usize; 2]| {
        let mut results = good.clone();
        change(&mut results);
        let violations =
            [ExactlyOnce, Guarantee::AtLeastOnce].map(|one| results.judge(&numbers, (&left, &right), one));
        assert_eq!(violations.each_ref().map(Vec::len), expected, "{violations:#?}");
    };
    check(&|_| {}, [0, 0]);
    check(&|results| drop(results.sessions.remove(1)), [1, 0]);
    check(&|results| results.sessions[2].value = 3, [1, 0]);
    check(&|results| drop(results.sessions.pop()), [1, 1]);
    check(&|results| results.finals.push(seen("k 0", 0, 3)), [1, 0]);
    check(&|results| results.finals[0].value = 1, [1, 1]);
    check(&|results| results.finals.clear(), [1, 1]);
    check(&|results| results.finals.push(seen("k 1000", 0, 1)), [1, 1]);
    check(&|results| results.placed.push(placed("7 Some(6)")), [1, 0]);
    check(&|results| results.placed[0].value = "7 None".to_string(), [1, 1]);
    check(&|results| results.answers[0].value = "8 Some(3)".to_string(), [1, 1]);
    check(&|results| results.answers.swap(0, 1), [1, 0]);
    check(&|results| drop(results.answers.pop()), [1, 1]);
}
