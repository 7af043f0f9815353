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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    use crate::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

    fn check_request<'a, R: Request<'a>>(version: i16, request: &R, expected: &[&[u8]]) {
        let header = RequestHeader::new(R::KEY, version, 0x0102_0304, Some("me"));
        let frame = encode_request(&header, request).into_bytes();
        let expected = expected.concat();
        assert_eq!(frame, [&(expected.len() as i32).to_be_bytes()[..], &expected].concat());
        let frame = frame.slice(4..);
        assert_eq!(RequestHeader::decode(&mut Decoder::new(&frame)), Ok(header));
    }

    #[test]
    fn a_request_has_its_header() {
        let heartbeat = HeartbeatRequest { group_id: "g", member_id: "m", ..HeartbeatRequest::default() };
        let plain: &[u8] = &[0, 12, 0, 3, 1, 2, 3, 4, 0, 2, b'm', b'e'];
        check_request(3, &heartbeat, &[plain, &[0, 1, b'g', 0, 0, 0, 0, 0, 1, b'm', 0xff, 0xff]]);
        // Tagged fields behind the client id, which keeps its two bytes of length.
        let flexible: &[u8] = &[0, 12, 0, 4, 1, 2, 3, 4, 0, 2, b'm', b'e', 0];
        check_request(4, &heartbeat, &[flexible, &[2, b'g', 0, 0, 0, 0, 2, b'm', 0, 0]]);
        let header: &[u8] = &[0, 18, 0, 3, 1, 2, 3, 4, 0, 2, b'm', b'e', 0];
        check_request(3, &ApiVersionsRequest::default(), &[header, &[1, 1, 0]]);
    }

    #[test]
    fn the_header_of_an_unknown_request_is_read() {
        let frame = Bytes::from_static(&[0x7f, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 5, 5, 5]);
        let header = RequestHeader::decode(&mut Decoder::new(&frame));
        let expected = RequestHeader { api_key: 0x7f00, api_version: 9, correlation_id: 1, client_id: None };
        assert_eq!(header, Ok(expected));
    }

    fn check_response<'a, M: Message<'a>>(key: ApiKey, version: i16, response: &M, expected: &[u8]) {
        let frame = encode_response(key, version, 0x0102_0304, response).into_bytes();
        assert_eq!(frame, [&(expected.len() as i32).to_be_bytes()[..], expected].concat());
        let frame = frame.slice(4..);
        let header = ResponseHeader::decode(&mut Decoder::new(&frame), key, version);
        assert_eq!(header, Ok(ResponseHeader { correlation_id: 0x0102_0304 }));
    }

    #[test]
    fn a_response_has_its_header() {
        let heartbeat = HeartbeatResponse { throttle_time_ms: 5, ..HeartbeatResponse::default() };
        check_response(ApiKey::Heartbeat, 3, &heartbeat, &[1, 2, 3, 4, 0, 0, 0, 5, 0, 0]);
        check_response(ApiKey::Heartbeat, 4, &heartbeat, &[1, 2, 3, 4, 0, 0, 0, 0, 5, 0, 0, 0]);
        // Flexible, but the client does not know yet whom it talks to.
        let versions = ApiVersionsResponse::default();
        check_response(ApiKey::ApiVersions, 3, &versions, &[1, 2, 3, 4, 0, 0, 1, 0, 0, 0, 0, 0]);
    }
}
