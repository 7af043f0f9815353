//! A broker that outlives the applications of a test: one in this process, or the one that `ANABRANCH_KAFKA` names.

use anabranch::prelude::*;
use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_client::{Client, ClientConfig};
use anabranch_host::{Host, RealRuntime};

/// The broker, and the threads of whoever uses it.
pub(crate) struct Outside {
    pub(crate) host: Host,
    embedded: Option<EmbeddedBroker>,
    _runtime: RealRuntime,
}

impl Outside {
    pub(crate) async fn start() -> Outside {
        let (host, runtime) = Host::real(2).expect("threads");
        let embedded = match super::on_kafka() {
            true => None,
            false => {
                let broker = EmbeddedBroker::start(host.clone(), BrokerConfig::default()).await;
                Some(broker.expect("a broker"))
            }
        };
        Outside { host, embedded, _runtime: runtime }
    }

    /// The application of a test, to be started on it.
    pub(crate) fn run(&self, streams: Streams) -> Streams {
        match &self.embedded {
            Some(broker) => streams.on(self.host.clone(), broker.dialer()),
            None => streams,
        }
    }

    /// A client of its own.
    pub(crate) async fn client(&self) -> Client {
        let server = std::env::var("ANABRANCH_KAFKA").ok();
        let config = match server {
            Some(server) => ClientConfig { bootstrap_servers: vec![server], ..ClientConfig::default() },
            None => ClientConfig::default(),
        };
        let dialer = self.embedded.as_ref().map_or_else(|| self.host.dialer(), EmbeddedBroker::dialer);
        Client::connect(&self.host, dialer, config).await.expect("a client")
    }

    pub(crate) async fn end(self) {
        if let Some(broker) = self.embedded {
            broker.shutdown().await;
        }
    }
}
