//! Nothing but the programs beside `src`; see `Cargo.toml` for their reading order.
