//! Grouped tables in the plan: their aggregations always read a repartition topic, which holds updates of rows.

use std::sync::Arc;

use super::{PlanId, PlanNode, RepartitionTypes, SerdeSlot, Walk};
use crate::topology::{NodeKind, RepartitionTopic, SinkTopic, SourceDefinition};

/// A grouped table.
#[derive(Clone)]
pub(crate) struct GroupedTablePlan {
    /// The node that picks the new keys.
    pub(crate) node: PlanId,
    /// The user's name, which the repartition topic gets.
    pub(crate) name: Option<String>,
    pub(crate) key_serde: SerdeSlot,
    pub(crate) value_serde: SerdeSlot,
    pub(crate) types: Arc<dyn RepartitionTypes>,
    /// The repartition that the first aggregation has made: with a user's name the others share it.
    pub(crate) shared: Option<PlanId>,
}

impl Walk {
    /// The node that an aggregation of this grouped table reads from, and its topic. `name` is the aggregation's own
    /// name, `store` that of its store.
    pub(crate) fn aggregated_table(
        &mut self,
        operation: usize,
        name: Option<&str>,
        store: &str,
    ) -> (PlanId, String) {
        let grouped = self.grouped_table(operation).clone();
        let suffixed = |suffix: &str| name.map(|name| format!("{name}-{suffix}"));
        let sink = self.name(suffixed("sink").as_deref(), "KSTREAM-SINK-");
        let source = self.name(suffixed("source").as_deref(), "KSTREAM-SOURCE-");
        let topic = format!("{}-repartition", grouped.name.as_deref().unwrap_or(store));
        if let Some(shared) = grouped.shared {
            return (shared, topic);
        }
        let (types, written) = (grouped.types, topic.clone());
        let node = PlanNode::new(source.clone(), move |lowering, parents| {
            let topology = &mut lowering.topology;
            let kind = NodeKind::Sink(SinkTopic::Static(written.clone()));
            topology.add_node(&sink, kind, types.sink(&written), parents, None);
            topology.repartition_topics.insert(written.clone(), RepartitionTopic { partitions: None });
            let definition = SourceDefinition {
                topics: vec![written.clone()],
                pattern: None,
                offset_reset: None,
                global: false,
            };
            topology.add_node(&source, NodeKind::Source(definition), types.source(), &[], None)
        });
        let node = self.add(node, &[grouped.node]);
        if grouped.name.is_some() {
            self.grouped_table_mut(operation).shared = Some(node);
        }
        (node, topic)
    }
}
