//! The global stores of an instance, by name: every task opens its own view of the shared rows.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{GlobalRows, StoreInit, StoreSupplier, TaskStore};
use crate::error::{Error, Result};

/// The global stores.
#[derive(Clone, Debug, Default)]
pub(crate) struct Globals(Arc<Stores>);

#[derive(Debug, Default)]
struct Stores {
    all: Vec<(StoreInit, StoreSupplier)>,
    /// Topics and the stores that they feed.
    feeds: Vec<(String, String)>,
    partitions: BTreeMap<String, i32>,
}

impl Globals {
    /// Each store brings its rows in [`StoreInit::shared`]; `feeds` says which topics feed which stores, `partitions` how
    /// many partitions these topics have.
    pub(crate) fn new(
        all: Vec<(StoreInit, StoreSupplier)>,
        feeds: Vec<(String, String)>,
        partitions: BTreeMap<String, i32>,
    ) -> Self {
        Globals(Arc::new(Stores { all, feeds, partitions }))
    }

    /// Whether a topic feeds the store of this name.
    pub(crate) fn feeds(&self, topic: &str, store: &str) -> bool {
        self.0.feeds.iter().any(|(feeding, fed)| feeding == topic && fed == store)
    }

    /// How many partitions of a topic feed a global store: all of them.
    pub(crate) fn partitions(&self, topic: &str) -> i32 {
        self.0.partitions.get(topic).copied().unwrap_or(1)
    }

    /// A view of the store of this name.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn open(&self, name: &str) -> Result<Box<dyn TaskStore>> {
        match self.0.all.iter().find(|(init, _)| &*init.name == name) {
            Some((init, supplier)) => supplier.make(init),
            None => Err(Error::invalid(format_args!("the topology has no global store named `{name}`"))),
        }
    }

    /// A typed view of the store of this name, for a node that only reads it.
    ///
    /// # Errors
    /// If there is none, or it is of another type.
    pub(crate) fn view<S: TaskStore>(&self, name: &str) -> Result<Box<S>> {
        let store: Box<dyn Any> = self.open(name)?;
        store.downcast().map_err(|_| {
            let wanted = std::any::type_name::<S>();
            Error::fatal(format_args!("the global store `{name}` is used as `{wanted}`, which it is not"))
        })
    }

    /// The rows of all stores, by name.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<GlobalRows>)> {
        self.0.all.iter().filter_map(|(init, _)| Some((&init.name, init.shared.as_ref()?)))
    }
}
