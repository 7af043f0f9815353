//! Joins of tables by a key inside the left row.

use std::sync::Arc;

use super::graph::{
    Output, PlanNode, RepartitionTypes, SerdeSlot, TableOrigin, TablePlan, TypedRepartition, ViewSlot, Walk,
    result_store, subscription_store, view,
};
use super::ktable::{KTable, optional_store};
use super::table_joined::TableJoined;
use crate::data::{Data, Nullable, Outcome};
use crate::error::Result;
use crate::operators::foreign_key::{
    Answer, Codec, FanOut, Receive, Resolve, Response, ResponseSerde, Subscribe, Subscription,
    SubscriptionSerde,
};
use crate::operators::{StoreGetter, TableSource, TableView};
use crate::processor::{NodeInit, NodeSupplier};
use crate::serdes::Serde;
use crate::state::{KeyValue, StoreFor, StoreSettings};
use crate::topic::Partitioner;
use crate::topology::{NodeKind, RepartitionTopic, SinkTopic, SourceDefinition, Topology};

impl<K: Data, V: Data> KTable<K, V> {
    /// The rows whose foreign key has a row in the other table, joined with it: `foreign_key` picks the key from a row
    /// of this table. `None` is no foreign key. The joiner's `None` deletes the row.
    ///
    /// ```text
    /// orders     (1, ada: tea) ─────────────────────── (1, gone) ──▶
    /// customers  ───────────── (ada, Ada) (ada, A. L.) ────────────▶
    /// joined     ───────────── (1, tea for Ada) (1, tea for A. L.) (1, gone) ▶
    /// ```
    ///
    /// Many rows may have one foreign key: a change of the other table's row updates all of them. The tables need not
    /// have the same number of partitions; subscriptions and answers travel over two topics of the application's own.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (orders, customers) = (builder.table("orders"), builder.table("customers"));
    /// orders
    ///     .foreign_key_join(&customers, |order| order[..3].to_string(), |order, name| format!("{} for {name}", &order[5..]))
    ///     .to_stream()
    ///     .to("joined");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe("1", "ada: tea");
    /// driver.input("customers").pipe("ada", "Ada");
    /// driver.input("customers").pipe("ada", "A. L.");
    /// driver.input("orders").pipe_tombstone("1");
    /// let joined = driver.output(Topic::<String, Option<String>>::new("joined"));
    /// let rows: Vec<_> = joined.read_key_values().into_iter().map(|(_, row)| row).collect();
    /// assert_eq!(rows, [Some("tea for Ada".to_string()), Some("tea for A. L.".to_string()), None]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn foreign_key_join<KO: Data, VO: Data, Q: Outcome<KO>, R: Nullable>(
        &self,
        other: &KTable<KO, VO>,
        foreign_key: impl Fn(&V) -> Q + Send + Sync + 'static,
        joiner: impl Fn(&V, &VO) -> R + Send + Sync + 'static,
    ) -> KTable<K, R::Present> {
        let joiner = move |_: &K, row: &V, other: Option<&VO>| {
            other.and_then(|other| joiner(row, other).into_present())
        };
        let foreign_key = move |_: &K, row: &V| foreign_key(row).outcome();
        let kind = Kind { method: "foreign_key_join", left: false };
        self.foreign_joined(kind, other, foreign_key, joiner, TableJoined::new(), StoreSettings::unnamed())
    }

    /// [`foreign_key_join`](KTable::foreign_key_join) whose closure is also given the key, with options
    /// (or just a name), and into a queryable store.
    pub fn foreign_key_join_with<KO: Data, VO: Data, Q: Outcome<KO>, R: Nullable>(
        &self,
        other: &KTable<KO, VO>,
        foreign_key: impl Fn(&K, &V) -> Q + Send + Sync + 'static,
        joiner: impl Fn(&K, &V, &VO) -> R + Send + Sync + 'static,
        options: impl Into<TableJoined<K, KO>>,
        store: impl StoreFor<KeyValue<K, R::Present>>,
    ) -> KTable<K, R::Present> {
        let joiner = move |key: &K, row: &V, other: Option<&VO>| {
            other.and_then(|other| joiner(key, row, other).into_present())
        };
        let foreign_key = move |key: &K, row: &V| foreign_key(key, row).outcome();
        let kind = Kind { method: "foreign_key_join_with", left: false };
        self.foreign_joined(kind, other, foreign_key, joiner, options.into(), store.into_store().settings)
    }

    /// All rows of this table, each with the row of the other table that its foreign key names, if it names one (`None` is none)
    /// and there is one.
    ///
    /// ```text
    /// orders     (1, ada: tea) ──────────────────────── (1, null) ──▶
    /// customers  ─────────────── (ada, Ada) ────────────────────────▶
    /// joined     (1, tea for -)  (1, tea for Ada) ───── (1, null) ──▶
    /// ```
    ///
    /// A deletion in this table deletes the row, one in the other table updates it.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let (orders, customers) = (builder.table("orders"), builder.table("customers"));
    /// let joined = orders.left_foreign_key_join(
    ///     &customers,
    ///     |order| order[..3].to_string(),
    ///     |order, name| format!("{} for {}", &order[5..], name.map_or("-", |name| name)),
    /// );
    /// joined.to_stream().to("joined");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe("1", "ada: tea");
    /// driver.input("customers").pipe("ada", "Ada");
    /// driver.input("orders").pipe_tombstone("1");
    /// let joined = driver.output(Topic::<String, Option<String>>::new("joined"));
    /// let rows: Vec<_> = joined.read_key_values().into_iter().map(|(_, row)| row).collect();
    /// assert_eq!(rows, [Some("tea for -".to_string()), Some("tea for Ada".to_string()), None]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn left_foreign_key_join<KO: Data, VO: Data, Q: Outcome<KO>, R: Nullable>(
        &self,
        other: &KTable<KO, VO>,
        foreign_key: impl Fn(&V) -> Q + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&VO>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R::Present> {
        let joiner = move |_: &K, row: &V, other: Option<&VO>| joiner(row, other).into_present();
        let foreign_key = move |_: &K, row: &V| foreign_key(row).outcome();
        let kind = Kind { method: "left_foreign_key_join", left: true };
        self.foreign_joined(kind, other, foreign_key, joiner, TableJoined::new(), StoreSettings::unnamed())
    }

    /// [`left_foreign_key_join`](KTable::left_foreign_key_join) whose closure is also given the key,
    /// with options (or just a name), and into a queryable store.
    pub fn left_foreign_key_join_with<KO: Data, VO: Data, Q: Outcome<KO>, R: Nullable>(
        &self,
        other: &KTable<KO, VO>,
        foreign_key: impl Fn(&K, &V) -> Q + Send + Sync + 'static,
        joiner: impl Fn(&K, &V, Option<&VO>) -> R + Send + Sync + 'static,
        options: impl Into<TableJoined<K, KO>>,
        store: impl StoreFor<KeyValue<K, R::Present>>,
    ) -> KTable<K, R::Present> {
        let joiner = move |key: &K, row: &V, other: Option<&VO>| joiner(key, row, other).into_present();
        let foreign_key = move |key: &K, row: &V| foreign_key(key, row).outcome();
        let kind = Kind { method: "left_foreign_key_join_with", left: true };
        self.foreign_joined(kind, other, foreign_key, joiner, options.into(), store.into_store().settings)
    }

    fn foreign_joined<KO: Data, VO: Data, R: Data, X, F>(
        &self,
        kind: Kind,
        other: &KTable<KO, VO>,
        foreign_key: X,
        joiner: F,
        options: TableJoined<K, KO>,
        settings: StoreSettings,
    ) -> KTable<K, R>
    where
        X: Fn(&K, &V) -> Result<Option<KO>> + Send + Sync + 'static,
        F: Fn(&K, &V, Option<&VO>) -> Option<R> + Send + Sync + 'static,
    {
        self.handle.graph.same_builder(&other.handle.graph, kind.method);
        let (foreign_key, joiner) = (Arc::new(foreign_key), Arc::new(joiner));
        let (left, right) = (self.handle.operation, other.handle.operation);
        let TableJoined { name: given, partitioner, other_partitioner } = options;
        KTable::of(self.handle.record(kind.method, true, move |walk, call| {
            let (left, right) = (walk.table(left), walk.table(right));
            let names = Names::of(walk, call.name.as_deref().or(given.as_deref()));
            let generated = walk.store_name(Some(&settings), "KTABLE-FK-JOIN-OUTPUT-");
            let is_named = generated.is_none();
            // A foreign key that changes must be told to the one before.
            walk.send_old(left, true);
            walk.need_view(left);
            walk.need_view(right);
            let (left_table, right_table) = (&walk.tables[left], &walk.tables[right]);
            let serdes = Serdes::<K, V, KO, VO> {
                left_key: left_table.key_serde.or_default::<K>(),
                left_value: left_table.value_serde.or_default::<V>(),
                right_key: right_table.key_serde.or_default::<KO>(),
                right_value: right_table.value_serde.or_default::<VO>(),
            };
            let key_serde = left_table.key_serde.clone();
            let (left_topics, right_topics) = (left_table.topics.clone(), right_table.topics.clone());
            let parents = [left_table.node, right_table.node];
            let reserved = result_store::<K, R>(&settings, generated, &key_serde, &SerdeSlot::none());
            walk.copartition([right_topics, vec![names.subscriptions.clone()]]);
            let topics = walk.copartition([left_topics, vec![names.responses.clone()]]);

            let table = walk.next_table();
            let (foreign_key, joiner) = (Arc::clone(&foreign_key), Arc::clone(&joiner));
            let (partitioner, other_partitioner) = (partitioner.clone(), other_partitioner.clone());
            let on_error = call.on_error.clone();
            let node = PlanNode::new(names.result.clone(), move |lowering, parents| {
                let (left_rows, right_rows) =
                    (view::<K, V>(lowering.tables, left), view::<KO, VO>(lowering.tables, right));
                let (store, sends_old) = {
                    let plan = &lowering.tables[table];
                    (plan.store.as_ref().map(|store| store.name.clone()), plan.sends_old)
                };
                let (names, topology) = (&names, &mut lowering.topology);
                let processor = NodeKind::Processor;

                let subscribe = serdes.subscribe(&names.subscriptions, kind.left, Arc::clone(&foreign_key));
                let subscribe = topology.add_node(
                    &names.subscribe,
                    processor.clone(),
                    subscribe,
                    &[parents[0]],
                    on_error.clone(),
                );
                let pick = other_partitioner.clone().map(|pick| -> Partitioner<Option<KO>, Subscription> {
                    Arc::new(move |key, _, count| key.as_ref().map(|key| pick(key, count)))
                });
                let subscriptions = TypedRepartition::<Option<KO>, Subscription> {
                    key: Option::<KO>::lift_serde(Arc::clone(&serdes.right_key)),
                    value: SubscriptionSerde::shared(),
                    partitioner: pick,
                };
                let source = write_topic(
                    topology,
                    &subscriptions,
                    &names.subscriptions,
                    (&names.subscription_sink, &[subscribe]),
                    &names.subscription_source,
                );

                topology.add_store(subscription_store(&names.store));
                let receive = serdes.receive(&names.subscriptions, &names.store);
                let receive = topology.add_node(&names.receive, processor.clone(), receive, &[source], None);
                topology.connect(receive, &names.store);
                let answer = serdes.answer(&names.subscriptions, right_rows.clone());
                let answer = topology.add_node(&names.answer, processor.clone(), answer, &[receive], None);
                right_rows.stores.iter().for_each(|store| topology.connect(answer, store));
                let fan_out = serdes.fan_out(&names.subscriptions, &names.store);
                let fan_out =
                    topology.add_node(&names.fan_out, processor.clone(), fan_out, &[parents[1]], None);
                topology.connect(fan_out, &names.store);

                let own = partitioner.clone();
                let responses = TypedRepartition::<K, Response> {
                    key: Arc::clone(&serdes.left_key),
                    value: ResponseSerde::shared(),
                    partitioner: Some(Arc::new(move |key, response, count| match &own {
                        Some(pick) => Some(pick(key, count)),
                        None => response.partition,
                    })),
                };
                let source = write_topic(
                    topology,
                    &responses,
                    &names.responses,
                    (&names.response_sink, &[answer, fan_out]),
                    &names.response_source,
                );

                let resolve = serdes.resolve::<R, F>(
                    &names.subscriptions,
                    left_rows.clone(),
                    kind.left,
                    Arc::clone(&joiner),
                );
                let resolve = topology.add_node(
                    &names.resolve,
                    processor.clone(),
                    resolve,
                    &[source],
                    on_error.clone(),
                );
                left_rows.stores.iter().for_each(|store| topology.connect(resolve, store));
                let result = NodeSupplier::of(move |init| {
                    let store = optional_store(init, store.as_deref(), sends_old)?;
                    Ok(TableSource::<K, Option<R>>::new(store))
                });
                let result = topology.add_node(&names.result, processor, result, &[resolve], None);
                lowering.keep_table(table, result);
                result
            });
            let node = walk.add(node, &parents);
            Output::Table(walk.add_table(TablePlan {
                node,
                store: is_named.then(|| reserved.clone()),
                origin: TableOrigin::Source { reserved },
                view: ViewSlot::kept::<K, R>(|store| TableView::of_store(store, StoreGetter)),
                sends_old: false,
                key_serde,
                value_serde: SerdeSlot::none(),
                topics,
            }))
        }))
    }
}

