//! Batches as a whole: Kafka's bytes, round trips, damage.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

/// A batch that Apache Kafka wrote: one record, value "123", no key, no headers.
const KAFKAS_BATCH: &[u8] = b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00;\x00\x00\x00\x01\x02\x03\
    \x18\xa2p\x00\x00\x00\x00\x00\x00\x00\x00\x01]\xff{\x06<\x00\x00\x01]\
    \xff{\x06<\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\
    \x00\x00\x01\x12\x00\x00\x00\x01\x06123\x00";

type Fields = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn build(builder: &mut BatchBuilder, records: &[Fields]) -> Bytes {
    for (timestamp, key, value, headers) in records {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        builder.append(*timestamp, key.as_deref(), value.as_deref(), headers).unwrap();
    }
    builder.finish().freeze()
}

fn read(batch: &Batch) -> Result<Vec<(i64, Fields)>, RecordsError> {
    let mut scratch = Vec::new();
    let mut records = Vec::new();
    for record in batch.records(&mut scratch)? {
        let record = record?;
        let offset = record.offset;
        let record = record.to_record()?;
        let headers = record.headers.into_iter().map(|(name, value)| (name, value.map(Vec::from))).collect();
        records.push((
            offset,
            (record.timestamp, record.key.map(Vec::from), record.value.map(Vec::from), headers),
        ));
    }
    Ok(records)
}

fn a_few() -> Vec<Fields> {
    (0..20)
        .map(|n| {
            let headers = (0..n % 3).map(|h| (format!("h{h}"), (h == 0).then(|| vec![7; 9]))).collect();
            (
                1000 - n,
                (n % 2 == 0).then(|| vec![b'k'; n as usize]),
                Some(vec![b'v'; 3 * n as usize]),
                headers,
            )
        })
        .collect()
}

#[test]
fn kafkas_own_batch_is_read_and_written() {
    let batch = Batch::parse(&Bytes::from_static(KAFKAS_BATCH)).unwrap();
    batch.check_crc().unwrap();
    let timestamp = 1_503_229_838_908;
    assert_eq!(read(&batch), Ok(vec![(0, (timestamp, None, Some(b"123".to_vec()), Vec::new()))]));
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(timestamp, None, Some(b"123"), []).unwrap();
    let mut ours = builder.finish();
    set_partition_leader_epoch(&mut ours, 1);
    assert_eq!(ours, KAFKAS_BATCH);
}

#[test]
fn a_builder_counts_and_starts_anew() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        assert_eq!((builder.record_count(), builder.size_bytes()), (0, 0));
        assert!(builder.finish().is_empty());
        for _ in 0..3 {
            let records = a_few();
            let batch = Batch::parse(&build(&mut builder, &records)).unwrap();
            assert!(builder.is_empty() && builder.size_bytes() == 0);
            let header = batch.header;
            assert_eq!(header.compression(), Ok(compression));
            assert_eq!((header.record_count, header.last_offset_delta), (20, 19));
            assert_eq!((header.base_timestamp, header.max_timestamp), (1000, 1000));
            assert_eq!((header.base_sequence, header.last_sequence()), (-1, -1));
            let expected: Vec<_> = (0..).zip(records).collect();
            assert_eq!(read(&batch), Ok(expected));
        }
        builder.append(5, None, None, []).unwrap();
        assert_eq!((builder.record_count(), builder.size_bytes()), (1, BATCH_HEADER_BYTES + 7));
    }
}

#[test]
fn patches_keep_or_need_the_checksum() {
    let mut batch = BytesMut::from(&build(&mut BatchBuilder::new(Compression::Lz4), &a_few())[..]);
    set_base_offset(&mut batch, 1 << 40);
    set_partition_leader_epoch(&mut batch, 17);
    assert!(crc_matches(&batch));
    for patch in [
        (|batch| set_producer(batch, 9, 3, i32::MAX - 4)) as fn(&mut [u8]),
        |batch| set_log_append_time(batch, 4711),
        |batch| set_transactional(batch),
    ] {
        patch(&mut batch);
        assert!(!crc_matches(&batch));
        seal(&mut batch);
        assert!(crc_matches(&batch));
    }
    let batch = Batch::parse(&batch.freeze()).unwrap();
    let header = batch.header;
    assert_eq!(
        (header.base_offset, header.last_offset(), header.next_offset()),
        (1 << 40, (1 << 40) + 19, (1 << 40) + 20)
    );
    assert_eq!((header.producer_id, header.producer_epoch, header.partition_leader_epoch), (9, 3, 17));
    assert_eq!(header.last_sequence(), 14, "sequences wrap to 0");
    assert!(header.is_transactional() && header.is_log_append_time() && !header.is_control());
    assert_eq!(header.delete_horizon_ms(), None);
    assert!(read(&batch).unwrap().iter().all(|(offset, record)| *offset >= 1 << 40 && record.0 == 4711));
}

