//! The broker as a whole: opened from its data directory, served on listeners, shut down cleanly.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anabranch_host::{Host, JoinHandle, Listener};
use anabranch_protocol::Uuid;
use anabranch_protocol::messages::cluster_metadata::{FeatureLevelRecord, MetadataRecord};
use tokio::sync::watch;

use crate::cleaner;
use crate::config::topic::ConfigLayers;
use crate::config::{BrokerConfig, Endpoint, Flush, TopicConfig};
use crate::data_dir::DataDir;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch_session::FetchSessions;
use crate::groups::Groups;
use crate::internal_log::InternalLog;
use crate::log::{Log, LogDirectory, LogDirectoryConfig, RecoveredLog};
use crate::loggers::Loggers;
use crate::memory::Memory;
use crate::metadata::creation::{CLUSTER_METADATA_TOPIC, GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC};
use crate::metadata::image::MetadataImage;
use crate::metadata::quorum::LocalQuorum;
use crate::metadata::snapshot::Snapshots;
use crate::metadata::snapshot::generator::{Growth, SnapshotGenerator};
use crate::metadata::{FINALIZED_FEATURES, Metadata, MetadataListener};
use crate::metrics::Metrics;
use crate::node::Node;
use crate::partition::Partition;
use crate::partition_name::PartitionName;
use crate::producer_ids::ProducerIds;
use crate::server::Server;
use crate::topics::Topics;
use crate::transactions::Transactions;

/// The id that Kafka gives the topic of the metadata log.
const CLUSTER_METADATA_ID: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    node: Arc<Node>,
    server: Server,
    metadata_log: Arc<Partition>,
    directory: LogDirectory,
    data_dir: DataDir,
    cleaner: JoinHandle<()>,
    /// Takes snapshots of the metadata, if any are taken.
    snapshots: Option<JoinHandle<()>>,
}

