//! Processors in a topology, through the test driver and through a task that is aborted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::outbox::{OutRecord, OutTopic, Outbox};
use crate::prelude::*;
use crate::processor::RawInput;
use crate::task::{Task, TaskConfig};

const ROWS: Store<KeyValue<String, i64>> = Store::named("rows");
type Text = Record<Option<String>, String>;

/// A processor whose `process` is a function.
struct Scripted<S: Send + 'static> {
    rows: StoreRef<KeyValue<String, i64>>,
    state: S,
    process: fn(&mut Self, Text, &mut ProcessorContext<'_, Self>) -> Result<()>,
}

impl<S: Send + 'static> Processor for Scripted<S> {
    type KeyIn = Option<String>;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(&mut self, record: Text, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
        (self.process)(self, record, ctx)
    }
}

fn topology<S: Send + 'static>(
    maker: impl Fn(&mut InitContext<'_, Scripted<S>>) -> Scripted<S> + Send + Sync + 'static,
) -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream("in").process(maker).to("out");
    builder.build().unwrap()
}

fn out(driver: &TestDriver) -> Vec<(String, i64, i64)> {
    let out = driver.output(Topic::<String, i64>::new("out")).read_all();
    out.into_iter().map(|record| (record.key, record.value, record.timestamp)).collect()
}

fn rows(rows: &[(&str, i64, i64)]) -> Vec<(String, i64, i64)> {
    rows.iter().map(|&(key, value, time)| (key.to_string(), value, time)).collect()
}

#[test]
fn an_iterator_is_a_snapshot() {
    let topology = topology(|ctx: &mut InitContext<'_, Scripted<()>>| Scripted {
        rows: ctx.store(ROWS),
        state: (),
        process: |this, record, ctx| {
            ctx.store(this.rows).put(&record.value, &record.timestamp)?;
            for (key, time) in ctx.store(this.rows).all()? {
                // Neither what is deleted nor what is added is seen by the loop.
                ctx.store(this.rows).delete(&key)?;
                ctx.store(this.rows).put(&format!("{key}+"), &time)?;
                ctx.forward(Record::new(key, time, record.timestamp));
            }
            Ok(())
        },
    });
    let driver = TestDriver::new(&topology).unwrap();
    driver.input("in").pipe_at(1, None, "a");
    driver.input("in").pipe_at(2, None, "b");
    assert_eq!(out(&driver), rows(&[("a", 1, 1), ("a+", 1, 2), ("b", 2, 2)]));
    let kept: Vec<_> = driver.store(ROWS).unwrap().all().unwrap().map(|(key, _)| key).collect();
    assert_eq!(kept, ["a++", "b+"]);
}

#[test]
fn punctuations_by_both_clocks_until_they_are_cancelled() {
    let topology = topology(|ctx: &mut InitContext<'_, Scripted<Cancellable>>| {
        let by_stream = ctx.schedule(millis(10), StreamTime, |_, time, ctx| {
            assert_eq!(ctx.record_metadata(), None);
            let stream_time = ctx.stream_time();
            ctx.forward(Record::new("stream".to_string(), stream_time, time));
            Ok(())
        });
        ctx.schedule(seconds(1), WallClockTime, |this, time, ctx| {
            if time >= 3_000 {
                ctx.cancel(this.state);
            }
            let wall_clock_time = ctx.wall_clock_time();
            ctx.forward(Record::new("wall".to_string(), wall_clock_time, time));
            Ok(())
        });
        Scripted {
            rows: ctx.store(ROWS),
            state: by_stream,
            process: |_, _, ctx| {
                assert_eq!(&*ctx.record_metadata().unwrap().topic, "in");
                Ok(())
            },
        }
    });
    let driver = TestDriver::new(&topology).unwrap();
    for time in [3, 9, 34, 31] {
        driver.input("in").pipe_at(time, None, "x");
    }
    assert_eq!(out(&driver), rows(&[("stream", 3, 3), ("stream", 34, 34)]));
    driver.advance_wall_clock(millis(999));
    assert_eq!(out(&driver), []);
    driver.advance_wall_clock(millis(1));
    driver.advance_wall_clock(millis(2_000));
    driver.input("in").pipe_at(70, None, "x");
    assert_eq!(out(&driver), rows(&[("wall", 1_000, 1_000), ("wall", 3_000, 3_000)]));
}

