//! Snapshots of the metadata, in Kafka's format (KIP-630): all that the log comes to up to an offset, so that the log need
//! not be kept from its first record on.
//!
//! ```text
//! <end offset>-<epoch>.checkpoint:   control batch (header) | batches of metadata records | control batch (footer)
//! ```
//! One is written when the log has grown ([`generator`] says when); the order is what makes it safe. The snapshot holds what
//! is decided, is written beside and put in place when it is on the disk. If the log is to begin later, at the end offset of
//! a snapshot, it does so by the journal; then the segments before that go, and then the snapshots. A start takes the newest
//! snapshot that is whole and lies within the log, and the log from there on. With `flush=os` there is no such order on the
//! disk, and the log stays whole.

pub(crate) mod generator;

use std::path::{Path, PathBuf};

use anabranch_host::{Disk, OpenOptions};
use anabranch_protocol::records::{
    BATCH_HEADER_BYTES, Batch, BatchBuilder, BatchHeader, Compression, ControlRecord, ControlType,
    RecordsError, batches, seal, set_base_offset, set_partition_leader_epoch, snapshot_footer,
    snapshot_header,
};
use bytes::{Bytes, BytesMut};

use super::image::MetadataImage;
use super::quorum::QuorumError;

const SUFFIX: &str = ".checkpoint";
/// A batch of a snapshot is closed when it has grown to this.
const BATCH_BYTES: usize = 256 * 1024;

/// The snapshots of a metadata log, which lie beside it.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    disk: Disk,
    directory: PathBuf,
}

/// A snapshot that is whole.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The offset that follows the last record it stands for.
    pub(crate) end_offset: i64,
    /// Its batches, without header and footer.
    pub(crate) batches: Vec<Batch>,
}

/// Why a file is no snapshot.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("{0}")]
    Shape(&'static str),
}

impl Snapshots {
    /// Those in the directory of the log.
    pub(crate) fn new(disk: Disk, directory: PathBuf) -> Snapshots {
        Snapshots { disk, directory }
    }

    /// The newest snapshot that can be read, of a log with these bounds. None: the log tells everything itself.
    ///
    /// # Errors
    /// If the log does not, and there is none; or if one tells of more than the log, which is then not the one it was.
    pub(crate) fn newest(&self, start_offset: i64, end_offset: i64) -> Result<Option<Snapshot>, QuorumError> {
        let mut found = self.list().map_err(|error| QuorumError::Snapshot(error.to_string()))?;
        if let Some((offset, _)) = found.last().filter(|(offset, _)| *offset > end_offset) {
            let problem =
                format!("the metadata log ends at offset {end_offset}, but a snapshot tells of {offset}");
            return Err(QuorumError::Snapshot(problem));
        }
        found.retain(|(offset, _)| *offset >= start_offset);
        for (offset, epoch) in found.into_iter().rev() {
            let path = self.path(offset, epoch);
            match self.read(&path, offset, epoch) {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(error) => tracing::error!(path = %path.display(), %error, "a snapshot cannot be read"),
            }
        }
        if start_offset == 0 {
            return Ok(None);
        }
        let problem =
            format!("the metadata log begins at offset {start_offset}, and no snapshot leads there");
        Err(QuorumError::Snapshot(problem))
    }

    /// Writes a snapshot: `bytes`, what the log comes to before `end_offset`.
    ///
    /// # Errors
    /// If the disk fails; there is no new snapshot then.
    pub(crate) async fn write(&self, end_offset: i64, epoch: i32, bytes: &[u8]) -> std::io::Result<()> {
        self.disk.write_atomically(&self.path(end_offset, epoch), bytes).await
    }

    /// How large a snapshot is, and when it was taken; -1 if it does not say.
    fn size_and_time(&self, end_offset: i64, epoch: i32) -> std::io::Result<(u64, i64)> {
        let file = self.disk.open(&self.path(end_offset, epoch), OpenOptions::read())?;
        let mut header = [0; BATCH_HEADER_BYTES];
        let read = file.read_at(&mut header, 0)?;
        let taken_ms = BatchHeader::parse(&header[..read]).map_or(-1, |header| header.base_timestamp);
        Ok((file.len()?, taken_ms))
    }

