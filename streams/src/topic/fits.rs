//! When a stream may be written to a topic: the types are the same up to null.

use std::sync::Arc;

use crate::data::Item;
use crate::serdes::{self, Serde, SerdeContext, SerdeError};

/// `Self` may be written where `T` is declared: the same type, with or without null.
#[diagnostic::on_unimplemented(
    message = "the topic holds `{T}`, the stream carries `{Self}`",
    label = "mismatched topic",
    note = "null is allowed on either side; convert with `map` or `map_values`, or declare the topic with the stream's type"
)]
pub trait Fits<T>: Item {
    /// Writes what the stream carries with the topic's serde.
    #[doc(hidden)]
    fn writer(serde: Arc<dyn Serde<T>>) -> Arc<dyn Writer<Self>>;

    /// Shows the value as the topic's type; `None` if it is a null the topic has no room for.
    #[doc(hidden)]
    fn with_fit<R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R;
}

/// Writes a `T` as null or bytes.
#[doc(hidden)]
pub trait Writer<T>: Send + Sync {
    /// Appends the bytes; false for a null.
    fn write(&self, at: &SerdeContext<'_>, value: &T, out: &mut Vec<u8>) -> Result<bool, SerdeError>;
}

struct Same<T>(Arc<dyn Serde<T>>);
impl<T: 'static> Writer<T> for Same<T> {
    #[inline]
    fn write(&self, at: &SerdeContext<'_>, value: &T, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        serdes::write(&*self.0, at, value, out)
    }
}

struct OrNull<T>(Arc<dyn Serde<T>>);
impl<T: 'static> Writer<Option<T>> for OrNull<T> {
    #[inline]
    fn write(&self, at: &SerdeContext<'_>, value: &Option<T>, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        match value {
            Some(value) => serdes::write(&*self.0, at, value, out),
            None => Ok(false),
        }
    }
}

impl<T: Item> Fits<T> for T {
    fn writer(serde: Arc<dyn Serde<T>>) -> Arc<dyn Writer<T>> {
        Arc::new(Same(serde))
    }

    fn with_fit<R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R {
        f(Some(self))
    }
}

impl<T: Item> Fits<Option<T>> for T {
    fn writer(serde: Arc<dyn Serde<Option<T>>>) -> Arc<dyn Writer<T>> {
        // The inner serde writes the value where it lies; only a user's own serde of `Option<T>` needs a clone.
        Arc::new(Same(serdes::present(serde)))
    }

    fn with_fit<R>(&self, f: impl FnOnce(Option<&Option<T>>) -> R) -> R {
        f(Some(&Some(self.clone())))
    }
}

impl<T: Item> Fits<T> for Option<T> {
    fn writer(serde: Arc<dyn Serde<T>>) -> Arc<dyn Writer<Option<T>>> {
        Arc::new(OrNull(serde))
    }

    fn with_fit<R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R {
        f(self.as_ref())
    }
}
