//! A broker that speaks the Kafka protocol.

pub mod config;
pub mod internal_log;
pub mod watermark;
