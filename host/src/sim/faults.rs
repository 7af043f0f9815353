//! What a test does to a simulated world: ends and stops processes, cuts power, takes links down, spoils disks.

use std::io;
use std::path::Path;
use std::task::Waker;

use super::Sim;
use super::agenda::Agenda;
use super::dice::Dice;
use super::network::{Death, Network};
use super::options::{DiskOptions, NetworkOptions};
use super::state::State;
use super::trace::{EventKind, NodeId, fingerprint};

impl Sim {
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
        if death == Death::PowerLost {
            // Also where no process runs: the page cache of one that was killed is lost.
            node.power_off = true;
            node.disk.lose_power();
        }
        if !std::mem::replace(&mut node.alive, false) {
            return;
        }
        // From here on nothing that its tasks' destructors do has an effect.
        node.life += 1;
        node.paused = false;
        node.parked.clear();
        node.interrupted = false;
        node.disk.end_process();
        let life = u64::from(node.life);
        let mut wakers = std::mem::take(&mut node.interrupt_waiters);
        state.record(EventKind::Stop, id, life);
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

    /// Removes a file, or a directory with all that is in it, from a node's disk. Who has a file open keeps it.
    ///
    /// # Errors
    /// If nothing has this name.
    pub fn remove(&self, name: &str, path: &Path) -> io::Result<()> {
        let mut state = self.shared.state();
        let id = state.node_named(self.seed(), name);
        let disk = &mut state.node(id).disk;
        disk.remove_file(path).or_else(|_| disk.remove_dir_all(path))?;
        state.record(EventKind::Name, id, fingerprint(path.as_os_str().as_encoded_bytes()));
        Ok(())
    }

    /// Kills a node and puts an empty disk into it.
    pub fn wipe(&self, name: &str) {
        self.kill(name);
        self.shared.state().new_disk(self.seed(), name);
    }

    /// Kills node `to` and gives it a copy of the disk of `from`, with all that is not durable yet. So a test sees what
    /// a loss of power may leave at any moment of a run, without disturbing it. The copy has luck of its own.
    pub fn copy_disk(&self, from: &str, to: &str) {
        self.kill(to);
        let mut state = self.shared.state();
        let [from, to] = [from, to].map(|name| state.node_named(self.seed(), name));
        let dice = Dice::new(self.seed(), &format!("copy at event {}", state.trace.count()));
        let copy = state.node(from).disk.copy(dice);
        state.node(to).disk = copy;
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

    /// Asks a node's process to stop (SIGTERM); see `Host::interrupted`.
    pub fn interrupt(&self, name: &str) {
        let mut state = self.shared.state();
        let id = state.node_named(self.seed(), name);
        let node = state.node(id);
        node.interrupted = node.alive;
        let waiters = std::mem::take(&mut node.interrupt_waiters);
        state.record(EventKind::Stop, id, u64::MAX);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
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
}
