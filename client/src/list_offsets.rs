//! Asking leaders for offsets: of the beginning, of the end, of a time. For the admin and for a consumer that begins.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};

use crate::cluster::{Client, leader_of};
use crate::config::IsolationLevel;
use crate::error::{ClientError, Result};
use crate::topic_partition::TopicPartition;

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// That of the first record that is there.
    Earliest,
    /// That which the next record will get (with `read_committed`, that of the first undecided one).
    Latest,
    /// That of the record with the largest timestamp.
    MaxTimestamp,
    /// That of the first record that lies with the broker, not in tiered storage.
    EarliestLocal,
    /// That of the last record in tiered storage; none without.
    LatestTiered,
    /// That of the first record that waits to be copied there; none without.
    EarliestPendingUpload,
    /// That of the first record of this time (milliseconds since 1970) or later.
    Timestamp(i64),
}

impl OffsetSpec {
    fn timestamp(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::EarliestLocal => -4,
            OffsetSpec::LatestTiered => -5,
            OffsetSpec::EarliestPendingUpload => -6,
            OffsetSpec::Timestamp(timestamp) => timestamp,
        }
    }

    /// The first version of ListOffsets that knows it.
    fn since(self) -> i16 {
        match self {
            OffsetSpec::Latest | OffsetSpec::Earliest | OffsetSpec::Timestamp(_) => 1,
            OffsetSpec::MaxTimestamp => 7,
            OffsetSpec::EarliestLocal => 8,
            OffsetSpec::LatestTiered => 9,
            OffsetSpec::EarliestPendingUpload => 11,
        }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; -1 if no record has the time asked for.
    pub offset: i64,
    /// The timestamp of the record found; -1 if none was looked at.
    pub timestamp: i64,
    /// The epoch of the leader that wrote it, -1 if unknown.
    pub leader_epoch: i32,
}

/// Asks for all of `wanted`, those that move away or come again until `time` has passed.
pub(crate) async fn list_offsets(
    client: &Client,
    wanted: &BTreeMap<TopicPartition, OffsetSpec>,
    isolation: IsolationLevel,
    time: Duration,
) -> BTreeMap<TopicPartition, Result<ListedOffset>> {
    let mut found = BTreeMap::new();
    let mut missing = wanted.clone();
    let mut retry = client.retry_for(time);
    loop {
        let failures = attempt(client, &mut missing, isolation, &mut found, retry.time_left()).await;
        if missing.is_empty() {
            return found;
        }
        // All that is still missing failed for a reason that may pass; one of them speaks for all.
        let reason = failures.values().next().cloned();
        let reason = reason.unwrap_or_else(|| ClientError::retriable("no answer"));
        if let Err(error) = retry.after(reason).await {
            for partition in missing.into_keys() {
                let error = failures.get(&partition).cloned().unwrap_or_else(|| error.clone());
                found.insert(partition, Err(error));
            }
            return found;
        }
    }
}

