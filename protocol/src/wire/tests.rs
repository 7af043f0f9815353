//! The wire's alphabet byte by byte, as Kafka's protocol guide has it.

#![allow(unreachable_pub, reason = "`message!` makes public structs")]

use bytes::{Buf, Bytes};
use proptest::prelude::*;

use super::{Decoder, Encoder, MAX_STRING_BYTES, Segments, Uuid, Version, Wire};
use crate::error::DecodeError;
use crate::message::message;

message! {
    /// A message with a bit of everything.
    pub struct Everything<'a> [0..=2, flexible 2..] {
        /// A string.
        name: &'a str [0..],
        /// A string that may be null.
        rack: Option<&'a str> [0.., null 1..],
        /// Bytes.
        data: Option<Bytes> [0.., null 0..],
        /// An array of structs.
        parts: Vec<Part> [0..],
        /// A nullable struct.
        cursor: Option<Part> [1.., null 1..],
        /// A tagged number.
        epoch: i64 [2.., tag 0] = -1,
        /// A tagged string.
        note: Option<&'a str> [2.., null 2.., tag 2],
    }

    /// A struct.
    pub struct Part {
        /// A number.
        index: i32 [0..],
        /// A number in some versions only.
        weight: i16 [1..] = 7,
    }
}

const PLAIN: Version = Version { number: 1, flexible: false };
const FLEXIBLE: Version = Version { number: 2, flexible: true };

fn write<'a, T: Wire<'a>>(value: &T, version: Version) -> Vec<u8> {
    let mut out = Encoder::new();
    value.write(&mut out, version);
    out.finish().into_bytes().to_vec()
}

fn read<T: for<'a> Wire<'a>>(bytes: &[u8], version: Version) -> Result<T, DecodeError> {
    let frame = Bytes::copy_from_slice(bytes);
    let mut from = Decoder::new(&frame);
    let value = T::read(&mut from, version)?;
    from.finish()?;
    Ok(value)
}

fn check(value: &Everything<'_>, version: i16, expected: &[&[u8]]) {
    use crate::message::Message;
    let mut out = Encoder::new();
    value.encode(&mut out, version);
    let frame = out.finish().into_bytes();
    assert_eq!(frame, expected.concat(), "version {version}");
    let decoded = Everything::decode(&mut Decoder::new(&frame), version).unwrap();
    assert_eq!(&decoded, value, "version {version}");
}

#[test]
fn each_version_has_its_bytes() {
    let mut value = Everything {
        name: "ab",
        rack: Some("c"),
        data: Some(Bytes::from_static(&[1, 2, 3])),
        parts: vec![Part { index: 5, weight: 7 }],
        ..Everything::default()
    };
    check(&value, 0, &[&[0, 2], b"ab", &[0, 1], b"c", &[0, 0, 0, 3, 1, 2, 3], &[0, 0, 0, 1], &[0, 0, 0, 5]]);

    value.rack = None;
    value.data = None;
    value.parts[0].weight = 9;
    check(
        &value,
        1,
        &[&[0, 2], b"ab", &[0xff, 0xff], &[0xff; 4], &[0, 0, 0, 1], &[0, 0, 0, 5, 0, 9], &[0xff]],
    );
    value.cursor = Some(Part { index: 1, weight: 2 });
    check(
        &value,
        1,
        &[&[0, 2], b"ab", &[0xff; 2], &[0xff; 4], &[0, 0, 0, 1], &[0, 0, 0, 5, 0, 9], &[1, 0, 0, 0, 1, 0, 2]],
    );

    // Flexible: lengths plus one, tagged fields at the end of each struct.
    value.cursor = None;
    check(&value, 2, &[&[3], b"ab", &[0], &[0], &[2], &[0, 0, 0, 5, 0, 9, 0], &[0xff], &[0]]);
    value.epoch = 4;
    value.note = Some("d");
    check(
        &value,
        2,
        &[
            &[3],
            b"ab",
            &[0, 0, 2],
            &[0, 0, 0, 5, 0, 9, 0],
            &[0xff],
            &[2, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4, 2, 2, 2],
            b"d",
        ],
    );
}

