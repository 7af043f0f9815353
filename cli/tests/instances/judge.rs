//! What must be true in the end of outputs, stores and changelogs, given the input.
//!
//! The oracle is computed from the input as it stands in its topics. Exactly once: of each key the outputs are those of an
//! undisturbed run, record for record, and each pair that meets is there once. At least once: nothing is missing.

use std::collections::BTreeMap;
use std::fmt::Debug;

use anabranch::prelude::{AtLeastOnce, ExactlyOnce, Guarantee};

use crate::application::{WINDOW_MS, add, group};
use crate::kinds::Results;

/// A record as one reads it who reads nothing that may be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen<V> {
    pub(crate) partition: i32,
    pub(crate) timestamp: i64,
    pub(crate) key: String,
    pub(crate) value: V,
}

/// The newest value of each key of a store.
pub(crate) type Rows<V> = BTreeMap<String, V>;

/// What there is in the end. Within a partition, records are in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) numbers: Vec<Seen<i64>>,
    pub(crate) left: Vec<Seen<i64>>,
    pub(crate) right: Vec<Seen<i64>>,
    pub(crate) sums: Vec<Seen<String>>,
    pub(crate) pairs: Vec<Seen<String>>,
    pub(crate) counts: Vec<Seen<i64>>,
    pub(crate) results: Results,
    /// Of all instances.
    pub(crate) sums_store: Rows<String>,
    pub(crate) counts_store: Rows<i64>,
    pub(crate) sums_changelog: Rows<String>,
    pub(crate) counts_changelog: Rows<i64>,
}

/// What a topic holds of each key, in its order; and what is wrong with that.
fn by_key<'a, V: Clone + Debug>(
    seen: &'a [Seen<V>],
    violations: &mut Vec<String>,
) -> BTreeMap<&'a str, (i32, Vec<V>)> {
    let mut rows: BTreeMap<&str, (i32, Vec<V>)> = BTreeMap::new();
    for record in seen {
        let (partition, values) = rows.entry(&record.key).or_insert((record.partition, Vec::new()));
        if *partition != record.partition {
            violations.push(format!("{record:?} is not in partition {partition}, where its key is"));
        }
        values.push(record.value.clone());
    }
    rows
}

/// Whether `part` is `whole` without some of its values, but with its last one.
fn is_whole_merged<V: PartialEq>(part: &[V], whole: &[V]) -> bool {
    let mut whole_left = whole.iter();
    part.iter().all(|value| whole_left.any(|other| other == value)) && part.last() == whole.last()
}

/// Compares what was written for each key with what an undisturbed run writes.
fn compare<V: Clone + PartialEq + Debug>(
    what: &str,
    written: &[Seen<V>],
    expected: &BTreeMap<String, Vec<V>>,
    is_right: impl Fn(&[V], &[V]) -> bool,
) -> Vec<String> {
    let mut violations = Vec::new();
    let written = by_key(written, &mut violations);
    for (key, values) in expected {
        let found = written.get(key.as_str()).map(|(_, found)| found.as_slice()).unwrap_or_default();
        if !is_right(found, values) {
            let at = found.iter().zip(values).position(|(found, value)| found != value);
            let at = at.unwrap_or(found.len().min(values.len()));
            let around =
                |values: &[V]| format!("{:?}", &values[at.saturating_sub(2)..values.len().min(at + 5)]);
            violations.push(format!(
                "{what} of {key}: {} written, {} expected; around {at}: {} instead of {}",
                found.len(),
                values.len(),
                around(found),
                around(values)
            ));
        }
    }
    for key in written.keys().filter(|key| !expected.contains_key(**key)) {
        violations.push(format!("{what} of {key} are not expected"));
    }
    violations
}