    /// Removes those that a newer one, at `end_offset`, stands for.
    pub(crate) fn remove_before(&self, end_offset: i64) -> std::io::Result<()> {
        for (offset, epoch) in self.list()?.into_iter().filter(|(offset, _)| *offset < end_offset) {
            self.disk.remove_file(&self.path(offset, epoch))?;
        }
        Ok(())
    }

    /// End offsets and epochs, in rising order.
    fn list(&self) -> std::io::Result<Vec<(i64, i32)>> {
        let entries = match self.disk.read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found: Vec<_> = entries.iter().filter_map(|entry| parse_name(&entry.name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    fn path(&self, end_offset: i64, epoch: i32) -> PathBuf {
        self.directory.join(name(end_offset, epoch))
    }

    fn read(&self, path: &Path, end_offset: i64, epoch: i32) -> Result<Snapshot, Unreadable> {
        Ok(Snapshot { end_offset, batches: decode(&Bytes::from(self.disk.read(path)?), epoch)? })
    }
}

fn name(end_offset: i64, epoch: i32) -> String {
    format!("{end_offset:020}-{epoch:010}{SUFFIX}")
}

fn parse_name(text: &str) -> Option<(i64, i32)> {
    let (offset, epoch) = text.strip_suffix(SUFFIX)?.split_once('-')?;
    let (offset, epoch) = (offset.parse().ok()?, epoch.parse().ok()?);
    (name(offset, epoch) == text).then_some((offset, epoch))
}

/// The bytes of a snapshot.
///
/// # Errors
/// If a record is larger than a batch can be.
pub(crate) fn encode(image: &MetadataImage, epoch: i32, now_ms: i64) -> Result<BytesMut, RecordsError> {
    let mut bytes = BytesMut::new();
    let mut next_offset = 0;
    let mut put = |mut batch: BytesMut, records: usize| {
        set_base_offset(&mut batch, next_offset);
        set_partition_leader_epoch(&mut batch, epoch);
        seal(&mut batch);
        bytes.extend_from_slice(&batch);
        next_offset += records as i64;
    };
    put(snapshot_header(now_ms), 1);
    let mut builder = BatchBuilder::new(Compression::None);
    for record in image.records() {
        let value = record.encode(record.newest_version());
        if !builder.is_empty() && builder.size_bytes() + value.len() > BATCH_BYTES {
            let records = builder.record_count();
            put(builder.finish(), records);
        }
        builder.append(now_ms, None, Some(&value), [])?;
    }
    let records = builder.record_count();
    if records > 0 {
        put(builder.finish(), records);
    }
    put(snapshot_footer(now_ms), 1);
    Ok(bytes)
}

/// The batches of a snapshot between header and footer. What no checksum covers, offsets and epochs, must be as it was
/// written.
fn decode(bytes: &Bytes, epoch: i32) -> Result<Vec<Batch>, Unreadable> {
    let mut found = Vec::new();
    let mut next_offset = 0;
    for batch in batches(bytes) {
        let batch = batch?;
        batch.check_crc()?;
        if batch.header.base_offset != next_offset || batch.header.partition_leader_epoch != epoch {
            return Err(Unreadable::Shape("a batch is not where it belongs"));
        }
        next_offset = batch.header.next_offset();
        found.push(batch);
    }
    let is_mark = |batch: Option<&Batch>, control_type| {
        batch.is_some_and(|batch| control_type_of(batch).is_some_and(|found| found == control_type))
    };
    if !is_mark(found.first(), ControlType::SnapshotHeader)
        || !is_mark(found.last(), ControlType::SnapshotFooter)
    {
        return Err(Unreadable::Shape("it has no beginning or no end"));
    }
    found.retain(|batch| !batch.header.is_control());
    Ok(found)
}

fn control_type_of(batch: &Batch) -> Option<ControlType> {
    let mut scratch = Vec::new();
    let record = batch.header.is_control().then(|| batch.records(&mut scratch).ok()?.next()?.ok())??;
    ControlRecord::parse(&record).ok().map(|control| control.control_type)
}

#[cfg(test)]
mod tests;
