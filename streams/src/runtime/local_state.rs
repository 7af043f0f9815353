//! State that lies in the engine of this instance while no task has it open: found at the start, too old, or given up.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_client::TopicPartition;
use anabranch_host::{Disk, Host, JoinHandle};
use anabranch_state_store::{Engine, Error as StoreError, ErrorKind as StoreErrorKind, is_segment};

use super::engines;
use super::plan::Plan;
use super::staleness::Staleness;
use super::state_directory::StateDirectory;
use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::topology::Topology;

fn failed(error: StoreError) -> Error {
    Error::fatal("the state directory's stores").with_source(error)
}

/// What of the local state is damaged, or cannot be written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// What is kept of a task.
    Task(TaskId),
    /// All of it.
    All,
    /// Nothing is known to be damaged, but the engine must be opened again: a write or a read has failed.
    Broken,
}

/// What an error of a worker says about the local state, if it says anything.
pub(crate) fn damage(error: &Error) -> Option<Damage> {
    let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let cause = causes.find_map(|cause| cause.downcast_ref::<StoreError>())?;
    match (cause, cause.kind()) {
        (StoreError::CorruptStore { store, .. }, _) => {
            Some(parse(store).map_or(Damage::All, |(task, _)| Damage::Task(task)))
        }
        (_, StoreErrorKind::CorruptEngine) => Some(Damage::All),
        (_, StoreErrorKind::Fatal) => Some(Damage::Broken),
        _ => None,
    }
}

/// Opens the engine of an instance. One that is damaged is removed first: its stores come back from their changelogs.
///
/// # Errors
/// If it is in use, of another version, or the disk fails.
pub(crate) fn open_engine(
    disk: &Disk,
    directory: &StateDirectory,
    topology: &Topology,
) -> Result<Arc<dyn Engine>> {
    let refused = |error| Error::invalid("the state cannot be opened").with_source(error);
    let stores = directory.stores();
    match engines::open(disk, &stores, topology) {
        Err(error) if error.kind() == StoreErrorKind::CorruptEngine => {
            tracing::warn!(%error, "they are removed and restored");
            let removed = directory.remove_stores(disk);
            removed.map_err(|error| Error::invalid("the state cannot be opened").with_source(error))?;
            engines::open(disk, &stores, topology).map_err(refused)
        }
        opened => opened.map_err(refused),
    }
}

/// Makes durable what an engine has, closes it, and unlocks its directory, on a thread of its own: a disk may take long, or for
/// ever. Who does not wait for the end of it finds the directory locked until then; if the process ends before, it is as
/// after a crash, and more is read of the changelogs.
pub(crate) fn close(
    host: &Host,
    engine: Arc<dyn Engine>,
    directory: Option<StateDirectory>,
) -> std::io::Result<JoinHandle<()>> {
    host.spawn_pinned("state-closing", move || async move {
        if let Err(error) = engine.sync() {
            tracing::warn!(%error, "the state is not synced: the next start reads more of the changelogs");
        }
        drop(engine);
        drop(directory);
    })
}

/// Removes what the engine has of a task.
///
/// # Errors
/// If the engine fails.
pub(crate) fn drop_stores(engine: &dyn Engine, task: TaskId) -> Result<()> {
    let prefix = format!("{task}-");
    for name in engine.store_names().map_err(failed)?.iter().filter(|name| name.starts_with(&prefix)) {
        engine.drop_store(name).map_err(failed)?;
    }
    Ok(())
}

