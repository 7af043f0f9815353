//! Stores as typed constants: one type for what Kafka Streams calls `Materialized`, `StoreBuilder`, `Stores` and
//! `QueryableStoreType`.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::{KeyValue, StoreKind, Versioned, Windows};
use crate::serdes::Serde;
use crate::time::as_ms;

/// What keeps a store's rows on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreEngine {
    /// An LSM tree: what is written survives the end of the process at once, and a power cut after a while.
    #[default]
    Fjall,
    /// A B+ tree over a log (feature `sled`), slower, and its rows in memory take much more room. What was written in the
    /// last half second is lost with the process; like all that is missing it comes back from the changelog.
    #[cfg(feature = "sled")]
    Sled,
}

/// A store: its name, its kind with the types in it, and how it is kept (Kafka's `Materialized`, and its `StoreBuilder`).
///
/// ```
/// use anabranch::prelude::*;
///
/// const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
/// ```
///
/// The same constant keeps an operator's result (`count_with(COUNTS)`), reads it in a test, and asks the running
/// application. A store that you did not name cannot be queried.
pub struct Store<S> {
    pub(crate) settings: StoreSettings,
    kind: PhantomData<fn() -> S>,
}

/// What a store's declaration says, without its types.
#[derive(Clone)]
pub(crate) struct StoreSettings {
    /// Empty: none was given.
    pub(crate) name: Cow<'static, str>,
    pub(crate) in_memory: bool,
    pub(crate) engine: StoreEngine,
    pub(crate) timestamped: bool,
    pub(crate) logging: bool,
    pub(crate) caching: Option<bool>,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) history_ms: Option<i64>,
    pub(crate) window_ms: Option<i64>,
    pub(crate) topic_configs: Vec<(String, String)>,
    /// `Arc<dyn Serde<S::Key>>`.
    key_serde: Option<Arc<dyn Any + Send + Sync>>,
    /// `Arc<dyn Serde<S::Value>>`.
    value_serde: Option<Arc<dyn Any + Send + Sync>>,
}

impl StoreSettings {
    pub(crate) const fn unnamed() -> Self {
        StoreSettings::of(Cow::Borrowed(""))
    }

    const fn of(name: Cow<'static, str>) -> Self {
        StoreSettings {
            name,
            in_memory: false,
            engine: StoreEngine::Fjall,
            timestamped: false,
            logging: true,
            caching: None,
            retention_ms: None,
            history_ms: None,
            window_ms: None,
            topic_configs: Vec::new(),
            key_serde: None,
            value_serde: None,
        }
    }

    pub(crate) fn given_name(&self) -> Option<&str> {
        if self.name.is_empty() { None } else { Some(&self.name) }
    }

    pub(crate) fn key_serde<K: 'static>(&self) -> Option<Arc<dyn Serde<K>>> {
        self.key_serde.as_ref()?.downcast_ref::<Arc<dyn Serde<K>>>().cloned()
    }

    pub(crate) fn value_serde<V: 'static>(&self) -> Option<Arc<dyn Serde<V>>> {
        self.value_serde.as_ref()?.downcast_ref::<Arc<dyn Serde<V>>>().cloned()
    }
}

impl<S> Store<S> {
    /// A store of this name.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Store { settings: StoreSettings::of(Cow::Borrowed(name)), kind: PhantomData }
    }

    /// A store whose name is generated, for settings alone: `Store::unnamed().in_memory()`.
    #[must_use]
    pub const fn unnamed() -> Self {
        Store::named("")
    }

    /// A store whose name is known at run time only.
    #[must_use]
    pub fn with_name(name: impl Into<String>) -> Self {
        Store { settings: StoreSettings::of(Cow::Owned(name.into())), kind: PhantomData }
    }

    /// Its name; empty if none was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Keeps it in memory only; its changelog brings it back.
    #[must_use]
    pub const fn in_memory(mut self) -> Self {
        self.settings.in_memory = true;
        self
    }

    /// Keeps it on disk too: the default.
    #[must_use]
    pub const fn persistent(mut self) -> Self {
        self.settings.in_memory = false;
        self
    }

    /// Keeps it on disk with this engine. A store that was kept with another one before comes back from its changelog.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts").persistent_in(StoreEngine::Fjall);
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream(Topic::<String, String>::new("words")).group_by_key().count_with(COUNTS);
    /// assert!(builder.build().is_ok());
    /// ```
    #[must_use]
    pub const fn persistent_in(mut self, engine: StoreEngine) -> Self {
        self.settings.in_memory = false;
        self.settings.engine = engine;
        self
    }

    /// Keeps a time with each value of a processor's own store. Stores made by operators always do.
    #[must_use]
    pub const fn timestamped(mut self) -> Self {
        self.settings.timestamped = true;
        self
    }

    /// How long rows of windows and sessions are kept.
    #[must_use]
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.settings.retention_ms = Some(as_ms(retention));
        self
    }

    /// Whether updates are gathered and passed on when the worker runs out of input (the default for results of
    /// operators), or each at once.
    #[must_use]
    pub const fn caching(mut self, on: bool) -> Self {
        self.settings.caching = Some(on);
        self
    }

    /// Whether changes are written to a changelog topic, which brings the store back after a crash or a move.
    #[must_use]
    pub const fn logging(mut self, on: bool) -> Self {
        self.settings.logging = on;
        self
    }

    /// Sets a config of its changelog topic.
    #[must_use]
    pub fn topic_config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.topic_configs.push((key.into(), value.into()));
        self
    }
}

