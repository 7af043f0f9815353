//! A value that is copied only if a frozen view still holds it when it changes.

use std::sync::Arc;

use super::kept::{Kept, KeptBytes};

/// Owned, or shared with frozen views. Unlike a bare `Arc`, writing to an owned value costs no atomic operation.
#[derive(Debug)]
pub(crate) enum Share<T> {
    /// Nobody else sees it.
    Owned(T),
    /// Views may see it; the next write makes it owned again.
    Shared(Arc<Kept<T>>),
}

/// What takes memory.
pub(crate) trait InMemory {
    /// How much.
    fn bytes(&self) -> usize;
}

impl<T: Clone + Default + InMemory> Share<T> {
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

    /// Whether views hold it: then a write would have to copy it, and who gives it up frees nothing.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Share::Shared(value) if Arc::strong_count(value) > 1)
    }

    /// Another owner of the same value. What views keep of it is counted.
    pub(crate) fn share(&mut self, counted: &KeptBytes) -> Arc<Kept<T>> {
        if let Share::Owned(value) = self {
            *self = Share::Shared(Kept::new(std::mem::take(value), counted));
        }
        match self {
            Share::Shared(value) => value.clone(),
            Share::Owned(_) => unreachable!("shared above"),
        }
    }

    /// Leaves the value to the views that hold it.
    pub(crate) fn leave(&mut self) {
        if let Share::Shared(value) = std::mem::take(self) {
            value.leave(T::bytes);
        }
    }

    #[cold]
    fn unshare(&mut self) {
        if let Share::Shared(value) = std::mem::take(self) {
            *self = Share::Owned(value.take_back(T::bytes));
        }
    }
}

impl<T: Default> Default for Share<T> {
    fn default() -> Self {
        Share::Owned(T::default())
    }
}
