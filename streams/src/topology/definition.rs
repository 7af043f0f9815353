//! What a topology holds: nodes in topological order, stores, internal topics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anabranch_host::HashMap;

use super::{RepartitionTopic, TopicPattern, changelog_name};
use crate::error::{Error, Result};
use crate::policy::OnError;
use crate::processor::{EdgeType, NodeSupplier};
use crate::state::{GlobalRows, Globals, StoreEngine, StoreInit, StoreSupplier};
use crate::topic::AutoOffsetReset;

/// Nodes, stores and internal topics: what runs.
///
/// `StreamsBuilder::build` makes one; [`Topology::new`] and the `add_` methods make one by hand.
#[derive(Clone, Default)]
pub struct Topology {
    /// Parents stand before their children.
    pub(crate) nodes: Vec<NodeDefinition>,
    pub(crate) stores: Vec<StoreDefinition>,
    /// By their name without the application's id.
    pub(crate) repartition_topics: BTreeMap<String, RepartitionTopic>,
    /// Topics whose partitions must be counted alike.
    pub(crate) copartitions: Vec<Vec<String>>,
    pub(crate) faults: Vec<String>,
    /// How much longer than its store a changelog of windows keeps them, if that is said.
    pub(crate) additional_retention_ms: Option<i64>,
    /// Stores that only processors have asked for so far, with what their declarations leave out.
    pub(super) declared_stores: BTreeMap<String, Option<String>>,
    /// Children that processors forward to by name.
    pub(super) wanted_children: Vec<(usize, String)>,
    by_name: HashMap<Arc<str>, usize>,
}

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct NodeDefinition {
    pub(crate) name: Arc<str>,
    pub(crate) kind: NodeKind,
    pub(crate) supplier: NodeSupplier,
    pub(crate) parents: Vec<usize>,
    pub(crate) children: Vec<usize>,
    /// Names of the stores it uses, in the order in which they were connected.
    pub(crate) stores: Vec<String>,
    /// Global stores that it reads, by name, with the types it takes them for.
    pub(crate) globals: Vec<(String, EdgeType)>,
    pub(crate) on_error: Option<OnError>,
}

/// What a node is to the world.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    Source(SourceDefinition),
    Processor,
    Sink(SinkTopic),
}

/// What a source reads.
#[derive(Clone, Debug)]
pub(crate) struct SourceDefinition {
    /// Names without the application's id. Of a source by pattern: what it is known to match.
    pub(crate) topics: Vec<String>,
    /// It reads all topics whose names match.
    pub(crate) pattern: Option<TopicPattern>,
    pub(crate) offset_reset: Option<AutoOffsetReset>,
    /// It feeds a global store.
    pub(crate) global: bool,
}

/// Where a sink writes.
#[derive(Clone, Debug)]
pub(crate) enum SinkTopic {
    /// Name without the application's id.
    Static(String),
    /// Chosen per record.
    Dynamic,
}

/// A store.
#[derive(Clone, Debug)]
pub(crate) struct StoreDefinition {
    pub(crate) name: String,
    pub(crate) shape: StoreShape,
    /// Keys and values in it.
    pub(crate) types: EdgeType,
    pub(crate) supplier: StoreSupplier,
    pub(crate) in_memory: bool,
    /// What keeps it on disk if it is kept there.
    pub(crate) engine: StoreEngine,
    pub(crate) caching: bool,
    pub(crate) logging: bool,
    /// The topic it is restored from instead of a changelog of its own.
    pub(crate) source_topic: Option<String>,
    pub(crate) topic_configs: Vec<(String, String)>,
    pub(crate) global: bool,
}

/// How a store keeps its rows, in Kafka Streams' formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreShape {
    /// One row a key; operators keep a timestamp with it.
    KeyValue { timestamped: bool },
    /// One row a key and window start.
    Window { retention_ms: i64 },
    /// Values of a key by time, of one side of a join.
    JoinWindow { retention_ms: i64 },
    /// Lists of records by time.
    Unjoined,
    /// Values of a key over time.
    Versioned { history_ms: i64 },
    /// Records that wait, by time.
    Grace,
    /// Updates that wait, one a key.
    Suppress,
    /// One row a key, under a type of the user's.
    Custom,
    /// One row a key and session.
    Session { retention_ms: i64 },
}

impl StoreShape {
    /// Whether a store of the other shape is used in the same way, however long it keeps its rows.
    pub(super) fn is_like(&self, other: &StoreShape) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl StoreDefinition {
    /// Whether its rows are kept by the engine. A store without a changelog is not, for it could not say what its rows
    /// reflect. Custom stores, and what waits for its time, live in memory and come back from their changelogs.
    pub(crate) fn is_kept_on_disk(&self) -> bool {
        let is_kept = match self.shape {
            StoreShape::KeyValue { .. }
            | StoreShape::Window { .. }
            | StoreShape::Session { .. }
            | StoreShape::JoinWindow { .. }
            | StoreShape::Versioned { .. } => true,
            StoreShape::Unjoined | StoreShape::Grace | StoreShape::Suppress | StoreShape::Custom => false,
        };
        is_kept && !self.in_memory && self.logging && !self.global
    }
}

impl Topology {
    /// An empty topology, to be filled by hand.
    #[must_use]
    pub fn new() -> Self {
        Topology::default()
    }

