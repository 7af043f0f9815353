//! What a processor's maker asks for, and the references it is given.
//!
//! The same maker runs when the topology is built and when a task is; both times it only asks. A reference is the index
//! of the request in the maker's list: the node finds store, child or punctuation there.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

use crate::data::Data;
use crate::error::{Error, Result};
use crate::processor::{EdgeType, NodeInit, PunctuationType, Schedule};
use crate::state::{DeclaredKind, KeyValue, ReadableStore, Store, StoreDeclaration};
use crate::time::{Duration, as_ms};

/// A store of the processor whose maker has asked for it.
pub struct StoreRef<S> {
    pub(super) place: u32,
    kind: PhantomData<fn() -> S>,
}

impl<S> Clone for StoreRef<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for StoreRef<S> {}

impl<S> fmt::Debug for StoreRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreRef({})", self.place)
    }
}

/// A global store that a processor reads whose maker has asked for it.
pub struct GlobalStoreRef<K, V> {
    pub(super) place: u32,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for GlobalStoreRef<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for GlobalStoreRef<K, V> {}

impl<K, V> fmt::Debug for GlobalStoreRef<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GlobalStoreRef({})", self.place)
    }
}

/// A node that follows the processor whose maker has asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildRef(pub(super) u32);

/// A punctuation, to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancellable(pub(super) u32);

/// All that a maker has asked for.
#[derive(Default)]
pub(crate) struct Needs {
    pub(crate) stores: Vec<StoreNeed>,
    /// Global stores to be read.
    pub(crate) globals: Vec<StoreNeed>,
    /// Names of children.
    pub(crate) children: Vec<String>,
    pub(crate) schedules: Vec<Schedule>,
    pub(crate) faults: Vec<String>,
}

/// A store that a maker has asked for.
pub(crate) struct StoreNeed {
    pub(crate) declaration: StoreDeclaration,
    pub(crate) types: EdgeType,
    /// Whether a store of a task is what was asked for.
    pub(crate) is_kind_of: fn(&dyn Any) -> bool,
}

/// Where a task has what was asked for, by the place of the wish.
#[derive(Debug)]
pub(super) struct Places {
    /// Indexes of stores in the task.
    pub(super) stores: Vec<usize>,
    /// Indexes of its views of global stores.
    pub(super) globals: Vec<usize>,
}

impl StoreNeed {
    fn of<S: ReadableStore>(store: &Store<S>) -> Self {
        StoreNeed {
            declaration: S::declare(store),
            types: EdgeType::of::<S::Key, S::Value>(),
            is_kind_of: S::is_kind_of,
        }
    }

    pub(crate) fn is_key_value(&self) -> bool {
        matches!(self.declaration.kind, DeclaredKind::KeyValue { .. })
    }
}

impl Needs {
    /// Where a node that is being made finds its stores.
    ///
    /// # Errors
    /// If a store is not connected to it, or of another kind.
    pub(super) fn find_stores(&self, init: &NodeInit<'_>) -> Result<Places> {
        let find = |need: &StoreNeed| {
            let name = &*need.declaration.settings.name;
            let index = init.store(name)?;
            if (need.is_kind_of)(init.stores.as_any(index)) {
                return Ok(index);
            }
            let (node, types) = (init.name, need.types);
            Err(Error::invalid(format_args!(
                "node `{node}` uses the store `{name}` as one of {types}, which it is not"
            )))
        };
        Ok(Places {
            stores: self.stores.iter().map(find).collect::<Result<_>>()?,
            globals: self.globals.iter().map(find).collect::<Result<_>>()?,
        })
    }

    pub(super) fn store<S: ReadableStore>(&mut self, store: &Store<S>) -> StoreRef<S> {
        if store.name().is_empty() {
            self.faults.push("asks for a store without a name: give it one".to_owned());
        }
        self.stores.push(StoreNeed::of(store));
        StoreRef { place: self.stores.len() as u32 - 1, kind: PhantomData }
    }

    pub(super) fn global_store<K: Data, V: Data>(
        &mut self,
        store: &Store<KeyValue<K, V>>,
    ) -> GlobalStoreRef<K, V> {
        self.globals.push(StoreNeed::of(store));
        GlobalStoreRef { place: self.globals.len() as u32 - 1, types: PhantomData }
    }

    pub(super) fn child(&mut self, name: &str) -> ChildRef {
        self.children.push(name.to_owned());
        ChildRef(self.children.len() as u32 - 1)
    }

    pub(super) fn schedule(&mut self, every: Duration, clock: PunctuationType) -> Cancellable {
        let every_ms = as_ms(every);
        if every_ms < 1 {
            self.faults.push("asks for a punctuation more than once a millisecond".to_owned());
        }
        self.schedules.push(Schedule { clock, every_ms: every_ms.max(1) });
        Cancellable(self.schedules.len() as u32 - 1)
    }
}
