//! Bytes as they are.

use bytes::Bytes;

use super::{Serde, SerdeContext, SerdeError};

/// Bytes as they are: Kafka's Bytes and ByteArray serdes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

/// Bytes as they are.
#[must_use]
pub const fn raw() -> Raw {
    Raw
}

macro_rules! bytes {
    ($($type:ty => $read:expr),*) => { $(
        impl Serde<$type> for Raw {
            fn serialize(&self, _: &SerdeContext<'_>, value: &$type, out: &mut Vec<u8>) -> Result<(), SerdeError> {
                out.extend_from_slice(value);
                Ok(())
            }

            fn deserialize(&self, _: &SerdeContext<'_>, bytes: &[u8]) -> Result<$type, SerdeError> {
                Ok($read(bytes))
            }
        }
    )* };
}
bytes!(Bytes => Bytes::copy_from_slice, Vec<u8> => <[u8]>::to_vec);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_as_they_are() {
        super::super::check(raw(), Bytes::from_static(b"\0\xff"), b"\0\xff");
        super::super::check(raw(), vec![1u8, 2], &[1, 2]);
    }
}
