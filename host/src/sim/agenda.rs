//! Virtual time and what is to happen at which moment of it.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use super::trace::NodeId;
use crate::Instant;

/// Names a connection, in the order of their making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) u64);

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A timer runs out.
    Wake { node: NodeId, waker: Waker },
    /// Bytes, or the end of the stream, arrive at an end of a connection.
    Arrive { connection: ConnectionId, end: usize },
    /// A reset arrives at an end of a connection.
    Reset { connection: ConnectionId, end: usize },
    /// What an end has written could not be delivered for too long.
    GiveUp { connection: ConnectionId, end: usize },
}

/// Names an entry of the agenda; entries of one moment happen in the order they were made.
pub(super) type EntryKey = (Instant, u64);

/// The clock and the events to come.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    now: Instant,
    entries: BTreeMap<EntryKey, Event>,
    made: u64,
}

impl Agenda {
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn add(&mut self, at: Instant, event: Event) -> EntryKey {
        let key = (at, self.made);
        self.made += 1;
        self.entries.insert(key, event);
        key
    }

    /// The event of an entry, if it has not happened yet.
    pub(super) fn get_mut(&mut self, key: EntryKey) -> Option<&mut Event> {
        self.entries.get_mut(&key)
    }

    pub(super) fn remove(&mut self, key: EntryKey) -> Option<Event> {
        self.entries.remove(&key)
    }

    /// The next event whose time has come.
    pub(super) fn pop_due(&mut self) -> Option<Event> {
        let entry = self.entries.first_entry()?;
        (entry.key().0 <= self.now).then(|| entry.remove())
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lets some time pass.
    pub(super) fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
    }

    /// Goes on to the next event's time; false if there is none.
    pub(super) fn skip_to_next(&mut self) -> bool {
        let Some(((at, _), _)) = self.entries.first_key_value() else { return false };
        self.now = self.now.max(*at);
        true
    }
}
