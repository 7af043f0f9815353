//! Kafka Streams for Rust.
