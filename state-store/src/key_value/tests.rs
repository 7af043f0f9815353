//! The table against a model of maps, with random epochs, flushes and aborts.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::*;

type ModelRow = (Vec<u8>, i64, Vec<u8>);
type ModelMap = BTreeMap<Vec<u8>, ModelRow>;

/// A small generator whose seed tells the whole run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn bytes(&mut self, longest: usize) -> Vec<u8> {
        let longest = if self.below(4) == 0 { longest } else { longest.min(20) };
        let length = self.below(longest + 1);
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}

/// What a table of maps that are copied at every step would hold.
#[derive(Default)]
struct Model {
    newest: ModelMap,
    sealed: Option<ModelMap>,
    committed: ModelMap,
    emitted: ModelMap,
    /// Keys in the order of their last write, with the offset of its context.
    pending: Vec<(Vec<u8>, i64)>,
}

fn row(row: &ModelRow) -> Row<'_> {
    Row { value: &row.0, timestamp: row.1, headers: &row.2 }
}

fn owned(row: Row<'_>) -> ModelRow {
    (row.value.to_vec(), row.timestamp, row.headers.to_vec())
}

fn collect(mut rows: Rows) -> Vec<(Vec<u8>, ModelRow)> {
    let mut all = Vec::new();
    while let Some((key, row)) = rows.next().expect("memory does not fail") {
        all.push((key.to_vec(), owned(row)));
    }
    all
}

impl Model {
    fn written(&mut self, key: &[u8], row: Option<ModelRow>, offset: i64) {
        let is_pending = self.pending.iter().any(|(pending, _)| pending == key);
        if row.is_none() && !self.newest.contains_key(key) && !is_pending {
            return;
        }
        match row {
            Some(row) => self.newest.insert(key.to_vec(), row),
            None => self.newest.remove(key),
        };
        self.pending.retain(|(pending, _)| pending != key);
        self.pending.push((key.to_vec(), offset));
    }
}

fn check_flush(table: &mut KeyValueTable, model: &mut Model) {
    let mut expected = Vec::new();
    for (key, offset) in model.pending.drain(..) {
        let (new, old) = (model.newest.get(&key).cloned(), model.emitted.get(&key).cloned());
        if new.is_some() || old.is_some() {
            expected.push((key, new, old, offset));
        }
    }
    model.emitted = model.newest.clone();
    let mut emitted = Vec::new();
    let done: std::result::Result<(), ()> = table.flush(|emission| {
        let context = emission.context;
        assert_eq!(
            context.topic.map(|topic| topic.len() as i64),
            (context.offset % 3 > 0).then_some(context.offset % 3)
        );
        assert_eq!(context.headers, vec![3; context.offset as usize % 7]);
        emitted.push((
            emission.key.to_vec(),
            emission.new.map(owned),
            emission.old.map(owned),
            emission.context.offset,
        ));
        Ok(())
    });
    done.expect("never fails");
    assert_eq!(emitted, expected);
    assert_eq!((table.pending_rows(), table.pending_bytes()), (0, 0));
}

