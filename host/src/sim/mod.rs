//! The simulated world: a cluster and its clients in one thread under a seed, thousands of times faster than real time.
//!
//! A [`Sim`] owns nodes, each with its own [`Host`], on which the very code of the real world runs. Time is virtual;
//! which task goes on, how long the network and the disk take and what of them fails comes from the seed, so that the
//! same seed shows the same run, event by event ([`Sim::trace_hash`]). Nothing here knows Kafka, and nothing needs a
//! tokio runtime: `tokio::sync` and the `tokio::io` traits work, `tokio::time` and `tokio::net` do not.
//!
//! Reading order: `options`, `dice`, `trace`, `agenda` (virtual time), `connection`, `network`, `content`,
//! `inode`, `file_system`, `task`, `state`, `executor`, then what a node sees of it: `node`, `stream`, `disk`.

mod agenda;
mod connection;
mod content;
mod dice;
mod disk;
mod executor;
mod file_system;
mod inode;
mod network;
mod node;
mod options;
mod state;
mod stream;
mod task;
#[cfg(test)]
mod tests;
mod trace;

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

pub(crate) use disk::{SimDisk, SimFile};
pub use executor::Stuck;
pub(crate) use node::SimNode;
pub use options::{DiskOptions, NetworkOptions, SimOptions};
pub use stream::{SimListener, SimStream};

