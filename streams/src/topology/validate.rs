//! All that can be wrong with a topology and that types cannot see, reported together.

use std::collections::BTreeMap;

use super::{NodeKind, SinkTopic, Topology};
use crate::error::Result;

/// What is wrong with a name of a node, store or topic; `None` if nothing.
pub(crate) fn fault_in_name(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it is empty"),
        "." | ".." => Some("it is `.` or `..`"),
        _ if name.len() > 249 => Some("it is longer than 249 characters"),
        _ if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) => {
            Some("only letters, digits, `.`, `_` and `-` are allowed")
        }
        _ => None,
    }
}

impl Topology {
    /// Checks names, edges, stores, topics and partition counts.
    ///
    /// # Errors
    /// All that is wrong, in one error: each with the node, what is wrong and what to do.
    pub fn validate(&self) -> Result<()> {
        let mut faults = self.faults.clone();
        self.check_names(&mut faults);
        self.check_edges(&mut faults);
        self.check_topics(&mut faults);
        self.check_partitions(&mut faults);
        self.check_processors(&mut faults);
        self.check_global_readers(&mut faults);
        Topology::faults_as_error(&faults)
    }

    fn check_names(&self, faults: &mut Vec<String>) {
        let mut check = |what: &str, name: &str| {
            if let Some(fault) = fault_in_name(name) {
                faults.push(format!("`{name}` cannot name a {what}: {fault}"));
            }
        };
        for node in &self.nodes {
            check("node", &node.name);
            match &node.kind {
                NodeKind::Source(source) => source.topics.iter().for_each(|topic| check("topic", topic)),
                NodeKind::Sink(SinkTopic::Static(topic)) => check("topic", topic),
                _ => {}
            }
        }
        for store in &self.stores {
            check("store", &store.name);
        }
    }

    fn check_edges(&self, faults: &mut Vec<String>) {
        if self.nodes.is_empty() {
            faults.push("the topology has no node: read a topic with `stream(..)`".to_owned());
        }
        for node in &self.nodes {
            for &parent in &node.parents {
                let parent = &self.nodes[parent];
                match node.supplier.input {
                    Some(input) if input == parent.supplier.output => {}
                    Some(input) => faults.push(format!(
                        "node `{}` forwards {}, which node `{}` does not take: it takes {input}",
                        parent.name, parent.supplier.output, node.name
                    )),
                    None => faults.push(format!(
                        "node `{}` reads topics and cannot follow node `{}`",
                        node.name, parent.name
                    )),
                }
            }
            for store in &node.stores {
                if self.store(store).is_none() {
                    faults.push(format!("node `{}` uses the store `{store}`, which nobody adds", node.name));
                }
            }
        }
    }

    fn check_topics(&self, faults: &mut Vec<String>) {
        let mut readers: BTreeMap<&str, &str> = BTreeMap::new();
        for node in &self.nodes {
            let NodeKind::Source(source) = &node.kind else { continue };
            for topic in &source.topics {
                if let Some(other) = readers.insert(topic, &node.name) {
                    faults.push(format!(
                        "topic `{topic}` is read by two sources, `{other}` and `{}`: read it once and use the handle twice",
                        node.name
                    ));
                }
            }
        }
    }

    /// Explicit partition counts of repartition topics that must be counted alike.
    fn check_partitions(&self, faults: &mut Vec<String>) {
        for topics in &self.copartitions {
            let counts: BTreeMap<i32, &String> = topics
                .iter()
                .filter_map(|topic| Some((self.repartition_topics.get(topic)?.partitions?, topic)))
                .collect();
            if counts.len() > 1 {
                let list: Vec<String> =
                    counts.iter().map(|(count, topic)| format!("`{topic}` has {count}")).collect();
                faults.push(format!(
                    "topics that are joined need the same number of partitions: {}",
                    list.join(", ")
                ));
            }
        }
        for (name, topic) in &self.repartition_topics {
            if topic.partitions.is_some_and(|count| count < 1) {
                faults.push(format!("topic `{name}` needs at least one partition"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        let long = "x".repeat(250);
        for (name, allowed) in
            [("a.b_c-9", true), ("", false), ("..", false), ("a b", false), ("ä", false), (&long, false)]
        {
            assert_eq!(fault_in_name(name).is_none(), allowed, "{name:?}");
        }
    }
}
