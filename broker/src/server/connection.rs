//! One connection: frames in, answers out in the order of the requests.
//!
//! A connection is one task with one loop over four steps, each of which may be possible or not: hand the answers that
//! are ready to the socket, write, take the next request, read. Requests are taken while earlier ones wait (for a sync,
//! for bytes), so that one connection can keep a disk busy; their number and their bytes are bounded, and nothing is
//! read while the client does not read its answers. One that [looks where logs end](handlers::reads_logs) is not taken
//! before those ahead of it are answered, so that a client that sends it behind a Produce finds what it has written. Bytes
//! that are not the protocol end this connection and no other, and so does a request that does not come in time, or a client
//! that is silent too long or leaves its answers unread.
//!
//! ```text
//!   socket --read--> buffer --take--> handler --Reply--> waiting (in order) --ready--> outgoing --write--> socket
//! ```

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anabranch_host::{ByteStream, Instant};
use anabranch_protocol::{ApiKey, Segments, frame};
use bytes::{Buf, BufMut, Bytes};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::sync::watch;

use super::incoming::Incoming;
use crate::config::Endpoint;
use crate::handlers;
use crate::memory::Held;
use crate::metrics::CloseReason;
use crate::node::Node;
use crate::reply::{PendingAnswer, Reply};

/// Bytes of requests not yet answered, and of answers behind them, above which no further request is taken.
const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of answers not yet written above which no further request is taken.
const OUTGOING_BYTES: usize = 1024 * 1024;
/// So much of a frame may arrive without room for it: the small requests that keep clients alive never wait for the
/// large ones of others.
const FREE_FRAME_BYTES: usize = 16 * 1024;
/// Room for a large frame grows to so many times what has arrived of it, ...
const ROOM_FACTOR: usize = 4;
/// ... but at most by this.
const ROOM_STEP_BYTES: usize = 1024 * 1024;
/// What each MiB of a request adds to the time it may take to arrive.
const TIME_FOR_MIB: Duration = Duration::from_secs(1);
/// How long a connection that is silent keeps the memory of large frames.
const KEEPS_MEMORY: Duration = Duration::from_secs(1);
/// How long answers that wait get when the broker stops.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// The most parts handed to the socket in one call.
const IO_SLICES: usize = 64;

pub(super) struct Connection {
    node: Arc<Node>,
    stream: ByteStream,
    peer: String,
    endpoint: Arc<Endpoint>,
    stopping: watch::Receiver<bool>,
    incoming: Incoming,
    /// Since when the frame whose beginning is in `incoming` is being read.
    arriving_since: Option<Instant>,
    /// Since when its rest waits for room.
    no_room_since: Option<Instant>,
    /// What it holds in the account of all connections, if it is a large one.
    held: Held,
    /// Requests taken and not yet answered, in order.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    outgoing: VecDeque<Segments>,
    outgoing_bytes: usize,
    /// No more requests are read; the connection ends when the answers have left.
    closing: Option<Ending>,
    last_active: Instant,
}

/// A request that is taken and not yet answered.
struct Waiting {
    answer: Answer,
    request: Held,
    /// Of request and answer, as far as that is there.
    bytes: usize,
    api_key: Option<ApiKey>,
    received: Instant,
}

enum Answer {
    Ready(Segments),
    Pending(PendingAnswer),
    /// The last: nothing was taken after it.
    Close,
}

/// Why a connection ends.
#[derive(Debug)]
enum Ending {
    /// The client closed it.
    Closed,
    /// Nothing happened for `connections.max.idle.ms`.
    Idle,
    /// A request did not arrive in time.
    Slow,
    /// The broker stops.
    Stopping,
    /// The client broke the protocol, or a request without an answer failed.
    Refused(String),
    /// The network failed.
    Failed(io::Error),
}

