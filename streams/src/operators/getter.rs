//! Reading a table from another node: a join looks up the row of the other side.
//!
//! A table that is kept in a store is read there. One that is not, a filter or a mapping, is read through the table it
//! is made of: its closures are applied to the row that is found.

use std::sync::Arc;

use crate::data::{Data, Item};
use crate::error::Result;
use crate::processor::{Context, NodeInit};
use crate::state::{KeyValueState, SessionState, VersionedState, WindowState};
use crate::window::{SessionWindow, Window, Windowed};

/// Reads rows of a table.
pub(crate) trait TableGetter<K, V>: Send {
    /// The newest value of a key, with its time. A versioned table is asked for the value at a time.
    fn get(&mut self, key: &K, as_of: Option<i64>, context: &mut Context<'_>) -> Result<Option<(V, i64)>>;
}

/// Reads a key-value store.
pub(crate) struct StoreGetter(pub(crate) usize);

impl<K: Data, V: Data> TableGetter<K, V> for StoreGetter {
    fn get(&mut self, key: &K, _: Option<i64>, context: &mut Context<'_>) -> Result<Option<(V, i64)>> {
        context.state.stores.typed::<KeyValueState<K, V>>(self.0)?.get(key)
    }
}

/// Reads a versioned store, as of a time if one is given.
pub(crate) struct VersionedGetter(pub(crate) usize);

impl<K: Data, V: Data> TableGetter<K, V> for VersionedGetter {
    fn get(&mut self, key: &K, as_of: Option<i64>, context: &mut Context<'_>) -> Result<Option<(V, i64)>> {
        let store = context.state.stores.typed::<VersionedState<K, V>>(self.0)?;
        let version = match as_of {
            Some(timestamp) => store.get_as_of(key, timestamp)?,
            None => store.get(key)?,
        };
        Ok(version.map(|version| (version.value, version.valid_from)))
    }
}

/// Reads a window store.
pub(crate) struct WindowGetter(pub(crate) usize);

impl<K: Data, V: Data, W: Window> TableGetter<Windowed<K, W>, V> for WindowGetter {
    fn get(
        &mut self,
        key: &Windowed<K, W>,
        _: Option<i64>,
        context: &mut Context<'_>,
    ) -> Result<Option<(V, i64)>> {
        context.state.stores.typed::<WindowState<K, V>>(self.0)?.fetch(&key.key, key.window.start())
    }
}

/// Reads a session store.
pub(crate) struct SessionGetter(pub(crate) usize);

impl<K: Data, V: Data> TableGetter<Windowed<K, SessionWindow>, V> for SessionGetter {
    fn get(
        &mut self,
        key: &Windowed<K, SessionWindow>,
        _: Option<i64>,
        context: &mut Context<'_>,
    ) -> Result<Option<(V, i64)>> {
        let value = context.state.stores.typed::<SessionState<K, V>>(self.0)?.fetch(&key.key, key.window)?;
        Ok(value.map(|value| (value, key.window.end_ms)))
    }
}

/// Reads a filter or a mapping of another table.
pub(crate) struct RowsGetter<K, V, F> {
    pub(crate) inner: Box<dyn TableGetter<K, V>>,
    pub(crate) mapper: Arc<F>,
}

impl<K: Item, V: Item, V2: Item, F> TableGetter<K, V2> for RowsGetter<K, V, F>
where
    F: Fn(&K, V) -> Result<Option<V2>> + Send + Sync,
{
    fn get(&mut self, key: &K, as_of: Option<i64>, context: &mut Context<'_>) -> Result<Option<(V2, i64)>> {
        match self.inner.get(key, as_of, context)? {
            Some((value, timestamp)) => Ok((self.mapper)(key, value)?.map(|value| (value, timestamp))),
            None => Ok(None),
        }
    }
}

/// Reads a join of two tables that is kept nowhere.
pub(crate) struct JoinGetter<K, V1, V2, F> {
    pub(crate) left: Box<dyn TableGetter<K, V1>>,
    pub(crate) right: Box<dyn TableGetter<K, V2>>,
    /// Whether there is a row without a left, and without a right value.
    pub(crate) outer: (bool, bool),
    pub(crate) joiner: Arc<F>,
}

impl<K: Item, V1: Item, V2: Item, R: Item, F> TableGetter<K, R> for JoinGetter<K, V1, V2, F>
where
    F: Fn(&K, Option<&V1>, Option<&V2>) -> Result<Option<R>> + Send + Sync,
{
    fn get(&mut self, key: &K, as_of: Option<i64>, context: &mut Context<'_>) -> Result<Option<(R, i64)>> {
        let left = self.left.get(key, as_of, context)?;
        let right = self.right.get(key, as_of, context)?;
        let (without_left, without_right) = self.outer;
        let missing = match (&left, &right) {
            (None, None) => true,
            (None, Some(_)) => !without_left,
            (Some(_), None) => !without_right,
            (Some(_), Some(_)) => false,
        };
        if missing {
            return Ok(None);
        }
        let timestamp = left.as_ref().map_or(-1, |(_, at)| *at).max(right.as_ref().map_or(-1, |(_, at)| *at));
        let joined = (self.joiner)(
            key,
            left.as_ref().map(|(value, _)| value),
            right.as_ref().map(|(value, _)| value),
        )?;
        Ok(joined.map(|value| (value, timestamp)))
    }
}

/// Makes a getter for each task.
pub(crate) struct TableView<K, V> {
    /// The stores it reads.
    pub(crate) stores: Vec<String>,
    make: Arc<MakeGetter<K, V>>,
}

type MakeGetter<K, V> = dyn Fn(&NodeInit<'_>) -> Result<Box<dyn TableGetter<K, V>>> + Send + Sync;

impl<K, V> TableView<K, V> {
    /// A view of these stores, to which the node that reads is to be connected.
    pub(crate) fn new(
        stores: Vec<String>,
        make: impl Fn(&NodeInit<'_>) -> Result<Box<dyn TableGetter<K, V>>> + Send + Sync + 'static,
    ) -> Self {
        TableView { stores, make: Arc::new(make) }
    }

    /// A view of one store.
    pub(crate) fn of_store<G: TableGetter<K, V> + 'static>(store: &str, getter: fn(usize) -> G) -> Self {
        let name = store.to_owned();
        TableView::new(vec![name.clone()], move |init| Ok(Box::new(getter(init.store(&name)?))))
    }

    /// A getter for a node that is being made.
    pub(crate) fn getter(&self, init: &NodeInit<'_>) -> Result<Box<dyn TableGetter<K, V>>> {
        (self.make)(init)
    }
}

impl<K, V> Clone for TableView<K, V> {
    fn clone(&self) -> Self {
        TableView { stores: self.stores.clone(), make: Arc::clone(&self.make) }
    }
}
