//! What the unsafe file promises: types that fit, one owner, nothing freed twice. Under Miri too (`CONTRIBUTING.md`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::*;
use crate::data::Item;
use crate::operators::check::{Closed, bare_state};
use crate::processor::Nothing;

/// An operator made of a closure.
struct Act<K, V, KO, VO, F> {
    act: F,
    types: PhantomData<fn(K, V, KO, VO)>,
}

impl<K: Item, V: Item, KO: 'static, VO: 'static, F> Operator for Act<K, V, KO, VO, F>
where
    F: FnMut(InFlight<'_, K, V>, &mut Forward<'_, '_, KO, VO>) -> Result<()> + Send,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = KO;
    type ValueOut = VO;

    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, KO, VO>) -> Result<()> {
        (self.act)(record, out)
    }
}

fn act<K: Item, V: Item, KO: 'static, VO: 'static>(
    act: impl FnMut(InFlight<'_, K, V>, &mut Forward<'_, '_, KO, VO>) -> Result<()> + Send + 'static,
) -> Node {
    operator(Act { act, types: PhantomData })
}

/// Emits copies of one record.
struct Feed<K, V>(K, V);

impl<K: Item, V: Item> Source for Feed<K, V> {
    type Key = K;
    type Value = V;

    fn add_queue(&mut self, _: &Arc<str>) {}

    fn timestamp(&mut self, _: usize, record: RawInput<'_>, _: crate::topic::Clocks) -> Result<i64> {
        Ok(record.timestamp)
    }

    fn emit(&mut self, _: usize, _: RawInput<'_>, time: i64, out: &mut Forward<'_, '_, K, V>) -> Result<()> {
        let (mut key, mut value) = (Some(self.0.clone()), Some(self.1.clone()));
        let (key, value) = (Part::Owned(&mut key), Part::Owned(&mut value));
        out.forward(InFlight { key, value, timestamp: time, headers: &Headers::new() })
    }
}

type Seen = Arc<Mutex<Vec<String>>>;

/// Takes what comes and notes it under a name.
fn collect<K: Item + std::fmt::Debug, V: Item + std::fmt::Debug>(name: &'static str, seen: &Seen) -> Node {
    let seen = Arc::clone(seen);
    act::<K, V, Nothing, Nothing>(move |record, _| {
        let (key, value) = (record.key.take(), record.value.take());
        seen.lock().unwrap().push(format!("{name} {key:?} {value:?} {}", record.timestamp));
        Ok(())
    })
}

/// Lends its record to its first child and gives it to its last.
fn pass<K: Item, V: Item>() -> Node {
    act::<K, V, K, V>(|record, out| out.forward(record))
}

fn shout() -> Node {
    act::<String, String, String, String>(|record, out| {
        record.forward_mapped(out, |_, v| Ok(v.to_uppercase()))
    })
}

fn length() -> Node {
    act::<String, String, String, usize>(|record, out| {
        record.forward_mapped(out, |k, v| Ok(k.len() + v.len()))
    })
}

fn nodes(cells: Vec<(Node, &[u32])>) -> Result<Nodes> {
    let cell = |(node, children): (Node, &[u32])| Cell {
        node,
        name: "node".into(),
        children: children.into(),
        stage: Stage::Process,
        on_error: None,
        latencies: Latencies::default(),
    };
    Nodes::new(cells.into_iter().map(cell).collect())
}

/// Sends records through and gives what was seen.
fn check(records: i64, seen: &Seen, cells: Vec<(Node, &[u32])>, expected: &[&str]) {
    let (mut nodes, mut state) = (nodes(cells).unwrap(), bare_state());
    for time in 0..records {
        emit(&mut nodes, &mut state, time).unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), expected);
}

fn emit(nodes: &mut Nodes, state: &mut crate::processor::TaskState, time: i64) -> Result<()> {
    let mut context = Context { outbox: &mut Closed, origin: Origin::none(), state };
    let raw = RawInput { offset: time, timestamp: time, key: None, value: None, headers: &[] };
    nodes.emit(0, 0, raw, time, &mut context)
}

fn feed() -> Node {
    source(Feed("key".to_string(), "value".to_string()))
}

