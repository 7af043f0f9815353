//! When snapshots of the metadata are taken, and what they let go of, as Kafka's: at a start and while the broker runs.
//!
//! One is due when the log has grown by `metadata.log.max.record.bytes.between.snapshots`, or has grown at all and the last is
//! `metadata.log.max.snapshot.interval.ms` old. All are kept, and the log from the first of them on, until they take more than
//! `metadata.max.retention.bytes` together, or the first is older than `metadata.max.retention.ms`; the newest always stays.
//! So if that cannot be read, there is an older one and the log that leads on from it.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anabranch_host::{Host, Instant};
use tokio::sync::{Notify, watch};

use super::{Snapshots, encode};
use crate::config::MetadataLogConfig;
use crate::internal_log::InternalLog;
use crate::log::LogDirectory;
use crate::metadata::Metadata;
use crate::partition::Partition;

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// What the metadata log has got since the last snapshot.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    bytes: AtomicU64,
    grown: Notify,
}

impl Growth {
    /// So many bytes more.
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::AcqRel);
        self.grown.notify_one();
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }
}

/// A snapshot, as retention sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    end_offset: i64,
    taken_ms: i64,
    /// Its own bytes, and those of the log up to the end of the next.
    bytes: u64,
}

/// Takes snapshots of the metadata.
#[derive(Debug)]
pub(crate) struct SnapshotGenerator {
    pub(crate) host: Host,
    pub(crate) log: Arc<Partition>,
    pub(crate) directory: LogDirectory,
    pub(crate) snapshots: Snapshots,
    pub(crate) growth: Arc<Growth>,
    pub(crate) config: MetadataLogConfig,
}

impl SnapshotGenerator {
    /// Whether the log has grown so much that one is due.
    fn is_due(&self) -> bool {
        self.growth.bytes() >= self.config.max_record_bytes_between_snapshots
    }

    /// Takes one at a start, if it is due.
    pub(crate) async fn take_if_due(&self, metadata: &Metadata) {
        if self.is_due() {
            self.try_to_take(metadata).await;
        }
    }

    /// Takes one; whether that was possible.
    async fn try_to_take(&self, metadata: &Metadata) -> bool {
        let taken = self.take(metadata).await;
        if let Err(error) = &taken {
            // Whatever step it was, log and snapshots still tell all.
            tracing::error!(%error, "no snapshot of the metadata could be taken");
        }
        taken.is_ok()
    }

