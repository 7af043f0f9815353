//! How operators are tested: records in, records out.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use crate::data::Item;
use crate::error::Result;
use crate::headers::Headers;
use crate::outbox::{OutRecord, OutTopic, OutTopics, Outbox};
use crate::policy::skip;
use crate::processor::{
    Cell, Context, DropReason, Forward, InFlight, Latencies, Node, NodeSupplier, Nodes, Nothing, Operator,
    Origin, Part, Policies, RawInput, Source, Stage, TaskState,
};

type Records<K, V> = Vec<(K, V, i64)>;

/// Sends `input` through the operator and compares what it forwards, as (key, value, time).
pub(crate) fn check<O: Operator + 'static>(
    operator: O,
    input: Records<O::KeyIn, O::ValueIn>,
    expected: Records<O::KeyOut, O::ValueOut>,
) where
    O::KeyIn: Item,
    O::ValueIn: Item,
    O::KeyOut: Item + PartialEq + Debug,
    O::ValueOut: Item + PartialEq + Debug,
{
    check_drops(operator, input, expected, &[]);
}

/// The same, and how many records were dropped, by reason. Failed records are skipped.
pub(crate) fn check_drops<O: Operator + 'static>(
    operator: O,
    input: Records<O::KeyIn, O::ValueIn>,
    expected: Records<O::KeyOut, O::ValueOut>,
    drops: &[(DropReason, u64)],
) where
    O::KeyIn: Item,
    O::ValueIn: Item,
    O::KeyOut: Item + PartialEq + Debug,
    O::ValueOut: Item + PartialEq + Debug,
{
    // Each record goes through twice: owned by the operator, and lent to it while a sibling waits for it.
    let operator = Arc::new(Mutex::new(operator));
    for lent in [false, true] {
        let collected = Arc::new(Mutex::new(Vec::new()));
        let mut state = bare_state();
        let feed = Feed { records: input.clone().into_iter() };
        let shared = Shared(Arc::clone(&operator));
        let mut cells = vec![
            cell(feed_node(feed), if lent { vec![1, 3] } else { vec![1] }, Stage::Read),
            cell(operator_node(shared), vec![2], Stage::Process),
            cell(operator_node(Collect(Arc::clone(&collected))), vec![], Stage::Process),
        ];
        if lent {
            let sibling: Arc<Mutex<Records<O::KeyIn, O::ValueIn>>> = Arc::default();
            cells.push(cell(operator_node(Collect(sibling)), vec![], Stage::Process));
        }
        let mut nodes = Nodes::new(cells).unwrap();
        for _ in 0..input.len() {
            let topic: Arc<str> = "in".into();
            let origin =
                Origin { topic: Some(&topic), partition: 0, offset: 0, key: None, value: None, headers: &[] };
            let mut context = Context { outbox: &mut Closed, origin, state: &mut state };
            let raw = RawInput { offset: 0, timestamp: 0, key: None, value: None, headers: &[] };
            nodes.emit(0, 0, raw, 0, &mut context).unwrap();
        }
        assert_eq!(*collected.lock().unwrap(), expected, "lent: {lent}");
        for &(reason, count) in drops {
            assert_eq!(state.drops.of(reason), count, "{reason:?}, lent: {lent}");
        }
        assert_eq!(state.drops.total(), drops.iter().map(|(_, count)| count).sum::<u64>());
    }
}

/// A task's state without stores; failed records are skipped.
pub(crate) fn bare_state() -> TaskState {
    TaskState {
        stream_time: -1,
        wall_clock_ms: 0,
        topics: OutTopics::default(),
        policies: Policies::all(skip()),
        drops: Default::default(),
        memos: Default::default(),
        stores: Default::default(),
        punctuations: Default::default(),
        commit_requested: false,
        partition: 0,
        emit_interval_ms: 1_000,
    }
}

fn cell(node: Node, children: Vec<u32>, stage: Stage) -> Cell {
    Cell {
        node,
        name: "node".into(),
        children: children.into(),
        stage,
        on_error: None,
        latencies: Latencies::default(),
    }
}

fn operator_node<O: Operator + 'static>(operator: O) -> Node {
    let operator = Mutex::new(Some(operator));
    make(&NodeSupplier::of(move |_| Ok(operator.lock().unwrap().take().unwrap())))
}

fn feed_node<S: Source + 'static>(source: S) -> Node {
    let source = Mutex::new(Some(source));
    make(&NodeSupplier::of_source(move |_| Ok(source.lock().unwrap().take().unwrap())))
}

fn make(supplier: &NodeSupplier) -> Node {
    let mut init = crate::processor::NodeInit {
        application_id: "app",
        topics: &mut OutTopics::default(),
        memos: &mut Default::default(),
        stores: &Default::default(),
        globals: &Default::default(),
        listeners: &mut [],
        place: 0,
        name: "node",
        is_internal: &|_| false,
        queues: &[],
        task_id: crate::processor::TaskId { subtopology: 0, partition: 0 },
        children: &[],
        punctuations: &mut Default::default(),
    };
    supplier.make(&mut init).unwrap()
}

struct Feed<K, V> {
    records: std::vec::IntoIter<(K, V, i64)>,
}

impl<K: Item, V: Item> Source for Feed<K, V> {
    type Key = K;
    type Value = V;

    fn add_queue(&mut self, _: &Arc<str>) {}

    fn timestamp(&mut self, _: usize, record: RawInput<'_>, _: crate::topic::Clocks) -> Result<i64> {
        Ok(record.timestamp)
    }

    fn emit(&mut self, _: usize, _: RawInput<'_>, _: i64, out: &mut Forward<'_, '_, K, V>) -> Result<()> {
        let (key, value, timestamp) = self.records.next().expect("one record a call");
        let (mut key, mut value) = (Some(key), Some(value));
        let (key, value) = (Part::Owned(&mut key), Part::Owned(&mut value));
        out.forward(InFlight { key, value, timestamp, headers: &Headers::new() })
    }
}

struct Shared<O>(Arc<Mutex<O>>);

impl<O: Operator> Operator for Shared<O> {
    type KeyIn = O::KeyIn;
    type ValueIn = O::ValueIn;
    type KeyOut = O::KeyOut;
    type ValueOut = O::ValueOut;

    fn process(
        &mut self,
        record: InFlight<'_, O::KeyIn, O::ValueIn>,
        out: &mut Forward<'_, '_, O::KeyOut, O::ValueOut>,
    ) -> Result<()> {
        self.0.lock().unwrap().process(record, out)
    }
}

struct Collect<K, V>(Arc<Mutex<Records<K, V>>>);

impl<K: Item, V: Item> Operator for Collect<K, V> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = Nothing;
    type ValueOut = Nothing;

    fn process(
        &mut self,
        record: InFlight<'_, K, V>,
        _: &mut Forward<'_, '_, Nothing, Nothing>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, .. } = record;
        self.0.lock().unwrap().push((key.take(), value.take(), timestamp));
        Ok(())
    }
}

/// Takes nothing.
pub(crate) struct Closed;

impl Outbox for Closed {
    fn partition_count(&mut self, _: &OutTopic) -> Result<i32> {
        Ok(1)
    }

    fn append(&mut self, topic: &OutTopic, _: Option<i32>, _: OutRecord<'_>) -> Result<()> {
        panic!("nothing is written to {topic:?}")
    }
}
