//! The simulated world: a cluster and its clients in one thread under a seed, thousands of times faster than real time.
//!
//! A [`Sim`] owns nodes, each with its own [`Host`], on which the very code of the real world runs. Time is virtual;
//! which task goes on, how long the network and the disk take and what of them fails comes from the seed, so that the
//! same seed shows the same run, event by event ([`Sim::trace_hash`]). Nothing here knows Kafka, and nothing needs a
//! tokio runtime: `tokio::sync` and the `tokio::io` traits work, `tokio::time` and `tokio::net` do not.
//!
//! Reading order: `options`, `dice`, `trace`, `agenda` (virtual time), `connection`, `network`, `content`,
//! `inode`, `file_system`, `task`, `state`, `executor`, then what a node sees of it: `node`, `stream`, `disk`; and what a test does to it: `faults`, `same_trace`.

mod agenda;
mod connection;
mod content;
mod dice;
mod disk;
mod executor;
mod faults;
mod file_system;
mod inode;
mod network;
mod node;
mod options;
mod same_trace;
mod state;
mod stream;
mod task;
#[cfg(test)]
mod tests;
mod trace;

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use disk::{SimDisk, SimFile};
pub use executor::Stuck;
pub(crate) use node::SimNode;
pub use options::{DiskOptions, NetworkOptions, SimOptions};
pub use same_trace::assert_same_trace;
pub use stream::{SimListener, SimStream};

use crate::{Host, Instant, chance};
use executor::Executor;
use state::Shared;
use trace::{EventKind, NodeId};

/// A simulated world. It stays on the thread that made it; all of its nodes' tasks run within [`Sim::block_on`].
pub struct Sim {
    // Before `shared`: destructors of tasks still use the world.
    executor: Executor,
    shared: Arc<Shared>,
}

impl Sim {
    /// A world under a seed.
    #[must_use]
    pub fn new(seed: u64, options: SimOptions) -> Sim {
        Sim::recording(seed, options, 0..0)
    }

    fn recording(seed: u64, options: SimOptions, record: Range<u64>) -> Sim {
        let shared = Arc::new(Shared::new(seed, options, record));
        Sim { executor: Executor::new(shared.clone()), shared }
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// The host of a node, which is made at its first mention. After [`Sim::kill`] a new life begins, on what the disk
    /// still knows; handles of the former life can do nothing any more.
    #[must_use]
    pub fn node(&self, name: &str) -> Host {
        let mut state = self.shared.state();
        let id = state.node_named(self.seed(), name);
        let node = state.node(id);
        let life = node.life;
        node.power_off = false;
        if !std::mem::replace(&mut node.alive, true) {
            state.record(EventKind::Start, id, u64::from(life));
        }
        drop(state);
        Host::simulated(SimNode { shared: self.shared.clone(), id, life })
    }

    /// Runs the world until `future` is done. Tasks that are left go on at the next call. The future belongs to no node,
    /// so nothing kills it.
    ///
    /// # Panics
    /// If the run does not come to an end; the message names the seed. See [`Sim::try_block_on`].
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self.try_block_on(future) {
            Ok(output) => output,
            Err(stuck) => panic!("simulation of seed {}: {stuck}", self.seed()),
        }
    }

    /// Runs the world until `future` is done.
    ///
    /// # Errors
    /// [`Stuck`] if it waits for ever, or longer than the options allow.
    pub fn try_block_on<F: Future>(&self, future: F) -> Result<F::Output, Stuck> {
        let _maps = chance::SeededMaps::begin(self.seed());
        let _name_seed = NameSeedOnPanic(self);
        self.executor.block_on(future)
    }

    /// Runs the world for some virtual time.
    ///
    /// # Panics
    /// If a task never sleeps.
    pub fn run_for(&self, duration: Duration) {
        self.block_on(self.sleep(duration));
    }

    /// Waits for some virtual time; for the future given to [`Sim::block_on`], which need have no node for it.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + use<> {
        SimNode { shared: self.shared.clone(), id: NodeId::NONE, life: 0 }.sleep(duration)
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.state().agenda.now()
    }

    /// Polls and events so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.executor.steps()
    }

    /// Panics of tasks so far: node and message. The real world hands them to the join handle only, and so does this
    /// one; a test looks here lest one goes unseen.
    #[must_use]
    pub fn panics(&self) -> Vec<(String, String)> {
        self.shared.state().panics.clone()
    }

    /// A hash of all that happened so far: virtual times, tasks polled, bytes moved. Two runs of a seed have the same.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.shared.state().trace.hash()
    }

    /// Events folded into [`Sim::trace_hash`].
    #[must_use]
    pub fn trace_events(&self) -> u64 {
        self.shared.state().trace.count()
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("seed", &self.seed()).field("now", &self.now()).finish_non_exhaustive()
    }
}

/// Says which seed it was when a test panics within a run.
struct NameSeedOnPanic<'a>(&'a Sim);

impl Drop for NameSeedOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let now = self.0.now().since_start();
            eprintln!("simulation of seed {} panicked at {now:?} of virtual time", self.0.seed());
        }
    }
}
