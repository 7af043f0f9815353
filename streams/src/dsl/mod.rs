//! The DSL: handles whose methods write operations into a graph, which `build` turns into a topology.
//!
//! Reading order: `graph` (how operations become nodes), `builder`, `handle` (what all handles share), then the
//! handles: `kstream` and its parts, `split`, `kgrouped_stream`, `cogrouped`, `windowed`, `ktable`, `kgrouped_table`,
//! `transform_values`, `suppress`; `table_source` makes tables of topics and of
//! streams, `global_table` those that every instance has whole, `global_store` what a processor makes of such a topic.

mod builder;
mod cogrouped;
mod foreign_key_join;
mod global_store;
mod global_table;
mod graph;
mod handle;
mod kgrouped_stream;
mod kgrouped_table;
mod kstream;
mod ktable;
mod ktable_join;
mod named;
mod options;
mod same_key;
mod split;
mod stream_join;
mod suppress;
mod table_joined;
mod table_source;
mod transform_values;
mod windowed;

pub use builder::StreamsBuilder;
pub use cogrouped::CogroupedKStream;
pub use global_table::GlobalKTable;
pub use kgrouped_stream::KGroupedStream;
pub use kgrouped_table::KGroupedTable;
pub use kstream::KStream;
pub use ktable::KTable;
pub use named::Named;
pub use options::{Grouped, Joined, Repartitioned, StreamJoined};
pub use same_key::SameKey;
pub use split::Split;
pub use suppress::{
    BufferLimit, Suppress, SuppressRule, UntilTimeLimit, UntilWindowCloses, WhenFull, max_bytes, max_records,
    until_time_limit, until_window_closes,
};
pub use table_joined::TableJoined;
pub use windowed::{
    SessionWindowed, SessionWindowedCogroupedKStream, SessionWindowedKStream, TimeWindowed,
    TimeWindowedCogroupedKStream, TimeWindowedKStream, WindowSpec,
};
