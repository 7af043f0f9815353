//! Why bytes are not a message: the errors of decoding.
//!
//! Whoever receives one closes the connection, as Kafka does: after a frame that does not parse, nothing on that
//! connection can be trusted.

/// Bytes that are not what the schema says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end in the middle of a value.
    #[error("{needed} bytes expected, {left} left")]
    Truncated {
        /// How many bytes the value takes.
        needed: usize,
        /// How many were left.
        left: usize,
    },
    /// A length below zero that does not stand for null.
    #[error("negative length {0}")]
    NegativeLength(i32),
    /// A null where the schema has none at this version.
    #[error("null in a field that cannot be null")]
    UnexpectedNull,
    /// A variable-length integer of more than its bytes or bits.
    #[error("variable-length integer too long")]
    VarintTooLong,
    /// A string longer than Kafka's 32767 bytes.
    #[error("string of {0} bytes, at most 32767 are allowed")]
    StringTooLong(usize),
    /// A string that is not UTF-8.
    #[error("string is not UTF-8")]
    InvalidUtf8,
    /// An array that claims more elements than the bytes left can hold, or than is allowed at all.
    #[error("array of {0} elements is too long")]
    ArrayTooLong(usize),
    /// More tagged fields than allowed.
    #[error("{0} tagged fields are too many")]
    TooManyTags(u32),
    /// Tagged fields out of order or repeated.
    #[error("tag {0} is out of order")]
    TagOutOfOrder(u32),
    /// A tagged field whose size and contents disagree.
    #[error("tag {0} does not fill its size")]
    TagSize(u32),
    /// Decoding would take far more memory than the frame justifies.
    #[error("decoding takes more memory than the frame justifies")]
    OverBudget,
    /// Bytes left over behind the message.
    #[error("{0} bytes left over")]
    TrailingBytes(usize),
    /// A version of a message that is not known.
    #[error("unsupported version {0}")]
    UnsupportedVersion(i16),
    /// A kind of record that is not known.
    #[error("unknown record type {0}")]
    UnknownRecordType(i32),
}
