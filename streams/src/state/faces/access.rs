//! A store of a task at hand, to make a face of.

use crate::error::Result;
use crate::state::{Stores, TaskStore, WriteContext};

/// A store of a task, and what a write to it is told.
#[doc(hidden)]
pub struct StoreAccess<'a> {
    pub(crate) stores: &'a mut Stores,
    pub(crate) index: usize,
    pub(crate) write: WriteContext<'a>,
}

impl<'a> StoreAccess<'a> {
    /// The store, typed.
    pub(super) fn typed<S: TaskStore>(self) -> Result<(&'a mut S, WriteContext<'a>)> {
        Ok((self.stores.typed(self.index)?, self.write))
    }
}