/// Which join it is.
#[derive(Clone, Copy)]
struct Kind {
    method: &'static str,
    /// Left rows without a right one have a result too.
    left: bool,
}

/// The names of a join's nodes, topics and store.
struct Names {
    subscriptions: String,
    subscribe: String,
    subscription_sink: String,
    subscription_source: String,
    store: String,
    receive: String,
    answer: String,
    fan_out: String,
    responses: String,
    response_sink: String,
    response_source: String,
    resolve: String,
    result: String,
}

impl Names {
    fn of(walk: &mut Walk, given: Option<&str>) -> Self {
        let mut name = |suffix: &str, prefix: &str| {
            walk.name(given.map(|given| format!("{given}-{suffix}")).as_deref(), prefix)
        };
        Names {
            subscriptions: name("subscription-registration", "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-")
                + "-topic",
            subscribe: name(
                "subscription-registration-processor",
                "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-",
            ),
            subscription_sink: name("subscription-registration-sink", "KTABLE-SINK-"),
            subscription_source: name("subscription-registration-source", "KTABLE-SOURCE-"),
            store: name("subscription-store", "KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-"),
            receive: name("subscription-receive", "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-"),
            answer: name("subscription-join-foreign", "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-"),
            fan_out: name("foreign-join-subscription", "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-"),
            responses: name("subscription-response", "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-") + "-topic",
            response_sink: name("subscription-response-sink", "KTABLE-SINK-"),
            response_source: name("subscription-response-source", "KTABLE-SOURCE-"),
            resolve: name(
                "subscription-response-resolver",
                "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR-",
            ),
            result: name("result", "KTABLE-FK-JOIN-OUTPUT-"),
        }
    }
}

