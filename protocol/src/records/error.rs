//! What can be wrong with record batches.

use super::Compression;

/// Why bytes are no record batch, or a record cannot be put into one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// Fewer bytes than the batch says it has.
    #[error("the batch ends early: {0}")]
    Truncated(&'static str),
    /// The length field cannot be true.
    #[error("a batch of length {0} cannot be")]
    InvalidLength(i32),
    /// A message set of before 2017, or nonsense.
    #[error("record format {0} is not supported, only 2 is")]
    UnsupportedMagic(i8),
    /// The checksum does not match the bytes.
    #[error("the checksum of the batch at offset {base_offset} does not match its bytes")]
    CrcMismatch {
        /// Where the batch says it lies.
        base_offset: i64,
    },
    /// The attributes name no codec that exists.
    #[error("unknown compression code {0}")]
    UnknownCompression(u8),
    /// A codec refused its input.
    #[error("{codec} data is corrupt: {reason}")]
    Decompression {
        /// Which codec.
        codec: Compression,
        /// What it said.
        reason: String,
    },
    /// Decompressed data grew past the bound.
    #[error("decompressed records pass {max_bytes} bytes")]
    TooLarge {
        /// The bound.
        max_bytes: usize,
    },
    /// The records inside the batch do not parse.
    #[error("invalid record: {0}")]
    InvalidRecord(&'static str),
    /// A record, or the batch with it, would pass the 2 GiB the format can express.
    #[error("the record does not fit into a batch")]
    RecordTooLarge,
}
