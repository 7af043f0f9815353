//! Round trips, foreign framings, bombs and damage.

use super::*;

fn compressed(compression: Compression, input: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::from(&b"before"[..]);
    compress(compression, None, input, &mut out);
    assert!(out.starts_with(b"before"));
    out[6..].to_vec()
}

fn decompressed(compression: Compression, input: &[u8]) -> Result<Vec<u8>, RecordsError> {
    decompress(compression, input, &mut Vec::new(), MAX_DECOMPRESSED_BYTES).map(<[u8]>::to_vec)
}

/// Bytes that compress a little.
fn text(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"etaoin shrdlu"[(state >> 24) as usize % 13]
    })
    .take(length)
    .collect()
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

const CODECS: [Compression; 4] =
    [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

#[test]
fn every_codec_gives_back_what_it_took() {
    let mut scratch = Vec::new();
    for compression in CODECS {
        for length in [0, 1, 100, 32 << 10, (32 << 10) + 1, (64 << 10) - 1, 64 << 10, 300_000] {
            for input in [text(length), noise(length), vec![0; length]] {
                let stored = compressed(compression, &input);
                let output = decompress(compression, &stored, &mut scratch, MAX_DECOMPRESSED_BYTES);
                assert_eq!(output, Ok(input.as_slice()), "{compression} of {length} bytes");
            }
        }
    }
}

#[test]
fn concatenated_members_and_frames_are_read() {
    for compression in CODECS {
        let mut stored = compressed(compression, &text(100_000));
        stored.extend(compressed(compression, b"and more"));
        let mut expected = text(100_000);
        expected.extend(b"and more");
        assert_eq!(decompressed(compression, &stored), Ok(expected), "{compression}");
    }
}

#[test]
fn levels_are_taken_and_nonsense_is_bounded() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        for level in [1, 9, 22, -5, i32::MIN, i32::MAX] {
            let mut out = BytesMut::new();
            compress(compression, Some(level), &text(1000), &mut out);
            assert_eq!(decompressed(compression, &out), Ok(text(1000)), "{compression} level {level}");
        }
    }
}

#[test]
fn raw_snappy_is_read() {
    let stored = snap::raw::Encoder::new().compress_vec(&text(200_000)).unwrap();
    assert_eq!(decompressed(Compression::Snappy, &stored), Ok(text(200_000)));
}

#[test]
fn java_framings_are_written() {
    let snappy = compressed(Compression::Snappy, b"abc");
    assert_eq!(
        snappy,
        [&b"\x82SNAPPY\0"[..], &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 5, 3, 2 << 2], b"abc"].concat()
    );
    // "abc" is too short to compress, so the block is stored.
    let lz4 = compressed(Compression::Lz4, b"abc");
    let expected = [&[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 3, 0, 0, 0x80][..], b"abc", &[0; 4]].concat();
    assert_eq!(lz4, expected);
}

#[test]
fn every_lz4_frame_option_is_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    for input in [text(300_000), noise(300_000), text(10)] {
        for (mode, size) in [
            (BlockMode::Linked, BlockSize::Max64KB),
            (BlockMode::Linked, BlockSize::Max256KB),
            (BlockMode::Independent, BlockSize::Max1MB),
            (BlockMode::Independent, BlockSize::Max4MB),
        ] {
            let info = FrameInfo::new()
                .block_mode(mode)
                .block_size(size)
                .block_checksums(true)
                .content_checksum(true)
                .content_size(Some(input.len() as u64));
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(&input).unwrap();
            let mut stored = encoder.finish().unwrap();
            assert_eq!(decompressed(Compression::Lz4, &stored).as_ref(), Ok(&input));
            let last = stored.len() - 1;
            stored[last] ^= 1;
            assert!(
                decompressed(Compression::Lz4, &stored).is_err(),
                "the content checksum was not looked at"
            );
        }
    }
}

#[test]
fn ours_is_read_by_a_foreign_lz4() {
    use std::io::Read;
    let mut output = Vec::new();
    let stored = compressed(Compression::Lz4, &text(200_000));
    lz4_flex::frame::FrameDecoder::new(stored.as_slice()).read_to_end(&mut output).unwrap();
    assert_eq!(output, text(200_000));
}

#[test]
fn bombs_stop_at_the_bound() {
    let bomb = vec![0; 4 << 20];
    for compression in CODECS {
        let stored = compressed(compression, &bomb);
        for max_bytes in [0, 1, 1000, 1 << 20, (4 << 20) - 1] {
            let mut scratch = Vec::new();
            let outcome = decompress(compression, &stored, &mut scratch, max_bytes);
            assert_eq!(outcome, Err(RecordsError::TooLarge { max_bytes }), "{compression}");
            assert!(scratch.len() <= max_bytes, "{compression} took {} of {max_bytes}", scratch.len());
        }
        let mut scratch = Vec::new();
        assert!(decompress(compression, &stored, &mut scratch, bomb.len()).is_ok(), "{compression}");
        // A scratch buffer larger than the bound does not lift it.
        let outcome = decompress(compression, &stored, &mut scratch, 1000);
        assert_eq!(outcome, Err(RecordsError::TooLarge { max_bytes: 1000 }), "{compression}");
    }
}

#[test]
fn claimed_sizes_do_not_allocate() {
    // Raw Snappy that claims 100 MB in a block of six bytes.
    let mut scratch = Vec::new();
    let claim = [0x80, 0xc2, 0xd7, 0x2f, 0, b'x'];
    assert!(decompress(Compression::Snappy, &claim, &mut scratch, MAX_DECOMPRESSED_BYTES).is_err());
    assert!(scratch.capacity() <= MIN_OUTPUT_BYTES);
    // A zstd frame header that claims 2^60 bytes.
    let claim = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x01, 0, 0];
    assert!(decompress(Compression::Zstd, &claim, &mut scratch, MAX_DECOMPRESSED_BYTES).is_err());
    assert!(scratch.capacity() <= MIN_OUTPUT_BYTES);
}

#[test]
fn damage_is_an_error_or_other_bytes_but_never_a_panic() {
    for compression in CODECS {
        let input = text(5000);
        let stored = compressed(compression, &input);
        let mut scratch = Vec::new();
        for length in 0..stored.len() {
            let outcome = decompress(compression, &stored[..length], &mut scratch, 1 << 20);
            // Only an xerial stream may end between blocks.
            assert!(outcome != Ok(input.as_slice()), "{compression} cut to {length}");
        }
        for position in 0..stored.len() {
            let mut damaged = stored.clone();
            damaged[position] ^= 1 << (position % 8);
            let _ = decompress(compression, &damaged, &mut scratch, 1 << 20);
        }
        // The thread's context still works after all that.
        assert_eq!(decompressed(compression, &stored), Ok(input), "{compression}");
    }
}
