//! Tables whose rows are grouped by another key.

use anabranch::prelude::*;

use super::{Build, IN};

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] =
    &[("table_group_by_aggregate", table_group_by_aggregate), ("table_group_by_count", table_group_by_count)];

fn first_letter(text: &str) -> String {
    text.chars().take(1).collect()
}

/// What grows too long begins anew.
fn bounded(all: String) -> String {
    if all.len() > 40 { String::new() } else { all }
}

fn table_group_by_aggregate(b: &StreamsBuilder) {
    b.table_with(IN, "t")
        .group_by(|k, v| (first_letter(&v), k.clone() + &v))
        .aggregate_with(String::new, |_, v, a| bounded(a) + "+" + &v, |_, v, a| bounded(a) + "-" + &v, "a")
        .to_stream()
        .to("out");
}

fn table_group_by_count(b: &StreamsBuilder) {
    b.table_with(IN, "t").group_by(|_, v| (first_letter(&v), v)).count_with("c").to_stream().to("out");
}
