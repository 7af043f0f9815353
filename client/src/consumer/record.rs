//! What a consumer hands out: records one by one, or raw batches for a reader who decodes them elsewhere.

use std::sync::Arc;

use anabranch_protocol::Uuid;
use anabranch_protocol::records::{Batches, HeadersRef, RecordRef, batches};
use bytes::Bytes;

use super::positions::LogBounds;
use crate::error::{ClientError, ErrorKind, Result};

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
    /// Whose clock that is.
    pub timestamp_type: TimestampType,
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

/// Where the timestamp of a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// From its producer.
    CreateTime,
    /// From the broker that appended it.
    LogAppendTime,
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
    /// The topic's id, zero if it has none: another topic of the same name has another.
    pub topic_id: Uuid,
}

/// Decodes the records of a run of batches, one batch at a time, from its fetch offset on.
#[derive(Debug)]
pub(super) struct Decoding {
    run: FetchedBatches,
    check_crcs: bool,
    batches: Batches,
    records: std::vec::IntoIter<ConsumerRecord>,
    /// The offset of the next record, and the epoch of the one before.
    position: (i64, i32),
    /// The position behind the batch at hand.
    batch_end: (i64, i32),
}

impl Decoding {
    pub(super) fn new(run: FetchedBatches, check_crcs: bool) -> Self {
        Decoding {
            batches: batches(&run.records),
            records: Vec::new().into_iter(),
            position: (run.fetch_offset, -1),
            batch_end: (run.fetch_offset, -1),
            run,
            check_crcs,
        }
    }

    /// The offset of the next record, and the leader epoch of the one before, -1 if unknown.
    pub(super) fn position(&self) -> (i64, i32) {
        self.position
    }

    /// Appends up to `count` records to `taken`; says whether there are no more.
    ///
    /// # Errors
    /// Corrupt, at the first batch that does not parse; what is before it has been appended.
    pub(super) fn take(&mut self, count: usize, taken: &mut Vec<ConsumerRecord>) -> Result<bool> {
        let full = taken.len() + count;
        loop {
            while taken.len() < full {
                let Some(record) = self.records.next() else { break };
                self.position = (record.offset + 1, record.leader_epoch);
                taken.push(record);
            }
            if self.records.len() > 0 {
                return Ok(false);
            }
            self.position = self.batch_end;
            match self.next_batch()? {
                Some(records) => self.records = records.into_iter(),
                None => {
                    self.position = (self.run.next_offset, self.run.leader_epoch);
                    return Ok(true);
                }
            }
        }
    }

    fn next_batch(&mut self) -> Result<Option<Vec<ConsumerRecord>>> {
        let Some(batch) = self.batches.next() else { return Ok(None) };
        let read = batch.and_then(|batch| {
            if self.check_crcs {
                batch.check_crc()?;
            }
            let bytes = batch.records_bytes()?;
            let epoch = batch.header.partition_leader_epoch;
            let timestamp_type = match batch.header.is_log_append_time() {
                true => TimestampType::LogAppendTime,
                false => TimestampType::CreateTime,
            };
            let mut records = Vec::new();
            for record in batch.records_in(&bytes) {
                let record = record?;
                if record.offset >= self.run.fetch_offset {
                    records.push(own(&record, &bytes, &self.run, (epoch, timestamp_type)));
                }
            }
            Ok(((batch.header.next_offset(), epoch), records))
        });
        let (end, records) = read.map_err(|error| {
            let text = format!("records of {}-{}: {error}", self.run.topic, self.run.partition);
            ClientError::caused_by(ErrorKind::Corrupt, text, error)
        })?;
        self.batch_end = end;
        Ok(Some(records))
    }
}

fn own(
    record: &RecordRef<'_>,
    bytes: &Bytes,
    run: &FetchedBatches,
    (leader_epoch, timestamp_type): (i32, TimestampType),
) -> ConsumerRecord {
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
        timestamp_type,
        key: record.key.map(|key| bytes.slice_ref(key)),
        value: record.value.map(|value| bytes.slice_ref(value)),
        headers,
    }
}

#[cfg(test)]
mod tests {
    use anabranch_protocol::records::{
        BatchBuilder, Compression, seal, set_base_offset, set_log_append_time,
    };

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
            topic_id: Uuid::ZERO,
        }
    }

    fn decode(run: FetchedBatches) -> Result<Vec<ConsumerRecord>> {
        let (mut decoding, mut records) = (Decoding::new(run, true), Vec::new());
        while !decoding.take(1, &mut records)? {}
        Ok(records)
    }

    #[test]
    fn records_are_cut_out_of_batches() {
        for compression in Compression::ALL {
            let records = decode(run(compression, 0)).unwrap();
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
    fn a_timestamp_says_whose_it_is() {
        let check = |run: FetchedBatches, expected: TimestampType, times: [i64; 2]| {
            let records = decode(run).unwrap();
            assert!(records.iter().all(|record| record.timestamp_type == expected), "{records:?}");
            assert_eq!(records.iter().map(|record| record.timestamp).collect::<Vec<_>>(), times);
        };
        check(run(Compression::None, 0), TimestampType::CreateTime, [5, 6]);
        let mut appended = run(Compression::None, 0);
        let mut batch = appended.records.to_vec();
        set_log_append_time(&mut batch, 99);
        seal(&mut batch);
        appended.records = batch.into();
        check(appended, TimestampType::LogAppendTime, [99, 99]);
    }

    #[test]
    fn what_was_read_is_skipped_and_damage_is_seen() {
        let records = decode(run(Compression::Zstd, 11)).unwrap();
        assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [11]);
        let mut damaged = run(Compression::None, 0);
        let mut bytes = damaged.records.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        damaged.records = bytes.into();
        let error = decode(damaged).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().starts_with("records of t-3: the checksum"), "{error}");
    }
}
