//! The plan becomes a topology.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{PlanId, PlanNode, RepartitionPlan, Role, TableId, TablePlan, Walk};
use crate::error::Result;
use crate::topology::{
    NodeKind, Optimization, RepartitionTopic, SinkTopic, SourceDefinition, TopicPattern, Topology,
};

/// What a node of the plan writes itself into.
pub(crate) struct Lowering<'p> {
    pub(crate) topology: Topology,
    pub(crate) tables: &'p [TablePlan],
    pub(crate) optimization: Optimization,
    plan: &'p [PlanNode],
}

pub(super) fn lower(walk: Walk, optimization: Optimization) -> Result<Topology> {
    let Walk { plan, tables, faults, copartitions, .. } = walk;
    let mut lowering = Lowering { topology: Topology::new(), tables: &tables, optimization, plan: &plan };
    lowering.topology.faults = faults;
    lowering.write_all();
    let mut topology = lowering.topology;
    topology.copartitions = copartitions;
    topology.validate()?;
    Ok(topology)
}

impl Lowering<'_> {
    /// Adds the store of a table, if it has one, for the node that keeps it there; gives its name and whether old values
    /// are sent.
    pub(crate) fn keep_table(&mut self, table: TableId, node: usize) {
        if let Some(store) = &self.tables[table].store {
            self.topology.add_store(store.clone());
            self.topology.connect(node, &store.name);
        }
    }

    /// Writes each node when all its parents are written, the earliest first: the order in which Kafka Streams numbers
    /// sub-topologies.
    fn write_all(&mut self) {
        let plan = self.plan;
        let mut written: Vec<Option<usize>> = vec![None; plan.len()];
        let mut ready: BinaryHeap<Reverse<(usize, PlanId)>> = BinaryHeap::new();
        for (id, node) in plan.iter().enumerate() {
            if node.parents.is_empty() && !matches!(node.role, Role::Gone) {
                ready.push(Reverse((node.priority, id)));
            }
        }
        while let Some(Reverse((_, id))) = ready.pop() {
            let parents: Option<Vec<usize>> =
                plan[id].parents.iter().map(|&parent| written[parent]).collect();
            let Some(parents) = parents.filter(|_| written[id].is_none()) else { continue };
            written[id] = Some(self.write(id, &parents));
            ready.extend(plan[id].children.iter().map(|&child| Reverse((plan[child].priority, child))));
        }
    }

    fn write(&mut self, id: PlanId, parents: &[usize]) -> usize {
        let node = &self.plan[id];
        match &node.role {
            Role::Source(source) => {
                let (topics, pattern) = match source.by_pattern {
                    true => (Vec::new(), source.topics.first().map(|text| TopicPattern::new(text))),
                    false => (source.topics.clone(), None),
                };
                let definition =
                    SourceDefinition { topics, pattern, offset_reset: source.offset_reset, global: false };
                let (supplier, on_error) = (source.supplier.clone(), source.on_error.clone());
                self.topology.add_node(&node.name, NodeKind::Source(definition), supplier, &[], on_error)
            }
            Role::Repartition(repartition) => self.write_repartition(id, repartition, parents),
            Role::Merge(write) | Role::StreamJoin { write, .. } | Role::Other(write) => write(self, parents),
            Role::Gone => unreachable!("a node that is gone has neither parents nor children"),
        }
    }

    fn write_repartition(&mut self, id: PlanId, repartition: &RepartitionPlan, parents: &[usize]) -> usize {
        let RepartitionPlan { topic, sink, filter, source, types, partitions, .. } = repartition;
        let keeps_null_keys = self.feeds_outer_join(id);
        let topology = &mut self.topology;
        let kind = NodeKind::Processor;
        let filter = topology.add_node(filter, kind, types.filter(keeps_null_keys), parents, None);
        let kind = NodeKind::Sink(SinkTopic::Static(topic.clone()));
        topology.add_node(sink, kind, types.sink(topic), &[filter], None);
        topology.repartition_topics.insert(topic.clone(), RepartitionTopic { partitions: *partitions });
        let definition = SourceDefinition {
            topics: vec![topic.clone()],
            pattern: None,
            offset_reset: None,
            global: false,
        };
        topology.add_node(source, NodeKind::Source(definition), types.source(), &[], None)
    }

    /// Whether a left or outer join of streams stands below, which lets null keys through.
    fn feeds_outer_join(&self, id: PlanId) -> bool {
        self.plan[id]
            .children
            .iter()
            .any(|&child| self.plan[child].keeps_null_keys || self.feeds_outer_join(child))
    }
}
