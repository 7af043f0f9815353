//! Several streams that make one aggregate.

use anabranch::prelude::*;

use super::Build;
use super::joins::{LEFT, RIGHT};
use super::windows::to_out;

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] =
    &[("cogroup", cogroup), ("cogroup_session", cogroup_session), ("cogroup_tumbling", cogroup_tumbling)];

fn cogrouped(b: &StreamsBuilder) -> CogroupedKStream<String, String> {
    let (left, right) = (b.stream(LEFT).group_by_key(), b.stream(RIGHT).group_by_key());
    left.cogroup(String::new, |_, v, all| append(all, "l", v))
        .cogroup(&right, |_, v, all| append(all, "r", v))
}

/// Begins anew when it has become long.
fn append(all: String, side: &str, value: Option<String>) -> String {
    let all = if all.len() > 30 { String::new() } else { all };
    all + side + value.as_deref().unwrap_or("null")
}

fn cogroup(b: &StreamsBuilder) {
    cogrouped(b).aggregate_with("c").to_stream().to("out");
}

fn cogroup_tumbling(b: &StreamsBuilder) {
    to_out(&cogrouped(b).windowed_by(Tumbling::of(millis(20)).grace(millis(15))).aggregate_with("c"));
}

fn cogroup_session(b: &StreamsBuilder) {
    let sessions = cogrouped(b).windowed_by(Session::gap(millis(12)).grace(millis(20)));
    to_out(&sessions.aggregate_with(|_, a, b| a + "|" + &b, "c"));
}
