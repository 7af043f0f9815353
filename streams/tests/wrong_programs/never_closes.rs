//! Results are to come when a window closes that never does.

use anabranch::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    builder.stream("clicks").group_by_key().windowed_by(Unlimited::starting_at(0)).emit_on_window_close().count();
}
