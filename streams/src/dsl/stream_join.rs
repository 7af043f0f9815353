//! The nodes and stores of a join of two streams: a window of each side, the two sides, and where they meet.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use super::graph::{
    Call, JoinStores, Lowering, Output, PlanNode, Role, SerdeSlot, StreamPlan, TypedRepartition, Walk,
    join_window_store, unjoined_store,
};
use super::handle::Handle;
use super::kstream::KStream;
use super::options::StreamJoined;
use crate::data::{Item, Nullable};
use crate::operators::{JoinSide, JoinWindow, Pass, SelfJoin, StreamJoin};
use crate::processor::NodeSupplier;
use crate::serdes::Serde;
use crate::state::Side;
use crate::topology::{NodeKind, StoreDefinition};
use crate::windows::JoinWindows;

/// Which sides of a join may be missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinKind {
    Inner,
    Left,
    Outer,
}

impl JoinKind {
    fn method(self) -> &'static str {
        match self {
            JoinKind::Inner => "join",
            JoinKind::Left => "left_join",
            JoinKind::Outer => "outer_join",
        }
    }
}

/// How the keys of the result are made of those of the two sides, `None` being a null.
pub(super) struct Keys<K: Nullable, K2: Nullable, KO> {
    left: fn(Option<K::Present>) -> Option<KO>,
    right: fn(Option<K2::Present>) -> Option<KO>,
    serde: fn(&SerdeSlot) -> SerdeSlot,
}

impl<K: Nullable, K2: Nullable> Keys<K, K2, K::Present> {
    /// Keys are never null.
    pub(super) fn present(serde: fn(&SerdeSlot) -> SerdeSlot) -> Self {
        Keys { left: |key| key, right: |key| key.and_then(same), serde }
    }
}

impl<K: Nullable, K2: Nullable> Keys<K, K2, K> {
    /// Keys are of the left side's type.
    pub(super) fn of_left() -> Self {
        Keys {
            left: |key| key.map_or_else(null, |key| Some(K::from_present(key))),
            right: |key| key.map_or_else(null, |key| same(key).map(K::from_present)),
            serde: SerdeSlot::clone,
        }
    }
}

/// The null of a type, if it has one.
fn null<K: Nullable>() -> Option<K> {
    // `Option<T>` is the only type with a null.
    let mut null: Option<Option<K::Present>> = Some(None);
    (&mut null as &mut dyn Any).downcast_mut::<Option<K>>().and_then(Option::take)
}

/// A value as another name of its type: `SameKey` says that they are one.
fn same<A: 'static, B: 'static>(value: A) -> Option<B> {
    (&mut Some(value) as &mut dyn Any).downcast_mut::<Option<B>>().and_then(Option::take)
}

/// A join of two streams.
pub(super) struct StreamJoinPlan<K: Nullable, V: Nullable, K2: Nullable, V2: Nullable, KO, R, F> {
    kind: JoinKind,
    windows: JoinWindows,
    /// Gives nothing for a pair that the kind of join does not make.
    joiner: Arc<F>,
    options: StreamJoined<K::Present, V::Present, V2::Present>,
    keys: Keys<K, K2, KO>,
    result: PhantomData<fn() -> R>,
}

/// Names of a join's nodes and stores.
#[derive(Clone)]
struct Names {
    windows: [String; 2],
    sides: [String; 2],
    merge: String,
    stores: [String; 2],
    unjoined: Option<String>,
}

impl Names {
    fn new(walk: &mut Walk, kind: JoinKind, given: Option<&str>, stores: Option<&str>) -> Self {
        let this_suffix = if kind == JoinKind::Outer { "-outer-this-join" } else { "-this-join" };
        let that_suffix = if kind == JoinKind::Inner { "-other-join" } else { "-outer-other-join" };
        let suffixed = |suffix: &str| given.map(|name| format!("{name}{suffix}"));
        let this_window = walk.name(suffixed("-this-windowed").as_deref(), "KSTREAM-WINDOWED-");
        let that_window = walk.name(suffixed("-other-windowed").as_deref(), "KSTREAM-WINDOWED-");
        let outer_this = kind == JoinKind::Outer;
        let this = walk.number(if outer_this { "KSTREAM-OUTERTHIS-" } else { "KSTREAM-JOINTHIS-" });
        let outer_that = kind != JoinKind::Inner;
        let that = walk.number(if outer_that { "KSTREAM-OUTEROTHER-" } else { "KSTREAM-JOINOTHER-" });
        let merge = walk.name(suffixed("-merge").as_deref(), "KSTREAM-MERGE-");
        let store = |generated: &str, suffix: &str| match stores {
            Some(base) => format!("{base}{suffix}-store"),
            None => format!("{generated}-store"),
        };
        let unjoined = match (kind, stores) {
            (JoinKind::Inner, _) => None,
            (JoinKind::Left, Some(base)) => Some(format!("{base}-left-shared-join-store")),
            (JoinKind::Outer, Some(base)) => Some(format!("{base}-outer-shared-join-store")),
            (_, None) => {
                // The number is that of this side.
                let number = this.rsplit('-').next().unwrap_or_default();
                Some(format!("KSTREAM-OUTERSHARED-{number}-store"))
            }
        };
        Names {
            windows: [this_window, that_window],
            stores: [store(&this, this_suffix), store(&that, that_suffix)],
            sides: [suffixed(this_suffix).unwrap_or(this), suffixed(that_suffix).unwrap_or(that)],
            merge,
            unjoined,
        }
    }
}

