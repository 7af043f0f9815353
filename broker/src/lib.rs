//! A broker that speaks the Kafka protocol.
//!
//! Reading order, from the bottom, as the modules stand below: [`config`], [`loggers`] and the data directory; [`watermark`], what is
//! durable and who waits for it; [`log`] and the journal; a partition, and how coordinators see one
//! ([`internal_log`]); the coordinators of groups and transactions, the metadata and the topics folded from it; the node, which has all of
//! these; the handlers, one file per API, each of which makes a reply, now or later; the server, which reads frames and
//! writes answers; the log cleaner. [`broker`] puts it all together, [`embedded`] puts it into this process; [`storage`] formats
//! its directory.

pub mod config;
pub mod error;
pub mod loggers;
pub mod watermark;

mod metrics;

mod data_dir;
mod journal;
pub mod log;
mod open_files;
pub mod partition_name;

pub mod internal_log;
mod partition;

mod coordinator;
mod groups;
mod metadata;
mod producer_ids;
mod topics;
mod transactions;

mod authorization;
mod fetch_session;
mod memory;
mod node;

mod exposition;
mod handlers;
mod reply;
mod server;

mod cleaner;

pub mod broker;
pub mod embedded;
pub mod storage;

#[cfg(test)]
mod damage;

pub use broker::Broker;
pub use config::BrokerConfig;
pub use embedded::EmbeddedBroker;
pub use error::{Error, ErrorKind, Result};
pub use loggers::Loggers;
