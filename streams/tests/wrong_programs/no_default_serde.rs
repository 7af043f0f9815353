//! A value without a serde is written to a topic.

use anabranch::prelude::*;

#[derive(Clone)]
struct Plain;

fn main() {
    let builder = StreamsBuilder::new();
    builder.stream("clicks").map_values(|_| Plain).to("plain");
}
