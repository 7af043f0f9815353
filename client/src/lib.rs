//! A Kafka client: producer, consumer, admin, over TCP or in process.
//!
//! A [`Client`] meets one cluster and is shared by any number of [`Admin`]s, producers and consumers. Everything goes
//! through the [`Host`](anabranch_host::Host), so that all of it runs in a simulated world as well; the decisions
//! (when to send which batch, which partition comes next, what a group member does) are pure and take the time as an
//! argument. No wait is without an end.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use anabranch_client::{Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord};
//! use anabranch_host::Host;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (host, runtime) = Host::real(2)?;
//! runtime.block_on(async {
//!     let config = ClientConfig::from_pairs([("bootstrap.servers", "localhost:9092")])?;
//!     let client = Client::connect(&host, host.dialer(), config).await?;
//!
//!     let producer = Producer::new(&client, ProducerConfig::default())?;
//!     let delivery = producer.send(ProducerRecord::new("clicks").key("alice").value("/home")).await?;
//!     println!("written at offset {}", delivery.await?.offset);
//!     producer.close().await?;
//!
//!     let config = ConsumerConfig::from_pairs([("group.id", "readers"), ("auto.offset.reset", "earliest")])?;
//!     let mut consumer = Consumer::new(&client, config)?;
//!     consumer.subscribe(["clicks"])?;
//!     let mut records = Vec::new();
//!     // The first polls tell of the assignment, and bring no records.
//!     while records.is_empty() {
//!         records = consumer.poll(Duration::from_secs(5)).await?.records;
//!     }
//!     for record in records {
//!         println!("{:?}", record.value);
//!     }
//!     consumer.close().await?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! Reading order: [`error`], `offset_reset`, [`config`], `retry`; [`connection`], one byte stream to a broker; `connections`, all of
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
mod offset_reset;
pub mod producer;
mod retry;
mod topic_partition;

pub use admin::Admin;
pub use admin::acls::{
    AclBinding, AclFilter, AclNameFilter, AclOperation, AclPattern, AclPermission, AclResource,
};
pub use admin::cluster::{ClusterDescription, QuorumDescription, QuorumReplica};
pub use admin::configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym};
pub use admin::groups::{GroupDescription, GroupListing, MemberDescription};
pub use admin::log_dirs::{LogDirDescription, LogDirReplica};
pub use admin::quotas::{QuotaEntity, QuotaFilter, QuotaMatch, QuotaName};
pub use admin::replicas::{ElectionType, Reassignment};
pub use admin::reset::{PlannedReset, ResetTo};
pub use admin::scram::{ScramChange, ScramCredential, ScramMechanism};
pub use admin::topics::{CreatedTopic, NewTopic};
pub use admin::transactions::{ProducerState, TransactionDescription, TransactionFilter, TransactionListing};
pub use cluster::Client;
pub use config::{AutoOffsetReset, ClientConfig, ConsumerConfig, IsolationLevel, ProducerConfig};
pub use consumer::assignor::{
    Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor, StickyAssignor,
};
pub use consumer::{
    Consumer, ConsumerRecord, FetchedBatches, GroupMetadata, Polled, RebalanceEvent, TimestampType,
};
pub use error::{ClientError, ErrorKind, Result};
pub use group_offsets::OffsetAndMetadata;
pub use list_offsets::{ListedOffset, OffsetSpec};
pub use metadata::{Broker, Metadata, PartitionMetadata, TopicMetadata};
pub use producer::{
    BatchError, BatchMetadata, Delivery, Producer, ProducerRecord, RecordMetadata, RefusedRecord,
    murmur2_partition,
};
pub use topic_partition::TopicPartition;

/// Record batches, for those who write and read them whole ([`Producer::send_batch`]).
pub use anabranch_protocol::records;
/// Kafka's error codes and ids, as they travel on the wire.
pub use anabranch_protocol::{ErrorCode, Uuid};
