//! The broker as a whole: opened from its data directory, served on listeners, shut down cleanly.

use std::sync::Arc;

use anabranch_host::{Host, Listener};

use crate::config::{BrokerConfig, Endpoint};
use crate::data_dir::DataDir;
use crate::error::{Error, Result};
use crate::groups::Groups;
use crate::metadata::{Metadata, quorum::LocalQuorum};
use crate::node::Node;
use crate::producer_ids::ProducerIds;
use crate::server::Server;

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    node: Arc<Node>,
    server: Server,
    data_dir: DataDir,
}

impl Broker {
    /// Opens the data directory, formats it if it is new, and recovers what is in it. Nobody is served yet.
    ///
    /// # Errors
    /// If the directory is in use, unreadable or somebody else's.
    pub async fn open(host: Host, config: BrokerConfig) -> Result<Broker> {
        let data_dir = DataDir::open(&host, config.log_dir.as_deref(), config.node_id).await?;
        for key in config.without_effect() {
            tracing::warn!(key, "this key has no effect in this broker");
        }
        let quorum = LocalQuorum::new(crate::internal_log::MemoryLog::new());
        let groups =
            Groups::new(host.clone(), config.group.clone(), config.group.offsets_topic_num_partitions);
        let metadata = Metadata::load(Box::new(quorum), Box::new(Nobody(groups.clone())))
            .map_err(|error| Error::new(crate::error::ErrorKind::Corrupt, error.to_string()))?;
        let node = Arc::new(Node {
            name: config.node_id.to_string(),
            cluster_id: data_dir.cluster_id().to_string(),
            directory_id: data_dir.directory_id(),
            metadata,
            producer_ids: ProducerIds::default(),
            groups,
            host,
            config,
        });
        let server = Server::new(node.clone());
        Ok(Broker { node, server, data_dir })
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

    /// The id of the cluster.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.data_dir.cluster_id()
    }

    /// Stops: accepts nobody more, lets answers under way leave, and closes the data directory so that the next start
    /// has nothing to recover.
    pub async fn shutdown(self) {
        self.node.groups.shut_down();
        self.server.stop().await;
    }
}

fn with_port(endpoint: &Endpoint, port: u16) -> Endpoint {
    Endpoint { port: if endpoint.port == 0 { port } else { endpoint.port }, ..endpoint.clone() }
}

struct Nobody(Arc<Groups>);
impl crate::metadata::MetadataListener for Nobody {
    fn changed(
        &self,
        image: &crate::metadata::image::MetadataImage,
        records: &[anabranch_protocol::messages::cluster_metadata::MetadataRecord<'_>],
    ) {
        for record in records {
            if let anabranch_protocol::messages::cluster_metadata::MetadataRecord::Partition(p) = record
                && image.topic_by_id(&p.topic_id).is_some_and(|t| &*t.name == "__consumer_offsets")
            {
                self.0.elected(p.partition_id, crate::internal_log::MemoryLog::new());
            }
        }
    }
}
