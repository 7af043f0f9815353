//! The simulated network: which nodes listen where, which links are down, how long bytes travel, when connections break.
//!
//! Bytes of one connection never change their order, as with TCP; connections overtake one another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::agenda::{Agenda, ConnectionId, Event};
use super::connection::{Connection, End, Read, other};
use super::dice::Dice;
use super::options::NetworkOptions;
use super::trace::NodeId;
use crate::Instant;

/// Connections that wait to be accepted.
const BACKLOG: usize = 128;
/// Ports that are given out where none is asked for.
const FIRST_FREE_PORT: u16 = 49_152;
/// Within one node bytes take this long, at least and at most.
const LOOPBACK: [Duration; 2] = [Duration::from_micros(5), Duration::from_micros(30)];
/// When a link is up again, a retransmission takes up to this long to find out.
const RETRANSMISSION: Duration = Duration::from_millis(400);

/// All links, listeners and connections.
pub(super) struct Network {
    options: NetworkOptions,
    dice: Dice,
    connections: BTreeMap<ConnectionId, Connection>,
    connections_made: u64,
    listeners: BTreeMap<(NodeId, u16), Backlog>,
    /// Links that are down, by sender and receiver.
    down: BTreeSet<(NodeId, NodeId)>,
    next_port: u16,
}

#[derive(Default)]
struct Backlog {
    /// With the name of the peer.
    waiting: VecDeque<(ConnectionId, String)>,
    acceptors: Vec<Waker>,
}

/// How a node's process ends, as its peers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// Its machine goes on and closes its connections.
    Killed,
    /// Its machine loses power: at best the peers are told when they ask.
    PowerLost,
}

/// What became of an attempt to connect.
pub(super) enum Attempt {
    Connected(ConnectionId),
    Refused,
    /// No answer: try again.
    Lost,
}

impl Network {
    pub(super) fn new(seed: u64, options: NetworkOptions) -> Network {
        Network {
            options,
            dice: Dice::new(seed, "network"),
            connections: BTreeMap::new(),
            connections_made: 0,
            listeners: BTreeMap::new(),
            down: BTreeSet::new(),
            next_port: FIRST_FREE_PORT,
        }
    }

    pub(super) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    pub(super) fn options(&self) -> &NetworkOptions {
        &self.options
    }

    pub(super) fn set_options(&mut self, options: NetworkOptions) {
        self.options = options;
    }

    /// How long something takes from node to node.
    pub(super) fn latency(&mut self, from: NodeId, to: NodeId) -> Duration {
        if from == to {
            return self.dice.duration(&(LOOPBACK[0]..=LOOPBACK[1]));
        }
        let latency = self.dice.duration(&self.options.latency);
        if self.dice.happens(self.options.stall_probability) {
            return latency + self.dice.duration(&self.options.stall);
        }
        latency
    }

    // Listeners.