use crate::{Host, Instant, chance};
use agenda::Agenda;
use executor::Executor;
use network::{Death, Network};
use state::{Shared, State};
use trace::{EventKind, NodeId, Trace};

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

    /// Ends a node's process at once (kill -9): its tasks are dropped wherever they wait, and its peers are told as the
    /// operating system would. Its disk keeps what was written.
    pub fn kill(&self, name: &str) {
        self.end_life(name, Death::Killed);
    }

    /// Cuts a node's power: as [`Sim::kill`], but its peers may learn nothing for long, and of what was not synced the
    /// disk keeps some, or nothing. What a sync has made durable stays.
    pub fn crash(&self, name: &str) {
        self.end_life(name, Death::PowerLost);
    }

    fn end_life(&self, name: &str, death: Death) {
        let mut state = self.shared.state();
        let id = state.node_named(self.seed(), name);
        let node = state.node(id);
        node.power_off |= death == Death::PowerLost;
        if !std::mem::replace(&mut node.alive, false) {
            return;
        }
        // From here on nothing that its tasks' destructors do has an effect.
        node.life += 1;
        node.paused = false;
        node.parked.clear();
        match death {
            Death::Killed => node.disk.end_process(),
            Death::PowerLost => node.disk.lose_power(),
        }
        let life = u64::from(node.life);
        state.record(EventKind::Stop, id, life);
        let mut wakers = Vec::new();
        let State { network, agenda, spawned, .. } = &mut *state;
        network.die(agenda, id, death, &mut wakers);
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(spawned).into_iter().partition(|task| task.node == id);
        *spawned = kept;
        // Wakers and destructors run without the lock.
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop(gone);
        self.executor.drop_tasks_of(id);
    }

    /// Takes the links between two nodes down, in both directions. What was on its way waits, as TCP would try again
    /// and again; connections that find no way for long (`NetworkOptions::give_up`) break.
    pub fn partition(&self, a: &str, b: &str) {
        self.partition_one_way(a, b);
        self.partition_one_way(b, a);
    }

    /// Takes the link from one node to another down, in this direction only.
    pub fn partition_one_way(&self, from: &str, to: &str) {
        self.on_network(|network, agenda, [from, to]| network.take_down(agenda, from, to), [from, to]);
    }

    /// Takes the links of a node to all others (those known by now) down.
    pub fn isolate(&self, name: &str) {
        let others = self.shared.state().node_names();
        for other in others {
            self.partition(name, &other);
        }
    }

    /// Takes all links up again.
    pub fn heal(&self) {
        self.on_network(|network, agenda, []| network.heal(agenda), []);
    }

    /// Cuts a node's connections to others.
    pub fn reset_connections(&self, name: &str) {
        self.on_network(|network, agenda, [node]| network.reset_connections(agenda, Some(node)), [name]);
    }

    /// Changes how the network behaves from now on.
    pub fn set_network(&self, options: NetworkOptions) {
        self.shared.state().network.set_options(options);
    }

    /// Changes how a node's disk behaves from now on.
    pub fn set_disk(&self, name: &str, options: DiskOptions) {
        let mut state = self.shared.state();
        let id = state.node_named(self.seed(), name);
        state.node(id).disk.set_options(options);
    }

    /// Flips a bit of a file on a node's disk; tells at which offset.
    ///
    /// # Errors
    /// If there is no such file, or nothing in it.
    pub fn corrupt_file(&self, name: &str, path: &Path) -> io::Result<u64> {
        let mut state = self.shared.state();
        let id = state.node_named(self.seed(), name);
        let offset = state.node(id).disk.corrupt(path)?;
        state.record(EventKind::Write, id, offset);
        Ok(offset)
    }

    /// Kills a node and puts an empty disk into it.
    pub fn wipe(&self, name: &str) {
        self.kill(name);
        self.shared.state().new_disk(self.seed(), name);
    }

    fn on_network<const N: usize>(
        &self,
        change: impl FnOnce(&mut Network, &mut Agenda, [NodeId; N]),
        names: [&str; N],
    ) {
        let mut state = self.shared.state();
        let nodes = names.map(|name| state.node_named(self.seed(), name));
        for node in nodes {
            state.record(EventKind::Link, node, N as u64);
        }
        let State { network, agenda, .. } = &mut *state;
        change(network, agenda, nodes);
    }

    /// Stops a node's tasks where they are (SIGSTOP), until [`Sim::resume`]; time goes on without them.
    pub fn pause(&self, name: &str) {
        let mut state = self.shared.state();
        let id = state.node_named(self.seed(), name);
        state.node(id).paused = true;
        state.record(EventKind::Pause, id, 1);
    }

    /// Lets a paused node go on.
    pub fn resume(&self, name: &str) {
        let mut state = self.shared.state();
        let id = state.node_named(self.seed(), name);
        let node = state.node(id);
        node.paused = false;
        let parked = std::mem::take(&mut node.parked);
        state.record(EventKind::Pause, id, 0);
        parked.into_iter().for_each(|task| self.shared.ready.push(task));
    }

    /// Sets a node's wall clock wrong by so many milliseconds. Its monotonic clock stays right.
    pub fn set_wall_clock_skew_ms(&self, name: &str, skew_ms: i64) {
        let mut state = self.shared.state();
        let id = state.node_named(self.seed(), name);
        state.node(id).wall_clock_skew_ms = skew_ms;
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

    fn trace(&self) -> Trace {
        self.shared.state().trace.clone()
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("seed", &self.seed()).field("now", &self.now()).finish_non_exhaustive()
    }
}

/// Runs `run` twice under a seed and compares the traces.
///
/// # Panics
/// If they differ; the message names the first event that does.
pub fn assert_same_trace(seed: u64, options: &SimOptions, run: impl Fn(&Sim)) {
    let trace = |record: Range<u64>| {
        let sim = Sim::recording(seed, options.clone(), record);
        run(&sim);
        sim.trace()
    };
    let (first, second) = (trace(0..0), trace(0..0));
    let Some(window) = first.differs_within(&second) else { return };
    let (first, second) = (trace(window.clone()), trace(window.clone()));
    match first.first_difference(&second) {
        Some((ours, theirs)) => {
            let show = |event: Option<trace::TraceEvent>| {
                event.map_or("the end".to_string(), |event| event.to_string())
            };
            panic!("two runs of seed {seed} differ: first {}; then {}", show(ours), show(theirs));
        }
        None => panic!("two runs of seed {seed} differ within events {window:?}, two more there do not"),
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
