//! Tables that remember.

use anabranch::prelude::*;

use super::{Build, IN};

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] = &[
    ("stream_table_versioned_grace", stream_table_versioned_grace),
    ("versioned_table", versioned_table),
    ("versioned_table_group_by", versioned_table_group_by),
];

const TABLE: Store<Versioned<String, String>> = Store::named("t").history(millis(100));

fn versioned_table(b: &StreamsBuilder) {
    b.table_with(IN, TABLE).map_values(|v| v.to_uppercase()).to_stream().to("out");
}

fn versioned_table_group_by(b: &StreamsBuilder) {
    b.table_with(IN, TABLE)
        .group_by(|_, v| (v.chars().take(1).collect::<String>(), v))
        .count_with("c")
        .to_stream()
        .to(Topic::<String, Option<i64>>::new("out"));
}

fn stream_table_versioned_grace(b: &StreamsBuilder) {
    const LEFT: Topic<Option<String>, Option<String>> = Topic::new("left");
    const RIGHT: Topic<Option<String>, Option<String>> = Topic::new("right");

    let left = b.stream(LEFT);
    let right = b.table_with(RIGHT, TABLE.history(millis(200)));
    left.join_table_with(&right, |_, l, r| l + "+" + r, Joined::named("jn").grace(millis(20))).to("out");
}