/// The stores of a join.
struct Stores {
    sides: [StoreDefinition; 2],
    unjoined: Option<StoreDefinition>,
}

impl<K, V, K2, V2, KO, R, F> StreamJoinPlan<K, V, K2, V2, KO, R, F>
where
    K: Nullable,
    V: Nullable,
    K2: Nullable,
    V2: Nullable,
    KO: Item,
    R: Item,
    F: Fn(&KO, Option<&V::Present>, Option<&V2::Present>) -> Option<R> + Send + Sync + 'static,
{
    pub(super) fn new(
        kind: JoinKind,
        windows: JoinWindows,
        joiner: F,
        options: StreamJoined<K::Present, V::Present, V2::Present>,
        keys: Keys<K, K2, KO>,
    ) -> Self {
        StreamJoinPlan { kind, windows, joiner: Arc::new(joiner), options, keys, result: PhantomData }
    }

    /// Records the join.
    pub(super) fn record(self, left: &Handle, right: &KStream<K2, V2>) -> KStream<KO, R> {
        let method = self.kind.method();
        let right = &right.handle;
        left.graph.same_builder(&right.graph, method);
        let (this, that) = (left.operation, right.operation);
        KStream::of(left.record(method, true, move |walk, call| self.expand(walk, call, this, that)))
    }

    fn expand(&self, walk: &mut Walk, call: &Call, this: usize, that: usize) -> Output {
        let given = call.name.as_deref().or(self.options.name.as_deref());
        let side_name = |suffix: &str| given.map(|name| format!("{name}{suffix}"));
        let left = walk.stream_to_join(this, side_name("-left").as_deref(), |stream| self.left_types(stream));
        let right =
            walk.stream_to_join(that, side_name("-right").as_deref(), |stream| self.right_types(stream));
        let topics = walk.copartition([left.topics.clone(), right.topics.clone()]);
        if let Some(fault) = self.windows.fault() {
            walk.faults.push(format!("`{}`: {fault}", self.kind.method()));
        }
        let names = Names::new(walk, self.kind, given, self.options.stores.as_deref());

        let (left_types, right_types) = (self.left_types(&left), self.right_types(&right));
        let left_serdes = (K::present_serde(left_types.key), V::present_serde(left_types.value));
        let right_serdes = (K2::present_serde(right_types.key), V2::present_serde(right_types.value));
        let windows = self.windows;
        let (reach, grace) = (windows.before_ms().saturating_add(windows.after_ms()), windows.grace_ms());
        let kept =
            JoinStores { retention_ms: reach.saturating_add(grace), in_memory: self.options.in_memory };
        let unjoined = names.unjoined.as_ref().map(|name| unjoined_store(name, left_serdes.0.clone(), kept));
        let stores = Stores {
            sides: [
                join_window_store(&names.stores[0], left_serdes.clone(), kept),
                join_window_store(&names.stores[1], right_serdes.clone(), kept),
            ],
            unjoined,
        };
        let this_window = walk.add(window_node::<K, V>(&names.windows[0], &names.stores[0]), &[left.node]);
        let that_window = walk.add(window_node::<K2, V2>(&names.windows[1], &names.stores[1]), &[right.node]);
        let suppliers = [
            self.left_side(&names, &left_serdes.1, &right_serdes.1),
            self.right_side(&names, &left_serdes.1, &right_serdes.1),
        ];
        let self_join = self.self_join(&names.stores[0]);
        let (merge, on_error) = (names.merge.clone(), call.on_error.clone());
        let write = move |lowering: &mut Lowering<'_>, parents: &[usize]| match parents {
            &[this, that] => {
                write_sides::<KO, R>(lowering, [this, that], &names, &suppliers, &stores, on_error.clone())
            }
            _ => {
                // The two sides are one stream: its window is all that is left.
                let (topology, store) = (&mut lowering.topology, &stores.sides[0]);
                let kind = NodeKind::Processor;
                let node =
                    topology.add_node(&names.merge, kind, self_join.clone(), parents, on_error.clone());
                topology.add_store(store.clone());
                parents.iter().chain([&node]).for_each(|&user| topology.connect(user, &store.name));
                node
            }
        };
        let inner = self.kind == JoinKind::Inner;
        let mut node = PlanNode::of(merge, Role::StreamJoin { inner, write: Box::new(write) });
        node.keeps_null_keys = !inner;
        Output::Stream(StreamPlan {
            node: walk.add(node, &[this_window, that_window]),
            key_serde: (self.keys.serde)(&left.key_serde),
            value_serde: SerdeSlot::none(),
            repartition_required: false,
            topics,
        })
    }

    fn left_types(&self, stream: &StreamPlan) -> TypedRepartition<K, V> {
        types(stream, self.options.key.clone(), self.options.left.clone())
    }

    fn right_types(&self, stream: &StreamPlan) -> TypedRepartition<K2, V2> {
        let key = self.options.key.clone().and_then(same::<_, Arc<dyn Serde<K2::Present>>>);
        types(stream, key, self.options.right.clone())
    }

    fn left_side(
        &self,
        names: &Names,
        own: &Arc<dyn Serde<V::Present>>,
        other: &Arc<dyn Serde<V2::Present>>,
    ) -> NodeSupplier {
        side::<K, V, V2::Present, KO, R, F>(JoinSide {
            side: Side::Left,
            outer: self.kind != JoinKind::Inner,
            windows: self.windows,
            join: names.merge.clone(),
            other: names.stores[1].clone(),
            unjoined: names.unjoined.clone(),
            own_serde: Arc::clone(own),
            other_serde: Arc::clone(other),
            key_out: self.keys.left,
            joiner: Arc::clone(&self.joiner),
        })
    }

    fn right_side(
        &self,
        names: &Names,
        other: &Arc<dyn Serde<V::Present>>,
        own: &Arc<dyn Serde<V2::Present>>,
    ) -> NodeSupplier {
        let joiner = Arc::clone(&self.joiner);
        let reversed = move |key: &KO, b: Option<&V2::Present>, a: Option<&V::Present>| joiner(key, a, b);
        side::<K2, V2, V::Present, KO, R, _>(JoinSide {
            side: Side::Right,
            outer: self.kind == JoinKind::Outer,
            windows: self.windows,
            join: names.merge.clone(),
            other: names.stores[0].clone(),
            unjoined: names.unjoined.clone(),
            own_serde: Arc::clone(own),
            other_serde: Arc::clone(other),
            key_out: self.keys.right,
            joiner: Arc::new(reversed),
        })
    }

    fn self_join(&self, store: &str) -> NodeSupplier {
        let (joiner, windows, key_out) = (Arc::clone(&self.joiner), self.windows, self.keys.left);
        let joiner = Arc::new(move |key: &KO, a: &V::Present, b: &V::Present| {
            // One stream has one type of values.
            joiner(key, Some(a), (b as &dyn Any).downcast_ref::<V2::Present>())
        });
        let store = store.to_owned();
        NodeSupplier::of(move |init| {
            SelfJoin::<K, V, KO, R, _>::new(init, &store, windows, key_out, Arc::clone(&joiner))
        })
    }
}

