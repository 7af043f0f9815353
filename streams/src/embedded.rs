//! A broker in this process: the one file of this crate that names the broker.

use std::path::Path;

use anabranch_broker::BrokerConfig;
use anabranch_broker::embedded::EmbeddedBroker;
use anabranch_host::{Dialer, Host};

use crate::error::{Error, Result};

/// A running broker, and the way to it.
pub(crate) struct Embedded {
    broker: EmbeddedBroker,
}

impl Embedded {
    /// Starts a broker that keeps its data in `directory`, or nowhere.
    ///
    /// # Errors
    /// If the directory is in use, unreadable or not a broker's.
    pub(crate) async fn start(host: &Host, directory: Option<&Path>) -> Result<Embedded> {
        let directory = directory.map(|path| path.display().to_string());
        let pairs = directory.iter().map(|path| ("log.dirs", path.as_str()));
        let config = BrokerConfig::from_pairs(pairs).map_err(Error::invalid)?;
        let broker = EmbeddedBroker::start(host.clone(), config).await;
        let broker = broker
            .map_err(|error| Error::invalid("the broker in this process cannot start").with_source(error))?;
        Ok(Embedded { broker })
    }

    /// The way to it.
    pub(crate) fn dialer(&self) -> Dialer {
        self.broker.dialer()
    }

    /// Stops it cleanly.
    pub(crate) async fn shutdown(self) {
        self.broker.shutdown().await;
    }
}
