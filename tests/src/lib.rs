//! What the test binaries and benchmarks share.

pub mod arguments;
pub mod server;
