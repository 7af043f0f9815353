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
//! [`TestDriver`](prelude::TestDriver) runs a topology without a broker, for tests. [`Streams`](prelude::Streams) runs it on one:
//! in this process, unless `bootstrap_server` names another.
//!
//! ```
//! use anabranch::prelude::*;
//!
//! const LINES: Topic<Option<String>, String> = Topic::new("lines");
//! const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let builder = StreamsBuilder::new();
//! builder.stream(LINES).group_by(|_, line| line.clone()).count_with(COUNTS);
//!
//! let app = Streams::new("line-count", builder.build()?).create_topics(1).start().await?;
//! let lines = app.producer(LINES)?;
//! lines.send(None, "to be".to_string()).await?;
//! lines.flush().await?;
//! app.drain().await?;
//! assert_eq!(app.store(COUNTS)?.get(&"to be".to_string()).await?, Some(1));
//! app.close().await
//! # }
//! ```
//!
//! Reading order: what records are made of ([`error`], [`time`], [`headers`], [`record`], [`window`], [`windows`], [`data`],
//! [`serdes`], [`policy`]), how topics and stores are named ([`topic`], [`state`]), what a node is (`processor`), how
//! users write one ([`processor_api`]), what nodes make up ([`topology`]), what nodes do (`operators`), how a topology is
//! written ([`dsl`]), what a topology becomes for one partition (`task`), what runs it ([`runtime`]), and how one is tested
//! ([`test_driver`]).

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

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub use error::{Error, ErrorKind, Result};
pub use processor::{PunctuationType, TaskId};
