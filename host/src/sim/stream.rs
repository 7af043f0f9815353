//! What a node sees of the network: listeners, streams, and how to dial.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::agenda::ConnectionId;
use super::connection::{End, Read};
use super::network::{Attempt, Process};
use super::node::SimNode;
use super::state::State;
use super::trace::{EventKind, NodeId, fingerprint};

/// A request to connect that meets no answer is sent again after this time, then after twice that, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Requests before dialing has timed out: after 31 s.
const ATTEMPTS: u32 = 5;

impl SimNode {
    /// Listens on a port of this node.
    pub(crate) async fn listen(&self, address: &str) -> io::Result<SimListener> {
        let (host, port) = parse(address)?;
        let mut state = self.shared.state();
        self.check_alive(&state)?;
        if !is_local(host) && state.find(host) != Some(self.id) {
            let message = format!("{host} is not this node, {}", state.node(self.id).name);
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
        }
        let port = state.network.listen(self.id, port)?;
        Ok(SimListener { node: self.clone(), port })
    }

    /// Opens a stream to a port of a node.
    pub(crate) async fn connect(&self, address: &str) -> io::Result<SimStream> {
        let (host, port) = parse(address)?;
        let to = {
            let state = self.shared.state();
            self.check_alive(&state)?;
            if is_local(host) { Some(self.id) } else { state.find(host) }
        };
        let to =
            to.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no node is named {host}")))?;
        let mut wait = FIRST_RETRY;
        for _ in 0..ATTEMPTS {
            self.travel(self.id, to).await;
            match self.attempt(to, port)? {
                Attempt::Connected(connection) => {
                    // Before the answer has come, so that whoever drops this future lets go of the connection.
                    let stream = SimStream { node: self.clone(), connection, end: 0 };
                    self.travel(to, self.id).await;
                    return Ok(stream);
                }
                Attempt::Refused => {
                    self.travel(to, self.id).await;
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Attempt::Lost => self.sleep(wait).await,
            }
            wait *= 2;
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// One request to connect, as it meets the other node.
    fn attempt(&self, to: NodeId, port: u16) -> io::Result<Attempt> {
        let mut wakers = Vec::new();
        let mut state = self.shared.state();
        self.check_alive(&state)?;
        let node = state.node(to);
        let process = match (node.alive, node.power_off) {
            (true, _) => Process::Running,
            (false, false) => Process::Ended,
            (false, true) => Process::PowerOff,
        };
        let peer = state.node(self.id).name.clone();
        let State { network, agenda, .. } = &mut *state;
        let refuse_probability = network.options().refuse_probability;
        let attempt = if to != self.id && network.dice().happens(refuse_probability) {
            Attempt::Refused
        } else {
            network.attempt(agenda.now(), [self.id, to], port, process, peer, &mut wakers)
        };
        let payload = match attempt {
            Attempt::Connected(ConnectionId(number)) => number,
            Attempt::Refused | Attempt::Lost => 0,
        };
        state.record(EventKind::Connect, to, payload);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Ok(attempt)
    }

    /// Waits for as long as something takes from node to node.
    async fn travel(&self, from: NodeId, to: NodeId) {
        let latency = self.shared.state().network.latency(from, to);
        self.sleep(latency).await;
    }

    /// Refuses what a process would do that has ended.
    pub(super) fn check_alive(&self, state: &State) -> io::Result<()> {
        if state.is_alive(self.id, self.life) {
            return Ok(());
        }
        Err(io::Error::other("this life of the simulated node has ended"))
    }
}

/// Host and port of an address.
fn parse(address: &str) -> io::Result<(&str, u16)> {
    address
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("not host:port: {address}")))
}

/// Whether a host name means the node itself, whatever its name.
fn is_local(host: &str) -> bool {
    matches!(host, "" | "localhost" | "127.0.0.1" | "0.0.0.0" | "::" | "[::]" | "[::1]")
}

/// A port of a simulated node.
pub struct SimListener {
    node: SimNode,
    port: u16,
}

impl SimListener {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn accept(&self) -> io::Result<(SimStream, String)> {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(SimStream, String)>> {
        let mut state = self.node.shared.state();
        self.node.check_alive(&state)?;
        let Some((connection, peer)) = state.network.accept(self.node.id, self.port, context.waker())? else {
            return Poll::Pending;
        };
        state.record(EventKind::Accept, self.node.id, connection.0);
        Poll::Ready(Ok((SimStream { node: self.node.clone(), connection, end: 1 }, peer)))
    }
}

impl fmt::Debug for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimListener").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        let mut state = self.node.shared.state();
        // A new life may listen on the same port by now.
        if self.node.check_alive(&state).is_ok() {
            let State { network, agenda, .. } = &mut *state;
            network.stop_listening(agenda, self.node.id, self.port, &mut wakers);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// One end of a simulated connection.
pub struct SimStream {
    node: SimNode,
    connection: ConnectionId,
    end: End,
}

impl SimStream {
    /// Lets go of it at once: what has not left is never sent.
    pub(crate) fn reset(self) {
        let mut wakers = Vec::new();
        let mut state = self.node.shared.state();
        let State { network, agenda, .. } = &mut *state;
        network.abandon(agenda, self.connection, self.end, &mut wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn end_of_connection(&self) -> (ConnectionId, End) {
        (self.connection, self.end)
    }
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SimStream { connection, end, .. } = self;
        f.debug_struct("SimStream").field("connection", connection).field("end", end).finish_non_exhaustive()
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut wakers = Vec::new();
        let mut state = self.node.shared.state();
        let before = buffer.filled().len();
        let now = state.agenda.now();
        let read = state.network.read(now, self.end_of_connection(), buffer, context.waker(), &mut wakers);
        let poll = match read {
            Ok(Read::Wait) => Poll::Pending,
            Ok(Read::Bytes(_)) => {
                let payload = fingerprint(&buffer.filled()[before..]) ^ self.connection.0;
                state.record(EventKind::Receive, self.node.id, payload);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(error)),
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        poll
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut state = self.node.shared.state();
        let State { network, agenda, .. } = &mut *state;
        match network.write(agenda, self.end_of_connection(), bytes, context.waker())? {
            0 => Poll::Pending,
            count => {
                let payload = fingerprint(&bytes[..count]) ^ self.connection.0;
                state.record(EventKind::Send, self.node.id, payload);
                Poll::Ready(Ok(count))
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Gathered, so that they travel as one; no more than there is room for, but for one byte that waits for it.
        let room = self.node.shared.state().network.room(self.end_of_connection()).max(1);
        let mut gathered = Vec::new();
        for slice in slices {
            let left = room - gathered.len();
            gathered.extend_from_slice(&slice[..slice.len().min(left)]);
        }
        self.poll_write(context, &gathered)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.node.shared.state();
        let State { network, agenda, .. } = &mut *state;
        Poll::Ready(network.finish(agenda, self.connection, self.end))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        let mut state = self.node.shared.state();
        let State { network, agenda, .. } = &mut *state;
        network.leave(agenda, self.connection, self.end, &mut wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}
