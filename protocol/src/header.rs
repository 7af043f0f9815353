//! What stands before each message: key, version and correlation id of a request, the correlation id of a response.
//!
//! [`encode_request`] and [`encode_response`] write whole frames, with the length in front.

use crate::api::ApiKey;
use crate::error::DecodeError;
use crate::message::{Message, Request};
use crate::wire::{Decoder, Encoder, Segments};

/// What stands before a request. The key is a plain number, as a client may call what we do not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Which API is called; see [`ApiKey::from_i16`].
    pub api_key: i16,
    /// At which version.
    pub api_version: i16,
    /// What the response will carry, so that the client finds the request it belongs to.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeader<'a> {
    /// A header for a call of `api_key`.
    pub fn new(api_key: ApiKey, api_version: i16, correlation_id: i32, client_id: Option<&'a str>) -> Self {
        RequestHeader { api_key: api_key.into(), api_version, correlation_id, client_id }
    }

    /// Reads a header. Before a request of an unknown API no tagged fields are read: nothing behind it can be read
    /// anyway.
    pub fn decode(from: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let api_key = from.read_i16()?;
        let api_version = from.read_i16()?;
        let correlation_id = from.read_i32()?;
        // Even the flexible header keeps the old form of the client id, so that every broker can read it.
        let client_id = from.read_string(false)?;
        if ApiKey::from_i16(api_key).is_some_and(|key| key.request_header_version(api_version) >= 2) {
            from.skip_tags()?;
        }
        Ok(RequestHeader { api_key, api_version, correlation_id, client_id })
    }

    /// Writes the header.
    pub fn encode(&self, out: &mut Encoder) {
        out.put_i16(self.api_key);
        out.put_i16(self.api_version);
        out.put_i32(self.correlation_id);
        match self.client_id {
            Some(client_id) => out.put_string(false, client_id),
            None => out.put_null_string(false),
        }
        if ApiKey::from_i16(self.api_key).is_some_and(|key| key.request_header_version(self.api_version) >= 2)
        {
            out.put_uvarint(0);
        }
    }
}

/// What stands before a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The correlation id of the request.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the header of the response to a call of `api_key` at `api_version`.
    pub fn decode(from: &mut Decoder<'_>, api_key: ApiKey, api_version: i16) -> Result<Self, DecodeError> {
        let correlation_id = from.read_i32()?;
        if api_key.response_header_version(api_version) >= 1 {
            from.skip_tags()?;
        }
        Ok(ResponseHeader { correlation_id })
    }

    /// Writes the header of the response to a call of `api_key` at `api_version`.
    pub fn encode(&self, out: &mut Encoder, api_key: ApiKey, api_version: i16) {
        out.put_i32(self.correlation_id);
        if api_key.response_header_version(api_version) >= 1 {
            out.put_uvarint(0);
        }
    }
}

/// A whole frame with a request, at the version that its header says.
pub fn encode_request<'a, R: Request<'a>>(header: &RequestHeader<'_>, request: &R) -> Segments {
    debug_assert_eq!(header.api_key, i16::from(R::KEY), "the header belongs to the request");
    let mut out = Encoder::new_frame();
    header.encode(&mut out);
    request.encode(&mut out, header.api_version);
    out.finish_frame()
}

/// A whole frame with a response to a call of `api_key` at `api_version`.
pub fn encode_response<'a>(
    api_key: ApiKey,
    api_version: i16,
    correlation_id: i32,
    response: &impl Message<'a>,
) -> Segments {
    let mut out = Encoder::new_frame();
    ResponseHeader { correlation_id }.encode(&mut out, api_key, api_version);
    response.encode(&mut out, api_version);
    out.finish_frame()
}
