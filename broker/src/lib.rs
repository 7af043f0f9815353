//! A broker that speaks the Kafka protocol.

pub mod internal_log;
pub mod watermark;
