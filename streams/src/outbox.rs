//! Where a task's records leave it: sinks, repartition topics, changelogs and dead letters.
//!
//! The runtime writes them straight into the producer's batches, the test driver into lists. A task appends in the
//! order in which things happen; the outbox keeps that order per topic partition.

use std::sync::Arc;

use anabranch_host::HashMap;

use crate::error::Result;

/// Takes a task's records.
pub(crate) trait Outbox {
    /// How many partitions a topic has.
    ///
    /// # Errors
    /// If the topic does not exist.
    fn partition_count(&mut self, topic: &OutTopic) -> Result<i32>;

    /// Takes a record. Without a partition the default decides: the hash of the key (murmur2), or for a null key
    /// whatever suits the producer.
    ///
    /// # Errors
    /// If the record can never be written (too large, no such topic), or the producer has failed.
    fn append(&mut self, topic: &OutTopic, partition: Option<i32>, record: OutRecord<'_>) -> Result<()>;

    /// Takes a record of a store's changelog: what came of the same input is to be written before it, where nothing else
    /// makes them count together.
    ///
    /// # Errors
    /// As [`Outbox::append`].
    fn log(&mut self, changelog: &OutTopic, partition: i32, record: OutRecord<'_>) -> Result<()> {
        self.append(changelog, Some(partition), record)
    }

    /// The largest record that can be written: its key, value and headers.
    fn record_max_bytes(&self) -> usize {
        usize::MAX
    }
}

/// A topic that a task writes to. The index is dense and settled per task, so an outbox may keep a list by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutTopic {
    pub(crate) name: Arc<str>,
    pub(crate) index: u32,
}

/// A record on its way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutRecord<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// `None`: the producer's clock decides (Kafka does so for suppression changelogs).
    pub(crate) timestamp: Option<i64>,
    /// Encoded, see [`crate::headers`].
    pub(crate) headers: &'a [u8],
}

impl OutRecord<'_> {
    /// Bytes of its key, value and headers.
    pub(crate) fn size_bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + self.headers.len()
    }
}

/// The topics that a task writes to. Those known to its topology come first; a sink that chooses its topic per record
/// adds more.
#[derive(Default)]
pub(crate) struct OutTopics {
    all: Vec<OutTopic>,
    by_name: HashMap<Arc<str>, u32>,
}

impl OutTopics {
    /// The topic of this name, new or known.
    pub(crate) fn intern(&mut self, name: &str) -> &OutTopic {
        let index = match self.by_name.get(name) {
            Some(&index) => index as usize,
            None => {
                let name: Arc<str> = name.into();
                let index = self.all.len();
                self.by_name.insert(Arc::clone(&name), index as u32);
                self.all.push(OutTopic { name, index: index as u32 });
                index
            }
        };
        &self.all[index]
    }
}
