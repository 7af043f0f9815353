//! Text as UTF-8; uuids as Kafka writes them, in text.

use uuid::Uuid;

use super::{Serde, SerdeContext, SerdeError};

/// UTF-8 text: Kafka's String and UUID serdes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text;

/// UTF-8 text.
#[must_use]
pub const fn text() -> Text {
    Text
}

fn utf8(bytes: &[u8]) -> Result<&str, SerdeError> {
    std::str::from_utf8(bytes).map_err(SerdeError::new)
}

/// Text that has grown larger than this is not written over: its memory would stay.
const KEPT_BYTES: usize = 64 * 1024;

impl Serde<String> for Text {
    fn serialize(&self, _: &SerdeContext<'_>, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn deserialize(&self, _: &SerdeContext<'_>, bytes: &[u8]) -> Result<String, SerdeError> {
        utf8(bytes).map(str::to_owned)
    }

    fn deserialize_into(
        &self,
        _: &SerdeContext<'_>,
        bytes: &[u8],
        slot: &mut Option<String>,
    ) -> Result<(), SerdeError> {
        let text = utf8(bytes)?;
        match slot {
            Some(place) if place.capacity() <= KEPT_BYTES => {
                place.clear();
                place.push_str(text);
            }
            _ => *slot = Some(text.to_owned()),
        }
        Ok(())
    }
}

impl Serde<Uuid> for Text {
    fn serialize(&self, _: &SerdeContext<'_>, value: &Uuid, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let mut buffer = Uuid::encode_buffer();
        out.extend_from_slice(value.hyphenated().encode_lower(&mut buffer).as_bytes());
        Ok(())
    }

    fn deserialize(&self, _: &SerdeContext<'_>, bytes: &[u8]) -> Result<Uuid, SerdeError> {
        Uuid::try_parse(utf8(bytes)?).map_err(SerdeError::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_uuids() {
        super::super::check(text(), "häuser".to_string(), "häuser".as_bytes());
        let uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        super::super::check(text(), uuid, b"01234567-89ab-cdef-0123-456789abcdef");
        let at = SerdeContext::key("t");
        assert!(Serde::<String>::deserialize(&text(), &at, &[0xff]).is_err());
        assert!(Serde::<Uuid>::deserialize(&text(), &at, b"nonsense").is_err());
        let large = vec![b'a'; 2 * KEPT_BYTES];
        let mut slot = None;
        for (bytes, kept) in [(&large[..], 2 * KEPT_BYTES), (b"small", 5), (b"ab", 5), (b"longer", 10)] {
            text().deserialize_into(&at, bytes, &mut slot).unwrap();
            let read: &String = slot.as_ref().unwrap();
            assert_eq!((read.as_bytes(), read.capacity()), (bytes, kept));
        }
    }
}
