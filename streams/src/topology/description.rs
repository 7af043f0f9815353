//! `describe()`: the text that Kafka Streams prints, byte for byte.
//!
//! The order of nodes and of the lists of neighbours is by `size`, falling, then by name. A node's size is one and what
//! its children weighed when the edges were added, which happens in the order of a Java hash map; so that order is
//! followed too.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::java_order::{TreeOrder, of_copied_set, of_grown_set};
use super::{NodeKind, SinkTopic, Subtopology, Topology};

impl Topology {
    /// The topology as Kafka Streams prints it: sub-topologies with their sources, processors, stores and sinks.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::from("Topologies:\n ");
        for subtopology in self.subtopologies() {
            text.push_str("  ");
            self.describe_subtopology(&subtopology, &mut text);
        }
        text
    }

    fn describe_subtopology(&self, subtopology: &Subtopology, text: &mut String) {
        let id = subtopology.id;
        let order = Order::of(self, subtopology);
        let head = if subtopology.global { " for global store (will not generate tasks)" } else { "" };
        let _ = writeln!(text, "Sub-topology: {id}{head}");
        let nodes = if subtopology.global { subtopology.nodes.clone() } else { order.nodes() };
        for node in nodes {
            text.push_str("    ");
            self.describe_node(node, &order, text);
            text.push('\n');
        }
        if !subtopology.global {
            text.push('\n');
        }
    }

    fn describe_node(&self, index: usize, order: &Order<'_>, text: &mut String) {
        let node = &self.nodes[index];
        let name = &node.name;
        let children = || order.names(order.children(index));
        let parents = || order.names(order.parents(index));
        // Writing into a `String` cannot fail.
        let _ = match &node.kind {
            NodeKind::Source(source) => {
                if let Some(pattern) = &source.pattern {
                    let (pattern, children) = (pattern.text(), children());
                    let _ = write!(text, "Source: {name} (topics: {pattern})\n      --> {children}");
                    return;
                }
                let topics = of_copied_set(source.topics.iter().map(String::as_str)).join(", ");
                write!(text, "Source: {name} (topics: [{topics}])\n      --> {}", children())
            }
            NodeKind::Processor => {
                let stores = of_copied_set(node.stores.iter().map(String::as_str)).join(", ");
                write!(
                    text,
                    "Processor: {name} (stores: [{stores}])\n      --> {}\n      <-- {}",
                    children(),
                    parents()
                )
            }
            NodeKind::Sink(SinkTopic::Static(topic)) => {
                write!(text, "Sink: {name} (topic: {topic})\n      <-- {}", parents())
            }
            NodeKind::Sink(SinkTopic::Dynamic) => {
                write!(text, "Sink: {name} (extractor class: dynamic)\n      <-- {}", parents())
            }
        };
    }
}

/// In which order nodes and their neighbours are listed.
struct Order<'t> {
    topology: &'t Topology,
    members: Vec<Member>,
}

struct Member {
    node: usize,
    size: usize,
    parents: TreeOrder,
    children: TreeOrder,
}

impl<'t> Order<'t> {
    fn of(topology: &'t Topology, subtopology: &Subtopology) -> Self {
        let names = subtopology.nodes.iter().map(|&node| &*topology.nodes[node].name);
        let members = of_grown_set(of_grown_set(names))
            .into_iter()
            .filter_map(|name| topology.node_index(name))
            .map(|node| Member { node, size: 1, parents: TreeOrder::new(), children: TreeOrder::new() })
            .collect();
        let mut order = Order { topology, members };
        for at in 0..order.members.len() {
            for &parent in &topology.nodes[order.members[at].node].parents {
                if let Some(parent) = order.position(parent) {
                    order.connect(parent, at);
                }
            }
        }
        order
    }

    fn position(&self, node: usize) -> Option<usize> {
        self.members.iter().position(|member| member.node == node)
    }

    fn connect(&mut self, parent: usize, child: usize) {
        let mut parents = std::mem::replace(&mut self.members[child].parents, TreeOrder::new());
        parents.insert(parent, |a, b| self.compare(a, b));
        self.members[child].parents = parents;
        let mut children = std::mem::replace(&mut self.members[parent].children, TreeOrder::new());
        children.insert(child, |a, b| self.compare(a, b));
        self.members[parent].children = children;
        self.grow(parent, self.members[child].size);
    }

    /// A node grows by what it got, and so does all that stands above it already.
    fn grow(&mut self, at: usize, by: usize) {
        self.members[at].size = self.members[at].size.saturating_add(by);
        for parent in self.members[at].parents.elements() {
            self.grow(parent, by);
        }
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        self.members[b].size.cmp(&self.members[a].size).then_with(|| self.name(a).cmp(self.name(b)))
    }

    fn name(&self, at: usize) -> &'t str {
        &self.topology.nodes[self.members[at].node].name
    }

    fn nodes(&self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.members.len()).collect();
        all.sort_by(|&a, &b| self.compare(a, b));
        all.into_iter().map(|at| self.members[at].node).collect()
    }

    fn children(&self, node: usize) -> Vec<usize> {
        self.position(node).map(|at| self.members[at].children.elements()).unwrap_or_default()
    }

    fn parents(&self, node: usize) -> Vec<usize> {
        self.position(node).map(|at| self.members[at].parents.elements()).unwrap_or_default()
    }

    fn names(&self, members: Vec<usize>) -> String {
        if members.is_empty() {
            return "none".to_owned();
        }
        members.into_iter().map(|at| self.name(at)).collect::<Vec<_>>().join(", ")
    }
}
