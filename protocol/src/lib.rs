//! Kafka's wire protocol: bytes to messages and record batches, and back.

pub mod records;