/// Writes a topic of the join's own: the node that writes it below `parents`, and the one that reads it.
fn write_topic(
    topology: &mut Topology,
    types: &dyn RepartitionTypes,
    topic: &str,
    (sink, parents): (&str, &[usize]),
    source: &str,
) -> usize {
    topology.repartition_topics.insert(topic.to_owned(), RepartitionTopic { partitions: None });
    let kind = NodeKind::Sink(SinkTopic::Static(topic.to_owned()));
    topology.add_node(sink, kind, types.sink(topic), parents, None);
    let definition =
        SourceDefinition { topics: vec![topic.to_owned()], pattern: None, offset_reset: None, global: false };
    topology.add_node(source, NodeKind::Source(definition), types.source(), &[], None)
}

/// The serdes of both tables, of which the nodes are made.
struct Serdes<K, V, KO, VO> {
    left_key: Arc<dyn Serde<K>>,
    left_value: Arc<dyn Serde<V>>,
    right_key: Arc<dyn Serde<KO>>,
    right_value: Arc<dyn Serde<VO>>,
}

/// What serdes are told, in Kafka Streams' words: topics that do not exist, named after that of the subscriptions.
fn pseudo_topic(init: &NodeInit<'_>, topic: &str, suffix: &str) -> String {
    format!("{}-{suffix}", init.topic_name(topic))
}

