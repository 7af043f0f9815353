//! The `try_` forms: what a closure returns as `Err` goes to the error policy of the node, else of the application.

use std::fmt::Display;
use std::sync::Arc;

use super::KStream;
use crate::data::Item;
use crate::dsl::handle::Effect;
use crate::dsl::named::Named;
use crate::error::Error;
use crate::operators::{Errors, ForEach, Successes};
use crate::processor::NodeSupplier;

impl<K: Item, V: Item> KStream<K, V> {
    /// [`filter`](KStream::filter) with a predicate that can fail.
    pub fn try_filter<E: Display>(
        &self,
        predicate: impl Fn(&K, &V) -> Result<bool, E> + Send + Sync + 'static,
    ) -> Self {
        self.filtering(
            "try_filter",
            move |key: &K, value: &V| predicate(key, value).map_err(Error::record),
            true,
        )
    }

    /// [`map`](KStream::map) with a mapper that can fail.
    pub fn try_map<K2: Item, V2: Item, E: Display>(
        &self,
        mapper: impl Fn(K, V) -> Result<(K2, V2), E> + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        self.mapping("try_map", move |key, value| mapper(key, value).map_err(Error::record))
    }

    /// [`map_values`](KStream::map_values) with a mapper that can fail.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let numbers = builder.stream("in").try_map_values(|text| text.parse::<i64>());
    /// numbers.on_error(dead_letter("not-numbers")).to("numbers");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "seven");
    /// assert_eq!(driver.output("not-numbers").read_key_value(), Some((None, "seven".to_string())));
    /// assert!(driver.output("numbers").is_empty());
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn try_map_values<V2: Item, E: Display>(
        &self,
        mapper: impl Fn(V) -> Result<V2, E> + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        self.mapping_values("try_map_values", move |_: &K, value| mapper(value).map_err(Error::record))
    }

    /// [`flat_map_values`](KStream::flat_map_values) with a mapper that can fail.
    pub fn try_flat_map_values<I, E: Display>(
        &self,
        mapper: impl Fn(V) -> Result<I, E> + Send + Sync + 'static,
    ) -> KStream<K, I::Item>
    where
        I: IntoIterator<Item: Item> + 'static,
    {
        self.flat_mapping_values("try_flat_map_values", move |_: &K, value| {
            mapper(value).map_err(Error::record)
        })
    }

    /// [`for_each`](KStream::for_each) with a closure that can fail.
    pub fn try_for_each<E: Display>(
        &self,
        act: impl Fn(&K, &V) -> Result<(), E> + Send + Sync + 'static,
    ) -> Named {
        let act = Arc::new(move |key: &K, value: &V| act(key, value).map_err(Error::record));
        let supplier = NodeSupplier::of(move |_| Ok(ForEach::new(Arc::clone(&act))));
        Named { handle: self.handle.then("try_for_each", "KSTREAM-FOREACH-", Effect::KEEPS, supplier) }
    }
}

impl<K: Item, V: Item, E: Item> KStream<K, Result<V, E>> {
    /// What is `Ok`.
    pub fn ok(&self) -> KStream<K, V> {
        let supplier = NodeSupplier::of(|_| Ok(Successes::<K, V, E>::new()));
        KStream::of(self.handle.then("ok", "KSTREAM-FILTER-", Effect::CHANGES_VALUE, supplier))
    }

    /// What is `Err`.
    pub fn err(&self) -> KStream<K, E> {
        let supplier = NodeSupplier::of(|_| Ok(Errors::<K, V, E>::new()));
        KStream::of(self.handle.then("err", "KSTREAM-FILTER-", Effect::CHANGES_VALUE, supplier))
    }
}
