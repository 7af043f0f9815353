//! A stream keyed by text is joined with a table keyed by numbers.

use anabranch::prelude::*;

const ORDERS: Topic<u64, String> = Topic::new("orders");

fn main() {
    let builder = StreamsBuilder::new();
    let orders = builder.table(ORDERS);
    builder.stream("clicks").join_table(&orders, |click, order| click + order);
}
