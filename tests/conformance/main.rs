//! Our protocol against that of others: two crates generated from Kafka's schemas, and bytes of Kafka itself.

mod golden;
mod names;
mod peers;
mod tables;
