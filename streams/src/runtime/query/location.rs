//! Which instance has what (KIP-67, KIP-535): by what the leader said with the last assignment.
//!
//! An instance is told of by its `application.server`; one without it is not found. Between the instances nothing is sent:
//! who asks another one does so as the application sees fit.

use std::collections::BTreeSet;

use super::asked::Asked;
use crate::error::Result;
use crate::processor::TaskId;
use crate::runtime::instance::InstanceHandle;
use crate::state::{Store, StoreKind};

/// What Kafka Streams says of a global store.
const ANY_PARTITION: i32 = -1;

/// Where the rows of a key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyQueryMetadata {
    /// The `application.server` of the instance that processes the key; `None`: nobody says that it does, as while tasks
    /// move.
    pub active_host: Option<String>,
    /// Those of instances that follow its state.
    pub standby_hosts: Vec<String>,
    /// The partition of the store; -1 for a global one, which every instance has whole.
    pub partition: i32,
}

/// What an instance has of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsMetadata {
    /// Its `application.server`.
    pub host: String,
    /// Partitions of the store that it processes.
    pub active: Vec<i32>,
    /// Partitions that it follows.
    pub standby: Vec<i32>,
}

/// Where a key is that the default partitioner has placed.
pub(crate) fn of_key<S: StoreKind>(
    instance: InstanceHandle,
    store: &Store<S>,
    key: &S::Key,
) -> Result<KeyQueryMetadata> {
    let asked = Asked::new(instance, store)?;
    let hosts = asked.hosts();
    if asked.is_global() {
        // The one asked here would do as well, but who asks wants one answer from all of them.
        let active_host = hosts.into_keys().next();
        return Ok(KeyQueryMetadata { active_host, standby_hosts: Vec::new(), partition: ANY_PARTITION });
    }
    let task = asked.task_of(&asked.stored.key_bytes(key)?)?;
    let active = hosts.iter().find(|(_, (active, _))| active.contains(&task));
    let standby = hosts.iter().filter(|(_, (_, standby))| standby.contains(&task));
    Ok(KeyQueryMetadata {
        active_host: active.map(|(host, _)| host.clone()),
        standby_hosts: standby.map(|(host, _)| host.clone()).collect(),
        partition: task.partition,
    })
}

/// The instances that have something of a store.
pub(crate) fn of_store<S: StoreKind>(
    instance: InstanceHandle,
    store: &Store<S>,
) -> Result<Vec<StreamsMetadata>> {
    let asked = Asked::new(instance, store)?;
    if asked.is_global() {
        let all = asked.hosts().into_keys();
        return Ok(all.map(|host| StreamsMetadata { host, active: vec![], standby: vec![] }).collect());
    }
    let subtopology = asked.task_of(&[])?.subtopology;
    let of_store = |tasks: &BTreeSet<TaskId>| -> Vec<i32> {
        tasks.iter().filter(|task| task.subtopology == subtopology).map(|task| task.partition).collect()
    };
    let all = asked.hosts().into_iter().map(|(host, (active, standby))| StreamsMetadata {
        host,
        active: of_store(&active),
        standby: of_store(&standby),
    });
    Ok(all.filter(|found| !found.active.is_empty() || !found.standby.is_empty()).collect())
}
