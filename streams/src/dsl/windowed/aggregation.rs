//! The node of a windowed aggregation, whatever its windows.

use std::sync::Arc;

use super::super::graph::{
    Lowering, Output, PlanNode, SerdeSlot, TableOrigin, TablePlan, ViewSlot, Walk, window_store,
};
use super::super::handle::Handle;
use super::super::ktable::KTable;
use crate::data::{Data, Item};
use crate::error::Result;
use crate::operators::TableView;
use crate::processor::NodeSupplier;
use crate::serdes::KnownWindowedSerde;
use crate::state::{StoreSettings, WindowSettings};
use crate::topology::{NodeKind, StoreDefinition};
use crate::window::{Window, Windowed};
use crate::windows::Cut;

/// What tells one windowed aggregation from another.
pub(super) struct Aggregation {
    /// The method that was called.
    pub(super) method: &'static str,
    /// Of generated names.
    pub(super) prefix: &'static str,
    pub(super) settings: StoreSettings,
    /// Kafka Streams uses up one store name more for a counting store that is described but not named.
    pub(super) extra_number: bool,
    /// How long a window is; of sessions 0.
    pub(super) size_ms: i64,
    /// How long after its end a window may still change; `None` if it never ends.
    pub(super) grace_ms: Option<i64>,
}

/// Makes the store: told the generated name, and the serde of the keys.
type MakeStore = dyn Fn(&mut Walk, Option<String>, &SerdeSlot) -> StoreDefinition + Send;

/// Makes the node: told its store's name, and whether old values are sent.
type MakeNode = dyn Fn(&str, bool) -> NodeSupplier + Send + Sync;

impl Aggregation {
    /// Records the aggregation of a grouped stream.
    pub(super) fn of<K: Data, A: Item, W: Window>(
        self,
        grouped: &Handle,
        store: Box<MakeStore>,
        view: fn(&str) -> TableView<Windowed<K, W>, A>,
        supplier: Arc<MakeNode>,
    ) -> KTable<Windowed<K, W>, A> {
        let Aggregation { method, prefix, settings, extra_number, size_ms, grace_ms } = self;
        let parent = grouped.operation;
        KTable::of(grouped.record(method, true, move |walk, call| {
            if extra_number {
                walk.store_name(None, prefix);
            }
            let grouped = walk.grouped(parent).clone();
            let generated = walk.store_name(Some(&settings), prefix);
            let store = store(walk, generated, &grouped.key_serde);
            let name = walk.name(call.name.as_deref(), prefix);
            let stream = walk.aggregated_stream(parent, &store.name);
            let table = walk.next_table();
            let (supplier, without_null_keys) = (Arc::clone(&supplier), grouped.without_null_keys);
            let (node_name, store_name, on_error) = (name.clone(), store.name.clone(), call.on_error.clone());
            let mut node = PlanNode::new(name, move |lowering: &mut Lowering<'_>, parents| {
                let supplier = without_null_keys(supplier(&store_name, lowering.tables[table].sends_old));
                let kind = NodeKind::Processor;
                let node = lowering.topology.add_node(&node_name, kind, supplier, parents, on_error.clone());
                lowering.keep_table(table, node);
                node
            });
            node.grace_ms = grace_ms;
            let node = walk.add(node, &[stream.node]);
            let key_serde = windowed_key::<K, W>(&settings, &grouped.key_serde, size_ms);
            Output::Table(walk.add_table(TablePlan {
                node,
                origin: TableOrigin::Aggregate,
                store: Some(store),
                view: ViewSlot::kept(view),
                sends_old: false,
                key_serde,
                value_serde: SerdeSlot::none(),
                topics: stream.topics,
            }))
        }))
    }
}

/// The store of windows of time. `hides`: operators do not see what is older than the retention.
pub(super) fn windowed_store<K: Data, A: Data>(
    walk: &mut Walk,
    settings: &StoreSettings,
    generated: Option<String>,
    key_serde: &SerdeSlot,
    cut: Cut,
    hides: bool,
) -> StoreDefinition {
    if let Some(fault) = cut.fault() {
        walk.faults.push(format!("`windowed_by`: {fault}"));
    }
    let retention_ms = walk.retention_ms(settings, cut.retention_ms());
    let (size_ms, in_memory) = (cut.size_ms(), settings.in_memory);
    let windows = WindowSettings { size_ms, retention_ms, hides, in_memory };
    window_store::<K, A>(settings, generated, key_serde, windows)
}

/// The serde of windowed keys. `size_ms`: how long a window is; of sessions 0.
pub(super) fn windowed_key<K: Data, W: Window>(
    settings: &StoreSettings,
    key_serde: &SerdeSlot,
    size_ms: i64,
) -> SerdeSlot {
    let inner = settings.key_serde::<K>().unwrap_or_else(|| key_serde.or_default::<K>());
    SerdeSlot::of::<Windowed<K, W>>(Arc::new(KnownWindowedSerde { inner, size_ms }))
}

/// The closures of an aggregation, shared by all tasks.
pub(in crate::dsl) struct Closures<I, F> {
    pub(in crate::dsl) initial: Arc<I>,
    pub(in crate::dsl) combine: Arc<F>,
}

impl<I, F> Clone for Closures<I, F> {
    fn clone(&self) -> Self {
        Closures { initial: Arc::clone(&self.initial), combine: Arc::clone(&self.combine) }
    }
}

/// How aggregating, reducing and counting differ.
pub(super) type Combined<A> = Result<Option<A>>;
