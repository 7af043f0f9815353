//! The operators, one a file: what happens to a record at a node of the DSL.
//!
//! An operator knows its closure, its stores and what lies below it; it knows nothing of names, of the graph it came
//! from, or of the task that runs it.

mod aggregate;
mod branch;
#[cfg(test)]
pub(crate) mod check;
mod emit;
mod emit_on_close;
mod filter;
mod flat_map;
mod flat_map_values;
pub(crate) mod foreign_key;
mod getter;
mod global_join;
mod grace_join;
mod join_window;
mod map;
mod map_values;
mod observed;
mod pass;
mod peek;
mod present;
mod results;
mod select_key;
mod session_aggregate;
mod sliding_aggregate;
mod stream_join;
mod stream_table_join;
mod suppress;
mod table_aggregate;
mod table_group_by;
mod table_join;
mod table_map_values;
mod table_source;
mod table_transform_values;
mod to_stream;
mod versioned_source;
mod widen;
mod window_aggregate;

pub(crate) use aggregate::Aggregate;
pub(crate) use branch::Branch;
pub(crate) use emit::ResultStore;
pub(crate) use emit_on_close::EmitOnClose;
pub(crate) use filter::Filter;
pub(crate) use flat_map::FlatMap;
pub(crate) use flat_map_values::FlatMapValues;
pub(crate) use getter::{
    JoinGetter, RowsGetter, SessionGetter, StoreGetter, TableGetter, TableView, VersionedGetter, WindowGetter,
};
pub(crate) use global_join::GlobalJoin;
pub(crate) use grace_join::{Grace, GraceJoin};
pub(crate) use join_window::JoinWindow;
pub(crate) use map::Map;
pub(crate) use map_values::MapValues;
pub(crate) use pass::Pass;
pub(crate) use peek::{ForEach, Peek};
pub(crate) use present::{PresentKeys, PresentPairs, PresentValues};
pub(crate) use results::{Errors, Successes};
pub(crate) use select_key::SelectKey;
pub(crate) use session_aggregate::SessionAggregate;
pub(crate) use sliding_aggregate::SlidingAggregate;
pub(crate) use stream_join::{JoinSide, SelfJoin, StreamJoin};
pub(crate) use stream_table_join::{StreamTableJoin, StreamTableLeftJoin};
pub(crate) use suppress::{Suppress, SuppressGetter, SuppressSettings};
pub(crate) use table_aggregate::TableAggregate;
pub(crate) use table_group_by::TableGroupBy;
pub(crate) use table_join::{JoinRule, TableJoin, TableJoinMerge};
pub(crate) use table_map_values::TableMapValues;
pub(crate) use table_source::TableSource;
pub(crate) use table_transform_values::{TableTransformValues, TransformGetter};
pub(crate) use to_stream::{ToStream, Updates};
pub(crate) use versioned_source::VersionedSource;
pub(crate) use widen::{WidenKeys, WidenValues};
pub(crate) use window_aggregate::WindowAggregate;
