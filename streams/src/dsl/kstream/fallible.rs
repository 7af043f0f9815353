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
    /// [`filter`](KStream::filter) with a predicate that can fail: a record that fails goes where the error policy says.
    ///
    /// ```text
    /// in           (-, 7) ── (-, x) ── (-, -7) ──▶
    /// out          (-, 7) ───────────────────────▶
    /// dead letter  ───────── (-, x) ─────────────▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("in").try_filter(|_, text| text.parse::<i64>().map(|n| n > 0)).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// for text in ["7", "x", "-7"] {
    ///     driver.input("in").pipe(None, text);
    /// }
    /// assert_eq!(driver.output("out").read_key_values(), [(None, "7".to_string())]);
    /// assert_eq!(driver.output("app-dead-letter").read_key_values(), [(None, "x".to_string())]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
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

    /// [`map`](KStream::map) with a mapper that can fail: a record that fails goes where the error policy says.
    ///
    /// ```text
    /// in           (-, a=1) ── (-, x) ──▶
    /// out          (a, 1) ──────────────▶
    /// dead letter  ─────────── (-, x) ──▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let pairs = builder.stream("in").try_map(|_, text| {
    ///     let (key, value) = text.split_once('=').ok_or("no `=`")?;
    ///     Ok::<_, &str>((key.to_string(), value.to_string()))
    /// });
    /// pairs.on_error(skip()).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "a=1");
    /// driver.input("in").pipe(None, "x");
    /// let out = driver.output(Topic::<String, String>::new("out")).read_key_values();
    /// assert_eq!(out, [("a".to_string(), "1".to_string())]);
    /// assert_eq!(driver.dropped_records(), 1);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn try_map<K2: Item, V2: Item, E: Display>(
        &self,
        mapper: impl Fn(K, V) -> Result<(K2, V2), E> + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        self.mapping("try_map", move |key, value| mapper(key, value).map_err(Error::record))
    }

    /// [`map_values`](KStream::map_values) with a mapper that can fail: a record that fails goes where the error policy says. A
    /// dead letter is the source record as it was read, with Kafka's `__streams.errors.*` headers.
    ///
    /// ```text
    /// in           (-, 7) ── (-, seven) ──▶
    /// numbers      (-, 7) ────────────────▶
    /// not-numbers  ───────── (-, seven) ──▶
    /// ```
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

    /// [`flat_map_values`](KStream::flat_map_values) with a mapper that can fail: a record that fails goes where the error policy
    /// says, and makes nothing.
    ///
    /// ```text
    /// in           (-, 1 2) ────────── (-, 3 x) ──▶
    /// out          (-, 1) (-, 2) ─────────────────▶
    /// dead letter  ─────────────────── (-, 3 x) ──▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let numbers = builder.stream("in").try_flat_map_values(|line| {
    ///     line.split(' ').map(str::parse::<i64>).collect::<Result<Vec<_>, _>>()
    /// });
    /// numbers.to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "1 2");
    /// driver.input("in").pipe(None, "3 x");
    /// let out = driver.output(Topic::<Option<String>, i64>::new("out")).read_key_values();
    /// assert_eq!(out, [(None, 1), (None, 2)]);
    /// assert_eq!(driver.output("app-dead-letter").read_key_values(), [(None, "3 x".to_string())]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
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

    /// [`for_each`](KStream::for_each) with a closure that can fail: a record that fails goes where the error policy says.
    ///
    /// ```text
    /// in           (-, 7) ── (-, x) ──▶
    ///                 ↓
    /// dead letter  ───────── (-, x) ──▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("in").try_for_each(|_, text| text.parse::<i64>().map(drop)).on_error(dead_letter("bad"));
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "x");
    /// assert_eq!(driver.output("bad").read_key_value(), Some((None, "x".to_string())));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
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
    /// What is `Ok`: errors as data, instead of an error policy. [`err`](KStream::err) has the others.
    ///
    /// ```text
    /// parsed  (-, Ok 7) ── (-, Err "invalid digit ..") ──▶
    /// ok      (-, 7) ────────────────────────────────────▶
    /// err     ──────────── (-, "invalid digit ..") ──────▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let parsed = builder.stream("in").map_values(|text| text.parse::<i64>().map_err(|error| error.to_string()));
    /// parsed.ok().to("good");
    /// parsed.err().to("bad");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "7");
    /// driver.input("in").pipe(None, "x");
    /// assert_eq!(driver.output(Topic::<Option<String>, i64>::new("good")).read_key_value(), Some((None, 7)));
    /// assert_eq!(driver.output("bad").read_key_value().unwrap().1, "invalid digit found in string");
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn ok(&self) -> KStream<K, V> {
        let supplier = NodeSupplier::of(|_| Ok(Successes::<K, V, E>::new()));
        KStream::of(self.handle.then("ok", "KSTREAM-FILTER-", Effect::CHANGES_VALUE, supplier))
    }

    /// What is `Err`: see [`ok`](KStream::ok).
    pub fn err(&self) -> KStream<K, E> {
        let supplier = NodeSupplier::of(|_| Ok(Errors::<K, V, E>::new()));
        KStream::of(self.handle.then("err", "KSTREAM-FILTER-", Effect::CHANGES_VALUE, supplier))
    }
}
