//! Tests of a topology without a broker: records in, records out, time under control.
//!
//! # A first test
//!
//! A [`TestDriver`] runs a topology in the thread of the test. `input` and `output` are its topics; they are made of the
//! same constants (or names) as the topology's. Everything happens inside `pipe`: the record is processed, caches are
//! flushed, what was written to repartition topics is processed in turn, and all is committed. So a test needs no sleep
//! and no retry, and results equal those of Kafka Streams' own test driver.
//!
//! ```
//! use anabranch::prelude::*;
//!
//! fn topology() -> Result<Topology> {
//!     let builder = StreamsBuilder::new();
//!     builder.stream("lines").flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).to("words");
//!     builder.build()
//! }
//!
//! let driver = TestDriver::new(&topology()?)?;
//! let (lines, words) = (driver.input("lines"), driver.output("words"));
//! lines.pipe("k", "to be");
//! assert_eq!(words.read_key_value(), Some((Some("k".to_string()), "to".to_string())));
//! assert_eq!(words.read_key_values(), [(Some("k".to_string()), "be".to_string())]);
//! assert!(words.is_empty());
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! `pipe` takes what reads well: a `&str` for a `String`, a `T` for an `Option<T>`. A record is read once; `read` gives it
//! whole, `read_key_value` key and value, `read_all` and `read_key_values` what is left. A name alone has keys
//! `Option<String>` and values `String`; other types are said by a topic:
//!
//! ```
//! # use anabranch::prelude::*;
//! # let builder = StreamsBuilder::new();
//! const CLICKS: Topic<String, i64> = Topic::new("clicks");
//! builder.stream(CLICKS).map_values(|n| n * 2).to("doubled");
//! # let driver = TestDriver::new(&builder.build()?)?;
//! driver.input(CLICKS).pipe("ada", 21);
//! assert_eq!(driver.output(Topic::<String, i64>::new("doubled")).read_key_value(), Some(("ada".to_string(), 42)));
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! # Time
//!
//! Nothing here reads a clock. A record has the time of its input, which starts at 0 and goes on by `advance`, or its own:
//! `pipe_at`. Windows follow these times alone; so a test of late records is a few lines.
//!
//! ```
//! # use anabranch::prelude::*;
//! # let builder = StreamsBuilder::new();
//! let windows = Tumbling::of(seconds(10)).grace(seconds(5));
//! let counts = builder.stream("clicks").group_by_key().windowed_by(windows).count();
//! counts.suppress(until_window_closes()).updates().map(|key, n| (key.key, n)).to("final");
//! # let driver = TestDriver::new(&builder.build()?)?;
//! let clicks = driver.input("clicks");
//! let results = driver.output(Topic::<String, i64>::new("final"));
//! clicks.pipe("ada", "/");
//! clicks.advance(seconds(9));
//! clicks.pipe("ada", "/help");
//! clicks.pipe_at(14_000, "bob", "/"); // the first window has ended, and still takes late records
//! clicks.pipe_at(8_000, "ada", "/late");
//! assert!(results.is_empty());
//! clicks.pipe_at(15_000, "bob", "/"); // now it has closed
//! assert_eq!(results.read_key_value(), Some(("ada".to_string(), 3)));
//! clicks.pipe_at(8_000, "ada", "/too-late");
//! assert_eq!(driver.dropped_records(), 1);
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! The wall clock stands still too, until `advance_wall_clock`: that is what punctuations by the wall clock wait for, and
//! results with `emit_on_window_close`, which are looked for once a second ([`TestConfig::emit_interval`] with zero: at
//! every record).
//!
//! # Nulls and tables
//!
//! A tombstone deletes a row, whether or not the topic's type has room for null. Deletions come out as `None` where the
//! output's type says so:
//!
//! ```
//! # use anabranch::prelude::*;
//! # let builder = StreamsBuilder::new();
//! builder.table("prices").to_stream().to("out");
//! # let driver = TestDriver::new(&builder.build()?)?;
//! driver.input("prices").pipe("tea", "10");
//! driver.input("prices").pipe_tombstone("tea");
//! let out = driver.output(Topic::<String, Option<String>>::new("out"));
//! let prices: Vec<_> = out.read_key_values().into_iter().map(|(_, price)| price).collect();
//! assert_eq!(prices, [Some("10".to_string()), None]);
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! Global tables and stores are ahead of the streams: a row that was piped is there for the next record.
//!
//! # Stores
//!
//! A store is looked into by the constant that it was made with, at any time:
//!
//! ```
//! # use anabranch::prelude::*;
//! # let builder = StreamsBuilder::new();
//! const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
//! builder.stream("clicks").group_by_key().count_with(COUNTS);
//! # let driver = TestDriver::new(&builder.build()?)?;
//! for user in ["ada", "bob", "ada"] {
//!     driver.input("clicks").pipe(user, "/");
//! }
//! let counts = driver.store(COUNTS)?;
//! assert_eq!(counts.get(&"ada".to_string())?, Some(2));
//! assert_eq!(counts.all()?.count(), 2);
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! What a store writes to its changelog is a topic like any other, and brings it back: [`TestDriver::changelog`] and
//! [`TestDriver::restore`] are a restart without a broker, and a running application's changelog, read by
//! [`RunningStreams::changelog`](crate::runtime::application::RunningStreams::changelog), fits as well.
//!
//! # Processors
//!
//! Punctuation by stream time comes with the records, that by the wall clock when the test says so:
//!
//! ```
//! # use anabranch::prelude::*;
//! struct Reminder;
//!
//! impl Processor for Reminder {
//!     type KeyIn = Option<String>;
//!     type ValueIn = String;
//!     type KeyOut = String;
//!     type ValueOut = i64;
//!
//!     fn process(&mut self, _: Record<Option<String>, String>, _: &mut ProcessorContext<'_, Self>) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! # let builder = StreamsBuilder::new();
//! let reminder = |ctx: &mut InitContext<'_, Reminder>| {
//!     ctx.schedule(minutes(1), WallClockTime, |_, time, ctx| {
//!         ctx.forward(Record::new("time".to_string(), time, time));
//!         Ok(())
//!     });
//!     Reminder
//! };
//! builder.stream("in").process(reminder).to("out");
//! # let driver = TestDriver::new(&builder.build()?)?;
//! let out = driver.output(Topic::<String, i64>::new("out"));
//! driver.advance_wall_clock(seconds(59));
//! assert!(out.is_empty());
//! driver.advance_wall_clock(seconds(1));
//! assert_eq!(out.read_key_value(), Some(("time".to_string(), 60_000)));
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! # What fails
//!
//! The driver has the application's default policy: a record that fails goes to `<application.id>-dead-letter`, here
//! `app-dead-letter`. With [`TestConfig::on_error`] it fails, which `pipe` turns into a panic of the test and
//! `try_pipe_record` into an error to look at; so does a panic in a closure, with its node and the record's place.
//!
//! ```
//! # use anabranch::prelude::*;
//! # let builder = StreamsBuilder::new();
//! builder.stream("in").try_map_values(|text| text.parse::<i64>()).named("parse").to("out");
//! # let topology = builder.build()?;
//! let driver = TestDriver::new(&topology)?;
//! driver.input("in").pipe(None, "seven");
//! let letter = driver.output("app-dead-letter").read().expect("a dead letter");
//! assert_eq!(letter.value, "seven");
//! let message = letter.headers.last("__streams.errors.message").flatten().map(String::from_utf8_lossy);
//! assert_eq!(message.as_deref(), Some("invalid digit found in string"));
//!
//! let strict = TestDriver::with(&topology, TestConfig::new().on_error(fail()))?;
//! let error = strict.input("in").try_pipe_record(Record::new(None, "seven".to_string(), 0)).unwrap_err();
//! assert!(error.to_string().contains("node `parse`, record in-0@0"), "{error}");
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! # Commits, caches, aborts
//!
//! An application commits less often than after each record, merges updates of a row in its caches, and sometimes fails
//! half way. A topology whose results change by that keeps state where it should not: in a closure, or in a processor's
//! fields. Three settings show it, the same input given each time:
//!
//! ```
//! # use anabranch::prelude::*;
//! # let builder = StreamsBuilder::new();
//! # const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
//! # builder.stream("clicks").group_by_key().count_with(COUNTS).to_stream().to("out");
//! # let topology = builder.build()?;
//! for config in [
//!     TestConfig::new().caching(false),  // every update is forwarded at once
//!     TestConfig::new().commit_every(7), // seven records a commit
//!     TestConfig::new().abort_every(3),  // each third epoch is undone and done again
//! ] {
//!     let driver = TestDriver::with(&topology, config)?;
//!     for _ in 0..20 {
//!         driver.input("clicks").pipe("ada", "/");
//!     }
//!     driver.commit()?;
//!     assert_eq!(driver.store(COUNTS)?.get(&"ada".to_string())?, Some(20));
//! }
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! # Bytes
//!
//! `pipe_raw` and `read_raw` show topics as they are, internal ones included; `produced_topics` names all that was written
//! to. That is how to pin down what other programs read, or to give a topology what no serde of yours would write.
//!
//! ```
//! # use anabranch::prelude::*;
//! # let builder = StreamsBuilder::new();
//! # builder.stream("in").group_by(|_, word| word.clone()).count().updates().to("out");
//! # let driver = TestDriver::new(&builder.build()?)?;
//! driver.pipe_raw("in", RawRecord { value: Some("tea".into()), ..RawRecord::default() })?;
//! let record = driver.read_raw("out").expect("a count");
//! assert_eq!(record.value.as_deref(), Some(&1i64.to_be_bytes()[..])); // Kafka's bytes
//! assert!(driver.produced_topics().iter().any(|topic| topic.ends_with("-repartition")));
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! # What it is not
//!
//! One task holds all sub-topologies, and every topic has one partition: what depends on partitions (a missing
//! repartition, a partitioner) is a matter of `RunningStreams`, which runs on a broker in the test's process just as well.
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
