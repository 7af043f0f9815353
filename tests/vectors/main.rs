//! Kafka Streams 4.3.1, recorded, is the judge: the same topologies, fed the same records, must write the same bytes in
//! the same order, internal topics included, and describe themselves in the same words.
//!
//! `data/` holds the recordings of its TopologyTestDriver (`cached`: its default cache, `uncached`: cache size 0), one
//! file for each topology and seed; `topologies` builds each in our DSL.

#![allow(clippy::unwrap_used, reason = "a test binary: what is not there fails the test")]

mod recording;
mod replay;
mod topologies;

use std::path::PathBuf;

use anabranch::prelude::*;
use recording::Recording;

/// Replays the recordings of a topology in all three ways.
fn check(name: &str, optimizable: bool) {
    for folder in ["cached", "uncached"] {
        for seed in [1, 2] {
            let place = format!("{folder}/{name}-{seed}");
            let cached = Recording::of(&place.replace("uncached", "cached"));
            check_recording(&place, &Recording::of(&place), Some(&cached), optimizable);
        }
    }
}

fn check_recording(place: &str, recording: &Recording, cached: Option<&Recording>, optimizable: bool) {
    let name = &recording.topology;
    let build = topologies::named(name).unwrap_or_else(|| panic!("no topology `{name}`"));
    let topology = build(Optimization::NONE).unwrap();
    assert_eq!(topology.describe(), recording.describe, "{place}: description");
    if optimizable {
        let expected = recording.describe_optimized.as_deref().unwrap_or(&recording.describe);
        let optimized = build(Optimization::ALL).unwrap();
        assert_eq!(optimized.describe(), expected, "{place}: optimised description");
    }
    replay::exactly(&topology, recording, cached, place);
    replay::with_aborts(&topology, recording, cached, place);
    replay::with_few_commits(&topology, recording, place);
}

/// Recordings of the same topologies with other seeds and lengths: all files below the directory that
/// `ANABRANCH_VECTORS` names, if it does.
#[test]
fn recordings_of_others() {
    let Some(directory) = std::env::var_os("ANABRANCH_VECTORS").map(PathBuf::from) else {
        eprintln!("SKIPPED: recordings_of_others checks what ANABRANCH_VECTORS=directory holds");
        return;
    };
    let files = recording::files_below(&directory);
    assert!(!files.is_empty(), "{} holds no recording", directory.display());
    for file in files {
        let recording = Recording::read(&file);
        // Beside the uncached one: what it hides is told by the cached one.
        let sibling = PathBuf::from(file.to_string_lossy().replace("uncached", "cached"));
        let cached = recording::exists(&sibling).then(|| Recording::read(&sibling));
        check_recording(&file.display().to_string(), &recording, cached.as_ref(), true);
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
    cogroup,
    cogroup_session,
    cogroup_tumbling,
    count_by_key,
    dynamic_sink,
    emit_on_close_hopping,
    emit_on_close_session,
    emit_on_close_sliding,
    emit_on_close_tumbling,
    fk_join_inner,
    fk_join_left,
    flat_map_values_words,
    forward_to_children,
    global_table_inner,
    global_table_left,
    group_by_value_aggregate,
    headers_process_values,
    hopping_aggregate,
    in_memory_windows,
    map_swap,
    map_values,
    processor_punctuate,
    reduce_concat,
    repartition_named,
    select_key_count,
    session_aggregate,
    session_count,
    session_reduce,
    session_serde_sink,
    sliding_aggregate,
    sliding_reduce,
    store_key_value,
    store_session,
    store_versioned,
    store_window,
    stream_self_join,
    stream_stream_asymmetric,
    stream_stream_inner,
    stream_stream_left,
    stream_stream_outer,
    stream_table_inner,
    stream_table_left,
    stream_table_versioned_grace,
    stream_to_table,
    suppress_max_bytes,
    suppress_session_close,
    suppress_time_limit,
    suppress_window_close,
    table_filter,
    table_filter_materialized,
    table_group_by_aggregate,
    table_group_by_count,
    table_map_values,
    table_table_inner,
    table_table_left,
    table_table_outer,
    table_to_stream,
    timestamp_extractor,
    tumbling_count,
    tumbling_no_grace,
    two_counts_one_rekey,
    unlimited_count,
    unnamed_everything,
    unnamed_joins,
    versioned_table,
    versioned_table_group_by,
    windowed_serde_sink,
    windowed_table_filter,
    word_count,
}