#[test]
fn a_null_where_none_can_be_is_written_as_empty() {
    let value = Everything { rack: None, ..Everything::default() };
    let frame = Bytes::from(write(&value, Version { number: 0, flexible: false }));
    let version = Version { number: 0, flexible: false };
    let decoded = <Everything<'_> as Wire>::read(&mut Decoder::new(&frame), version).unwrap();
    assert_eq!(decoded.rack, Some(""));
}

fn tagged(tags: &[&[u8]]) -> Result<i64, DecodeError> {
    let frame = Bytes::from([&[1u8, 0, 0, 1, 0xff][..], &tags.concat()].concat());
    let mut from = Decoder::new(&frame);
    let value = <Everything<'_> as Wire>::read(&mut from, FLEXIBLE)?;
    from.finish()?;
    Ok(value.epoch)
}

#[test]
fn tagged_fields() {
    let epoch: &[u8] = &[0, 8, 0, 0, 0, 0, 0, 0, 0, 4];
    type Case<'a> = (&'a [&'a [u8]], Result<i64, DecodeError>);
    let cases: &[Case<'_>] = &[
        (&[&[0]], Ok(-1)),
        (&[&[1], epoch], Ok(4)),
        // Tags nobody knows are skipped, before, between and behind those known.
        (&[&[3], epoch, &[1, 2, 9, 9], &[77, 0]], Ok(4)),
        (&[&[1], &[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 5]], Ok(-1)),
        (&[&[2], &[5, 0], epoch], Err(DecodeError::TagOutOfOrder(0))),
        (&[&[2], epoch, epoch], Err(DecodeError::TagOutOfOrder(0))),
        (&[&[2], &[9, 0], &[9, 0]], Err(DecodeError::TagOutOfOrder(9))),
        // A known field must fill its size, no less and no more.
        (&[&[1], &[0, 9, 0, 0, 0, 0, 0, 0, 0, 4, 0]], Err(DecodeError::TagSize(0))),
        (&[&[1], &[0, 7, 0, 0, 0, 0, 0, 0, 0]], Err(DecodeError::Truncated { needed: 8, left: 7 })),
        (&[&[1], &[9, 3, 1, 2]], Err(DecodeError::Truncated { needed: 3, left: 2 })),
        (&[&[0x91, 0x4e]], Err(DecodeError::TooManyTags(10_001))),
    ];
    for (tags, expected) in cases {
        assert_eq!(&tagged(tags), expected, "{tags:?}");
    }
}

#[test]
fn a_long_tagged_field_has_a_size_of_two_bytes() {
    let note = "x".repeat(300);
    let value = Everything { note: Some(&note), ..Everything::default() };
    let frame = Bytes::from(write(&value, FLEXIBLE));
    // One tag, number 2, size 302, length 300 + 1.
    assert_eq!(frame[5..11], [1, 2, 0xae, 0x02, 0xad, 0x02]);
    let decoded = <Everything<'_> as Wire>::read(&mut Decoder::new(&frame), FLEXIBLE).unwrap();
    assert_eq!(decoded, value);
}

#[test]
fn lengths_below_zero_are_errors_but_for_null() {
    let frame = Bytes::from_static(&[0xff, 0xfe]);
    assert_eq!(Decoder::new(&frame).read_string(false), Err(DecodeError::NegativeLength(-2)));
    let frame = Bytes::from_static(&[0xff, 0xff]);
    assert_eq!(Decoder::new(&frame).read_string(false), Ok(None));
    assert_eq!(<&str>::read(&mut Decoder::new(&frame), PLAIN), Err(DecodeError::UnexpectedNull));
    let frame = Bytes::from_static(&[0]);
    assert_eq!(<&str>::read(&mut Decoder::new(&frame), FLEXIBLE), Err(DecodeError::UnexpectedNull));

    assert_eq!(read::<Bytes>(&[0xff, 0xff, 0xff, 0xfe], PLAIN), Err(DecodeError::NegativeLength(-2)));
    assert_eq!(read::<Bytes>(&[0xff; 4], PLAIN), Err(DecodeError::UnexpectedNull));
    assert_eq!(read::<Option<Bytes>>(&[0xff; 4], PLAIN), Ok(None));
    assert_eq!(read::<Vec<i32>>(&[0x80, 0, 0, 0], PLAIN), Err(DecodeError::NegativeLength(i32::MIN)));
    assert_eq!(read::<Option<Vec<i32>>>(&[0], FLEXIBLE), Ok(None));
    assert_eq!(read::<Vec<i32>>(&[0], FLEXIBLE), Err(DecodeError::UnexpectedNull));
}

#[test]
fn strings_are_short_and_utf8() {
    let mut long = vec![0x81, 0x80, 0x02];
    long.extend(vec![b'x'; MAX_STRING_BYTES + 1]);
    let frame = Bytes::from(long);
    assert_eq!(Decoder::new(&frame).read_string(true), Err(DecodeError::StringTooLong(MAX_STRING_BYTES + 1)));
    let frame = Bytes::from_static(&[0, 2, 0xc3, 0x28]);
    assert_eq!(Decoder::new(&frame).read_string(false), Err(DecodeError::InvalidUtf8));

    // An encoder cuts between characters.
    let text = format!("{}ä", "x".repeat(MAX_STRING_BYTES - 1));
    for version in [PLAIN, FLEXIBLE] {
        let frame = Bytes::from(write(&text.as_str(), version));
        let back = <&str>::read(&mut Decoder::new(&frame), version).unwrap();
        assert_eq!(back, &text[..MAX_STRING_BYTES - 1]);
    }
}

#[test]
fn counts_beyond_the_frame_are_errors() {
    // 12 bytes hold three numbers, not four.
    let mut bytes = [0u8; 16];
    bytes[3] = 4;
    assert_eq!(read::<Vec<i32>>(&bytes[..15], PLAIN), Err(DecodeError::ArrayTooLong(4)));
    assert_eq!(
        read::<Vec<i32>>(&[0x7f, 0xff, 0xff, 0xff, 0], PLAIN),
        Err(DecodeError::ArrayTooLong(i32::MAX as usize))
    );
    let most = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(read::<Vec<i32>>(&most, FLEXIBLE), Err(DecodeError::ArrayTooLong(u32::MAX as usize - 1)));
    let million = 1_000_001i32.to_be_bytes();
    let bytes = [&million[..], &vec![0; 1_000_001]].concat();
    assert_eq!(read::<Vec<i8>>(&bytes, PLAIN), Err(DecodeError::ArrayTooLong(1_000_001)));
    assert_eq!(
        read::<Vec<i8>>(&[&1_000_000i32.to_be_bytes()[..], &vec![0; 1_000_000]].concat(), PLAIN)
            .unwrap()
            .len(),
        1_000_000
    );
}

#[test]
fn memory_beyond_the_budget_is_an_error() {
    // 900,000 empty strings of one byte take 16 bytes of memory each: just within 16 times the frame.
    let count = 900_000;
    let mut bytes = write(&Vec::<i8>::new(), FLEXIBLE);
    bytes.clear();
    let mut out = Encoder::new();
    out.put_length(true, count);
    bytes.extend(out.finish().into_bytes());
    bytes.extend(vec![1u8; count]);
    let frame = Bytes::from(bytes);
    assert_eq!(Vec::<&str>::read(&mut Decoder::new(&frame), FLEXIBLE).unwrap().len(), count);

    // A struct of 24 bytes and more that takes two on the wire is not.
    let mut out = Encoder::new();
    out.put_length(true, count);
    out.put_slice(&vec![1u8; 2 * count]);
    let frame = out.finish().into_bytes();
    assert_eq!(Vec::<Wide<'_>>::read(&mut Decoder::new(&frame), FLEXIBLE), Err(DecodeError::OverBudget));
}

message! {
    /// Two bytes on the wire, much in memory.
    pub struct Wide<'a> {
        /// An array.
        names: Vec<&'a str> [0..],
        /// Nothing at this version.
        more: Vec<&'a str> [9..],
    }
}

#[test]
fn variable_length_integers() {
    let cases: &[(u32, &[u8])] = &[
        (0, &[0]),
        (127, &[0x7f]),
        (128, &[0x80, 1]),
        (300, &[0xac, 2]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 1]),
        (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ];
    for (value, bytes) in cases {
        let mut out = Encoder::new();
        out.put_uvarint(*value);
        let frame = out.finish().into_bytes();
        assert_eq!(frame, *bytes);
        assert_eq!(Decoder::new(&frame).read_uvarint(), Ok(*value));
    }
    for bytes in [&[0x80, 0x80, 0x80, 0x80, 0x10][..], &[0xff; 5], &[0x80, 0x80, 0x80, 0x80, 0x80, 1]] {
        let frame = Bytes::copy_from_slice(bytes);
        assert_eq!(Decoder::new(&frame).read_uvarint(), Err(DecodeError::VarintTooLong), "{bytes:?}");
    }
    let frame = Bytes::from_static(&[0x80, 0x80]);
    assert!(matches!(Decoder::new(&frame).read_uvarint(), Err(DecodeError::Truncated { .. })));
}

#[test]
fn ids_as_text() {
    let cases = [
        ("AAAAAAAAAAAAAAAAAAAAAA", [0; 16]),
        ("AAAAAAAAAAAAAAAAAAAAAQ", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("_____________________w", [0xff; 16]),
        (
            "-_-_-_-_-_-_-_-_-_-_-g",
            [0xfb, 0xff, 0xbf, 0xfb, 0xff, 0xbf, 0xfb, 0xff, 0xbf, 0xfb, 0xff, 0xbf, 0xfb, 0xff, 0xbf, 0xfa],
        ),
    ];
    for (text, bytes) in cases {
        assert_eq!(Uuid(bytes).to_string(), text);
        assert_eq!(text.parse(), Ok(Uuid(bytes)));
    }
    for text in [
        "",
        "AAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAB",
        "AAAAAAAAAAAAAAAAAAAA+A",
    ] {
        assert!(text.parse::<Uuid>().is_err(), "{text}");
    }
}

#[test]
fn long_bytes_are_referred_to_and_short_ones_copied() {
    let long = Bytes::from(vec![7u8; 5000]);
    let mut out = Encoder::new_frame();
    out.put_bytes(true, &Bytes::from_static(b"short"));
    out.put_bytes(true, &long);
    out.put_bytes(true, &long);
    out.put_i8(3);
    let segments = out.finish_frame();
    let parts = segments.parts();
    assert_eq!(parts.len(), 5);
    assert_eq!(parts[1].as_ptr(), long.as_ptr());
    assert_eq!(parts[3].as_ptr(), long.as_ptr());
    assert_eq!(segments.len(), 4 + 6 + 2 * 5002 + 1);
    let whole = segments.clone().into_bytes();
    assert_eq!(whole[..4], (whole.len() as i32 - 4).to_be_bytes());
    let frame = whole.slice(4..);
    let mut from = Decoder::new(&frame);
    assert_eq!(from.read_bytes(true), Ok(Some(Bytes::from_static(b"short"))));
    let shared = from.read_bytes(true).unwrap().unwrap();
    assert_eq!((shared.as_ptr(), shared.len()), (frame[8..].as_ptr(), 5000));
    assert_eq!(from.read_bytes(true), Ok(Some(long)));
    assert_eq!(from.read_i8(), Ok(3));
    from.finish().unwrap();
}

proptest! {
    /// However a writer takes the segments, it gets every byte once and in order.
    #[test]
    fn segments_are_consumed_piece_by_piece(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
        steps in prop::collection::vec(0usize..30, 0..20),
    ) {
        let whole = parts.concat();
        let mut segments = Segments::from(parts.into_iter().map(Bytes::from).collect::<Vec<_>>());
        let mut taken = Vec::new();
        for step in steps {
            let step = step.min(segments.remaining());
            if step % 2 == 0 {
                taken.extend(segments.copy_to_bytes(step));
            } else {
                let mut slices = [std::io::IoSlice::new(&[]); 8];
                let filled = segments.chunks_vectored(&mut slices);
                let seen = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).take(step).collect::<Vec<_>>();
                prop_assert_eq!(seen.len(), step);
                taken.extend(seen);
                segments.advance(step);
            }
        }
        let rest = segments.clone().into_iter().flatten().collect::<Vec<u8>>();
        prop_assert_eq!(segments.len(), rest.len());
        taken.extend(segments.into_bytes());
        prop_assert_eq!(taken, whole);
    }

    #[test]
    fn ids_come_back_from_text(bytes in any::<[u8; 16]>()) {
        prop_assert_eq!(Uuid(bytes).to_string().parse(), Ok(Uuid(bytes)));
    }
}
