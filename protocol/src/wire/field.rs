//! What a field of a message can do: be written, be read, and tell how few bytes it takes.

use bytes::Bytes;

use super::{Decoder, Encoder, Uuid};
use crate::error::DecodeError;
use crate::error_code::ErrorCode;

/// The version of the message that a field is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The number negotiated by ApiVersions or stored before a record.
    pub number: i16,
    /// Whether lengths are compact and structs end with tagged fields (KIP-482).
    pub flexible: bool,
}

/// A value of a message: an integer, a string, an array, a struct.
pub trait Wire<'a>: Sized {
    /// The fewest bytes that a value takes. An array of so many cannot be true if the frame has less left.
    fn min_bytes(version: Version) -> usize;
    /// Writes the value.
    fn write(&self, out: &mut Encoder, version: Version);
    /// Reads a value.
    fn read(from: &mut Decoder<'a>, version: Version) -> Result<Self, DecodeError>;
}

/// A value that may be null at some versions of its message; the field is then an `Option`.
pub trait Nullable<'a>: Wire<'a> + Default {
    /// The bytes that null takes.
    fn null_bytes(version: Version) -> usize;
    /// Writes null, or the value so that it is told from null.
    fn write_nullable(value: Option<&Self>, out: &mut Encoder, version: Version);
    /// Reads a value or null.
    fn read_nullable(from: &mut Decoder<'a>, version: Version) -> Result<Option<Self>, DecodeError>;
}

impl<'a, T: Nullable<'a>> Wire<'a> for Option<T> {
    #[inline]
    fn min_bytes(version: Version) -> usize {
        T::null_bytes(version)
    }
    #[inline]
    fn write(&self, out: &mut Encoder, version: Version) {
        T::write_nullable(self.as_ref(), out, version);
    }
    #[inline]
    fn read(from: &mut Decoder<'a>, version: Version) -> Result<Self, DecodeError> {
        T::read_nullable(from, version)
    }
}

/// The fewest bytes of a field of type `Option` at a version at which it cannot be null.
#[inline]
pub(crate) fn min_bytes_present<'a, T: Nullable<'a>>(_: Option<&Option<T>>, version: Version) -> usize {
    T::min_bytes(version)
}

/// Writes a field of type `Option` at a version at which it cannot be null: nothing is as good as the empty value.
#[inline]
pub(crate) fn write_present<'a, T: Nullable<'a>>(value: &Option<T>, out: &mut Encoder, version: Version) {
    match value {
        Some(value) => value.write(out, version),
        None => T::default().write(out, version),
    }
}

/// Reads a field of type `Option` at a version at which it cannot be null.
#[inline]
pub(crate) fn read_present<'a, T: Nullable<'a>>(
    from: &mut Decoder<'a>,
    version: Version,
) -> Result<Option<T>, DecodeError> {
    T::read(from, version).map(Some)
}

/// Fixed width: `type, bytes, read, write`.
macro_rules! fixed_width {
    ($($ty:ty, $bytes:literal, $read:expr, $write:expr;)*) => { $(
        impl<'a> Wire<'a> for $ty {
            #[inline]
            fn min_bytes(_: Version) -> usize {
                $bytes
            }
            #[inline]
            fn write(&self, out: &mut Encoder, _: Version) {
                $write(out, *self)
            }
            #[inline]
            fn read(from: &mut Decoder<'a>, _: Version) -> Result<Self, DecodeError> {
                $read(from)
            }
        }
    )* };
}

fixed_width! {
    bool, 1, |from: &mut Decoder<'a>| from.read_i8().map(|byte| byte != 0), |out: &mut Encoder, value| out.put_i8(i8::from(value));
    i8, 1, Decoder::read_i8, Encoder::put_i8;
    i16, 2, Decoder::read_i16, Encoder::put_i16;
    u16, 2, Decoder::read_u16, Encoder::put_u16;
    i32, 4, Decoder::read_i32, Encoder::put_i32;
    u32, 4, Decoder::read_u32, Encoder::put_u32;
    i64, 8, Decoder::read_i64, Encoder::put_i64;
    f64, 8, Decoder::read_f64, Encoder::put_f64;
    ErrorCode, 2, |from: &mut Decoder<'a>| from.read_i16().map(ErrorCode), |out: &mut Encoder, code: ErrorCode| out.put_i16(code.0);
    Uuid, 16, |from: &mut Decoder<'a>| from.read_16().map(Uuid), |out: &mut Encoder, id: Uuid| out.put_slice(&id.0);
}