fn types<K: Nullable, V: Nullable>(
    stream: &StreamPlan,
    key: Option<Arc<dyn Serde<K::Present>>>,
    value: Option<Arc<dyn Serde<V::Present>>>,
) -> TypedRepartition<K, V> {
    TypedRepartition {
        key: key.map_or_else(|| stream.key_serde.or_default::<K>(), K::lift_serde),
        value: value.map_or_else(|| stream.value_serde.or_default::<V>(), V::lift_serde),
        partitioner: None,
    }
}

fn side<K, V, X, KO, R, F>(made_of: JoinSide<K, V, X, KO, F>) -> NodeSupplier
where
    K: Nullable,
    V: Nullable,
    X: Item,
    KO: Item,
    R: Item,
    F: Fn(&KO, Option<&V::Present>, Option<&X>) -> Option<R> + Send + Sync + 'static,
{
    NodeSupplier::of(move |init| StreamJoin::<K, V, X, KO, R, F>::new(init, made_of.clone()))
}

fn window_node<K: Nullable, V: Nullable>(name: &str, store: &str) -> PlanNode {
    let store = store.to_owned();
    let supplier = NodeSupplier::of(move |init| Ok(JoinWindow::<K, V>::new(init.store(&store)?)));
    PlanNode::processor(name.to_owned(), supplier, None)
}

/// Both sides, and the node where they meet.
fn write_sides<KO: Item, R: Item>(
    lowering: &mut Lowering<'_>,
    windows: [usize; 2],
    names: &Names,
    suppliers: &[NodeSupplier; 2],
    stores: &Stores,
    on_error: Option<crate::policy::OnError>,
) -> usize {
    let topology = &mut lowering.topology;
    let side = |at: usize, topology: &mut crate::topology::Topology| {
        let (kind, supplier) = (NodeKind::Processor, suppliers[at].clone());
        topology.add_node(&names.sides[at], kind, supplier, &[windows[at]], on_error.clone())
    };
    let (this, that) = (side(0, topology), side(1, topology));
    let supplier = NodeSupplier::of(|_| Ok(Pass::<KO, R>::new()));
    let merge = topology.add_node(&names.merge, NodeKind::Processor, supplier, &[this, that], None);
    for (store, users) in stores.sides.iter().zip([[windows[0], that], [windows[1], this]]) {
        topology.add_store(store.clone());
        users.iter().for_each(|&user| topology.connect(user, &store.name));
    }
    if let Some(unjoined) = &stores.unjoined {
        topology.add_store(unjoined.clone());
        [this, that].iter().for_each(|&user| topology.connect(user, &unjoined.name));
    }
    merge
}
