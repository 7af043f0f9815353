//! Bytes on topics and in stores: the trait, and the serdes that come with the crate.
//!
//! Integers, floats, text, uuids and windowed keys have Kafka's bytes, so that Java applications read what we write.
//! Reading order: the traits here, then `text`, `big_endian`, `raw`, `void`, `json`, `postcard`, `bincode` (a feature), `list`, `nullable`,
//! `windowed`.

mod big_endian;
#[cfg(feature = "bincode")]
mod bincode;
mod json;
mod list;
mod nullable;
mod postcard;
mod raw;
mod text;
mod void;
mod windowed;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

pub use big_endian::{BigEndian, big_endian};
#[cfg(feature = "bincode")]
pub use bincode::{Bincode, bincode};
pub use json::{Json, json};
pub use list::{ListSerde, list};
pub use nullable::{NullableSerde, nullable};
pub use postcard::{Postcard, postcard};
pub use raw::{Raw, raw};
pub use text::{Text, text};
pub use void::{Void, void};
pub use windowed::{SizedWindowedSerde, WindowedSerde, windowed};

pub(crate) use nullable::present;
pub(crate) use windowed::KnownWindowedSerde;

/// Where bytes are read or written: a schema registry asks for it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SerdeContext<'a> {
    /// The topic; for a store that of its changelog.
    pub topic: &'a str,
    /// Whether the key is meant, else the value.
    pub is_key: bool,
}

impl<'a> SerdeContext<'a> {
    /// A key of `topic`.
    #[must_use]
    pub const fn key(topic: &'a str) -> Self {
        SerdeContext { topic, is_key: true }
    }

    /// A value of `topic`.
    #[must_use]
    pub const fn value(topic: &'a str) -> Self {
        SerdeContext { topic, is_key: false }
    }
}

/// Why bytes could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SerdeError(String);

impl SerdeError {
    /// An error that says `message`.
    #[cold]
    pub fn new(message: impl fmt::Display) -> Self {
        SerdeError(message.to_string())
    }
}

/// Turns a `T` into bytes and back. One instance serves all tasks.
#[diagnostic::on_unimplemented(message = "`{Self}` is no serde for `{T}`")]
pub trait Serde<T>: Send + Sync + 'static {
    /// Appends the bytes of `value` to `out`.
    ///
    /// # Errors
    /// If the value has no bytes in this format.
    fn serialize(&self, at: &SerdeContext<'_>, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError>;

    /// Reads a value.
    ///
    /// # Errors
    /// If the bytes are not of this format.
    fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<T, SerdeError>;

    /// Reads a value into a slot. What lies in it is of no use any more but for its memory, which a serde may use again:
    /// that of text is, so that reading the text of a record allocates only if nobody has kept the one before it.
    ///
    /// # Errors
    /// If the bytes are not of this format; what lies in the slot then is of no use.
    fn deserialize_into(
        &self,
        at: &SerdeContext<'_>,
        bytes: &[u8],
        slot: &mut Option<T>,
    ) -> Result<(), SerdeError> {
        *slot = Some(self.deserialize(at, bytes)?);
        Ok(())
    }

    /// Reads a null: an error unless the type has room for it.
    ///
    /// # Errors
    /// If a null is no `T`.
    fn deserialize_null(&self, at: &SerdeContext<'_>) -> Result<T, SerdeError> {
        Err(SerdeError::new(format_args!(
            "null {} in `{}`, declared `{}`",
            part(at),
            at.topic,
            std::any::type_name::<T>()
        )))
    }

    /// Whether `value` is written as null.
    fn is_null(&self, value: &T) -> bool {
        let _ = value;
        false
    }

    /// The serde inside a nullable one as `Arc<dyn Serde<_>>`, so that a value that is there can be written without
    /// being cloned into an `Option`.
    #[doc(hidden)]
    fn inside(self: Arc<Self>) -> Option<Box<dyn Any>> {
        None
    }
}

fn part(at: &SerdeContext<'_>) -> &'static str {
    if at.is_key { "key" } else { "value" }
}

impl<T: 'static> Serde<T> for Arc<dyn Serde<T>> {
    fn serialize(&self, at: &SerdeContext<'_>, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        (**self).serialize(at, value, out)
    }

    fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<T, SerdeError> {
        (**self).deserialize(at, bytes)
    }

    fn deserialize_into(
        &self,
        at: &SerdeContext<'_>,
        bytes: &[u8],
        slot: &mut Option<T>,
    ) -> Result<(), SerdeError> {
        (**self).deserialize_into(at, bytes, slot)
    }

    fn deserialize_null(&self, at: &SerdeContext<'_>) -> Result<T, SerdeError> {
        (**self).deserialize_null(at)
    }

    fn is_null(&self, value: &T) -> bool {
        (**self).is_null(value)
    }

    fn inside(self: Arc<Self>) -> Option<Box<dyn Any>> {
        Arc::clone(&*self).inside()
    }
}

/// Reads what a topic holds: null or bytes.
pub(crate) fn read<T: 'static>(
    serde: &dyn Serde<T>,
    at: &SerdeContext<'_>,
    bytes: Option<&[u8]>,
) -> Result<T, SerdeError> {
    match bytes {
        Some(bytes) => serde.deserialize(at, bytes),
        None => serde.deserialize_null(at),
    }
}

/// Reads what a topic holds into a slot: null or bytes.
#[inline]
pub(crate) fn read_into<T: 'static>(
    serde: &dyn Serde<T>,
    at: &SerdeContext<'_>,
    bytes: Option<&[u8]>,
    slot: &mut Option<T>,
) -> Result<(), SerdeError> {
    match bytes {
        Some(bytes) => serde.deserialize_into(at, bytes, slot),
        None => {
            *slot = Some(serde.deserialize_null(at)?);
            Ok(())
        }
    }
}

/// Appends what a topic holds to `out`; false for a null.
pub(crate) fn write<T: 'static>(
    serde: &dyn Serde<T>,
    at: &SerdeContext<'_>,
    value: &T,
    out: &mut Vec<u8>,
) -> Result<bool, SerdeError> {
    if serde.is_null(value) {
        return Ok(false);
    }
    serde.serialize(at, value, out)?;
    Ok(true)
}

/// One `check` for every serde: the bytes it writes, and that it reads them back, also over what it has read before.
#[cfg(test)]
pub(crate) fn check<T: PartialEq + fmt::Debug + 'static>(serde: impl Serde<T>, value: T, bytes: &[u8]) {
    let at = SerdeContext::value("topic");
    let mut out = Vec::new();
    serde.serialize(&at, &value, &mut out).unwrap();
    assert_eq!(out, bytes, "bytes of {value:?}");
    assert_eq!(serde.deserialize(&at, &out).unwrap(), value);
    let mut slot = None;
    for _ in 0..2 {
        serde.deserialize_into(&at, &out, &mut slot).unwrap();
        assert_eq!(slot.as_ref(), Some(&value));
    }
}
