//! Tables joined by a key inside the left row: its first letter.

use anabranch::prelude::*;

use super::Build;
use super::joins::{LEFT, RIGHT};

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] = &[("fk_join_inner", fk_join_inner), ("fk_join_left", fk_join_left)];

fn letter(value: &str) -> String {
    value[..1].to_owned()
}

fn fk_join_inner(b: &StreamsBuilder) {
    let (left, right) = (b.table_with(LEFT, "l"), b.table_with(RIGHT, "r"));
    left.foreign_key_join_with(&right, |_, v| letter(v), |_, l, r| format!("{l}+{r}"), "fkj", "fk")
        .to_stream()
        .to("out");
}

fn fk_join_left(b: &StreamsBuilder) {
    let (left, right) = (b.table_with(LEFT, "l"), b.table_with(RIGHT, "r"));
    let named = |_: &String, v: &String| (v != "x").then(|| letter(v));
    let joined = |_: &String, l: &String, r: Option<&String>| format!("{l}+{}", r.map_or("null", |r| r));
    left.left_foreign_key_join_with(&right, named, joined, "fkj", "fk").to_stream().to("out");
}
