//! One simulated connection: two pipes that keep their bytes in order, and what each end knows of the other.
//!
//! Pure: it is told the time and the moments of arrival, and says whom to wake.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::trace::NodeId;
use crate::Instant;

/// Which end of a connection: 0 has dialed, 1 has accepted.
pub(super) type End = usize;

/// The other end.
pub(super) fn other(end: End) -> End {
    1 - end
}

/// A connection between two nodes, or within one.
pub(super) struct Connection {
    pub(super) nodes: [NodeId; 2],
    /// Whether its reads and writes move little at a time, often a single byte.
    pub(super) fragmented: bool,
    sides: [Side; 2],
    /// By the end that writes.
    pipes: [Pipe; 2],
}

/// What one end knows.
#[derive(Default)]
struct Side {
    /// The error that every write meets from now on, and every read once what has arrived is read.
    broken: Option<io::ErrorKind>,
    /// Dropped by its owner, or gone with its process.
    gone: bool,
    /// Gone with its machine, which answers nothing.
    silent: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// A reset that cannot get through yet.
    reset_held: bool,
}

struct Pipe {
    segments: VecDeque<Segment>,
    /// Bytes written and not read, wherever they are.
    unread_bytes: usize,
    capacity_bytes: usize,
    last_arrival: Instant,
    finished: bool,
}

/// Bytes that travel together; none for the end of the stream.
struct Segment {
    /// `None` while the link is down.
    arrival: Option<Instant>,
    bytes: Bytes,
}

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// That many bytes; 0 at the end of the stream.
    Bytes(usize),
    /// Nothing yet.
    Wait,
}

impl Connection {
    pub(super) fn new(
        nodes: [NodeId; 2],
        capacity_bytes: usize,
        fragmented: bool,
        now: Instant,
    ) -> Connection {
        let pipe = || Pipe {
            segments: VecDeque::new(),
            unread_bytes: 0,
            capacity_bytes,
            last_arrival: now,
            finished: false,
        };
        Connection { nodes, fragmented, sides: Default::default(), pipes: [pipe(), pipe()] }
    }

