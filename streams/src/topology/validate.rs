//! All that can be wrong with a topology and that types cannot see, reported together.

use std::collections::BTreeMap;

use super::{NodeKind, SinkTopic, Topology};
use crate::error::Result;
use crate::topic::AutoOffsetReset;

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

/// Whether the builder has made a name up: `KSTREAM-..-0000000003`, with more behind it or not.
fn is_made_up(name: &str) -> bool {
    let has_number = || name.as_bytes().windows(10).any(|part| part.iter().all(u8::is_ascii_digit));
    (name.starts_with("KSTREAM-") || name.starts_with("KTABLE-")) && has_number()
}

impl Topology {
    /// Checks names, edges, stores, topics and partition counts.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders").named("source");
    /// orders.map_values(|text| text.len() as i64).named("source").to("lengths");
    /// orders.to("all orders");
    /// let error = builder.build().unwrap_err().to_string();
    /// let expected = "2 faults:
    /// - two nodes are named `source`: give one of them another name
    /// - `all orders` cannot name a topic: only letters, digits, `.`, `_` and `-` are allowed";
    /// assert_eq!(error, expected);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    ///
    /// # Errors
    /// All that is wrong, in one error: each with the node, what is wrong and what to do.
    pub fn validate(&self) -> Result<()> {
        let mut faults = self.faults.clone();
        self.check_names(&mut faults);
        self.check_edges(&mut faults);
        self.check_topics(&mut faults);
        self.check_patterns(&mut faults);
        self.check_partitions(&mut faults);
        self.check_processors(&mut faults);
        self.check_global_readers(&mut faults);
        Topology::faults_as_error(&faults)
    }

