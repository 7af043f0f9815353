//! Where `to` writes: a name, a topic, or a topic and how it is written.

use std::sync::Arc;

use super::{Fits, Partitioner, Produced, Topic, Writer};
use crate::data::Nullable;
use crate::policy::OnError;
use crate::serdes::Serde;

/// Where a stream of keys `K` and values `V` may be written.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot take a stream of keys `{K}` and values `{V}`",
    note = "pass a name or a `Topic` of these types; keys and values are owned types with a default serde (`String`, not `&str`)"
)]
pub trait Sink<K, V> {
    /// What the sink node needs.
    #[doc(hidden)]
    fn into_sink(self) -> SinkSpec<K, V>;
}

/// What a sink node needs to know.
#[doc(hidden)]
pub struct SinkSpec<K, V> {
    pub(crate) topic: String,
    pub(crate) name: Option<String>,
    pub(crate) key: WriterOf<K>,
    pub(crate) value: WriterOf<V>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
    pub(crate) on_error: Option<OnError>,
}

/// Which serde a sink writes with.
pub(crate) enum WriterOf<T> {
    /// The one that the stream inherited from its source; else the default of its type.
    Inherited(fn() -> Arc<dyn Serde<T>>),
    /// The topic's.
    Own(Arc<dyn Writer<T>>),
}

fn by_name<K: Nullable, V: Nullable>(topic: String) -> SinkSpec<K, V> {
    SinkSpec {
        topic,
        name: None,
        key: WriterOf::Inherited(K::default_serde),
        value: WriterOf::Inherited(V::default_serde),
        partitioner: None,
        on_error: None,
    }
}

impl<K: Nullable, V: Nullable> Sink<K, V> for &str {
    fn into_sink(self) -> SinkSpec<K, V> {
        by_name(self.to_owned())
    }
}

impl<K: Nullable, V: Nullable> Sink<K, V> for String {
    fn into_sink(self) -> SinkSpec<K, V> {
        by_name(self)
    }
}

impl<K: Fits<TK>, V: Fits<TV>, TK: 'static, TV: 'static> Sink<K, V> for Topic<TK, TV> {
    fn into_sink(self) -> SinkSpec<K, V> {
        self.produced().into_sink()
    }
}

impl<K: Fits<TK>, V: Fits<TV>, TK: 'static, TV: 'static> Sink<K, V> for &Topic<TK, TV> {
    fn into_sink(self) -> SinkSpec<K, V> {
        self.clone().produced().into_sink()
    }
}

impl<K: Fits<TK>, V: Fits<TV>, TK: 'static, TV: 'static> Sink<K, V> for Produced<TK, TV> {
    fn into_sink(self) -> SinkSpec<K, V> {
        let partitioner = self.partitioner.map(|pick| -> Partitioner<K, V> {
            Arc::new(move |key: &K, value: &V, partitions| {
                key.with_fit(|key| value.with_fit(|value| pick(key?, value?, partitions)))
            })
        });
        SinkSpec {
            key: WriterOf::Own(K::writer(self.topic.key_serde())),
            value: WriterOf::Own(V::writer(self.topic.value_serde())),
            topic: self.topic.name.into_owned(),
            name: self.name,
            partitioner,
            on_error: self.on_error,
        }
    }
}
