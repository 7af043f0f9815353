//! Postcard, a compact format of any serde type.

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

use super::{Serde, SerdeContext, SerdeError};

/// Postcard: small and fast, for topics that only Rust reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postcard;

/// Postcard.
#[must_use]
pub const fn postcard() -> Postcard {
    Postcard
}

impl<T: Serialize + DeserializeOwned + 'static> Serde<T> for Postcard {
    fn serialize(&self, _: &SerdeContext<'_>, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        // `postcard` extends what it is given, but takes it by value.
        let grown = ::postcard::to_extend(value, std::mem::take(out)).map_err(SerdeError::new)?;
        *out = grown;
        Ok(())
    }

    fn deserialize(&self, _: &SerdeContext<'_>, bytes: &[u8]) -> Result<T, SerdeError> {
        match ::postcard::take_from_bytes(bytes).map_err(SerdeError::new)? {
            (value, []) => Ok(value),
            (_, rest) => Err(SerdeError::new(format_args!("{} bytes are left over", rest.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_serde_type() {
        super::super::check(postcard(), (1u8, "a".to_string()), &[1, 1, b'a']);
        let at = SerdeContext::value("t");
        assert!(Serde::<u8>::deserialize(&postcard(), &at, &[1, 2]).is_err());
        assert!(Serde::<u8>::deserialize(&postcard(), &at, &[]).is_err());
    }
}
