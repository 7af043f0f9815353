//! A store of the user's own type as processors and tests see it.

use std::ops::RangeBounds;

use anabranch_state_store::Order;

use super::{Entries, StoreAccess};
use crate::error::Result;
use crate::state::{CustomState, CustomStore, WriteContext};

/// A store of your own type, in a processor: its rows to be written, and your view of them to be asked.
pub struct CustomRows<'a, S: CustomStore> {
    state: &'a mut CustomState<S>,
    write: WriteContext<'a>,
}

impl<'a, S: CustomStore> CustomRows<'a, S> {
    pub(crate) fn of(access: StoreAccess<'a>) -> Result<Self> {
        let (state, write) = access.typed()?;
        Ok(CustomRows { state, write })
    }

    /// What your type has made of the rows.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`CustomRows::put`].
    pub fn view(&self) -> Result<&S> {
        self.state.view()
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`CustomRows::put`].
    pub fn get(&mut self, key: &S::Key) -> Result<Option<S::Value>> {
        Ok(self.state.get(key)?.map(|(value, _)| value))
    }

    /// Writes a value: `put(&key, &value)`. `None` deletes.
    ///
    /// # Errors
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a value cannot be serialised or deserialised,
    /// or a row is larger than `max.request.size`,
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) if what is on disk is damaged,
    /// [`Fatal`](crate::error::ErrorKind::Fatal) if the disk fails.
    pub fn put<'v>(&mut self, key: &S::Key, value: impl Into<Option<&'v S::Value>>) -> Result<()>
    where
        S::Value: 'v,
    {
        let timestamp = self.write.timestamp;
        self.state.put(key, value.into().map(|value| (value, timestamp)), &mut self.write)
    }

    /// Deletes a key and gives what was there.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`CustomRows::put`].
    pub fn delete(&mut self, key: &S::Key) -> Result<Option<S::Value>> {
        let old = self.get(key)?;
        self.put(key, None)?;
        Ok(old)
    }

    /// Shows the value of a key to `change`, writes what it gives, `None` deletes, and gives that back.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`CustomRows::put`].
    pub fn update(
        &mut self,
        key: &S::Key,
        change: impl FnOnce(Option<S::Value>) -> Option<S::Value>,
    ) -> Result<Option<S::Value>> {
        let new = change(self.get(key)?);
        self.put(key, new.as_ref())?;
        Ok(new)
    }

    /// All rows, by serialised key.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`CustomRows::put`].
    pub fn all(&mut self) -> Result<Entries<(S::Key, S::Value)>> {
        self.range(..)
    }

    /// The rows of a range of keys, by serialised key: `range(a..=c)`, `range(a..)`.
    ///
    /// # Errors
    /// `Record`, `Corrupted` or `Fatal`, as for [`CustomRows::put`].
    pub fn range(&mut self, keys: impl RangeBounds<S::Key>) -> Result<Entries<(S::Key, S::Value)>> {
        self.state.range(&keys, Order::Forward).map(Entries::of)
    }
}
