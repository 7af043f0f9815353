//! A table's stream has deletions, which are no numbers; `updates()` leaves them out.

use anabranch::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    builder.stream("clicks").count_by_key().to_stream().map_values(|n| n + 1).to("counts");
}
