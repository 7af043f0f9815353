//! What must be true of logs in the end, given what was sent to them and what was read from them on the way.

use std::collections::{BTreeMap, BTreeSet};

/// A record's value: who sent it, and as which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Value {
    pub(crate) producer: u32,
    pub(crate) sequence: u32,
}

impl Value {
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.producer) << 32 | u64::from(self.sequence)).to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Value {
        let number = u64::from_be_bytes(bytes.try_into().expect("a value of eight bytes"));
        Value { producer: (number >> 32) as u32, sequence: number as u32 }
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was acknowledged; the offset is -1 if the broker knew only that it has it.
    Acknowledged { offset: i64 },
    /// Nobody knows: it may be there or not.
    Unknown,
    /// Its transaction was never committed: nobody who reads committed records may ever see it.
    Aborted,
}

/// A record that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) partition: i32,
    pub(crate) value: Value,
    /// Which of its producer's transactions it belongs to.
    pub(crate) transaction: Option<u32>,
    pub(crate) outcome: Outcome,
}

/// A record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) value: Value,
}

/// What a reader was given of a partition, from one offset to before another.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) partition: i32,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) reads: Vec<Read>,
}

/// Something that must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Acknowledged, and not there.
    Lost(Value),
    /// There, but not where the acknowledgement said.
    Elsewhere(Read),
    /// There twice, or at an offset that another has.
    Twice(Read),
    /// There, though nobody sent it to this partition.
    NeverSent(Read),
    /// There, though its transaction was aborted.
    AbortedAndRead(Read),
    /// Behind a later one of the same producer.
    OutOfOrder(Read),
    /// Read on the way, and not there in the end.
    ReadAndGone(Read),
    /// There in the end, and whoever read past it on the way was not given it.
    PassedOver(Read),
    /// Not there, though others of its transaction are.
    Torn(Value),
    /// The copy of this partition has something else, or nothing, at this place.
    CopiedAs { partition: i32, place: usize, original: Option<Value>, copy: Option<Value> },
}

/// All that is wrong. The pieces were read on the way, `finally` is all that is committed in the end.
pub(crate) fn judge(sent: &[Sent], pieces: &[Piece], finally: &[Read]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let sent: BTreeMap<Value, &Sent> = sent.iter().map(|sent| (sent.value, sent)).collect();
    let (mut by_value, mut by_offset) = (BTreeMap::new(), BTreeMap::new());
    let mut newest: BTreeMap<(i32, u32), u32> = BTreeMap::new();
    let mut sorted = finally.to_vec();
    sorted.sort_by_key(|read| (read.partition, read.offset));
    for read in sorted {
        let is_new = by_value.insert(read.value, read).is_none();
        if by_offset.insert((read.partition, read.offset), read.value).is_some() || !is_new {
            violations.push(Violation::Twice(read));
        }
        let last = newest.insert((read.partition, read.value.producer), read.value.sequence);
        if last.is_some_and(|last| last > read.value.sequence) {
            violations.push(Violation::OutOfOrder(read));
        }
        violations.extend(match sent.get(&read.value).map(|sent| (sent.partition, sent.outcome)) {
            Some((partition, _)) if partition != read.partition => Some(Violation::NeverSent(read)),
            None => Some(Violation::NeverSent(read)),
            Some((_, Outcome::Acknowledged { offset })) if offset >= 0 && offset != read.offset => {
                Some(Violation::Elsewhere(read))
            }
            Some((_, Outcome::Aborted)) => Some(Violation::AbortedAndRead(read)),
            Some((_, Outcome::Acknowledged { .. } | Outcome::Unknown)) => None,
        });
    }
    for sent in sent.values() {
        if matches!(sent.outcome, Outcome::Acknowledged { .. }) && !by_value.contains_key(&sent.value) {
            violations.push(Violation::Lost(sent.value));
        }
    }
    for piece in pieces {
        let all = by_offset.range((piece.partition, piece.from)..(piece.partition, piece.to));
        let all = all.map(|(&(partition, offset), &value)| Read { partition, offset, value });
        let (all, given): (BTreeSet<Read>, BTreeSet<Read>) =
            (all.collect(), piece.reads.iter().copied().collect());
        violations.extend(given.difference(&all).map(|read| Violation::ReadAndGone(*read)));
        violations.extend(all.difference(&given).map(|read| Violation::PassedOver(*read)));
    }
    violations.extend(torn(sent.values().copied(), |value| by_value.contains_key(&value)));
    violations
}

/// The records that lack of transactions of which others are there; an unknown outcome is one of two, and no third.
fn torn<'a>(sent: impl Iterator<Item = &'a Sent>, is_there: impl Fn(Value) -> bool) -> Vec<Violation> {
    let mut transactions: BTreeMap<(u32, u32), Vec<Value>> = BTreeMap::new();
    for sent in sent.filter(|sent| sent.outcome == Outcome::Unknown) {
        if let Some(number) = sent.transaction {
            transactions.entry((sent.value.producer, number)).or_default().push(sent.value);
        }
    }
    let torn = transactions.values().flat_map(|values| {
        let missing: Vec<_> = values.iter().filter(|value| !is_there(**value)).collect();
        if missing.len() == values.len() { Vec::new() } else { missing }
    });
    torn.map(|value| Violation::Torn(*value)).collect()
}