#[test]
fn what_a_punctuation_writes_has_its_time_and_no_record() {
    let topology = topology(|ctx: &mut InitContext<'_, Scripted<()>>| {
        ctx.schedule(millis(10), StreamTime, |this, time, ctx| {
            ctx.store(this.rows).put(&"t".to_string(), &time)
        });
        Scripted { rows: ctx.store(ROWS), state: (), process: |_, _, _| Ok(()) }
    });
    let driver = TestDriver::new(&topology).unwrap();
    driver.input("in").pipe_at(12, None, "x");
    let logged = driver.changelog(ROWS).unwrap();
    assert_eq!(logged.len(), 1);
    assert_eq!(logged[0].timestamp, Some(12));
    assert!(logged[0].headers.is_empty());
}

#[test]
fn a_panic_is_told_with_the_node_and_the_record() {
    let builder = StreamsBuilder::new();
    let lengths = builder.stream("in").map_values(|word| word.len());
    lengths.for_each(|_, length| assert!(*length < 3, "too long: {length}")).named("check");
    let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
    driver.input("in").pipe(None, "ab");
    let word = Record::new(None, "abc".to_string(), 0);
    let error = driver.input("in").try_pipe_record(word).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert_eq!(error.to_string(), "node `check` panicked at record in-0@1: too long: 3");
}

#[test]
fn a_failing_processor_asks_the_policy_once() {
    let topology = topology(|ctx: &mut InitContext<'_, Scripted<()>>| Scripted {
        rows: ctx.store(ROWS),
        state: (),
        process: |_, record, ctx| {
            let number = record.value.parse::<i64>().map_err(Error::record)?;
            ctx.forward(Record::new(record.value, number, number));
            Ok(())
        },
    });
    let driver = TestDriver::with(&topology, TestConfig::new().on_error(skip())).unwrap();
    for word in ["7", "x", "-1", "8"] {
        driver.input("in").pipe(None, word);
    }
    // Neither what cannot be read nor a record of a negative time is forwarded.
    assert_eq!(out(&driver), rows(&[("7", 7, 7), ("8", 8, 8)]));
    assert_eq!(driver.dropped_records(), 2);
}

static STARTS: AtomicUsize = AtomicUsize::new(0);
static CLOSES: AtomicUsize = AtomicUsize::new(0);

/// Numbers its records; forgets with its task.
struct Life {
    rows: StoreRef<KeyValue<String, i64>>,
    seen: i64,
}

impl Processor for Life {
    type KeyIn = Option<String>;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = i64;

    fn start(&mut self, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
        STARTS.fetch_add(1, Ordering::Relaxed);
        self.seen = ctx.store(self.rows).get(&"seen".to_string())?.unwrap_or(0);
        Ok(())
    }

    fn process(&mut self, record: Text, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
        self.seen += 1;
        ctx.store(self.rows).put(&"seen".to_string(), &self.seen)?;
        ctx.forward(Record::new(record.value, self.seen, record.timestamp));
        Ok(())
    }

