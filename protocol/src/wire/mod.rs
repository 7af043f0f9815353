//! The wire's alphabet: integers, variable-length integers, strings, bytes, arrays and tagged fields.
//!
//! A [`Decoder`] borrows from one frame, an [`Encoder`] writes [`Segments`]. [`Wire`] is what a field of a message must
//! be able to do; the declaration `message!` composes it. Nothing here knows any API.

mod decoder;
mod encoder;
mod field;
mod segments;
mod uuid;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use field::{Nullable, Version, Wire};
pub(crate) use field::{min_bytes_present, read_present, write_present};
pub use segments::Segments;
pub use uuid::{InvalidUuid, Uuid};

/// Kafka's bound of a string, in either encoding.
pub const MAX_STRING_BYTES: usize = 0x7fff;

#[cfg(test)]
mod tests;
