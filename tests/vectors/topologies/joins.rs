//! Joins of streams and tables.

use anabranch::prelude::*;

use super::Build;

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] = &[
    ("stream_self_join", stream_self_join),
    ("stream_stream_asymmetric", stream_stream_asymmetric),
    ("stream_stream_inner", stream_stream_inner),
    ("stream_stream_left", stream_stream_left),
    ("stream_stream_outer", stream_stream_outer),
    ("stream_table_inner", stream_table_inner),
    ("stream_table_left", stream_table_left),
    ("table_table_inner", table_table_inner),
    ("table_table_left", table_table_left),
    ("table_table_outer", table_table_outer),
    ("unnamed_joins", unnamed_joins),
];

pub(super) const LEFT: Topic<Option<String>, Option<String>> = Topic::new("left");
pub(super) const RIGHT: Topic<Option<String>, Option<String>> = Topic::new("right");

/// Both sides, null for a missing one, as Java concatenates them.
fn pair(left: Option<&String>, right: Option<&String>) -> String {
    let text = |side: Option<&String>| side.map_or("null", |text| text).to_owned();
    text(left) + "+" + &text(right)
}

fn named() -> StreamJoined<String, String, String> {
    StreamJoined::named("j").stores("j")
}

fn stream_stream_inner(b: &StreamsBuilder) {
    let windows = JoinWindows::of(millis(15)).grace(millis(20));
    let (left, right) = (b.stream(LEFT), b.stream(RIGHT));
    left.join_with(&right, windows, |_, l, r| pair(Some(l), Some(r)), named()).to("out");
}

fn stream_stream_asymmetric(b: &StreamsBuilder) {
    let windows = JoinWindows::of(millis(0)).before(millis(5)).after(millis(20)).grace(millis(10));
    let (left, right) = (b.stream(LEFT), b.stream(RIGHT));
    left.join_with(&right, windows, |_, l, r| pair(Some(l), Some(r)), named()).to("out");
}

fn stream_stream_left(b: &StreamsBuilder) {
    let windows = JoinWindows::of(millis(15)).grace(millis(10));
    let (left, right) = (b.stream(LEFT), b.stream(RIGHT));
    left.left_join_with(&right, windows, |_, l, r| pair(Some(l), r), named()).to("out");
}

fn stream_stream_outer(b: &StreamsBuilder) {
    let windows = JoinWindows::of(millis(10)).grace(millis(10));
    let (left, right) = (b.stream(LEFT), b.stream(RIGHT));
    left.outer_join_with(&right, windows, |_, l, r| pair(l, r), named()).to("out");
}

fn stream_self_join(b: &StreamsBuilder) {
    let windows = JoinWindows::of(millis(10)).grace(millis(10));
    let stream = b.stream(super::IN);
    stream.join_with(&stream, windows, |_, l, r| pair(Some(l), Some(r)), named()).to("out");
}

fn stream_table_inner(b: &StreamsBuilder) {
    let left = b.stream(LEFT);
    left.join_table(&b.table_with(RIGHT, "t"), |l, r| pair(Some(&l), Some(r))).to("out");
}

fn stream_table_left(b: &StreamsBuilder) {
    let left = b.stream(LEFT);
    left.left_join_table(&b.table_with(RIGHT, "t"), |l, r| pair(Some(&l), r)).to("out");
}

fn table_table_inner(b: &StreamsBuilder) {
    let (left, right) = (b.table_with(LEFT, "l"), b.table_with(RIGHT, "r"));
    left.join_with(&right, |_, l, r| pair(Some(l), Some(r)), "jt").to_stream().to("out");
}

fn table_table_left(b: &StreamsBuilder) {
    let (left, right) = (b.table_with(LEFT, "l"), b.table_with(RIGHT, "r"));
    left.left_join(&right, |l, r| pair(Some(l), r)).to_stream().to("out");
}

fn table_table_outer(b: &StreamsBuilder) {
    let (left, right) = (b.table_with(LEFT, "l"), b.table_with(RIGHT, "r"));
    left.outer_join(&right, pair).to_stream().to("out");
}

fn unnamed_joins(b: &StreamsBuilder) {
    const TAB: Topic<Option<String>, Option<String>> = Topic::new("tab");
    let (left, right) = (b.stream(LEFT), b.stream(RIGHT));
    let joined = left.join(&right, JoinWindows::of(millis(10)), |l, r| pair(Some(l), Some(r)));
    joined.left_join_table(&b.table(TAB), |l, r| format!("{l}*{}", r.map_or("null", |r| r))).to("out");
}