    fn close(&mut self) {
        CLOSES.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a task writes, as topic, value and time.
#[derive(Default)]
struct Written(Vec<(String, i64, i64)>);

impl Outbox for Written {
    fn partition_count(&mut self, _: &OutTopic) -> Result<i32> {
        Ok(1)
    }

    fn append(&mut self, topic: &OutTopic, _: Option<i32>, record: OutRecord<'_>) -> Result<()> {
        let value = record.value.and_then(|value| value.try_into().ok()).map_or(-1, i64::from_be_bytes);
        self.0.push((topic.name.to_string(), value, record.timestamp.unwrap_or(-1)));
        Ok(())
    }
}

#[test]
fn an_abort_makes_processors_anew_and_takes_punctuations_back() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let builder = StreamsBuilder::new();
    builder
        .stream("in")
        .process(|ctx: &mut InitContext<'_, Life>| {
            MADE.fetch_add(1, Ordering::Relaxed);
            ctx.schedule(millis(10), StreamTime, |this, time, ctx| {
                ctx.forward(Record::new("punctuation".to_string(), -this.seen, time));
                Ok(())
            });
            Life { rows: ctx.store(ROWS), seen: -100 }
        })
        .to("out");
    let topology = builder.build().unwrap();
    assert_eq!(MADE.load(Ordering::Relaxed), 1, "building asks the maker once");

    let id = TaskId { subtopology: 0, partition: 0 };
    let nodes = (0..topology.nodes.len()).collect();
    let mut task = Task::new(Arc::new(topology), nodes, id, TaskConfig::of_test()).unwrap();
    let enqueue = |task: &mut Task, offset: i64, timestamp: i64| {
        task.enqueue(0, RawInput { offset, timestamp, key: None, value: Some(b"x"), headers: &[] });
    };
    let run = |task: &mut Task| {
        let mut written = Written::default();
        while task.process(0, &mut written).unwrap() {}
        written.0.retain(|(topic, ..)| topic == "out");
        written.0.into_iter().map(|(_, value, time)| (value, time)).collect::<Vec<_>>()
    };
    enqueue(&mut task, 0, 5);
    assert_eq!(run(&mut task), [(1, 5), (-1, 5)]);
    let sealed = task.seal(&mut Written::default()).unwrap();
    task.commit(sealed.epoch).unwrap();
    for _ in 0..2 {
        enqueue(&mut task, 1, 12);
        enqueue(&mut task, 2, 13);
        assert_eq!(run(&mut task), [(2, 12), (-2, 12), (3, 13)]);
        task.abort().unwrap();
    }
    enqueue(&mut task, 1, 12);
    assert_eq!(run(&mut task), [(2, 12), (-2, 12)]);
    drop(task);
    assert_eq!(
        MADE.load(Ordering::Relaxed),
        4,
        "once for the topology, once for the task, once for each abort"
    );
    assert_eq!(STARTS.load(Ordering::Relaxed), 3);
    assert_eq!(CLOSES.load(Ordering::Relaxed), 3);
}

#[test]
fn a_processor_may_ask_for_a_commit_and_share_a_store() {
    struct Asks(StoreRef<KeyValue<String, i64>>);
    impl FixedKeyProcessor for Asks {
        type Key = Option<String>;
        type ValueIn = String;
        type ValueOut = i64;

        fn process(
            &mut self,
            record: FixedKeyRecord<Option<String>, String>,
            ctx: &mut FixedKeyContext<'_, Self>,
        ) -> Result<()> {
            ctx.request_commit();
            let before = ctx.store(self.0).put_if_absent(&record.value, &record.timestamp)?;
            ctx.forward(record.with_value(before.unwrap_or(-1)));
            Ok(())
        }
    }
    let builder = StreamsBuilder::new();
    let input = builder.stream("in");
    for name in ["first", "second"] {
        input
            .process_values(|ctx: &mut FixedKeyInitContext<'_, _>| Asks(ctx.store(ROWS)))
            .named(name)
            .to("out");
    }
    let topology = builder.build().unwrap();
    assert!(topology.describe().contains("Processor: second (stores: [rows])"));
    let driver = TestDriver::new(&topology).unwrap();
    driver.input("in").pipe_at(5, None, "x");
    let values = driver.output(Topic::<Option<String>, i64>::new("out")).read_key_values();
    assert_eq!(values, [(None, -1), (None, 5)]);
}