/// One round: what is found or fails for good goes from `missing` to `found`; the rest comes back with its reason.
async fn attempt(
    client: &Client,
    missing: &mut BTreeMap<TopicPartition, OffsetSpec>,
    isolation: IsolationLevel,
    found: &mut BTreeMap<TopicPartition, Result<ListedOffset>>,
    time: Duration,
) -> BTreeMap<TopicPartition, ClientError> {
    let mut failures = BTreeMap::new();
    let host = client.host();
    let deadline = host.now() + time;
    let mut topics: Vec<_> = missing.keys().map(|partition| partition.topic.clone()).collect();
    topics.dedup();
    let mut metadata = client.metadata();
    if missing.keys().any(|partition| metadata.leader(partition).is_none()) {
        match host.timeout(time, client.refresh_topics(&topics, host.now(), false)).await {
            Ok(Ok(refreshed)) => metadata = refreshed,
            Ok(Err(error)) => {
                failures.extend(missing.keys().map(|partition| (partition.clone(), error.clone())));
                return failures;
            }
            Err(_) => return failures,
        }
    }
    let mut by_leader: BTreeMap<i32, Vec<(TopicPartition, i32, OffsetSpec)>> = BTreeMap::new();
    for (partition, spec) in missing.iter() {
        match leader_of(&metadata, partition) {
            Ok((leader, epoch)) => {
                by_leader.entry(leader).or_default().push((partition.clone(), epoch, *spec));
            }
            Err(reason) => drop(failures.insert(partition.clone(), reason)),
        }
    }
    let asked: Vec<_> = by_leader
        .into_iter()
        .map(|(leader, partitions)| {
            let names: Vec<_> = partitions.iter().map(|(partition, ..)| partition.clone()).collect();
            let client = client.clone();
            (names, host.spawn(async move { ask_leader(&client, leader, &partitions, isolation).await }))
        })
        .collect();
    for (names, answer) in asked {
        let left = deadline.saturating_duration_since(host.now());
        let answer = match host.timeout(left, answer).await {
            Ok(answer) => answer.unwrap_or_else(|error| Err(ClientError::retriable(error.to_string()))),
            Err(_) => Err(ClientError::timed_out("asking for offsets", time)),
        };
        match answer {
            Ok(answers) => {
                for (partition, outcome) in answers {
                    match outcome {
                        Ok(offset) => {
                            found.insert(partition.clone(), Ok(offset));
                        }
                        Err(error) => {
                            failures.insert(partition, error);
                        }
                    }
                }
            }
            Err(error) => failures.extend(names.into_iter().map(|name| (name, error.clone()))),
        }
    }
    let moved = failures.values().any(|error| error.is_retriable());
    for (partition, error) in &failures {
        if !error.is_retriable() {
            found.insert(partition.clone(), Err(error.clone()));
        }
    }
    missing.retain(|partition, _| !found.contains_key(partition));
    failures.retain(|partition, _| missing.contains_key(partition));
    if moved {
        // Leaders may have moved; if this fails too, the next round says so.
        let _ = host.timeout(time, client.refresh_topics(&topics, host.now(), false)).await;
    }
    failures
}

/// One request to one leader.
async fn ask_leader(
    client: &Client,
    leader: i32,
    partitions: &[(TopicPartition, i32, OffsetSpec)],
    isolation: IsolationLevel,
) -> Result<Vec<(TopicPartition, Result<ListedOffset>)>> {
    let mut topics: Vec<ListOffsetsTopic<'_>> = Vec::new();
    for (partition, epoch, spec) in partitions {
        let wanted = ListOffsetsPartition {
            partition_index: partition.partition,
            current_leader_epoch: *epoch,
            timestamp: spec.timestamp(),
        };
        match topics.last_mut().filter(|topic| topic.name == &*partition.topic) {
            Some(topic) => topic.partitions.push(wanted),
            None => topics.push(ListOffsetsTopic { name: &partition.topic, partitions: vec![wanted] }),
        }
    }
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation as i8,
        topics,
        timeout_ms: i32::try_from(client.config().request_timeout_ms).unwrap_or(i32::MAX),
    };
    let connection = client.connection(leader).await?;
    let version = connection.version::<ListOffsetsRequest<'_>>(i16::MAX)?;
    if let Some((.., spec)) = partitions.iter().find(|(.., spec)| spec.since() > version) {
        return Err(ClientError::invalid(format!("the broker is too old to know {spec:?}")));
    }
    let answer = connection.call(&request).await?;
    let response: ListOffsetsResponse<'_> = answer.decode()?;
    let mut outcomes = Vec::with_capacity(partitions.len());
    for topic in &response.topics {
        for partition in &topic.partitions {
            let asked = partitions.iter().find(|(asked, ..)| {
                asked.partition == partition.partition_index && &*asked.topic == topic.name
            });
            let Some((name, ..)) = asked else { continue };
            let outcome = if partition.error_code == ErrorCode::NONE {
                Ok(ListedOffset {
                    offset: partition.offset,
                    timestamp: partition.timestamp,
                    leader_epoch: partition.leader_epoch,
                })
            } else {
                Err(ClientError::from_code(&format!("offset of {name}"), partition.error_code))
            };
            outcomes.push((name.clone(), outcome));
        }
    }
    Ok(outcomes)
}
