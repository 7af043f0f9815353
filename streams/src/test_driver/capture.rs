//! The outbox of the test driver: keeps what a task writes, by topic.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::RawRecord;
use crate::error::Result;
use crate::headers::Headers;
use crate::outbox::{OutRecord, OutTopic, Outbox};

/// What was written and not read yet.
#[derive(Default)]
pub(super) struct Capture {
    /// In the order of writing, until handed over.
    pending: Vec<(Arc<str>, RawRecord)>,
    /// By topic, until read.
    topics: BTreeMap<Arc<str>, VecDeque<RawRecord>>,
}

impl Outbox for Capture {
    fn partition_count(&mut self, _: &OutTopic) -> Result<i32> {
        Ok(1)
    }

    fn append(&mut self, topic: &OutTopic, _: Option<i32>, record: OutRecord<'_>) -> Result<()> {
        let record = RawRecord {
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            timestamp: record.timestamp,
            headers: Headers::from_encoded(Bytes::copy_from_slice(record.headers)),
        };
        self.pending.push((Arc::clone(&topic.name), record));
        Ok(())
    }
}

impl Capture {
    /// Lets what was written be read, and gives it in the order of writing.
    pub(super) fn hand_over(&mut self) -> Vec<(Arc<str>, RawRecord)> {
        let written = std::mem::take(&mut self.pending);
        for (topic, record) in &written {
            self.topics.entry(Arc::clone(topic)).or_default().push_back(record.clone());
        }
        written
    }

    pub(super) fn read(&mut self, topic: &str) -> Option<RawRecord> {
        self.topics.get_mut(topic)?.pop_front()
    }

    pub(super) fn unread(&self, topic: &str) -> usize {
        self.topics.get(topic).map_or(0, VecDeque::len)
    }

    /// Topics that were written to.
    pub(super) fn topics(&self) -> Vec<String> {
        self.topics.keys().map(|topic| topic.to_string()).collect()
    }
}
