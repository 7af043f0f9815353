//! The plan: what stands between the calls and the topology, and what optimisation rewrites.

use super::{Lowering, RepartitionPlan, SerdeSlot};
use crate::policy::OnError;
use crate::processor::NodeSupplier;
use crate::topic::AutoOffsetReset;
use crate::topology::NodeKind;

/// A node's place in the plan.
pub(crate) type PlanId = usize;

/// Writes a node of the plan into the topology below these nodes of it; gives the node that its children follow.
pub(crate) type Write = Box<dyn Fn(&mut Lowering<'_>, &[usize]) -> usize>;

/// A node of the plan.
pub(crate) struct PlanNode {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) parents: Vec<PlanId>,
    pub(crate) children: Vec<PlanId>,
    /// Which is written first when several could be.
    pub(crate) priority: usize,
    /// It may give records another key.
    pub(crate) changes_key: bool,
    /// It may give records another value.
    pub(crate) changes_value: bool,
    /// How long after their end its windows take late records, if it makes windows that end.
    pub(crate) grace_ms: Option<i64>,
    /// A left or outer join of streams, which lets records with a null key through.
    pub(crate) keeps_null_keys: bool,
}

/// What a node of the plan is to optimisation.
pub(crate) enum Role {
    /// Reads topics as a stream; two that read the same topics are one.
    Source(SourcePlan),
    /// Writes to a repartition topic and reads it.
    Repartition(RepartitionPlan),
    /// Streams come together.
    Merge(Write),
    /// Two streams are joined; an inner join of a stream with itself needs one of its sides only.
    StreamJoin {
        inner: bool,
        write: Write,
    },
    Other(Write),
    /// Optimisation has removed it.
    Gone,
}

/// A stream's source.
pub(crate) struct SourcePlan {
    /// Names of topics, or one pattern of names.
    pub(crate) topics: Vec<String>,
    pub(crate) by_pattern: bool,
    pub(crate) supplier: NodeSupplier,
    pub(crate) offset_reset: Option<AutoOffsetReset>,
    pub(crate) on_error: Option<OnError>,
}

/// What a stream is while the plan is made.
#[derive(Clone)]
pub(crate) struct StreamPlan {
    pub(crate) node: PlanId,
    /// Serdes inherited from the source.
    pub(crate) key_serde: SerdeSlot,
    pub(crate) value_serde: SerdeSlot,
    /// Its records may lie in the wrong partition for their key.
    pub(crate) repartition_required: bool,
    /// The topics it comes from, back to the last repartition.
    pub(crate) topics: Vec<String>,
}

impl PlanNode {
    /// A node that writes itself.
    pub(crate) fn new(name: String, write: impl Fn(&mut Lowering<'_>, &[usize]) -> usize + 'static) -> Self {
        PlanNode::of(name, Role::Other(Box::new(write)))
    }

    /// A node that is one processor in the topology.
    pub(crate) fn processor(name: String, supplier: NodeSupplier, on_error: Option<OnError>) -> Self {
        let write = PlanNode::write_processor(name.clone(), supplier, on_error);
        PlanNode::of(name, Role::Other(write))
    }

    /// A node where streams come together.
    pub(crate) fn merge(name: String, supplier: NodeSupplier) -> Self {
        let write = PlanNode::write_processor(name.clone(), supplier, None);
        PlanNode::of(name, Role::Merge(write))
    }

    pub(crate) fn of(name: String, role: Role) -> Self {
        let (parents, children) = (Vec::new(), Vec::new());
        PlanNode {
            name,
            role,
            parents,
            children,
            priority: 0,
            changes_key: false,
            changes_value: false,
            grace_ms: None,
            keeps_null_keys: false,
        }
    }

    fn write_processor(name: String, supplier: NodeSupplier, on_error: Option<OnError>) -> Write {
        Box::new(move |lowering, parents| {
            lowering.topology.add_node(
                &name,
                NodeKind::Processor,
                supplier.clone(),
                parents,
                on_error.clone(),
            )
        })
    }

    /// Says what the node may change.
    pub(crate) fn changing(mut self, key: bool, value: bool) -> Self {
        (self.changes_key, self.changes_value) = (key, value);
        self
    }
}
