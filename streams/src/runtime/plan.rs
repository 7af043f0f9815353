//! What there is to run: tasks and the topics they read, from the topics that are there (pure).
//!
//! Every instance makes a [`Plan`] at its start; after that the leader makes one at each rebalance, since topics that match
//! a pattern come and go and topics grow. What it was made of travels with the assignment, so that every member has the
//! leader's plan, whatever topics it has seen itself.
//! A sub-topology that reads by pattern alone has no task until a topic matches, nor has one that reads what only it writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anabranch_client::TopicPartition;

use super::partition_counts::{SubtopologyTopics, resolve, task_count};
use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::topology::{InternalTopic, Topology};

/// A sub-topology and its topics, by their names on the broker.
#[derive(Clone, Debug)]
pub(crate) struct PlannedSubtopology {
    pub(crate) id: u32,
    /// Indexes of its nodes in the topology.
    pub(crate) nodes: Vec<usize>,
    /// None of them, if there is nothing for it to read yet.
    pub(crate) topics: SubtopologyTopics,
    /// Partitions of its widest source.
    pub(crate) tasks: i32,
    /// The topics that bring its stores back.
    pub(crate) changelogs: BTreeSet<String>,
    /// It reads topics by pattern, so that it may have had more tasks once.
    pub(crate) reads_by_pattern: bool,
}

/// What there is to run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// With the topics that patterns match.
    pub(crate) topology: Arc<Topology>,
    pub(crate) subtopologies: Vec<PlannedSubtopology>,
    /// Partitions of every topic read.
    pub(crate) partitions: BTreeMap<String, i32>,
    /// Those of them that are the user's: what the plan was made of.
    pub(crate) sources: BTreeMap<String, i32>,
    /// The topics that must be there before a task runs, and how many partitions each needs.
    pub(crate) internal: Vec<(i32, InternalTopic)>,
    readers: BTreeMap<TopicPartition, TaskId>,
}

impl Plan {
    /// Every task.
    pub(crate) fn tasks(&self) -> BTreeSet<TaskId> {
        let of = |subtopology: &PlannedSubtopology| {
            let id = subtopology.id;
            (0..subtopology.tasks).map(move |partition| TaskId { subtopology: id, partition })
        };
        self.subtopologies.iter().flat_map(of).collect()
    }

    /// The topic partitions that bring a task's state back; none for a task without state.
    pub(crate) fn changelogs(&self, task: TaskId) -> Vec<TopicPartition> {
        let topics = self.subtopology(task.subtopology).into_iter().flat_map(|s| &s.changelogs);
        topics.map(|topic| TopicPartition::new(topic.as_str(), task.partition)).collect()
    }

    /// The sub-topology of a task.
    pub(crate) fn subtopology(&self, id: u32) -> Option<&PlannedSubtopology> {
        self.subtopologies.iter().find(|subtopology| subtopology.id == id)
    }

    /// The topic partitions that a task reads.
    pub(crate) fn inputs(&self, task: TaskId) -> Vec<TopicPartition> {
        let Some(subtopology) = self.subtopology(task.subtopology) else { return Vec::new() };
        let has = |topic: &&String| self.partitions.get(*topic).is_some_and(|count| task.partition < *count);
        let topics = subtopology.topics.sources.iter().filter(has);
        topics.map(|topic| TopicPartition::new(topic.as_str(), task.partition)).collect()
    }

    /// Those of them that other sub-topologies write for it.
    pub(crate) fn repartition_inputs(&self, task: TaskId) -> Vec<TopicPartition> {
        let sinks: BTreeSet<&str> =
            self.subtopologies.iter().flat_map(|s| &s.topics.repartition_sinks).map(String::as_str).collect();
        self.inputs(task).into_iter().filter(|input| sinks.contains(&*input.topic)).collect()
    }

    /// Whether a topic is the user's and read since a pattern matches it: it may go without harm.
    pub(crate) fn is_read_by_pattern(&self, topic: &str) -> bool {
        self.sources.contains_key(topic)
            && self.topology.source_matching(topic).is_ok_and(|node| node.is_some())
    }

