//! What must be true of a log in the end, given what was sent to it and what was read from it on the way.

use std::collections::BTreeMap;

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
    /// Its transaction was aborted: nobody who reads committed records may ever see it.
    #[cfg_attr(not(test), allow(dead_code, reason = "for producers with transactions"))]
    Aborted,
}

/// A record that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) partition: i32,
    pub(crate) value: Value,
    pub(crate) outcome: Outcome,
}

/// A record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) value: Value,
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
}

/// All that is wrong. `followed` was read on the way, `finally` is the whole log as it stands in the end.
pub(crate) fn judge(sent: &[Sent], followed: &[Read], finally: &[Read]) -> Vec<Violation> {
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
    let is_gone = |read: &&Read| by_offset.get(&(read.partition, read.offset)) != Some(&read.value);
    violations.extend(followed.iter().filter(is_gone).map(|read| Violation::ReadAndGone(*read)));
    violations
}

#[test]
fn the_judge_sees_each_violation() {
    let value = |sequence| Value { producer: 1, sequence };
    let sent = |sequence, outcome| Sent { partition: 0, value: value(sequence), outcome };
    let read = |offset, sequence| Read { partition: 0, offset, value: value(sequence) };
    let acknowledged = |offset| Outcome::Acknowledged { offset };
    let all = [
        sent(0, acknowledged(0)),
        sent(1, Outcome::Unknown),
        sent(2, acknowledged(2)),
        sent(3, acknowledged(-1)),
        sent(4, Outcome::Aborted),
    ];
    let good = [read(0, 0), read(1, 1), read(2, 2), read(4, 3)];
    assert_eq!(value(7), Value::from_bytes(&value(7).to_bytes()));
    for (followed, finally, expected) in [
        (&good[..2], good.to_vec(), vec![]),
        (&[], vec![good[0], good[2], good[3]], vec![]),
        (&[], good[..3].to_vec(), vec![Violation::Lost(value(3))]),
        (
            &[],
            [&good[..], &[read(5, 0)]].concat(),
            vec![
                Violation::Twice(read(5, 0)),
                Violation::OutOfOrder(read(5, 0)),
                Violation::Elsewhere(read(5, 0)),
            ],
        ),
        (
            &[],
            [&good[..], &[read(4, 1)]].concat(),
            vec![Violation::Twice(read(4, 1)), Violation::OutOfOrder(read(4, 1))],
        ),
        (&[], [&good[..], &[read(5, 9)]].concat(), vec![Violation::NeverSent(read(5, 9))]),
        (&[], [&good[..], &[read(5, 4)]].concat(), vec![Violation::AbortedAndRead(read(5, 4))]),
        (&[read(1, 1)], vec![good[0], good[2], good[3]], vec![Violation::ReadAndGone(read(1, 1))]),
    ] {
        assert_eq!(judge(&all, followed, &finally), expected, "{followed:?} {finally:?}");
    }
}
