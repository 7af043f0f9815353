//! `__consumer_offsets`: offsets and classic groups.

use anabranch_protocol::messages::consumer_offsets::{
    GroupMetadataValue, Key, MemberMetadata, OffsetCommitValue,
};
use anabranch_protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions,
};
use anabranch_protocol::{DecodeError, Uuid, decode_versioned, decode_versioned_growing};
use bytes::Bytes;

use super::json::{self, Object};
use super::{Told, Versioned};

/// The members of this protocol tell each other what we can read.
const CONSUMER: &str = "consumer";

pub(super) fn tell(key: &Bytes, value: Option<&Bytes>) -> Result<Told, DecodeError> {
    let version = i16::from(key.get(1).copied().unwrap_or_default());
    match Key::decode(key)? {
        Key::Offset(key) => {
            let data = Object::new().text("group", key.group).text("topic", key.topic);
            let key = Versioned::new(version, data.number("partition", key.partition));
            Ok(Told::Pair { key, value: value.map(offset).transpose()? })
        }
        Key::Group(key) => {
            let key = Versioned::new(version, Object::new().text("group", key.group));
            Ok(Told::Pair { key, value: value.map(group).transpose()? })
        }
    }
}

fn offset(value: &Bytes) -> Result<Versioned, DecodeError> {
    let (value, version) = decode_versioned::<OffsetCommitValue<'_>>(value)?;
    let data = Object::new()
        .number("offset", value.offset)
        .if_some((version >= 3).then_some(value.leader_epoch), |data, epoch| {
            data.number("leaderEpoch", epoch)
        })
        .text("metadata", value.metadata)
        .number("commitTimestamp", value.commit_timestamp)
        .if_some((version == 1).then_some(value.expire_timestamp), |data, expire| {
            data.number("expireTimestamp", expire)
        })
        .if_some((value.topic_id != Uuid::ZERO).then_some(value.topic_id), |data, id| data.id("topicId", id));
    Ok(Versioned::new(version, data))
}

fn group(value: &Bytes) -> Result<Versioned, DecodeError> {
    let (value, version) = decode_versioned::<GroupMetadataValue<'_>>(value)?;
    let members = value.members.iter().map(|one| member(one, value.protocol_type, version));
    let members = members.collect::<Result<Vec<_>, _>>()?;
    let data = Object::new()
        .text("protocolType", value.protocol_type)
        .number("generation", value.generation)
        .text_or_null("protocol", value.protocol)
        .text_or_null("leader", value.leader)
        .if_some((version >= 2).then_some(value.current_state_timestamp), |data, timestamp| {
            data.number("currentStateTimestamp", timestamp)
        })
        .array("members", members);
    Ok(Versioned::new(version, data))
}

fn member(member: &MemberMetadata<'_>, protocol_type: &str, version: i16) -> Result<String, DecodeError> {
    let data = Object::new()
        .text("memberId", member.member_id)
        .if_some((version >= 3).then_some(member.group_instance_id), |data, id| {
            data.text_or_null("groupInstanceId", id)
        })
        .text("clientId", member.client_id)
        .text("clientHost", member.client_host)
        .if_some((version >= 1).then_some(member.rebalance_timeout), |data, timeout| {
            data.number("rebalanceTimeout", timeout)
        })
        .number("sessionTimeout", member.session_timeout);
    let data = if protocol_type == CONSUMER {
        data.raw("subscription", &subscription(&member.subscription)?)
            .raw("assignment", &assignment(&member.assignment)?)
    } else {
        data.bytes_or_null("subscription", Some(&member.subscription))
            .bytes_or_null("assignment", Some(&member.assignment))
    };
    Ok(data.finish())
}

fn subscription(bytes: &Bytes) -> Result<String, DecodeError> {
    let (value, version) = decode_versioned_growing::<ConsumerProtocolSubscription<'_>>(bytes)?;
    let data = Object::new()
        .array("topics", value.topics.iter().map(|topic| json::quoted(topic)))
        .bytes_or_null("userData", value.user_data.as_deref())
        .if_some((version >= 1).then_some(&value.owned_partitions), |data, owned| {
            data.array("ownedPartitions", owned.iter().map(partitions))
        })
        .if_some((version >= 2).then_some(value.generation_id), |data, id| data.number("generationId", id))
        .if_some((version >= 3).then_some(value.rack_id), |data, rack| data.text_or_null("rackId", rack));
    Ok(data.finish())
}

fn assignment(bytes: &Bytes) -> Result<String, DecodeError> {
    // A member that has not been assigned anything yet.
    if bytes.is_empty() {
        return Ok("null".to_string());
    }
    let (value, _) = decode_versioned_growing::<ConsumerProtocolAssignment<'_>>(bytes)?;
    let data = Object::new()
        .array("assignedPartitions", value.assigned_partitions.iter().map(partitions))
        .bytes_or_null("userData", value.user_data.as_deref());
    Ok(data.finish())
}

fn partitions(topic: &TopicPartitions<'_>) -> String {
    Object::new().text("topic", topic.topic).numbers("partitions", &topic.partitions).finish()
}
