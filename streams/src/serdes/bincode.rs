//! Bincode 1, a format of any serde type: for topics whose records are in it already.

use ::bincode::Options;
use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

use super::{Serde, SerdeContext, SerdeError};

/// Bincode 1 as `bincode::serialize` writes it: numbers little-endian and of fixed width.
///
/// Its crate is no longer maintained (RUSTSEC-2025-0141), so it is behind the feature `bincode`; new topics are better off
/// with [`Postcard`](super::Postcard), which takes about half the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bincode;

/// Bincode 1.
#[must_use]
pub const fn bincode() -> Bincode {
    Bincode
}

impl<T: Serialize + DeserializeOwned + 'static> Serde<T> for Bincode {
    fn serialize(&self, _: &SerdeContext<'_>, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        ::bincode::options().with_fixint_encoding().serialize_into(out, value).map_err(SerdeError::new)
    }

    fn deserialize(&self, _: &SerdeContext<'_>, bytes: &[u8]) -> Result<T, SerdeError> {
        // A length that lies allocates no more than is there.
        let options = ::bincode::options().with_fixint_encoding().with_limit(bytes.len() as u64);
        options.deserialize(bytes).map_err(SerdeError::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_serde_type() {
        super::super::check(bincode(), (1u16, "a".to_string()), &[1, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'a']);
        let at = SerdeContext::value("t");
        assert!(Serde::<u8>::deserialize(&bincode(), &at, &[1, 2]).is_err(), "a byte is left over");
        assert!(Serde::<u8>::deserialize(&bincode(), &at, &[]).is_err(), "a byte is missing");
        let lies = [u8::MAX; 9];
        assert!(Serde::<Vec<u64>>::deserialize(&bincode(), &at, &lies).is_err(), "the length lies");
    }
}
