//! A broker that speaks the Kafka protocol.
