//! Aggregations in windows.

use anabranch::prelude::*;

use super::{Build, IN};

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] = &[
    ("emit_on_close_hopping", emit_on_close_hopping),
    ("emit_on_close_session", emit_on_close_session),
    ("emit_on_close_sliding", emit_on_close_sliding),
    ("emit_on_close_tumbling", emit_on_close_tumbling),
    ("hopping_aggregate", hopping_aggregate),
    ("in_memory_windows", in_memory_windows),
    ("session_aggregate", session_aggregate),
    ("session_count", session_count),
    ("session_reduce", session_reduce),
    ("session_serde_sink", session_serde_sink),
    ("sliding_aggregate", sliding_aggregate),
    ("sliding_reduce", sliding_reduce),
    ("timestamp_extractor", timestamp_extractor),
    ("tumbling_count", tumbling_count),
    ("tumbling_no_grace", tumbling_no_grace),
    ("two_counts_one_rekey", two_counts_one_rekey),
    ("unlimited_count", unlimited_count),
    ("windowed_serde_sink", windowed_serde_sink),
    ("windowed_table_filter", windowed_table_filter),
];

fn grouped(b: &StreamsBuilder) -> KGroupedStream<String, Option<String>> {
    b.stream(IN).group_by_key()
}

/// A window's start and end, as the recordings print them.
pub(super) trait Ends {
    /// Start and end in milliseconds.
    fn ends(&self) -> (i64, i64);
}

impl Ends for TimeWindow {
    fn ends(&self) -> (i64, i64) {
        (self.start_ms, self.end_ms)
    }
}

impl Ends for SessionWindow {
    fn ends(&self) -> (i64, i64) {
        (self.start_ms, self.end_ms)
    }
}

impl Ends for UnlimitedWindow {
    fn ends(&self) -> (i64, i64) {
        (self.start_ms, i64::MAX)
    }
}

/// Writes updates as `key@start/end`.
pub(super) fn to_out<W: Ends + Item + Clone, V: Data>(table: &KTable<Windowed<String, W>, V>)
where
    Windowed<String, W>: Data,
{
    table.to_stream().map(|key, value| (key_at(&key), value)).to("out");
}

fn key_at<W: Ends>(key: &Windowed<String, W>) -> String {
    let (start, end) = key.window.ends();
    format!("{}@{start}/{end}", key.key)
}

fn append(_: &String, value: Option<String>, all: String) -> String {
    all + value.as_deref().unwrap_or("null")
}

fn concat(a: String, b: Option<String>) -> String {
    a + b.as_deref().unwrap_or("null")
}

fn tumbling_count(b: &StreamsBuilder) {
    to_out(&grouped(b).windowed_by(Tumbling::of(millis(20)).grace(millis(15))).count_with("w"));
}

fn tumbling_no_grace(b: &StreamsBuilder) {
    to_out(&grouped(b).windowed_by(Tumbling::of(millis(20))).count_with("w"));
}

fn hopping_aggregate(b: &StreamsBuilder) {
    let windows = Hopping::of(millis(30)).every(millis(10)).grace(millis(20));
    to_out(&grouped(b).windowed_by(windows).aggregate_with(String::new, append, "w"));
}

const IN_MEMORY: Store<Windows<String, String>> = Store::named("w").in_memory();

fn in_memory_windows(b: &StreamsBuilder) {
    let windows = Hopping::of(millis(20)).every(millis(5)).grace(millis(15));
    to_out(&grouped(b).windowed_by(windows).reduce_with(concat, IN_MEMORY));
}

fn sliding_aggregate(b: &StreamsBuilder) {
    let windows = Sliding::of(millis(20)).grace(millis(30));
    to_out(&grouped(b).windowed_by(windows).aggregate_with(String::new, append, "w"));
}

fn sliding_reduce(b: &StreamsBuilder) {
    let windows = Sliding::of(millis(15)).grace(millis(10));
    to_out(&grouped(b).windowed_by(windows).reduce_with(concat, "w"));
}

fn unlimited_count(b: &StreamsBuilder) {
    to_out(&grouped(b).windowed_by(Unlimited::starting_at(50)).count_with("w"));
}

fn session_count(b: &StreamsBuilder) {
    to_out(&grouped(b).windowed_by(Session::gap(millis(15)).grace(millis(20))).count_with("s"));
}

fn session_reduce(b: &StreamsBuilder) {
    to_out(&grouped(b).windowed_by(Session::gap(millis(12)).grace(millis(30))).reduce_with(concat, "s"));
}

fn session_aggregate(b: &StreamsBuilder) {
    let sessions = grouped(b).windowed_by(Session::gap(millis(15)).grace(millis(40)));
    to_out(&sessions.aggregate_with(String::new, append, |_, a, b| a + "|" + &b, "s"));
}

fn session_serde_sink(b: &StreamsBuilder) {
    grouped(b).windowed_by(Session::gap(millis(15))).count_with("s").to_stream().to("out");
}

fn windowed_serde_sink(b: &StreamsBuilder) {
    grouped(b).windowed_by(Tumbling::of(millis(20)).grace(millis(5))).count_with("w").to_stream().to("out");
}

fn windowed_table_filter(b: &StreamsBuilder) {
    let counts = grouped(b).windowed_by(Tumbling::of(millis(20)).grace(millis(15))).count_with("w");
    to_out(&counts.filter(|_, n| n % 2 == 0));
}

fn timestamp_extractor(b: &StreamsBuilder) {
    let times = IN
        .consumed()
        .timestamps(|record, _| record.value.as_ref().map_or(-1, |value| 10 * value.len() as i64));
    to_out(&b.stream(times).group_by_key().windowed_by(Tumbling::of(millis(20))).count_with("w"));
}

fn two_counts_one_rekey(b: &StreamsBuilder) {
    let rekeyed = b.stream(IN).drop_null_values().select_key(|_, value| value.clone());
    rekeyed.group_by_key().count_with("c1").to_stream().to("out1");
    to_out(&rekeyed.group_by_key().windowed_by(Tumbling::of(millis(20)).grace(millis(10))).count_with("c2"));
}

fn emit_on_close_tumbling(b: &StreamsBuilder) {
    let windows = Tumbling::of(millis(20)).grace(millis(10));
    to_out(&grouped(b).windowed_by(windows).emit_on_window_close().count_with("w"));
}

fn emit_on_close_hopping(b: &StreamsBuilder) {
    let windows = Hopping::of(millis(20)).every(millis(5)).grace(millis(5));
    to_out(&grouped(b).windowed_by(windows).emit_on_window_close().count_with("w"));
}

fn emit_on_close_sliding(b: &StreamsBuilder) {
    let windows = Sliding::of(millis(15)).grace(millis(5));
    to_out(&grouped(b).windowed_by(windows).emit_on_window_close().count_with("w"));
}

fn emit_on_close_session(b: &StreamsBuilder) {
    let windows = Session::gap(millis(10)).grace(millis(5));
    to_out(&grouped(b).windowed_by(windows).emit_on_window_close().count_with("s"));
}
