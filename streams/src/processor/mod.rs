//! What a node is and what it meets at run time: records in flight, the nodes below it, its task.
//!
//! Reading order: `part` and `in_flight` (a record between two nodes), `operator` (what a node does), `erased` (nodes
//! without their types, the one file of `unsafe`), `panicked` (which node a panic came from), `latencies` (how old
//! records are there), `context`, `memos` and `punctuations` (what a task gives its nodes), `supplier` (how a node is made
//! for each task), then the nodes at its ends: `source`, `table_topic_source`, `sink`.

mod change;
mod change_serde;
mod context;
mod erased;
mod in_flight;
mod latencies;
mod memos;
mod operator;
mod panicked;
mod part;
mod punctuations;
mod sink;
mod source;
mod supplier;
mod table_topic_source;

pub use punctuations::PunctuationType;
pub use supplier::TaskId;

pub(crate) use change::Change;
pub(crate) use change_serde::ChangeSerde;
pub(crate) use context::{Context, DropReason, Drops, Origin, Policies, Stage, TaskState};
pub(crate) use erased::{Cell, EdgeType, Forward, Node, Nodes};
pub(crate) use in_flight::InFlight;
pub(crate) use latencies::Latencies;
pub(crate) use memos::{MemoId, Memos};
pub(crate) use operator::{Nothing, Operator, RawInput, Source};
pub(crate) use panicked::{calling, catching, making, said};
pub(crate) use part::Part;
pub(crate) use punctuations::{Punctuations, Schedule};
pub(crate) use sink::{DynamicSink, TopicSink};
pub(crate) use source::TopicSource;
pub(crate) use supplier::{NodeInit, NodeSupplier};
pub(crate) use table_topic_source::TableTopicSource;
