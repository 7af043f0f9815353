//! Topics as typed constants: a name, and the types and serdes of what it holds.
//!
//! ```
//! use anabranch::prelude::*;
//!
//! const VISITS: Topic<Option<String>, i64> = Topic::new("visits"); // keys may be null
//! ```
//!
//! Reading order: [`Topic`] here, how it is read (`consumed`, `timestamps`), how it is written (`produced`, `fits`, `sink`).

mod consumed;
mod fits;
mod produced;
mod sink;
mod timestamps;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub use anabranch_client::AutoOffsetReset;
pub use consumed::{Consumed, IntoTopic};
pub use fits::Fits;
pub use produced::Produced;
pub use sink::Sink;
pub use timestamps::TimestampExtractor;

pub(crate) use fits::Writer;
pub(crate) use produced::Partitioner;
pub(crate) use sink::{SinkSpec, WriterOf};
pub(crate) use timestamps::{Clocks, Timestamps};

use crate::data::Nullable;
use crate::serdes::Serde;

/// A topic's name and the types of its keys and values.
///
/// Where a type has no `Option`, a null in the topic is an error of that record and never reaches your code.
pub struct Topic<K, V> {
    pub(crate) name: Cow<'static, str>,
    key: SerdeOf<K>,
    value: SerdeOf<V>,
}

/// A serde that a constant can hold: made when it is needed, or shared.
enum SerdeOf<T> {
    Make(fn() -> Arc<dyn Serde<T>>),
    Shared(Arc<dyn Serde<T>>),
}

impl<T> SerdeOf<T> {
    fn get(&self) -> Arc<dyn Serde<T>> {
        match self {
            SerdeOf::Make(make) => make(),
            SerdeOf::Shared(serde) => Arc::clone(serde),
        }
    }
}

impl<T> Clone for SerdeOf<T> {
    fn clone(&self) -> Self {
        match self {
            SerdeOf::Make(make) => SerdeOf::Make(*make),
            SerdeOf::Shared(serde) => SerdeOf::Shared(Arc::clone(serde)),
        }
    }
}

fn make<T: 'static, S: Serde<T> + Default>() -> Arc<dyn Serde<T>> {
    Arc::new(S::default())
}

impl<K: Nullable, V: Nullable> Topic<K, V> {
    /// A topic of types with a default serde, as a constant.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Topic {
            name: Cow::Borrowed(name),
            key: SerdeOf::Make(K::default_serde),
            value: SerdeOf::Make(V::default_serde),
        }
    }

    /// A topic whose name is known at run time only.
    pub fn named(name: impl Into<String>) -> Self {
        Topic { name: Cow::Owned(name.into()), ..Topic::new("") }
    }
}

impl<K: 'static, V: 'static> Topic<K, V> {
    /// A topic with serdes that hold nothing, as a constant: `Topic::with("events", text(), json())`.
    #[must_use]
    pub const fn with<KS, VS>(name: &'static str, _key: KS, _value: VS) -> Self
    where
        KS: Serde<K> + Default + Copy,
        VS: Serde<V> + Default + Copy,
    {
        Topic {
            name: Cow::Borrowed(name),
            key: SerdeOf::Make(make::<K, KS>),
            value: SerdeOf::Make(make::<V, VS>),
        }
    }

    /// A topic with serdes that hold something: the size of windows, a schema registry.
    pub fn with_serdes(name: impl Into<String>, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Topic {
            name: Cow::Owned(name.into()),
            key: SerdeOf::Shared(Arc::new(key)),
            value: SerdeOf::Shared(Arc::new(value)),
        }
    }
}

impl<K, V> Topic<K, V> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is read: times, where to start, a name for the source node.
    #[must_use]
    pub fn consumed(self) -> Consumed<K, V> {
        Consumed::of(self)
    }

    /// How it is written: partitions, a name for the sink node.
    #[must_use]
    pub fn produced(self) -> Produced<K, V> {
        Produced::of(self)
    }

    pub(crate) fn key_serde(&self) -> Arc<dyn Serde<K>> {
        self.key.get()
    }

    pub(crate) fn value_serde(&self) -> Arc<dyn Serde<V>> {
        self.value.get()
    }
}

impl<K, V> Clone for Topic<K, V> {
    fn clone(&self) -> Self {
        Topic { name: self.name.clone(), key: self.key.clone(), value: self.value.clone() }
    }
}

impl<K, V> fmt::Debug for Topic<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = (std::any::type_name::<K>(), std::any::type_name::<V>());
        write!(f, "Topic<{key}, {value}>({:?})", self.name)
    }
}
