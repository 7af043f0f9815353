//! What runs as one task: nodes that are joined by edges or by a shared store.

use super::{NodeKind, SinkTopic, Topology};
use crate::topic::AutoOffsetReset;

/// Nodes that run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subtopology {
    pub(crate) id: u32,
    /// Indexes of its nodes, parents first.
    pub(crate) nodes: Vec<usize>,
    /// It feeds a global store and makes no tasks.
    pub(crate) global: bool,
}

impl Topology {
    /// The sub-topologies, by id. A sub-topology gets its id where its first node was added, as in Kafka Streams.
    pub(crate) fn subtopologies(&self) -> Vec<Subtopology> {
        let mut groups = Groups::new(self.nodes.len());
        let mut users: Vec<(&str, usize)> = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for &parent in &node.parents {
                groups.unite(parent, index);
            }
            for store in &node.stores {
                if self.store(store).is_some_and(|store| store.global) && !self.feeds_global_store(index) {
                    continue;
                }
                match users.iter().find(|(name, _)| name == store) {
                    Some(&(_, user)) => groups.unite(user, index),
                    None => users.push((store, index)),
                }
            }
        }
        let mut all: Vec<(usize, Subtopology)> = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let root = groups.root(index);
            let at = all.iter().position(|(group, _)| *group == root).unwrap_or_else(|| {
                let id = all.len() as u32;
                all.push((root, Subtopology { id, nodes: Vec::new(), global: false }));
                all.len() - 1
            });
            let subtopology = &mut all[at].1;
            subtopology.nodes.push(index);
            subtopology.global |= matches!(&node.kind, NodeKind::Source(source) if source.global);
        }
        all.into_iter().map(|(_, subtopology)| subtopology).collect()
    }

    /// Whether a node stands below a source of a global store.
    pub(super) fn feeds_global_store(&self, index: usize) -> bool {
        match &self.nodes[index].kind {
            NodeKind::Source(source) => source.global,
            _ => self.nodes[index].parents.iter().any(|&parent| self.feeds_global_store(parent)),
        }
    }

    /// Topics that these nodes read, without the application's id.
    pub(crate) fn source_topics<'a>(&'a self, nodes: &'a [usize]) -> impl Iterator<Item = &'a String> {
        nodes.iter().flat_map(|&index| match &self.nodes[index].kind {
            NodeKind::Source(source) => source.topics.as_slice(),
            _ => &[],
        })
    }

    /// Topics that these nodes read, without the application's id, each with where its source begins.
    pub(crate) fn source_resets<'a>(
        &'a self,
        nodes: &'a [usize],
    ) -> impl Iterator<Item = (&'a String, Option<AutoOffsetReset>)> {
        nodes.iter().flat_map(|&index| {
            let (topics, reset) = match &self.nodes[index].kind {
                NodeKind::Source(source) => (source.topics.as_slice(), source.offset_reset),
                _ => (&[][..], None),
            };
            topics.iter().map(move |topic| (topic, reset))
        })
    }

    /// Topics that these nodes are known to write, without the application's id.
    pub(crate) fn sink_topics<'a>(&'a self, nodes: &'a [usize]) -> impl Iterator<Item = &'a String> {
        nodes.iter().filter_map(|&index| match &self.nodes[index].kind {
            NodeKind::Sink(SinkTopic::Static(topic)) => Some(topic),
            _ => None,
        })
    }

    /// Names of the stores that these nodes use, in the order of their first user.
    pub(crate) fn stores_of<'a>(&'a self, nodes: &'a [usize]) -> Vec<&'a String> {
        let mut all: Vec<&String> = Vec::new();
        for &index in nodes {
            for store in &self.nodes[index].stores {
                if !all.contains(&store) {
                    all.push(store);
                }
            }
        }
        all
    }
}

/// Sets that can be united.
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Groups((0..count).collect())
    }

    fn root(&mut self, mut index: usize) -> usize {
        while self.0[index] != index {
            self.0[index] = self.0[self.0[index]];
            index = self.0[index];
        }
        index
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
