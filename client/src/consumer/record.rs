//! What a consumer hands out: records one by one, or raw batches for a reader who decodes them elsewhere.

use std::sync::Arc;

use anabranch_protocol::records::{HeadersRef, RecordRef, batches};
use bytes::Bytes;

use super::positions::LogBounds;
use crate::error::{ClientError, ErrorKind, Result};
use crate::topic_partition::TopicPartition;

/// A record. Key and value are parts of the fetched (or decompressed) batch; cloning copies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The epoch of the leader that appended it.
    pub leader_epoch: i32,
    /// Milliseconds since 1970, -1 for none.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone.
    pub value: Option<Bytes>,
    headers: Bytes,
}

impl ConsumerRecord {
    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> HeadersRef<'_> {
        // What is kept was taken from headers that could be counted.
        HeadersRef::from_encoded(&self.headers).unwrap_or_default()
    }
}

/// Raw batches of one partition, neighbours in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedBatches {
    /// Their topic.
    pub topic: Arc<str>,
    /// Their partition.
    pub partition: i32,
    /// Whole batches, without markers and, under `read_committed`, without aborted ones; walk them with
    /// [`batches`]. Checksums are not checked. May be empty: then only the position moves on.
    pub records: Bytes,
    /// Records before this offset, which a first batch may hold, were read before: skip them.
    pub fetch_offset: i64,
    /// The consumer's position behind these batches.
    pub next_offset: i64,
    /// The epoch of the leader that appended the last of them, -1 if there is none.
    pub leader_epoch: i32,
    /// What the leader said of the log.
    pub bounds: LogBounds,
}

/// Decodes all records of `batch_run` that lie at its fetch offset or behind.
pub(super) fn decode(batch_run: &FetchedBatches, check_crcs: bool) -> Result<Vec<ConsumerRecord>> {
    let name = TopicPartition { topic: Arc::clone(&batch_run.topic), partition: batch_run.partition };
    let corrupt =
        |error| ClientError::caused_by(ErrorKind::Corrupt, format!("records of {name}: {error}"), error);
    let mut records = Vec::new();
    for batch in batches(&batch_run.records) {
        let batch = batch.map_err(corrupt)?;
        if check_crcs {
            batch.check_crc().map_err(corrupt)?;
        }
        let bytes = batch.records_bytes().map_err(corrupt)?;
        for record in batch.records_in(&bytes) {
            let record = record.map_err(corrupt)?;
            if record.offset >= batch_run.fetch_offset {
                records.push(own(&record, &bytes, batch_run, batch.header.partition_leader_epoch));
            }
        }
    }
    Ok(records)
}

fn own(record: &RecordRef<'_>, bytes: &Bytes, run: &FetchedBatches, leader_epoch: i32) -> ConsumerRecord {
    let headers = if record.headers.is_empty() {
        Bytes::new()
    } else {
        let mut encoded = Vec::new();
        record.headers.encode_into(&mut encoded);
        encoded.into()
    };
    ConsumerRecord {
        topic: Arc::clone(&run.topic),
        partition: run.partition,
        offset: record.offset,
        leader_epoch,
        timestamp: record.timestamp,
        key: record.key.map(|key| bytes.slice_ref(key)),
        value: record.value.map(|value| bytes.slice_ref(value)),
        headers,
    }
}

#[cfg(test)]
mod tests {
    use anabranch_protocol::records::{BatchBuilder, Compression, set_base_offset};

    use super::*;

    fn run(compression: Compression, fetch_offset: i64) -> FetchedBatches {
        let mut builder = BatchBuilder::new(compression);
        let headers: [(&str, Option<&[u8]>); 2] = [("h", Some(b"1")), ("n", None)];
        builder.append(5, Some(b"key"), Some(b"value"), headers).unwrap();
        builder.append(6, None, None, []).unwrap();
        let mut batch = builder.finish();
        set_base_offset(&mut batch, 10);
        FetchedBatches {
            topic: "t".into(),
            partition: 3,
            records: batch.freeze(),
            fetch_offset,
            next_offset: 12,
            leader_epoch: -1,
            bounds: LogBounds { high_watermark: 12, last_stable_offset: 12, log_start_offset: 0 },
        }
    }

    #[test]
    fn records_are_cut_out_of_batches() {
        for compression in Compression::ALL {
            let records = decode(&run(compression, 0), true).unwrap();
            let shown: Vec<_> = records
                .iter()
                .map(|one| (one.offset, one.timestamp, one.key.as_deref(), one.value.as_deref()))
                .collect();
            let expected = [(10, 5, Some(&b"key"[..]), Some(&b"value"[..])), (11, 6, None, None)];
            assert_eq!(shown, expected, "{compression}");
            let headers: Vec<_> = records[0]
                .headers()
                .into_iter()
                .map(|header| header.unwrap())
                .map(|one| (one.key, one.value))
                .collect();
            let expected: [(&str, Option<&[u8]>); 2] = [("h", Some(b"1")), ("n", None)];
            assert_eq!(headers, expected);
            assert!(records[1].headers().is_empty());
        }
    }

    #[test]
    fn what_was_read_is_skipped_and_damage_is_seen() {
        let records = decode(&run(Compression::Zstd, 11), true).unwrap();
        assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [11]);
        let mut damaged = run(Compression::None, 0);
        let mut bytes = damaged.records.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        damaged.records = bytes.into();
        let error = decode(&damaged, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().starts_with("records of t-3: the checksum"), "{error}");
    }
}
