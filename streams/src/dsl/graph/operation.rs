//! The operations of a builder, in the order of the calls.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{GlobalPlan, GroupedPlan, GroupedTablePlan, StreamPlan, TableId, Walk};
use crate::error::Result;
use crate::policy::OnError;
use crate::topology::{Optimization, Topology};

/// A builder's operations, shared by its handles.
#[derive(Clone, Default)]
pub(crate) struct GraphRef(Arc<Mutex<Graph>>);

#[derive(Default)]
struct Graph {
    operations: Vec<Operation>,
    faults: Vec<String>,
    /// An operation uses a handle of another builder, which nothing here can resolve.
    mixed: bool,
}

type Expand = dyn Fn(&mut Walk, &Call) -> Output + Send;

struct Operation {
    /// The method that was called, for messages.
    method: &'static str,
    /// Whether it makes a node that can be named.
    nameable: bool,
    call: Call,
    expand: Box<Expand>,
}

/// What was said about an operation after the call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Its place among the operations.
    pub(crate) id: usize,
    pub(crate) name: Option<String>,
    pub(crate) on_error: Option<OnError>,
}

/// What an operation gives to those that follow it.
#[derive(Clone)]
pub(crate) enum Output {
    /// Nothing: it ends a stream.
    End,
    Stream(StreamPlan),
    Grouped(GroupedPlan),
    GroupedTable(GroupedTablePlan),
    Table(TableId),
    Global(GlobalPlan),
}

impl GraphRef {
    /// Records an operation and gives its place.
    pub(crate) fn record(
        &self,
        method: &'static str,
        nameable: bool,
        expand: impl Fn(&mut Walk, &Call) -> Output + Send + 'static,
    ) -> usize {
        let mut graph = self.0.lock();
        let id = graph.operations.len();
        let call = Call { id, name: None, on_error: None };
        graph.operations.push(Operation { method, nameable, call, expand: Box::new(expand) });
        id
    }

    /// Names an operation's node.
    pub(crate) fn name(&self, id: usize, name: &str) {
        let graph = &mut *self.0.lock();
        let operation = &mut graph.operations[id];
        if !operation.nameable {
            let method = operation.method;
            graph.faults.push(format!(
                "`{method}` makes no node that could be named `{name}`: name the operator before it"
            ));
        } else if let Some(other) = operation.call.name.replace(name.to_owned()) {
            let method = operation.method;
            graph.faults.push(format!("`{method}` is named twice, `{other}` and `{name}`: name it once"));
        }
    }

    /// Settles what happens when an operation's node fails.
    pub(crate) fn on_error(&self, id: usize, answer: OnError) {
        self.0.lock().operations[id].call.on_error = Some(answer);
    }

    /// Reports the use of two builders in one operation; the other handle's operation is not in this graph.
    pub(crate) fn same_builder(&self, other: &GraphRef, method: &str) -> bool {
        let same = Arc::ptr_eq(&self.0, &other.0);
        if !same {
            let graph = &mut *self.0.lock();
            graph.mixed = true;
            graph.faults.push(format!(
                "`{method}` joins handles of two builders: make both with one `StreamsBuilder`"
            ));
        }
        same
    }

    /// Turns the operations into a topology.
    pub(crate) fn build(&self, optimization: Optimization) -> Result<Topology> {
        let graph = self.0.lock();
        if graph.mixed {
            return Topology::faults_as_error(&graph.faults).map(|()| Topology::new());
        }
        let mut walk = Walk::new(graph.faults.clone());
        for operation in &graph.operations {
            let output = (operation.expand)(&mut walk, &operation.call);
            walk.finish(output);
        }
        walk.into_topology(optimization)
    }
}
