//! The records of `__consumer_offsets`, in Kafka's format: committed offsets, and classic groups.

use std::sync::Arc;

use anabranch_protocol::messages::consumer_offsets::{
    self, GroupMetadataKey, GroupMetadataValue, Key, OffsetCommitKey, OffsetCommitValue,
};
use anabranch_protocol::messages::consumer_protocol::ConsumerProtocolSubscription;
use anabranch_protocol::{DecodeError, Decoder, Message, Uuid, decode_versioned, encode_versioned};
use bytes::Bytes;

/// A record of `__consumer_offsets` that this coordinator writes and folds. No value: delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupRecord {
    /// A group's offset for a partition.
    OffsetCommit {
        /// Of the group.
        group_id: Arc<str>,
        /// Of the partition.
        topic: Arc<str>,
        /// Its index.
        partition: i32,
        /// The offset.
        value: Option<OffsetCommit>,
    },
    /// A classic group as it stands.
    GroupMetadata {
        /// Of the group.
        group_id: Arc<str>,
        /// The group.
        value: Option<GroupMetadata>,
    },
}

/// A committed offset (Kafka's `OffsetCommitValue`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OffsetCommit {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: Option<i32>,
    /// Whatever the client wants to remember with it.
    pub(crate) metadata: Arc<str>,
    pub(crate) commit_timestamp_ms: i64,
    /// When it expires, if the client said so (OffsetCommit up to version 4).
    pub(crate) expire_timestamp_ms: Option<i64>,
    /// The topic it was meant for, since one of the same name may come after it; zero: not known.
    pub(crate) topic_id: Uuid,
}

/// A classic group (Kafka's `GroupMetadataValue`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupMetadata {
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) generation_id: i32,
    pub(crate) protocol_name: Option<Arc<str>>,
    pub(crate) leader: Option<Arc<str>>,
    pub(crate) state_since_ms: Option<i64>,
    pub(crate) members: Vec<MemberMetadata>,
}

/// A member of a classic group (Kafka's `MemberMetadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberMetadata {
    pub(crate) member_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) subscription: Bytes,
    pub(crate) assignment: Bytes,
}

/// The versions Kafka writes as of 4.3; all older ones are read.
const OFFSET_COMMIT_KEY_VERSION: i16 = 1;
const OFFSET_COMMIT_VALUE_VERSION: i16 = 4;
/// The one version with an expiration time, written when a client asked for one.
const EXPIRING_OFFSET_COMMIT_VALUE_VERSION: i16 = 1;
const GROUP_METADATA_KEY_VERSION: i16 = 2;
const GROUP_METADATA_VALUE_VERSION: i16 = 3;