impl<'a> Wire<'a> for &'a str {
    #[inline]
    fn min_bytes(version: Version) -> usize {
        Self::null_bytes(version)
    }
    #[inline]
    fn write(&self, out: &mut Encoder, version: Version) {
        out.put_string(version.flexible, self);
    }
    #[inline]
    fn read(from: &mut Decoder<'a>, version: Version) -> Result<Self, DecodeError> {
        from.read_string(version.flexible)?.ok_or(DecodeError::UnexpectedNull)
    }
}

impl<'a> Nullable<'a> for &'a str {
    #[inline]
    fn null_bytes(version: Version) -> usize {
        if version.flexible { 1 } else { 2 }
    }
    #[inline]
    fn write_nullable(value: Option<&Self>, out: &mut Encoder, version: Version) {
        match value {
            Some(value) => value.write(out, version),
            None => out.put_null_string(version.flexible),
        }
    }
    #[inline]
    fn read_nullable(from: &mut Decoder<'a>, version: Version) -> Result<Option<Self>, DecodeError> {
        from.read_string(version.flexible)
    }
}

impl<'a> Wire<'a> for Bytes {
    #[inline]
    fn min_bytes(version: Version) -> usize {
        Self::null_bytes(version)
    }
    #[inline]
    fn write(&self, out: &mut Encoder, version: Version) {
        out.put_bytes(version.flexible, self);
    }
    #[inline]
    fn read(from: &mut Decoder<'a>, version: Version) -> Result<Self, DecodeError> {
        from.read_bytes(version.flexible)?.ok_or(DecodeError::UnexpectedNull)
    }
}

impl<'a> Nullable<'a> for Bytes {
    #[inline]
    fn null_bytes(version: Version) -> usize {
        if version.flexible { 1 } else { 4 }
    }
    #[inline]
    fn write_nullable(value: Option<&Self>, out: &mut Encoder, version: Version) {
        match value {
            Some(value) => value.write(out, version),
            None => out.put_null(version.flexible),
        }
    }
    #[inline]
    fn read_nullable(from: &mut Decoder<'a>, version: Version) -> Result<Option<Self>, DecodeError> {
        from.read_bytes(version.flexible)
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Vec<T> {
    #[inline]
    fn min_bytes(version: Version) -> usize {
        Self::null_bytes(version)
    }
    #[inline]
    fn write(&self, out: &mut Encoder, version: Version) {
        out.put_length(version.flexible, self.len());
        for element in self {
            element.write(out, version);
        }
    }
    #[inline]
    fn read(from: &mut Decoder<'a>, version: Version) -> Result<Self, DecodeError> {
        Self::read_nullable(from, version)?.ok_or(DecodeError::UnexpectedNull)
    }
}

impl<'a, T: Wire<'a>> Nullable<'a> for Vec<T> {
    #[inline]
    fn null_bytes(version: Version) -> usize {
        if version.flexible { 1 } else { 4 }
    }
    #[inline]
    fn write_nullable(value: Option<&Self>, out: &mut Encoder, version: Version) {
        match value {
            Some(value) => value.write(out, version),
            None => out.put_null(version.flexible),
        }
    }
    #[inline]
    fn read_nullable(from: &mut Decoder<'a>, version: Version) -> Result<Option<Self>, DecodeError> {
        let count = from.read_array_length(version.flexible, T::min_bytes(version), size_of::<T>())?;
        let Some(count) = count else { return Ok(None) };
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(from, version)?);
        }
        Ok(Some(elements))
    }
}
