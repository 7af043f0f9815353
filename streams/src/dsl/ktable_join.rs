//! Joins of tables with the same key.

use std::sync::Arc;

use super::graph::{
    Output, PlanNode, SerdeSlot, TableId, TableOrigin, TablePlan, ViewSlot, result_store, view,
};
use super::ktable::{KTable, optional_store};
use super::same_key::SameKey;
use crate::data::{Data, Nullable};
use crate::error::Result;
use crate::operators::{JoinGetter, JoinRule, StoreGetter, TableJoin, TableJoinMerge, TableView};
use crate::processor::NodeSupplier;
use crate::state::{KeyValue, StoreFor, StoreSettings};
use crate::topology::NodeKind;

/// Which sides of a join may be missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inner,
    Left,
    Outer,
}

impl Kind {
    /// What an update of the left, and of the right side means while the other is missing.
    fn rules(self) -> (JoinRule, JoinRule) {
        match self {
            Kind::Inner => (JoinRule::Inner, JoinRule::Inner),
            Kind::Left => (JoinRule::Outer, JoinRule::Optional),
            Kind::Outer => (JoinRule::Full, JoinRule::Full),
        }
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// The rows that both tables have, joined. The joiner's `None` deletes the row.
    ///
    /// ```text
    /// names  (1, Ada) ────────────────────────────────────────────▶
    /// towns  ────────── (1, London) ─────── (1, null) ────────────▶
    /// out    ────────── (1, Ada of London)  (1, null) ────────────▶
    /// ```
    ///
    /// An update of either side updates the row; a deletion of either side deletes it. The row has the later time of the two.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (names, towns) = (builder.table("names"), builder.table("towns"));
    /// names.join(&towns, |name, town| format!("{name} of {town}")).to_stream().to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("names").pipe("1", "Ada");
    /// driver.input("towns").pipe("1", "London");
    /// driver.input("towns").pipe_tombstone("1");
    /// let out = driver.output(Topic::<String, Option<String>>::new("out"));
    /// let rows: Vec<_> = out.read_key_values().into_iter().map(|(_, row)| row).collect();
    /// assert_eq!(rows, [Some("Ada of London".to_string()), None]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn join<K2: SameKey<K> + Data, V2: Data, R: Nullable>(
        &self,
        other: &KTable<K2, V2>,
        joiner: impl Fn(&V, &V2) -> R + Send + Sync + 'static,
    ) -> KTable<K, R::Present> {
        self.joined("join", Kind::Inner, other, both(move |_: &K, a: &V, b: &V2| joiner(a, b)), None)
    }

    /// [`join`](KTable::join) whose closure is also given the key, into a queryable store.
    pub fn join_with<K2: SameKey<K> + Data, V2: Data, R: Nullable>(
        &self,
        other: &KTable<K2, V2>,
        joiner: impl Fn(&K, &V, &V2) -> R + Send + Sync + 'static,
        store: impl StoreFor<KeyValue<K, R::Present>>,
    ) -> KTable<K, R::Present> {
        self.joined("join_with", Kind::Inner, other, both(joiner), Some(store.into_store().settings))
    }