#[test]
fn a_line_of_nodes_replaces_in_place() {
    let seen = Seen::default();
    let cells = vec![
        (feed(), &[1][..]),
        (pass::<String, String>(), &[2]),
        (shout(), &[3]),
        (length(), &[4]),
        (collect::<String, usize>("end", &seen), &[]),
    ];
    check(2, &seen, cells, &[r#"end "key" 8 0"#, r#"end "key" 8 1"#]);
}

#[test]
fn earlier_children_look_and_the_last_one_takes() {
    let seen = Seen::default();
    let cells = vec![
        (feed(), &[1, 2, 4][..]),
        (collect::<String, String>("copies", &seen), &[]),
        (shout(), &[3]),
        (collect::<String, String>("changes", &seen), &[]),
        (pass::<String, String>(), &[5, 6]),
        (collect::<String, String>("looks", &seen), &[]),
        (collect::<String, String>("takes", &seen), &[]),
    ];
    let expected = [
        r#"copies "key" "value" 0"#,
        r#"changes "key" "VALUE" 0"#,
        r#"looks "key" "value" 0"#,
        r#"takes "key" "value" 0"#,
    ];
    check(1, &seen, cells, &expected);
}

#[test]
fn a_null_key_stops_where_the_node_takes_none() {
    for (key, expected) in [(Some("key".to_string()), 2), (None, 0)] {
        let seen = Seen::default();
        let narrowed =
            |name| collect::<String, String>(name, &seen).without_null_keys::<Option<String>, String>();
        let cells = vec![
            (source(Feed(key, "value".to_string())), &[1, 2][..]),
            (narrowed("lent").unwrap(), &[]),
            (narrowed("owned").unwrap(), &[]),
        ];
        let lines = [r#"lent "key" "value" 0"#, r#"owned "key" "value" 0"#];
        check(1, &seen, cells, &lines[..expected]);
    }
}

#[test]
fn a_child_is_reached_by_its_place() {
    let seen = Seen::default();
    let choose = act::<String, String, String, String>(|record, out| {
        assert!(out.forward_to(2, record.shared()).is_err(), "there is no such child");
        out.forward_to(0, record.shared())?;
        out.forward_to(1, record)
    });
    let cells = vec![
        (feed(), &[1][..]),
        (choose, &[2, 3]),
        (collect::<String, String>("first", &seen), &[]),
        (collect::<String, String>("second", &seen), &[]),
    ];
    check(1, &seen, cells, &[r#"first "key" "value" 0"#, r#"second "key" "value" 0"#]);
}

#[test]
fn a_node_may_forward_under_another_origin() {
    let seen = Seen::default();
    let topic: Arc<str> = "elsewhere".into();
    let under = act::<String, String, String, String>(move |record, out| {
        let origin = Origin { topic: Some(&topic), offset: 7, ..Origin::none() };
        out.under(origin, |out| {
            assert_eq!(out.context().origin.offset, 7);
            out.forward(record)
        })
    });
    let cells = vec![(feed(), &[1][..]), (under, &[2]), (collect::<String, String>("end", &seen), &[])];
    check(1, &seen, cells, &[r#"end "key" "value" 0"#]);
}

#[test]
fn a_panic_frees_nothing_twice_and_the_nodes_go_on() {
    let seen = Seen::default();
    let mut calls = 0;
    let panics = act::<String, String, String, String>(move |record, out| {
        calls += 1;
        record.forward_mapped(out, |_, value| if calls == 1 { panic!("at {value}") } else { Ok(value) })
    });
    let cells = vec![(feed(), &[1][..]), (panics, &[2]), (collect::<String, String>("end", &seen), &[])];
    let (mut nodes, mut state) = (nodes(cells).unwrap(), bare_state());
    assert!(catch_unwind(AssertUnwindSafe(|| emit(&mut nodes, &mut state, 0))).is_err());
    emit(&mut nodes, &mut state, 1).unwrap();
    assert_eq!(*seen.lock().unwrap(), [r#"end "key" "value" 1"#]);
}

#[test]
fn types_must_fit_and_children_stand_behind() {
    let seen = Seen::default();
    let refused = |cells, expected: &str| {
        let error = nodes(cells).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let end = || collect::<String, i64>("end", &seen);
    refused(vec![(feed(), &[1]), (end(), &[])], "which node `node` does not take");
    refused(vec![(feed(), &[0])], "does not stand behind it");
    refused(vec![(feed(), &[5])], "does not stand behind it");
    assert!(end().without_null_keys::<Option<i64>, i64>().is_err());
}
