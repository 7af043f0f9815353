//! Messages outside of requests: values of records and of groups, with their version in front as two bytes.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::message::Message;
use crate::wire::{Decoder, Encoder};

/// The version and the message.
pub fn encode_versioned<'a>(message: &impl Message<'a>, version: i16) -> Bytes {
    let mut out = Encoder::new();
    out.put_i16(version);
    message.encode(&mut out, version);
    out.finish().into_bytes()
}

/// The message and its version; a version that is not known is an error.
pub fn decode_versioned<'a, M: Message<'a>>(bytes: &'a Bytes) -> Result<(M, i16), DecodeError> {
    let mut from = Decoder::new(bytes);
    let version = from.read_i16()?;
    Ok((M::decode(&mut from, version)?, version))
}

/// As [`decode_versioned`], for formats that only ever grow at the end: a version newer than any known is read as the
/// newest known, and what is new in it is left.
pub fn decode_versioned_growing<'a, M: Message<'a>>(bytes: &'a Bytes) -> Result<(M, i16), DecodeError> {
    let mut from = Decoder::new(bytes);
    let version = from.read_i16()?.min(*M::VERSIONS.end());
    Ok((M::decode(&mut from, version)?, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::consumer_offsets::OffsetCommitValue;
    use crate::messages::consumer_protocol::{ConsumerProtocolSubscription, TopicPartitions};

    #[test]
    fn the_version_stands_in_front() {
        let value = OffsetCommitValue { offset: 7, metadata: "m", ..OffsetCommitValue::default() };
        let bytes = encode_versioned(&value, 4);
        assert_eq!(
            bytes[..],
            [0, 4, 0, 0, 0, 0, 0, 0, 0, 7, 255, 255, 255, 255, 2, b'm', 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(decode_versioned(&bytes), Ok((value, 4)));
        let newer = [&[0, 5], &bytes[2..]].concat().into();
        assert_eq!(
            decode_versioned::<OffsetCommitValue<'_>>(&newer),
            Err(DecodeError::UnsupportedVersion(5))
        );
    }

    #[test]
    fn a_newer_subscription_is_read_as_the_newest_known() {
        let value = ConsumerProtocolSubscription {
            topics: vec!["t"],
            owned_partitions: vec![TopicPartitions { topic: "t", partitions: vec![1, 2] }],
            generation_id: 9,
            rack_id: Some("r"),
            ..ConsumerProtocolSubscription::default()
        };
        let bytes = encode_versioned(&value, 3);
        let newer: Bytes = [&[0, 8], &bytes[2..], b"what version 8 adds"].concat().into();
        assert_eq!(decode_versioned_growing(&newer), Ok((value, 3)));
        let older: Bytes = vec![0xff, 0xff, 0, 0].into();
        let decoded = decode_versioned_growing::<ConsumerProtocolSubscription<'_>>(&older);
        assert_eq!(decoded, Err(DecodeError::UnsupportedVersion(-1)));
    }
}
