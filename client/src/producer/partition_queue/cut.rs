//! What a batch is made of when the leader does not take it: two halves, or the records that it refuses.

use std::sync::Arc;

use anabranch_protocol::records::{BatchBuilder, RecordsError, batches};
use bytes::Bytes;
use parking_lot::Mutex;

use super::OnAck;
use crate::error::Result;
use crate::producer::delivery::{BatchError, BatchMetadata, RefusedRecord};

/// The records of a batch in two builders, those before `at` in the first.
pub(super) fn halves(batch: &Bytes, at: i32) -> Result<(BatchBuilder, BatchBuilder), RecordsError> {
    let batch = batches(batch).next().ok_or(RecordsError::Truncated("there is no batch"))??;
    let compression = batch.header.compression()?;
    let (mut first, mut second) = (BatchBuilder::new(compression), BatchBuilder::new(compression));
    let mut scratch = Vec::new();
    for (record, index) in batch.records(&mut scratch)?.zip(0..) {
        let record = record?;
        let half = if index < at { &mut first } else { &mut second };
        half.append_with_headers(record.timestamp, record.key, record.value, record.headers)?;
    }
    Ok((first, second))
}

/// The records of a batch at these places; all of them if none are named.
pub(super) fn records_at(batch: &Bytes, places: &[i32]) -> Result<Vec<RefusedRecord>, RecordsError> {
    let batch = batches(batch).next().ok_or(RecordsError::Truncated("there is no batch"))??;
    let mut scratch = Vec::new();
    let mut found = Vec::new();
    for (record, index) in batch.records(&mut scratch)?.zip(0..) {
        let record = record?;
        if places.is_empty() || places.contains(&index) {
            let own = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
            found.push(RefusedRecord {
                timestamp: record.timestamp,
                key: own(record.key),
                value: own(record.value),
            });
        }
    }
    Ok(found)
}

/// The callbacks of two halves: the one of the whole is called once both have their fate.
pub(super) fn for_halves(on_ack: OnAck) -> (OnAck, OnAck) {
    let joint = Arc::new(Mutex::new(Joint { first: None, second: None, on_ack: Some(on_ack) }));
    let other = Arc::clone(&joint);
    (
        Box::new(move |fate| Joint::told(&joint, |joint| joint.first = Some(fate))),
        Box::new(move |fate| Joint::told(&other, |joint| joint.second = Some(fate))),
    )
}

type Fate = Result<BatchMetadata, BatchError>;

/// What is known of two halves.
struct Joint {
    first: Option<Fate>,
    second: Option<Fate>,
    on_ack: Option<OnAck>,
}

impl Joint {
    fn told(joint: &Mutex<Joint>, note: impl FnOnce(&mut Joint)) {
        let mut joint = joint.lock();
        note(&mut joint);
        if joint.first.is_none() || joint.second.is_none() {
            return;
        }
        let (first, second, on_ack) = (joint.first.take(), joint.second.take(), joint.on_ack.take());
        // It is the user's code.
        drop(joint);
        if let (Some(first), Some(second), Some(on_ack)) = (first, second, on_ack) {
            on_ack(together(first, second));
        }
    }
}

/// The fate of a whole by those of its halves.
fn together(first: Fate, second: Fate) -> Fate {
    match (first, second) {
        // Where one is not known, so is not that of the whole.
        (Ok(first), Ok(second)) => Ok(if second.base_offset < 0 { second } else { first }),
        (Err(mut error), Err(other)) => {
            error.refused.extend(other.refused);
            Err(error)
        }
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ClientError;

    /// Two fates, in the order in which they come (the second half first if so), and what the whole is told.
    fn check(first: i64, second: i64, expected: Result<i64, usize>) {
        let fate = |base_offset: i64| match base_offset {
            -2 => {
                let record = RefusedRecord { timestamp: 0, key: None, value: None };
                Err(BatchError { error: ClientError::invalid("no"), refused: vec![record] })
            }
            base_offset => Ok(BatchMetadata { base_offset, log_append_time: -1 }),
        };
        for second_comes_first in [false, true] {
            let told = Arc::new(Mutex::new(Vec::new()));
            let tell = Arc::clone(&told);
            let (left, right) = for_halves(Box::new(move |fate| {
                tell.lock().push(fate.map(|batch| batch.base_offset).map_err(|error| error.refused.len()));
            }));
            if second_comes_first {
                right(fate(second));
                assert_eq!(*told.lock(), []);
                left(fate(first));
            } else {
                left(fate(first));
                assert_eq!(*told.lock(), []);
                right(fate(second));
            }
            assert_eq!(*told.lock(), [expected], "{first} {second}");
        }
    }

    #[test]
    fn a_whole_is_told_once_of_its_halves() {
        check(5, 7, Ok(5));
        check(-1, 7, Ok(-1));
        check(5, -1, Ok(-1));
        check(-2, 7, Err(1));
        check(5, -2, Err(1));
        check(-2, -2, Err(2));
    }
}
