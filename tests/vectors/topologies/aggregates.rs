//! Aggregations of streams.

use anabranch::prelude::*;

use super::{Build, IN};

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] = &[
    ("aggregate_concat", aggregate_concat),
    ("count_by_key", count_by_key),
    ("group_by_value_aggregate", group_by_value_aggregate),
    ("reduce_concat", reduce_concat),
    ("select_key_count", select_key_count),
    ("unnamed_everything", unnamed_everything),
    ("word_count", word_count),
];

fn words(line: String) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn word_count(b: &StreamsBuilder) {
    b.stream(IN)
        .drop_null_values()
        .flat_map_values(words)
        .group_by(|_, word| word.clone())
        .count_with("counts")
        .to_stream()
        .to("out");
}

fn count_by_key(b: &StreamsBuilder) {
    b.stream(IN).group_by_key().count_with("counts").to_stream().to("out");
}

fn aggregate_concat(b: &StreamsBuilder) {
    let concat = |k: &String, v: String, a: String| if a.len() > 30 { k.clone() + &v } else { a + k + &v };
    b.stream(IN).group_by_key().aggregate_with(String::new, concat, "agg").to_stream().to("out");
}

fn reduce_concat(b: &StreamsBuilder) {
    let concat = |a: String, b: String| {
        let both = a + &b;
        (both.len() <= 20).then_some(both)
    };
    b.stream(IN).group_by_key().reduce_with(concat, "reduced").to_stream().to("out");
}

fn group_by_value_aggregate(b: &StreamsBuilder) {
    b.stream(IN)
        .group_by(|_, v| v.as_ref().filter(|v| *v != "x").map(|v| v[..1].to_owned()))
        .aggregate_with(|| 0i64, |_, _, n| n + 1, "agg")
        .to_stream()
        .to("out");
}

fn select_key_count(b: &StreamsBuilder) {
    b.stream(IN)
        .drop_null_values()
        .select_key(|_, v| v.clone())
        .group_by_key()
        .count_with("c")
        .to_stream()
        .to("out");
}

fn unnamed_everything(b: &StreamsBuilder) {
    b.stream(IN)
        .drop_null_values()
        .flat_map_values(words)
        .group_by(|_, v| v.clone())
        .count_with(Store::unnamed())
        .filter(|_, n| *n > 1)
        .to_stream()
        .map_values(|n| n.map(|n| n.to_string()))
        .to("out");
}