    /// The task that reads a partition.
    pub(crate) fn reader_of(&self, partition: &TopicPartition) -> Option<TaskId> {
        self.readers.get(partition).copied()
    }

    /// The tasks that read one of these partitions.
    pub(crate) fn readers_of<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> BTreeSet<TaskId> {
        partitions.into_iter().filter_map(|partition| self.reader_of(partition)).collect()
    }
}

/// Makes plans of one application.
pub(crate) struct Planner {
    /// Without what patterns match.
    topology: Topology,
    application_id: String,
    /// The application's internal topics.
    own: BTreeSet<String>,
    /// Those of them that streams write for streams.
    repartition: BTreeSet<String>,
    /// Topics that streams read by name, repartition topics among them.
    named: BTreeSet<String>,
}

impl Planner {
    pub(crate) fn new(topology: Topology, application_id: &str) -> Self {
        let repartition = topology.repartition_topics(application_id, topology.repartition_topics.keys());
        let all: Vec<usize> = (0..topology.nodes.len()).collect();
        let changelogs = topology.changelog_topics(application_id, topology.stores_of(&all));
        let streams: Vec<usize> = topology
            .subtopologies()
            .into_iter()
            .filter(|subtopology| !subtopology.global)
            .flat_map(|subtopology| subtopology.nodes)
            .collect();
        let named = topology.source_topics(&streams).map(|name| topology.topic_name(name, application_id));
        let repartition: BTreeSet<String> = repartition.into_iter().map(|topic| topic.name).collect();
        Planner {
            own: changelogs.into_iter().map(|topic| topic.name).chain(repartition.iter().cloned()).collect(),
            repartition,
            named: named.collect(),
            application_id: application_id.to_owned(),
            topology,
        }
    }

    /// The application's id, which is its group's.
    pub(crate) fn application_id(&self) -> &str {
        &self.application_id
    }

    /// Whether a source reads topics by pattern.
    pub(crate) fn has_patterns(&self) -> bool {
        self.topology.has_patterns()
    }

    /// Topics that streams read by name, repartition topics among them.
    pub(crate) fn named(&self) -> &BTreeSet<String> {
        &self.named
    }

    /// The user's topics that streams read by name.
    pub(crate) fn named_sources(&self) -> impl Iterator<Item = &String> {
        self.named.difference(&self.repartition)
    }

    /// The user's topics that feed global stores.
    pub(crate) fn global_topics(&self) -> BTreeSet<String> {
        let nodes = self.topology.global_nodes();
        self.topology.source_topics(&nodes).cloned().collect()
    }

    /// The user's topics that streams write to by name.
    pub(crate) fn outputs(&self) -> BTreeSet<String> {
        let all: Vec<usize> = (0..self.topology.nodes.len()).collect();
        let topics = self.topology.sink_topics(&all);
        topics.filter(|topic| !self.topology.is_internal(topic)).cloned().collect()
    }

    /// Whether a pattern matches a topic of this name. The application's own are left out.
    pub(crate) fn matches(&self, topic: &str) -> bool {
        // One that several match is told of when it is planned with.
        !self.own.contains(topic) && self.topology.source_matching(topic).map_or(true, |node| node.is_some())
    }

    /// Whether a topic is the user's and streams read it.
    pub(crate) fn is_source(&self, topic: &str) -> bool {
        (self.named.contains(topic) && !self.repartition.contains(topic)) || self.matches(topic)
    }

