//! Memory has limits: what is not committed has one of its own, and what waits to be processed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use anabranch::prelude::*;

use super::App;

const GATHERED: Store<KeyValue<String, String>> = Store::named("gathered");
const AT_ONCE: Store<KeyValue<String, String>> = Store::named("at-once").in_memory().caching(false);

#[tokio::test]
async fn what_is_uncommitted_is_bounded() -> Result<()> {
    const KEYS: i64 = 300;
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        for (store, suppressed) in [(GATHERED, false), (AT_ONCE, false), (AT_ONCE, true)] {
            let what = format!("{store:?} {suppressed} {guarantee:?}");
            let app = App::new("uncommitted");
            let values: Topic<String, String> = Topic::named(format!("{}-values", app.id()));
            let builder = StreamsBuilder::new();
            let last =
                builder.stream(values.clone()).group_by_key().reduce_with(|_, value| value, store.clone());
            if suppressed {
                last.suppress(until_time_limit(hours(1), max_records(10_000)));
            }
            let streams = app.streams(builder.build()?).create_topics(1).guarantee(guarantee);
            let streams = streams
                .config("commit.interval.ms", 600_000)
                .config("producer.transaction.timeout.ms", 900_000);
            let running = streams.config("statestore.uncommitted.max.bytes", 32_768).start().await?;
            let producer = running.producer(values.clone())?;
            let write_all = async |value: &str| {
                for number in 0..KEYS {
                    producer.send(format!("k{number}"), value.repeat(1000)).await?;
                }
                producer.flush().await
            };
            write_all("a").await?;
            running.drain().await?;
            // From now on nobody asks for a commit, and what an abort would bring back is held.
            write_all("b").await?;
            // What is not committed in the end is within the limit, by the looks that are taken at it.
            let (host, mut committed) = (running.client().host().clone(), 0);
            let waited = host.timeout(seconds(60), async {
                while committed < 2 * KEYS - 32 - 2 * 64 {
                    let reader = running.store(store.clone())?;
                    reader.get(&"k0".to_string()).await?;
                    committed = reader.position().offset(values.name(), 0).map_or(0, |offset| offset + 1);
                    host.sleep(millis(5)).await;
                }
                Ok::<(), Error>(())
            });
            waited.await.unwrap_or_else(|_| panic!("{what}: {committed} are committed"))?;
            running.close().await?;
        }
    }
    Ok(())
}

/// The bytes that wait for its worker.
fn waiting(running: &RunningStreams) -> usize {
    let text = running.metrics();
    let sample = text.lines().find(|line| line.starts_with("kafka_streams_thread_input_buffer_bytes{"));
    sample.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// While nothing is processed the instance goes on polling, as it must, but not without an end. `busy`: its worker is in the
/// code of its user, and looks at nothing; else the application is paused. At most so many bytes wait, and what each of two
/// partitions brings at once.
async fn check_what_waits(busy: bool) -> Result<()> {
    const LIMIT: usize = 200_000;
    const FETCH: usize = 50_000;
    const RECORDS: usize = 400;
    const RECORD: usize = 10_000;
    let app = App::new("waits");
    let values: Topic<String, String> = Topic::named(format!("{}-values", app.id()));
    let builder = StreamsBuilder::new();
    // Whoever waits at the gate goes on when its other side is gone.
    let (closed, gate) = mpsc::channel::<()>();
    let (gate, seen) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
    let counts = Arc::clone(&seen);
    builder.stream(values.clone()).for_each(move |_, _| {
        counts.fetch_add(1, Ordering::Relaxed);
        let _ = gate.lock().map(|gate| gate.recv());
    });
    let streams = app.streams(builder.build()?).create_topics(2).config("input.buffer.max.bytes", LIMIT);
    let running = streams.config("consumer.max.partition.fetch.bytes", FETCH).start().await?;
    if !busy {
        running.pause();
    }
    let producer = running.producer(values)?;
    for number in 0..RECORDS {
        producer.send(format!("k{number}"), "v".repeat(RECORD)).await?;
    }
    producer.flush().await?;
    let host = running.client().host().clone();
    let filled = host.timeout(seconds(60), async {
        while waiting(&running) < LIMIT {
            host.sleep(millis(5)).await;
        }
    });
    filled.await.unwrap_or_else(|_| panic!("{busy}: only {} bytes wait", waiting(&running)));
    // Time enough for what must not come.
    host.sleep(millis(500)).await;
    // A poll brings what was fetched meanwhile, of each partition.
    let most = LIMIT + 2 * 3 * FETCH;
    assert!(waiting(&running) <= most, "{busy}: {} bytes wait, at most {most} may", waiting(&running));
    assert_eq!(seen.load(Ordering::Relaxed), usize::from(busy), "the others wait behind the first");
    drop(closed);
    running.resume();
    running.drain().await?;
    assert_eq!(seen.load(Ordering::Relaxed), RECORDS);
    assert_eq!(waiting(&running), 0);
    running.close().await
}

#[tokio::test]
async fn what_waits_for_a_busy_worker_is_bounded() -> Result<()> {
    check_what_waits(true).await
}

#[tokio::test]
async fn what_waits_in_a_paused_application_is_bounded() -> Result<()> {
    check_what_waits(false).await
}

/// As many records of a partition are fetched as it says, whatever is on its way when the worker says that it is enough.
#[tokio::test]
async fn so_many_records_of_a_partition_wait() -> Result<()> {
    const LIMIT: usize = 10;
    const RECORD: usize = 10_000;
    let app = App::new("waits-by-records");
    let values: Topic<String, String> = Topic::named(format!("{}-values", app.id()));
    let builder = StreamsBuilder::new();
    builder.stream(values.clone()).for_each(|_, _| {});
    let streams = app.streams(builder.build()?).create_topics(1);
    let running = streams.config("buffered.records.per.partition", LIMIT).start().await?;
    running.pause();
    let host = running.client().host().clone();
    let producer = running.producer(values)?;
    // One after the other, until one more does not come.
    let mut sent = 0;
    loop {
        assert!(sent < 3 * LIMIT, "{sent} records were sent, and {} bytes wait", waiting(&running));
        producer.send("key".to_string(), "v".repeat(RECORD)).await?;
        producer.flush().await?;
        sent += 1;
        let comes = host.timeout(seconds(2), async {
            while waiting(&running) < sent * RECORD {
                host.sleep(millis(2)).await;
            }
        });
        if comes.await.is_err() {
            break;
        }
    }
    assert!(sent > LIMIT, "only {sent} records come");
    running.resume();
    running.drain().await?;
    assert_eq!(waiting(&running), 0);
    running.close().await
}
