//! Positions: an answer says what it reflects, and is given only if that is enough; what is shown while records are
//! processed is as of one commit.

use std::sync::atomic::{AtomicBool, Ordering};

use anabranch::prelude::*;

use super::outside::Outside;
use super::{App, keep, on_kafka};

const LATEST: Store<KeyValue<String, i64>> = Store::named("latest");
const NAMES: Store<KeyValue<String, i64>> = Store::named("names");

fn values(app: &App) -> Topic<String, i64> {
    Topic::named(format!("{}-values", app.id()))
}

fn names(app: &App) -> Topic<String, i64> {
    Topic::named(format!("{}-names", app.id()))
}

/// The sum of the values of each key, and names that are global.
fn topology(app: &App) -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream(values(app)).group_by_key().reduce_with(|sum, value| sum + value, LATEST);
    builder.global_table_with(names(app), NAMES);
    builder.build().expect("a valid topology")
}

fn kind_of<T: std::fmt::Debug>(answer: Result<T>) -> ErrorKind {
    answer.expect_err("no answer").kind()
}

#[tokio::test]
async fn one_reads_ones_own_writes() -> Result<()> {
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let directory = tempfile::tempdir().expect("a directory");
        let app = App::new("own-writes");
        let start = async || {
            let streams = app.streams(topology(&app)).guarantee(guarantee);
            // Only who asks for more than is committed brings about a commit.
            let streams = streams.config("commit.interval.ms", 600_000);
            let streams = streams.config("producer.transaction.timeout.ms", 900_000);
            keep(streams, directory.path()).start().await
        };
        let running = start().await?;
        let producer = running.producer(values(&app))?;
        let (ada, mut all) = ("ada".to_string(), Position::new());
        for round in 1..=5 {
            for key in ["ada", "bob", "eve", "joe"] {
                let written = producer.write(key.to_string(), 1).await?;
                all.merge(&written);
                let sums = running.store(LATEST)?.at_least(&written).wait_up_to(seconds(30));
                assert_eq!(sums.get(&key.to_string()).await?, Some(round), "{key} {guarantee:?}");
                assert!(sums.position().reaches(&written), "{} {written}", sums.position());
            }
        }
        // Of all partitions at once, and no more than that.
        let sums = running.store(LATEST)?.at_least(&all).wait_up_to(seconds(30));
        assert_eq!(sums.all().await?.iter().map(|(_, sum)| *sum).collect::<Vec<_>>(), [5; 4]);
        assert!(sums.position().reaches(&all), "{}", sums.position());

        // While it rests nothing more is reflected, and that is said.
        running.pause();
        let more = producer.write(ada.clone(), 1).await?;
        let sums = running.store(LATEST)?.at_least(&more);
        assert_eq!(kind_of(sums.get(&ada).await), ErrorKind::NotUpToBound);
        assert_eq!(kind_of(sums.wait_up_to(millis(50)).all().await), ErrorKind::NotUpToBound);
        let sums = running.store(LATEST)?;
        assert_eq!(sums.get(&ada).await?, Some(5));
        assert!(!sums.position().reaches(&more) && sums.position().offset(values(&app).name(), 9).is_none());
        running.resume();
        let sums = running.store(LATEST)?.at_least(&more).wait_up_to(seconds(30));
        assert_eq!(sums.get(&ada).await?, Some(6));

        // What nobody reads for this store is no bound for it.
        let strange = Position::of(names(&app).name(), 0, 0).and(names(&app).name(), 1, 0);
        let strange = strange.and(names(&app).name(), 2, 0);
        assert_eq!(kind_of(running.store(LATEST)?.at_least(&strange).all().await), ErrorKind::Invalid);
        drop(producer);
        running.close().await?;

        // It is known after a restart without a new record, and after a crash.
        all.merge(&more);
        for crashes in [true, false] {
            let running = start().await?;
            let sums = running.store(LATEST)?.at_least(&all);
            assert_eq!(sums.get(&ada).await?, Some(6));
            sums.all().await?;
            assert!(sums.position().reaches(&all), "{}", sums.position());
            if crashes && !on_kafka() {
                running.crash().await;
            } else {
                running.close().await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn rows_that_all_share_have_a_position() -> Result<()> {
    let app = App::new("global-position");
    let running = app.streams(topology(&app)).start().await?;
    let producer = running.producer(names(&app))?;
    for n in 1..20 {
        let (key, written) = (format!("n{}", n % 3), producer.write(format!("n{}", n % 3), n).await?);
        let rows = running.store(NAMES)?.at_least(&written).wait_up_to(seconds(30));
        assert_eq!(rows.get(&key).await?, Some(n));
        assert!(rows.position().reaches(&written));
        assert!(rows.all().await?.contains(&(key, n)));
    }
    let (topic, partition, offset) = (names(&app).name().to_string(), 0, 1_000_000);
    let rows = running.store(NAMES)?.at_least(&Position::of(topic, partition, offset));
    assert_eq!(kind_of(rows.all().await), ErrorKind::NotUpToBound);
    let strange = running.store(NAMES)?.at_least(&Position::of(values(&app).name(), 0, 0));
    assert_eq!(kind_of(strange.all().await), ErrorKind::Invalid);
    running.close().await
}

#[tokio::test]
async fn what_is_undone_is_in_no_position() -> Result<()> {
    let app = App::new("undone-position");
    let (builder, first) = (StreamsBuilder::new(), AtomicBool::new(true));
    let stream = builder.stream(values(&app)).peek(move |_, value| {
        assert!(*value != 1000 || !first.swap(false, Ordering::Relaxed), "poisoned once");
    });
    stream.group_by_key().reduce_with(|sum, value| sum + value, LATEST);
    let streams = app.streams(builder.build()?).guarantee(ExactlyOnce).on_processing_error(fail());
    let streams = streams.config("producer.transaction.timeout.ms", 900_000);
    let streams = streams.config("commit.interval.ms", 600_000).on_uncaught_error(|_| ReplaceThread);
    let running = streams.start().await?;
    let (producer, ada) = (running.producer(values(&app))?, "ada".to_string());
    let before = producer.write(ada.clone(), 1).await?;
    let sums = running.store(LATEST)?.at_least(&before).wait_up_to(seconds(30));
    assert_eq!(sums.get(&ada).await?, Some(1));
    // Processed together with the poison, undone with it, and processed again.
    producer.send(ada.clone(), 10).await?;
    let after = producer.write(ada.clone(), 1000).await?;
    let host = running.client().host().clone();
    loop {
        let sums = running.store(LATEST)?.at_least(&before);
        match sums.get(&ada).await {
            Ok(Some(1)) => assert!(!sums.position().reaches(&after), "{}", sums.position()),
            Ok(sum) => {
                assert_eq!(sum, Some(1011), "an answer is as of a commit");
                assert!(sums.position().reaches(&after), "{}", sums.position());
                break;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Migrated, "{error}"),
        }
        // It is what brings about the commit.
        let _ = running.store(LATEST)?.at_least(&after).get(&ada).await;
        host.sleep(millis(5)).await;
    }
    running.close().await
}

#[tokio::test]
async fn a_copy_has_a_position() -> Result<()> {
    let outside = Outside::start().await;
    for (guarantee, is_source) in [(AtLeastOnce, false), (ExactlyOnce, false), (ExactlyOnce, true)] {
        let app = App::new("copied");
        let start = async || {
            let builder = StreamsBuilder::new();
            let topology = match is_source {
                // The source topic is the changelog.
                true => {
                    builder.table_with(values(&app), LATEST);
                    builder.build_with(Optimization::ALL)?
                }
                false => topology(&app),
            };
            let streams = outside.run(app.streams(topology).guarantee(guarantee));
            let streams = streams.config("num.standby.replicas", 1).config("commit.interval.ms", 20);
            streams.config("acceptable.recovery.lag", 0).start().await
        };
        let (first, second) = (start().await?, start().await?);
        let (producer, keys) = (first.producer(values(&app))?, ["ada", "bob", "eve", "joe", "kim", "lee"]);
        let mut all = Position::new();
        for round in 1..=10 {
            for key in keys {
                all.merge(&producer.write(key.to_string(), if is_source { round } else { 1 }).await?);
            }
            // Whichever instance runs the task: it or the copy answers, and no copy is older than the bound.
            for running in [&first, &second] {
                let sums = running.store(LATEST)?.with_stale().at_least(&all).wait_up_to(seconds(30));
                loop {
                    match sums.all().await {
                        Ok(rows) if rows.len() == keys.len() => {
                            assert!(rows.iter().all(|(_, sum)| *sum == round), "{round} {rows:?}");
                            break;
                        }
                        // Tasks are still on their way between the instances.
                        Ok(_) => outside.host.sleep(millis(5)).await,
                        Err(error) => return Err(error),
                    }
                }
                assert!(sums.position().reaches(&all), "{} {all}", sums.position());
            }
        }
        let is_standby = |running: &RunningStreams| running.tasks().iter().any(|task| task.is_standby);
        assert!(is_standby(&first) || is_standby(&second), "a copy has answered");
        first.close().await?;
        second.close().await?;
    }
    Ok(())
}
