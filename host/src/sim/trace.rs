//! What happened, as one rolling hash: two runs of a seed must show the same.
//!
//! Every event is folded into the hash, and each thousandth or so leaves a checkpoint. When two runs differ, the
//! checkpoints tell between which two events, a third and fourth run record just those, and the first that differs is
//! named: see `assert_same_trace`.

use std::fmt;
use std::ops::Range;

use super::dice::mix;
use crate::Instant;

/// Events between two checkpoints.
const CHECKPOINT_EVENTS: u64 = 1024;

/// A node of the simulated world, by the order of first mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) u32);

impl NodeId {
    /// What happens to no node in particular: the test itself, the network as a whole.
    pub(super) const NONE: NodeId = NodeId(u32::MAX);
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum EventKind {
    Poll,
    Spawn,
    Timer,
    Random,
    Start,
    Stop,
    Pause,
    Connect,
    Accept,
    Send,
    Arrive,
    Receive,
    Reset,
    Link,
    Name,
    Write,
    Sync,
}

/// One event of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceEvent {
    pub(super) number: u64,
    pub(super) at: Instant,
    pub(super) kind: EventKind,
    pub(super) node: NodeId,
    pub(super) payload: u64,
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceEvent { number, at, kind, node, payload } = self;
        write!(
            f,
            "event {number} at {:?}: {kind:?} on node {}, payload {payload:#x}",
            at.since_start(),
            node.0
        )
    }
}

/// The rolling hash, its checkpoints and the events recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    hash: u64,
    count: u64,
    checkpoints: Vec<u64>,
    record: Range<u64>,
    recorded: Vec<TraceEvent>,
}

impl Trace {
    /// A trace that keeps the events whose numbers lie in `record`.
    pub(super) fn new(record: Range<u64>) -> Trace {
        Trace { record, ..Trace::default() }
    }

    pub(super) fn add(&mut self, at: Instant, kind: EventKind, node: NodeId, payload: u64) {
        let number = self.count;
        let nanos = at.since_start().as_nanos() as u64;
        self.hash = mix(self.hash ^ mix(nanos ^ payload.rotate_left(32)) ^ payload)
            .wrapping_add(u64::from(node.0) << 8 | u64::from(kind as u8));
        self.count += 1;
        if self.record.contains(&number) {
            self.recorded.push(TraceEvent { number, at, kind, node, payload });
        }
        if self.count.is_multiple_of(CHECKPOINT_EVENTS) {
            self.checkpoints.push(self.hash);
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The numbers of the events among which this trace and `other` begin to differ.
    pub(super) fn differs_within(&self, other: &Trace) -> Option<Range<u64>> {
        if self.hash == other.hash && self.count == other.count {
            return None;
        }
        let same =
            self.checkpoints.iter().zip(&other.checkpoints).take_while(|(ours, theirs)| ours == theirs);
        let start = same.count() as u64 * CHECKPOINT_EVENTS;
        Some(start..start + CHECKPOINT_EVENTS)
    }

    /// The first recorded events that differ; `None` for a trace that has ended there.
    pub(super) fn first_difference(&self, other: &Trace) -> Option<(Option<TraceEvent>, Option<TraceEvent>)> {
        let longest = self.recorded.len().max(other.recorded.len());
        (0..longest)
            .map(|index| (self.recorded.get(index).copied(), other.recorded.get(index).copied()))
            .find(|(ours, theirs)| ours != theirs)
    }
}

/// A number that stands for some bytes in a trace.
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::with_seed(0).hash_one(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn trace(events: u64, odd_one: Option<u64>, record: Range<u64>) -> Trace {
        let mut trace = Trace::new(record);
        for number in 0..events {
            let at = Instant::from_start(Duration::from_micros(number));
            let payload = if odd_one == Some(number) { 1 } else { 0 };
            trace.add(at, EventKind::Poll, NodeId(0), payload);
        }
        trace
    }

    #[test]
    fn equal_events_give_equal_traces() {
        assert_eq!(trace(5000, None, 0..0).hash(), trace(5000, None, 0..9).hash());
        assert_eq!(trace(5000, None, 0..0).differs_within(&trace(5000, None, 0..0)), None);
    }

    #[test]
    fn the_first_differing_event_is_found() {
        for odd_one in [0, 1023, 1024, 3000, 4999] {
            let window = trace(5000, None, 0..0)
                .differs_within(&trace(5000, Some(odd_one), 0..0))
                .expect("one event differs");
            let (ours, theirs) = trace(5000, None, window.clone())
                .first_difference(&trace(5000, Some(odd_one), window))
                .expect("it lies in the window");
            assert_eq!((ours.unwrap().number, theirs.unwrap().number), (odd_one, odd_one));
        }
    }

    #[test]
    fn a_shorter_trace_differs_at_its_end() {
        let window =
            trace(2000, None, 0..0).differs_within(&trace(2001, None, 0..0)).expect("lengths differ");
        let (ours, theirs) = trace(2000, None, window.clone())
            .first_difference(&trace(2001, None, window))
            .expect("it lies in the window");
        assert_eq!((ours, theirs.unwrap().number), (None, 2000));
    }
}
