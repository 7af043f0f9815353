//! What can go wrong, by what the caller must do.

/// A failure of a store or its engine. [`kind`](Error::kind) says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key is longer than the engine can hold.
    #[error("a key of {length} bytes is over the limit of {limit} bytes of the {engine} engine")]
    KeyTooLarge {
        /// The key's length.
        length: usize,
        /// The longest key allowed.
        limit: usize,
        /// The engine's name.
        engine: &'static str,
    },
    /// A row (key, value and headers) or a table is larger than can be counted in 32 bits.
    #[error("{what} is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit, in the unit of what is counted.
        limit: u64,
    },
    /// Calls came in an order that cannot be obeyed; a fault in the program.
    #[error("state store used wrongly: {0}")]
    Misuse(&'static str),
}

/// What the caller must do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The record cannot be stored: ask the handler of bad records, as for one that cannot be serialised.
    Record,
    /// Stop; the program is wrong.
    Misuse,
}

impl Error {
    /// What the caller must do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::KeyTooLarge { .. } | Error::TooLarge { .. } => ErrorKind::Record,
            Error::Misuse(_) => ErrorKind::Misuse,
        }
    }
}

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;
