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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(record: MetadataRecord<'_>, version: i16, expected: &[&[u8]]) {
        let value = record.encode(version);
        assert_eq!(value, expected.concat());
        assert_eq!(MetadataRecord::decode(&value), Ok(record));
    }

    #[test]
    fn records_are_framed() {
        let topic_id = Uuid([9; 16]);
        check(
            MetadataRecord::Topic(TopicRecord { name: "t", topic_id }),
            0,
            &[&[1, 2, 0, 2, b't'], &[9; 16], &[0]],
        );
        check(MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id }), 0, &[&[1, 9, 0], &[9; 16], &[0]]);
        check(
            MetadataRecord::Config(ConfigRecord {
                resource_type: 2,
                resource_name: "t",
                name: "k",
                value: None,
            }),
            0,
            &[&[1, 4, 0, 2, 2, b't', 2, b'k', 0, 0]],
        );
        let change = PartitionChangeRecord {
            partition_id: 1,
            topic_id,
            leader: -1,
            directories: Some(vec![topic_id]),
            ..PartitionChangeRecord::default()
        };
        check(
            MetadataRecord::PartitionChange(change),
            1,
            &[&[1, 5, 1, 0, 0, 0, 1], &[9; 16], &[2, 1, 4, 255, 255, 255, 255, 8, 17, 2], &[9; 16]],
        );
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        let cases: [(&'static [u8], DecodeError); 4] = [
            (&[0, 2, 0], DecodeError::UnsupportedVersion(0)),
            (&[1, 99, 0], DecodeError::UnknownRecordType(99)),
            (&[1, 12, 1, 2, b'f', 0, 0, 0], DecodeError::UnsupportedVersion(1)),
            (&[1, 12, 0, 2, b'f', 0, 0, 0, 0], DecodeError::TrailingBytes(1)),
        ];
        for (value, error) in cases {
            assert_eq!(MetadataRecord::decode(&Bytes::from_static(value)), Err(error), "{value:?}");
        }
    }
}