impl Broker {
    /// Opens the data directory, formats it if it is new, and recovers what is in it. Nobody is served yet.
    ///
    /// # Errors
    /// If the directory is in use, unreadable, somebody else's, or damaged where it was durable.
    pub async fn open(host: Host, config: BrokerConfig) -> Result<Broker> {
        let started = host.now();
        let config = Arc::new(config);
        for (key, why) in config.without_effect() {
            tracing::warn!(key, "{why}");
        }
        let descriptors = Descriptors::of(host.open_file_limit());
        let data_dir = DataDir::open(&host, config.log_dir.as_deref(), config.node_id).await?;
        let (directory, mut found) = open_logs(&host, &config, &data_dir, descriptors.files).await?;
        let metadata_log = open_metadata_log(&host, &config, &directory, &mut found)?;
        let is_new = metadata_log.end_offset() == 0;
        if is_new && let Some(orphan) = found.first() {
            // To go on would mean to delete every log as one of no topic.
            let message = format!(
                "{}: there are logs ({}), but the metadata log that describes them is gone; bring it back",
                data_dir.path().display(),
                orphan.name
            );
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let topics = Topics::new(&host, config.clone(), &directory);
        let groups = Groups::new(host.clone(), config.group.clone());
        let transactions =
            Transactions::new(host.clone(), config.transaction.clone(), topics.clone(), groups.clone());
        let listener =
            Listeners { topics: topics.clone(), groups: groups.clone(), transactions: transactions.clone() };
        let snapshots = Snapshots::new(host.disk(), data_dir.path().join(metadata_log.name().to_string()));
        let growth = Arc::new(Growth::default());
        let quorum = LocalQuorum::new(metadata_log.clone(), snapshots.clone(), growth.clone());
        let metadata = Metadata::load(Box::new(quorum), Box::new(listener))
            .map_err(|error| Error::new(ErrorKind::Corrupt, error.to_string()))?;
        let metadata = Arc::new(metadata);
        topics.adopt(&metadata.image(), found);
        elect_coordinators(&groups, &topics);
        elect_transaction_coordinators(&transactions, &topics);
        transactions.abort_hanging().await;
        finalize_features(&metadata, host.wall_clock_ms())?;
        let generator = SnapshotGenerator {
            host: host.clone(),
            log: metadata_log.clone(),
            directory: directory.clone(),
            snapshots,
            growth,
            config: config.metadata_log,
        };
        let generator = (config.flush == Flush::Commit).then_some(generator);
        if let Some(generator) = &generator {
            generator.take_if_due(&metadata).await;
        }
        let node = Arc::new(Node {
            name: config.node_id.to_string(),
            cluster_id: data_dir.cluster_id().to_string(),
            directory_id: data_dir.directory_id(),
            metadata,
            topics,
            producer_ids: ProducerIds::default(),
            groups,
            transactions,
            fetch_sessions: FetchSessions::new(config.max_incremental_fetch_session_cache_slots),
            memory: Memory::new(config.queued_max_request_bytes),
            loggers: OnceLock::new(),
            metrics: Metrics::new(host.wall_clock_ms()),
            stopping: watch::Sender::new(false),
            host: host.clone(),
            config,
        });
        host.spawn(tidy_regularly(node.clone()));
        let snapshots = generator
            .map(|generator| host.spawn(generator.run(node.metadata.clone(), node.stopping.subscribe())));
        let cleaner = cleaner::start(node.clone(), data_dir.path());
        let cleaner = cleaner.map_err(|error| Error::disk(data_dir.path(), error))?;
        let took = host.now().saturating_duration_since(started);
        tracing::info!(directory = %data_dir.path().display(), took_ms = took.as_millis(), "opened");
        let server = Server::new(node.clone(), descriptors.connections);
        Ok(Broker { node, server, metadata_log, directory, data_dir, cleaner, snapshots })
    }

    /// Lets clients see and change what this process says, as broker loggers; the first that are set stay.
    pub fn set_loggers(&self, loggers: Arc<dyn Loggers>) {
        let _ = self.node.loggers.set(loggers);
    }

    /// Opens all listeners of the configuration and serves them. Returns the addresses, with the ports that were free
    /// where the configuration says 0.
    ///
    /// # Errors
    /// If one cannot be opened; those before it are served then, so shut the broker down.
    pub async fn listen(&self) -> Result<Vec<Endpoint>> {
        let mut open = Vec::new();
        for (listener, told) in self.node.config.listeners.iter().zip(&self.node.config.advertised_listeners)
        {
            let address = listener.address();
            let socket =
                self.node.host.listen(&address).await.map_err(|error| Error::listen(&address, error))?;
            let port = socket.port().map_err(|error| Error::listen(&address, error))?;
            self.serve_as(socket, with_port(told, port));
            open.push(with_port(listener, port));
        }
        Ok(open)
    }

    /// Answers `/metrics` and `/health` on the address of `metrics.listener`, if there is one. Returns it, with the port
    /// that was free where the configuration says 0.
    ///
    /// # Errors
    /// If it cannot be listened on.
    pub async fn listen_for_metrics(&self) -> Result<Option<String>> {
        let Some(address) = &self.node.config.metrics_listener else { return Ok(None) };
        let socket = self.node.host.listen(address).await.map_err(|error| Error::listen(address, error))?;
        let port = socket.port().map_err(|error| Error::listen(address, error))?;
        let host = address.rsplit_once(':').map_or("", |(host, _)| host);
        let address = format!("{host}:{port}");
        tracing::info!(%address, "answering /metrics and /health");
        self.server.serve_http(socket);
        Ok(Some(address))
    }

    /// Serves everybody who comes to `listener`. Clients are told the address that the configuration gives its first
    /// listener, with the port of this one if that is 0.
    pub fn serve(&self, listener: Listener) {
        let told = &self.node.config.advertised_listeners[0];
        let told = with_port(told, listener.port().unwrap_or(0));
        self.serve_as(listener, told);
    }

    fn serve_as(&self, listener: Listener, told: Endpoint) {
        tracing::info!(address = %told, "listening");
        self.server.serve(listener, told);
    }

    #[cfg(test)]
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The id of the cluster.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.data_dir.cluster_id()
    }

