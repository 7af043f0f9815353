//! The walk over the operations: numbers, names, and the plan.

use std::collections::BTreeMap;

use super::{
    Call, GlobalPlan, GroupedPlan, GroupedTablePlan, Output, PlanId, PlanNode, StreamPlan, TableId,
    TablePlan, lower, optimize,
};
use crate::error::Result;
use crate::topology::{Optimization, Topology};

/// State of the walk.
pub(crate) struct Walk {
    /// The number that the next name consumes.
    index: u32,
    pub(crate) plan: Vec<PlanNode>,
    pub(crate) tables: Vec<TablePlan>,
    /// By operation.
    outputs: Vec<Output>,
    pub(crate) faults: Vec<String>,
    /// By operation: its stream behind the repartition topic that a join has made.
    pub(super) joined_streams: BTreeMap<usize, StreamPlan>,
    /// Topics whose partitions must be counted alike.
    pub(crate) copartitions: Vec<Vec<String>>,
}

impl Walk {
    pub(super) fn new(faults: Vec<String>) -> Self {
        Walk {
            index: 0,
            plan: Vec::new(),
            tables: Vec::new(),
            outputs: Vec::new(),
            faults,
            joined_streams: BTreeMap::new(),
            copartitions: Vec::new(),
        }
    }

    pub(super) fn finish(&mut self, output: Output) {
        self.outputs.push(output);
    }

    pub(super) fn into_topology(mut self, optimization: Optimization) -> Result<Topology> {
        optimize::optimize(&mut self.plan, optimization, &mut self.faults);
        lower::lower(self, optimization)
    }

    /// A name with the next number.
    pub(crate) fn number(&mut self, prefix: &str) -> String {
        let name = format!("{prefix}{:010}", self.index);
        self.index += 1;
        name
    }

    /// The user's name, or one with the next number. The number is used up either way, so that a name given to one node
    /// does not shift those of the others.
    pub(crate) fn name(&mut self, given: Option<&str>, prefix: &str) -> String {
        let generated = self.number(prefix);
        given.map_or(generated, str::to_owned)
    }

    /// Adds a node to the plan, below its parents.
    pub(crate) fn add(&mut self, mut node: PlanNode, parents: &[PlanId]) -> PlanId {
        let id = self.plan.len();
        node.parents = parents.to_vec();
        node.priority = id;
        for &parent in parents {
            self.plan[parent].children.push(id);
        }
        self.plan.push(node);
        id
    }

    /// How long after their end the windows in the keys of a node's records may still change: what the aggregations above
    /// it say, the longest of them. `None`: one of its parents has no such aggregation above it.
    pub(crate) fn window_grace_ms(&self, node: PlanId) -> Option<i64> {
        let plan = &self.plan[node];
        if plan.grace_ms.is_some() {
            return plan.grace_ms;
        }
        let mut longest = None;
        for &parent in &plan.parents {
            longest = longest.max(Some(self.window_grace_ms(parent)?));
        }
        longest
    }

    /// Topics that are read together by key need the same number of partitions. Gives all of them.
    pub(crate) fn copartition(&mut self, sides: impl IntoIterator<Item = Vec<String>>) -> Vec<String> {
        let mut topics: Vec<String> = Vec::new();
        for topic in sides.into_iter().flatten() {
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        if topics.len() > 1 {
            self.copartitions.push(topics.clone());
        }
        topics
    }

    /// The stream that an operation gave.
    pub(crate) fn stream(&self, operation: usize) -> &StreamPlan {
        match &self.outputs[operation] {
            Output::Stream(stream) => stream,
            _ => unreachable!("a handle of a stream stands for an operation that gives one"),
        }
    }

    /// The grouped stream that an operation gave.
    pub(crate) fn grouped(&self, operation: usize) -> &GroupedPlan {
        match &self.outputs[operation] {
            Output::Grouped(grouped) => grouped,
            _ => unreachable!("a handle of a grouped stream stands for an operation that gives one"),
        }
    }

    pub(super) fn grouped_mut(&mut self, operation: usize) -> &mut GroupedPlan {
        match &mut self.outputs[operation] {
            Output::Grouped(grouped) => grouped,
            _ => unreachable!("a handle of a grouped stream stands for an operation that gives one"),
        }
    }

    /// The grouped table that an operation gave.
    pub(crate) fn grouped_table(&self, operation: usize) -> &GroupedTablePlan {
        match &self.outputs[operation] {
            Output::GroupedTable(grouped) => grouped,
            _ => unreachable!("a handle of a grouped table stands for an operation that gives one"),
        }
    }

    pub(super) fn grouped_table_mut(&mut self, operation: usize) -> &mut GroupedTablePlan {
        match &mut self.outputs[operation] {
            Output::GroupedTable(grouped) => grouped,
            _ => unreachable!("a handle of a grouped table stands for an operation that gives one"),
        }
    }

    /// The table that an operation gave.
    pub(crate) fn table(&self, operation: usize) -> TableId {
        match &self.outputs[operation] {
            Output::Table(table) => *table,
            _ => unreachable!("a handle of a table stands for an operation that gives one"),
        }
    }

    /// The global table that an operation gave.
    pub(crate) fn global(&self, operation: usize) -> &GlobalPlan {
        match &self.outputs[operation] {
            Output::Global(table) => table,
            _ => unreachable!("a handle of a global table stands for an operation that gives one"),
        }
    }

    /// Adds one processor below a stream, which keeps its partitions.
    pub(crate) fn below(
        &mut self,
        parent: usize,
        call: &Call,
        prefix: &str,
        node: impl FnOnce(String) -> PlanNode,
    ) -> StreamPlan {
        let stream = self.stream(parent).clone();
        let name = self.name(call.name.as_deref(), prefix);
        let node = self.add(node(name), &[stream.node]);
        StreamPlan { node, ..stream }
    }
}
