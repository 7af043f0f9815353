//! The requests of a producer to coordinators, one attempt each: what comes back is the coordinator's code, which the
//! transaction's state ([`super::transaction`]) weighs.

use std::collections::BTreeMap;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use anabranch_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic,
};
use anabranch_protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use anabranch_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use anabranch_protocol::messages::produce::ProduceRequest;
use anabranch_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
};

use parking_lot::Mutex;

use super::partition_queue::ProducerIdentity;
use super::transaction::Protocol;
use crate::cluster::{Client, CoordinatorKind};
use crate::connection::{CallOptions, Connection};
use crate::consumer::GroupMetadata;
use crate::error::{ClientError, Result};
use crate::group_offsets::OffsetAndMetadata;
use crate::topic_partition::{TopicPartition, by_topic};

/// The feature that says which protocol the cluster speaks, and its level from which on leaders add partitions.
const TRANSACTION_FEATURE: &str = "transaction.version";
const IMPLICIT_LEVEL: i16 = 2;
/// The last version of AddPartitionsToTxn that is for clients.
const LAST_CLIENT_VERSION: i16 = 3;
/// The first version of TxnOffsetCommit that names the member (KIP-447): without it a member that the group has given
/// up could commit over the one that follows it.
const FIRST_VERSION_WITH_MEMBER: i16 = 3;

/// The last versions of the announced protocol: those above mean the implicit one.
const LAST_ANNOUNCED_PRODUCE: i16 = 11;
const LAST_ANNOUNCED_END: i16 = 4;
const LAST_ANNOUNCED_OFFSETS: i16 = 4;

/// Where coordinators are, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Coordinators {
    addresses: Mutex<BTreeMap<(CoordinatorKind, String), String>>,
}

impl Coordinators {
    /// A connection to a coordinator.
    pub(super) async fn connection(
        &self,
        client: &Client,
        kind: CoordinatorKind,
        key: &str,
    ) -> Result<Connection> {
        let at = (kind, key.to_string());
        let known = self.addresses.lock().get(&at).cloned();
        let address = match known {
            Some(address) => address,
            None => {
                let address = client.find_coordinator(kind, key).await?;
                self.addresses.lock().insert(at, address.clone());
                address
            }
        };
        client.shared_lane().connection(&address).await
    }

    /// A coordinator is elsewhere.
    pub(super) fn forget(&self, kind: CoordinatorKind, key: &str) {
        self.addresses.lock().remove(&(kind, key.to_string()));
    }
}

impl Protocol {
    /// The protocol that a coordinator speaks.
    fn of(connection: &Connection) -> Protocol {
        let speaks = connection.feature_level(TRANSACTION_FEATURE) >= IMPLICIT_LEVEL
            && connection.version::<ProduceRequest<'_>>(i16::MAX).unwrap_or(0) > LAST_ANNOUNCED_PRODUCE
            && connection.version::<EndTxnRequest<'_>>(i16::MAX).unwrap_or(0) > LAST_ANNOUNCED_END
            && connection.version::<TxnOffsetCommitRequest<'_>>(i16::MAX).unwrap_or(0)
                > LAST_ANNOUNCED_OFFSETS;
        if speaks { Protocol::Implicit } else { Protocol::Announced }
    }

    fn at_most(self, last_announced: i16) -> CallOptions {
        let max_version = if self == Protocol::Implicit { i16::MAX } else { last_announced };
        CallOptions { max_version, ..Default::default() }
    }

    /// The highest version of a produce request.
    pub(super) fn max_produce_version(self) -> i16 {
        self.at_most(LAST_ANNOUNCED_PRODUCE).max_version
    }
}

/// Asks for a producer id: a new one, that of the transactional id, or the one it has with another epoch.
pub(super) async fn init_producer_id(
    connection: &Connection,
    transactional_id: Option<&str>,
    timeout_ms: i32,
    had: Option<ProducerIdentity>,
) -> Result<(ErrorCode, ProducerIdentity, Protocol)> {
    let (producer_id, producer_epoch) = had.map_or((-1, -1), |had| (had.id, had.epoch));
    let request = InitProducerIdRequest {
        transactional_id,
        transaction_timeout_ms: timeout_ms,
        producer_id,
        producer_epoch,
    };
    let answer = connection.call(&request).await?;
    let response: InitProducerIdResponse = answer.decode()?;
    let identity = ProducerIdentity { id: response.producer_id, epoch: response.producer_epoch };
    Ok((response.error_code, identity, Protocol::of(connection)))
}

