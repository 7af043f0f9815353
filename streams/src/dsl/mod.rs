//! The DSL: handles whose methods write operations into a graph, which `build` turns into a topology.
//!
//! Reading order: `graph` (how operations become nodes), `builder`, `handle` (what all handles share), then the
//! handles: `kstream` and its parts, `split`.

mod builder;
mod graph;
mod handle;
mod kstream;
mod named;
mod options;
mod split;

pub use builder::StreamsBuilder;
pub use kstream::KStream;
pub use named::Named;
pub use options::Repartitioned;
pub use split::Split;
