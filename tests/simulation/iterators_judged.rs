//! What an iterator over a store may have shown, by what the input holds: each record's effect on each store is known from the
//! record alone, so a store at any moment is the fold of a beginning of its partition.
//!
//! Exactly once, and where nothing fails, the rows are those of the position that the answer has told, no more and no less. At
//! least once, and in copies, records after that position may have had their effects already; none before it is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::committed::{Seen, number};

/// Starts of windows and ends of sessions are multiples of this...
pub(crate) const STEP_MS: i64 = 600_000;
/// ...and sessions so long, which is longer.
pub(crate) const SESSION_MS: i64 = 1_500_000;
/// Stores keep this, and all times lie within it.
pub(crate) const RETENTION_MS: i64 = 7_200_000;
/// Rows come by segments of this.
const SEGMENT_MS: i64 = RETENTION_MS / 2;

/// A store that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Rows,
    Windows,
    Sessions,
}

/// Which row: its key, and its times where it has some.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) key: String,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
}

impl Kind {
    /// The row that a record writes or deletes.
    pub(crate) fn row(self, key: &str, timestamp: i64) -> Name {
        let (start_ms, end_ms) = match self {
            Kind::Rows => (0, 0),
            Kind::Windows => (timestamp, timestamp),
            Kind::Sessions => (timestamp - SESSION_MS, timestamp),
        };
        Name { key: key.to_string(), start_ms, end_ms }
    }
}

/// Whether a record of this value deletes.
pub(crate) fn deletes(value: i64) -> bool {
    value % 4 == 0
}

/// The value of a row: which record has written it.
pub(crate) fn stamp(partition: i32, offset: i64) -> i64 {
    i64::from(partition) << 32 | offset
}

fn partition_of(stamp: i64) -> i32 {
    (stamp >> 32) as i32
}

/// Which keys are asked for.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    All,
    /// From one to another, both included.
    Range(String, String),
    Prefix(String),
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) kind: Kind,
    pub(crate) keys: Keys,
    /// Windows that start between these times, sessions that overlap them.
    pub(crate) times: (i64, i64),
    pub(crate) is_reverse: bool,
    /// All rows at once, and in one order.
    pub(crate) at_once: bool,
    pub(crate) stale: bool,
}

impl Question {
    fn asks_for(&self, row: &Name) -> bool {
        let (from, to) = self.times;
        let is_key = match &self.keys {
            Keys::All => true,
            Keys::Range(first, last) => (first..=last).contains(&&row.key),
            Keys::Prefix(prefix) => row.key.starts_with(prefix),
        };
        is_key && (self.kind == Kind::Rows || (row.end_ms >= from && row.start_ms <= to))
    }

    /// By what the rows are in order: among those of one task, if they come one by one.
    fn place(&self, partition: i32, row: &Name) -> impl Ord + use<> {
        let Name { key, start_ms, end_ms } = row.clone();
        match self.at_once {
            true => ((0, 0), Name { key: String::new(), start_ms: end_ms, end_ms: start_ms }, key),
            false => {
                let partition = if self.is_reverse { -partition } else { partition };
                let segment = end_ms / SEGMENT_MS;
                ((partition, segment), Name { key, start_ms: end_ms, end_ms: start_ms }, String::new())
            }
        }
    }
}

/// How the reading of an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All was read.
    Whole,
    /// The reader had enough.
    GivenUp,
    /// The application ended.
    Migrated,
}

/// What was shown.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) question: Question,
    /// Which instance was asked...
    pub(crate) life: u64,
    /// ...and when, and when all was read.
    pub(crate) opened: Duration,
    pub(crate) ended: Duration,
    /// By partition, the last offset that the tasks which are there reflect.
    pub(crate) position: BTreeMap<i32, i64>,
    pub(crate) rows: Vec<(Name, i64)>,
    pub(crate) end: End,
}

/// A store at a moment: the stamp of each row.
type Moment = BTreeMap<Name, i64>;

/// What records have made of a row, by their offsets; `None`: they have deleted it.
type Changes = Vec<(i64, Option<i64>)>;

/// What the stores were at each moment: the changes of each row, by store and partition.
pub(crate) struct Log(BTreeMap<(Kind, i32), BTreeMap<Name, Changes>>);

