//! What the clients of a run did and saw.
//!
//! Written by the clients themselves, outside of whatever fails; read by the checker when all is over. A value is sent
//! once only, so that it can be told wherever it turns up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A partition of a topic.
pub(crate) type Log = (String, i32);
/// What a record carries: the producer in the upper bits, a count in the lower.
pub(crate) type Value = u64;

/// The bytes of a record that carries a value: it comes first, something follows.
pub(crate) fn bytes_of(value: Value, length: usize) -> Vec<u8> {
    let mut bytes = value.to_be_bytes().to_vec();
    bytes.extend((bytes.len()..length).map(|index| index as u8));
    bytes
}

/// The value that a record carries.
pub(crate) fn value_of(bytes: Option<&[u8]>) -> Value {
    let bytes = bytes.expect("every record has a value");
    let (value, rest) = bytes.split_first_chunk().expect("every value has eight bytes");
    assert!(rest.iter().enumerate().all(|(index, byte)| *byte == (index + 8) as u8), "a record has changed");
    Value::from_be_bytes(*value)
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Acknowledged: it must be there, once.
    Acked {
        /// Where the broker says it is; it may know only that it has it.
        offset: Option<i64>,
    },
    /// Refused for good: it must not be there.
    Refused,
    /// Nobody knows: no answer came.
    Unknown,
}

/// One record that was sent, in the order in which its producer sent it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) producer: u32,
    pub(crate) log: Log,
    pub(crate) value: Value,
    pub(crate) outcome: Outcome,
}

/// What a consumer met, in order.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// Its position was set anew: what follows need not go on from what was.
    Positioned {
        /// Which consumer.
        consumer: u32,
        /// In which log.
        log: Log,
    },
    /// Records of one partition, as one poll returned them.
    Polled {
        /// Which consumer.
        consumer: u32,
        /// Of which log.
        log: Log,
        /// Offsets and values.
        records: Vec<(i64, Value)>,
    },
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitOutcome {
    /// Acknowledged: it is in force, or one that came later.
    Acked,
    /// Nobody knows.
    Unknown,
}

/// An offset that a member of the group has committed for a log. Moments are counted by what was written down before.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) member: u32,
    pub(crate) log: Log,
    pub(crate) offset: i64,
    pub(crate) outcome: CommitOutcome,
    /// When it was asked for.
    pub(crate) asked: usize,
    /// When it was acknowledged; never, if it was not.
    pub(crate) known: usize,
    /// What the consumers had seen by then: the length of `History::seen`.
    pub(crate) seen: usize,
}

/// All that was done and seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) sent: Vec<Sent>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) commits: Vec<Commit>,
    /// What is committed when all is quiet.
    pub(crate) finally_committed: BTreeMap<Log, i64>,
    moments: usize,
    /// Each log from its beginning to its end, read when all was quiet.
    pub(crate) finally: BTreeMap<Log, Vec<(i64, Value)>>,
}

/// A history that clients write into. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    history: Arc<Mutex<History>>,
}

/// Names a send whose outcome is to come.
#[derive(Debug)]
pub(crate) struct SendNumber(usize);

/// Names a commit whose outcome is to come.
#[derive(Debug)]
pub(crate) struct CommitNumber(usize);

impl Recorder {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record is about to be sent. If nothing more is heard of it, its outcome is unknown.
    pub(crate) fn send(&self, producer: u32, log: Log, value: Value) -> SendNumber {
        let mut history = self.history();
        history.sent.push(Sent { producer, log, value, outcome: Outcome::Unknown });
        SendNumber(history.sent.len() - 1)
    }

    /// What became of it.
    pub(crate) fn outcome(&self, number: &SendNumber, outcome: Outcome) {
        self.history().sent[number.0].outcome = outcome;
    }

    /// A consumer starts anew in a log.
    pub(crate) fn positioned(&self, consumer: u32, log: Log) {
        self.history().seen.push(Seen::Positioned { consumer, log });
    }

    /// A consumer was given records.
    pub(crate) fn polled(&self, consumer: u32, log: Log, records: Vec<(i64, Value)>) {
        self.history().seen.push(Seen::Polled { consumer, log, records });
    }

    /// A member is about to commit.
    pub(crate) fn commit(&self, member: u32, log: Log, offset: i64) -> CommitNumber {
        let mut history = self.history();
        history.moments += 1;
        let (asked, seen) = (history.moments, history.seen.len());
        let outcome = CommitOutcome::Unknown;
        history.commits.push(Commit { member, log, offset, outcome, asked, known: usize::MAX, seen });
        CommitNumber(history.commits.len() - 1)
    }

    /// What became of it.
    pub(crate) fn committed(&self, number: &CommitNumber, outcome: CommitOutcome) {
        let mut history = self.history();
        history.moments += 1;
        let known = if outcome == CommitOutcome::Acked { history.moments } else { usize::MAX };
        let commit = &mut history.commits[number.0];
        (commit.outcome, commit.known) = (outcome, known);
    }

    /// What is committed in the end.
    pub(crate) fn finally_committed(&self, log: Log, offset: i64) {
        self.history().finally_committed.insert(log, offset);
    }

    /// A log as it is in the end.
    pub(crate) fn finally(&self, log: Log, records: Vec<(i64, Value)>) {
        self.history().finally.insert(log, records);
    }

    /// A copy of all so far.
    pub(crate) fn read(&self) -> History {
        self.history().clone()
    }
}
