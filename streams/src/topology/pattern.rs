//! Sources by pattern: a regular expression that the whole name of a topic must match, as in Java.

use std::collections::BTreeSet;
use std::fmt;

use regex_lite::Regex;

use super::{NodeKind, Topology};
use crate::error::{Error, Result};

/// What topics a source reads, whenever they come to be.
#[derive(Clone)]
pub(crate) struct TopicPattern {
    text: String,
    /// Of whole names; or what is wrong with the text.
    whole: Result<Regex, String>,
}

impl TopicPattern {
    pub(crate) fn new(text: &str) -> Self {
        // Alone first: an anchor must not close a bracket that the text has opened.
        let whole = Regex::new(text).and_then(|_| Regex::new(&format!("^(?:{text})$")));
        TopicPattern { text: text.to_owned(), whole: whole.map_err(|error| error.to_string()) }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        self.whole.as_ref().is_ok_and(|whole| whole.is_match(topic))
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicPattern({:?})", self.text)
    }
}

impl Topology {
    /// Whether a source reads topics by pattern.
    pub(crate) fn has_patterns(&self) -> bool {
        self.patterns().next().is_some()
    }

    /// Whether one of these nodes does.
    pub(crate) fn reads_by_pattern(&self, nodes: &[usize]) -> bool {
        self.patterns().any(|(index, _)| nodes.contains(&index))
    }

    /// The sources that read by pattern, with their nodes.
    fn patterns(&self) -> impl Iterator<Item = (usize, &TopicPattern)> {
        self.nodes.iter().enumerate().filter_map(|(index, node)| match &node.kind {
            NodeKind::Source(source) => Some((index, source.pattern.as_ref()?)),
            _ => None,
        })
    }

    /// The source that reads a topic by pattern. None, if a source reads it by name.
    ///
    /// # Errors
    /// If several would.
    pub(crate) fn source_matching(&self, topic: &str) -> Result<Option<usize>> {
        let named = |source: &NodeKind| match source {
            NodeKind::Source(source) => {
                source.pattern.is_none()
                    && source.topics.iter().any(|name| name == topic && !self.is_internal(name))
            }
            _ => false,
        };
        if self.nodes.iter().any(|node| named(&node.kind)) {
            return Ok(None);
        }
        let mut matching = self.patterns().filter(|(_, pattern)| pattern.matches(topic));
        let Some((first, pattern)) = matching.next() else { return Ok(None) };
        match matching.next() {
            None => Ok(Some(first)),
            Some((second, other)) => Err(Error::invalid(format_args!(
                "topic `{topic}` matches the pattern `{}` of source `{}` and `{}` of source `{}`: only one may take it",
                pattern.text, self.nodes[first].name, other.text, self.nodes[second].name
            ))),
        }
    }

    /// The topology with those of the topics that patterns match, under the sources of these.
    ///
    /// # Errors
    /// If a topic matches several patterns.
    pub(crate) fn with_matches<'a>(&self, topics: impl IntoIterator<Item = &'a String>) -> Result<Topology> {
        let mut all = self.clone();
        for node in &mut all.nodes {
            if let NodeKind::Source(source) = &mut node.kind
                && source.pattern.is_some()
            {
                source.topics.clear();
            }
        }
        // In the order of their names: every instance gives a task's inputs the same places.
        for topic in topics.into_iter().collect::<BTreeSet<_>>() {
            if let Some(node) = self.source_matching(topic)?
                && let NodeKind::Source(source) = &mut all.nodes[node].kind
            {
                source.topics.push(topic.clone());
            }
        }
        // What is read together with a pattern is read together with each topic of its.
        for topics in &mut all.copartitions {
            let matches = |topic: String| {
                let node = self.patterns().find(|(_, pattern)| pattern.text == topic).map(|(index, _)| index);
                match node.map(|node| &all.nodes[node].kind) {
                    Some(NodeKind::Source(source)) => source.topics.clone(),
                    _ => vec![topic],
                }
            };
            *topics = std::mem::take(topics).into_iter().flat_map(matches).collect();
        }
        Ok(all)
    }

    /// A pattern must be one, and must not match a topic that is read by name.
    pub(super) fn check_patterns(&self, faults: &mut Vec<String>) {
        for (index, pattern) in self.patterns() {
            let node = &self.nodes[index].name;
            if let Err(fault) = &pattern.whole {
                faults.push(format!("node `{node}`: `{}` is no pattern: {fault}", pattern.text));
            }
            for other in &self.nodes {
                let NodeKind::Source(source) = &other.kind else { continue };
                if source.pattern.is_some() {
                    continue;
                }
                // The application's own topics are left out.
                let taken = |topic: &&String| pattern.matches(topic) && !self.is_internal(topic);
                for topic in source.topics.iter().filter(taken) {
                    faults.push(format!(
                        "topic `{topic}` of source `{}` matches the pattern `{}` of source `{node}`: read it in one of them",
                        other.name, pattern.text
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[test]
    fn the_whole_name_must_match() {
        for (pattern, topic, expected) in [
            ("clicks-.*", "clicks-eu", true),
            ("clicks-.*", "my-clicks-eu", false),
            ("clicks", "clicks-eu", false),
            ("a|b", "b", true),
            ("a|b", "ab", false),
            ("(", "(", false),
            ("a)|(b", "b", false),
        ] {
            assert_eq!(TopicPattern::new(pattern).matches(topic), expected, "{pattern} {topic}");
        }
    }

    fn check(build: impl Fn(&StreamsBuilder), expected: &[&str]) {
        let builder = StreamsBuilder::new();
        build(&builder);
        let error = builder.build().unwrap_err().to_string();
        for expected in expected {
            assert!(error.contains(expected), "{error}\nlacks\n{expected}");
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        check(
            |b| {
                b.stream_matching("a(").to("o1");
                b.stream_matching("b.*").to("o2");
                b.stream("bc").to("o3");
            },
            &[
                "node `KSTREAM-SOURCE-0000000000`: `a(` is no pattern",
                "topic `bc` of source `KSTREAM-SOURCE-0000000004` matches the pattern `b.*` of source `KSTREAM-SOURCE-0000000002`",
            ],
        );
    }

    #[test]
    fn topics_are_found_and_each_has_one_reader() {
        let builder = StreamsBuilder::new();
        builder.stream_matching("a.*").to("o1");
        builder.stream_matching(".*z").to("o2");
        builder.stream("named").to("o3");
        let topology = builder.build().unwrap();
        let names = ["b-z", "ab", "aa", "named", "other"].map(String::from);
        let matched = topology.with_matches(&names).unwrap();
        let nodes: Vec<usize> = (0..matched.nodes.len()).collect();
        assert_eq!(matched.source_topics(&nodes).collect::<Vec<_>>(), ["aa", "ab", "b-z", "named"]);
        // The text knows nothing of what is there by now.
        assert_eq!(matched.describe(), topology.describe());
        let error = topology.with_matches(&["a-z".to_string()]).unwrap_err().to_string();
        assert!(error.contains("topic `a-z` matches the pattern `a.*`"), "{error}");
    }
}