impl Log {
    /// By the stores' input, whose records come in the order of their offsets.
    pub(crate) fn new(records: &[Seen]) -> Log {
        let mut log = Log(BTreeMap::new());
        for record in records {
            let left = (!deletes(number(&record.value))).then(|| stamp(record.partition, record.offset));
            for kind in [Kind::Rows, Kind::Windows, Kind::Sessions] {
                let rows = log.0.entry((kind, record.partition)).or_default();
                let row = rows.entry(kind.row(&record.key, record.timestamp)).or_default();
                row.push((record.offset, left));
            }
        }
        log
    }

    /// The rows that are asked for once the records up to one have been processed.
    fn moment(&self, question: &Question, partition: i32, last: i64) -> Moment {
        let rows = self.0.get(&(question.kind, partition)).into_iter().flatten();
        let asked = rows.filter(|(row, _)| question.asks_for(row));
        let now = |changes: &[(i64, Option<i64>)]| changes.iter().rfind(|(offset, _)| *offset <= last)?.1;
        asked.filter_map(|(row, changes)| Some((row.clone(), now(changes)?))).collect()
    }

    /// Whether a row may be shown like this (`None`: not at all) where records after `last` may have had their effects.
    fn may_be(&self, kind: Kind, partition: i32, last: i64, row: &Name, shown: Option<i64>) -> bool {
        let changes = self.0.get(&(kind, partition)).and_then(|rows| rows.get(row));
        let changes = changes.map_or(&[][..], Vec::as_slice);
        let (before, later) = changes.split_at(changes.partition_point(|(offset, _)| *offset <= last));
        before.last().and_then(|(_, left)| *left) == shown || later.iter().any(|(_, left)| *left == shown)
    }
}

/// Fails if the answer cannot have been one of one moment. `is_exact` says that what is committed is all that there is.
pub(crate) fn judge(log: &Log, answer: &Answer, is_exact: bool) {
    let Answer { question, position, rows, end, .. } = answer;
    let is_exact = is_exact && !question.stale;
    for pair in rows.windows(2) {
        let [left, right] =
            [&pair[0], &pair[1]].map(|(row, stamp)| question.place(partition_of(*stamp), row));
        let in_order = match (question.is_reverse, question.at_once) {
            // Several tasks may have the same key.
            (false, true) => left <= right,
            (true, true) => left >= right,
            (false, false) => left < right,
            (true, false) => left > right,
        };
        assert!(in_order, "{pair:?} are out of order in {answer:?}");
    }
    let mut shown: BTreeMap<i32, Moment> = BTreeMap::new();
    for (row, stamp) in rows {
        let before = shown.entry(partition_of(*stamp)).or_default().insert(row.clone(), *stamp);
        assert_eq!(before, None, "{row:?} is there twice in {answer:?}");
        assert!(question.asks_for(row), "{row:?} was not asked for in {answer:?}");
    }
    // One by one, of the last task that was come to, and of those after it, not all may have been read.
    let come_to = match end {
        End::Whole => i32::MAX,
        _ => shown.last_key_value().map_or(-1, |(partition, _)| *partition),
    };
    let partitions: BTreeSet<i32> = shown.keys().chain(position.keys()).copied().collect();
    for partition in &partitions {
        let (last, nothing) = (position.get(partition).copied(), Moment::new());
        let shown = shown.get(partition).unwrap_or(&nothing);
        let expected = log.moment(question, *partition, last.unwrap_or(-1));
        let is_whole = last.is_some() && *partition < come_to;
        if is_exact {
            let of_all = shown.iter().all(|(row, stamp)| expected.get(row) == Some(stamp));
            let is_right = if is_whole { *shown == expected } else { of_all };
            assert!(is_right, "partition {partition} should show {expected:?} in {answer:?}");
            if !is_whole && *partition == come_to {
                // What was read is what comes first.
                let mut all: Vec<_> = expected.keys().collect();
                all.sort_by_key(|row| question.place(*partition, row));
                let first =
                    if question.is_reverse { &all[all.len() - shown.len()..] } else { &all[..shown.len()] };
                assert!(
                    first.iter().all(|row| shown.contains_key(row)),
                    "rows are passed over in {answer:?}"
                );
            }
            continue;
        }
        let last = last.unwrap_or(-1);
        for (row, stamp) in shown {
            let is_right = log.may_be(question.kind, *partition, last, row, Some(*stamp));
            assert!(
                is_right,
                "{row:?} was never like this after {last} of partition {partition} in {answer:?}"
            );
        }
        for row in expected.keys().filter(|row| is_whole && !shown.contains_key(row)) {
            let is_right = log.may_be(question.kind, *partition, last, row, None);
            assert!(is_right, "{row:?} is missing at {last} of partition {partition} in {answer:?}");
        }
    }
}
