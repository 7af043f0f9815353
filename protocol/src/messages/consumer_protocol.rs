//! What consumers tell their leader and are told by it: the bytes inside JoinGroup and SyncGroup.
//!
//! A version stands in front ([`crate::versioned`]); members of one group may differ in theirs, so a newer one is read
//! as the newest known.

use bytes::Bytes;

use crate::message::message;

message! {
    /// What a member wants: the metadata of its JoinGroup.
    pub struct ConsumerProtocolSubscription<'a> [0..=3] {
        /// The topics it wants to read.
        topics: Vec<&'a str> [0..],
        /// What its assignor wants to tell the leader's, or null.
        user_data: Option<Bytes> [0.., null 0..],
        /// The partitions it has now.
        owned_partitions: Vec<TopicPartitions<'a>> [1..],
        /// The generation it has them from, or -1.
        generation_id: i32 [2..] = -1,
        /// Its rack, or null.
        rack_id: Option<&'a str> [3.., null 3..],
    }

    /// What a member gets: the assignment of its SyncGroup.
    pub struct ConsumerProtocolAssignment<'a> [0..=3] {
        /// The partitions it is to read.
        assigned_partitions: Vec<TopicPartitions<'a>> [0..],
        /// What the leader's assignor wants to tell the member's, or null.
        user_data: Option<Bytes> [0.., null 0..],
    }

    /// Partitions of a topic; Kafka calls it TopicPartition.
    pub struct TopicPartitions<'a> {
        /// The name of the topic.
        topic: &'a str [0..],
        /// The numbers of the partitions.
        partitions: Vec<i32> [0..],
    }
}
