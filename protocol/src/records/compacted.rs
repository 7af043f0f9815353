//! What compaction leaves of a batch: some of its records, or none, at the offsets they had.
//!
//! Base offset, last offset and sequence numbers stay as they were, so that offsets never change and the producer's
//! place is known; only the count of records says that some are gone.

use bytes::{BufMut, BytesMut};

use super::batch::{
    BATCH_HEADER_BYTES, BatchHeader, CODEC_BITS, DELETE_HORIZON_BIT, LOG_OVERHEAD_BYTES, NO_TIMESTAMP, seal,
};
use super::varint::{
    MAX_VARINT_BYTES, MAX_VARLONG_BYTES, varint_len, varlong_len, write_varint, write_varlong,
};
use super::{Compression, RecordRef, RecordsError, codecs};

/// The batch of `original` with only these of its records, compressed as it was; `delete_horizon_ms` says from when on
/// its tombstones may go. Without records it is a header alone.
///
/// # Errors
/// If the codec is unknown, or the records do not fit into a batch, which those of a batch do.
pub fn compacted_batch(
    original: &BatchHeader,
    records: &[RecordRef<'_>],
    delete_horizon_ms: Option<i64>,
) -> Result<BytesMut, RecordsError> {
    let mut header = *original;
    header.record_count = i32::try_from(records.len()).map_err(|_| RecordsError::RecordTooLarge)?;
    header.attributes &= !DELETE_HORIZON_BIT;
    let mut batch = BytesMut::zeroed(BATCH_HEADER_BYTES);
    match records.first() {
        None => {
            header.attributes &= !CODEC_BITS;
            header.base_timestamp = NO_TIMESTAMP;
        }
        Some(first) => {
            // Deltas count from here; a reader takes the horizon for the base as it takes any other.
            header.base_timestamp = delete_horizon_ms.unwrap_or(first.timestamp);
            if delete_horizon_ms.is_some() {
                header.attributes |= DELETE_HORIZON_BIT;
            }
            if !header.is_log_append_time() {
                header.max_timestamp =
                    records.iter().map(|record| record.timestamp).max().unwrap_or(NO_TIMESTAMP);
            }
            let compression = header.compression()?;
            if compression == Compression::None {
                records.iter().try_for_each(|record| put_record(&header, record, &mut batch))?;
            } else {
                let mut plain = BytesMut::new();
                records.iter().try_for_each(|record| put_record(&header, record, &mut plain))?;
                codecs::compress(compression, None, &plain, &mut batch);
            }
        }
    }
    header.batch_length =
        i32::try_from(batch.len() - LOG_OVERHEAD_BYTES).map_err(|_| RecordsError::RecordTooLarge)?;
    header.write(&mut batch);
    seal(&mut batch);
    Ok(batch)
}

fn put_record(header: &BatchHeader, record: &RecordRef<'_>, out: &mut BytesMut) -> Result<(), RecordsError> {
    let too_large = |_| RecordsError::RecordTooLarge;
    let timestamp_delta = record.timestamp.wrapping_sub(header.base_timestamp);
    let offset_delta = i32::try_from(record.offset.wrapping_sub(header.base_offset)).map_err(too_large)?;
    let length_of = |field: Option<&[u8]>| match field {
        None => Ok(-1),
        Some(bytes) => i32::try_from(bytes.len()).map_err(too_large),
    };
    let (key_length, value_length) = (length_of(record.key)?, length_of(record.value)?);
    let body_bytes = 1
        + varlong_len(timestamp_delta)
        + varint_len(offset_delta)
        + varint_len(key_length)
        + record.key.map_or(0, <[u8]>::len)
        + varint_len(value_length)
        + record.value.map_or(0, <[u8]>::len)
        + varint_len(record.headers.count())
        + record.headers.encoded().len();
    let length = i32::try_from(body_bytes).map_err(too_large)?;
    let mut scratch = [0; MAX_VARINT_BYTES + 1 + MAX_VARLONG_BYTES + MAX_VARINT_BYTES + MAX_VARINT_BYTES];
    let mut used = write_varint(&mut scratch, length);
    // A record's attributes, all zero.
    scratch[used] = 0;
    used += 1;
    used += write_varlong(&mut scratch[used..], timestamp_delta);
    used += write_varint(&mut scratch[used..], offset_delta);
    used += write_varint(&mut scratch[used..], key_length);
    out.put_slice(&scratch[..used]);
    out.put_slice(record.key.unwrap_or_default());
    used = write_varint(&mut scratch, value_length);
    out.put_slice(&scratch[..used]);
    out.put_slice(record.value.unwrap_or_default());
    used = write_varint(&mut scratch, record.headers.count());
    out.put_slice(&scratch[..used]);
    out.put_slice(record.headers.encoded());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{
        Batch, BatchBuilder, Record, set_base_offset, set_log_append_time, set_producer, set_transactional,
    };
    use super::*;

    fn original(compression: Compression) -> Batch {
        let mut builder = BatchBuilder::new(compression);
        for n in 0..6u8 {
            let value = [n; 100];
            let value = (n != 4).then_some(&value[..]);
            builder.append(1000 - i64::from(n), Some(&[n % 3]), value, [("h", Some(&[n][..]))]).unwrap();
        }
        let mut batch = builder.finish();
        set_base_offset(&mut batch, 1 << 40);
        set_producer(&mut batch, 7, 3, 55);
        set_transactional(&mut batch);
        seal(&mut batch);
        Batch::parse(&batch.freeze()).unwrap()
    }

    fn owned(batch: &Batch) -> Vec<(i64, Record)> {
        let mut scratch = Vec::new();
        let records = batch.records(&mut scratch).unwrap().map(|record| {
            let record = record.unwrap();
            (record.offset, record.to_record().unwrap())
        });
        records.collect()
    }

    fn keep(batch: &Batch, keep: impl Fn(i64) -> bool, horizon: Option<i64>) -> Batch {
        let mut scratch = Vec::new();
        let records: Vec<_> = batch.records(&mut scratch).unwrap().map(Result::unwrap).collect();
        let kept: Vec<_> =
            records.into_iter().filter(|record| keep(record.offset - batch.header.base_offset)).collect();
        let bytes = compacted_batch(&batch.header, &kept, horizon).unwrap().freeze();
        let compacted = Batch::parse(&bytes).unwrap();
        assert_eq!(compacted.bytes.len(), bytes.len());
        compacted.check_crc().unwrap();
        compacted
    }

    #[test]
    fn records_that_stay_are_what_they_were_in_every_codec_with_and_without_a_horizon() {
        for compression in Compression::ALL {
            let batch = original(compression);
            for horizon in [None, Some(99_000)] {
                let some = keep(&batch, |delta| delta % 2 == 0, horizon);
                let expected: Vec<_> =
                    owned(&batch).into_iter().filter(|(offset, _)| offset % 2 == 0).collect();
                assert_eq!(owned(&some), expected, "{compression}");
                let (before, after) = (batch.header, some.header);
                assert_eq!(after.delete_horizon_ms(), horizon);
                assert_eq!(
                    (after.base_offset, after.last_offset()),
                    (before.base_offset, before.last_offset())
                );
                assert_eq!((after.record_count, after.max_timestamp), (3, 1000));
                assert_eq!(after.last_sequence(), before.last_sequence());
                assert_eq!(after.compression(), before.compression());
                assert!(after.is_transactional());
                // Once more: the horizon goes with it, and may go.
                let again = keep(&some, |_| true, after.delete_horizon_ms());
                assert_eq!(owned(&again), expected);
            }
        }
    }

    #[test]
    fn without_records_a_header_stays_that_keeps_offsets_and_sequences() {
        for compression in Compression::ALL {
            let batch = original(compression);
            let none = keep(&batch, |_| false, Some(5));
            assert_eq!(none.bytes.len(), BATCH_HEADER_BYTES);
            assert_eq!(owned(&none), []);
            let (before, after) = (batch.header, none.header);
            assert_eq!(after.last_offset(), before.last_offset());
            assert_eq!((after.producer_id, after.producer_epoch), (7, 3));
            assert_eq!(after.last_sequence(), before.last_sequence());
            assert_eq!((after.record_count, after.delete_horizon_ms()), (0, None));
            assert_eq!((after.compression(), after.base_timestamp), (Ok(Compression::None), -1));
            assert_eq!(after.max_timestamp, before.max_timestamp);
        }
    }

    #[test]
    fn the_time_of_the_append_stays() {
        let mut batch = BytesMut::from(&original(Compression::None).bytes[..]);
        set_log_append_time(&mut batch, 5_000);
        seal(&mut batch);
        let batch = Batch::parse(&batch.freeze()).unwrap();
        let some = keep(&batch, |delta| delta == 5, None);
        assert_eq!(some.header.max_timestamp, 5_000);
        assert_eq!(owned(&some), owned(&batch)[5..]);
    }
}
