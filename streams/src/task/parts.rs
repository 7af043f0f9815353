//! What a task is made of: inputs, stores and nodes, as the topology has them, for one partition.

use std::sync::Arc;

use anabranch_state_store::{Engine, KeptBytes};

use super::input::Input;
use crate::error::{Error, Result};
use crate::outbox::OutTopics;
use crate::processor::{Cell, Latencies, NodeInit, Nodes, Policies, Stage, TaskId, TaskState, making};
use crate::state::{EngineSlot, Globals, StoreInit, Stores};
use crate::topology::{NodeKind, Topology, changelog_name};

/// What all tasks of an application have in common.
#[derive(Clone, Debug)]
pub(crate) struct TaskConfig {
    pub(crate) application_id: Arc<str>,
    pub(crate) policies: Policies,
    /// Whether stores may gather updates; else each is forwarded at once.
    pub(crate) caching: bool,
    /// How often results that come when a window closes are looked for, by the wall clock (1,000 ms in Kafka Streams).
    pub(crate) emit_interval_ms: i64,
    /// How long an input is waited for that has no records; below zero: not at all.
    pub(crate) max_idle_ms: i64,
    /// Keeps the rows of persistent stores; `None`: all stores are in memory and come back from their changelogs.
    pub(crate) engine: Option<Arc<dyn Engine>>,
    /// The stores that all tasks of the instance share.
    pub(crate) globals: Globals,
    /// Where it is counted what iterators keep of stores.
    pub(crate) kept: KeptBytes,
}

/// The inputs of a task: a partition of each topic that its sources read.
pub(super) fn make_inputs(
    topology: &Topology,
    chosen: &[usize],
    id: TaskId,
    config: &TaskConfig,
) -> Vec<Input> {
    let mut inputs = Vec::new();
    for (at, &index) in chosen.iter().enumerate() {
        if let NodeKind::Source(source) = &topology.nodes[index].kind {
            let mut queues = 0..;
            for topic in &source.topics {
                let topic: Arc<str> = topology.topic_name(topic, &config.application_id).into();
                let partitions = match source.global {
                    true => 0..config.globals.partitions(&topic),
                    false => id.partition..id.partition + 1,
                };
                for (partition, queue) in partitions.zip(queues.by_ref()) {
                    inputs.push(Input::new(Arc::clone(&topic), partition, at, queue));
                }
            }
        }
    }
    inputs
}

/// Its stores, in the order of the topology, with the global ones behind.
pub(super) fn make_stores(
    topology: &Topology,
    chosen: &[usize],
    id: TaskId,
    config: &TaskConfig,
    topics: &mut OutTopics,
) -> Result<Stores> {
    let mut stores = Vec::new();
    for name in topology.stores_of(chosen) {
        let Some(store) = topology.store(name) else {
            return Err(Error::invalid(format_args!("the store `{name}` is used and not added")));
        };
        if store.global {
            stores.push(config.globals.open(name)?);
            continue;
        }
        let changelog = store.changelog(&config.application_id).map(|topic| topics.intern(&topic).clone());
        stores.push(
            store.supplier.make(&StoreInit {
                name: name.as_str().into(),
                topic: changelog_name(&config.application_id, name).into(),
                changelog,
                cached: store.caching && config.caching,
                engine: config
                    .engine
                    .clone()
                    .filter(|_| store.is_kept_on_disk())
                    .map(|engine| EngineSlot { engine, name: format!("{id}-{name}") }),
                shared: None,
                kept: config.kept.clone(),
            })?,
        );
    }
    for name in topology.globals_of(chosen) {
        stores.push(config.globals.open(name)?);
    }
    Ok(Stores::new(stores))
}

/// Its nodes, and which of them forwards the updates of each store.
pub(super) fn make_nodes(
    topology: &Topology,
    chosen: &[usize],
    id: TaskId,
    config: &TaskConfig,
    inputs: &[Input],
    state: &mut TaskState,
) -> Result<(Nodes, Vec<Option<usize>>)> {
    let mut listeners = vec![None; state.stores.len()];
    let place = |node: usize| chosen.iter().position(|&index| index == node);
    let mut cells = Vec::with_capacity(chosen.len());
    for (at, &index) in chosen.iter().enumerate() {
        let definition = &topology.nodes[index];
        let queues: Vec<Arc<str>> =
            inputs.iter().filter(|input| input.source == at).map(|input| Arc::clone(&input.topic)).collect();
        let children: Vec<Arc<str>> =
            definition.children.iter().map(|&child| Arc::clone(&topology.nodes[child].name)).collect();
        let mut init = NodeInit {
            application_id: &config.application_id,
            topics: &mut state.topics,
            memos: &mut state.memos,
            is_internal: &|topic| topology.is_internal(topic),
            stores: &state.stores,
            globals: &config.globals,
            listeners: &mut listeners,
            place: at,
            name: &definition.name,
            queues: &queues,
            task_id: id,
            children: &children,
            punctuations: &mut state.punctuations,
        };
        let node = making(&definition.name, || definition.supplier.make(&mut init))?;
        let children: Option<Vec<u32>> =
            definition.children.iter().map(|&child| place(child).map(|at| at as u32)).collect();
        let children = children.ok_or_else(|| {
            Error::fatal(format_args!("a child of node `{}` is in another task", definition.name))
        })?;
        cells.push(Cell {
            node,
            name: Arc::clone(&definition.name),
            children: children.into(),
            stage: match definition.kind {
                NodeKind::Source(_) => Stage::Read,
                NodeKind::Processor => Stage::Process,
                NodeKind::Sink(_) => Stage::Write,
            },
            on_error: definition.on_error.clone(),
            latencies: Latencies::default(),
        });
    }
    Ok((Nodes::new(cells)?, listeners))
}

#[cfg(test)]
impl TaskConfig {
    /// State in memory; the first record that fails ends the test.
    pub(crate) fn of_test() -> TaskConfig {
        TaskConfig {
            application_id: "app".into(),
            policies: Policies::all(crate::policy::fail()),
            caching: true,
            emit_interval_ms: 0,
            max_idle_ms: -1,
            engine: None,
            globals: Globals::default(),
            kept: KeptBytes::default(),
        }
    }
}
