//! What an application with all kinds of state must have written, by what its inputs hold in the end, whatever the order in
//! which they were read.
//!
//! Exactly once: each result is there once, and the newest of each window and session is right. At least once: each is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use anabranch::prelude::{ExactlyOnce, Guarantee};
use anabranch_host::Host;

use crate::committed::{Seen, all, number};
use crate::kinds_of_state::{END, GAP_MS, INPUTS, LAST_VISITS, WINDOW_MS, or_none};

const OUTPUTS: [&str; 8] =
    ["windows", "finals", "closed", "sessions", "pairs", "mates", "answers", "visited"];

/// What the topics hold in the end.
pub(crate) struct Topics(BTreeMap<&'static str, Vec<Seen>>);

/// Numbers by their keys.
type Numbers = BTreeMap<String, i64>;

impl Topics {
    /// Reads all of them.
    pub(crate) async fn read(host: &Host, partitions: i32) -> Topics {
        let mut topics = BTreeMap::new();
        for (name, partitions) in
            INPUTS.map(|input| (input, partitions)).into_iter().chain(OUTPUTS.map(|output| (output, 1)))
        {
            topics.insert(name, all(host, name, partitions).await);
        }
        Topics(topics)
    }

    fn of(&self, topic: &str) -> &[Seen] {
        &self.0[topic]
    }

    /// Records of an input that are there for more than to close what is open.
    fn asked(&self, topic: &str) -> impl Iterator<Item = &Seen> + Clone {
        self.of(topic).iter().filter(|record| record.key != END)
    }

    /// How often each text was written for each key.
    fn texts(&self, topic: &str) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for record in self.of(topic) {
            let text = std::str::from_utf8(&record.value).expect("text");
            *times.entry(format!("{} {text}", record.key)).or_default() += 1;
        }
        times
    }

    fn windows(&self) -> Numbers {
        let mut counts = Numbers::new();
        for event in self.asked("events") {
            let start = event.timestamp / WINDOW_MS * WINDOW_MS;
            *counts.entry(format!("{} {start}", event.key)).or_default() += 1;
        }
        counts
    }

    fn sessions(&self) -> Numbers {
        let mut times: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for event in self.asked("events") {
            times.entry(&event.key).or_default().push(event.timestamp);
        }
        let mut counts = Numbers::new();
        for (key, mut times) in times {
            times.sort_unstable();
            for session in times.chunk_by(|a, b| b - a <= GAP_MS) {
                let (first, last) = (session[0], session[session.len() - 1]);
                counts.insert(format!("{key} {first} {last}"), session.len() as i64);
            }
        }
        counts
    }

    /// Records of both sides of a key that are near each other.
    fn pairs(&self) -> BTreeSet<String> {
        let mut pairs = BTreeSet::new();
        for left in self.asked("left") {
            let meets = |right: &&Seen| {
                right.key == left.key && (right.timestamp - left.timestamp).abs() <= WINDOW_MS
            };
            for right in self.asked("right").filter(meets) {
                pairs.insert(format!("{} {} {}", left.key, number(&left.value), number(&right.value)));
            }
        }
        pairs
    }

    /// Records of both sides of a key, and those that are alone.
    fn mates(&self) -> BTreeSet<String> {
        let mut sides: BTreeMap<&str, [Vec<String>; 2]> = BTreeMap::new();
        for (side, topic) in ["left", "right"].into_iter().enumerate() {
            for record in self.asked(topic) {
                sides.entry(&record.key).or_default()[side].push(number(&record.value).to_string());
            }
        }
        let mut mates = BTreeSet::new();
        for (key, mut sides) in sides {
            if let Some(none) = sides.iter_mut().find(|side| side.is_empty()) {
                none.push(or_none(None));
            }
            let [left, right] = &sides;
            mates.extend(left.iter().flat_map(|l| right.iter().map(move |r| format!("{key} {l} {r}"))));
        }
        mates
    }

    fn answers(&self) -> BTreeSet<String> {
        let answer = |ask: &Seen| {
            let rows =
                self.of("rows").iter().filter(|row| row.key == ask.key && row.timestamp <= ask.timestamp);
            // Of several of one time the last one holds.
            let row = rows.max_by_key(|row| row.timestamp).filter(|row| !row.value.is_empty());
            let row = or_none(row.map(|row| number(&row.value)).as_ref());
            format!("{} {} {row}", ask.key, number(&ask.value))
        };
        self.asked("asks").map(answer).collect()
    }

    /// What each visit may have found.
    fn finds(&self) -> BTreeMap<(&str, i64), BTreeSet<String>> {
        let mut ever: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for row in self.of("places") {
            let row_number = (!row.value.is_empty()).then(|| number(&row.value));
            ever.entry(&row.key).or_default().push(or_none(row_number.as_ref()));
        }
        let finds = self.of("visits").iter().map(|visit| {
            let visit_number = number(&visit.value);
            let ever = &ever[&*visit.key];
            let first = if visit_number >= LAST_VISITS { ever.len() - 1 } else { 0 };
            ((&*visit.key, visit_number), ever[first..].iter().cloned().collect())
        });
        finds.collect()
    }
}

