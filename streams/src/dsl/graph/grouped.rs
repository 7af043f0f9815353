//! Grouped streams in the plan: what an aggregation needs before it.

use std::sync::Arc;

use super::{RepartitionTypes, SerdeSlot, StreamPlan, Walk};
use crate::processor::NodeSupplier;

/// A grouped stream.
#[derive(Clone)]
pub(crate) struct GroupedPlan {
    pub(crate) stream: StreamPlan,
    /// The user's name, which the repartition topic gets.
    pub(crate) name: Option<String>,
    /// Serde of the keys without null.
    pub(crate) key_serde: SerdeSlot,
    pub(crate) value_serde: SerdeSlot,
    /// Puts a node that takes keys without null behind one that drops null keys.
    pub(crate) without_null_keys: fn(NodeSupplier) -> NodeSupplier,
    pub(crate) types: Arc<dyn RepartitionTypes>,
    /// The repartition that the first aggregation has made: with a user's name the others share it.
    pub(crate) shared: Option<StreamPlan>,
}

impl Walk {
    /// The stream that an aggregation of this grouped stream reads, which may have to be repartitioned first. `store` is
    /// the name of the aggregation's store.
    pub(crate) fn aggregated_stream(&mut self, operation: usize, store: &str) -> StreamPlan {
        self.cogrouped_stream(operation, store, 0)
    }

    /// The same for one of several grouped streams, by its place among them. Kafka Streams would give the topics of all
    /// that have no name of the user's the same name, and then refuse it.
    pub(crate) fn cogrouped_stream(&mut self, operation: usize, store: &str, place: usize) -> StreamPlan {
        let grouped = self.grouped(operation).clone();
        if !grouped.stream.repartition_required {
            return grouped.stream;
        }
        let mut prefix = grouped.name.clone().unwrap_or_else(|| store.to_owned());
        if grouped.name.is_none() && self.has_repartition(&prefix) {
            prefix = format!("{prefix}-{place}");
        }
        // The numbers are used up even if the topic is there already.
        let plan = self.repartition_plan(&prefix, grouped.types, false, None);
        if let Some(shared) = grouped.shared {
            return shared;
        }
        let stream = self.repartitioned(&grouped.stream, plan, SerdeSlot::none(), grouped.value_serde);
        if grouped.name.is_some() {
            self.grouped_mut(operation).shared = Some(stream.clone());
        }
        stream
    }
}
