//! Several grouped streams that make one aggregate: each brings its own aggregator, all share the store.

use std::marker::PhantomData;
use std::sync::Arc;

use super::graph::{Output, PlanNode, SerdeSlot, TableOrigin, TablePlan, ViewSlot, Walk, result_store};
use super::handle::Handle;
use super::kgrouped_stream::KGroupedStream;
use super::ktable::KTable;
use super::windowed::{Closures, WindowSpec, fixed, session, sliding};
use crate::data::{Data, Item, Nullable, Outcome};
use crate::error::Result;
use crate::operators::{Aggregate, Pass, ResultStore, StoreGetter, TableView};
use crate::processor::{Change, NodeSupplier, Part};
use crate::state::{KeyValue, Store, StoreFor, StoreSettings};
use crate::topology::{NodeKind, StoreDefinition};
use crate::windows::{Cut, Session, Sliding, Tumbling, Unlimited};

/// Grouped streams whose records of one key are to be aggregated together.
///
/// ```text
/// clicks  ──(ada, /home)──────────────(ada, /help)──▶  aggregator of clicks ┐
///                                                                           ├─▶ one row a key
/// orders  ────────────────(ada, tea)────────────────▶  aggregator of orders ┘
/// ```
///
/// Null keys are dropped, and so are null values unless windows follow that take them (see
/// [`windowed_by`](CogroupedKStream::windowed_by)). The topics need the same number of partitions.
pub struct CogroupedKStream<K, A> {
    pub(super) initial: Arc<dyn Fn() -> A + Send + Sync>,
    /// In the order of the calls; never empty.
    members: Vec<Member<K, A>>,
}

/// A stream and what its records do to the aggregate.
struct Member<K, A> {
    handle: Handle,
    aggregator: Arc<dyn Aggregator<K, A>>,
}

impl<K, A> Clone for Member<K, A> {
    fn clone(&self) -> Self {
        Member { handle: self.handle.clone(), aggregator: Arc::clone(&self.aggregator) }
    }
}

impl<K, A> Clone for CogroupedKStream<K, A> {
    fn clone(&self) -> Self {
        CogroupedKStream { initial: Arc::clone(&self.initial), members: self.members.clone() }
    }
}

impl<K: Data, V: Nullable> KGroupedStream<K, V> {
    /// Begins an aggregate of several grouped streams, this one the first: `initial` makes an empty aggregate,
    /// `aggregator` adds a record of this stream to it. `None` deletes the row, `Err` goes to the error policy.
    ///
    /// ```text
    /// clicks    (ada, /home) ────────────────────────────────────────▶
    /// orders    ─────────────────────── (ada, tea) ──────────────────▶
    /// profiles  (ada, saw /home) ────── (ada, saw /home bought tea) ─▶
    /// ```
    ///
    /// Null keys and null values are dropped. The result has the latest time of the values in it.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks").group_by_key();
    /// let orders = builder.stream("orders").group_by_key();
    /// clicks
    ///     .cogroup(String::new, |_, page, seen| seen + " saw " + &page)
    ///     .cogroup(&orders, |_, item, seen| seen + " bought " + &item)
    ///     .aggregate()
    ///     .updates()
    ///     .to("profiles");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada", "/home");
    /// driver.input("orders").pipe("ada", "tea");
    /// let profiles: Vec<_> = driver.output("profiles").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(profiles, [" saw /home", " saw /home bought tea"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn cogroup<A: Data, Q: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> Q + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        let initial: Arc<dyn Fn() -> A + Send + Sync> = Arc::new(initial);
        let members = vec![member(self, &initial, aggregator)];
        CogroupedKStream { initial, members }
    }
}

impl<K: Data, A: Data> CogroupedKStream<K, A> {
    /// Adds a grouped stream, with what its records do to the aggregate.
    #[must_use]
    pub fn cogroup<V: Nullable, Q: Outcome<A>>(
        &self,
        other: &KGroupedStream<K, V>,
        aggregator: impl Fn(&K, V, A) -> Q + Send + Sync + 'static,
    ) -> Self {
        self.first().handle.graph.same_builder(&other.handle.graph, "cogroup");
        let mut all = self.clone();
        all.members.push(member(other, &self.initial, aggregator));
        all
    }