    /// The plan for these topics of the user's, each with its number of partitions. Topics that nobody reads do not matter.
    ///
    /// # Errors
    /// If a topic that is read by name is not there, if one matches several patterns, or if the topics' numbers of
    /// partitions do not go together.
    pub(crate) fn plan(&self, existing: &BTreeMap<String, i32>) -> Result<Plan> {
        let sources: BTreeMap<String, i32> = existing
            .iter()
            .filter(|(topic, _)| self.is_source(topic))
            .map(|(t, n)| (t.clone(), *n))
            .collect();
        let topology = self.topology.with_matches(sources.keys())?;
        let id = self.application_id.as_str();
        let named = |topic: &String| topology.topic_name(topic, id);
        let mut planned: Vec<PlannedSubtopology> = topology
            .subtopologies()
            .into_iter()
            .filter(|subtopology| !subtopology.global)
            .map(|subtopology| {
                let nodes = subtopology.nodes;
                let sinks = topology.repartition_topics(id, topology.sink_topics(&nodes));
                PlannedSubtopology {
                    id: subtopology.id,
                    topics: SubtopologyTopics {
                        sources: topology.source_topics(&nodes).map(named).collect(),
                        repartition_sinks: sinks.into_iter().map(|topic| topic.name).collect(),
                    },
                    tasks: 0,
                    changelogs: BTreeSet::new(),
                    reads_by_pattern: topology.reads_by_pattern(&nodes),
                    nodes,
                }
            })
            .collect();
        rest(&mut planned, &self.repartition);

        let topics: Vec<SubtopologyTopics> = planned.iter().map(|s| s.topics.clone()).collect();
        let written: BTreeSet<&String> = topics.iter().flat_map(|topics| &topics.repartition_sinks).collect();
        let repartition: Vec<InternalTopic> = topology
            .repartition_topics(id, topology.repartition_topics.keys())
            .into_iter()
            .filter(|topic| written.contains(&topic.name))
            .collect();
        let fixed =
            repartition.iter().filter_map(|topic| Some((topic.name.clone(), topic.partitions?))).collect();
        let together: Vec<BTreeSet<String>> =
            topology.copartitions.iter().map(|topics| topics.iter().map(named).collect()).collect();
        let partitions = resolve(&topics, &sources, &fixed, &together).map_err(Error::invalid)?;

        let mut internal: Vec<(i32, InternalTopic)> = Vec::new();
        for topic in repartition {
            internal.push((partitions.get(&topic.name).copied().unwrap_or(1), topic));
        }
        for subtopology in &mut planned {
            subtopology.tasks = task_count(&subtopology.topics, &partitions);
            let stores = topology.stores_of(&subtopology.nodes);
            let restored_from = |name: &&String| topology.store(name)?.restored_from(&topology, id);
            subtopology.changelogs = stores.iter().filter_map(restored_from).collect();
            if subtopology.tasks > 0 {
                let changelogs = topology.changelog_topics(id, stores).into_iter();
                internal.extend(changelogs.map(|changelog| (subtopology.tasks, changelog)));
            }
        }
        let mut plan = Plan {
            topology: Arc::new(topology),
            subtopologies: planned,
            partitions,
            sources,
            internal,
            readers: BTreeMap::new(),
        };
        for task in plan.tasks() {
            plan.readers.extend(plan.inputs(task).into_iter().map(|input| (input, task)));
        }
        Ok(plan)
    }
}

