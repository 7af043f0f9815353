//! What a closure may return where the type of the result is settled.

use std::fmt::Display;

use crate::error::{Error, Result};

/// `T`, `Option<T>` (`None` deletes the row, or is no key), `Result<T, E>` or `Result<Option<T>, E>` (`Err` goes to the
/// error policy).
#[diagnostic::on_unimplemented(
    message = "expected `{T}` (or `Option`/`Result` of it), the closure returns `{Self}`"
)]
pub trait Outcome<T> {
    /// All four forms in one.
    #[doc(hidden)]
    fn outcome(self) -> Result<Option<T>>;
}

impl<T> Outcome<T> for T {
    #[inline]
    fn outcome(self) -> Result<Option<T>> {
        Ok(Some(self))
    }
}

impl<T> Outcome<T> for Option<T> {
    #[inline]
    fn outcome(self) -> Result<Option<T>> {
        Ok(self)
    }
}

impl<T, E: Display> Outcome<T> for Result<T, E> {
    #[inline]
    fn outcome(self) -> Result<Option<T>> {
        self.map(Some).map_err(Error::record)
    }
}

impl<T, E: Display> Outcome<T> for Result<Option<T>, E> {
    #[inline]
    fn outcome(self) -> Result<Option<T>> {
        self.map_err(Error::record)
    }
}
