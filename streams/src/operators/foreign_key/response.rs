//! The answer to a subscription, on the topic back (Kafka Streams' SubscriptionResponseWrapper).
//!
//! ```text
//! byte         version (0), the highest bit set if there is no hash
//! 16 bytes     hash of the left value that was asked for, if there is one
//!              the right value; nothing if there is no right row
//! ```

use std::sync::Arc;

use bytes::Bytes;

use super::value_hash::ValueHash;
use crate::serdes::{Serde, SerdeContext, SerdeError};

const WITHOUT_HASH: u8 = 0x80;

/// The answer to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(super) hash: Option<ValueHash>,
    /// The right value's bytes; `None`: there is no right row.
    pub(super) right: Option<Bytes>,
    /// Where it is to be written; not part of the message.
    pub(crate) partition: Option<i32>,
}

/// Answers on their topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseSerde;

impl ResponseSerde {
    pub(crate) fn shared() -> Arc<dyn Serde<Response>> {
        Arc::new(ResponseSerde)
    }
}

impl Serde<Response> for ResponseSerde {
    fn serialize(&self, _: &SerdeContext<'_>, value: &Response, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(if value.hash.is_none() { WITHOUT_HASH } else { 0 });
        out.extend_from_slice(value.hash.as_ref().map_or(&[], |hash| hash));
        out.extend_from_slice(value.right.as_deref().unwrap_or(&[]));
        Ok(())
    }

    fn deserialize(&self, _: &SerdeContext<'_>, bytes: &[u8]) -> Result<Response, SerdeError> {
        let cut_short = || SerdeError::new("an answer to a subscription is cut short");
        let (head, mut rest) = bytes.split_first().ok_or_else(cut_short)?;
        let hash = match *head {
            0 => {
                let (hash, after) = rest.split_first_chunk::<16>().ok_or_else(cut_short)?;
                rest = after;
                Some(*hash)
            }
            WITHOUT_HASH => None,
            unknown => {
                return Err(SerdeError::new(format_args!(
                    "an answer to a subscription begins with {unknown}"
                )));
            }
        };
        let right = (!rest.is_empty()).then(|| Bytes::copy_from_slice(rest));
        Ok(Response { hash, right, partition: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kafka_streams() {
        let at = SerdeContext::value("t");
        let check = |response: Response, expected: &[u8]| {
            let mut bytes = Vec::new();
            ResponseSerde.serialize(&at, &response, &mut bytes).unwrap();
            assert_eq!(bytes, expected);
            assert_eq!(ResponseSerde.deserialize(&at, expected).unwrap(), response);
        };
        let right = Some(Bytes::from_static(b"V"));
        check(Response { hash: Some([7; 16]), right, partition: None }, &[&[0], &[7; 16][..], b"V"].concat());
        check(Response { hash: None, right: None, partition: None }, &[0x80]);
        for damaged in [&b""[..], b"\0abc", b"\x01"] {
            assert!(ResponseSerde.deserialize(&at, damaged).is_err(), "{damaged:?}");
        }
    }
}