impl<K: Data, V: Data, KO: Data, VO: Data> Serdes<K, V, KO, VO> {
    fn subscribe<X>(&self, topic: &str, left: bool, foreign_key: Arc<X>) -> NodeSupplier
    where
        X: Fn(&K, &V) -> Result<Option<KO>> + Send + Sync + 'static,
    {
        let (topic, left_key, left_value) = (topic.to_owned(), self.left_key(), self.left_value());
        let foreign = self.foreign();
        NodeSupplier::of(move |init| {
            let codecs = (left_key(init, &topic), left_value(init, &topic), foreign(init, &topic));
            Ok(Subscribe::<K, V, KO, X>::new(Arc::clone(&foreign_key), left, codecs))
        })
    }

    fn receive(&self, topic: &str, store: &str) -> NodeSupplier {
        let (topic, store, foreign) = (topic.to_owned(), store.to_owned(), self.foreign());
        NodeSupplier::of(move |init| {
            let foreign = foreign(init, &topic);
            Receive::<KO>::new(init, &store, foreign)
        })
    }

    fn answer(&self, topic: &str, right: TableView<KO, VO>) -> NodeSupplier {
        let (topic, left_key, right_value) = (topic.to_owned(), self.left_key(), self.right_value());
        NodeSupplier::of(move |init| {
            let rows = right.getter(init)?;
            Ok(Answer::<K, KO, VO>::new(rows, left_key(init, &topic), right_value(init, &topic)))
        })
    }