/// Makes partitions part of the transaction.
pub(super) async fn add_partitions(
    connection: &Connection,
    transactional_id: &str,
    identity: ProducerIdentity,
    names: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, ErrorCode>> {
    let topic = |(name, partitions)| AddPartitionsToTxnTopic { name, partitions };
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: transactional_id,
        v3_and_below_producer_id: identity.id,
        v3_and_below_producer_epoch: identity.epoch,
        v3_and_below_topics: by_topic(names).into_iter().map(topic).collect(),
        ..Default::default()
    };
    let options = CallOptions { max_version: LAST_CLIENT_VERSION, ..Default::default() };
    let answer = connection.call_with(&request, options).await?;
    let response: AddPartitionsToTxnResponse<'_> = answer.decode()?;
    let mut codes = BTreeMap::new();
    for topic in &response.results_by_topic_v3_and_below {
        for partition in &topic.results_by_partition {
            let name = TopicPartition::new(topic.name, partition.partition_index);
            codes.insert(name, partition.partition_error_code);
        }
    }
    match names.iter().find(|name| !codes.contains_key(*name)) {
        Some(name) => Err(ClientError::corrupt(format!("adding to the transaction: no answer for {name}"))),
        None => Ok(codes),
    }
}

/// Makes a group's offsets part of the transaction.
pub(super) async fn add_group(
    connection: &Connection,
    transactional_id: &str,
    identity: ProducerIdentity,
    group_id: &str,
) -> Result<ErrorCode> {
    let request = AddOffsetsToTxnRequest {
        transactional_id,
        producer_id: identity.id,
        producer_epoch: identity.epoch,
        group_id,
    };
    let answer = connection.call(&request).await?;
    let response: AddOffsetsToTxnResponse = answer.decode()?;
    Ok(response.error_code)
}

/// Gives offsets to the group's coordinator, to be committed with the transaction.
pub(super) async fn commit_offsets(
    connection: &Connection,
    protocol: Protocol,
    transactional_id: &str,
    identity: ProducerIdentity,
    group: &GroupMetadata,
    offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
) -> Result<BTreeMap<TopicPartition, ErrorCode>> {
    let options = protocol.at_most(LAST_ANNOUNCED_OFFSETS);
    if connection.version::<TxnOffsetCommitRequest<'_>>(options.max_version)? < FIRST_VERSION_WITH_MEMBER {
        return Err(ClientError::invalid("the broker is too old to know which member commits offsets"));
    }
    let mut topics: Vec<TxnOffsetCommitRequestTopic<'_>> = Vec::new();
    for (name, offset) in offsets {
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: name.partition,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch,
            committed_metadata: Some(&offset.metadata),
        };
        match topics.last_mut().filter(|topic| topic.name == &*name.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => {
                topics.push(TxnOffsetCommitRequestTopic { name: &name.topic, partitions: vec![partition] })
            }
        }
    }
    let request = TxnOffsetCommitRequest {
        transactional_id,
        group_id: &group.group_id,
        producer_id: identity.id,
        producer_epoch: identity.epoch,
        generation_id: group.generation_id,
        member_id: &group.member_id,
        group_instance_id: group.group_instance_id.as_deref(),
        topics,
    };
    let answer = connection.call_with(&request, options).await?;
    let response: TxnOffsetCommitResponse<'_> = answer.decode()?;
    let mut codes = BTreeMap::new();
    for topic in &response.topics {
        for partition in &topic.partitions {
            codes.insert(TopicPartition::new(topic.name, partition.partition_index), partition.error_code);
        }
    }
    match offsets.keys().find(|name| !codes.contains_key(*name)) {
        Some(name) => Err(ClientError::corrupt(format!("offsets of the transaction: no answer for {name}"))),
        None => Ok(codes),
    }
}

/// Ends the transaction; with the implicit protocol the answer brings the next identity.
pub(super) async fn end(
    connection: &Connection,
    protocol: Protocol,
    transactional_id: &str,
    identity: ProducerIdentity,
    committed: bool,
) -> Result<(ErrorCode, Option<ProducerIdentity>)> {
    let request = EndTxnRequest {
        transactional_id,
        producer_id: identity.id,
        producer_epoch: identity.epoch,
        committed,
    };
    let answer = connection.call_with(&request, protocol.at_most(LAST_ANNOUNCED_END)).await?;
    let response: EndTxnResponse = answer.decode()?;
    let next = ProducerIdentity { id: response.producer_id, epoch: response.producer_epoch };
    Ok((response.error_code, (response.producer_id >= 0).then_some(next)))
}