fn run(seed: u64, cached: bool, key_count: usize, steps: usize) {
    let random = &mut Random(seed);
    let mut table = KeyValueTable::in_memory(TableOptions { cached });
    let mut model = Model::default();
    let mut in_flight = None;
    let keys: Vec<Vec<u8>> = (0..key_count).map(|_| random.bytes(120)).collect();
    let topics: Vec<Arc<str>> = vec!["a".into(), "bb".into()];
    for offset in 0..steps as i64 {
        let key = &keys[random.below(keys.len())];
        let headers = vec![3; offset as usize % 7];
        let topic = (offset % 3 > 0).then(|| &topics[offset as usize % 3 - 1]);
        let context = Context { timestamp: offset, topic, partition: 0, offset, headers: &headers };
        match random.below(40) {
            0..12 => {
                let new = (random.below(4) > 0).then(|| (random.bytes(200), offset, random.bytes(100)));
                table.put(key, new.as_ref().map(row), &context).expect("in memory");
                model.written(key, new, offset);
            }
            12..24 => {
                let extra = random.bytes(30);
                let what = random.below(5);
                let expected = model.newest.get(key).cloned();
                table
                    .update(key, &context, |old, new| {
                        assert_eq!(old.map(owned), expected);
                        assert_eq!(*new, RowBuffer::default());
                        new.value
                            .extend_from_slice(old.map_or(&[], |old| &old.value[..old.value.len().min(100)]));
                        new.value.extend_from_slice(&extra);
                        new.timestamp = offset;
                        [Update::Delete, Update::Keep, Update::Put, Update::Put, Update::Put][what]
                    })
                    .expect("in memory");
                let mut value = expected.map_or(Vec::new(), |(mut value, ..)| {
                    value.truncate(100);
                    value
                });
                value.extend_from_slice(&extra);
                match what {
                    0 => model.written(key, None, offset),
                    1 => (),
                    _ => model.written(key, Some((value, offset, vec![])), offset),
                }
            }
            24..30 => {
                assert_eq!(table.get(key).expect("in memory").map(owned).as_ref(), model.newest.get(key));
                let committed = table.get_committed(key).expect("in memory").map(owned);
                assert_eq!(committed.as_ref(), model.committed.get(key));
            }
            30..32 if cached => check_flush(&mut table, &mut model),
            32 if in_flight.is_none() => {
                if cached {
                    check_flush(&mut table, &mut model);
                }
                in_flight = Some(table.seal_epoch().expect("flushed"));
                model.sealed = Some(model.newest.clone());
            }
            33 => {
                if let Some(epoch) = in_flight.take() {
                    table.commit_epoch(epoch, None).expect("sealed");
                    model.committed = model.sealed.take().expect("sealed");
                }
            }
            34 if random.below(4) == 0 => {
                table.abort();
                in_flight = None;
                model.sealed = None;
                model.newest = model.committed.clone();
                model.emitted = model.committed.clone();
                model.pending.clear();
                assert_eq!((table.uncommitted_bytes(), table.has_uncommitted()), (0, false));
            }
            35 => {
                let (first, last) = (random.bytes(2), random.bytes(2));
                let order = if random.below(2) == 0 { Order::Forward } else { Order::Reverse };
                let range = match random.below(4) {
                    0 => KeyRange::prefix(&first),
                    1 => KeyRange::inclusive(Some(&first), Some(&last)),
                    2 => KeyRange::new(Bound::Excluded(&first), Bound::Excluded(&last)),
                    _ => KeyRange::all(),
                };
                let mut expected: Vec<_> =
                    model.newest.clone().into_iter().filter(|(key, _)| range.contains(key)).collect();
                if order == Order::Reverse {
                    expected.reverse();
                }
                let snapshot = table.range(&range, order).expect("in memory");
                let stop_at = random.below(expected.len() + 2);
                let mut scanned = Vec::new();
                let scan = table.scan(&range, order, |key, row| {
                    scanned.push((key.to_vec(), owned(row)));
                    if scanned.len() > stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                scan.expect("in memory");
                assert_eq!(scanned, expected[..expected.len().min(stop_at + 1)]);
                // The snapshot does not see what is written after it was taken.
                for key in keys.iter().take(20) {
                    let new = (random.bytes(100), offset, vec![]);
                    table.put(key, Some(row(&new)), &context).expect("in memory");
                    model.written(key, Some(new), offset);
                }
                assert_eq!(collect(snapshot), expected);
            }
            _ => (),
        }
    }
    assert_eq!(
        collect(table.all().expect("in memory")),
        model.newest.clone().into_iter().collect::<Vec<_>>()
    );
    table.abort();
    assert_eq!(collect(table.all().expect("in memory")), model.committed.into_iter().collect::<Vec<_>>());
}

#[test]
fn agrees_with_the_model() {
    for seed in 0..60 {
        let (cached, key_count) = (seed % 2 == 0, [5, 60, 1000][seed as usize % 3]);
        let outcome = std::panic::catch_unwind(|| run(seed, cached, key_count, 1500));
        assert!(outcome.is_ok(), "to replay: run({seed}, {cached}, {key_count}, 1500)");
    }
}

#[test]
fn wrong_orders_of_calls_are_refused() {
    let mut table = KeyValueTable::in_memory(TableOptions { cached: true });
    table.put(b"k", Some(Row::new(b"v", 1)), &Context::none(1)).expect("in memory");
    assert!(matches!(table.seal_epoch(), Err(Error::Misuse(_))), "pending");
    table.flush(|_| Ok::<_, ()>(())).expect("never fails");
    let first = table.seal_epoch().expect("flushed");
    assert!(matches!(table.seal_epoch(), Err(Error::Misuse(_))), "in flight");
    table.commit_epoch(first, None).expect("sealed");
    assert!(matches!(table.commit_epoch(first, None), Err(Error::Misuse(_))), "already committed");
    table.abort();
    assert_eq!(table.get(b"k").expect("in memory"), Some(Row::new(b"v", 1)));
}

#[test]
fn deleted_rows_leave_no_memory_behind() {
    let mut table = KeyValueTable::in_memory(TableOptions { cached: false });
    let mut after_first_round = 0;
    for round in 0..50_u32 {
        for write in [true, false] {
            for key in 0..500_u32 {
                let key = (round * 500 + key).to_be_bytes();
                let row = write.then_some(Row::new(&[7; 200], 0));
                table.put(&key, row, &Context::none(0)).expect("in memory");
            }
            let epoch = table.seal_epoch().expect("nothing pending");
            table.commit_epoch(epoch, None).expect("sealed");
        }
        if round == 0 {
            after_first_round = table.resident_bytes();
        }
    }
    assert_eq!(table.resident_bytes(), after_first_round);
}
