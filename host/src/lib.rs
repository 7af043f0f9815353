//! The only door to the world: clock, chance, tasks, byte streams, disk.
//!
//! Everything above this crate asks a [`Host`] for the time, for a random number, for a task, a connection or a file,
//! and so runs unchanged on two worlds: the *real* one (tokio and the operating system), and a *simulated* one, where a
//! whole cluster and its clients run in one thread under a seed, with virtual time, a network that delays and cuts and a
//! disk that forgets what was not synced. `clippy.toml` bans the other doors. This crate knows nothing of Kafka.
//!
//! Reading order: [`clock`], [`chance`], [`task`], [`network`], [`disk`], then the two worlds, `real` and `sim`.

pub mod chance;
pub mod clock;
pub mod disk;
pub mod network;
mod real;
pub mod sim;
pub mod task;

use std::future::Future;
use std::io;
use std::time::Duration;

pub use chance::{HashMap, HashSet};
pub use clock::{Elapsed, Instant};
pub use disk::{DirEntry, DirectoryLock, Disk, DiskSpace, File, OpenOptions, Volume, is_shortage};
pub use network::{ByteStream, Dialer, Listener, in_process};
pub use real::{RealListener, RealRuntime};
pub use sim::{Sim, SimOptions};
pub use task::{JoinError, JoinHandle};

/// A handle to one world. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Host {
    world: World,
}

#[derive(Clone, Debug)]
enum World {
    Real(real::Real),
    Simulated(sim::SimNode),
}

/// The number of the dash among the letters of base64, as URLs have it.
const DASH: u8 = 62;

impl Host {
    /// The real world, on a runtime of its own with `worker_threads` threads. Dropping the [`RealRuntime`] ends all of
    /// its tasks; nothing of it ever runs on the caller's runtime.
    ///
    /// # Errors
    /// If the operating system refuses the threads.
    pub fn real(worker_threads: usize) -> io::Result<(Host, RealRuntime)> {
        let runtime = RealRuntime::start(worker_threads)?;
        Ok((Host { world: World::Real(runtime.handle()) }, runtime))
    }

    /// A node of a simulated world.
    pub(crate) fn simulated(node: sim::SimNode) -> Host {
        Host { world: World::Simulated(node) }
    }

    /// Time since some fixed moment; never goes back.
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.world {
            World::Real(real) => real.now(),
            World::Simulated(node) => node.now(),
        }
    }

    /// Milliseconds since 1970 by the wall clock, which may jump: for record timestamps, never for timeouts.
    #[must_use]
    pub fn wall_clock_ms(&self) -> i64 {
        match &self.world {
            World::Real(real) => real.wall_clock_ms(),
            World::Simulated(node) => node.wall_clock_ms(),
        }
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        match &self.world {
            World::Real(real) => real.sleep(duration).await,
            World::Simulated(node) => node.sleep(duration).await,
        }
    }

    /// Waits until `deadline`; returns at once if it has passed.
    pub async fn sleep_until(&self, deadline: Instant) {
        self.sleep(deadline.saturating_duration_since(self.now())).await;
    }

    /// Runs `future` for at most `duration`.
    ///
    /// # Errors
    /// [`Elapsed`] if the time passed first; `future` is dropped then.
    pub async fn timeout<F: Future>(&self, duration: Duration, future: F) -> Result<F::Output, Elapsed> {
        let sleep = self.sleep(duration);
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = sleep => Err(Elapsed),
        }
    }

    /// A random number; from the seed in simulation.
    #[must_use]
    pub fn random_u64(&self) -> u64 {
        match &self.world {
            World::Real(real) => real.random_u64(),
            World::Simulated(node) => node.random_u64(),
        }
    }

    /// A random number below `bound`, 0 if `bound` is 0.
    #[must_use]
    pub fn random_below(&self, bound: u64) -> u64 {
        // The high half of a 128-bit product: no modulo bias worth speaking of.
        ((u128::from(self.random_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Sixteen random bytes in the form of a version 4 UUID. Kafka writes ids in base64, and none of its own begins with a
    /// dash there, which tools would take for a flag; nor does one of these.
    #[must_use]
    pub fn random_uuid(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.random_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.random_u64().to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        if bytes[0] >> 2 == DASH {
            bytes[0] &= 0x7f;
        }
        bytes
    }

    /// Starts a task. Dropping the handle leaves the task running.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match &self.world {
            World::Real(real) => real.spawn(future),
            World::Simulated(node) => node.spawn(future),
        }
    }

    /// Starts an async loop on a thread of its own, named `name` (in simulation: as a task). The future is made on that
    /// thread and need not be `Send`.
    ///
    /// # Errors
    /// If the operating system refuses the thread.
    pub fn spawn_pinned<M, F>(&self, name: &str, make: M) -> io::Result<JoinHandle<F::Output>>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        match &self.world {
            World::Real(real) => real.spawn_pinned(name, make),
            World::Simulated(node) => Ok(node.spawn_pinned(make)),
        }
    }

    /// Waits for the wish to stop: ctrl-c or SIGTERM, in simulation [`Sim::interrupt`].
    ///
    /// # Errors
    /// If the operating system refuses to tell.
    pub async fn interrupted(&self) -> io::Result<()> {
        match &self.world {
            World::Real(real) => real.interrupted().await,
            World::Simulated(node) => {
                node.interrupted().await;
                Ok(())
            }
        }
    }

    /// Listens on `address` (`host:port`; port 0 takes a free one).
    ///
    /// # Errors
    /// If the address cannot be resolved or is in use.
    pub async fn listen(&self, address: &str) -> io::Result<Listener> {
        match &self.world {
            World::Real(real) => real.listen(address).await,
            World::Simulated(node) => node.listen(address).await.map(Listener::Simulated),
        }
    }

    /// Opens a byte stream to `address` (`host:port`).
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn connect(&self, address: &str) -> io::Result<ByteStream> {
        match &self.world {
            World::Real(real) => real.connect(address).await,
            World::Simulated(node) => node.connect(address).await.map(ByteStream::Simulated),
        }
    }

    /// A dialer to the addresses of this host's network.
    #[must_use]
    pub fn dialer(&self) -> Dialer {
        Dialer::network(self.clone())
    }

    /// How many files and connections this process may have open. The first call raises it to the most that the
    /// operating system allows without asking.
    #[must_use]
    pub fn open_file_limit(&self) -> usize {
        match &self.world {
            World::Real(_) => real::open_file_limit(),
            World::Simulated(_) => usize::MAX,
        }
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> Disk {
        match &self.world {
            World::Real(real) => real.disk(),
            World::Simulated(node) => node.disk(),
        }
    }
}