    fn fan_out(&self, topic: &str, store: &str) -> NodeSupplier {
        let (topic, store) = (topic.to_owned(), store.to_owned());
        let (left_key, foreign, right_value) = (self.left_key(), self.foreign(), self.right_value());
        NodeSupplier::of(move |init| {
            let codecs = (left_key(init, &topic), foreign(init, &topic), right_value(init, &topic));
            FanOut::<K, KO, VO>::new(init, &store, codecs)
        })
    }

    fn resolve<R: Data, F>(
        &self,
        topic: &str,
        left_rows: TableView<K, V>,
        left: bool,
        joiner: Arc<F>,
    ) -> NodeSupplier
    where
        F: Fn(&K, &V, Option<&VO>) -> Option<R> + Send + Sync + 'static,
    {
        let (topic, left_value, right_value) = (topic.to_owned(), self.left_value(), self.right_value());
        NodeSupplier::of(move |init| {
            let rows = left_rows.getter(init)?;
            let codecs = (left_value(init, &topic), right_value(init, &topic));
            Ok(Resolve::<K, V, VO, R, F>::new(rows, left, codecs, Arc::clone(&joiner)))
        })
    }

    fn left_key(&self) -> impl Fn(&NodeInit<'_>, &str) -> Codec<K> + use<K, V, KO, VO> {
        let serde = Arc::clone(&self.left_key);
        move |init, topic| Codec::of_key(Arc::clone(&serde), &pseudo_topic(init, topic, "pk"))
    }

    fn left_value(&self) -> impl Fn(&NodeInit<'_>, &str) -> Codec<V> + use<K, V, KO, VO> {
        let serde = Arc::clone(&self.left_value);
        move |init, topic| Codec::of_value(Arc::clone(&serde), &pseudo_topic(init, topic, "vh"))
    }

    fn foreign(&self) -> impl Fn(&NodeInit<'_>, &str) -> Codec<KO> + use<K, V, KO, VO> {
        let serde = Arc::clone(&self.right_key);
        move |init, topic| Codec::of_key(Arc::clone(&serde), &pseudo_topic(init, topic, "fk"))
    }