/// Each partition's copy has what the partition has, in its order.
pub(crate) fn judge_copies(originals: &[Read], copies: &[Read]) -> Vec<Violation> {
    let by_partition = |reads: &[Read]| {
        let mut partitions: BTreeMap<i32, BTreeMap<i64, Value>> = BTreeMap::new();
        for read in reads {
            partitions.entry(read.partition).or_default().insert(read.offset, read.value);
        }
        partitions
    };
    let (originals, copies) = (by_partition(originals), by_partition(copies));
    let partitions: BTreeSet<i32> = originals.keys().chain(copies.keys()).copied().collect();
    let first_difference = |partition| {
        let values = |of: &BTreeMap<i32, BTreeMap<i64, Value>>| -> Vec<Value> {
            of.get(&partition).into_iter().flat_map(BTreeMap::values).copied().collect()
        };
        let (originals, copies) = (values(&originals), values(&copies));
        let place =
            (0..originals.len().max(copies.len())).find(|at| originals.get(*at) != copies.get(*at))?;
        let (original, copy) = (originals.get(place).copied(), copies.get(place).copied());
        Some(Violation::CopiedAs { partition, place, original, copy })
    };
    partitions.into_iter().filter_map(first_difference).collect()
}

#[test]
fn the_judge_sees_each_violation() {
    let value = |sequence| Value { producer: 1, sequence };
    let sent = |sequence, outcome| Sent { partition: 0, value: value(sequence), transaction: None, outcome };
    let together =
        |sequence, outcome| Sent { partition: 0, value: value(sequence), transaction: Some(1), outcome };
    let read = |offset, sequence| Read { partition: 0, offset, value: value(sequence) };
    let acknowledged = |offset| Outcome::Acknowledged { offset };
    let all = [
        sent(0, acknowledged(0)),
        sent(1, Outcome::Unknown),
        sent(2, acknowledged(2)),
        sent(3, acknowledged(-1)),
        sent(4, Outcome::Aborted),
        together(5, Outcome::Unknown),
        together(6, Outcome::Unknown),
    ];
    let good = [read(0, 0), read(1, 1), read(2, 2), read(4, 3)];
    assert_eq!(value(7), Value::from_bytes(&value(7).to_bytes()));
    let with = |more: &[Read]| [&good[..], more].concat();
    let piece = |from, to, reads: &[Read]| vec![Piece { partition: 0, from, to, reads: reads.to_vec() }];
    for (pieces, finally, expected) in [
        (piece(0, 2, &good[..2]), good.to_vec(), vec![]),
        (vec![], vec![good[0], good[2], good[3]], vec![]),
        (vec![], good[..3].to_vec(), vec![Violation::Lost(value(3))]),
        (
            vec![],
            with(&[read(5, 0)]),
            vec![
                Violation::Twice(read(5, 0)),
                Violation::OutOfOrder(read(5, 0)),
                Violation::Elsewhere(read(5, 0)),
            ],
        ),
        (vec![], with(&[read(4, 1)]), vec![Violation::Twice(read(4, 1)), Violation::OutOfOrder(read(4, 1))]),
        (vec![], with(&[read(5, 9)]), vec![Violation::NeverSent(read(5, 9))]),
        (vec![], with(&[read(5, 4)]), vec![Violation::AbortedAndRead(read(5, 4))]),
        (
            piece(1, 2, &[read(1, 1)]),
            vec![good[0], good[2], good[3]],
            vec![Violation::ReadAndGone(read(1, 1))],
        ),
        (piece(1, 4, &[read(2, 2)]), good.to_vec(), vec![Violation::PassedOver(read(1, 1))]),
        (vec![], with(&[read(5, 5), read(6, 6)]), vec![]),
        (vec![], with(&[read(6, 6)]), vec![Violation::Torn(value(5))]),
    ] {
        assert_eq!(judge(&all, &pieces, &finally), expected, "{pieces:?} {finally:?}");
    }
    let copied_as = |place, original, copy| vec![Violation::CopiedAs { partition: 0, place, original, copy }];
    for (copies, expected) in [
        (vec![read(10, 0), read(11, 1), read(13, 2), read(14, 3)], vec![]),
        (vec![read(10, 0), read(11, 1), read(13, 2)], copied_as(3, Some(value(3)), None)),
        (vec![read(10, 0), read(11, 0)], copied_as(1, Some(value(1)), Some(value(0)))),
        (with(&[read(5, 3)]), copied_as(4, None, Some(value(3)))),
    ] {
        assert_eq!(judge_copies(&good, &copies), expected, "{copies:?}");
    }
}
