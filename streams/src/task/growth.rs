//! A task's inputs change while it runs: a topic has come to be that one of its sources takes by pattern, has grown up to the
//! task's partition, or has gone.
//!
//! The runtime hands over the topology with all topics that are there; the test driver names the topic it pipes to. What
//! the task reads already it reads on, undisturbed; of a topic that is gone it processes what it has.

use std::sync::Arc;

use super::input::Input;
use super::offset_metadata::OffsetMetadata;
use super::stream_task::{Marks, Task};
use crate::error::Result;
use crate::topology::{NodeKind, Topology};

impl Task {
    /// Begins to read a topic that a source takes by pattern, and gives its place among the inputs; none if no source
    /// takes it.
    ///
    /// # Errors
    /// If several sources would take it.
    pub(crate) fn match_topic(&mut self, topic: &str) -> Result<Option<usize>> {
        let Some(node) = self.topology.source_matching(topic)? else { return Ok(None) };
        let Some(source) = self.chosen.iter().position(|&index| index == node) else { return Ok(None) };
        self.add_input(source, topic);
        Ok(Some(self.inputs.len() - 1))
    }

    /// Reads from now on all topics that the sources have in this topology, which is the task's own but for what patterns
    /// match. `has` says of which of them the task's partition is there.
    pub(crate) fn read_topics(&mut self, topology: &Arc<Topology>, has: impl Fn(&str) -> bool) {
        self.topology = Arc::clone(topology);
        for source in 0..self.chosen.len() {
            let NodeKind::Source(definition) = &topology.nodes[self.chosen[source]].kind else { continue };
            for topic in definition.topics.iter().filter(|_| definition.pattern.is_some()) {
                if self.inputs.iter().all(|input| *input.topic != **topic) {
                    self.add_input(source, topic);
                }
            }
        }
        for index in 0..self.inputs.len() {
            let input = &mut self.inputs[index];
            match (input.is_gone, has(&input.topic)) {
                (false, false) => input.is_gone = true,
                (true, true) => self.begin_anew(index),
                _ => {}
            }
        }
    }

    /// A partition is there that was not: of a topic that has grown, or of another one of the same name.
    pub(crate) fn begin_anew(&mut self, index: usize) {
        let Input { topic, partition, source, queue_of_source, .. } = &self.inputs[index];
        let input = Input::new(Arc::clone(topic), *partition, *source, *queue_of_source);
        let mark = (input.partition_time, input.next_offset);
        self.each_marks(|marks| marks.inputs[index] = mark);
        self.inputs[index] = input;
    }

    fn add_input(&mut self, source: usize, topic: &str) {
        let topic: Arc<str> = topic.into();
        self.nodes.add_queue(source, &topic);
        let queue = self.inputs.iter().filter(|input| input.source == source).count();
        let input = Input::new(topic, self.id.partition, source, queue);
        // An abort takes it back to its beginning.
        let mark = (input.partition_time, input.next_offset);
        self.each_marks(|marks| marks.inputs.push(mark));
        self.inputs.push(input);
    }

    /// Takes over the time committed beside the offset of an input that has come later, given by its topic. It holds
    /// whatever is undone.
    pub(crate) fn resume_grown(&mut self, topic: &str, metadata: &str) {
        let Some(OffsetMetadata { partition_time, .. }) = OffsetMetadata::decode(metadata) else { return };
        self.state.stream_time = self.state.stream_time.max(partition_time);
        self.each_marks(|marks| marks.stream_time = marks.stream_time.max(partition_time));
        for index in 0..self.inputs.len() {
            let input = &mut self.inputs[index];
            if *input.topic == *topic {
                input.partition_time = input.partition_time.max(partition_time);
                self.each_marks(|marks| marks.inputs[index].0 = marks.inputs[index].0.max(partition_time));
            }
        }
    }