    /// Refuses stores and internal topics whose names were made up: they have a number in them, which another operator before
    /// them changes, and with it where state is looked for (`ensure.explicit.internal.resource.naming`).
    pub(crate) fn require_explicit_names(&self) -> Result<()> {
        let stores = self.stores.iter().map(|store| ("store", &store.name));
        let topics = self.repartition_topics.keys().map(|topic| ("repartition topic", topic));
        let made_up = stores.chain(topics).filter(|(_, name)| is_made_up(name));
        let fault = |(what, name)| format!("the {what} `{name}` has no name of its own: give it one");
        Topology::faults_as_error(&made_up.map(fault).collect::<Vec<_>>())
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
            let resets = source.offset_reset.is_some_and(|reset| reset != AutoOffsetReset::Earliest);
            for topic in &source.topics {
                if source.global && resets {
                    faults.push(format!(
                        "topic `{topic}` feeds a global store, so it is always read from its start: leave out its \
                         `offset_reset`"
                    ));
                }
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
    use crate::prelude::*;

    /// What `build` says of a topology: each of these, and no more faults than these.
    fn check(build: impl Fn(&StreamsBuilder), expected: &[&str]) {
        let builder = StreamsBuilder::new();
        build(&builder);
        let error = builder.build().unwrap_err().to_string();
        for expected in expected {
            assert!(error.contains(expected), "{error}\nlacks\n{expected}");
        }
        assert_eq!(error.matches("\n- ").count(), expected.len(), "{error}");
    }

    #[test]
    fn all_faults_are_told_together() {
        check(
            |b| {
                // Names: of a node, of a store, twice the same, on what makes no node, twice on one.
                let a = b.stream("a").named("a b");
                a.group_by_key().count_with("no/name");
                a.map_values(|v| v).named("twice").to("o1");
                a.map_values(|v| v).named("twice").to("o2");
                b.stream("b").with_nullable_values().named("nothing").to("o3");
                a.peek(|_, _| {}).named("first").named("second").to("o4");
            },
            &[
                "`a b` cannot name a node",
                "`no/name` cannot name a store",
                "two nodes are named `twice`",
                "`with_nullable_values` makes no node that could be named `nothing`",
                "`peek` is named twice, `first` and `second`",
            ],
        );
        check(
            |b| {
                // Topics read by halves, with two types, with two resets; counts that cannot be alike.
                b.streams(["x", "y"]).to("o1");
                b.streams(["y", "z"]).to("o2");
                b.stream("t").to("o3");
                b.stream(Topic::<Option<String>, i64>::new("t")).to("o4");
                b.stream("r").to("o5");
                let latest = Topic::<Option<String>, String>::new("r").consumed();
                b.stream(latest.offset_reset(AutoOffsetReset::Latest)).to("o6");
                let left = b.stream("l").repartition_with(Repartitioned::named("left").partitions(2));
                let right = b.stream("q").repartition_with(Repartitioned::named("right").partitions(3));
                left.join(&right, JoinWindows::of(millis(5)), |a, b| format!("{a}{b}")).to("o7");
            },
            &[
                "read some topics in common",
                "topic `t` is read as",
                "topic `r` is read with two offset resets",
                "topics that are joined need the same number of partitions: `left-repartition` has 2, `right-repartition` has 3",
                // Those that could not be merged are read twice as well.
                "topic `y` is read by two sources",
                "topic `t` is read by two sources",
                "topic `r` is read by two sources",
            ],
        );
        check(
            |b| {
                // A policy of where to begin, where all is always read.
                let topic = Topic::<Option<String>, String>::new("g").consumed();
                b.global_table(topic.offset_reset(AutoOffsetReset::Latest));
                let topic = Topic::<Option<String>, String>::new("h").consumed();
                b.global_table(topic.offset_reset(AutoOffsetReset::Earliest));
                b.table("no/topic");
            },
            &["topic `g` feeds a global store, so it is always read from its start", "cannot name a topic"],
        );
        check(
            |b| {
                // Stores: twice under one name, too short a memory; a grace without a history.
                let grouped = b.stream("a").group_by_key();
                grouped.count_with("counts");
                grouped.aggregate_with(String::new, |_, v, all| all + &v, "counts");
                let short = Store::<Windows<String, i64>>::named("short").retention(millis(1));
                grouped.windowed_by(Tumbling::of(millis(10))).count_with(short);
                let table = b.table("t");
                let patient = Joined::named("patient").grace(seconds(1));
                b.stream("s").join_table_with(&table, |_, a, b| format!("{a}{b}"), patient).to("o");
            },
            &[
                "the store `counts` is declared in two ways",
                "the store `short` keeps rows for 1 ms",
                "patient",
            ],
        );
    }

    #[test]
    fn made_up_names_are_told() {
        let check = |build: fn(&StreamsBuilder), expected: &[&str]| {
            let builder = StreamsBuilder::new();
            build(&builder);
            let checked = builder.build().expect("sound").require_explicit_names();
            let error = checked.err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(error.matches("has no name of its own").count(), expected.len(), "{error}");
            expected.iter().for_each(|name| assert!(error.contains(name), "{error}"));
        };
        check(|b| drop(b.stream("a").group_by_key().count()), &["the store `KSTREAM-AGGREGATE-STATE-STORE-"]);
        check(
            |b| drop(b.stream("a").count_by(|_, value| value.clone())),
            &[
                "the store `KSTREAM-AGGREGATE-STATE-STORE-",
                "the repartition topic `KSTREAM-AGGREGATE-STATE-STORE-",
            ],
        );
        check(|b| drop(b.stream("a").group_by_key().count_with("counts")), &[]);
        check(|b| drop(b.stream("a").to("b")), &[]);
    }

    #[test]
    fn two_builders_cannot_be_joined() {
        let (a, b) = (StreamsBuilder::new(), StreamsBuilder::new());
        a.stream("a").merge(&b.stream("b")).to("out");
        let error = a.build().unwrap_err().to_string();
        assert!(error.contains("`merge` joins handles of two builders"), "{error}");
    }

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