    /// The rows of this table, each with that of the other table if there is one.
    ///
    /// ```text
    /// names  (1, Ada) ──────────────────────────────── (1, null) ─▶
    /// towns  ────────── (1, London) ───── (1, null) ──────────────▶
    /// out    (1, Ada -) (1, Ada London)   (1, Ada -)   (1, null) ─▶
    /// ```
    ///
    /// A deletion on this side deletes the row, one on the other side updates it. Timestamps are treated as in
    /// [`join`](KTable::join).
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let (names, towns) = (builder.table("names"), builder.table("towns"));
    /// names.left_join(&towns, |name, town| format!("{name} {}", town.map_or("-", |town| town))).to_stream().to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("names").pipe("1", "Ada");
    /// driver.input("towns").pipe("1", "London");
    /// driver.input("names").pipe_tombstone("1");
    /// let out = driver.output(Topic::<String, Option<String>>::new("out"));
    /// let rows: Vec<_> = out.read_key_values().into_iter().map(|(_, row)| row).collect();
    /// assert_eq!(rows, [Some("Ada -".to_string()), Some("Ada London".to_string()), None]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn left_join<K2: SameKey<K> + Data, V2: Data, R: Nullable>(
        &self,
        other: &KTable<K2, V2>,
        joiner: impl Fn(&V, Option<&V2>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R::Present> {
        self.joined(
            "left_join",
            Kind::Left,
            other,
            left(move |_: &K, a: &V, b: Option<&V2>| joiner(a, b)),
            None,
        )
    }

    /// [`left_join`](KTable::left_join) whose closure is also given the key, into a queryable store.
    pub fn left_join_with<K2: SameKey<K> + Data, V2: Data, R: Nullable>(
        &self,
        other: &KTable<K2, V2>,
        joiner: impl Fn(&K, &V, Option<&V2>) -> R + Send + Sync + 'static,
        store: impl StoreFor<KeyValue<K, R::Present>>,
    ) -> KTable<K, R::Present> {
        self.joined("left_join_with", Kind::Left, other, left(joiner), Some(store.into_store().settings))
    }

    /// The rows of both tables, joined where both have one.
    ///
    /// ```text
    /// names  (1, Ada) ──────────────── (1, null) ────▶
    /// towns  ────────── (1, London) ─────────────────▶
    /// out    (1, Ada -) (1, Ada London) (1, - London) ▶
    /// ```
    ///
    /// The row is deleted when neither side has one any more. Timestamps are treated as in [`join`](KTable::join).
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let (names, towns) = (builder.table("names"), builder.table("towns"));
    /// let show = |side: Option<&String>| side.map_or("-".to_string(), String::clone);
    /// names.outer_join(&towns, move |name, town| format!("{} {}", show(name), show(town))).updates().to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("names").pipe("1", "Ada");
    /// driver.input("towns").pipe("1", "London");
    /// driver.input("names").pipe_tombstone("1");
    /// let rows: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, row)| row).collect();
    /// assert_eq!(rows, ["Ada -", "Ada London", "- London"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn outer_join<K2: SameKey<K> + Data, V2: Data, R: Nullable>(
        &self,
        other: &KTable<K2, V2>,
        joiner: impl Fn(Option<&V>, Option<&V2>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R::Present> {
        let joiner = move |_: &K, a: Option<&V>, b: Option<&V2>| Ok(joiner(a, b).into_present());
        self.joined("outer_join", Kind::Outer, other, joiner, None)
    }

    /// [`outer_join`](KTable::outer_join) whose closure is also given the key, into a queryable store.
    pub fn outer_join_with<K2: SameKey<K> + Data, V2: Data, R: Nullable>(
        &self,
        other: &KTable<K2, V2>,
        joiner: impl Fn(&K, Option<&V>, Option<&V2>) -> R + Send + Sync + 'static,
        store: impl StoreFor<KeyValue<K, R::Present>>,
    ) -> KTable<K, R::Present> {
        let joiner = move |key: &K, a: Option<&V>, b: Option<&V2>| Ok(joiner(key, a, b).into_present());
        self.joined("outer_join_with", Kind::Outer, other, joiner, Some(store.into_store().settings))
    }

    fn joined<K2, V2: Data, R: Data, F>(
        &self,
        method: &'static str,
        kind: Kind,
        other: &KTable<K2, V2>,
        joiner: F,
        settings: Option<StoreSettings>,
    ) -> KTable<K, R>
    where
        F: Fn(&K, Option<&V>, Option<&V2>) -> Result<Option<R>> + Send + Sync + 'static,
    {
        self.handle.graph.same_builder(&other.handle.graph, method);
        let joiner = Arc::new(joiner);
        let reversed = {
            let joiner = Arc::clone(&joiner);
            Arc::new(move |key: &K, b: Option<&V2>, a: Option<&V>| joiner(key, a, b))
        };
        let (left, right) = (self.handle.operation, other.handle.operation);
        KTable::of(self.handle.record(method, true, move |walk, call| {
            let (left, right) = (walk.table(left), walk.table(right));
            let store = settings.as_ref().map(|settings| {
                let generated = walk.store_name(Some(settings), "KTABLE-MERGE-");
                let key_serde = walk.tables[left].key_serde.clone();
                result_store::<K, R>(settings, generated, &key_serde, &SerdeSlot::none())
            });
            let merge = walk.name(call.name.as_deref(), "KTABLE-MERGE-");
            let side = |suffix: &str| call.name.as_ref().map(|name| format!("{name}-join-{suffix}"));
            let this = walk.name(side("this").as_deref(), "KTABLE-JOINTHIS-");
            let that = walk.name(side("other").as_deref(), "KTABLE-JOINOTHER-");
            if kind != Kind::Inner {
                walk.send_old(left, true);
            }
            if kind == Kind::Outer {
                walk.send_old(right, true);
            }
            walk.need_view(left);
            walk.need_view(right);
            let topics =
                walk.copartition([walk.tables[left].topics.clone(), walk.tables[right].topics.clone()]);

            let table = walk.next_table();
            let (rules, on_error) = (kind.rules(), call.on_error.clone());
            let (joiner, reversed) = (Arc::clone(&joiner), Arc::clone(&reversed));
            let own_view = join_view::<K, V, V2, R, F>(left, right, kind, Arc::clone(&joiner));
            let merge_name = merge.clone();
            let node = PlanNode::new(merge, move |lowering, parents| {
                let (store, sends_old) = {
                    let plan = &lowering.tables[table];
                    (plan.store.as_ref().map(|store| store.name.clone()), plan.sends_old)
                };
                let right_view = view::<K, V2>(lowering.tables, right);
                let left_view = view::<K, V>(lowering.tables, left);
                let this_side = join_side(rules.0, right_view.clone(), Arc::clone(&joiner), sends_old);
                let that_side = join_side(rules.1, left_view.clone(), Arc::clone(&reversed), sends_old);
                let topology = &mut lowering.topology;
                let kind = NodeKind::Processor;
                let this = topology.add_node(&this, kind.clone(), this_side, &[parents[0]], on_error.clone());
                let that = topology.add_node(&that, kind.clone(), that_side, &[parents[1]], on_error.clone());
                let supplier = NodeSupplier::of(move |init| {
                    let store = optional_store(init, store.as_deref(), sends_old)?;
                    Ok(TableJoinMerge::<K, R>::new(store, sends_old))
                });
                let merge = topology.add_node(&merge_name, kind, supplier, &[this, that], None);
                right_view.stores.iter().for_each(|store| topology.connect(this, store));
                left_view.stores.iter().for_each(|store| topology.connect(that, store));
                lowering.keep_table(table, merge);
                merge
            });
            let parents = [walk.tables[left].node, walk.tables[right].node];
            let key_serde = walk.tables[left].key_serde.clone();
            let node = walk.add(node, &parents);
            Output::Table(walk.add_table(TablePlan {
                node,
                origin: TableOrigin::Join { left, right },
                store,
                view: own_view,
                sends_old: false,
                key_serde,
                value_serde: SerdeSlot::none(),
                topics,
            }))
        }))
    }
}

fn join_side<K: Data, V: Data, O: Data, R: Data, F>(
    rule: JoinRule,
    other: TableView<K, O>,
    joiner: Arc<F>,
    sends_old: bool,
) -> NodeSupplier
where
    F: Fn(&K, Option<&V>, Option<&O>) -> Result<Option<R>> + Send + Sync + 'static,
{
    NodeSupplier::of(move |init| {
        let other = other.getter(init)?;
        Ok(TableJoin::<K, V, O, R, F>::new(rule, other, Arc::clone(&joiner), sends_old))
    })
}

/// A join that is kept nowhere is read through both its sides.
fn join_view<K: Data, V: Data, V2: Data, R: Data, F>(
    left: TableId,
    right: TableId,
    kind: Kind,
    joiner: Arc<F>,
) -> ViewSlot
where
    F: Fn(&K, Option<&V>, Option<&V2>) -> Result<Option<R>> + Send + Sync + 'static,
{
    let outer = (kind == Kind::Outer, kind != Kind::Inner);
    let derived = move |tables: &[TablePlan]| {
        let (left, right) = (view::<K, V>(tables, left), view::<K, V2>(tables, right));
        let mut stores = left.stores.clone();
        stores.extend(right.stores.iter().filter(|store| !left.stores.contains(store)).cloned());
        let joiner = Arc::clone(&joiner);
        TableView::new(stores, move |init| {
            let (left, right) = (left.getter(init)?, right.getter(init)?);
            Ok(Box::new(JoinGetter { left, right, outer, joiner: Arc::clone(&joiner) }))
        })
    };
    ViewSlot::derived::<K, R>(|store| TableView::of_store(store, StoreGetter), derived)
}

/// A joiner that is called when both sides are there.
fn both<K, V, V2, R: Nullable>(
    joiner: impl Fn(&K, &V, &V2) -> R + Send + Sync + 'static,
) -> impl Fn(&K, Option<&V>, Option<&V2>) -> Result<Option<R::Present>> + Send + Sync + 'static {
    move |key, a, b| Ok(a.zip(b).and_then(|(a, b)| joiner(key, a, b).into_present()))
}

/// A joiner that is called when the left side is there.
fn left<K, V, V2, R: Nullable>(
    joiner: impl Fn(&K, &V, Option<&V2>) -> R + Send + Sync + 'static,
) -> impl Fn(&K, Option<&V>, Option<&V2>) -> Result<Option<R::Present>> + Send + Sync + 'static {
    move |key, a, b| Ok(a.and_then(|a| joiner(key, a, b).into_present()))
}
