//! The records of `__consumer_offsets`: offsets and classic groups.
//!
//! Tools read this topic (Burrow, the formatters of the console consumer), so keys and values are Kafka's to the byte. A version stands in
//! front of each; that of a key tells what the record is: 0 and 1 an offset, 2 a classic group. A null value deletes.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::message::{Message, message};
use crate::wire::{Decoder, Uuid};

message! {
    /// Whose offset a record holds. The versions do not differ; 1 is written.
    pub struct OffsetCommitKey<'a> [0..=1] {
        /// The group.
        group: &'a str [0..],
        /// The name of the topic.
        topic: &'a str [0..],
        /// The number of the partition.
        partition: i32 [0..],
    }

    /// An offset.
    pub struct OffsetCommitValue<'a> [0..=4, flexible 4..] {
        /// The offset of the next record to read.
        offset: i64 [0..],
        /// The leader epoch of the last record read, or -1.
        leader_epoch: i32 [3..] = -1,
        /// What the committer wants to remember with it.
        metadata: &'a str [0..],
        /// When it was committed, in milliseconds.
        commit_timestamp: i64 [0..],
        /// When it is to be forgotten, in milliseconds, or -1; obsolete.
        expire_timestamp: i64 [1..=1] = -1,
        /// The id of the topic, or zero if the committer named it only.
        topic_id: Uuid [4.., tag 0],
    }

    /// Which group a record holds.
    pub struct GroupMetadataKey<'a> [2..=2] {
        /// The group.
        group: &'a str [2..],
    }

    /// A classic group as of its last completed rebalance.
    pub struct GroupMetadataValue<'a> [0..=4, flexible 4..] {
        /// The kind of members.
        protocol_type: &'a str [0..],
        /// The generation.
        generation: i32 [0..],
        /// The protocol chosen, or null in an empty group.
        protocol: Option<&'a str> [0.., null 0..],
        /// The member that assigns, or null in an empty group.
        leader: Option<&'a str> [0.., null 0..],
        /// When the group came into its state, in milliseconds, or -1.
        current_state_timestamp: i64 [2..] = -1,
        /// Member by member.
        members: Vec<MemberMetadata<'a>> [0..],
    }

    /// A member of a classic group.
    pub struct MemberMetadata<'a> {
        /// The member, as named by the coordinator.
        member_id: &'a str [0..],
        /// The name a static member gives itself, or null.
        group_instance_id: Option<&'a str> [3.., null 3..],
        /// What the client calls itself.
        client_id: &'a str [0..],
        /// The host the member connects from.
        client_host: &'a str [0..],
        /// How long the member may take to join again, in milliseconds, or -1 for the session timeout.
        rebalance_timeout: i32 [1..] = -1,
        /// After how long without heartbeat the member is taken for dead, in milliseconds.
        session_timeout: i32 [0..],
        /// What the member told the leader.
        subscription: Bytes [0..],
        /// What the leader gave the member.
        assignment: Bytes [0..],
    }
}

/// What a record of `__consumer_offsets` is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Key<'a> {
    /// An offset; the value is an [`OffsetCommitValue`].
    Offset(OffsetCommitKey<'a>),
    /// A classic group; the value is a [`GroupMetadataValue`].
    Group(GroupMetadataKey<'a>),
}

impl<'a> Key<'a> {
    /// Reads the key of a record. The keys of other kinds of groups are [`DecodeError::UnknownRecordType`].
    pub fn decode(key: &'a Bytes) -> Result<Self, DecodeError> {
        let mut from = Decoder::new(key);
        match from.read_i16()? {
            version @ 0..=1 => OffsetCommitKey::decode(&mut from, version).map(Key::Offset),
            version @ 2 => GroupMetadataKey::decode(&mut from, version).map(Key::Group),
            other => Err(DecodeError::UnknownRecordType(other.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versioned::encode_versioned;

    #[test]
    fn the_version_of_a_key_tells_its_kind() {
        let offset = OffsetCommitKey { group: "g", topic: "t", partition: 3 };
        for version in 0..=1 {
            let key = encode_versioned(&offset, version);
            assert_eq!(key[..], [0, version as u8, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3]);
            assert_eq!(Key::decode(&key), Ok(Key::Offset(offset.clone())));
        }
        let group = GroupMetadataKey { group: "g" };
        let key = encode_versioned(&group, 2);
        assert_eq!(key[..], [0, 2, 0, 1, b'g']);
        assert_eq!(Key::decode(&key), Ok(Key::Group(group)));
        // A member of a consumer group.
        let key = Bytes::from_static(&[0, 5, 0, 1, b'g', 0, 1, b'm']);
        assert_eq!(Key::decode(&key), Err(DecodeError::UnknownRecordType(5)));
    }
}
