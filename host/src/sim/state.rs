//! All of a simulated world but its tasks' futures, behind one lock.
//!
//! Nothing here calls out while the lock is held: wakers are collected and woken by the caller afterwards, and whatever
//! may run a destructor of the user's is handed out to be dropped there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::agenda::{Agenda, ConnectionId, Event};
use super::dice::Dice;
use super::file_system::FileSystem;
use super::network::Network;
use super::options::SimOptions;
use super::task::{ReadyTasks, Spawned, TaskId};
use super::trace::{EventKind, NodeId, Trace};

/// What every handle of one world shares.
pub(super) struct Shared {
    pub(super) seed: u64,
    pub(super) ready: ReadyTasks,
    state: Mutex<State>,
}

impl Shared {
    /// A new world, whose trace keeps the events with these numbers.
    pub(super) fn new(seed: u64, options: SimOptions, record: Range<u64>) -> Shared {
        let state = State {
            agenda: Agenda::default(),
            trace: Trace::new(record),
            scheduling: Dice::new(seed, "scheduling"),
            network: Network::new(seed, options.network.clone()),
            nodes: Vec::new(),
            names: BTreeMap::new(),
            spawned: Vec::new(),
            tasks_made: 0,
            panics: Vec::new(),
            options,
        };
        Shared { seed, ready: ReadyTasks::default(), state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock would be a fault of this module; the test fails by that panic anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of a world.
pub(super) struct State {
    pub(super) options: SimOptions,
    pub(super) agenda: Agenda,
    pub(super) trace: Trace,
    pub(super) scheduling: Dice,
    pub(super) network: Network,
    nodes: Vec<Node>,
    names: BTreeMap<String, NodeId>,
    /// Tasks that the executor has not taken in yet.
    pub(super) spawned: Vec<Spawned>,
    tasks_made: u64,
    /// Panics of tasks, by node name.
    pub(super) panics: Vec<(String, String)>,
}

/// A computer of the simulated world.
pub(super) struct Node {
    pub(super) name: String,
    /// How often it has died. A handle of an earlier life can do nothing any more.
    pub(super) life: u32,
    pub(super) alive: bool,
    /// Whether its machine is off: nobody answers there, not even with a refusal.
    pub(super) power_off: bool,
    pub(super) paused: bool,
    /// Ready tasks that wait for the end of the pause.
    pub(super) parked: Vec<TaskId>,
    /// Whether its process has been asked to stop, and who waits to hear of it.
    pub(super) interrupted: bool,
    pub(super) interrupt_waiters: Vec<Waker>,
    pub(super) dice: Dice,
    pub(super) disk: FileSystem,
    /// How far its wall clock is from the true one.
    pub(super) wall_clock_skew_ms: i64,
}

impl State {
    /// The node of this name, which is made at its first mention.
    pub(super) fn node_named(&mut self, seed: u64, name: &str) -> NodeId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = NodeId(u32::try_from(self.nodes.len()).expect("far fewer nodes than 4 billion"));
        self.names.insert(name.to_string(), id);
        let disk = self.empty_disk(seed, name);
        self.nodes.push(Node {
            name: name.to_string(),
            life: 0,
            alive: false,
            power_off: false,
            paused: false,
            parked: Vec::new(),
            interrupted: false,
            interrupt_waiters: Vec::new(),
            dice: Dice::new(seed, name),
            disk,
            wall_clock_skew_ms: 0,
        });
        id
    }

    /// A node that was made before: ids come from [`State::node_named`] only.
    pub(super) fn node(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    fn empty_disk(&self, seed: u64, name: &str) -> FileSystem {
        FileSystem::new(self.options.disk.clone(), Dice::new(seed, &format!("{name}'s disk")))
    }

    /// Puts an empty disk into a node.
    pub(super) fn new_disk(&mut self, seed: u64, name: &str) {
        let id = self.node_named(seed, name);
        self.node(id).disk = self.empty_disk(seed, name);
    }

    pub(super) fn node_names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// The node of this name, if there is one.
    pub(super) fn find(&self, name: &str) -> Option<NodeId> {
        self.names.get(name).copied()
    }

    pub(super) fn is_alive(&self, id: NodeId, life: u32) -> bool {
        let node = &self.nodes[id.0 as usize];
        node.alive && node.life == life
    }

    pub(super) fn next_task_id(&mut self) -> TaskId {
        self.tasks_made += 1;
        TaskId(self.tasks_made)
    }

    pub(super) fn record(&mut self, kind: EventKind, node: NodeId, payload: u64) {
        self.trace.add(self.agenda.now(), kind, node, payload);
    }

    /// Lets the events happen whose time has come; who is to be woken for them is put into `wakers`.
    pub(super) fn happen(&mut self, wakers: &mut Vec<Waker>) {
        while let Some(event) = self.agenda.pop_due() {
            match event {
                Event::Wake { node, waker } => {
                    self.record(EventKind::Timer, node, 0);
                    wakers.push(waker);
                }
                Event::Arrive { connection, end } => {
                    let node = self.network.arrive(connection, end, wakers);
                    self.record_at(EventKind::Arrive, node, connection);
                }
                Event::Reset { connection, end } => {
                    let node = self.network.reset(self.agenda.now(), connection, end, wakers);
                    self.record_at(EventKind::Reset, node, connection);
                }
                Event::GiveUp { connection, end } => {
                    let node = self.network.give_up(self.agenda.now(), connection, end, wakers);
                    self.record_at(EventKind::Reset, node, connection);
                }
            }
        }
    }

    /// Records what has come to a node over a connection, if it has.
    fn record_at(&mut self, kind: EventKind, node: Option<NodeId>, connection: ConnectionId) {
        if let Some(node) = node {
            self.record(kind, node, connection.0);
        }
    }
}