/// Pairs that meet: `key left right`.
fn pairs_that_meet(left: &[Seen<i64>], right: &[Seen<i64>]) -> Vec<String> {
    let mut rights: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for right in right {
        rights.entry(&right.key).or_default().push((right.timestamp, right.value));
    }
    rights.values_mut().for_each(|rights| rights.sort_unstable());
    let mut met = Vec::new();
    for left in left {
        let rights = rights.get(left.key.as_str()).map(Vec::as_slice).unwrap_or_default();
        let first = rights.partition_point(|(time, _)| *time < left.timestamp - WINDOW_MS);
        let in_time = rights[first..].iter().take_while(|(time, _)| *time <= left.timestamp + WINDOW_MS);
        met.extend(in_time.map(|(_, right)| format!("{} {} {right}", left.key, left.value)));
    }
    met.sort_unstable();
    met
}

/// All that is wrong. `merged` says that several updates of a row may have been written as one.
pub(crate) fn judge(outcome: &Outcome, guarantee: Guarantee, merged: bool) -> Vec<String> {
    let mut violations = Vec::new();
    let mut sums: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, (_, numbers)) in by_key(&outcome.numbers, &mut violations) {
        let sum = |sum: &mut String, number| {
            *sum = add(sum, number);
            Some(sum.clone())
        };
        sums.insert(key.to_string(), numbers.into_iter().scan(String::new(), sum).collect());
    }
    let mut counts: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for left in &outcome.left {
        let start = left.timestamp / WINDOW_MS * WINDOW_MS;
        let counts = counts.entry(format!("{} {start}", group(&left.key, left.value))).or_default();
        counts.push(counts.len() as i64 + 1);
    }
    let expected_pairs = pairs_that_meet(&outcome.left, &outcome.right);
    let mut pairs: Vec<_> = outcome.pairs.iter().map(|pair| format!("{} {}", pair.key, pair.value)).collect();
    pairs.sort_unstable();
    match guarantee {
        ExactlyOnce => {
            let is_right = |found: &[String], all: &[String]| match merged {
                true => is_whole_merged(found, all),
                false => found == all,
            };
            violations.extend(compare("sums", &outcome.sums, &sums, is_right));
            let is_right = |found: &[i64], all: &[i64]| match merged {
                true => is_whole_merged(found, all),
                false => found == all,
            };
            violations.extend(compare("counts", &outcome.counts, &counts, is_right));
        }
        AtLeastOnce => {
            let count = |sum: &String| -> u64 {
                sum.split_once(' ').and_then(|(count, _)| count.parse().ok()).unwrap_or(0)
            };
            let is_right =
                |found: &[String], all: &[String]| found.last().map(count) >= all.last().map(count);
            violations.extend(compare("sums", &outcome.sums, &sums, is_right));
            violations
                .extend(compare("counts", &outcome.counts, &counts, |found, all| found.last() >= all.last()));
            pairs.dedup();
        }
    }
    let at = pairs.iter().zip(&expected_pairs).position(|(found, expected)| found != expected);
    let at = at.unwrap_or(pairs.len().min(expected_pairs.len()));
    if pairs != expected_pairs {
        violations.push(format!(
            "{} pairs, {} expected; the first that differs is {:?}, expected {:?}",
            pairs.len(),
            expected_pairs.len(),
            pairs.get(at),
            expected_pairs.get(at)
        ));
    }
    violations.extend(outcome.results.judge(&outcome.numbers, (&outcome.left, &outcome.right), guarantee));
    violations.extend(same("sums", &outcome.sums, &outcome.sums_store, &outcome.sums_changelog));
    violations.extend(same("counts", &outcome.counts, &outcome.counts_store, &outcome.counts_changelog));
    violations
}

/// Store, changelog and the last outputs are the same.
fn same<V: Clone + PartialEq + Debug>(
    what: &str,
    written: &[Seen<V>],
    store: &Rows<V>,
    changelog: &Rows<V>,
) -> Vec<String> {
    let last: Rows<V> = written.iter().map(|record| (record.key.clone(), record.value.clone())).collect();
    let mut violations = Vec::new();
    for (name, rows) in [("store", store), ("changelog", changelog)] {
        let differing = last.keys().chain(rows.keys()).find(|key| last.get(*key) != rows.get(*key));
        if let Some(key) = differing {
            violations.push(format!(
                "{what}, {key}: {:?} in the {name}, {:?} in the output ({} rows and {})",
                rows.get(key),
                last.get(key),
                rows.len(),
                last.len()
            ));
        }
    }
    violations
}

