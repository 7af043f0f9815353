//! How a node is made: once for each task, and again whenever a task is rebuilt.

use std::fmt;
use std::sync::Arc;

use super::{EdgeType, MemoId, Memos, Node, Operator, Punctuations, Schedule, Source, erased};
use crate::data::Nullable;
use crate::error::{Error, Result};
use crate::outbox::{OutTopic, OutTopics};
use crate::state::{Globals, Stores};

/// A sub-topology and a partition: the unit of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// The sub-topology.
    pub subtopology: u32,
    /// The partition.
    pub partition: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}

/// What a node may ask for while it is made.
pub(crate) struct NodeInit<'a> {
    pub(crate) application_id: &'a str,
    pub(crate) topics: &'a mut OutTopics,
    pub(crate) memos: &'a mut Memos,
    /// Which topics of the topology are internal: their names are prefixed by the application's id.
    pub(crate) is_internal: &'a dyn Fn(&str) -> bool,
    pub(crate) stores: &'a Stores,
    /// The stores that all tasks share; they can be read without being connected.
    pub(crate) globals: &'a Globals,
    /// By store: the node that forwards its updates at a flush.
    pub(crate) listeners: &'a mut [Option<usize>],
    pub(crate) name: &'a str,
    /// The node's place in the task.
    pub(crate) place: usize,
    /// For a source: the topic of each of its queues.
    pub(crate) queues: &'a [Arc<str>],
    pub(crate) task_id: TaskId,
    /// Names of the nodes that follow it.
    pub(crate) children: &'a [Arc<str>],
    pub(crate) punctuations: &'a mut Punctuations,
}

impl NodeInit<'_> {
    /// The name of a topic on the broker.
    pub(crate) fn topic_name(&self, name: &str) -> String {
        if (self.is_internal)(name) { format!("{}-{name}", self.application_id) } else { name.to_owned() }
    }

    /// The index of a store.
    pub(crate) fn store(&self, name: &str) -> Result<usize> {
        self.stores.find(name).ok_or_else(|| {
            Error::invalid(format_args!("the store `{name}` is not connected to the node that uses it"))
        })
    }

    /// The index of a store whose updates the node forwards.
    pub(crate) fn own_store(&mut self, name: &str) -> Result<usize> {
        let store = self.store(name)?;
        self.listeners[store] = Some(self.place);
        Ok(store)
    }

    /// The memo of the highest time that the node has seen.
    pub(crate) fn observed_time(&mut self) -> MemoId {
        let name = format!("{}.time", self.name);
        self.memos.register(&name)
    }

    /// Adds a punctuation of the node and gives its id.
    pub(crate) fn punctuation(&mut self, number: usize, schedule: Schedule) -> usize {
        self.punctuations.register((self.place, self.name, number), schedule, self.memos)
    }

    /// A topic to write to.
    pub(crate) fn out_topic(&mut self, name: &str) -> OutTopic {
        let name = self.topic_name(name);
        self.topics.intern(&name).clone()
    }
}

type Make = dyn Fn(&mut NodeInit<'_>) -> Result<Node> + Send + Sync;

/// Makes a node, and knows its types before it is made.
#[derive(Clone)]
pub(crate) struct NodeSupplier {
    /// `None`: a source.
    pub(crate) input: Option<EdgeType>,
    pub(crate) output: EdgeType,
    make: Arc<Make>,
}

impl NodeSupplier {
    /// A supplier of operators.
    pub(crate) fn of<O: Operator + 'static>(
        make: impl Fn(&mut NodeInit<'_>) -> Result<O> + Send + Sync + 'static,
    ) -> Self {
        NodeSupplier {
            input: Some(EdgeType::of::<O::KeyIn, O::ValueIn>()),
            output: EdgeType::of::<O::KeyOut, O::ValueOut>(),
            make: Arc::new(move |init| make(init).map(erased::operator)),
        }
    }

    /// A supplier of sources.
    pub(crate) fn of_source<S: Source + 'static>(
        make: impl Fn(&mut NodeInit<'_>) -> Result<S> + Send + Sync + 'static,
    ) -> Self {
        NodeSupplier {
            input: None,
            output: EdgeType::of::<S::Key, S::Value>(),
            make: Arc::new(move |init| make(init).map(erased::source)),
        }
    }

    /// The same node where keys may be null: it drops them.
    pub(crate) fn without_null_keys<K: Nullable, V: 'static>(self) -> Self {
        let make = self.make;
        NodeSupplier {
            input: Some(EdgeType::of::<K, V>()),
            output: self.output,
            make: Arc::new(move |init| make(init)?.without_null_keys::<K, V>()),
        }
    }

    /// Makes a node.
    pub(crate) fn make(&self, init: &mut NodeInit<'_>) -> Result<Node> {
        (self.make)(init)
    }
}

impl fmt::Debug for NodeSupplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSupplier").field("input", &self.input).field("output", &self.output).finish()
    }
}