    /// Stops: accepts nobody more, lets answers under way leave, and closes the data directory so that the next start
    /// has nothing to recover.
    pub async fn shutdown(self) {
        // Members that wait are answered while their connections are there.
        self.node.groups.shut_down();
        self.node.transactions.shut_down();
        self.server.stop().await;
        if self.cleaner.await.is_err() {
            tracing::error!("the log cleaner had ended before; the log says why");
        }
        if let Some(snapshots) = self.snapshots
            && snapshots.await.is_err()
        {
            tracing::error!("snapshots of the metadata were not taken any more; the log says why");
        }
        let partitions = self.node.topics.all().into_iter().flat_map(|topic| topic.partitions());
        for partition in partitions.chain([self.metadata_log]) {
            if let Err(error) = partition.close() {
                tracing::error!(partition = %partition.name(), %error, "the log is not closed cleanly");
            }
        }
        if let Err(error) = self.directory.shutdown().await {
            tracing::error!(%error, "the data directory is not closed cleanly; the next start recovers it");
        }
    }
}

/// How the descriptors of this process are shared out: connections that come in numbers must not take those that the log
/// needs to be written.
struct Descriptors {
    files: usize,
    connections: usize,
}

impl Descriptors {
    /// Segment files open at one time, however many are allowed.
    const MAX_FILES: usize = 8192;
    /// For journal, listeners, directories, and what else this process does.
    const RESERVED: usize = 64;

    fn of(limit: usize) -> Descriptors {
        let files = (limit / 2).min(Descriptors::MAX_FILES);
        let reserved = Descriptors::RESERVED.min(limit / 4);
        Descriptors { files, connections: limit - files - reserved }
    }
}

/// Those who keep in step with the metadata.
struct Listeners {
    topics: Arc<Topics>,
    groups: Arc<Groups>,
    transactions: Arc<Transactions>,
}

impl MetadataListener for Listeners {
    fn changed(&self, image: &MetadataImage, records: &[MetadataRecord<'_>]) {
        let removed: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                MetadataRecord::RemoveTopic(record) => self.topics.by_id(&record.topic_id),
                _ => None,
            })
            .collect();
        self.topics.changed(image, records);
        removed.iter().for_each(|topic| self.groups.topic_deleted(&topic.name));
        let is_new = |name: &str| {
            records
                .iter()
                .any(|record| matches!(record, MetadataRecord::Topic(record) if record.name == name))
        };
        if is_new(GROUP_METADATA_TOPIC) {
            elect_coordinators(&self.groups, &self.topics);
        }
        if is_new(TRANSACTION_STATE_TOPIC) {
            elect_transaction_coordinators(&self.transactions, &self.topics);
        }
    }
}

/// Gives every group coordinator its log, if there is one.
fn elect_coordinators(groups: &Arc<Groups>, topics: &Topics) {
    let Some(topic) = topics.by_name(GROUP_METADATA_TOPIC) else { return };
    let partitions = topic.partitions();
    groups.offsets_topic_found(partitions.len());
    for (index, partition) in (0..).zip(partitions) {
        groups.elected(index, partition);
    }
}

/// Gives every transaction coordinator its log, if there is one.
fn elect_transaction_coordinators(transactions: &Arc<Transactions>, topics: &Topics) {
    let Some(topic) = topics.by_name(TRANSACTION_STATE_TOPIC) else { return };
    let partitions = topic.partitions();
    transactions.state_topic_found(partitions.len());
    for (index, partition) in (0..).zip(partitions) {
        let leader_epoch = partition.leader_epoch();
        transactions.elected(index, partition, leader_epoch);
    }
}

/// Puts the features of this version into force where they are not yet, in a new directory or in one of an earlier version.
fn finalize_features(metadata: &Metadata, now_ms: i64) -> Result<()> {
    let change = metadata.begin();
    let missing = FINALIZED_FEATURES.iter().filter(|(name, _)| change.image().feature_level(name).is_none());
    let records: Vec<_> = missing
        .map(|(name, feature_level)| {
            MetadataRecord::FeatureLevel(FeatureLevelRecord { name, feature_level: *feature_level })
        })
        .collect();
    change.commit(now_ms, &records).map_err(|error| Error::new(ErrorKind::System, error.to_string()))
}

