//! From calls to a topology.
//!
//! A call on a handle records an *operation*. `build` walks over the operations in the order of the calls: each gives
//! its nodes their names (so that a name said after the operator counts, and numbers are those of Kafka Streams) and
//! adds them to the *plan*, a graph in which one node may stand for several of the topology (a repartition is a filter,
//! a sink and a source). The plan is optimised, then *lowered* into the topology.
//!
//! Reading order: `operation`, `walk`, `plan`, `serde_slot`, `stores`, `table`, `view`, `grouped`, `grouped_table`, `repartition`, `optimize`, `lower`.

mod grouped;
mod grouped_table;
mod lower;
mod operation;
mod optimize;
mod plan;
mod repartition;
mod serde_slot;
mod stores;
mod table;
mod view;
mod walk;

pub(crate) use grouped::GroupedPlan;
pub(crate) use grouped_table::GroupedTablePlan;
pub(crate) use lower::Lowering;
pub(crate) use operation::{Call, GraphRef, Output};
pub(crate) use plan::{PlanId, PlanNode, Role, SourcePlan, StreamPlan};
pub(crate) use repartition::{RepartitionPlan, RepartitionTypes, TypedRepartition};
pub(crate) use serde_slot::SerdeSlot;
pub(crate) use stores::{
    JoinStores, given_serdes, grace_store, join_window_store, result_store, session_store,
    subscription_store, suppress_store, unjoined_store, versioned_store, window_store,
};
pub(crate) use table::{GlobalPlan, TableId, TableOrigin, TablePlan, is_versioned};
pub(crate) use view::{ViewSlot, view};
pub(crate) use walk::Walk;
