//! Byte streams, listeners and dialers.
//!
//! [`in_process`] makes a listener and a dialer that meet in memory: a broker in this process is reached by the very
//! frames that would travel over TCP.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};

use crate::Host;
use crate::real::RealListener;
use crate::sim::{SimListener, SimStream};

/// Bytes held in each direction of an in-process stream before the writer waits.
const IN_PROCESS_BUFFER_BYTES: usize = 256 * 1024;
/// In-process connections that wait to be accepted.
const IN_PROCESS_BACKLOG: usize = 128;

/// A connection: ordered bytes both ways.
#[derive(Debug)]
pub enum ByteStream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Within this process.
    InProcess(DuplexStream),
    /// Between nodes of a simulated world.
    Simulated(SimStream),
}

impl ByteStream {
    /// The address of this end, without the port: where the peer reached us. `None` if it has none.
    #[must_use]
    pub fn local_host(&self) -> Option<String> {
        match self {
            ByteStream::Tcp(stream) => Some(stream.local_addr().ok()?.ip().to_canonical().to_string()),
            ByteStream::InProcess(_) | ByteStream::Simulated(_) => None,
        }
    }

    /// Closes it at once: what was written and has not left is never sent, and the peer is told that the connection is no
    /// more. In one process the peer may still read what was written.
    pub fn reset(self) {
        match self {
            // One that has ended already needs no reset.
            ByteStream::Tcp(stream) => drop(stream.set_zero_linger()),
            ByteStream::InProcess(stream) => drop(stream),
            ByteStream::Simulated(stream) => stream.reset(),
        }
    }

    /// The two directions, to be used by two tasks.
    #[must_use]
    pub fn split(self) -> (ReadHalf<ByteStream>, WriteHalf<ByteStream>) {
        tokio::io::split(self)
    }
}

macro_rules! on_each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            ByteStream::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            ByteStream::InProcess(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            ByteStream::Simulated(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for ByteStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_each!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_each!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_each!(self, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, stream => stream.poll_shutdown(context))
    }
}

/// Accepts connections.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(RealListener),
    /// The other end of an in-process [`Dialer`].
    InProcess(Arc<Mutex<mpsc::Receiver<ByteStream>>>),
    /// A port of a simulated node.
    Simulated(SimListener),
}

impl Listener {
    /// The next connection, with a name of its peer for logs.
    ///
    /// # Errors
    /// What the operating system says (too many open files, say: wait and try again), or `NotConnected` when every
    /// in-process dialer is gone.
    pub async fn accept(&self) -> io::Result<(ByteStream, String)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((ByteStream::Tcp(stream), peer.to_string()))
            }
            Listener::InProcess(receiver) => match receiver.lock().await.recv().await {
                Some(stream) => Ok((stream, "in-process".to_string())),
                None => Err(io::Error::new(io::ErrorKind::NotConnected, "every in-process dialer is gone")),
            },
            Listener::Simulated(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((ByteStream::Simulated(stream), peer))
            }
        }
    }

    /// The port it listens on; 0 in process.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn port(&self) -> io::Result<u16> {
        match self {
            Listener::Tcp(listener) => listener.port(),
            Listener::InProcess(_) => Ok(0),
            Listener::Simulated(listener) => Ok(listener.port()),
        }
    }
}

/// A listener and a dialer that meet in memory.
#[must_use]
pub fn in_process() -> (Listener, Dialer) {
    let (sender, receiver) = mpsc::channel(IN_PROCESS_BACKLOG);
    (Listener::InProcess(Arc::new(Mutex::new(receiver))), Dialer { way: Way::InProcess(sender) })
}

/// Opens byte streams, over the network or to a listener in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    way: Way,
}

#[derive(Clone)]
enum Way {
    Network(Host),
    InProcess(mpsc::Sender<ByteStream>),
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Network(_) => "Network",
            Way::InProcess(_) => "InProcess",
        })
    }
}

impl Dialer {
    pub(crate) fn network(host: Host) -> Dialer {
        Dialer { way: Way::Network(host) }
    }

    /// Whether it leads to a listener in this process, whatever the address.
    #[must_use]
    pub fn is_in_process(&self) -> bool {
        matches!(self.way, Way::InProcess(_))
    }

    /// Opens a stream to `address` (`host:port`); in process, to the one listener.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn connect(&self, address: &str) -> io::Result<ByteStream> {
        match &self.way {
            Way::Network(host) => host.connect(address).await,
            Way::InProcess(sender) => {
                let (ours, theirs) = tokio::io::duplex(IN_PROCESS_BUFFER_BYTES);
                sender.send(ByteStream::InProcess(theirs)).await.map_err(|_| {
                    io::Error::new(io::ErrorKind::ConnectionRefused, "the broker in this process has stopped")
                })?;
                Ok(ByteStream::InProcess(ours))
            }
        }
    }
}