    /// Takes snapshots until the broker stops.
    pub(crate) async fn run(self, metadata: Arc<Metadata>, mut stopping: watch::Receiver<bool>) {
        let mut last = self.host.now();
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return,
                () = self.due(last) => {}
            }
            // It is not broken off: what it does with the log ends before the log is closed.
            if !self.try_to_take(&metadata).await {
                tokio::select! {
                    biased;
                    _ = stopping.wait_for(|stopping| *stopping) => return,
                    () = self.host.sleep(RETRY) => {}
                }
            }
            last = self.host.now();
        }
    }

    /// Waits until one is due after the one at `last`.
    async fn due(&self, last: Instant) {
        loop {
            let grown = self.growth.grown.notified();
            if self.is_due() {
                return;
            }
            match self.config.max_snapshot_interval.filter(|_| self.growth.bytes() > 0) {
                None => grown.await,
                Some(interval) => {
                    let age = self.host.now().saturating_duration_since(last);
                    let Some(left) = interval.checked_sub(age).filter(|left| !left.is_zero()) else { return };
                    // Either way round it is looked again.
                    let _ = self.host.timeout(left, grown).await;
                }
            }
        }
    }

    /// Takes a snapshot of the metadata as it stands, and lets go of what retention does not keep. Each step begins when the
    /// one before it is on the disk, so that whatever comes between finds a whole story.
    ///
    /// # Errors
    /// If the disk fails; nothing is lost.
    async fn take(&self, metadata: &Metadata) -> Result<(), Box<dyn Error + Send + Sync>> {
        let now_ms = self.host.wall_clock_ms();
        let epoch = self.log.leader_epoch();
        let (end_offset, bytes, grown) = {
            // As long as the image is held, nobody changes it: it is what the log comes to up to its end.
            let image = metadata.image();
            let bytes = encode(&image, epoch, now_ms)?;
            // The log is let go of by segments.
            self.log.begin_segment()?;
            (self.log.end_offset(), bytes, self.growth.bytes())
        };
        metadata.settled().await?;
        // Until then all there is of a new log may be in the journal; recovery would make its directory anew, without snapshots.
        self.directory.checkpoint().await?;
        self.snapshots.write(end_offset, epoch, &bytes).await?;
        self.growth.bytes.fetch_sub(grown, Ordering::AcqRel);
        tracing::info!(end_offset, bytes = bytes.len(), "took a snapshot of the metadata");
        let kept = self.kept()?;
        if let Some(start) = first_kept(&kept, &self.config, now_ms) {
            let (_, durable) = self.log.delete_records(start)?;
            durable.await?;
            self.log.tidy(now_ms, i64::MAX)?;
            self.snapshots.remove_before(start)?;
        }
        Ok(())
    }

    fn kept(&self) -> io::Result<Vec<Kept>> {
        let found = self.snapshots.list()?;
        let ends = found.iter().skip(1).map(|(next, _)| self.log.bytes_before(*next));
        let ends: Vec<u64> = ends.chain([self.log.size_bytes()]).collect();
        let begins = [0].into_iter().chain(ends.iter().copied());
        let kept = found.iter().zip(begins.zip(&ends)).map(|((end_offset, epoch), (begin, end))| {
            let (bytes, taken_ms) = self.snapshots.size_and_time(*end_offset, *epoch)?;
            Ok(Kept { end_offset: *end_offset, taken_ms, bytes: bytes + end - begin })
        });
        kept.collect()
    }
}

/// Where the log is to begin: at the first snapshot that stays, if not all do.
fn first_kept(kept: &[Kept], config: &MetadataLogConfig, now_ms: i64) -> Option<i64> {
    let mut bytes: u64 = kept.iter().map(|snapshot| snapshot.bytes).sum();
    let mut start = None;
    for pair in kept.windows(2) {
        let is_too_much = config.max_retention_bytes.is_some_and(|limit| bytes > limit);
        let is_too_old = config.max_retention_ms.is_some_and(|limit| now_ms - pair[0].taken_ms > limit);
        if !is_too_much && !is_too_old {
            break;
        }
        bytes -= pair[0].bytes;
        start = Some(pair[1].end_offset);
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limits: (Option<u64>, Option<i64>), snapshots: &[(i64, i64, u64)], expected: Option<i64>) {
        let config = MetadataLogConfig {
            max_record_bytes_between_snapshots: 1,
            max_snapshot_interval: None,
            max_retention_bytes: limits.0,
            max_retention_ms: limits.1,
        };
        let kept = snapshots.iter().map(|(end_offset, taken_ms, bytes)| Kept {
            end_offset: *end_offset,
            taken_ms: *taken_ms,
            bytes: *bytes,
        });
        assert_eq!(first_kept(&kept.collect::<Vec<_>>(), &config, 1000), expected, "{limits:?}");
    }

    #[test]
    fn what_is_too_much_or_too_old_goes_and_the_newest_stays() {
        let three = [(10, 100, 50), (20, 500, 60), (30, 900, 70)];
        check((None, None), &three, None);
        check((Some(180), Some(900)), &three, None);
        check((Some(179), None), &three, Some(20));
        check((Some(129), None), &three, Some(30));
        check((Some(0), Some(0)), &three, Some(30));
        check((None, Some(899)), &three, Some(20));
        check((None, Some(499)), &three, Some(30));
        check((Some(0), Some(0)), &three[..1], None);
        check((Some(0), Some(0)), &[], None);
        // The clock may go back.
        check((None, Some(0)), &[(10, 2000, 50), (20, 500, 60)], None);
    }
}
