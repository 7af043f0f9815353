//! Every message at every version: round trips, truncations, flipped bytes, and the sizes arrays are checked by.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::error::DecodeError;
use crate::message::{Message, Request, version_of};
use crate::sample::{self, Chance, Declared, EveryMessage, EveryRequest, every_message, every_request};
use crate::wire::{Decoder, Encoder};

const SEEDS: std::ops::Range<u64> = 0..20;

fn encode<'a>(message: &impl Message<'a>, version: i16) -> Bytes {
    let mut out = Encoder::new();
    message.encode(&mut out, version);
    out.finish().into_bytes()
}

/// Messages borrow from their frame; for a test a frame may live forever.
fn forever(frame: Bytes) -> &'static Bytes {
    Box::leak(Box::new(frame))
}

fn decode<M: Message<'static>>(frame: &'static Bytes, version: i16) -> Result<M, DecodeError> {
    let mut from = Decoder::new(frame);
    let message = M::decode(&mut from, version)?;
    from.finish()?;
    Ok(message)
}

struct RoundTrip;

impl EveryMessage for RoundTrip {
    fn message<M: Declared>(&mut self, name: &str) {
        for version in M::VERSIONS {
            for seed in SEEDS {
                let message: M = sample::sample(seed, version);
                let frame = forever(encode(&message, version));
                let decoded = decode::<M>(frame, version).unwrap_or_else(|error| {
                    panic!("{name} version {version} seed {seed}: {error}\n{message:#?}")
                });
                assert_eq!(decoded, message, "{name} version {version} seed {seed}");
            }
        }
    }
}

#[test]
fn every_message_comes_back_as_it_was() {
    every_message(&mut RoundTrip);
}

struct Truncated;

impl EveryMessage for Truncated {
    fn message<M: Declared>(&mut self, name: &str) {
        for version in M::VERSIONS {
            let frame = forever(encode(&sample::sample::<M>(3, version), version));
            // Every place in the fields before the bulk of long byte strings, and some in it.
            for length in (0..frame.len()).filter(|length| *length < 600 || length % 97 == 0) {
                let short = forever(frame.slice(..length));
                let decoded = decode::<M>(short, version);
                assert!(decoded.is_err(), "{name} version {version} cut to {length} bytes: {decoded:?}");
            }
        }
    }
}

#[test]
fn a_truncated_message_is_an_error() {
    every_message(&mut Truncated);
}

struct Damaged;

impl EveryMessage for Damaged {
    fn message<M: Declared>(&mut self, name: &str) {
        for version in M::VERSIONS {
            for seed in SEEDS {
                let mut chance = Chance::new(seed);
                let frame = encode(&sample::sample::<M>(seed, version), version);
                let mut damaged = frame.to_vec();
                for _ in 0..1 + chance.below(4) {
                    if let Some(byte) = (!damaged.is_empty()).then(|| chance.below(damaged.len())) {
                        damaged[byte] ^= 1 << chance.below(8);
                    }
                }
                // It may decode to something else. Then that something comes back as it was.
                if let Ok(decoded) = decode::<M>(forever(damaged.into()), version) {
                    let again = decode::<M>(forever(encode(&decoded, version)), version);
                    // Debug text, as a float may be NaN.
                    assert_eq!(
                        again.map(|again| format!("{again:?}")),
                        Ok(format!("{decoded:?}")),
                        "{name} version {version} seed {seed}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_damaged_message_is_an_error_or_another_message() {
    every_message(&mut Damaged);
}

struct OtherVersions;

impl EveryMessage for OtherVersions {
    fn message<M: Declared>(&mut self, name: &str) {
        let frame = forever(Bytes::from_static(&[0; 64]));
        for version in [M::VERSIONS.start() - 1, M::VERSIONS.end() + 1, i16::MAX, i16::MIN] {
            assert_eq!(decode::<M>(frame, version), Err(DecodeError::UnsupportedVersion(version)), "{name}");
        }
    }
}

#[test]
fn only_the_versions_of_a_message_decode() {
    every_message(&mut OtherVersions);
}

struct SmallestSize;

impl EveryMessage for SmallestSize {
    fn message<M: Declared>(&mut self, name: &str) {
        for version in M::VERSIONS {
            // A default has nothing in its strings and arrays, and no tagged fields.
            let smallest = encode(&M::default(), version).len();
            assert_eq!(M::min_bytes(version_of::<M>(version)), smallest, "{name} version {version}");
        }
    }
}

#[test]
fn the_smallest_size_is_that_of_the_default() {
    every_message(&mut SmallestSize);
}

struct AgreesWithApi;

impl EveryRequest for AgreesWithApi {
    fn request<R: Request<'static>>(&mut self) {
        let mut versions = R::KEY.versions();
        if R::KEY == ApiKey::Produce {
            versions = 3..=13;
        }
        assert_eq!(R::VERSIONS, versions, "{}", R::KEY);
        assert_eq!(R::Response::<'static>::VERSIONS, versions, "{}", R::KEY);
        assert_eq!(R::FIRST_FLEXIBLE_VERSION, R::KEY.first_flexible_version(), "{}", R::KEY);
        assert_eq!(
            R::Response::<'static>::FIRST_FLEXIBLE_VERSION,
            R::KEY.first_flexible_version(),
            "{}",
            R::KEY
        );
    }
}

#[test]
fn messages_have_the_versions_of_their_api() {
    every_request(&mut AgreesWithApi);
}