    /// Changes what the task may go back to.
    fn each_marks(&mut self, change: impl Fn(&mut Marks)) {
        self.sealed.iter_mut().for_each(|(_, marks)| change(marks));
        change(&mut self.committed);
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{OutRecord, OutTopic, Outbox};
    use crate::prelude::*;
    use crate::processor::{RawInput, TaskId};
    use crate::task::TaskConfig;

    /// Values as they were written.
    #[derive(Default)]
    struct Values(Vec<String>);

    impl Outbox for Values {
        fn partition_count(&mut self, _: &OutTopic) -> Result<i32> {
            Ok(1)
        }

        fn append(&mut self, _: &OutTopic, _: Option<i32>, record: OutRecord<'_>) -> Result<()> {
            self.0.push(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
            Ok(())
        }
    }

    fn with(topics: &[&str]) -> Arc<Topology> {
        let builder = StreamsBuilder::new();
        builder.stream_matching(Topic::<Option<String>, String>::new("in-.*")).to("out");
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_string()).collect();
        Arc::new(builder.build().unwrap().with_matches(&topics).unwrap())
    }

    fn task(topology: Arc<Topology>) -> Task {
        let nodes = (0..topology.nodes.len()).collect();
        let id = TaskId { subtopology: 0, partition: 0 };
        Task::new(topology, nodes, id, TaskConfig::of_test()).unwrap()
    }

    /// The offsets to be committed, by input.
    fn committed(task: &mut Task) -> Vec<(usize, i64)> {
        let sealed = task.seal(&mut Values::default()).unwrap();
        task.commit(sealed.epoch).unwrap();
        sealed.offsets.into_iter().map(|(input, offset, _)| (input, offset)).collect()
    }

    fn read(task: &mut Task, topic: &str, offset: i64, value: &str) {
        let input = task.inputs().iter().position(|input| &*input.topic == topic).unwrap();
        task.fetched(input, offset, offset + 1);
        let value = Some(value.as_bytes());
        task.enqueue(input, RawInput { offset, timestamp: offset, key: None, value, headers: &[] });
    }

    fn process(task: &mut Task) -> String {
        let mut outbox = Values::default();
        while task.process(0, &mut outbox).unwrap() {}
        outbox.0.join(" ")
    }

    #[test]
    fn a_new_topic_is_read_beside_the_others_and_undone_with_them() {
        let mut task = task(with(&["in-b"]));
        read(&mut task, "in-b", 0, "b0");
        assert_eq!(process(&mut task), "b0");
        let sealed = task.seal(&mut Values::default()).unwrap();
        read(&mut task, "in-b", 1, "b1");

        // What waits is not lost; a topic that sorts before the others takes nobody's place.
        let all = with(&["in-a", "in-b"]);
        task.read_topics(&all, |_| true);
        task.read_topics(&all, |_| true);
        let topics: Vec<String> = task.inputs().iter().map(|input| input.topic.to_string()).collect();
        assert_eq!(topics, ["in-b", "in-a"]);
        let metadata = OffsetMetadata { partition_time: 7, memos: Vec::new() }.encode();
        task.resume_grown("in-a", &metadata);
        read(&mut task, "in-a", 5, "a5");
        assert_eq!(process(&mut task), "b1 a5");

        // The epoch that was sealed before is committed; what came after it is undone.
        task.commit(sealed.epoch).unwrap();
        task.abort().unwrap();
        assert_eq!((task.rewound_to(0), task.rewound_to(1)), (Some(1), Some(5)));
        assert_eq!((task.inputs()[0].partition_time, task.inputs()[1].partition_time), (0, 7));
        read(&mut task, "in-b", 1, "b1");
        read(&mut task, "in-a", 5, "a5");
        assert_eq!(process(&mut task), "b1 a5");
        assert_eq!(committed(&mut task), [(0, 2), (1, 6)]);
    }

    #[test]
    fn a_topic_that_is_gone_is_committed_no_more_and_may_come_again() {
        let mut task = task(with(&["in-a", "in-b"]));
        read(&mut task, "in-a", 5, "a5");
        read(&mut task, "in-b", 5, "b5");
        task.read_topics(&with(&["in-b"]), |topic| topic == "in-b");
        assert_eq!(process(&mut task), "a5 b5");
        assert_eq!(committed(&mut task), [(1, 6)]);
        assert!(!task.needs_commit());
        task.read_topics(&with(&["in-a", "in-b"]), |_| true);
        read(&mut task, "in-a", 0, "a0");
        assert_eq!(process(&mut task), "a0");
        assert_eq!(committed(&mut task), [(0, 1), (1, 6)]);
    }
}
