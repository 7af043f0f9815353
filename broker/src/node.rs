//! What a running broker is made of, as the handlers see it.
//!
//! [`Broker`](crate::broker) puts it together; each handler takes the parts it needs. Everything in here is shared by
//! all connections, and guards itself.

use std::fmt;
use std::sync::{Arc, OnceLock};

use anabranch_host::Host;
use anabranch_protocol::{ErrorCode, Uuid};
use tokio::sync::watch;

use crate::config::BrokerConfig;
use crate::config::topic::ConfigLayers;
use crate::fetch_session::FetchSessions;
use crate::groups::Groups;
use crate::loggers::Loggers;
use crate::memory::Memory;
use crate::metadata::Metadata;
use crate::metadata::creation::{
    Defaults, GROUP_METADATA_TOPIC, Layout, NewTopic, Refusal, TRANSACTION_STATE_TOPIC, grant,
};
use crate::metadata::image::{Configs, MetadataImage};
use crate::metrics::Metrics;
use crate::producer_ids::ProducerIds;
use crate::topics::Topics;
use crate::transactions::Transactions;

/// The parts of a running broker.
pub(crate) struct Node {
    /// The world it runs in.
    pub(crate) host: Host,
    /// What its file says.
    pub(crate) config: Arc<BrokerConfig>,
    /// Its number, as the name of a resource.
    pub(crate) name: String,
    /// The cluster it is: 22 characters that nobody else has.
    pub(crate) cluster_id: String,
    /// Its data directory.
    pub(crate) directory_id: Uuid,
    /// Topics, partitions, configurations.
    pub(crate) metadata: Arc<Metadata>,
    /// The same, with logs.
    pub(crate) topics: Arc<Topics>,
    /// For idempotent producers.
    pub(crate) producer_ids: ProducerIds,
    /// The group coordinators.
    pub(crate) groups: Arc<Groups>,
    /// The transaction coordinators.
    pub(crate) transactions: Arc<Transactions>,
    /// For consumers that fetch by sessions.
    pub(crate) fetch_sessions: FetchSessions,
    /// What connections hold together.
    pub(crate) memory: Memory,
    /// What the process says, if that can be changed.
    pub(crate) loggers: OnceLock<Arc<dyn Loggers>>,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Becomes true when the broker stops; what is parked ends then.
    pub(crate) stopping: watch::Sender<bool>,
}

impl Node {
    /// The layers of configuration, with what the metadata says.
    pub(crate) fn layers<'a>(&'a self, image: &'a MetadataImage) -> ConfigLayers<'a> {
        ConfigLayers {
            dynamic_broker: image.broker_configs(&self.name),
            dynamic_default_broker: image.broker_configs(""),
            broker: &self.config,
        }
    }

    /// Creates a topic that nobody described but somebody needs, if it is not there: a coordinator's as it needs it, any
    /// other with the defaults. It may be told when [`Metadata::settled`] resolves. Gives how many partitions were made.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(crate) fn create_missing_topic(&self, name: &str) -> Result<usize, Refusal> {
        let (num_partitions, configs) = self.internal_topic(name).unwrap_or((-1, Configs::new()));
        let layout = Layout::Counts { num_partitions, replication_factor: -1 };
        let wish = NewTopic { name, id: Uuid(self.host.random_uuid()), layout, configs };
        let change = self.metadata.begin();
        if change.image().topic(name).is_some() {
            return Ok(0);
        }
        let granted = grant(change.image(), &self.topic_defaults(), &wish)?;
        change.commit(self.host.wall_clock_ms(), &granted.records)?;
        tracing::info!(
            topic = name,
            partitions = granted.num_partitions,
            "created a topic that was asked for"
        );
        Ok(granted.num_partitions as usize)
    }

    /// Partitions and configuration of a coordinator's topic; `None` for any other.
    fn internal_topic(&self, name: &str) -> Option<(i32, Configs)> {
        let (group, transaction) = (&self.config.group, &self.config.transaction);
        let (num_partitions, configs) = match name {
            GROUP_METADATA_TOPIC => (
                group.offsets_topic_num_partitions,
                vec![
                    ("cleanup.policy", "compact".to_string()),
                    ("compression.type", "producer".to_string()),
                    ("segment.bytes", group.offsets_topic_segment_bytes.to_string()),
                ],
            ),
            TRANSACTION_STATE_TOPIC => (
                transaction.state_log_num_partitions,
                vec![
                    ("cleanup.policy", "compact".to_string()),
                    ("compression.type", "uncompressed".to_string()),
                    ("min.insync.replicas", transaction.state_log_min_isr.to_string()),
                    ("segment.bytes", transaction.state_log_segment_bytes.to_string()),
                    ("unclean.leader.election.enable", "false".to_string()),
                ],
            ),
            _ => return None,
        };
        let configs = configs.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        Some((num_partitions, configs))
    }

    /// A producer id that nobody has had. It may be told when [`Metadata::settled`] resolves.
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) fn new_producer_id(&self) -> Result<i64, ErrorCode> {
        let allocated =
            self.producer_ids.allocate(&self.metadata, self.config.node_id, self.host.wall_clock_ms());
        allocated.map_err(|error| {
            tracing::error!(%error, "no producer id can be given");
            ErrorCode::KAFKA_STORAGE_ERROR
        })
    }

    /// What a topic gets that says nothing.
    pub(crate) fn topic_defaults(&self) -> Defaults {
        Defaults {
            node_id: self.config.node_id,
            num_partitions: self.config.num_partitions,
            replication_factor: self.config.default_replication_factor,
            directory_id: self.directory_id,
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("cluster_id", &self.cluster_id).finish_non_exhaustive()
    }
}
