//! The records of `__cluster_metadata`: topics, partitions, configurations, and what else a controller decides.
//!
//! The value of each is a frame of variable-length integers and the fields (KIP-631):
//! ```text
//! frame version 1 | record type | version | fields
//! ```

use bytes::Bytes;

use crate::error::DecodeError;
use crate::message::{Message, message};
use crate::wire::{Decoder, Encoder, Uuid};

const FRAME_VERSION: u32 = 1;

message! {
    /// A topic comes to be.
    pub struct TopicRecord<'a> [0..=0, flexible 0..] {
        /// The name of the topic.
        name: &'a str [0..],
        /// The id of the topic.
        topic_id: Uuid [0..],
    }

    /// A partition comes to be.
    pub struct PartitionRecord [0..=2, flexible 0..] {
        /// The number of the partition.
        partition_id: i32 [0..] = -1,
        /// The id of the topic.
        topic_id: Uuid [0..],
        /// The brokers that hold it, the preferred leader first.
        replicas: Vec<i32> [0..],
        /// Those of them in sync.
        isr: Vec<i32> [0..],
        /// Those that are to go.
        removing_replicas: Vec<i32> [0..],
        /// Those that are to come.
        adding_replicas: Vec<i32> [0..],
        /// The leader, or -1.
        leader: i32 [0..] = -1,
        /// The epoch of the leader.
        leader_epoch: i32 [0..] = -1,
        /// The epoch of the partition: one more with each change.
        partition_epoch: i32 [0..] = -1,
        /// The directory of each replica.
        directories: Vec<Uuid> [1..],
        /// 0 if the leader has all that was committed, 1 while it recovers from an unclean election.
        leader_recovery_state: i8 [0.., tag 0],
        /// Replicas out of sync that may lead nevertheless (KIP-966), or null.
        eligible_leader_replicas: Option<Vec<i32>> [2.., null 2.., tag 1],
        /// The last such replicas known, or null.
        last_known_elr: Option<Vec<i32>> [2.., null 2.., tag 2],
    }

    /// An entry of a configuration changes.
    pub struct ConfigRecord<'a> [0..=0, flexible 0..] {
        /// What the resource is: 2 a topic, 4 a broker, ...
        resource_type: i8 [0..],
        /// Its name.
        resource_name: &'a str [0..],
        /// The key.
        name: &'a str [0..],
        /// The value, or null to go back to the default.
        value: Option<&'a str> [0.., null 0..],
    }

    /// A partition changes.
    pub struct PartitionChangeRecord [0..=2, flexible 0..] {
        /// The number of the partition.
        partition_id: i32 [0..] = -1,
        /// The id of the topic.
        topic_id: Uuid [0..],
        /// The replicas in sync, or null for no change.
        isr: Option<Vec<i32>> [0.., null 0.., tag 0],
        /// The leader, -1 for none, or -2 for no change.
        leader: i32 [0.., tag 1] = -2,
        /// The brokers that hold it, or null for no change.
        replicas: Option<Vec<i32>> [0.., null 0.., tag 2],
        /// Those that are to go, or null for no change.
        removing_replicas: Option<Vec<i32>> [0.., null 0.., tag 3],
        /// Those that are to come, or null for no change.
        adding_replicas: Option<Vec<i32>> [0.., null 0.., tag 4],
        /// The recovery state of the leader, or -1 for no change.
        leader_recovery_state: i8 [0.., tag 5] = -1,
        /// Replicas out of sync that may lead nevertheless, or null for no change.
        eligible_leader_replicas: Option<Vec<i32>> [2.., null 2.., tag 6],
        /// The last such replicas known, or null for no change.
        last_known_elr: Option<Vec<i32>> [2.., null 2.., tag 7],
        /// The directory of each replica, or null for no change.
        directories: Option<Vec<Uuid>> [1.., null 1.., tag 8],
    }

    /// A topic is deleted, with all that belongs to it.
    pub struct RemoveTopicRecord [0..=0, flexible 0..] {
        /// The id of the topic.
        topic_id: Uuid [0..],
    }

    /// A feature is switched to a level.
    pub struct FeatureLevelRecord<'a> [0..=0, flexible 0..] {
        /// The name of the feature.
        name: &'a str [0..],
        /// The level; 0 for off.
        feature_level: i16 [0..],
    }

    /// A block of producer ids is given to a broker.
    pub struct ProducerIdsRecord [0..=0, flexible 0..] {
        /// The broker that has the block.
        broker_id: i32 [0..],
        /// The epoch of that broker.
        broker_epoch: i64 [0..] = -1,
        /// The first producer id behind the block.
        next_producer_id: i64 [0..],
    }
}

/// `Name(Struct) = type;`
macro_rules! metadata_records {
    ($( $(#[$meta:meta])* $name:ident($ty:ty) = $number:literal; )*) => {
        /// A record of `__cluster_metadata`.
        #[derive(Clone, Debug, PartialEq)]
        pub enum MetadataRecord<'a> {
            $( $(#[$meta])* $name($ty), )*
        }

        impl<'a> MetadataRecord<'a> {
            /// The newest version of this record.
            pub fn newest_version(&self) -> i16 {
                match self {
                    $( MetadataRecord::$name(_) => *<$ty>::VERSIONS.end(), )*
                }
            }

            /// The value of the record at a version.
            pub fn encode(&self, version: i16) -> Bytes {
                let mut out = Encoder::new();
                out.put_uvarint(FRAME_VERSION);
                match self {
                    $( MetadataRecord::$name(record) => {
                        out.put_uvarint($number);
                        out.put_uvarint(version as u32);
                        record.encode(&mut out, version);
                    } )*
                }
                out.finish().into_bytes()
            }

            /// Reads the value of a record. One of another kind is [`DecodeError::UnknownRecordType`].
            pub fn decode(value: &'a Bytes) -> Result<Self, DecodeError> {
                let mut from = Decoder::new(value);
                match from.read_uvarint()? {
                    FRAME_VERSION => {}
                    other => return Err(DecodeError::UnsupportedVersion(i16::try_from(other).unwrap_or(i16::MAX))),
                }
                let number = from.read_uvarint()?;
                let version = from.read_uvarint()?;
                let version = i16::try_from(version).unwrap_or(i16::MAX);
                let record = match number {
                    $( $number => MetadataRecord::$name(<$ty>::decode(&mut from, version)?), )*
                    other => return Err(DecodeError::UnknownRecordType(other as i32)),
                };
                from.finish()?;
                Ok(record)
            }
        }
    };
}

metadata_records! {
    /// A topic comes to be.
    Topic(TopicRecord<'a>) = 2;
    /// A partition comes to be.
    Partition(PartitionRecord) = 3;
    /// An entry of a configuration changes.
    Config(ConfigRecord<'a>) = 4;
    /// A partition changes.
    PartitionChange(PartitionChangeRecord) = 5;
    /// A topic is deleted.
    RemoveTopic(RemoveTopicRecord) = 9;
    /// A feature is switched to a level.
    FeatureLevel(FeatureLevelRecord<'a>) = 12;
    /// A block of producer ids is given to a broker.
    ProducerIds(ProducerIdsRecord) = 15;
}
