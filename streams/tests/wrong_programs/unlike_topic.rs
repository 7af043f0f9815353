//! A topic is declared with another key than the stream has.

use anabranch::prelude::*;

const ORDERS: Topic<u64, String> = Topic::new("orders");

fn main() {
    let builder = StreamsBuilder::new();
    builder.stream("clicks").to(ORDERS);
}