    /// Cuts the streams into windows: `windowed_by(Tumbling::of(minutes(5)).grace(minutes(1)))`. As with a single
    /// stream, time windows and sessions show null values to the aggregators, if these take any; sliding windows do not.
    #[must_use]
    pub fn windowed_by<W: WindowSpec>(&self, windows: W) -> W::Of<Self> {
        windows.cut(self.clone())
    }

    /// Aggregates the values of each key, each stream's with its own aggregator. Null keys and null values are dropped; `None`
    /// deletes the row, `Err` goes to the error policy. See [`cogroup`](KGroupedStream::cogroup) for a figure and an example.
    pub fn aggregate(&self) -> KTable<K, A> {
        self.aggregated("aggregate", StoreSettings::unnamed())
    }

    /// Aggregates the values of each key into a queryable store.
    pub fn aggregate_with(&self, store: impl StoreFor<KeyValue<K, A>>) -> KTable<K, A> {
        let store: Store<KeyValue<K, A>> = store.into_store();
        self.aggregated("aggregate_with", store.settings)
    }

    fn aggregated(&self, method: &'static str, settings: StoreSettings) -> KTable<K, A> {
        let kept = settings.clone();
        self.table(
            Cogroup { method, settings, grace_ms: None },
            move |_, generated, key| result_store::<K, A>(&kept, generated, key, &SerdeSlot::none()),
            |store| TableView::of_store(store, StoreGetter),
            SerdeSlot::clone,
            |aggregator, store, sends_old| aggregator.plain(store, sends_old),
        )
    }

    /// Records the aggregation, whatever its windows: a node for each stream, which share the store, and one below all
    /// of them, which is the table.
    pub(super) fn table<KR: Item>(
        &self,
        Cogroup { method, settings, grace_ms }: Cogroup,
        make_store: impl Fn(&mut Walk, Option<String>, &SerdeSlot) -> StoreDefinition + Send + 'static,
        view: fn(&str) -> TableView<KR, A>,
        table_key: impl Fn(&SerdeSlot) -> SerdeSlot + Send + 'static,
        supplier: impl Fn(&dyn Aggregator<K, A>, &str, bool) -> NodeSupplier + Send + Sync + 'static,
    ) -> KTable<KR, A> {
        let members = self.members.clone();
        let supplier = Arc::new(supplier);
        KTable::of(self.first().handle.record(method, true, move |walk, call| {
            let generated = walk.store_name(Some(&settings), "COGROUPKSTREAM-AGGREGATE-");
            let key_serde = walk.grouped(members[0].handle.operation).key_serde.clone();
            let store = make_store(walk, generated, &key_serde);
            let streams: Vec<_> = (members.iter().enumerate())
                .map(|(at, member)| walk.cogrouped_stream(member.handle.operation, &store.name, at))
                .collect();
            let table = walk.next_table();
            let mut parents = Vec::with_capacity(members.len());
            for (at, (member, stream)) in members.iter().zip(&streams).enumerate() {
                let given = call.name.as_ref().map(|name| format!("{name}-cogroup-agg-{at}"));
                let name = walk.name(given.as_deref(), "COGROUPKSTREAM-AGGREGATE-");
                let without_null_keys = walk.grouped(member.handle.operation).without_null_keys;
                let (aggregator, supplier) = (Arc::clone(&member.aggregator), Arc::clone(&supplier));
                let (node_name, store, on_error) = (name.clone(), store.name.clone(), call.on_error.clone());
                let mut node = PlanNode::new(name, move |lowering, parents| {
                    let sends_old = lowering.tables[table].sends_old;
                    let supplier = without_null_keys(supplier(&*aggregator, &store, sends_old));
                    let kind = NodeKind::Processor;
                    let node =
                        lowering.topology.add_node(&node_name, kind, supplier, parents, on_error.clone());
                    lowering.keep_table(table, node);
                    node
                });
                node.grace_ms = grace_ms;
                parents.push(walk.add(node, &[stream.node]));
            }
            let given = call.name.as_ref().map(|name| format!("{name}-cogroup-merge"));
            let name = walk.name(given.as_deref(), "COGROUPKSTREAM-MERGE-");
            let meet = NodeSupplier::of(|_| Ok(Pass::<KR, Change<A>>::new()));
            let node = walk.add(PlanNode::processor(name, meet, None), &parents);
            let topics = walk.copartition(streams.into_iter().map(|stream| stream.topics));
            Output::Table(walk.add_table(TablePlan {
                node,
                origin: TableOrigin::Aggregate,
                store: Some(store),
                view: ViewSlot::kept(view),
                sends_old: false,
                key_serde: table_key(&key_serde),
                value_serde: SerdeSlot::none(),
                topics,
            }))
        }))
    }

