//! `__cluster_metadata`: topics, partitions, configurations.

use anabranch_client::Uuid;
use anabranch_protocol::DecodeError;
use anabranch_protocol::messages::cluster_metadata::{
    MetadataRecord, PartitionChangeRecord, PartitionRecord,
};
use bytes::Bytes;

use super::Told;
use super::json::{self, Object};

pub(super) fn tell(value: &Bytes) -> Result<Told, DecodeError> {
    // Frame version, type and version are one byte each, in all records there are.
    let version = i64::from(value.get(2).copied().unwrap_or_default());
    let (kind, data) = match MetadataRecord::decode(value)? {
        MetadataRecord::Topic(record) => {
            ("TOPIC_RECORD", Object::new().text("name", record.name).id("topicId", record.topic_id))
        }
        MetadataRecord::Partition(record) => ("PARTITION_RECORD", partition(&record, version)),
        MetadataRecord::Config(record) => (
            "CONFIG_RECORD",
            Object::new()
                .number("resourceType", record.resource_type)
                .text("resourceName", record.resource_name)
                .text("name", record.name)
                .text_or_null("value", record.value),
        ),
        MetadataRecord::PartitionChange(record) => ("PARTITION_CHANGE_RECORD", change(&record)),
        MetadataRecord::RemoveTopic(record) => {
            ("REMOVE_TOPIC_RECORD", Object::new().id("topicId", record.topic_id))
        }
        MetadataRecord::FeatureLevel(record) => (
            "FEATURE_LEVEL_RECORD",
            Object::new().text("name", record.name).number("featureLevel", record.feature_level),
        ),
        MetadataRecord::ProducerIds(record) => (
            "PRODUCER_IDS_RECORD",
            Object::new()
                .number("brokerId", record.broker_id)
                .number("brokerEpoch", record.broker_epoch)
                .number("nextProducerId", record.next_producer_id),
        ),
    };
    let whole = Object::new().text("type", kind).number("version", version).raw("data", &data.finish());
    Ok(Told::Metadata(whole.finish()))
}

fn ids(ids: &[Uuid]) -> String {
    json::array(ids.iter().map(|id| json::quoted(&id.to_string())))
}

fn partition(record: &PartitionRecord, version: i64) -> Object {
    Object::new()
        .number("partitionId", record.partition_id)
        .id("topicId", record.topic_id)
        .numbers("replicas", &record.replicas)
        .numbers("isr", &record.isr)
        .numbers("removingReplicas", &record.removing_replicas)
        .numbers("addingReplicas", &record.adding_replicas)
        .number("leader", record.leader)
        .if_some(Some(record.leader_recovery_state).filter(|state| *state != 0), |data, state| {
            data.number("leaderRecoveryState", state)
        })
        .number("leaderEpoch", record.leader_epoch)
        .number("partitionEpoch", record.partition_epoch)
        .if_some((version >= 1).then_some(&record.directories), |data, directories| {
            data.raw("directories", &ids(directories))
        })
        .if_some(record.eligible_leader_replicas.as_ref(), |data, all| {
            data.numbers("eligibleLeaderReplicas", all)
        })
        .if_some(record.last_known_elr.as_ref(), |data, all| data.numbers("lastKnownElr", all))
}

fn change(record: &PartitionChangeRecord) -> Object {
    Object::new()
        .number("partitionId", record.partition_id)
        .id("topicId", record.topic_id)
        .if_some(record.isr.as_ref(), |data, all| data.numbers("isr", all))
        .if_some(Some(record.leader).filter(|leader| *leader != -2), |data, leader| {
            data.number("leader", leader)
        })
        .if_some(record.replicas.as_ref(), |data, all| data.numbers("replicas", all))
        .if_some(record.removing_replicas.as_ref(), |data, all| data.numbers("removingReplicas", all))
        .if_some(record.adding_replicas.as_ref(), |data, all| data.numbers("addingReplicas", all))
        .if_some(Some(record.leader_recovery_state).filter(|state| *state != -1), |data, state| {
            data.number("leaderRecoveryState", state)
        })
        .if_some(record.eligible_leader_replicas.as_ref(), |data, all| {
            data.numbers("eligibleLeaderReplicas", all)
        })
        .if_some(record.last_known_elr.as_ref(), |data, all| data.numbers("lastKnownElr", all))
        .if_some(record.directories.as_ref(), |data, all| data.raw("directories", &ids(all)))
}
