//! A closure counts by itself: it would be wrong after a rebalance. State belongs in a store.

use anabranch::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let mut seen = 0;
    builder.stream("clicks").map_values(move |_| {
        seen += 1;
        seen
    });
}
