//! Kafka Streams 4.3.1, recorded, is the judge: the same topologies, fed the same records, must write the same bytes in
//! the same order, internal topics included, and describe themselves in the same words.
//!
//! `data/` holds the recordings of its TopologyTestDriver (`cached`: its default cache, `uncached`: cache size 0), one
//! file for each topology and seed; `topologies` builds each in our DSL.

#![allow(clippy::unwrap_used, reason = "a test binary: what is not there fails the test")]

mod recording;
mod topologies;

use anabranch::prelude::*;
use recording::{Recording, Step, Written};

fn check(name: &str, optimizable: bool) {
    let build = topologies::named(name).unwrap_or_else(|| panic!("no topology `{name}`"));
    for folder in ["cached", "uncached"] {
        for seed in [1, 2] {
            let recording = Recording::read(folder, name, seed);
            let topology = build(Optimization::NONE).unwrap();
            assert_eq!(topology.describe(), recording.describe, "{name}: description");
            if optimizable {
                let expected = recording.describe_optimized.as_deref().unwrap_or(&recording.describe);
                assert_eq!(
                    build(Optimization::ALL).unwrap().describe(),
                    expected,
                    "{name}: optimised description"
                );
            }
            replay(&topology, &recording, folder == "cached", &format!("{folder}/{name}-{seed}"));
        }
    }
}

fn replay(topology: &Topology, recording: &Recording, caching: bool, name: &str) {
    let config = TestConfig::new().application_id("app").on_error(fail()).caching(caching);
    let driver = TestDriver::with(topology, config).unwrap();
    for (number, step) in recording.steps.iter().enumerate() {
        match &step.input {
            Step::Advance(ms) => driver.try_advance_wall_clock(millis(*ms)),
            Step::Record { topic, record } => driver.pipe_raw(topic, record.clone()),
        }
        .unwrap_or_else(|error| panic!("{name}, step {number}: {error}"));
        let written: Vec<Written> = driver
            .produced_topics()
            .into_iter()
            .flat_map(|topic| {
                let records: Vec<RawRecord> = std::iter::from_fn(|| driver.read_raw(&topic)).collect();
                records.into_iter().map(move |record| Written { topic: topic.clone(), record })
            })
            .collect();
        let (internal, out): (Vec<_>, Vec<_>) =
            written.into_iter().partition(|written| written.topic.starts_with("app-"));
        let input = &step.input;
        assert_eq!(
            out, step.out,
            "{name}, step {number} {input:?}: output (left ours, right Kafka Streams')"
        );
        assert_eq!(internal, step.internal, "{name}, step {number} {input:?}: internal topics (left ours)");
    }
}

macro_rules! vectors {
    ($($name:ident),* $(,)?) => { $(
        #[test]
        fn $name() {
            check(stringify!($name), true);
        }
    )* };
}

vectors! {
    aggregate_concat,
    branch_merge,
    count_by_key,
    dynamic_sink,
    flat_map_values_words,
    group_by_value_aggregate,
    map_swap,
    map_values,
    reduce_concat,
    repartition_named,
    select_key_count,
    stream_to_table,
    table_filter,
    table_filter_materialized,
    table_map_values,
    table_to_stream,
    unnamed_everything,
    word_count,
}
