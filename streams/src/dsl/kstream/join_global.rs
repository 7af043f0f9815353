//! Joins of a stream with a global table: each record names the key that it looks up.

use std::sync::Arc;

use super::KStream;
use crate::data::{Data, Item, Nullable, Outcome};
use crate::dsl::global_table::GlobalKTable;
use crate::dsl::graph::{Output, PlanNode, SerdeSlot, StreamPlan};
use crate::error::Result;
use crate::operators::GlobalJoin;
use crate::processor::NodeSupplier;
use crate::state::KeyValueState;

impl<K: Item, V: Nullable> KStream<K, V> {
    /// Each record with the row of the key that `key` picks from it. Records that name no key (`None`), records without a
    /// row, and those with a null value go no further. No repartitioning is needed, whatever the stream's key is.
    ///
    /// ```text
    /// countries  (no, Norway)
    /// visits     (1, no) ────────── (2, xx) ──────▶
    /// out        (1, no: Norway) ─────────────────▶
    /// ```
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let countries = builder.global_table("countries");
    /// builder
    ///     .stream("visits")
    ///     .join_global(&countries, |_, code| code.clone(), |code, name| format!("{code}: {name}"))
    ///     .to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("countries").pipe("no", "Norway");
    /// driver.input("visits").pipe("1", "no");
    /// driver.input("visits").pipe("2", "xx");
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(out, ["no: Norway"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn join_global<GK: Data, GV: Data, Q: Outcome<GK>, R: Item>(
        &self,
        table: &GlobalKTable<GK, GV>,
        key: impl Fn(&K, &V::Present) -> Q + Send + Sync + 'static,
        joiner: impl Fn(V::Present, &GV) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        self.join_global_with_key(table, key, move |_, value, row| joiner(value, row))
    }

    /// [`join_global`](KStream::join_global) whose closure is also given the stream's key.
    pub fn join_global_with_key<GK: Data, GV: Data, Q: Outcome<GK>, R: Item>(
        &self,
        table: &GlobalKTable<GK, GV>,
        key: impl Fn(&K, &V::Present) -> Q + Send + Sync + 'static,
        joiner: impl Fn(&K, V::Present, &GV) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let joiner =
            move |key: &K, value: V::Present, row: Option<&GV>| row.map(|row| joiner(key, value, row));
        self.joined_global("join_global", table, false, key, joiner)
    }

    /// Each record with the row of the key that `key` picks from it, if it names one (`None` is none) and there is one.
    ///
    /// ```text
    /// countries  (no, Norway)
    /// visits     (1, no) ────────── (2, xx) ──────▶
    /// out        (1, no: Norway) ── (2, xx: -) ───▶
    /// ```
    ///
    /// Records with a null value go no further, those with a null key go through. The result has the time of the record.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let countries = builder.global_table("countries");
    /// let name = |code: String, name: Option<&String>| format!("{code}: {}", name.map_or("-", |name| name));
    /// builder.stream("visits").left_join_global(&countries, |_, code| code.clone(), name).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("countries").pipe("no", "Norway");
    /// driver.input("visits").pipe("1", "no");
    /// driver.input("visits").pipe("2", "xx");
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(out, ["no: Norway", "xx: -"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn left_join_global<GK: Data, GV: Data, Q: Outcome<GK>, R: Item>(
        &self,
        table: &GlobalKTable<GK, GV>,
        key: impl Fn(&K, &V::Present) -> Q + Send + Sync + 'static,
        joiner: impl Fn(V::Present, Option<&GV>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        self.left_join_global_with_key(table, key, move |_, value, row| joiner(value, row))
    }

    /// [`left_join_global`](KStream::left_join_global) whose closure is also given the stream's key.
    pub fn left_join_global_with_key<GK: Data, GV: Data, Q: Outcome<GK>, R: Item>(
        &self,
        table: &GlobalKTable<GK, GV>,
        key: impl Fn(&K, &V::Present) -> Q + Send + Sync + 'static,
        joiner: impl Fn(&K, V::Present, Option<&GV>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, value: V::Present, row: Option<&GV>| Some(joiner(key, value, row));
        self.joined_global("left_join_global", table, true, key, joiner)
    }

    fn joined_global<GK: Data, GV: Data, Q: Outcome<GK>, R: Item, F>(
        &self,
        method: &'static str,
        table: &GlobalKTable<GK, GV>,
        left: bool,
        key: impl Fn(&K, &V::Present) -> Q + Send + Sync + 'static,
        joiner: F,
    ) -> KStream<K, R>
    where
        F: Fn(&K, V::Present, Option<&GV>) -> Option<R> + Send + Sync + 'static,
    {
        self.handle.graph.same_builder(&table.handle.graph, method);
        let (parent, table) = (self.handle.operation, table.handle.operation);
        let select = Arc::new(move |record: &K, value: &V::Present| -> Result<Option<GK>> {
            key(record, value).outcome()
        });
        let joiner = Arc::new(joiner);
        KStream::of(self.handle.record(method, true, move |walk, call| {
            let store = walk.global(table).store.clone();
            let (select, joiner) = (Arc::clone(&select), Arc::clone(&joiner));
            let supplier = NodeSupplier::of(move |init| {
                let rows = init.globals.view::<KeyValueState<GK, GV>>(&store)?;
                let (select, joiner) = (Arc::clone(&select), Arc::clone(&joiner));
                Ok(GlobalJoin::<K, V, GK, GV, _, F>::new(rows, left, select, joiner))
            });
            let stream = walk.below(parent, call, "KSTREAM-LEFTJOIN-", |name| {
                let mut node = PlanNode::processor(name, supplier, call.on_error.clone());
                node.keeps_null_keys = left;
                node
            });
            Output::Stream(StreamPlan { value_serde: SerdeSlot::none(), ..stream })
        }))
    }
}
