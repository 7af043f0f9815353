//! Batches that are small as they come and large when they are decompressed.

use anabranch_protocol::ErrorCode;
use anabranch_protocol::records::MAX_DECOMPRESSED_BYTES;

use super::*;
use crate::log::tests::config;

const NOW_MS: i64 = 1_750_000_000_000;

fn check(codec: Compression, value_bytes: usize, wanted: CompressionType, expected: Result<(), ErrorCode>) {
    let mut builder = BatchBuilder::new(codec);
    builder.append(NOW_MS, None, Some(&vec![0; value_bytes]), []).unwrap();
    let records = builder.finish().freeze();
    let config = config(|config| config.compression_type = wanted);
    let partition = PartitionName::new("t", 0);
    let outcome = validate(&records, &config, AppendOrigin::Client, NOW_MS, &partition);
    let outcome = outcome.map(drop).map_err(|error| error.error_code());
    assert_eq!(outcome, expected, "{value_bytes} bytes in {codec}, to be stored as {wanted:?}");
    let kept_bytes = SCRATCH.with_borrow(Vec::capacity);
    assert!(kept_bytes <= MAX_KEPT_BYTES, "{kept_bytes} bytes are kept after {value_bytes} in {codec}");
}

#[test]
fn a_batch_that_unpacks_to_much_is_refused_for_good_and_leaves_nothing_behind() {
    let producer = CompressionType::Producer;
    check(Compression::Zstd, MAX_DECOMPRESSED_BYTES / 8, producer, Ok(()));
    check(Compression::Zstd, MAX_DECOMPRESSED_BYTES / 8, CompressionType::Gzip(1), Ok(()));
    check(Compression::Zstd, MAX_DECOMPRESSED_BYTES, producer, Err(ErrorCode::MESSAGE_TOO_LARGE));
    // What is kept is used again.
    check(Compression::Lz4, 1000, producer, Ok(()));
    assert!(SCRATCH.with_borrow(Vec::capacity) > 0);
}