impl GroupRecord {
    /// Key and value as they stand in the log.
    pub(crate) fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            GroupRecord::OffsetCommit { group_id, topic, partition, value } => {
                let key = OffsetCommitKey { group: group_id, topic, partition: *partition };
                let value = value.as_ref().map(|commit| {
                    let (version, expire_timestamp) = match commit.expire_timestamp_ms {
                        Some(expire_timestamp_ms) => {
                            (EXPIRING_OFFSET_COMMIT_VALUE_VERSION, expire_timestamp_ms)
                        }
                        None => (OFFSET_COMMIT_VALUE_VERSION, -1),
                    };
                    let value = OffsetCommitValue {
                        offset: commit.offset,
                        leader_epoch: commit.leader_epoch.unwrap_or(-1),
                        metadata: &commit.metadata,
                        commit_timestamp: commit.commit_timestamp_ms,
                        expire_timestamp,
                        topic_id: commit.topic_id,
                    };
                    encode_versioned(&value, version)
                });
                (encode_versioned(&key, OFFSET_COMMIT_KEY_VERSION), value)
            }
            GroupRecord::GroupMetadata { group_id, value } => {
                let key = encode_versioned(&GroupMetadataKey { group: group_id }, GROUP_METADATA_KEY_VERSION);
                (key, value.as_ref().map(GroupMetadata::encode))
            }
        }
    }

    /// The record with this key and value; `None` if it is about a kind of group that is not kept here.
    ///
    /// # Errors
    /// If these bytes are no such record.
    pub(crate) fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<GroupRecord>, DecodeError> {
        match Key::decode(key) {
            Ok(Key::Offset(key)) => Ok(Some(GroupRecord::OffsetCommit {
                group_id: key.group.into(),
                topic: key.topic.into(),
                partition: key.partition,
                value: value.map(OffsetCommit::decode).transpose()?,
            })),
            Ok(Key::Group(key)) => Ok(Some(GroupRecord::GroupMetadata {
                group_id: key.group.into(),
                value: value.map(GroupMetadata::decode).transpose()?,
            })),
            Err(DecodeError::UnknownRecordType(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl OffsetCommit {
    fn decode(bytes: &Bytes) -> Result<OffsetCommit, DecodeError> {
        let (value, _): (OffsetCommitValue<'_>, i16) = decode_versioned(bytes)?;
        Ok(OffsetCommit {
            offset: value.offset,
            leader_epoch: (value.leader_epoch >= 0).then_some(value.leader_epoch),
            metadata: value.metadata.into(),
            commit_timestamp_ms: value.commit_timestamp,
            expire_timestamp_ms: (value.expire_timestamp >= 0).then_some(value.expire_timestamp),
            topic_id: value.topic_id,
        })
    }
}

impl GroupMetadata {
    fn encode(&self) -> Bytes {
        let members = self.members.iter().map(|member| consumer_offsets::MemberMetadata {
            member_id: &member.member_id,
            group_instance_id: member.instance_id.as_deref(),
            client_id: &member.client_id,
            client_host: &member.client_host,
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: member.subscription.clone(),
            assignment: member.assignment.clone(),
        });
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.as_deref().unwrap_or(""),
            generation: self.generation_id,
            protocol: self.protocol_name.as_deref(),
            leader: self.leader.as_deref(),
            current_state_timestamp: self.state_since_ms.unwrap_or(-1),
            members: members.collect(),
        };
        encode_versioned(&value, GROUP_METADATA_VALUE_VERSION)
    }

    fn decode(bytes: &Bytes) -> Result<GroupMetadata, DecodeError> {
        let (value, _): (GroupMetadataValue<'_>, i16) = decode_versioned(bytes)?;
        let members = value.members.into_iter().map(|member| MemberMetadata {
            member_id: member.member_id.into(),
            instance_id: member.group_instance_id.map(Arc::from),
            client_id: member.client_id.into(),
            client_host: member.client_host.into(),
            // Before version 1 members had one time-out for both.
            rebalance_timeout_ms: match member.rebalance_timeout {
                -1 => member.session_timeout,
                rebalance_timeout => rebalance_timeout,
            },
            session_timeout_ms: member.session_timeout,
            subscription: Bytes::copy_from_slice(&member.subscription),
            assignment: Bytes::copy_from_slice(&member.assignment),
        });
        Ok(GroupMetadata {
            protocol_type: Some(value.protocol_type).filter(|name| !name.is_empty()).map(Arc::from),
            generation_id: value.generation,
            protocol_name: value.protocol.map(Arc::from),
            leader: value.leader.map(Arc::from),
            state_since_ms: (value.current_state_timestamp >= 0).then_some(value.current_state_timestamp),
            members: members.collect(),
        })
    }
}

/// The topics a consumer subscribes to, from the bytes its assignor wrote. `None`: these are not such bytes.
pub(crate) fn subscribed_topics(subscription: &Bytes) -> Option<Vec<String>> {
    let mut from = Decoder::new(subscription);
    from.read_i16().ok()?;
    // Every version begins with version 0, and assignors of other versions to come need not concern us.
    let subscription = ConsumerProtocolSubscription::decode(&mut from, 0).ok()?;
    Some(subscription.topics.into_iter().map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: GroupRecord, key: &str, value: Option<&str>) {
        let (encoded_key, encoded_value) = record.encode();
        assert_eq!(hex(&encoded_key), key.replace(' ', ""));
        assert_eq!(encoded_value.as_deref().map(hex), value.map(|value| value.replace(' ', "")));
        assert_eq!(GroupRecord::decode(&encoded_key, encoded_value.as_ref()), Ok(Some(record)));
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn records_are_kafkas_to_the_byte() {
        let offset = |value| GroupRecord::OffsetCommit {
            group_id: "g".into(),
            topic: "t".into(),
            partition: 2,
            value,
        };
        let commit = OffsetCommit {
            offset: 258,
            leader_epoch: Some(3),
            metadata: "m".into(),
            commit_timestamp_ms: 4,
            expire_timestamp_ms: None,
            topic_id: Uuid::ZERO,
        };
        let key = "0001 0001 67 0001 74 00000002";
        check(offset(None), key, None);
        check(
            offset(Some(commit.clone())),
            key,
            Some("0004 0000000000000102 00000003 02 6d 0000000000000004 00"),
        );
        check(
            offset(Some(OffsetCommit { topic_id: Uuid([0xab; 16]), ..commit.clone() })),
            key,
            Some(
                "0004 0000000000000102 00000003 02 6d 0000000000000004 01 00 10 abababab abababab abababab abababab",
            ),
        );
        check(
            offset(Some(OffsetCommit { leader_epoch: None, expire_timestamp_ms: Some(5), ..commit })),
            key,
            Some("0001 0000000000000102 0001 6d 0000000000000004 0000000000000005"),
        );

        let group = |value| GroupRecord::GroupMetadata { group_id: "g".into(), value };
        check(group(None), "0002 0001 67", None);
        let empty = GroupMetadata { generation_id: 1, state_since_ms: Some(6), ..GroupMetadata::default() };
        check(
            group(Some(empty)),
            "0002 0001 67",
            Some("0003 0000 00000001 ffff ffff 0000000000000006 00000000"),
        );
        let member = MemberMetadata {
            member_id: "a".into(),
            instance_id: Some("i".into()),
            client_id: "c".into(),
            client_host: "/h".into(),
            rebalance_timeout_ms: 7,
            session_timeout_ms: 8,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::from_static(b"p"),
        };
        let stable = GroupMetadata {
            protocol_type: Some("consumer".into()),
            generation_id: 1,
            protocol_name: Some("range".into()),
            leader: Some("a".into()),
            state_since_ms: None,
            members: vec![member],
        };
        check(
            group(Some(stable)),
            "0002 0001 67",
            Some(
                "0003 0008 636f6e73756d6572 00000001 0005 72616e6765 0001 61 ffffffffffffffff 00000001 \
                 0001 61 0001 69 0001 63 0002 2f68 00000007 00000008 00000001 73 00000001 70",
            ),
        );
    }

    #[test]
    fn records_of_other_kinds_are_left_alone_and_broken_ones_refused() {
        let decode = |key: &'static [u8], value: Option<&'static [u8]>| {
            GroupRecord::decode(&Bytes::from_static(key), value.map(Bytes::from_static).as_ref())
        };
        assert_eq!(decode(b"\0\x03\0\x01g", None), Ok(None), "a KIP-848 group");
        assert!(decode(b"\0", None).is_err());
        assert!(decode(b"\0\x02\0\x01g", Some(b"\0\x03\0")).is_err());
        assert!(decode(b"\0\x02\0\x01g", Some(b"\0\x63\0\0")).is_err(), "a version that is not known");
    }

    #[test]
    fn subscriptions_are_read_by_the_part_all_versions_share() {
        for (bytes, expected) in [
            (&b"\0\0\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff"[..], Some(vec!["a", "bc"])),
            (b"\0\x63\0\0\0\x01\0\x01a\xff\xff\xff\xffwhatever is new", Some(vec!["a"])),
            (b"\0\0\0\0\0\0\xff\xff\xff\xff", Some(vec![])),
            (b"", None),
            (b"\0\0\x7f\xff\xff\xff\0\x01a", None),
            (b"not the consumer protocol", None),
        ] {
            let topics = subscribed_topics(&Bytes::from_static(bytes));
            assert_eq!(
                topics,
                expected.map(|topics| topics.into_iter().map(String::from).collect()),
                "{bytes:?}"
            );
        }
    }
}
