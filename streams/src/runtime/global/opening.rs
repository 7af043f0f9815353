//! Opens the global stores at the start: with what the engine has of them, unless the topic has gone on without it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_client::{Client, ClientError, IsolationLevel, OffsetSpec, TopicPartition};
use anabranch_state_store::Checkpoint;

use crate::error::{ErrorKind, Result};
use crate::runtime::staleness::Staleness;
use crate::state::{GlobalRows, Globals, store_error};
use crate::task::TaskConfig;
use crate::topology::{StoreDefinition, Topology};

/// Where partitions begin and end.
pub(super) type Bounds = BTreeMap<TopicPartition, (i64, i64)>;

/// Opens the global stores of a topology: with what the engine has of them, unless that is too old to be read on from.
///
/// # Errors
/// If the engine fails.
pub(super) fn open_stores(
    topology: &Topology,
    config: &TaskConfig,
    partitions: &BTreeMap<String, i32>,
    bounds: &Bounds,
    staleness: &Staleness,
    wall_clock_ms: i64,
) -> Result<Globals> {
    let TaskConfig { application_id, engine, kept, .. } = config;
    topology.globals(application_id, partitions.clone(), |store: &StoreDefinition| {
        let Some(engine) = engine.as_ref().filter(|_| !store.in_memory) else {
            return Ok(GlobalRows::in_memory(&store.name, kept));
        };
        let name = format!("global-{}", store.name);
        let failed = |error| store_error(&store.name, error);
        let open = || GlobalRows::open(&store.name, engine.open_store(&name).map_err(failed)?, kept);
        let rows = match open() {
            Err(error) if error.kind() == ErrorKind::Corrupted => {
                tracing::warn!(store = %store.name, %error, "it is read anew");
                engine.drop_store(&name).map_err(failed)?;
                open()?
            }
            opened => opened?,
        };
        let reaches = |((topic, partition), checkpoint): (&(Arc<str>, i32), &Checkpoint)| {
            let place = TopicPartition::new(Arc::clone(topic), *partition);
            reaches(bounds.get(&place).copied(), *checkpoint, || {
                staleness.is_recent(topic, *checkpoint, wall_clock_ms)
            })
        };
        if rows.reflected().iter().all(reaches) {
            return Ok(rows);
        }
        tracing::info!(store = %store.name, "what is kept of it is too old to be read on from: it is read anew");
        drop(rows);
        engine.drop_store(&name).map_err(failed)?;
        open()
    })
}

/// Whether a partition that begins and ends there can be read on from a checkpoint without missing a deletion.
fn reaches(bounds: Option<(i64, i64)>, checkpoint: Checkpoint, is_recent: impl FnOnce() -> bool) -> bool {
    let next = checkpoint.offset + 1;
    bounds.is_some_and(|(start, end)| (start..=end).contains(&next) && (next == end || is_recent()))
}

/// Where the partitions of these topics begin and end.
///
/// # Errors
/// If the broker does not answer.
pub(super) async fn bounds_of(
    client: &Client,
    topics: &BTreeMap<String, i32>,
) -> Result<Bounds, ClientError> {
    let all: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|(topic, count)| {
            (0..*count).map(move |partition| TopicPartition::new(topic.as_str(), partition))
        })
        .collect();
    let mut bounds = Bounds::new();
    for (spec, is_end) in [(OffsetSpec::Earliest, false), (OffsetSpec::Latest, true)] {
        let wanted = all.iter().map(|partition| (partition.clone(), spec)).collect();
        let listed = client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        for (partition, offset) in listed {
            let offset = offset.map_err(|error| error.context(&partition.to_string()))?.offset;
            let place = bounds.entry(partition).or_insert((0, 0));
            if is_end {
                place.1 = offset;
            } else {
                place.0 = offset;
            }
        }
    }
    Ok(bounds)
}
