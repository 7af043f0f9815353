//! The outbox of the test driver: keeps what a task writes, by topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anabranch_host::HashMap;

use super::written::Written;
use crate::error::Result;
use crate::outbox::{OutRecord, OutTopic, Outbox};

/// What was written: all that was not read yet, and the whole of changelogs.
pub(super) struct Capture {
    topics: Vec<Topic>,
    /// By [`OutTopic::index`]: the place in `topics`, if it is of the task that wrote there last.
    places: Vec<usize>,
    /// Topics with records that were not handed over yet.
    fresh: Vec<usize>,
    /// Topics that were handed over, by name: their place in `topics`.
    by_name: BTreeMap<Arc<str>, usize>,
    /// Topics of which a record that was read is kept.
    kept: BTreeSet<Arc<str>>,
    /// Topics that are read: their places among the driver's inputs.
    inputs: HashMap<Arc<str>, usize>,
}

struct Topic {
    name: Arc<str>,
    written: Written,
    /// Where it is read.
    input: Option<usize>,
    /// Whether `by_name` has it.
    is_known: bool,
}

impl Outbox for Capture {
    fn partition_count(&mut self, _: &OutTopic) -> Result<i32> {
        Ok(1)
    }

    fn append(&mut self, topic: &OutTopic, _: Option<i32>, record: OutRecord<'_>) -> Result<()> {
        let place = match self.places.get(topic.index as usize) {
            Some(&place) if self.topics.get(place).is_some_and(|known| known.name == topic.name) => place,
            _ => self.find_or_add(topic),
        };
        let written = &mut self.topics[place].written;
        let is_first = !written.has_hidden();
        written.push(record);
        if is_first {
            self.fresh.push(place);
        }
        Ok(())
    }
}

impl Capture {
    /// One that keeps the whole of the topics `kept`; `inputs` are the topics that the task reads.
    pub(super) fn new(kept: BTreeSet<Arc<str>>, inputs: HashMap<Arc<str>, usize>) -> Self {
        Capture {
            topics: Vec::new(),
            places: Vec::new(),
            fresh: Vec::new(),
            by_name: BTreeMap::new(),
            kept,
            inputs,
        }
    }

    #[cold]
    fn find_or_add(&mut self, topic: &OutTopic) -> usize {
        let known = self.topics.iter().position(|known| known.name == topic.name);
        let place = known.unwrap_or_else(|| {
            let name = Arc::clone(&topic.name);
            let (written, input) = (Written::new(self.kept.contains(&name)), self.inputs.get(&name).copied());
            self.topics.push(Topic { name, written, input, is_known: false });
            self.topics.len() - 1
        });
        let index = topic.index as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, usize::MAX);
        }
        self.places[index] = place;
        place
    }

    /// Whether there is something to hand over.
    pub(super) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Lets what was written be read, and shows what was written to topics that the task reads: the input, the record.
    pub(super) fn hand_over(&mut self, mut each: impl FnMut(usize, OutRecord<'_>)) {
        for place in self.fresh.drain(..) {
            let topic = &mut self.topics[place];
            if !topic.is_known {
                topic.is_known = true;
                self.by_name.insert(Arc::clone(&topic.name), place);
            }
            topic.written.show(|records| {
                if let Some(input) = topic.input {
                    records.for_each(|record| each(input, record));
                }
            });
        }
    }

    /// Forgets what was written and not handed over: an abort.
    pub(super) fn forget(&mut self) {
        for place in self.fresh.drain(..) {
            self.topics[place].written.forget_hidden();
        }
    }

    /// A topic is read from now on.
    pub(super) fn add_input(&mut self, topic: &str, input: usize) {
        self.inputs.insert(topic.into(), input);
        if let Some(known) = self.topics.iter_mut().find(|known| *known.name == *topic) {
            known.input = Some(input);
        }
    }

    /// Where a topic is read.
    pub(super) fn input(&self, topic: &str) -> Option<usize> {
        self.inputs.get(topic).copied()
    }

    /// The place of a topic that was written to; it stays the same.
    pub(super) fn place(&self, topic: &str) -> Option<usize> {
        self.by_name.get(topic).copied()
    }

    /// What was written to the topic in a place.
    pub(super) fn written(&mut self, place: usize) -> &mut Written {
        &mut self.topics[place].written
    }

    /// Topics that were written to.
    pub(super) fn topics(&self) -> Vec<String> {
        self.by_name.keys().map(|topic| topic.to_string()).collect()
    }
}
