//! The errors of a broker as a whole: why it does not start, or has stopped.
//!
//! What a client is told is no error of this kind but a value on the wire, `ErrorCode`.

use std::io;
use std::path::Path;

use crate::config::ConfigError;

/// What whoever started the broker must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Change the configuration.
    Configuration,
    /// Stop the other process, or take another port or directory.
    InUse,
    /// Take another directory: this one cannot be read or written, or is none of ours.
    DataDirectory,
    /// Bring back a backup: what is stored is not what was written.
    Corrupt,
    /// See to the machine: the operating system refused.
    System,
}

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    /// All there is to say in one line, the cause included.
    message: String,
}

/// The result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What must be done.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into() }
    }

    /// An error of the disk at `path`.
    pub(crate) fn disk(path: &Path, error: io::Error) -> Error {
        Error::new(ErrorKind::DataDirectory, format!("{}: {error}", path.display()))
    }

    /// An address that cannot be listened on.
    pub(crate) fn listen(address: &str, error: io::Error) -> Error {
        let (kind, message) = match error.kind() {
            io::ErrorKind::AddrInUse => (
                ErrorKind::InUse,
                format!("{address} is in use; stop what listens there or take another port"),
            ),
            _ => (ErrorKind::System, format!("cannot listen on {address}: {error}")),
        };
        Error::new(kind, message)
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Error {
        Error::new(ErrorKind::Configuration, error.to_string())
    }
}
