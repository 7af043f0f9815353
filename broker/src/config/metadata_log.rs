//! When snapshots of the metadata are taken, and how much of them and of the metadata log is kept: `metadata.*`.

use std::time::Duration;

use super::Reader;

/// The configuration of the metadata log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataLogConfig {
    /// Bytes of the log after which a snapshot is taken.
    pub max_record_bytes_between_snapshots: u64,
    /// How long after a snapshot the next is taken, if there is anything new. None: however long.
    pub max_snapshot_interval: Option<Duration>,
    /// Bytes of log and snapshots that are kept. None: all.
    pub max_retention_bytes: Option<u64>,
    /// How long snapshots are kept, and the log behind them. None: for ever.
    pub max_retention_ms: Option<i64>,
}

impl MetadataLogConfig {
    pub(super) fn read(read: &Reader<'_>) -> MetadataLogConfig {
        let interval_ms = u64::try_from(read.number("metadata.log.max.snapshot.interval.ms")).unwrap_or(0);
        MetadataLogConfig {
            max_record_bytes_between_snapshots: read.number("metadata.log.max.record.bytes.between.snapshots")
                as u64,
            max_snapshot_interval: (interval_ms > 0).then(|| Duration::from_millis(interval_ms)),
            max_retention_bytes: u64::try_from(read.number("metadata.max.retention.bytes")).ok(),
            max_retention_ms: Some(read.number("metadata.max.retention.ms")).filter(|limit| *limit >= 0),
        }
    }
}