/// The tasks that the engine has state of, each with how many changelog records that reflects. Nobody may have a store
/// open yet.
///
/// # Errors
/// If the engine fails, or has a store that the topology does not have any more.
pub(crate) async fn stored_tasks(
    engine: &dyn Engine,
    plan: &Plan,
    application_id: &str,
    staleness: &Staleness,
    wall_clock_ms: i64,
) -> Result<BTreeMap<TaskId, i64>> {
    let mut found = BTreeMap::new();
    for name in engine.store_names().map_err(failed)?.into_iter().filter(|name| !is_segment(name)) {
        let Some((task, store)) = parse(&name) else { continue };
        let of_topology = plan.subtopology(task.subtopology).filter(|subtopology| {
            // A topic that a pattern has matched may be gone.
            (task.partition < subtopology.tasks || subtopology.reads_by_pattern)
                && plan.topology.stores_of(&subtopology.nodes).into_iter().any(|known| known == store)
        });
        if of_topology.is_none() {
            return Err(Error::invalid(format_args!(
                "the state directory has the store `{store}` of task {task}, which the topology does not have: it was \
                 written by another topology under this application id. Bring the store back under its name, move the \
                 state directory away, or reset the application"
            )));
        }
        let checkpoint = match engine.open_store(&name).and_then(|store| store.checkpoint()) {
            Err(error) if error.kind() == StoreErrorKind::CorruptStore => {
                tracing::warn!(%error, "it is removed and restored");
                drop_stores(engine, task)?;
                found.remove(&task);
                continue;
            }
            checkpoint => checkpoint.map_err(failed)?,
        };
        // Worth nothing, but to be removed some day if nobody opens it.
        let offsets = found.entry(task).or_default();
        let definition = plan.topology.store(store);
        let changelog = definition.and_then(|store| store.restored_from(&plan.topology, application_id));
        if let (Some(checkpoint), Some(changelog)) = (checkpoint, changelog) {
            let place = TopicPartition::new(changelog, task.partition);
            // What nobody knows for now is not promised.
            if matches!(staleness.reaches(&place, checkpoint, wall_clock_ms).await, Ok(true)) {
                *offsets += checkpoint.offset + 1;
            }
        }
    }
    Ok(found)
}

/// A task's store by its name in the engine: `<sub-topology>_<partition>-<store>`.
fn parse(name: &str) -> Option<(TaskId, &str)> {
    let (task, store) = name.split_once('-')?;
    let (subtopology, partition) = task.split_once('_')?;
    Some((TaskId { subtopology: subtopology.parse().ok()?, partition: partition.parse().ok()? }, store))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use anabranch_state_store::{EngineStore, MemoryEngine, Result as StoreResult};
    use parking_lot::Mutex;

    use super::*;

    /// Its sync lasts until it is told.
    #[derive(Debug)]
    struct SlowEngine(MemoryEngine, Mutex<mpsc::Receiver<()>>);

    impl Engine for SlowEngine {
        fn open_store(&self, name: &str) -> StoreResult<Box<dyn EngineStore>> {
            self.0.open_store(name)
        }

        fn drop_store(&self, name: &str) -> StoreResult<()> {
            self.0.drop_store(name)
        }

        fn store_names(&self) -> StoreResult<Vec<String>> {
            self.0.store_names()
        }

        fn sync(&self) -> StoreResult<()> {
            self.1.lock().recv().expect("it is told");
            self.0.sync()
        }
    }

    #[test]
    fn who_closes_the_state_need_not_wait_for_it() {
        let (host, runtime) = Host::real(1).expect("a thread");
        let (tell, told) = mpsc::channel();
        let engine: Arc<dyn Engine> = Arc::new(SlowEngine(MemoryEngine::new(), Mutex::new(told)));
        let is_open = Arc::downgrade(&engine);
        let mut closing = close(&host, engine, None).expect("a thread");
        runtime.block_on(async {
            assert!(host.timeout(Duration::from_millis(20), &mut closing).await.is_err(), "it is not synced");
            assert!(is_open.upgrade().is_some());
            tell.send(()).expect("it waits");
            closing.await.expect("it ends");
        });
        assert!(is_open.upgrade().is_none());
    }

    #[test]
    fn names_of_stores() {
        let check = |name, expected: Option<(u32, i32, &str)>| {
            let parsed = parse(name).map(|(task, store)| (task.subtopology, task.partition, store));
            assert_eq!(parsed, expected, "{name}");
        };
        check("0_1-counts", Some((0, 1, "counts")));
        check("12_3-word-counts_2", Some((12, 3, "word-counts_2")));
        check("global-users", None);
        check("counts", None);
    }
}
