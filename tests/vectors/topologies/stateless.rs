//! Operators that keep nothing.

use anabranch::prelude::*;

use super::{Build, IN};

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] = &[
    ("branch_merge", branch_merge),
    ("dynamic_sink", dynamic_sink),
    ("flat_map_values_words", flat_map_values_words),
    ("map_swap", map_swap),
    ("map_values", map_values),
    ("repartition_named", repartition_named),
];

fn map_values(b: &StreamsBuilder) {
    b.stream(IN).map_values(|value| value.map(|value| value.to_uppercase())).to("out");
}

fn map_swap(b: &StreamsBuilder) {
    b.stream(IN).drop_nulls().map(|key, value| (value, key)).to("out");
}

fn flat_map_values_words(b: &StreamsBuilder) {
    b.stream(IN)
        .drop_null_values()
        .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .to("out");
}

fn branch_merge(b: &StreamsBuilder) {
    let starts =
        |value: &Option<String>, letters: [char; 2]| value.as_ref().is_some_and(|v| v.starts_with(letters));
    let split = b.stream(IN).split().named("s-");
    let a = split.branch(move |_, value| starts(value, ['a', 'b'])).named("a");
    let spaced = split.branch(|_, value| value.as_ref().is_some_and(|value| value.contains(' '))).named("b");
    let rest = split.default_branch().named("d");
    let prefixed = |prefix: &'static str, stream: KStream<Option<String>, Option<String>>| {
        stream.map_values(move |value| format!("{prefix}:{}", value.unwrap_or("null".to_owned())))
    };
    let (a, spaced) = (prefixed("A", a), prefixed("B", spaced));
    let merged = a.merge(&spaced);
    let rest = prefixed("D", rest);
    merged.merge(&rest).to("out");
}

fn dynamic_sink(b: &StreamsBuilder) {
    b.stream(IN).filter(|_, value| value.is_some()).to_topic_by(|_, value, _| {
        if value.as_ref().is_some_and(|v| v.len() > 3) { "out-long" } else { "out-short" }
    });
}

fn repartition_named(b: &StreamsBuilder) {
    b.stream(IN)
        .map(|key, value| (value, key))
        .repartition_with("by-value")
        .map_values(|value| value.map_or("null".to_owned(), |value| value + "!"))
        .to("out");
}
