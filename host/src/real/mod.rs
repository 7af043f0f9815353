//! The real world: a tokio runtime of our own and the operating system.
#![allow(clippy::disallowed_methods, reason = "this is the door")]

mod disk;
#[cfg(test)]
mod tests;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use socket2::TcpKeepalive;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

pub(crate) use disk::{RealDisk, RealFile, RealVolume};

use crate::task::CatchUnwind;
use crate::{ByteStream, Disk, Instant, JoinError, JoinHandle, Listener, chance};

/// An idle connection is probed after this time.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Owns the threads of a real world; dropping it ends their tasks without waiting.
#[derive(Debug)]
pub struct RealRuntime {
    runtime: Option<Runtime>,
    /// Gone before the runtime is: pinned threads end, which its timers and sockets would fail.
    alive: Option<watch::Sender<()>>,
    start: std::time::Instant,
}

impl RealRuntime {
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub(crate) fn start(worker_threads: usize) -> io::Result<RealRuntime> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
        let (map_seed, _) = seed.split_at(8);
        chance::seed_maps(u64::from_ne_bytes(map_seed.try_into().expect("eight of sixteen bytes")));
        let runtime = Builder::new_multi_thread()
            .worker_threads(worker_threads.max(1))
            .thread_name("anabranch")
            .enable_all()
            .build()?;
        let alive = Some(watch::Sender::new(()));
        Ok(RealRuntime { runtime: Some(runtime), alive, start: std::time::Instant::now() })
    }

    pub(crate) fn handle(&self) -> Real {
        let runtime = self.runtime.as_ref().expect("present until drop").handle().clone();
        let alive = self.alive.as_ref().expect("present until drop").subscribe();
        Real { runtime, alive, start: self.start }
    }

    /// Runs `future` to its end on the calling thread, with this world's timers and sockets.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.as_ref().expect("present until drop").block_on(future)
    }
}

impl RealRuntime {
    /// Ends all tasks and waits until they are gone, with what they held: files, locks, ports. Threads stuck in a call that
    /// blocks are waited for at most ten seconds.
    pub async fn shutdown(mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        self.alive = None;
        let (sender, ended) = oneshot::channel();
        // On a thread of its own: the runtime's end blocks, and whoever waits may be a task.
        let thread = std::thread::Builder::new().name("anabranch-shutdown".to_string()).spawn(move || {
            runtime.shutdown_timeout(Duration::from_secs(10));
            // Whoever waited may have given up.
            let _ = sender.send(());
        });
        if thread.is_ok() {
            let _ = ended.await;
        }
    }
}

impl Drop for RealRuntime {
    fn drop(&mut self) {
        self.alive = None;
        // Not the runtime's own drop: it blocks, which panics inside another runtime (a user's `#[tokio::test]`).
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Sets what every connection needs: no delay for small frames, and probes that find a dead peer in minutes.
fn tune(stream: &TcpStream) {
    // A socket that refuses is broken already, and its first read says so.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}

/// A TCP port.
#[derive(Debug)]
pub struct RealListener {
    listener: TcpListener,
    runtime: Handle,
}

impl RealListener {
    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = poll_fn(|context| {
            // The socket belongs to our runtime's reactor, whoever polls.
            let _guard = self.runtime.enter();
            self.listener.poll_accept(context)
        })
        .await?;
        tune(&stream);
        Ok((stream, peer))
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }
}

/// A handle to the runtime.
#[derive(Clone, Debug)]
pub(crate) struct Real {
    runtime: Handle,
    alive: watch::Receiver<()>,
    start: std::time::Instant,
}

impl Real {
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub(crate) fn now(&self) -> Instant {
        Instant::from_start(self.start.elapsed())
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub(crate) fn wall_clock_ms(&self) -> i64 {
        // A clock before 1970 reads as 1970.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub(crate) async fn sleep(&self, duration: Duration) {
        let sleep = {
            // The timer of our own runtime, whoever polls: a pinned thread or the user's executor.
            let _guard = self.runtime.enter();
            tokio::time::sleep(duration)
        };
        sleep.await;
    }

    pub(crate) async fn interrupted(&self) -> io::Result<()> {
        let (mut interrupt, mut terminate) = {
            let _guard = self.runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub(crate) fn random_u64(&self) -> u64 {
        fastrand::u64(..)
    }

    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let task = self.runtime.spawn(async move {
            let output = CatchUnwind::new(future).await;
            // Nobody listens if the handle was dropped.
            let _ = sender.send(output);
        });
        let abort = task.abort_handle();
        JoinHandle::new(receiver, Arc::new(move || abort.abort()))
    }

    pub(crate) fn spawn_pinned<M, F>(&self, name: &str, make: M) -> io::Result<JoinHandle<F::Output>>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let (abort_sender, abort_receiver) = oneshot::channel::<()>();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut alive = self.alive.clone();
        std::thread::Builder::new().name(name.to_string()).spawn(move || {
            let output = runtime.block_on(async move {
                tokio::select! {
                    biased;
                    Ok(()) = abort_receiver => Err(JoinError::Cancelled),
                    _ = alive.changed() => Err(JoinError::Cancelled),
                    // `make` within the future, so that its panic is caught too.
                    output = CatchUnwind::new(async move { make().await }) => output,
                }
            });
            let _ = sender.send(output);
        })?;
        let abort_sender = std::sync::Mutex::new(Some(abort_sender));
        let abort = move || {
            if let Ok(mut sender) = abort_sender.lock()
                && let Some(sender) = sender.take()
            {
                let _ = sender.send(());
            }
        };
        Ok(JoinHandle::new(receiver, Arc::new(abort)))
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub(crate) async fn listen(&self, address: &str) -> io::Result<Listener> {
        let address = address.to_string();
        let listener = self.runtime.spawn(async move { TcpListener::bind(address).await });
        let listener = listener.await.map_err(io::Error::other)??;
        Ok(Listener::Tcp(RealListener { listener, runtime: self.runtime.clone() }))
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub(crate) async fn connect(&self, address: &str) -> io::Result<ByteStream> {
        // On our runtime, so that the socket belongs to its reactor whoever asks.
        let address = address.to_string();
        let stream = self.runtime.spawn(async move {
            let stream = TcpStream::connect(address).await?;
            tune(&stream);
            Ok::<_, io::Error>(stream)
        });
        Ok(ByteStream::Tcp(stream.await.map_err(io::Error::other)??))
    }

    pub(crate) fn disk(&self) -> Disk {
        Disk { kind: crate::disk::DiskKind::Real(RealDisk::new(self.runtime.clone())) }
    }
}

/// The limit of descriptors, raised as far as it goes.
pub(crate) fn open_file_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Refused where the ceiling is above what the kernel allows; then the old limit stands.
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // No limit is no number.
    current.map_or(usize::MAX, |current| usize::try_from(current).unwrap_or(usize::MAX))
}