#[test]
fn a_cut_off_batch_ends_the_walk() {
    let mut builder = BatchBuilder::new(Compression::None);
    let one = build(&mut builder, &a_few());
    let all = Bytes::from([&one[..], &one[..], &one[..]].concat());
    for length in 0..all.len() {
        let mut walk = batches(&all.slice(..length));
        let whole = walk.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(whole.len(), length / one.len());
        assert_eq!(walk.rest().len(), length % one.len());
    }
    assert_eq!(batches(&all).count(), 3);
}

#[test]
fn old_formats_and_impossible_lengths_are_refused() {
    let one = build(&mut BatchBuilder::new(Compression::None), &a_few());
    let check = |at: usize, bytes: &[u8], expected: RecordsError| {
        let mut damaged = one.to_vec();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        let outcome: Vec<_> = batches(&Bytes::from(damaged)).collect();
        assert_eq!(outcome, [Err(expected)]);
    };
    check(16, &[1], RecordsError::UnsupportedMagic(1));
    check(16, &[255], RecordsError::UnsupportedMagic(-1));
    check(8, &48i32.to_be_bytes(), RecordsError::InvalidLength(48));
    check(8, &(-1i32).to_be_bytes(), RecordsError::InvalidLength(-1));
    check(8, &i32::MIN.to_be_bytes(), RecordsError::InvalidLength(i32::MIN));
    // An old message set is shorter than our header.
    let mut old = [0; 30];
    old[11] = 18;
    assert_eq!(BatchHeader::parse(&old), Err(RecordsError::UnsupportedMagic(0)));
    // Zeros are no set of messages either.
    assert_eq!(BatchHeader::parse(&[0; 30]), Err(RecordsError::InvalidLength(0)));
    assert!(matches!(BatchHeader::parse(&[0; 16]), Err(RecordsError::Truncated(_))));
}

#[test]
fn hostile_record_counts_end_in_an_error() {
    let one = build(&mut BatchBuilder::new(Compression::None), &a_few());
    for (count, is_ok) in [(20, true), (19, false), (21, false), (0, false), (-1, false), (i32::MAX, false)] {
        let mut damaged = one.to_vec();
        damaged[57..61].copy_from_slice(&count.to_be_bytes());
        let batch = Batch::parse(&Bytes::from(damaged)).unwrap();
        assert_eq!(read(&batch).is_ok(), is_ok, "{count}");
        let mut scratch = Vec::new();
        let (_, upper) = batch.records(&mut scratch).unwrap().size_hint();
        assert!(upper.unwrap() <= one.len(), "a claim of {count} records would reserve {upper:?}");
        assert_eq!(scratch.capacity(), 0, "nothing to decompress, nothing to allocate");
    }
}

#[test]
fn records_that_lie_about_their_fields_are_refused() {
    // length, attributes, timestamp delta, offset delta, key length, value length, header count
    let cases: &[(&[u8], bool)] = &[
        (&[12, 0, 0, 0, 1, 1, 0], true),
        (&[14, 0, 0, 0, 1, 1, 0], false),             // longer than the batch
        (&[10, 0, 0, 0, 1, 1, 0], false),             // shorter than its fields
        (&[1, 0, 0, 0, 1, 1, 0], false),              // negative length
        (&[0], false),                                // empty
        (&[12, 0, 0, 0, 0x7e, 1, 0], false),          // key past the end
        (&[12, 0, 0, 0, 1, 0x7e, 0], false),          // value past the end
        (&[12, 0, 0, 0, 1, 1, 1], false),             // header count -1
        (&[12, 0, 0, 0, 1, 1, 2], false),             // one header, no bytes
        (&[14, 0, 0, 0, 1, 1, 0, 0], false),          // bytes after the last field
        (&[16, 0, 0, 0, 1, 1, 2, 0, 0], true),        // a header with empty key and value
        (&[16, 0, 0, 0, 1, 1, 2, 1, 0], false),       // a header with a null key
        (&[18, 0, 0, 0, 1, 1, 2, 2, 0xff, 0], false), // a key that is no text
        (&[24, 0, 0, 0, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x08, 0, 0], false), // 2^30 headers
    ];
    for (bytes, is_ok) in cases {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(0, None, None, []).unwrap();
        let mut batch = builder.finish();
        batch.truncate(BATCH_HEADER_BYTES);
        batch.extend_from_slice(bytes);
        let length = batch.len() - LOG_OVERHEAD_BYTES;
        batch[8..12].copy_from_slice(&(length as u32).to_be_bytes());
        let outcome = read(&Batch::parse(&batch.freeze()).unwrap());
        assert_eq!(outcome.is_ok(), *is_ok, "{bytes:?} gave {outcome:?}");
    }
}

