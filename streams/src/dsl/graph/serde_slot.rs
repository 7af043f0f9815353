//! A serde that a stream inherits from its source while the type is unchanged, kept without its type.

use std::any::Any;
use std::sync::Arc;

use crate::data::Nullable;
use crate::serdes::{self, Serde};

/// The serde of a stream's keys or values, if it has inherited one.
#[derive(Clone, Default)]
pub(crate) struct SerdeSlot(Option<Arc<dyn Any + Send + Sync>>);

impl SerdeSlot {
    /// Nothing is inherited: the default of the type counts.
    pub(crate) fn none() -> Self {
        SerdeSlot(None)
    }

    pub(crate) fn of<T: 'static>(serde: Arc<dyn Serde<T>>) -> Self {
        SerdeSlot(Some(Arc::new(serde)))
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<Arc<dyn Serde<T>>> {
        self.0.as_ref()?.downcast_ref::<Arc<dyn Serde<T>>>().cloned()
    }

    /// The inherited serde, or the default of the type.
    pub(crate) fn or_default<T: Nullable>(&self) -> Arc<dyn Serde<T>> {
        self.get().unwrap_or_else(T::default_serde)
    }

    /// From `Option<T>` to `T`.
    pub(crate) fn narrowed<T: Clone + 'static>(&self) -> Self {
        self.get::<Option<T>>().map_or_else(SerdeSlot::none, |serde| SerdeSlot::of(serdes::present(serde)))
    }

    /// From `T` to `Option<T>`.
    pub(crate) fn widened<T: 'static>(&self) -> Self {
        let widen = |serde| -> Arc<dyn Serde<Option<T>>> { Arc::new(serdes::nullable(serde)) };
        self.get::<T>().map_or_else(SerdeSlot::none, |serde| SerdeSlot::of(widen(serde)))
    }
}
