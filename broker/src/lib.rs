//! A broker that speaks the Kafka protocol.
//!
//! Reading order, from the bottom: [`config`] and the data directory; [`watermark`], what is durable and who waits for
//! it; [`internal_log`], how coordinators keep their records; then the way of a request from above: the server reads a
//! frame, a handler (one file per API) makes a reply of it, now or later. [`broker`] puts it all together.

pub mod broker;
pub mod config;
pub mod embedded;
pub mod error;
pub mod internal_log;
mod journal;
pub mod log;
mod open_files;
pub mod partition_name;
pub mod watermark;

mod authorization;
mod coordinator;
#[allow(dead_code, reason = "the log layer uses the rest")]
mod data_dir;
#[allow(dead_code, reason = "Fetch uses it")]
mod fetch_session;
mod groups;
mod handlers;
mod metadata;
mod node;
mod producer_ids;
#[allow(dead_code, reason = "the handlers to come use the rest")]
mod reply;
mod server;

pub use broker::Broker;
pub use config::BrokerConfig;
pub use embedded::EmbeddedBroker;
pub use error::{Error, ErrorKind, Result};