    fn first(&self) -> &Member<K, A> {
        &self.members[0]
    }
}

/// What tells one aggregation of several streams from another.
pub(super) struct Cogroup {
    /// The method that was called.
    pub(super) method: &'static str,
    pub(super) settings: StoreSettings,
    /// How long after its end a window may still change; `None`: there are no windows, or they never end.
    pub(super) grace_ms: Option<i64>,
}

/// An aggregator without the type of its stream's values.
pub(super) trait Aggregator<K, A>: Send + Sync {
    /// A node that aggregates by key.
    fn plain(&self, store: &str, sends_old: bool) -> NodeSupplier;

    /// A node that aggregates by key and window of time.
    fn windowed(&self, store: &str, sends_old: bool, cut: Cut) -> NodeSupplier;

    /// A node that aggregates by key and session.
    fn in_sessions(
        &self,
        store: &str,
        sends_old: bool,
        windows: Session,
        merger: Merger<K, A>,
    ) -> NodeSupplier;
}

/// Makes one aggregate of those of two sessions, the earlier first.
pub(super) type Merger<K, A> = Arc<dyn Fn(&K, Option<A>, A) -> Result<Option<A>> + Send + Sync>;

struct TypedAggregator<K, V, A, I, F> {
    closures: Closures<I, F>,
    types: PhantomData<fn(K, V, A)>,
}

fn member<K: Data, V: Nullable, A: Data, Q: Outcome<A>>(
    grouped: &KGroupedStream<K, V>,
    initial: &Arc<dyn Fn() -> A + Send + Sync>,
    aggregator: impl Fn(&K, V, A) -> Q + Send + Sync + 'static,
) -> Member<K, A> {
    let (initial, first) = (Arc::clone(initial), Arc::clone(initial));
    let combine = move |key: &K, value: Part<'_, V>, so_far: Option<A>| {
        aggregator(key, value.take(), so_far.unwrap_or_else(|| first())).outcome()
    };
    let closures = Closures { initial: Arc::new(move || Some(initial())), combine: Arc::new(combine) };
    let aggregator = Arc::new(TypedAggregator { closures, types: PhantomData::<fn(K, V, A)> });
    Member { handle: grouped.handle.clone(), aggregator }
}