    fn right_value(&self) -> impl Fn(&NodeInit<'_>, &str) -> Codec<VO> + use<K, V, KO, VO> {
        let serde = Arc::clone(&self.right_value);
        move |init, topic| Codec::of_value(Arc::clone(&serde), &init.topic_name(topic))
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    fn letter(text: &str) -> Option<String> {
        text.chars().next().filter(|letter| letter.is_alphabetic()).map(String::from)
    }

    /// Sends records to `left` and `right` and gives what came out of both joins.
    fn joined(left: bool, input: &[(&str, &str, Option<&str>)]) -> (Vec<(String, Option<String>)>, u64) {
        let builder = StreamsBuilder::new();
        let (rows, others) = (builder.table("left"), builder.table("right"));
        let both =
            |row: &String, other: Option<&String>| format!("{row}+{}", other.map_or("-", |other| other));
        let table = match left {
            true => rows.left_foreign_key_join(&others, |row| letter(row), both),
            false => {
                rows.foreign_key_join(&others, |row| letter(row), move |row, other| both(row, Some(other)))
            }
        };
        table.to_stream().to("out");
        let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
        for (topic, key, value) in input {
            match value {
                Some(value) => driver.input(*topic).pipe(*key, *value),
                None => driver.input(*topic).pipe_tombstone(*key),
            }
        }
        let out = driver.output(Topic::<String, Option<String>>::new("out")).read_key_values();
        (out, driver.dropped_records())
    }

    fn check(
        left: bool,
        input: &[(&str, &str, Option<&str>)],
        expected: &[(&str, Option<&str>)],
        dropped: u64,
    ) {
        let expected: Vec<(String, Option<String>)> =
            expected.iter().map(|(key, row)| (key.to_string(), row.map(str::to_owned))).collect();
        assert_eq!(joined(left, input), (expected, dropped));
    }

    #[test]
    fn many_rows_have_one_foreign_key() {
        check(
            false,
            &[
                ("left", "2", Some("a2")),
                ("left", "1", Some("a1")),
                ("right", "a", Some("A")),
                ("right", "a", None),
            ],
            &[("1", Some("a1+A")), ("2", Some("a2+A")), ("1", None), ("2", None)],
            0,
        );
    }

    #[test]
    fn a_row_without_a_foreign_key_leaves_an_inner_join() {
        let input = [
            ("right", "a", Some("A")),
            ("left", "1", Some("a1")),
            ("left", "1", Some("?")),
            ("left", "1", Some("a3")),
            ("left", "1", None),
        ];
        check(false, &input, &[("1", Some("a1+A")), ("1", None), ("1", Some("a3+A")), ("1", None)], 1);
        let left = [("1", Some("a1+A")), ("1", Some("?+-")), ("1", Some("a3+A")), ("1", None)];
        check(true, &input, &left, 0);
    }

    #[test]
    fn a_prefix_of_a_foreign_key_is_another_foreign_key() {
        let builder = StreamsBuilder::new();
        let (rows, others) = (builder.table("left"), builder.table("right"));
        let joined = rows.foreign_key_join(&others, |row| row.clone(), |row, other| format!("{row}+{other}"));
        joined.updates().to("out");
        let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
        driver.input("left").pipe("1", "ab");
        driver.input("left").pipe("b1", "a");
        driver.input("right").pipe("a", "A");
        let out = driver.output("out").read_key_values();
        assert_eq!(out, [(Some("b1".to_string()), "a+A".to_string())]);
    }

    #[test]
    fn a_table_joins_itself() {
        let builder = StreamsBuilder::new();
        let people = builder.table("people");
        let boss = |row: &String| row.split(' ').nth(1).map(str::to_owned);
        people.foreign_key_join(&people, boss, |row, boss| format!("{row} ({boss})")).updates().to("out");
        let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
        driver.input("people").pipe("1", "Ada 2");
        driver.input("people").pipe("2", "Bob");
        let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, row)| row).collect();
        assert_eq!(out, ["Ada 2 (Bob)"]);
    }
}
