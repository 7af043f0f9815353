//! What a read of many rows gives.

use std::fmt;

/// Rows as they were when the store was asked, in its order. It borrows nothing: the store may be written meanwhile.
#[derive(Clone)]
pub struct Entries<T>(std::vec::IntoIter<T>);

impl<T> Entries<T> {
    pub(super) fn of(rows: Vec<T>) -> Self {
        Entries(rows.into_iter())
    }
}

impl<T> Iterator for Entries<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T> DoubleEndedIterator for Entries<T> {
    fn next_back(&mut self) -> Option<T> {
        self.0.next_back()
    }
}

impl<T> ExactSizeIterator for Entries<T> {}

impl<T: fmt::Debug> fmt::Debug for Entries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.as_slice()).finish()
    }
}