    /// Adds a node behind its parents and gives its index.
    pub(crate) fn add_node(
        &mut self,
        name: &str,
        kind: NodeKind,
        supplier: NodeSupplier,
        parents: &[usize],
        on_error: Option<OnError>,
    ) -> usize {
        let index = self.nodes.len();
        let name: Arc<str> = name.into();
        if self.by_name.insert(Arc::clone(&name), index).is_some() {
            self.faults.push(format!("two nodes are named `{name}`: give one of them another name"));
        }
        for &parent in parents {
            self.nodes[parent].children.push(index);
        }
        let parents = parents.to_vec();
        let (children, stores, globals) = (Vec::new(), Vec::new(), Vec::new());
        self.nodes.push(NodeDefinition {
            name,
            kind,
            supplier,
            parents,
            children,
            stores,
            globals,
            on_error,
        });
        index
    }

    /// Adds a store, unless it is there already.
    pub(crate) fn add_store(&mut self, store: StoreDefinition) {
        let declared = self.declared_stores.remove(&store.name).is_some();
        match self.stores.iter_mut().find(|known| known.name == store.name) {
            None => self.stores.push(store),
            // What an operator says of its store counts more than what a processor does.
            Some(other) if declared && other.shape.is_like(&store.shape) && other.types == store.types => {
                *other = store;
            }
            Some(other) if other.shape == store.shape && other.types == store.types => {}
            Some(_) => self.declared_in_two_ways(&store.name),
        }
    }

    /// Global stores that these nodes read and do not feed.
    pub(crate) fn globals_of(&self, nodes: &[usize]) -> Vec<&String> {
        let mut all: Vec<&String> = Vec::new();
        for (name, _) in nodes.iter().flat_map(|&node| &self.nodes[node].globals) {
            if !all.contains(&name) && !nodes.iter().any(|&node| self.nodes[node].stores.contains(name)) {
                all.push(name);
            }
        }
        all
    }

    pub(super) fn declared_in_two_ways(&mut self, store: &str) {
        self.faults
            .push(format!("the store `{store}` is declared in two ways: rename one, or use one constant"));
    }

    /// Restores a store from the topic that its rows come from.
    pub(crate) fn restore_from(&mut self, store: &str, topic: &str) {
        if let Some(store) = self.stores.iter_mut().find(|known| known.name == store) {
            store.source_topic = Some(topic.to_owned());
        }
    }

    /// The global stores, as an instance opens them: `rows` gives what all tasks share, by the store's definition.
    pub(crate) fn globals(
        &self,
        application_id: &str,
        partitions: BTreeMap<String, i32>,
        rows: impl Fn(&StoreDefinition) -> Result<GlobalRows>,
    ) -> Result<Globals> {
        let open = |store: &StoreDefinition| {
            let init = StoreInit {
                name: store.name.as_str().into(),
                topic: changelog_name(application_id, &store.name).into(),
                changelog: None,
                cached: false,
                engine: None,
                shared: Some(Arc::new(rows(store)?)),
                kept: Default::default(),
            };
            Ok((init, store.supplier.clone()))
        };
        let all: Result<Vec<_>> = self.stores.iter().filter(|store| store.global).map(open).collect();
        let mut feeds = Vec::new();
        for subtopology in self.subtopologies().into_iter().filter(|subtopology| subtopology.global) {
            for topic in self.source_topics(&subtopology.nodes) {
                let stores = self.stores_of(&subtopology.nodes).into_iter();
                feeds.extend(stores.map(|store| (self.topic_name(topic, application_id), store.clone())));
            }
        }
        Ok(Globals::new(all?, feeds, partitions))
    }

    /// The nodes that feed global stores, parents first.
    pub(crate) fn global_nodes(&self) -> Vec<usize> {
        let global = self.subtopologies().into_iter().filter(|subtopology| subtopology.global);
        global.flat_map(|subtopology| subtopology.nodes).collect()
    }

    /// Lets a node use a store.
    pub(crate) fn connect(&mut self, node: usize, store: &str) {
        let stores = &mut self.nodes[node].stores;
        if !stores.iter().any(|name| name == store) {
            stores.push(store.to_owned());
        }
    }

    pub(crate) fn store(&self, name: &str) -> Option<&StoreDefinition> {
        self.stores.iter().find(|store| store.name == name)
    }

    pub(crate) fn node_index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// All faults as one error, if there are any.
    pub(crate) fn faults_as_error(faults: &[String]) -> Result<()> {
        match faults {
            [] => Ok(()),
            [fault] => Err(Error::invalid(fault)),
            faults => {
                Err(Error::invalid(format_args!("{} faults:\n- {}", faults.len(), faults.join("\n- "))))
            }
        }
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
