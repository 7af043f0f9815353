//! Topic and directory ids, in Kafka's text form.

use std::fmt;
use std::str::FromStr;

/// Kafka's text form: base64 for URLs, without padding.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_CHARS: usize = 22;

/// Sixteen bytes that name a topic, a directory or a cluster.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

/// A text that is no [`Uuid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the 22 characters of base64 that make an id")]
pub struct InvalidUuid;

impl Uuid {
    /// The id that stands for none.
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// Whether this is [`Uuid::ZERO`].
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        let mut text = [0u8; TEXT_CHARS];
        for (index, character) in text.iter_mut().enumerate() {
            // 21 characters of six bits, then the last two bits padded with four zeros.
            let six = match index {
                21 => (value << 4) & 0x3f,
                _ => (value >> (122 - 6 * index)) & 0x3f,
            };
            *character = ALPHABET[six as usize];
        }
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        if text.len() != TEXT_CHARS {
            return Err(InvalidUuid);
        }
        let mut value = 0u128;
        for (index, character) in text.bytes().enumerate() {
            let six = match character {
                b'A'..=b'Z' => character - b'A',
                b'a'..=b'z' => character - b'a' + 26,
                b'0'..=b'9' => character - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return Err(InvalidUuid),
            };
            value = match index {
                21 if six & 0x0f != 0 => return Err(InvalidUuid),
                21 => value << 2 | u128::from(six >> 4),
                _ => value << 6 | u128::from(six),
            };
        }
        Ok(Uuid(value.to_be_bytes()))
    }
}