/// Lets sub-topologies rest that have nothing to read: patterns that nothing matches, topics that only such write.
fn rest(planned: &mut [PlannedSubtopology], repartition: &BTreeSet<String>) {
    loop {
        let written: BTreeSet<String> =
            planned.iter().flat_map(|s| s.topics.repartition_sinks.iter().cloned()).collect();
        let mut changed = false;
        for SubtopologyTopics { sources, repartition_sinks } in planned.iter_mut().map(|s| &mut s.topics) {
            let before = sources.len();
            sources.retain(|topic| written.contains(topic) || !repartition.contains(topic));
            changed |= sources.len() != before;
            if sources.is_empty() {
                changed |= !repartition_sinks.is_empty();
                repartition_sinks.clear();
            }
        }
        if !changed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    fn planner(build: impl Fn(&StreamsBuilder)) -> Planner {
        let builder = StreamsBuilder::new();
        build(&builder);
        Planner::new(builder.build().expect("a valid topology"), "app")
    }

    /// `existing`: topics and their partitions; `expected`: tasks with what they read, then the internal topics.
    fn check(planner: &Planner, existing: &[(&str, i32)], expected: Result<(&[&str], &[&str]), &str>) {
        let existing = existing.iter().map(|(topic, count)| ((*topic).to_string(), *count)).collect();
        let shown = planner.plan(&existing).map(|plan| {
            let task = |task: TaskId| {
                let inputs: Vec<_> = plan.inputs(task).iter().map(ToString::to_string).collect();
                assert!(plan.inputs(task).iter().all(|input| plan.reader_of(input) == Some(task)));
                format!("{task}: {}", inputs.join(" "))
            };
            let internal = plan.internal.iter().map(|(count, topic)| format!("{} {count}", topic.name));
            (plan.tasks().into_iter().map(task).collect::<Vec<_>>(), internal.collect::<Vec<_>>())
        });
        match (shown, expected) {
            (Ok((tasks, internal)), Ok(expected)) => {
                assert_eq!(
                    (tasks.as_slice(), internal.as_slice()),
                    (&*owned(expected.0), &*owned(expected.1))
                );
            }
            (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected),
            (shown, expected) => panic!("{shown:?} is not {expected:?}"),
        }
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_string()).collect()
    }

    const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");

    #[test]
    fn tasks_follow_the_topics_that_match() {
        let counted = planner(|builder| {
            let clicks = builder.stream_matching(Topic::<String, String>::new("clicks-.*"));
            clicks.group_by(|_, page| page.clone()).count_with(COUNTS).updates().to("out");
        });
        // Nothing to read, so nothing to run and nothing to make.
        check(&counted, &[("other", 3)], Ok((&[], &[])));
        let one = ["0_0: clicks-eu-0", "1_0: app-counts-repartition-0"];
        check(
            &counted,
            &[("clicks-eu", 1)],
            Ok((&one, &["app-counts-repartition 1", "app-counts-changelog 1"])),
        );
        // The widest decides.
        let two = [
            "0_0: clicks-eu-0 clicks-us-0",
            "0_1: clicks-us-1",
            "1_0: app-counts-repartition-0",
            "1_1: app-counts-repartition-1",
        ];
        check(
            &counted,
            &[("clicks-eu", 1), ("clicks-us", 2)],
            Ok((&two, &["app-counts-repartition 2", "app-counts-changelog 2"])),
        );
    }

    #[test]
    fn the_own_topics_match_nothing() {
        let all = planner(|builder| {
            let all = builder.stream_matching(Topic::<String, String>::new(".*"));
            all.group_by(|_, page| page.clone()).count_with(COUNTS).updates().for_each(|_, _| {});
        });
        for topic in ["app-counts-repartition", "app-counts-changelog"] {
            assert!(!all.matches(topic) && !all.is_source(topic), "{topic}");
        }
        assert!(all.matches("any") && all.is_source("any"));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let joined = planner(|builder| {
            let table = builder.table(Topic::<String, String>::new("pages"));
            let clicks = builder.stream_matching(Topic::<String, String>::new("clicks-.*"));
            clicks.join_table(&table, |click, page| format!("{click} {page}")).to("out");
        });
        check(
            &joined,
            &[("clicks-eu", 1)],
            Err("the source topic `pages` does not exist: create it before the application starts"),
        );
        check(
            &joined,
            &[("pages", 2), ("clicks-eu", 2), ("clicks-us", 1)],
            Err(
                "topics that are joined need the same number of partitions: `clicks-eu` has 2, `clicks-us` has 1, `pages` has 2",
            ),
        );
        let two = planner(|builder| {
            builder.stream_matching(Topic::<String, String>::new("a.*")).to("o1");
            builder.stream_matching(Topic::<String, String>::new(".*z")).to("o2");
        });
        check(
            &two,
            &[("az", 1)],
            Err(
                "topic `az` matches the pattern `a.*` of source `KSTREAM-SOURCE-0000000000` and `.*z` of source \
                 `KSTREAM-SOURCE-0000000002`: only one may take it",
            ),
        );
    }
}