/// Fails if outputs are not what they must be.
pub(crate) fn judge(topics: &Topics, guarantee: Guarantee) {
    newest("windows", topics, &topics.windows(), guarantee);
    newest("sessions", topics, &topics.sessions(), guarantee);
    each_once("pairs", &topics.texts("pairs"), &topics.pairs(), guarantee);
    each_once("mates", &topics.texts("mates"), &topics.mates(), guarantee);
    each_once("answers", &topics.texts("answers"), &topics.answers(), guarantee);

    for what in ["finals", "closed"] {
        newest(what, topics, &topics.windows(), guarantee);
        if guarantee == ExactlyOnce {
            let (last, mut once) = (topics.of(what).iter().map(|last| &last.key), BTreeSet::new());
            let twice: Vec<_> = last.filter(|key| !once.insert(*key)).collect();
            assert!(twice.is_empty(), "{what} that are there more than once: {twice:?}");
        }
    }

    let finds = topics.finds();
    let mut visited = BTreeMap::new();
    for record in topics.of("visited") {
        let text = std::str::from_utf8(&record.value).expect("text");
        let (visit, row) = text.split_once(' ').expect("a visit and what it found");
        let visit = (&*record.key, visit.parse().expect("a number"));
        assert!(finds[&visit].contains(row), "{visit:?} found {row}, not one of {:?}", finds[&visit]);
        *visited.entry(visit).or_default() += 1;
    }
    each_once("visited", &visited, &finds.into_keys().collect(), guarantee);
}

/// Results that are never replaced.
fn each_once<T: Ord + Debug>(
    what: &str,
    written: &BTreeMap<T, usize>,
    expected: &BTreeSet<T>,
    guarantee: Guarantee,
) {
    let missing: Vec<_> = expected.iter().filter(|one| !written.contains_key(one)).collect();
    assert!(missing.is_empty(), "{what} that are missing: {missing:?} of {written:?}");
    if guarantee == ExactlyOnce {
        let wrong: Vec<_> =
            written.iter().filter(|(one, times)| **times != 1 || !expected.contains(one)).collect();
        assert!(wrong.is_empty(), "{what} that are wrong, or not there once: {wrong:?}");
    }
}

/// Counts that are replaced by later ones. None of them holds 0.
fn newest(what: &str, topics: &Topics, expected: &Numbers, guarantee: Guarantee) {
    let mut counts = Numbers::new();
    for record in topics.of(what).iter().filter(|record| !record.key.starts_with(END)) {
        counts.insert(record.key.clone(), number(&record.value));
    }
    counts.retain(|_, count| *count > 0);
    let missing: Vec<_> = expected
        .iter()
        .filter(|(key, count)| counts.get(*key).is_none_or(|counted| counted < count))
        .map(|(key, count)| (key, counts.get(key), count))
        .collect();
    assert!(missing.is_empty(), "{what} that are counted too low, and what they should be: {missing:?}");
    if guarantee == ExactlyOnce {
        let wrong: Vec<_> = counts.iter().filter(|(key, count)| expected.get(*key) != Some(count)).collect();
        assert!(wrong.is_empty(), "{what} that are wrong: {wrong:?}");
    }
}
