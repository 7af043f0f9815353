//! The topology as a picture: DOT for Graphviz, Mermaid for pages that draw it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{NodeKind, SinkTopic, Topology};

impl Topology {
    /// The topology as a Graphviz digraph: sub-topologies as clusters, topics between them.
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut text = String::from("digraph topology {\n  rankdir=LR;\n  node [shape=box];\n");
        for subtopology in self.subtopologies() {
            let _ = writeln!(text, "  subgraph cluster_{0} {{\n    label=\"{0}\";", subtopology.id);
            for &node in &subtopology.nodes {
                let _ = writeln!(text, "    \"{}\";", escape(&self.nodes[node].name));
            }
            text.push_str("  }\n");
        }
        for store in &self.stores {
            let _ = writeln!(text, "  \"store {}\" [shape=cylinder];", escape(&store.name));
        }
        for topic in self.topics() {
            let _ = writeln!(text, "  \"topic {}\" [shape=cds];", escape(topic));
        }
        for (from, to) in self.edges() {
            let _ = writeln!(text, "  \"{}\" -> \"{}\";", escape(&from), escape(&to));
        }
        text.push_str("}\n");
        text
    }

    /// The topology as a Mermaid flowchart.
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        let mut names: Vec<String> = Vec::new();
        let mut id = |name: &str| match names.iter().position(|known| known == name) {
            Some(at) => at,
            None => {
                names.push(name.to_owned());
                names.len() - 1
            }
        };
        for subtopology in self.subtopologies() {
            let _ = writeln!(text, "  subgraph s{0}[\"{0}\"]", subtopology.id);
            for &node in &subtopology.nodes {
                let name = &self.nodes[node].name;
                let _ = writeln!(text, "    n{}[\"{}\"]", id(name), escape(name));
            }
            text.push_str("  end\n");
        }
        for store in &self.stores {
            let name = format!("store {}", store.name);
            let _ = writeln!(text, "  n{}[(\"{}\")]", id(&name), escape(&store.name));
        }
        for topic in self.topics() {
            let name = format!("topic {topic}");
            let _ = writeln!(text, "  n{}>\"{}\"]", id(&name), escape(topic));
        }
        for (from, to) in self.edges() {
            let _ = writeln!(text, "  n{} --> n{}", id(&from), id(&to));
        }
        text
    }

    fn topics(&self) -> BTreeSet<&str> {
        let read = self.nodes.iter().flat_map(|node| match &node.kind {
            NodeKind::Source(source) => source.topics.iter().map(String::as_str).collect(),
            NodeKind::Sink(SinkTopic::Static(topic)) => vec![topic.as_str()],
            _ => Vec::new(),
        });
        read.collect()
    }

    /// Edges between nodes, topics and stores.
    fn edges(&self) -> Vec<(String, String)> {
        let mut edges = Vec::new();
        for node in &self.nodes {
            let name = node.name.to_string();
            match &node.kind {
                NodeKind::Source(source) => {
                    edges.extend(source.topics.iter().map(|topic| (format!("topic {topic}"), name.clone())));
                }
                NodeKind::Sink(SinkTopic::Static(topic)) => {
                    edges.push((name.clone(), format!("topic {topic}")))
                }
                _ => {}
            }
            edges.extend(node.stores.iter().map(|store| (name.clone(), format!("store {store}"))));
            edges.extend(
                node.children.iter().map(|&child| (name.clone(), self.nodes[child].name.to_string())),
            );
        }
        edges
    }
}

fn escape(name: &str) -> String {
    name.replace('"', "'")
}
