//! Tests of a topology without a broker: records in, records out, time under control.
//!
//! One task holds all sub-topologies, topics have one partition, and everything happens inside `pipe`: a record is
//! processed, caches are flushed, what was written to repartition topics is processed in turn. Results equal those of
//! Kafka Streams' own test driver.
//!
//! ```
//! use anabranch::prelude::*;
//!
//! let builder = StreamsBuilder::new();
//! builder.stream("in").map_values(|text| text.len() as i64).to("out");
//!
//! let driver = TestDriver::new(&builder.build()?)?;
//! let input = driver.input("in");
//! let output = driver.output(Topic::<Option<String>, i64>::new("out"));
//! input.pipe("k", "four");
//! input.pipe_at(7, None, "seventy");
//! assert_eq!(output.read_key_value(), Some((Some("k".to_string()), 4)));
//! assert_eq!(output.read().map(|record| (record.value, record.timestamp)), Some((7, 7)));
//! assert!(output.is_empty());
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! Reading order: `driver`, then its `input` and `output`, `store` (looking into stores), `replay` (stores rebuilt from
//! their changelogs), and `capture` (the outbox) with `written` (a topic's records).

mod capture;
mod driver;
mod input;
mod output;
mod replay;
mod store;
mod written;

pub use driver::{TestConfig, TestDriver};
pub use input::{IntoItem, TestInput};
pub use output::TestOutput;
pub use store::TestStore;
