//! What all handles share: a graph, and an operation in it.

use super::graph::{Call, GraphRef, Output, PlanNode, SerdeSlot, StreamPlan, Walk};
use crate::processor::NodeSupplier;

/// An operation in a builder's graph.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) graph: GraphRef,
    pub(crate) operation: usize,
}

/// What a stateless operator does to its stream.
#[derive(Clone, Copy)]
pub(super) struct Effect {
    key: fn(SerdeSlot) -> SerdeSlot,
    value: fn(SerdeSlot) -> SerdeSlot,
    changes_key: bool,
    changes_value: bool,
}

impl Effect {
    /// Keys and values stay as they are.
    pub(super) const KEEPS: Effect =
        Effect { key: |serde| serde, value: |serde| serde, changes_key: false, changes_value: false };

    /// Values are new.
    pub(super) const CHANGES_VALUE: Effect =
        Effect { key: |serde| serde, value: |_| SerdeSlot::none(), changes_key: false, changes_value: true };

    /// Keys are new.
    pub(super) const CHANGES_KEY: Effect =
        Effect { key: |_| SerdeSlot::none(), value: |serde| serde, changes_key: true, changes_value: false };

    /// Keys and values are new.
    pub(super) const CHANGES_BOTH: Effect = Effect {
        key: |_| SerdeSlot::none(),
        value: |_| SerdeSlot::none(),
        changes_key: true,
        changes_value: false,
    };

    /// The same keys and values under another type, so that no optimisation may move them.
    pub(super) const fn retypes(
        key: fn(SerdeSlot) -> SerdeSlot,
        value: fn(SerdeSlot) -> SerdeSlot,
    ) -> Effect {
        Effect { key, value, changes_key: false, changes_value: true }
    }

    /// Says on a node what it may change.
    pub(super) fn mark(self, node: PlanNode) -> PlanNode {
        node.changing(self.changes_key, self.changes_value)
    }

    pub(super) fn on(self, stream: StreamPlan) -> StreamPlan {
        StreamPlan {
            key_serde: (self.key)(stream.key_serde),
            value_serde: (self.value)(stream.value_serde),
            repartition_required: stream.repartition_required || self.changes_key,
            ..stream
        }
    }
}

impl Handle {
    /// Records an operation that is one processor below this one.
    pub(super) fn then(
        &self,
        method: &'static str,
        prefix: &'static str,
        effect: Effect,
        supplier: NodeSupplier,
    ) -> Handle {
        let parent = self.operation;
        self.record(method, true, move |walk, call| {
            let stream = walk.below(parent, call, prefix, |name| {
                effect.mark(PlanNode::processor(name, supplier.clone(), call.on_error.clone()))
            });
            Output::Stream(effect.on(stream))
        })
    }

    /// Records an operation.
    pub(super) fn record(
        &self,
        method: &'static str,
        nameable: bool,
        expand: impl Fn(&mut Walk, &Call) -> Output + Send + 'static,
    ) -> Handle {
        Handle { graph: self.graph.clone(), operation: self.graph.record(method, nameable, expand) }
    }
}