    /// Opens a port; a free one for 0.
    pub(super) fn listen(&mut self, node: NodeId, port: u16) -> io::Result<u16> {
        let port = if port == 0 { self.free_port(node)? } else { port };
        if self.listeners.contains_key(&(node, port)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.listeners.insert((node, port), Backlog::default());
        Ok(port)
    }

    fn free_port(&mut self, node: NodeId) -> io::Result<u16> {
        for _ in FIRST_FREE_PORT..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
            if !self.listeners.contains_key(&(node, port)) {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Closes a port; who waits there to be accepted is reset.
    pub(super) fn stop_listening(
        &mut self,
        agenda: &mut Agenda,
        node: NodeId,
        port: u16,
        wakers: &mut Vec<Waker>,
    ) {
        let Some(backlog) = self.listeners.remove(&(node, port)) else { return };
        wakers.extend(backlog.acceptors);
        for (id, _) in backlog.waiting {
            self.leave(agenda, id, 1, wakers);
        }
    }

    /// The next connection that waits; else `waker` is kept.
    pub(super) fn accept(
        &mut self,
        node: NodeId,
        port: u16,
        waker: &Waker,
    ) -> io::Result<Option<(ConnectionId, String)>> {
        let Some(backlog) = self.listeners.get_mut(&(node, port)) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if backlog.waiting.is_empty() {
            if !backlog.acceptors.iter().any(|acceptor| acceptor.will_wake(waker)) {
                backlog.acceptors.push(waker.clone());
            }
            return Ok(None);
        }
        if self.dice.happens(self.options.accept_failure_probability) {
            return Err(rustix::io::Errno::MFILE.into());
        }
        Ok(backlog.waiting.pop_front())
    }

    /// A dialing node's request meets the node it was sent to (`process`: whether one runs there).
    pub(super) fn attempt(
        &mut self,
        now: Instant,
        [from, to]: [NodeId; 2],
        port: u16,
        process: Process,
        peer: String,
        wakers: &mut Vec<Waker>,
    ) -> Attempt {
        if process == Process::PowerOff || self.is_down(from, to) || self.is_down(to, from) {
            return Attempt::Lost;
        }
        let Some(backlog) = self.listeners.get_mut(&(to, port)) else { return Attempt::Refused };
        if backlog.waiting.len() >= BACKLOG {
            return Attempt::Lost;
        }
        let capacity = self.dice.within(&self.options.buffer_bytes).max(1);
        let fragmented = self.dice.happens(self.options.fragment_probability);
        self.connections_made += 1;
        let id = ConnectionId(self.connections_made);
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        self.connections.insert(id, Connection::new([from, to], capacity, fragmented, now));
        backlog.waiting.push_back((id, peer));
        wakers.append(&mut backlog.acceptors);
        Attempt::Connected(id)
    }

    // Connections.

    /// Reads what has arrived; else `waker` is kept.
    pub(super) fn read(
        &mut self,
        now: Instant,
        (id, end): (ConnectionId, End),
        buffer: &mut ReadBuf<'_>,
        waker: &Waker,
        wakers: &mut Vec<Waker>,
    ) -> io::Result<Read> {
        let connection = self.connections.get_mut(&id).ok_or(io::ErrorKind::NotConnected)?;
        let limit =
            if connection.fragmented { fragment(&mut self.dice, buffer.remaining()) } else { usize::MAX };
        let read = connection.read(end, now, buffer, limit, wakers)?;
        if read == Read::Wait {
            connection.wait_to_read(end, waker);
        }
        Ok(read)
    }

    /// Bytes that an end can write without waiting.
    pub(super) fn room(&self, (id, end): (ConnectionId, End)) -> usize {
        self.connections.get(&id).and_then(|connection| connection.room(end).ok()).unwrap_or(0)
    }

    /// Writes what there is room for and says how much; if there is none, 0, and `waker` is kept.
    pub(super) fn write(
        &mut self,
        agenda: &mut Agenda,
        (id, end): (ConnectionId, End),
        bytes: &[u8],
        waker: &Waker,
    ) -> io::Result<usize> {
        let connection = self.connections.get_mut(&id).ok_or(io::ErrorKind::NotConnected)?;
        let room = connection.room(end)?.min(bytes.len());
        if room == 0 {
            connection.wait_to_write(end, waker);
            return Ok(0);
        }
        let count = if connection.fragmented { fragment(&mut self.dice, room) } else { room };
        let [from, to] = [connection.nodes[end], connection.nodes[other(end)]];
        if connection.is_gone(other(end)) {
            // They go where nobody is; unless the power is off there, the answer is a reset.
            if !connection.is_silent(other(end)) {
                self.reset_end(agenda, id, end, Duration::ZERO);
            }
            return Ok(count);
        }
        self.send(agenda, id, end, Bytes::copy_from_slice(&bytes[..count]));
        if from != to && self.dice.happens(self.options.cut_probability) {
            self.cut(agenda, id);
        }
        Ok(count)
    }

    /// No more will be written to this end.
    pub(super) fn finish(&mut self, agenda: &mut Agenda, id: ConnectionId, end: End) -> io::Result<()> {
        let connection = self.connections.get_mut(&id).ok_or(io::ErrorKind::NotConnected)?;
        if !connection.is_finished(end) {
            connection.room(end)?;
            self.send(agenda, id, end, Bytes::new());
        }
        Ok(())
    }

    fn send(&mut self, agenda: &mut Agenda, id: ConnectionId, end: End, bytes: Bytes) {
        let Some(connection) = self.connections.get(&id) else { return };
        let [from, to] = [connection.nodes[end], connection.nodes[other(end)]];
        let arrival = (!self.is_down(from, to)).then(|| agenda.now() + self.latency(from, to));
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match connection.send(end, bytes, arrival) {
            Some(arrival) => {
                agenda.add(arrival, Event::Arrive { connection: id, end: other(end) });
            }
            None => self.expect_to_give_up(agenda, id, end),
        }
    }

    /// The owner of an end drops it.
    pub(super) fn leave(&mut self, agenda: &mut Agenda, id: ConnectionId, end: End, wakers: &mut Vec<Waker>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.is_gone(end) {
            return;
        }
        let unread = connection.leave(end, wakers);
        if connection.is_gone(other(end)) {
            self.connections.remove(&id);
        } else if connection.is_broken(end) {
            // A broken end says nothing more; whatever broke it tells the other.
        } else if unread {
            // As TCP does: who closes with bytes unread resets.
            self.reset_end(agenda, id, other(end), Duration::ZERO);
        } else if !connection.is_finished(end) {
            self.send(agenda, id, end, Bytes::new());
        }
    }

    /// The owner of an end resets the connection: what waits for its link is lost, what travels may arrive.
    pub(super) fn abandon(
        &mut self,
        agenda: &mut Agenda,
        id: ConnectionId,
        end: End,
        wakers: &mut Vec<Waker>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.is_gone(end) {
            return;
        }
        let kept = if connection.is_held(end) { 0 } else { self.dice.below(3) };
        connection.lose_in_flight(end, agenda.now(), usize::try_from(kept).unwrap_or(0));
        connection.leave(end, wakers);
        if connection.is_gone(other(end)) {
            self.connections.remove(&id);
        } else if !connection.is_broken(end) {
            self.reset_end(agenda, id, other(end), Duration::ZERO);
        }
    }

    /// Something arrives; false if there is nobody left.
    pub(super) fn arrive(&mut self, id: ConnectionId, end: End, wakers: &mut Vec<Waker>) -> Option<NodeId> {
        let connection = self.connections.get_mut(&id)?;
        connection.arrive(end, wakers);
        Some(connection.nodes[end])
    }

    /// Tells `end` of a reset as soon as news can come from the other end, and after `delay`.
    fn reset_end(&mut self, agenda: &mut Agenda, id: ConnectionId, end: End, delay: Duration) {
        let Some(connection) = self.connections.get(&id) else { return };
        let [from, to] = [connection.nodes[other(end)], connection.nodes[end]];
        let at = agenda.now() + self.latency(from, to) + delay;
        agenda.add(at, Event::Reset { connection: id, end });
    }

    /// A reset arrives at `end`.
    pub(super) fn reset(
        &mut self,
        now: Instant,
        id: ConnectionId,
        end: End,
        wakers: &mut Vec<Waker>,
    ) -> Option<NodeId> {
        let connection = self.connections.get_mut(&id)?;
        let [from, to] = [connection.nodes[other(end)], connection.nodes[end]];
        if self.down.contains(&(from, to)) {
            connection.hold_reset(end);
            return None;
        }
        let readable = self.dice.happens(0.5);
        connection.break_end(end, io::ErrorKind::ConnectionReset, now, readable, wakers);
        Some(to)
    }

    /// Both ends lose the connection, each at a moment of its own; what is on the way may arrive before that.
    fn cut(&mut self, agenda: &mut Agenda, id: ConnectionId) {
        for end in [0, 1] {
            let delay = if self.dice.happens(0.5) {
                self.dice.duration(&self.options.latency)
            } else {
                Duration::ZERO
            };
            self.reset_end(agenda, id, end, delay);
        }
    }

    // Faults that a test asks for.

    /// Cuts the connections of a node (all if `None`) to other nodes.
    pub(super) fn reset_connections(&mut self, agenda: &mut Agenda, node: Option<NodeId>) {
        let ids: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| {
                let [a, b] = connection.nodes;
                a != b && node.is_none_or(|node| a == node || b == node)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.cut(agenda, id);
        }
    }

    fn is_down(&self, from: NodeId, to: NodeId) -> bool {
        self.down.contains(&(from, to))
    }

    /// Takes the link from one node to another down, in this direction.
    pub(super) fn take_down(&mut self, agenda: &mut Agenda, from: NodeId, to: NodeId) {
        if from == to || !self.down.insert((from, to)) {
            return;
        }
        for (id, end) in self.ends_on(from, to) {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            if connection.hold(end, agenda.now()) {
                self.expect_to_give_up(agenda, id, end);
            }
        }
    }

    /// The ends that write over a link.
    fn ends_on(&self, from: NodeId, to: NodeId) -> Vec<(ConnectionId, End)> {
        let ends = self.connections.iter().flat_map(|(id, connection)| {
            [0, 1].into_iter().map(move |end| (*id, end, connection.nodes[end], connection.nodes[other(end)]))
        });
        ends.filter(|(_, _, a, b)| *a == from && *b == to).map(|(id, end, ..)| (id, end)).collect()
    }

    /// Takes a link up again.
    pub(super) fn take_up(&mut self, agenda: &mut Agenda, from: NodeId, to: NodeId) {
        if !self.down.remove(&(from, to)) {
            return;
        }
        for (id, end) in self.ends_on(from, to) {
            let arrival = agenda.now()
                + self.latency(from, to)
                + self.dice.duration(&(Duration::ZERO..=RETRANSMISSION));
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            if connection.release(end, arrival) {
                agenda.add(arrival, Event::Arrive { connection: id, end: other(end) });
            }
            if connection.release_reset(other(end)) {
                agenda.add(arrival, Event::Reset { connection: id, end: other(end) });
            }
        }
    }

    /// Takes all links up again.
    pub(super) fn heal(&mut self, agenda: &mut Agenda) {
        for (from, to) in self.down.clone() {
            self.take_up(agenda, from, to);
        }
    }

    /// Bytes that find no way are given up after a while.
    fn expect_to_give_up(&mut self, agenda: &mut Agenda, id: ConnectionId, end: End) {
        let at = agenda.now() + self.dice.duration(&self.options.give_up);
        agenda.add(at, Event::GiveUp { connection: id, end });
    }

    /// The time is over for what `end` could not send.
    pub(super) fn give_up(
        &mut self,
        now: Instant,
        id: ConnectionId,
        end: End,
        wakers: &mut Vec<Waker>,
    ) -> Option<NodeId> {
        let connection = self.connections.get_mut(&id)?;
        if !connection.is_held(end) || connection.is_broken(end) {
            return None;
        }
        connection.break_end(end, io::ErrorKind::TimedOut, now, true, wakers);
        connection.lose_in_flight(end, now, 0);
        // The other end hears of it when the link is up.
        connection.hold_reset(other(end));
        Some(connection.nodes[end])
    }

    /// A node's process has ended: its ports close, its ends are gone.
    pub(super) fn die(&mut self, agenda: &mut Agenda, node: NodeId, death: Death, wakers: &mut Vec<Waker>) {
        let ports = self.listeners.keys().filter(|(on, _)| *on == node).copied().collect::<Vec<_>>();
        for key in ports {
            // Those that wait in the backlog are among the connections below.
            wakers.extend(self.listeners.remove(&key).into_iter().flat_map(|backlog| backlog.acceptors));
        }
        let ends: Vec<(ConnectionId, End)> = self
            .connections
            .iter()
            .flat_map(|(id, connection)| [0, 1].map(|end| (*id, end, connection.nodes[end])))
            .filter(|(.., on)| *on == node)
            .map(|(id, end, _)| (id, end))
            .collect();
        for (id, end) in ends {
            match death {
                Death::Killed => self.leave(agenda, id, end, wakers),
                Death::PowerLost => self.vanish(agenda, id, end, wakers),
            }
        }
    }

    /// An end goes without a word.
    fn vanish(&mut self, agenda: &mut Agenda, id: ConnectionId, end: End, wakers: &mut Vec<Waker>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.is_gone(end) {
            return;
        }
        let kept = usize::try_from(self.dice.below(3)).unwrap_or(0);
        connection.lose_in_flight(end, agenda.now(), kept);
        connection.leave(end, wakers);
        if connection.is_gone(other(end)) {
            self.connections.remove(&id);
            return;
        }
        let silent = self.dice.happens(self.options.silence_probability);
        connection.set_silent(end, silent);
        let delay = if silent { self.dice.duration(&self.options.give_up) } else { Duration::ZERO };
        self.reset_end(agenda, id, other(end), delay);
    }
}

/// What runs at a node when somebody dials it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    Running,
    Ended,
    PowerOff,
}

/// How much of `most` bytes is moved at once on a fragmented connection.
fn fragment(dice: &mut Dice, most: usize) -> usize {
    let most = most as u64;
    // Often a single byte, often little, sometimes all.
    let count = match dice.below(4) {
        0 => 1,
        1 => 1 + dice.below(most.min(64)),
        2 => 1 + dice.below(most.max(1)),
        _ => most,
    };
    usize::try_from(count.clamp(1, most.max(1))).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_never_empty_nor_too_long() {
        let mut dice = Dice::new(1, "test");
        for most in [1, 2, 63, 64, 65, 100_000] {
            let counts: Vec<usize> = (0..1000).map(|_| fragment(&mut dice, most)).collect();
            assert!(counts.iter().all(|count| (1..=most).contains(count)));
            assert!(counts.contains(&1) && counts.contains(&most));
        }
    }
}