impl<K, V, A, I, F> Aggregator<K, A> for TypedAggregator<K, V, A, I, F>
where
    K: Data,
    V: Nullable,
    A: Data,
    I: Fn() -> Option<A> + Send + Sync + 'static,
    F: Fn(&K, Part<'_, V>, Option<A>) -> Result<Option<A>> + Send + Sync + 'static,
{
    fn plain(&self, store: &str, sends_old: bool) -> NodeSupplier {
        let Closures { initial, combine } = self.closures.clone();
        let combine = Arc::new(move |key: &K, value: Part<'_, V::Present>, so_far: Option<A>| {
            combine(key, Part::Owned(&mut Some(V::from_present(value.take()))), so_far)
        });
        let name = store.to_owned();
        NodeSupplier::of(move |init| {
            let store = ResultStore::own(init, &name, sends_old)?;
            Ok(Aggregate::<K, V, A, I, _>::new(store, Arc::clone(&initial), Arc::clone(&combine)))
        })
    }

    fn windowed(&self, store: &str, sends_old: bool, cut: Cut) -> NodeSupplier {
        let closures = &self.closures;
        match cut {
            Cut::Sliding { difference, grace } => {
                let windows = (difference, grace);
                sliding::<K, V, A, Sliding, I, F>(store, sends_old, windows, false, closures)
            }
            Cut::Fixed { .. } => fixed::<K, V, A, Tumbling, I, F>(store, sends_old, cut, false, closures),
            Cut::Unlimited { .. } => {
                fixed::<K, V, A, Unlimited, I, F>(store, sends_old, cut, false, closures)
            }
        }
    }

    fn in_sessions(
        &self,
        store: &str,
        sends_old: bool,
        windows: Session,
        merger: Merger<K, A>,
    ) -> NodeSupplier {
        let merge = Arc::new(move |key: &K, a: Option<A>, b: A| merger(key, a, b));
        session::<K, V, A, I, F, _>(store, sends_old, windows, false, &self.closures, merge)
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    fn grouped(b: &StreamsBuilder, topic: &str) -> KGroupedStream<String, String> {
        b.stream(topic).group_by(|_, text| text[..1].to_owned())
    }

    #[test]
    fn rekeyed_streams_meet_behind_topics_of_their_own() {
        let builder = StreamsBuilder::new();
        let (a, b) = (grouped(&builder, "a"), grouped(&builder, "b").named("by-letter"));
        let c = grouped(&builder, "c");
        a.cogroup(String::new, |_, v, all| all + &v)
            .cogroup(&b, |_, v, all| all + &v)
            .cogroup(&c, |_, v, all| all + &v)
            .aggregate()
            .named("all")
            .updates()
            .to("out");
        let topology = builder.build().unwrap();
        let store = "COGROUPKSTREAM-AGGREGATE-STATE-STORE-0000000006";
        let topics: Vec<&String> = topology.repartition_topics.keys().collect();
        let expected = [
            format!("{store}-2-repartition"),
            format!("{store}-repartition"),
            "by-letter-repartition".into(),
        ];
        assert_eq!(topics, expected.iter().collect::<Vec<_>>());
        assert!(topology.describe().contains("all-cogroup-merge"), "{}", topology.describe());

        let driver = TestDriver::new(&topology).unwrap();
        driver.input("a").pipe("1", "xa");
        driver.input("b").pipe("2", "xb");
        driver.input("c").pipe("3", "xc");
        let out = driver.output("out").read_key_values();
        assert_eq!(out.last().unwrap(), &(Some("x".to_string()), "xaxbxc".to_string()));
    }

    #[test]
    fn sliding_windows_and_errors() {
        let builder = StreamsBuilder::new();
        let (up, down) = (builder.stream("up").group_by_key(), builder.stream("down").group_by_key());
        up.cogroup(|| 0i64, |_, v, sum| v.parse::<i64>().map(|n| sum + n))
            .cogroup(&down, |_, v, sum| v.parse::<i64>().map(|n| sum - n))
            .windowed_by(Sliding::of(millis(10)).grace(millis(50)))
            .aggregate()
            .on_error(skip())
            .updates()
            .map(|key, sum| (key.window.start_ms.to_string(), sum.to_string()))
            .to("out");
        let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
        driver.input("up").pipe_at(20, "k", "5");
        driver.input("down").pipe_at(24, "k", "2");
        driver.input("down").pipe_at(25, "k", "two");
        let out: Vec<(Option<String>, String)> = driver.output("out").read_key_values();
        let rows: Vec<_> = out.iter().map(|(start, sum)| (start.as_deref().unwrap(), sum.as_str())).collect();
        // [10, 20] ends at the first record, [14, 24] at the second, [21, 31] begins just after the first.
        assert_eq!(rows, [("10", "5"), ("21", "-2"), ("14", "3")]);
        assert_eq!(driver.dropped_records(), 1);
    }

    #[test]
    fn streams_of_two_builders_do_not_mix() {
        let (one, two) = (StreamsBuilder::new(), StreamsBuilder::new());
        let (a, b) = (one.stream("a").group_by_key(), two.stream("b").group_by_key());
        a.cogroup(|| 0i64, |_, _, n| n).cogroup(&b, |_, _, n| n).aggregate();
        let error = one.build().unwrap_err().to_string();
        assert!(error.contains("`cogroup` joins handles of two builders"), "{error}");
    }
}
