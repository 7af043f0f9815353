//! Tables whose updates are held back.

use anabranch::prelude::*;

use super::{Build, IN};

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] = &[
    ("suppress_max_bytes", suppress_max_bytes),
    ("suppress_session_close", suppress_session_close),
    ("suppress_time_limit", suppress_time_limit),
    ("suppress_window_close", suppress_window_close),
];

fn suppress_max_bytes(b: &StreamsBuilder) {
    let limit = until_time_limit(millis(40), max_bytes(120).emit_early_when_full());
    b.table_with(IN, "t").suppress(limit).to_stream().to("out");
}

fn suppress_time_limit(b: &StreamsBuilder) {
    let limit = until_time_limit(millis(25), max_records(3).emit_early_when_full());
    b.table_with(IN, "t").suppress(limit).to_stream().to("out");
}

fn suppress_window_close(b: &StreamsBuilder) {
    b.stream(IN)
        .group_by_key()
        .windowed_by(Tumbling::of(millis(20)).grace(millis(10)))
        .count_with("w")
        .suppress(until_window_closes())
        .to_stream()
        .map(|k, n| (format!("{}@{}/{}", k.key, k.window.start_ms, k.window.end_ms), n))
        .to(Topic::<String, Option<i64>>::new("out"));
}

fn suppress_session_close(b: &StreamsBuilder) {
    b.stream(IN)
        .group_by_key()
        .windowed_by(Session::gap(millis(10)).grace(millis(5)))
        .count_with("s")
        .suppress(until_window_closes())
        .to_stream()
        .map(|k, n| (format!("{}@{}/{}", k.key, k.window.start_ms, k.window.end_ms), n))
        .to(Topic::<String, Option<i64>>::new("out"));
}
