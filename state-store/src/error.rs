//! What can go wrong, by what the caller must do.

use std::path::PathBuf;

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
    /// A name that the engine cannot give to a store.
    #[error("`{name}` cannot name a store: a name has 1 to {limit} bytes")]
    StoreName {
        /// The name.
        name: String,
        /// The longest name allowed, in bytes.
        limit: usize,
    },
    /// What is on disk of a store is damaged.
    #[error("store `{store}` is corrupt: {detail}; drop it and restore it from its changelog")]
    CorruptStore {
        /// The store.
        store: String,
        /// What was found.
        detail: String,
    },
    /// The engine cannot be opened because of damage on disk.
    #[error("the stores in {} are corrupt: {detail}; remove them and restore them from their changelogs", directory.display())]
    CorruptEngine {
        /// The engine's directory.
        directory: PathBuf,
        /// What was found.
        detail: String,
    },
    /// What is on disk was written by another version of this program.
    #[error("{what} has format version {found}, this program knows {known}")]
    OtherVersion {
        /// The store or database.
        what: String,
        /// Its version.
        found: String,
        /// The version that can be read.
        known: String,
    },
    /// Another process, or another instance in this one, uses the directory.
    #[error("the state directory {} is in use by another instance", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// The engine or the disk under it failed.
    #[error("the {engine} engine failed {action}: {source}")]
    Engine {
        /// The engine's name.
        engine: &'static str,
        /// What it was to do.
        action: &'static str,
        /// What it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
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
    /// [Drop](crate::Engine::drop_store) the store and restore it from its changelog.
    CorruptStore,
    /// Remove the engine's directory and restore all its stores from their changelogs.
    CorruptEngine,
    /// Remove the engine's directory, or run the version that wrote it.
    OtherVersion,
    /// Stop the other instance, or use another directory.
    Locked,
    /// Stop; the disk must be looked after. Opening the store again may help.
    Fatal,
    /// Stop; the program is wrong.
    Misuse,
}

impl Error {
    /// What the caller must do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::KeyTooLarge { .. } | Error::TooLarge { .. } => ErrorKind::Record,
            Error::CorruptStore { .. } => ErrorKind::CorruptStore,
            Error::CorruptEngine { .. } => ErrorKind::CorruptEngine,
            Error::OtherVersion { .. } => ErrorKind::OtherVersion,
            Error::Locked { .. } => ErrorKind::Locked,
            Error::Engine { .. } => ErrorKind::Fatal,
            Error::StoreName { .. } | Error::Misuse(_) => ErrorKind::Misuse,
        }
    }

    pub(crate) fn corrupt_store(store: &str, detail: impl Into<String>) -> Self {
        Error::CorruptStore { store: store.to_owned(), detail: detail.into() }
    }
}

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;
