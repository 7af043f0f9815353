//! A recording, replayed in three ways: as it was made, with aborts, and with few commits.

use std::collections::BTreeMap;

use anabranch::prelude::*;

use crate::recording::{Recorded, Recording, Step, Written};

/// Topologies of which Kafka Streams is not followed in some steps of the uncached recordings. Without its cache its store
/// hides expired rows that a record within grace, or a final result, still needs: results are lost when time jumps,
/// sessions at the edge do not merge. There, what the cached recording of the same step shows is right.
const HIDES_ROWS: &[&str] = &[
    "emit_on_close_hopping",
    "emit_on_close_tumbling",
    "session_count",
    "session_reduce",
    "session_serde_sink",
    "suppress_session_close",
];

/// Topologies whose results depend on when an abort happens: a punctuation by the wall clock begins anew with its task.
const BY_THE_WALL_CLOCK: &[&str] = &["processor_punctuate"];

/// What merged updates leave alone in a topology.
#[derive(Clone, Copy, PartialEq)]
enum Merged {
    /// The rows of all stores, and the last records of all outputs.
    Everything,
    /// The values of the outputs; the rest tells how they came about.
    Values,
    /// Nothing: the results depend on what was merged.
    Nothing,
}

/// Topologies in which it shows which updates were merged before they went on.
const MERGES: &[(&str, Merged, &str)] = &[
    (
        "fk_join_inner",
        Merged::Values,
        "a subscription says how it differs from the one before, times are of updates seen",
    ),
    ("fk_join_left", Merged::Values, "as above"),
    ("suppress_max_bytes", Merged::Nothing, "what is buffered when depends on the updates seen"),
    ("suppress_max_records", Merged::Nothing, "as above"),
    (
        "suppress_session_close",
        Merged::Nothing,
        "a flush brings updates of old sessions behind those of new ones",
    ),
    ("suppress_time_limit", Merged::Nothing, "what is buffered when depends on the updates seen"),
    (
        "table_group_by_aggregate",
        Merged::Nothing,
        "it tells what was added and subtracted, and in which order",
    ),
    ("table_group_by_count", Merged::Values, "times are of updates seen"),
];

fn config(caching: bool) -> TestConfig {
    TestConfig::new().application_id("app").on_error(fail()).caching(caching).emit_interval(millis(0))
}

/// Step by step, a commit after each record: what is written must be equal in bytes and order.
pub(crate) fn exactly(topology: &Topology, recording: &Recording, cached: Option<&Recording>, place: &str) {
    let driver = TestDriver::with(topology, config(recording.cached)).unwrap();
    compare(&driver, recording, cached, place);
}

/// The same, and every fifth epoch is aborted and processed again: nothing may differ.
pub(crate) fn with_aborts(
    topology: &Topology,
    recording: &Recording,
    cached: Option<&Recording>,
    place: &str,
) {
    if BY_THE_WALL_CLOCK.contains(&recording.topology.as_str()) {
        return;
    }
    let driver = TestDriver::with(topology, config(recording.cached).abort_every(5)).unwrap();
    compare(&driver, recording, cached, &format!("{place} with aborts"));
}

fn compare(driver: &TestDriver, recording: &Recording, cached: Option<&Recording>, place: &str) {
    for (number, step) in recording.steps.iter().enumerate() {
        let (internal, out): (Vec<_>, Vec<_>) = take_step(driver, step, place, number)
            .into_iter()
            .partition(|written| written.topic.starts_with("app-"));
        let equals = |expected: &Recorded| out == expected.out && internal == expected.internal;
        let hides = !recording.cached && HIDES_ROWS.contains(&recording.topology.as_str());
        if hides && cached.is_some_and(|cached| equals(&cached.steps[number])) {
            continue;
        }
        let input = &step.input;
        let what = format!("{place}, step {number} {input:?}");
        assert_eq!(out, step.out, "{what}: output (left ours, right Kafka Streams')");
        assert_eq!(internal, step.internal, "{what}: internal topics (left ours)");
    }
}

/// A commit once every seven records: rows and the last values of all outputs must be those of the recording.
pub(crate) fn with_few_commits(topology: &Topology, recording: &Recording, place: &str) {
    let name = recording.topology.as_str();
    let hides = !recording.cached && HIDES_ROWS.contains(&name);
    let merged =
        MERGES.iter().find(|(known, ..)| *known == name).map_or(Merged::Everything, |(_, merged, _)| *merged);
    if hides || merged == Merged::Nothing {
        return;
    }
    let driver = TestDriver::with(topology, config(recording.cached).commit_every(7)).unwrap();
    let mut written = Vec::new();
    for (number, step) in recording.steps.iter().enumerate() {
        written.extend(take_step(&driver, step, place, number));
    }
    driver.commit().unwrap_or_else(|error| panic!("{place}: {error}"));
    written.extend(take_written(&driver));
    let recorded = recording.steps.iter().flat_map(|step| step.out.iter().chain(&step.internal));
    let (ours, expected) = (folded(written.iter()), folded(recorded));
    if merged == Merged::Values {
        let values = |rows: Rows<'_>| -> Vec<(String, Option<Bytes>, Option<Bytes>)> {
            let outputs = rows.into_iter().filter(|((topic, _), _)| !topic.starts_with("app-"));
            outputs.map(|((topic, key), row)| (topic.to_owned(), key.cloned(), row.value.clone())).collect()
        };
        assert_eq!(values(ours), values(expected), "{place} with few commits (left ours)");
        return;
    }
    for (at, record) in &expected {
        assert_eq!(ours.get(at), Some(record), "{place} with few commits: {at:?} (left ours)");
    }
    assert_eq!(ours.len(), expected.len(), "{place} with few commits: {ours:?} is more than {expected:?}");
}

type Rows<'w> = BTreeMap<(&'w str, Option<&'w Bytes>), &'w RawRecord>;

/// The last record of each key: of an output what it says last, of a changelog the row that it leaves.
fn folded<'w>(written: impl Iterator<Item = &'w Written>) -> Rows<'w> {
    let mut rows = Rows::new();
    for Written { topic, record } in written {
        let changelog = topic.starts_with("app-") && topic.ends_with("-changelog");
        if topic.starts_with("app-") && !changelog {
            continue;
        }
        let at = (topic.as_str(), record.key.as_ref());
        if record.value.is_none() {
            // Whether a deletion is told of depends on whether the row was ever told of.
            rows.remove(&at);
        } else {
            rows.insert(at, record);
        }
    }
    rows
}

fn take_step(driver: &TestDriver, step: &Recorded, place: &str, number: usize) -> Vec<Written> {
    match &step.input {
        Step::Advance(ms) => driver.try_advance_wall_clock(millis(*ms)),
        Step::Record { topic, record } => driver.pipe_raw(topic, record.clone()),
    }
    .unwrap_or_else(|error| panic!("{place}, step {number}: {error}"));
    take_written(driver)
}

fn take_written(driver: &TestDriver) -> Vec<Written> {
    driver
        .produced_topics()
        .into_iter()
        .flat_map(|topic| {
            let records: Vec<RawRecord> = std::iter::from_fn(|| driver.read_raw(&topic)).collect();
            records.into_iter().map(move |record| Written { topic: topic.clone(), record })
        })
        .collect()
}
