//! Numbers in network order: Kafka's Short, Integer, Long, Float, Double and Boolean serdes.

use super::{Serde, SerdeContext, SerdeError};

/// Numbers in network order; a bool is one byte, 1 or 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct BigEndian;

/// Numbers in network order.
#[must_use]
pub const fn big_endian() -> BigEndian {
    BigEndian
}

macro_rules! numbers {
    ($($type:ty),*) => { $(
        impl Serde<$type> for BigEndian {
            #[inline]
            fn serialize(&self, _: &SerdeContext<'_>, value: &$type, out: &mut Vec<u8>) -> Result<(), SerdeError> {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            }

            #[inline]
            fn deserialize(&self, _: &SerdeContext<'_>, bytes: &[u8]) -> Result<$type, SerdeError> {
                match bytes.try_into() {
                    Ok(bytes) => Ok(<$type>::from_be_bytes(bytes)),
                    Err(_) => Err(wrong_size(stringify!($type), size_of::<$type>(), bytes)),
                }
            }
        }
    )* };
}
numbers!(i16, i32, i64, u32, u64, f32, f64);

impl Serde<bool> for BigEndian {
    fn serialize(&self, _: &SerdeContext<'_>, value: &bool, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(u8::from(*value));
        Ok(())
    }

    fn deserialize(&self, _: &SerdeContext<'_>, bytes: &[u8]) -> Result<bool, SerdeError> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(SerdeError::new(format_args!("a bool is 0 or 1, here {other}"))),
            _ => Err(wrong_size("bool", 1, bytes)),
        }
    }
}

#[cold]
fn wrong_size(name: &str, size: usize, bytes: &[u8]) -> SerdeError {
    SerdeError::new(format_args!("a {name} has {size} bytes, here are {}", bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn numbers_have_kafkas_bytes() {
        check(big_endian(), 1i16, &[0, 1]);
        check(big_endian(), -2i32, &[0xff, 0xff, 0xff, 0xfe]);
        check(big_endian(), 1000i64, &[0, 0, 0, 0, 0, 0, 3, 0xe8]);
        check(big_endian(), 7u32, &[0, 0, 0, 7]);
        check(big_endian(), 7u64, &[0, 0, 0, 0, 0, 0, 0, 7]);
        check(big_endian(), 1.5f32, &[0x3f, 0xc0, 0, 0]);
        check(big_endian(), -0.5f64, &[0xbf, 0xe0, 0, 0, 0, 0, 0, 0]);
        check(big_endian(), true, &[1]);
        let at = SerdeContext::value("t");
        let error = Serde::<i64>::deserialize(&big_endian(), &at, b"1").unwrap_err();
        assert_eq!(error.to_string(), "a i64 has 8 bytes, here are 1");
        assert!(Serde::<bool>::deserialize(&big_endian(), &at, &[2]).is_err());
    }
}
