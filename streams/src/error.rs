//! The crate's error: its kind says what the caller must do.

use std::error::Error as StdError;
use std::fmt;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller of a failed function must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A record could not be read, processed or written: ask the error policy of the node or of the application.
    Record,
    /// The topology or a setting is wrong: mend the program.
    Invalid,
    /// The task belongs to another instance. In a query: ask the instance that
    /// [`metadata_for_key`](crate::prelude::RunningStreams::metadata_for_key) names. In the runtime: drop it and rejoin.
    Migrated,
    /// The transaction under way is lost: undo what it has done, and do it again.
    Aborted,
    /// Local state cannot be trusted: drop it and restore it from its changelog.
    Corrupted,
    /// The store has not reached the [position](crate::prelude::Position) that a query asked for by `at_least`: ask again later,
    /// or another instance.
    NotUpToBound,
    /// Nothing that can be repaired here: stop.
    Fatal,
}

/// An error of the streams crate. One pointer in size, so that a `Result<()>` fits a register on the hot path.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Error(Box::new(Inner { kind, message: message.to_string(), source: None }))
    }

    /// What is wrong with a record: a closure or a processor returns this to hand the record to the error policy.
    #[cold]
    pub fn record(message: impl fmt::Display) -> Self {
        Error::new(ErrorKind::Record, message)
    }

    /// What is wrong with a topology or a setting.
    #[cold]
    pub fn invalid(message: impl fmt::Display) -> Self {
        Error::new(ErrorKind::Invalid, message)
    }

    /// What cannot be repaired here.
    #[cold]
    pub fn fatal(message: impl fmt::Display) -> Self {
        Error::new(ErrorKind::Fatal, message)
    }

    /// The same error with the error that caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// The same error as another kind, with `context` in front of its message.
    #[must_use]
    pub(crate) fn reworded(mut self, kind: ErrorKind, context: impl fmt::Display) -> Self {
        self.0.kind = kind;
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// What the caller must do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without its causes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_and_why() {
        let cause = "x".parse::<i32>().unwrap_err();
        let error = Error::record("cannot read the amount").with_source(cause);
        assert_eq!(error.to_string(), "cannot read the amount: invalid digit found in string");
        let fatal = error.reworded(ErrorKind::Fatal, "node KSTREAM-MAP-0000000001");
        assert_eq!(fatal.kind(), ErrorKind::Fatal);
        assert_eq!(fatal.message(), "node KSTREAM-MAP-0000000001: cannot read the amount");
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