#[test]
fn headers_keep_their_encoded_form() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(1, None, None, [("a", Some(&b"1"[..])), ("b", None), ("a", Some(b"2"))]).unwrap();
    let batch = Batch::parse(&builder.finish().freeze()).unwrap();
    let mut scratch = Vec::new();
    let record = batch.records(&mut scratch).unwrap().next().unwrap().unwrap();
    assert_eq!(record.headers.len(), 3);
    assert_eq!(record.headers.last("a"), Some(Header { key: "a", value: Some(b"2") }));
    assert_eq!(record.headers.last("b"), Some(Header { key: "b", value: None }));
    assert_eq!(record.headers.last("c"), None);
    let mut encoded = Vec::new();
    record.headers.encode_into(&mut encoded);
    assert_eq!(HeadersRef::from_encoded(&encoded), Ok(record.headers));
    builder.append_with_headers(1, None, None, record.headers).unwrap();
    assert_eq!(builder.finish().freeze(), batch.bytes);
    HeadersRef::EMPTY.encode_into(&mut Vec::new());
    assert_eq!(HeadersRef::from_encoded(&[]), Ok(HeadersRef::EMPTY));
    assert!(HeadersRef::from_encoded(&[0x80]).is_err());
}

fn any_records() -> impl Strategy<Value = Vec<Fields>> {
    let bytes = || option::of(vec(any::<u8>(), 0..40));
    let headers = vec((".{0,5}", bytes()), 0..4);
    let timestamp = prop_oneof![any::<i64>(), 0i64..2_000_000_000_000];
    vec((timestamp, bytes(), bytes(), headers), 1..30)
}

fn any_compression() -> impl Strategy<Value = Compression> {
    (0usize..5).prop_map(|code| Compression::ALL[code])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_built_is_read(records in any_records(), compression in any_compression()) {
        let bytes = build(&mut BatchBuilder::new(compression), &records);
        let batch = Batch::parse(&bytes).unwrap();
        prop_assert!(batch.check_crc().is_ok());
        prop_assert_eq!(batch.bytes.len(), bytes.len());
        prop_assert_eq!(Some(batch.header.max_timestamp), records.iter().map(|record| record.0).max());
        let shared = batch.records_bytes().unwrap();
        let mut scratch = Vec::new();
        prop_assert!(batch.records_in(&shared).eq(batch.records(&mut scratch).unwrap()));
        let expected: Vec<_> = (0..).zip(records).collect();
        prop_assert_eq!(read(&batch), Ok(expected));
    }

    #[test]
    fn damage_never_panics_and_the_checksum_sees_it(
        records in any_records(),
        compression in any_compression(),
        position in any::<prop::sample::Index>(),
        bit in 0..8,
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = build(&mut BatchBuilder::new(compression), &records);
        let mut damaged = bytes.to_vec();
        let position = position.index(damaged.len());
        damaged[position] ^= 1u8 << bit;
        prop_assert_eq!(crc_matches(&damaged), position < 17);
        for batch in batches(&Bytes::from(damaged)).flatten() {
            let _ = read(&batch);
        }
        let cut = cut.index(bytes.len());
        prop_assert_eq!(batches(&bytes.slice(..cut)).count(), 0);
    }

    #[test]
    fn nonsense_never_panics(bytes in vec(any::<u8>(), 0..200), compression in any_compression()) {
        // As it is, and dressed up as a batch so that the records are reached.
        for batch in batches(&Bytes::from(bytes.clone())).flatten() {
            let _ = read(&batch);
        }
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(0, None, None, []).unwrap();
        let mut batch = builder.finish();
        batch.truncate(BATCH_HEADER_BYTES);
        batch.extend_from_slice(&bytes);
        let length = batch.len() - LOG_OVERHEAD_BYTES;
        batch[8..12].copy_from_slice(&(length as u32).to_be_bytes());
        batch[22] = compression.code();
        batch[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
        let batch = Batch::parse(&batch.freeze()).unwrap();
        let _ = read(&batch);
    }
}
