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
    /// If the store cannot be read; so have all its methods.
    pub fn view(&self) -> Result<&S> {
        self.state.view()
    }

    /// The value of a key.
    pub fn get(&mut self, key: &S::Key) -> Result<Option<S::Value>> {
        Ok(self.state.get(key)?.map(|(value, _)| value))
    }

    /// Writes a value: `put(&key, &value)`. `None` deletes.
    pub fn put<'v>(&mut self, key: &S::Key, value: impl Into<Option<&'v S::Value>>) -> Result<()>
    where
        S::Value: 'v,
    {
        let timestamp = self.write.timestamp;
        self.state.put(key, value.into().map(|value| (value, timestamp)), &mut self.write)
    }

    /// Deletes a key and gives what was there.
    pub fn delete(&mut self, key: &S::Key) -> Result<Option<S::Value>> {
        let old = self.get(key)?;
        self.put(key, None)?;
        Ok(old)
    }

    /// Shows the value of a key to `change`, writes what it gives, `None` deletes, and gives that back.
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
    pub fn all(&mut self) -> Result<Entries<(S::Key, S::Value)>> {
        self.range(..)
    }

    /// The rows of a range of keys, by serialised key: `range(a..=c)`, `range(a..)`.
    pub fn range(&mut self, keys: impl RangeBounds<S::Key>) -> Result<Entries<(S::Key, S::Value)>> {
        self.state.range(&keys, Order::Forward).map(Entries::of)
    }
}