impl<S: StoreKind> Store<S> {
    /// Keeps keys with this serde.
    #[must_use]
    pub fn key_serde(mut self, serde: impl Serde<S::Key>) -> Self {
        let serde: Arc<dyn Serde<S::Key>> = Arc::new(serde);
        self.settings.key_serde = Some(Arc::new(serde));
        self
    }

    /// Keeps values with this serde.
    #[must_use]
    pub fn value_serde(mut self, serde: impl Serde<S::Value>) -> Self {
        let serde: Arc<dyn Serde<S::Value>> = Arc::new(serde);
        self.settings.value_serde = Some(Arc::new(serde));
        self
    }
}

impl<K, V> Store<Versioned<K, V>> {
    /// How far back values can be read.
    #[must_use]
    pub const fn history(mut self, history: Duration) -> Self {
        self.settings.history_ms = Some(as_ms(history));
        self
    }
}

impl<K, V> Store<Windows<K, V>> {
    /// How long the windows of a processor's own store are.
    #[must_use]
    pub const fn window(mut self, size: Duration) -> Self {
        self.settings.window_ms = Some(as_ms(size));
        self
    }
}

impl<S> Clone for Store<S> {
    fn clone(&self) -> Self {
        Store { settings: self.settings.clone(), kind: PhantomData }
    }
}

impl<S> fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store<{}>({:?})", std::any::type_name::<S>(), self.settings.name)
    }
}

/// Where a result of kind `S` may be kept: a name, or a `Store` of that kind.
#[diagnostic::on_unimplemented(
    message = "this result cannot be kept in `{Self}`",
    label = "not a `Store<{S}>`",
    note = "pass a name, or a store of the result's types: `const X: Store<{S}> = Store::named(\"x\");`"
)]
pub trait StoreFor<S> {
    /// The store.
    #[doc(hidden)]
    fn into_store(self) -> Store<S>;
}

impl<S> StoreFor<S> for &str {
    fn into_store(self) -> Store<S> {
        Store::with_name(self)
    }
}

impl<S> StoreFor<S> for String {
    fn into_store(self) -> Store<S> {
        Store::with_name(self)
    }
}

impl<S> StoreFor<S> for Store<S> {
    fn into_store(self) -> Store<S> {
        self
    }
}

/// What a table may be kept in: a name, or a key-value or versioned store.
#[diagnostic::on_unimplemented(
    message = "a table of `{K}` to `{V}` cannot be kept in `{Self}`",
    note = "use a name, or a `Store` of `KeyValue<{K}, {V}>` or `Versioned<{K}, {V}>`"
)]
pub trait TableStore<K, V> {
    /// The settings.
    #[doc(hidden)]
    fn into_table_store(self) -> TableStoreSettings;
}

/// Settings of a table's store.
#[doc(hidden)]
pub struct TableStoreSettings {
    pub(crate) settings: StoreSettings,
    /// It keeps values over time.
    pub(crate) versioned: bool,
}

impl TableStoreSettings {
    pub(crate) const fn unnamed() -> Self {
        TableStoreSettings { settings: StoreSettings::unnamed(), versioned: false }
    }
}

impl<K, V> TableStore<K, V> for &str {
    fn into_table_store(self) -> TableStoreSettings {
        TableStore::<K, V>::into_table_store(self.to_owned())
    }
}

impl<K, V> TableStore<K, V> for String {
    fn into_table_store(self) -> TableStoreSettings {
        TableStoreSettings { settings: StoreSettings::of(Cow::Owned(self)), versioned: false }
    }
}

impl<K, V> TableStore<K, V> for Store<KeyValue<K, V>> {
    fn into_table_store(self) -> TableStoreSettings {
        TableStoreSettings { settings: self.settings, versioned: false }
    }
}

impl<K, V> TableStore<K, V> for Store<Versioned<K, V>> {
    fn into_table_store(self) -> TableStoreSettings {
        TableStoreSettings { settings: self.settings, versioned: true }
    }
}