#[test]
fn the_judge_sees_what_is_wrong() {
    let seen = |key: &str, timestamp, value| Seen { partition: 0, timestamp, key: key.to_string(), value };
    let text = |key: &str, value: &str| Seen {
        partition: 0,
        timestamp: 0,
        key: key.to_string(),
        value: value.to_string(),
    };
    let sum = [1, 2, 3].iter().scan(String::new(), |sum, number| {
        *sum = add(sum, *number);
        Some(sum.clone())
    });
    let sums: Vec<_> = sum.map(|sum| text("a", &sum)).collect();
    let good = Outcome {
        numbers: vec![seen("a", 0, 1), seen("a", 0, 2), seen("a", 0, 3)],
        left: vec![seen("k", 100, 3), seen("k", 200, 6), seen("k", 2500, 9)],
        right: vec![seen("k", 1150, 4), seen("x", 100, 5)],
        sums_store: Rows::from([("a".to_string(), sums[2].value.clone())]),
        sums_changelog: Rows::from([("a".to_string(), sums[2].value.clone())]),
        sums,
        pairs: vec![text("k", "6 4")],
        counts: vec![seen("k 0 0", 0, 1), seen("k 0 0", 0, 2), seen("k 0 2000", 0, 1)],
        results: Results {
            sessions: vec![
                seen("k 100 100", 0, 1),
                seen("k 100 100", 0, 0),
                seen("k 100 200", 0, 2),
                seen("k 2500 2500", 0, 1),
            ],
            finals: vec![],
            placed: vec![text("k", "4 Some(0)"), text("x", "5 Some(0)")],
            answers: vec![text("a", "1 None"), text("a", "2 Some(2)"), text("a", "3 Some(2)")],
        },
        counts_store: Rows::from([("k 0 0".to_string(), 2), ("k 0 2000".to_string(), 1)]),
        counts_changelog: Rows::from([("k 0 0".to_string(), 2), ("k 0 2000".to_string(), 1)]),
    };
    let check = |change: &dyn Fn(&mut Outcome), expected: [usize; 3]| {
        let mut outcome = good.clone();
        change(&mut outcome);
        let violations = [(ExactlyOnce, false), (ExactlyOnce, true), (AtLeastOnce, false)]
            .map(|(guarantee, merged)| judge(&outcome, guarantee, merged));
        assert_eq!(violations.each_ref().map(Vec::len), expected, "{violations:#?}");
    };
    check(&|_| {}, [0, 0, 0]);
    check(&|outcome| drop(outcome.sums.remove(1)), [1, 0, 0]);
    check(&|outcome| drop(outcome.counts.remove(0)), [1, 0, 0]);
    check(&|outcome| outcome.sums.swap(0, 1), [1, 1, 0]);
    check(&|outcome| outcome.sums.insert(1, outcome.sums[0].clone()), [1, 1, 0]);
    check(&|outcome| outcome.counts.insert(1, outcome.counts[0].clone()), [1, 1, 0]);
    check(&|outcome| outcome.pairs.push(outcome.pairs[0].clone()), [1, 1, 0]);
    // What is missing, never was, or stands elsewhere.
    check(&|outcome| drop(outcome.sums.pop()), [3, 3, 3]);
    check(&|outcome| drop(outcome.counts.pop()), [3, 3, 3]);
    check(&|outcome| drop(outcome.pairs.pop()), [1, 1, 1]);
    check(&|outcome| outcome.pairs[0].value = "3 4".to_string(), [1, 1, 1]);
    check(&|outcome| outcome.counts[2].key = "k 0 3000".to_string(), [4, 4, 4]);
    check(&|outcome| outcome.sums[0].partition = 1, [2, 2, 2]);
    check(&|outcome| outcome.sums_store.clear(), [1, 1, 1]);
    check(&|outcome| outcome.counts_changelog.extend([("k 0 0".to_string(), 3)]), [1, 1, 1]);
}