impl Connection {
    pub(super) fn new(
        node: Arc<Node>,
        stream: ByteStream,
        peer: String,
        endpoint: Arc<Endpoint>,
        stopping: watch::Receiver<bool>,
    ) -> Connection {
        let last_active = node.host.now();
        let endpoint = reachable(&stream, endpoint);
        Connection {
            node,
            stream,
            peer,
            endpoint,
            stopping,
            incoming: Incoming::default(),
            arriving_since: None,
            no_room_since: None,
            held: Held::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            closing: None,
            last_active,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self) {
        tracing::debug!(peer = %self.peer, "connected");
        self.node.metrics.connections_opened.increment();
        let host = self.node.host.clone();
        let mut stopping = self.stopping.clone();
        // A stop ends the loop early; then answers under way get some time to leave.
        let ending = tokio::select! {
            biased;
            ending = self.serve() => Some(ending),
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        let ending = match ending {
            Some(ending) => ending,
            None => {
                self.closing = Some(Ending::Stopping);
                host.timeout(STOP_GRACE, self.serve()).await.unwrap_or(Ending::Stopping)
            }
        };
        self.node.metrics.connection_closed(match ending {
            Ending::Closed | Ending::Failed(_) => CloseReason::Client,
            Ending::Idle => CloseReason::Idle,
            Ending::Slow => CloseReason::Slow,
            Ending::Refused(_) => CloseReason::Protocol,
            Ending::Stopping => CloseReason::Shutdown,
        });
        match ending {
            Ending::Refused(reason) => tracing::warn!(peer = %self.peer, %reason, "closed the connection"),
            Ending::Slow => {
                tracing::warn!(peer = %self.peer, "closed the connection: a request did not arrive in time");
            }
            Ending::Failed(error) => tracing::debug!(peer = %self.peer, %error, "lost the connection"),
            ending => tracing::debug!(peer = %self.peer, ?ending, "the connection ended"),
        }
    }

    async fn serve(&mut self) -> Ending {
        let host = self.node.host.clone();
        loop {
            let armed = self.deadline();
            let mut sleep = pin!(async {
                match armed {
                    Some(deadline) => host.sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            });
            let step = std::future::poll_fn(|context| match self.poll(context) {
                Poll::Ready(ending) => Poll::Ready(Some(ending)),
                Poll::Pending => {
                    let is_earlier =
                        self.deadline().is_some_and(|deadline| armed.is_none_or(|armed| deadline < armed));
                    if is_earlier { Poll::Ready(None) } else { sleep.as_mut().poll(context).map(|()| None) }
                }
            });
            if let Some(ending) = step.await {
                return ending;
            }
            let now = host.now();
            if self.frame_deadline().is_some_and(|deadline| deadline <= now) {
                return Ending::Slow;
            }
            if self.rest_deadline().is_some_and(|deadline| deadline <= now) {
                self.incoming.rest();
            }
            if self.idle_deadline().is_some_and(|deadline| deadline <= now) {
                // A request that waits is no idleness; an answer that is not read is.
                if self.waiting.is_empty() || !self.outgoing.is_empty() {
                    return Ending::Idle;
                }
                self.last_active = now;
            }
        }
    }

    /// When the next of the clocks runs out.
    fn deadline(&self) -> Option<Instant> {
        [self.idle_deadline(), self.frame_deadline(), self.rest_deadline()].into_iter().flatten().min()
    }

    fn idle_deadline(&self) -> Option<Instant> {
        let idle_ms = self.node.config.connections_max_idle_ms?;
        Some(self.last_active + Duration::from_millis(idle_ms))
    }

    /// When the memory of large frames is let go.
    fn rest_deadline(&self) -> Option<Instant> {
        (!self.incoming.is_resting()).then(|| self.last_active + KEEPS_MEMORY)
    }

    /// When the frame that is being read must be there.
    fn frame_deadline(&self) -> Option<Instant> {
        if self.no_room_since.is_some() {
            return None;
        }
        let timeout = Duration::from_millis(self.node.config.socket_request_timeout_ms);
        let mib = frame_bytes(&self.incoming.bytes) >> 20;
        let for_size = TIME_FOR_MIB.saturating_mul(u32::try_from(mib).unwrap_or(u32::MAX));
        Some(self.arriving_since? + timeout + for_size)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        loop {
            let mut progress = self.poll_answers(context);
            match self.poll_write(context) {
                Poll::Ready(Ok(written)) => progress |= written,
                Poll::Ready(Err(error)) => return Poll::Ready(Ending::Failed(error)),
                Poll::Pending => {}
            }
            if self.closing.is_none() {
                let is_held_back = self.is_held_back();
                let may_take = !is_held_back && self.may_take(context);
                if is_held_back || !may_take && self.held.bytes() == 0 {
                    // The client is not slow: it is not read from.
                    self.arriving_since = None;
                }
                if may_take {
                    match self.take() {
                        Ok(taken) => progress |= taken,
                        Err(reason) => self.close(Ending::Refused(reason)),
                    }
                }
                if self.closing.is_none() && may_take && !progress {
                    match self.poll_read(context) {
                        Poll::Ready(Ok(0)) => {
                            // Whoever hangs up does not wait for answers; what they hold is let go.
                            return Poll::Ready(Ending::Closed);
                        }
                        Poll::Ready(Ok(_)) => progress = true,
                        Poll::Ready(Err(error)) => return Poll::Ready(Ending::Failed(error)),
                        Poll::Pending => {}
                    }
                }
            }
            if self.waiting.is_empty()
                && self.outgoing.is_empty()
                && let Some(ending) = self.closing.take()
            {
                return Poll::Ready(ending);
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Whether one more request may be taken. At least one always may, and one that has its room.
    fn may_take(&self, context: &Context<'_>) -> bool {
        self.outgoing_bytes < OUTGOING_BYTES
            && (self.waiting.is_empty()
                || (self.waiting.len() < self.node.config.queued_max_requests
                    && self.waiting_bytes < WAITING_BYTES
                    && (self.held.bytes() > 0 || self.node.memory.has_room(context))))
    }

    /// Whether the next request is there and must see what those before it do, which are not done.
    fn is_held_back(&self) -> bool {
        let arrived = &self.incoming.bytes;
        !self.waiting.is_empty()
            && frame::missing_bytes(arrived) == Some(0)
            && api_key(&arrived[frame::LENGTH_BYTES..]).is_some_and(handlers::reads_logs)
    }

    /// Moves the answers that are ready, in order, to those that are written.
    fn poll_answers(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        while self.outgoing_bytes < OUTGOING_BYTES
            && let Some(first) = self.waiting.front_mut()
        {
            let segments = match &mut first.answer {
                Answer::Ready(segments) => std::mem::take(segments),
                Answer::Pending(future) => match future.as_mut().poll(context) {
                    Poll::Ready(segments) => segments,
                    Poll::Pending => break,
                },
                Answer::Close => Segments::default(),
            };
            // A ready answer has counted since it was made.
            if matches!(first.answer, Answer::Pending(_)) {
                self.node.memory.add_answer(segments.len());
            }
            if let Some(api_key) = first.api_key {
                self.node.metrics.answered(api_key, self.node.host.now() - first.received);
            }
            self.waiting_bytes -= first.bytes;
            self.node.memory.let_go(std::mem::take(&mut first.request));
            self.waiting.pop_front();
            if !segments.is_empty() {
                self.outgoing_bytes += segments.len();
                self.outgoing.push_back(segments);
            }
            progress = true;
        }
        progress
    }

    /// Writes what can be written; whether anything was.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut written = false;
        while !self.outgoing.is_empty() {
            let mut slices = [io::IoSlice::new(&[]); IO_SLICES];
            let mut count = 0;
            for segments in &self.outgoing {
                count += segments.chunks_vectored(&mut slices[count..]);
                if count == IO_SLICES {
                    break;
                }
            }
            let mut bytes = match Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..count]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => bytes,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return if written { Poll::Ready(Ok(true)) } else { Poll::Pending },
            };
            written = true;
            self.outgoing_bytes -= bytes;
            self.node.memory.remove_answer(bytes);
            while let Some(first) = self.outgoing.front_mut()
                && bytes > 0
            {
                let step = bytes.min(first.len());
                first.advance(step);
                bytes -= step;
                if first.is_empty() {
                    self.outgoing.pop_front();
                }
            }
        }
        if written {
            self.last_active = self.node.host.now();
            // An in-process stream has nothing to flush, TCP neither; a stream with a buffer of its own would.
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        }
        Poll::Ready(Ok(written))
    }

    /// Takes the next whole frame from the buffer and handles it; whether there was one.
    fn take(&mut self) -> Result<bool, String> {
        let limit = self.node.config.socket_request_max_bytes;
        let Some(frame) =
            frame::take_frame(&mut self.incoming.bytes, limit).map_err(|error| error.to_string())?
        else {
            return Ok(false);
        };
        let request_bytes = frame.len();
        let api_key = api_key(&frame);
        self.arriving_since = None;
        self.node.memory.arrived(&mut self.held, request_bytes);
        let mut bytes = request_bytes;
        let answer = match self.handle(frame)? {
            Reply::Now(segments) => {
                self.node.memory.add_answer(segments.len());
                bytes += segments.len();
                Answer::Ready(segments)
            }
            Reply::Later(future) => Answer::Pending(future),
            Reply::Silent => {
                self.let_go();
                return Ok(true);
            }
            Reply::Close(reason) => {
                self.close(Ending::Refused(reason));
                Answer::Close
            }
        };
        let request = std::mem::take(&mut self.held);
        self.waiting_bytes += bytes;
        self.waiting.push_back(Waiting { answer, request, bytes, api_key, received: self.last_active });
        Ok(true)
    }

    /// Gives back the room of the frame that is being read.
    fn let_go(&mut self) {
        self.node.memory.let_go(std::mem::take(&mut self.held));
    }

    fn handle(&mut self, frame: Bytes) -> Result<Reply, String> {
        self.last_active = self.node.host.now();
        handlers::handle(&self.node, &frame, &self.peer, &self.endpoint, self.last_active)
    }

    fn close(&mut self, ending: Ending) {
        self.incoming = Incoming::default();
        (self.arriving_since, self.no_room_since) = (None, None);
        self.let_go();
        self.closing = Some(ending);
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let may_arrive = ready!(self.poll_room(context));
        if !self.incoming.bytes.is_empty() && self.arriving_since.is_none() {
            self.arriving_since = Some(self.node.host.now());
        }
        let limit = match frame::missing_bytes(&self.incoming.bytes) {
            Some(missing) => self.incoming.in_frame(missing),
            None => self.incoming.between_frames(!self.waiting.is_empty()),
        };
        let mut buffer = (&mut self.incoming.bytes).limit(limit.min(may_arrive));
        let read = ready!(pin!(self.stream.read_buf(&mut buffer)).poll(context));
        self.last_active = self.node.host.now();
        Poll::Ready(read)
    }

    /// Waits for room to read on; how much may arrive then.
    fn poll_room(&mut self, context: &Context<'_>) -> Poll<usize> {
        let (frame_bytes, arrived) = (frame_bytes(&self.incoming.bytes), self.incoming.bytes.len());
        let room = self.held.bytes().max(FREE_FRAME_BYTES);
        if frame_bytes <= room {
            return Poll::Ready(usize::MAX);
        }
        if arrived < room {
            return Poll::Ready(room - arrived);
        }
        let room = frame_bytes.min((arrived * ROOM_FACTOR).min(arrived + ROOM_STEP_BYTES));
        let has_room = self.node.memory.grow(&mut self.held, room, context);
        let now = self.node.host.now();
        if !has_room {
            self.no_room_since.get_or_insert(now);
            return Poll::Pending;
        }
        if let Some(since) = self.no_room_since.take() {
            // The client could not go on meanwhile.
            self.arriving_since = self.arriving_since.map(|arriving| arriving + (now - since));
        }
        Poll::Ready(if room == frame_bytes { usize::MAX } else { room - arrived })
    }
}

/// Which API a frame is a request of, if it is known.
fn api_key(frame: &[u8]) -> Option<ApiKey> {
    ApiKey::from_i16(i16::from_be_bytes(*frame.first_chunk()?))
}

/// Bytes of the frame whose beginning has arrived, with its length; 0 as long as that is not known.
fn frame_bytes(arrived: &[u8]) -> usize {
    frame::missing_bytes(arrived).map_or(0, |missing| arrived.len() + missing)
}

impl Drop for Connection {
    fn drop(&mut self) {
        let unsent = self.waiting.iter().map(|waiting| match &waiting.answer {
            Answer::Ready(segments) => segments.len(),
            Answer::Pending(_) | Answer::Close => 0,
        });
        self.node.memory.remove_answer(self.outgoing_bytes + unsent.sum::<usize>());
        self.let_go();
        for waiting in std::mem::take(&mut self.waiting) {
            self.node.memory.let_go(waiting.request);
        }
    }
}

/// What this client is told to connect to: of a listener on all addresses, the one it came to.
fn reachable(stream: &ByteStream, endpoint: Arc<Endpoint>) -> Arc<Endpoint> {
    if !endpoint.is_wildcard() {
        return endpoint;
    }
    let host = stream.local_host().unwrap_or_else(|| "localhost".to_string());
    Arc::new(Endpoint { host, ..Endpoint::clone(&endpoint) })
}
