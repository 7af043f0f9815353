//! Counts of text are kept in a store that is declared with numbers as keys.

use anabranch::prelude::*;

const COUNTS: Store<KeyValue<u64, i64>> = Store::named("counts");

fn main() {
    let builder = StreamsBuilder::new();
    builder.stream("clicks").group_by_key().count_with(COUNTS);
}
