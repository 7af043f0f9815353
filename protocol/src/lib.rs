//! Kafka's wire protocol: bytes to messages and record batches, and back.
//!
//! No I/O, no clock, no async. In reading order:
//! - [`wire`]: integers, strings, arrays and tagged fields, read from a frame and written into segments;
//! - [`message`]: the declaration `message!` that reads like Kafka's schema and makes a struct with both directions;
//! - [`api`]: the APIs, their versions, and which of these are flexible; [`error_code`]: what a broker answers;
//! - [`header`]: what stands before each message; [`frame`]: how frames are cut out of a stream;
//! - [`messages`]: one file per API;
//! - [`versioned`]: messages with their version in front, outside of requests;
//! - [`records`]: record batches and what is in them.

pub mod api;
pub mod error;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod message;
pub mod messages;
pub mod records;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
pub mod versioned;
pub mod wire;

pub use api::ApiKey;
pub use error::DecodeError;
pub use error_code::ErrorCode;
pub use frame::FrameError;
pub use header::{RequestHeader, ResponseHeader, encode_request, encode_response};
pub use message::{Message, Request};
pub use versioned::{decode_versioned, decode_versioned_growing, encode_versioned};
pub use wire::{Decoder, Encoder, Segments, Uuid};