async fn open_logs(
    host: &Host,
    config: &BrokerConfig,
    data_dir: &DataDir,
    max_open_files: usize,
) -> Result<(LogDirectory, Vec<RecoveredLog>)> {
    let flush = config.flush;
    let default_config = Arc::new(TopicConfig::settle(&file_layers(config), &Default::default()));
    let log_config = LogDirectoryConfig {
        is_ephemeral: data_dir.is_ephemeral() && flush == Flush::Os,
        max_open_files,
        // Zero, which Kafka takes too, is as often as it can be; the disk would do nothing else.
        checkpoint_interval: Duration::from_millis(config.log_flush_offset_checkpoint_interval_ms.max(10)),
        ..LogDirectoryConfig::new(flush, default_config)
    };
    LogDirectory::open(host, data_dir.path(), log_config)
        .await
        .map_err(|error| Error::new(ErrorKind::Corrupt, error.to_string()))
}

fn open_metadata_log(
    host: &Host,
    config: &BrokerConfig,
    directory: &LogDirectory,
    found: &mut Vec<RecoveredLog>,
) -> Result<Arc<Partition>> {
    // Nothing of it is ever deleted by age or size, and one change must fit into one batch.
    let config = Arc::new(TopicConfig {
        cleanup_delete: false,
        cleanup_compact: false,
        max_message_bytes: i32::MAX,
        ..TopicConfig::settle(&file_layers(config), &Default::default())
    });
    let name = PartitionName::new(CLUSTER_METADATA_TOPIC, 0);
    let log: Log = match found.iter().position(|log| log.name == name) {
        Some(index) => {
            let mut log = found.swap_remove(index).log.map_err(|error| {
                Error::new(ErrorKind::Corrupt, format!("the metadata log is damaged: {error}"))
            })?;
            log.set_config(config);
            log
        }
        None => directory.create(name, CLUSTER_METADATA_ID, config),
    };
    Ok(Partition::new(host, directory, log, 0))
}

/// The layers before the metadata is known.
fn file_layers(config: &BrokerConfig) -> ConfigLayers<'_> {
    static NONE: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
    ConfigLayers { dynamic_broker: &NONE, dynamic_default_broker: &NONE, broker: config }
}

/// Deletes old segments and forgets idle producers, until the broker stops.
async fn tidy_regularly(node: Arc<Node>) {
    let interval = Duration::from_millis(node.config.log_retention_check_interval_ms);
    let mut stopping = node.stopping.subscribe();
    loop {
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = node.host.sleep(interval) => {}
        }
        let expiration_ms = producer_id_expiration_ms(&node);
        for partition in node.topics.all().into_iter().flat_map(|topic| topic.partitions()) {
            if let Err(error) = partition.tidy(node.host.wall_clock_ms(), expiration_ms) {
                tracing::error!(partition = %partition.name(), %error, "old segments cannot be deleted");
            }
            tokio::task::yield_now().await;
        }
    }
}

/// `producer.id.expiration.ms`, as it is right now.
fn producer_id_expiration_ms(node: &Node) -> i64 {
    let image = node.metadata.image();
    let set = node.layers(&image).broker_value("producer.id.expiration.ms", |value| value.parse().ok());
    set.unwrap_or(node.config.producer_id_expiration_ms)
}

fn with_port(endpoint: &Endpoint, port: u16) -> Endpoint {
    Endpoint { port: if endpoint.port == 0 { port } else { endpoint.port }, ..endpoint.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_log() {
        for (limit, files, connections) in
            [(60, 30, 15), (1024, 512, 448), (100_000, 8192, 91_744), (usize::MAX, 8192, usize::MAX - 8256)]
        {
            let shared_out = Descriptors::of(limit);
            assert_eq!((shared_out.files, shared_out.connections), (files, connections), "{limit}");
        }
    }
}
