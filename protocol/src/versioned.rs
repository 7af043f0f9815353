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
