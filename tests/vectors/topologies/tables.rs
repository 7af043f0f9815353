//! Tables of topics and of streams, and tables made of them row by row.

use anabranch::prelude::*;

use super::{Build, IN};

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] = &[
    ("stream_to_table", stream_to_table),
    ("table_filter", table_filter),
    ("table_filter_materialized", table_filter_materialized),
    ("table_map_values", table_map_values),
    ("table_to_stream", table_to_stream),
];

fn table_to_stream(b: &StreamsBuilder) {
    b.table_with(IN, "t").to_stream().to("out");
}

fn stream_to_table(b: &StreamsBuilder) {
    b.stream(IN).to_table_with("t").to_stream().to("out");
}

fn table_filter(b: &StreamsBuilder) {
    b.table_with(IN, "t").filter(|_, v| v.len() > 3).to_stream().to("out");
}

fn table_filter_materialized(b: &StreamsBuilder) {
    b.table_with(IN, "t").filter_with(|_, v| v.len() > 3, "f").to_stream().to("out");
}

fn table_map_values(b: &StreamsBuilder) {
    b.table_with(IN, "t").map_values(|v| v.to_uppercase()).to_stream().to("out");
}
