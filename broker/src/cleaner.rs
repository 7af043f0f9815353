//! The log cleaner at work: it looks for the log that needs compaction most, cleans it, and looks again.
//!
//! It runs on a thread of its own, so that the many bytes it reads, hashes and writes hold up nobody. A log whose segment
//! is damaged is reported once and left alone until the broker starts anew; one that cannot be cleaned for the moment lets
//! all others go first.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::JoinHandle;
use anabranch_protocol::Uuid;

use crate::config::CleanerConfig;
use crate::log::{Cleanable, CleanedLog, CleanerLimits, CleanerProgress, LogError, Pace};
use crate::node::Node;
use crate::partition::Partition;
use crate::partition_name::PartitionName;

/// Starts the cleaner; it ends when the broker stops.
///
/// # Errors
/// If the operating system refuses the thread.
pub(crate) fn start(node: Arc<Node>, directory: &Path) -> io::Result<JoinHandle<()>> {
    let progress = CleanerProgress::load(&node.host.disk(), directory)?;
    let cleaner = Cleaner { node, progress, known: BTreeMap::new(), set_aside: BTreeSet::new() };
    let host = cleaner.node.host.clone();
    host.spawn_pinned("log-cleaner", move || cleaner.run())
}

/// What the cleaner knows of a log.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// A topic of the same name may have another.
    topic_id: Uuid,
    /// Whether it cannot be cleaned.
    is_damaged: bool,
}

struct Cleaner {
    node: Arc<Node>,
    progress: CleanerProgress,
    known: BTreeMap<PartitionName, Known>,
    /// Nothing came of them, and others have not had their turn since.
    set_aside: BTreeSet<PartitionName>,
}

impl Cleaner {
    async fn run(mut self) {
        let mut stopping = self.node.stopping.subscribe();
        loop {
            let config = CleanerConfig::settle(&self.node.layers(&self.node.metadata.image()));
            let was_dirty = config.is_enabled && self.clean_filthiest(&config).await;
            // While there is work there is no pause, but others on this thread get their turn.
            let pause = if was_dirty { Duration::ZERO } else { Duration::from_millis(config.backoff_ms) };
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return,
                () = self.node.host.sleep(pause) => {}
            }
        }
    }

    /// Cleans the log that needs it most. Returns whether there was one.
    async fn clean_filthiest(&mut self, config: &CleanerConfig) -> bool {
        let now_ms = self.node.host.wall_clock_ms();
        let partitions = self.compacted();
        let names: Vec<_> = partitions.iter().map(|partition| partition.name().clone()).collect();
        self.progress.retain(|name| names.binary_search(name).is_ok());
        self.known.retain(|name, _| names.binary_search(name).is_ok());
        let mut filthiest: Option<(Arc<Partition>, Cleanable)> = None;
        for partition in partitions {
            if self.set_aside.contains(partition.name()) {
                continue;
            }
            match self.look_at(&partition, now_ms) {
                Ok(Some(cleanable)) => {
                    let is_filthier = filthiest
                        .as_ref()
                        .is_none_or(|(_, other)| cleanable.dirty_ratio() > other.dirty_ratio());
                    if is_filthier {
                        filthiest = Some((partition, cleanable));
                    }
                }
                Ok(None) => {}
                Err(error) => self.give_up(&partition, &error),
            }
        }
        let Some((partition, cleanable)) = filthiest else {
            self.set_aside.clear();
            self.save().await;
            return false;
        };
        let stopping = self.node.stopping.subscribe();
        let mut pace = Pace::new(&self.node.host, stopping, config.max_bytes_per_second);
        let limits = CleanerLimits { map_bytes: config.map_bytes, map_load_factor: config.map_load_factor };
        let has_cleaned = match partition.clean(&cleanable, &limits, &mut pace, now_ms).await {
            Ok(Some(cleaned)) => {
                tell(&partition, &cleaned);
                if let Some(topic_id) = partition.topic_id() {
                    self.progress.cleaned(partition.name(), topic_id, cleaned.clean_end);
                }
                self.save().await;
                cleaned.clean_end > cleanable.first_dirty
            }
            Ok(None) => false,
            Err(error) => {
                self.give_up(&partition, &error);
                false
            }
        };
        if !has_cleaned {
            self.set_aside.insert(partition.name().clone());
        }
        true
    }

    /// All partitions of compacted topics, by name.
    fn compacted(&self) -> Vec<Arc<Partition>> {
        let topics = self.node.topics.all().into_iter().filter(|topic| topic.config().cleanup_compact);
        let mut partitions: Vec<_> = topics.flat_map(|topic| topic.partitions()).collect();
        partitions.sort_by(|left, right| left.name().cmp(right.name()));
        partitions
    }

    /// What may be cleaned of a partition, if it needs to be.
    fn look_at(&mut self, partition: &Partition, now_ms: i64) -> Result<Option<Cleanable>, LogError> {
        let Some(topic_id) = partition.topic_id() else { return Ok(None) };
        let known = Known { topic_id, is_damaged: false };
        let before = self.known.entry(partition.name().clone()).or_insert(known);
        if before.topic_id != topic_id {
            *before = known;
        }
        if before.is_damaged {
            return Ok(None);
        }
        let clean_end = self.progress.of(partition.name(), topic_id);
        let Some((cleanable, least_ratio)) = partition.cleanable(clean_end, now_ms)? else { return Ok(None) };
        let is_due = cleanable.is_overdue || cleanable.dirty_ratio() > least_ratio;
        Ok(Some(cleanable).filter(|cleanable| cleanable.dirty_bytes > 0 && is_due))
    }

    fn give_up(&mut self, partition: &Partition, error: &LogError) {
        match error {
            LogError::Corrupt { .. } => {
                tracing::error!(partition = %partition.name(), %error, "the log is not compacted any more");
                if let Some(known) = self.known.get_mut(partition.name()) {
                    known.is_damaged = true;
                }
            }
            error => tracing::warn!(partition = %partition.name(), %error, "the log is not compacted now"),
        }
    }

    async fn save(&mut self) {
        if let Err(error) = self.progress.save().await {
            tracing::warn!(%error, "how far logs are clean is not written");
        }
    }
}

fn tell(partition: &Partition, cleaned: &CleanedLog) {
    tracing::info!(
        partition = %partition.name(),
        end = cleaned.clean_end,
        keys = cleaned.keys,
        before = cleaned.bytes_before,
        after = cleaned.bytes_after,
        "compacted"
    );
}
