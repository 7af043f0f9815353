//! The topology as a picture: DOT for Graphviz, Mermaid for pages that draw it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{NodeKind, SinkTopic, SourceDefinition, Topology};

impl Topology {
    /// The topology as a Graphviz digraph: sub-topologies as clusters, topics and stores beside them.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream("clicks").filter(|_, page| page != "/").to("pages");
    /// let dot = builder.build()?.to_dot(); // | dot -Tsvg > topology.svg
    /// assert!(dot.contains(r#""topic clicks" -> "KSTREAM-SOURCE-0000000000";"#), "{dot}");
    /// assert!(dot.contains(r#""KSTREAM-SINK-0000000002" -> "topic pages";"#), "{dot}");
    /// # Ok::<(), anabranch::Error>(())
    /// ```
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

    /// The topology as a Mermaid flowchart, which many pages draw where it stands in a code block named `mermaid`.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream("clicks").to("copy");
    /// let expected = r#"flowchart LR
    ///   subgraph s0["0"]
    ///     n0["KSTREAM-SOURCE-0000000000"]
    ///     n1["KSTREAM-SINK-0000000001"]
    ///   end
    ///   n2>"clicks"]
    ///   n3>"copy"]
    ///   n2 --> n0
    ///   n0 --> n1
    ///   n1 --> n3
    /// "#;
    /// assert_eq!(builder.build()?.to_mermaid(), expected);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
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
            NodeKind::Source(source) => source.reads(),
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
                    edges.extend(
                        source.reads().into_iter().map(|topic| (format!("topic {topic}"), name.clone())),
                    );
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

impl SourceDefinition {
    /// Its topics, or the pattern that stands for them.
    fn reads(&self) -> Vec<&str> {
        match &self.pattern {
            Some(pattern) => vec![pattern.text()],
            None => self.topics.iter().map(String::as_str).collect(),
        }
    }
}

fn escape(name: &str) -> String {
    name.replace('"', "'")
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    fn topology() -> Topology {
        let builder = StreamsBuilder::new();
        let clicks = builder.stream("clicks");
        clicks.count_by(|_, page| page.clone()).updates().to("counts");
        clicks.to_topic_by(|_, page, _| page.clone());
        builder.global_table_with("countries", "countries-store");
        builder.build().unwrap()
    }

    #[test]
    fn dot_has_clusters_topics_and_stores() {
        let dot = topology().to_dot();
        for line in [
            "digraph topology {",
            "  subgraph cluster_0 {",
            "    label=\"1\";",
            "    \"KSTREAM-KEY-SELECT-0000000001\";",
            "  \"store KSTREAM-AGGREGATE-STATE-STORE-0000000002\" [shape=cylinder];",
            "  \"topic KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition\" [shape=cds];",
            "  \"topic countries\" [shape=cds];",
            "  \"topic clicks\" -> \"KSTREAM-SOURCE-0000000000\";",
            "  \"KSTREAM-AGGREGATE-0000000003\" -> \"store KSTREAM-AGGREGATE-STATE-STORE-0000000002\";",
            "}",
        ] {
            assert!(dot.lines().any(|known| known == line), "{dot}\nlacks\n{line}");
        }
    }

    #[test]
    fn mermaid_numbers_each_thing_once() {
        let mermaid = topology().to_mermaid();
        let mut ids = std::collections::BTreeSet::new();
        for line in
            mermaid.lines().map(str::trim).filter(|line| line.starts_with('n') && !line.contains("-->"))
        {
            let id: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert!(ids.insert(id), "{mermaid}");
        }
        let arrows: Vec<&str> = mermaid.lines().filter(|line| line.contains("-->")).collect();
        for end in arrows.iter().flat_map(|arrow| arrow.trim().split(" --> ")) {
            assert!(ids.contains(end), "{end} is drawn nowhere:\n{mermaid}");
        }
        assert!(mermaid.contains("[(\"countries-store\")]"), "{mermaid}");
    }
}
