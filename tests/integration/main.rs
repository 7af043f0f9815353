//! The parts together: broker, client, streams, in process and over TCP.
//!
//! The client's tests also run against Apache Kafka when `ANABRANCH_KAFKA=host:port` names one.

mod broker;
mod client;
mod streams;
