//! The outbox of the test driver: keeps what a task writes, by topic.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Result;
use crate::headers::Headers;
use crate::outbox::{OutRecord, OutTopic, Outbox};
use crate::record::RawRecord;

/// What was written: all that was not read yet, and the whole of changelogs.
pub(super) struct Capture {
    /// In the order of writing, until handed over.
    pending: Vec<(Arc<str>, RawRecord)>,
    topics: BTreeMap<Arc<str>, Written>,
    /// Topics of which a record that was read is kept.
    kept: BTreeSet<Arc<str>>,
}

#[derive(Default)]
struct Written {
    records: VecDeque<RawRecord>,
    /// How many of the records were read and are kept.
    read: usize,
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
    /// One that keeps the whole of these topics.
    pub(super) fn keeping(kept: BTreeSet<Arc<str>>) -> Self {
        Capture { pending: Vec::new(), topics: BTreeMap::new(), kept }
    }

    /// Forgets what was written and not handed over: an abort.
    pub(super) fn forget(&mut self) {
        self.pending.clear();
    }

    /// Lets what was written be read, and gives it in the order of writing.
    pub(super) fn hand_over(&mut self) -> Vec<(Arc<str>, RawRecord)> {
        let written = std::mem::take(&mut self.pending);
        for (topic, record) in &written {
            self.topics.entry(Arc::clone(topic)).or_default().records.push_back(record.clone());
        }
        written
    }

    pub(super) fn read(&mut self, topic: &str) -> Option<RawRecord> {
        let written = self.topics.get_mut(topic)?;
        if !self.kept.contains(topic) {
            return written.records.pop_front();
        }
        let record = written.records.get(written.read)?.clone();
        written.read += 1;
        Some(record)
    }

    pub(super) fn unread(&self, topic: &str) -> usize {
        self.topics.get(topic).map_or(0, |written| written.records.len() - written.read)
    }

    /// The whole of a changelog.
    pub(super) fn whole(&self, changelog: &str) -> Vec<RawRecord> {
        self.topics.get(changelog).into_iter().flat_map(|written| &written.records).cloned().collect()
    }

    /// Topics that were written to.
    pub(super) fn topics(&self) -> Vec<String> {
        self.topics.keys().map(|topic| topic.to_string()).collect()
    }
}
