//! A broker in this process: the same broker, reached through memory by the frames that would travel over TCP.
//!
//! Without a data directory everything is gone at the end, and so nothing is synced. A group is not kept waiting for
//! members that might come: in one process they are there.

use anabranch_host::{Dialer, Host, in_process};

use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::error::Result;

/// A running broker in this process.
#[derive(Debug)]
pub struct EmbeddedBroker {
    broker: Broker,
    dialer: Dialer,
}

impl EmbeddedBroker {
    /// Opens a broker and serves it in this process.
    ///
    /// # Errors
    /// As [`Broker::open`].
    pub async fn start(host: Host, config: BrokerConfig) -> Result<EmbeddedBroker> {
        let mut defaults = vec![("group.initial.rebalance.delay.ms", "0")];
        if config.log_dir.is_none() {
            tracing::info!("no data directory: topics and offsets are gone when this process ends");
            defaults.push(("flush", "os"));
        }
        let unset = defaults.into_iter().filter(|(key, _)| config.explicit(key).is_none());
        let config = config.with(unset)?;
        let broker = Broker::open(host, config).await?;
        let (listener, dialer) = in_process();
        broker.serve(listener);
        Ok(EmbeddedBroker { broker, dialer })
    }

    /// Opens connections to it, whatever the address.
    #[must_use]
    pub fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }

    /// The broker itself, to serve a network as well.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Stops cleanly.
    pub async fn shutdown(self) {
        drop(self.dialer);
        self.broker.shutdown().await;
    }
}
