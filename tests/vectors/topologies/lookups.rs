//! Streams that look up rows of global tables.

use anabranch::prelude::*;

use super::Build;
use super::joins::{LEFT, RIGHT};

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] =
    &[("global_table_inner", global_table_inner), ("global_table_left", global_table_left)];

fn letter(value: &str) -> String {
    value[..1].to_owned()
}

fn global_table_inner(b: &StreamsBuilder) {
    let left = b.stream(LEFT);
    left.join_global(&b.global_table_with(RIGHT, "g"), |_, v| letter(v), |v, g| v + "+" + g).to("out");
}

fn global_table_left(b: &StreamsBuilder) {
    let left = b.stream(LEFT);
    let named = |_: &Option<String>, v: &String| (v != "x").then(|| letter(v));
    let joined = |v: String, g: Option<&String>| v + "+" + g.map_or("null", |g| g);
    left.left_join_global(&b.global_table_with(RIGHT, "g"), named, joined).to("out");
}
