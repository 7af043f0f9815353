//! A value that is copied only if a frozen view still holds it when it changes.

use std::sync::Arc;

/// Owned, or shared with frozen views. Unlike a bare `Arc`, writing to an owned value costs no atomic operation.
#[derive(Debug)]
pub(crate) enum Share<T> {
    /// Nobody else sees it.
    Owned(T),
    /// Views may see it; the next write makes it owned again.
    Shared(Arc<T>),
}

impl<T: Clone + Default> Share<T> {
    #[inline]
    pub(crate) fn get(&self) -> &T {
        match self {
            Share::Owned(value) => value,
            Share::Shared(value) => value,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        if let Share::Shared(_) = self {
            self.unshare();
        }
        match self {
            Share::Owned(value) => value,
            Share::Shared(_) => unreachable!("unshared above"),
        }
    }

    /// Whether a write would have to look at, and perhaps copy, what views hold.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Share::Shared(_))
    }

    /// Another owner of the same value.
    pub(crate) fn share(&mut self) -> Arc<T> {
        if let Share::Owned(value) = self {
            *self = Share::Shared(Arc::new(std::mem::take(value)));
        }
        match self {
            Share::Shared(value) => value.clone(),
            Share::Owned(_) => unreachable!("shared above"),
        }
    }

    #[cold]
    fn unshare(&mut self) {
        if let Share::Shared(value) = std::mem::take(self) {
            *self = Share::Owned(Arc::unwrap_or_clone(value));
        }
    }
}

impl<T: Default> Default for Share<T> {
    fn default() -> Self {
        Share::Owned(T::default())
    }
}