    /// Fills `buffer` with at most `limit` bytes that have arrived; a waiting writer is put into `wakers`.
    pub(super) fn read(
        &mut self,
        end: End,
        now: Instant,
        buffer: &mut ReadBuf<'_>,
        limit: usize,
        wakers: &mut Vec<Waker>,
    ) -> io::Result<Read> {
        if self.sides[end].gone {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let pipe = &mut self.pipes[other(end)];
        let mut left = limit.min(buffer.remaining());
        let mut count = 0;
        while left > 0
            && let Some(segment) = pipe.segments.front_mut()
            && segment.arrival.is_some_and(|arrival| arrival <= now)
        {
            if segment.bytes.is_empty() {
                // The end of the stream stays where it is, for the next read.
                return Ok(Read::Bytes(count));
            }
            let taken = left.min(segment.bytes.len());
            buffer.put_slice(&segment.bytes[..taken]);
            segment.bytes.advance(taken);
            if segment.bytes.is_empty() {
                pipe.segments.pop_front();
            }
            left -= taken;
            count += taken;
        }
        pipe.unread_bytes -= count;
        if count > 0 {
            wakers.extend(self.sides[other(end)].writer.take());
            return Ok(Read::Bytes(count));
        }
        match self.sides[end].broken {
            Some(kind) => Err(kind.into()),
            None if buffer.remaining() == 0 => Ok(Read::Bytes(0)),
            None => Ok(Read::Wait),
        }
    }

    /// Bytes that `end` may write now; 0: wait.
    pub(super) fn room(&self, end: End) -> io::Result<usize> {
        let side = &self.sides[end];
        if side.gone {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if let Some(kind) = side.broken {
            return Err(kind.into());
        }
        let pipe = &self.pipes[end];
        if pipe.finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(pipe.capacity_bytes - pipe.unread_bytes)
    }

    /// Puts bytes (no more than there is room for) or the end of the stream (no bytes) on the way. They arrive at
    /// `arrival` or after what was written before; the moment is returned, `None` if the link is down.
    pub(super) fn send(&mut self, end: End, bytes: Bytes, arrival: Option<Instant>) -> Option<Instant> {
        let pipe = &mut self.pipes[end];
        pipe.finished |= bytes.is_empty();
        pipe.unread_bytes += bytes.len();
        let arrival =
            if pipe.is_held() { None } else { arrival.map(|arrival| arrival.max(pipe.last_arrival)) };
        pipe.last_arrival = arrival.unwrap_or(pipe.last_arrival);
        pipe.segments.push_back(Segment { arrival, bytes });
        arrival
    }

    pub(super) fn wait_to_read(&mut self, end: End, waker: &Waker) {
        self.sides[end].reader = Some(waker.clone());
    }

    pub(super) fn wait_to_write(&mut self, end: End, waker: &Waker) {
        self.sides[end].writer = Some(waker.clone());
    }

    /// Something has arrived for `end`.
    pub(super) fn arrive(&mut self, end: End, wakers: &mut Vec<Waker>) {
        wakers.extend(self.sides[end].reader.take());
    }

    /// Makes the connection useless for `end`. What has arrived may still be read if `readable`; all else is lost.
    pub(super) fn break_end(
        &mut self,
        end: End,
        kind: io::ErrorKind,
        now: Instant,
        readable: bool,
        wakers: &mut Vec<Waker>,
    ) {
        let side = &mut self.sides[end];
        side.broken.get_or_insert(kind);
        side.reset_held = false;
        wakers.extend(side.reader.take());
        wakers.extend(side.writer.take());
        self.pipes[other(end)].lose(|segment| readable && segment.has_arrived(now));
    }

    /// The owner of `end` lets go of it. Tells whether it left bytes unread.
    pub(super) fn leave(&mut self, end: End, wakers: &mut Vec<Waker>) -> bool {
        let side = &mut self.sides[end];
        side.gone = true;
        // Its own wakers go too, but only when the lock is free.
        wakers.extend(side.reader.take());
        wakers.extend(side.writer.take());
        let pipe = &mut self.pipes[other(end)];
        let unread = pipe.segments.iter().any(|segment| !segment.bytes.is_empty());
        pipe.lose(|_| false);
        wakers.extend(self.sides[other(end)].writer.take());
        unread
    }

    /// Loses all but the first `kept` segments that `end` has written and that have not arrived.
    pub(super) fn lose_in_flight(&mut self, end: End, now: Instant, kept: usize) {
        let mut in_flight = 0;
        self.pipes[end].lose(|segment| {
            in_flight += usize::from(!segment.has_arrived(now));
            segment.has_arrived(now) || in_flight <= kept
        });
    }

    pub(super) fn is_gone(&self, end: End) -> bool {
        self.sides[end].gone
    }

    pub(super) fn set_silent(&mut self, end: End, silent: bool) {
        self.sides[end].silent = silent;
    }

    pub(super) fn is_silent(&self, end: End) -> bool {
        self.sides[end].silent
    }

    /// Whether `end` has been told an error, so that nothing more can happen to it.
    pub(super) fn is_broken(&self, end: End) -> bool {
        self.sides[end].broken.is_some()
    }

    pub(super) fn is_finished(&self, end: End) -> bool {
        self.pipes[end].finished
    }

    /// The link that carries what `end` writes is down: what has not arrived waits. Tells whether something does.
    pub(super) fn hold(&mut self, end: End, now: Instant) -> bool {
        for segment in &mut self.pipes[end].segments {
            if !segment.has_arrived(now) {
                segment.arrival = None;
            }
        }
        self.is_held(end)
    }

    /// Whether something that `end` has written waits for its link.
    pub(super) fn is_held(&self, end: End) -> bool {
        self.pipes[end].is_held()
    }

    /// The link is up again: what waits arrives from `arrival` on. Tells whether something does.
    pub(super) fn release(&mut self, end: End, arrival: Instant) -> bool {
        let held = self.is_held(end);
        let pipe = &mut self.pipes[end];
        for segment in pipe.segments.iter_mut().filter(|segment| segment.arrival.is_none()) {
            segment.arrival = Some(arrival.max(pipe.last_arrival));
        }
        if held {
            pipe.last_arrival = arrival.max(pipe.last_arrival);
        }
        held
    }

    pub(super) fn hold_reset(&mut self, end: End) {
        self.sides[end].reset_held = true;
    }

    pub(super) fn release_reset(&mut self, end: End) -> bool {
        std::mem::take(&mut self.sides[end].reset_held)
    }
}

impl Pipe {
    fn is_held(&self) -> bool {
        self.segments.back().is_some_and(|segment| segment.arrival.is_none())
    }

    fn lose(&mut self, keep: impl FnMut(&Segment) -> bool) {
        self.segments.retain(keep);
        self.unread_bytes = self.segments.iter().map(|segment| segment.bytes.len()).sum();
    }
}

impl Segment {
    fn has_arrived(&self, now: Instant) -> bool {
        self.arrival.is_some_and(|arrival| arrival <= now)
    }
}
