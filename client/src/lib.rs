//! A Kafka client: producer, consumer, admin, over TCP or in process.
//!
//! A [`Client`] meets one cluster and is shared by any number of [`Admin`]s, producers and consumers. Everything goes
//! through the [`Host`](anabranch_host::Host), so that all of it runs in a simulated world as well; the decisions
//! (when to send which batch, which partition comes next, what a group member does) are pure and take the time as an
//! argument. No wait is without an end.
//!
//! Reading order: [`error`], [`config`], `retry`; [`connection`], one byte stream to a broker; `connections`, all of
//! them; [`metadata`], what is known of the cluster; [`cluster`], which ties these together; `list_offsets` and
//! `group_offsets`, requests that several share; [`admin`]; [`producer`]; [`consumer`].

pub mod admin;
pub mod cluster;
pub mod config;
pub mod connection;
mod connections;
pub mod consumer;
pub mod error;
#[cfg(test)]
mod fake_broker;
mod group_offsets;
mod list_offsets;
pub mod metadata;
pub mod producer;
mod retry;
mod topic_partition;

pub use admin::Admin;
pub use admin::configs::{ConfigEntry, ConfigResource};
pub use admin::groups::{GroupDescription, GroupListing, MemberDescription};
pub use admin::topics::{CreatedTopic, NewTopic};
pub use cluster::Client;
pub use config::{AutoOffsetReset, ClientConfig, ConsumerConfig, IsolationLevel, ProducerConfig};
pub use consumer::assignor::{Assignor, RangeAssignor};
pub use consumer::{Consumer, ConsumerRecord, FetchedBatches, GroupMetadata, Polled, RebalanceEvent};
pub use error::{ClientError, ErrorKind, Result};
pub use group_offsets::OffsetAndMetadata;
pub use list_offsets::{ListedOffset, OffsetSpec};
pub use metadata::{Broker, Metadata, PartitionMetadata, TopicMetadata};
pub use producer::{BatchMetadata, Delivery, Producer, ProducerRecord, RecordMetadata, murmur2_partition};
pub use topic_partition::TopicPartition;

/// Record batches, for those who write and read them whole ([`Producer::send_batch`]).
pub use anabranch_protocol::records;
/// Kafka's error codes and ids, as they travel on the wire.
pub use anabranch_protocol::{ErrorCode, Uuid};
