//! Kafka Streams for Rust: typed topologies of streams and tables, on the bundled broker or on Apache Kafka.
//!
//! ```
//! use anabranch::prelude::*;
//!
//! let builder = StreamsBuilder::new();
//! builder
//!     .stream("lines")
//!     .flat_map_values(|line| line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
//!     .filter(|_, word| word.len() > 3)
//!     .to("words");
//!
//! let driver = TestDriver::new(&builder.build()?)?;
//! driver.input("lines").pipe(None, "Between the banks");
//! let words: Vec<String> = driver.output("words").read_key_values().into_iter().map(|(_, word)| word).collect();
//! assert_eq!(words, ["between", "banks"]);
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! Reading order: what records are made of ([`error`], [`time`], [`headers`], [`record`], [`window`], [`windows`],
//! [`data`],
//! [`serdes`], [`policy`]), how topics and stores are named ([`topic`], [`state`]), what a node is (`processor`), how
//! users write one ([`processor_api`]), what
//! nodes make up ([`topology`]), what nodes do (`operators`), how a topology is written ([`dsl`]), what runs one
//! (`task`), and how one is tested ([`test_driver`]).

pub mod data;
pub mod dsl;
#[cfg(feature = "embedded")]
mod embedded;
pub mod error;
pub mod headers;
mod operators;
mod outbox;
pub mod policy;
pub mod prelude;
mod processor;
pub mod processor_api;
pub mod record;
pub mod runtime;
pub mod serdes;
pub mod state;
mod task;
pub mod test_driver;
pub mod time;
pub mod topic;
pub mod topology;
pub mod window;
pub mod windows;

pub use error::{Error, ErrorKind, Result};
pub use processor::{PunctuationType, TaskId};
