//! Under exactly-once a disturbed run gives the result of an undisturbed one.

use std::collections::BTreeMap;

use anabranch::prelude::*;
use anabranch_client::{Consumer, ConsumerConfig, IsolationLevel, TopicPartition};

use super::outside::Outside;
use super::{App, COUNTS, counted};

/// Word count, exactly once.
fn streams(outside: &Outside, app: &App) -> Streams {
    streams_of(outside, app, app.word_count())
}

/// What a crashed instance leaves behind is dealt with soon.
fn streams_of(outside: &Outside, app: &App, topology: Topology) -> Streams {
    let streams = app
        .streams(topology)
        .guarantee(ExactlyOnce)
        .config("commit.interval.ms", 20)
        .config("producer.transaction.timeout.ms", 2000)
        .config("consumer.session.timeout.ms", 6000)
        .config("consumer.heartbeat.interval.ms", 500);
    outside.run(streams)
}

/// The newest committed count of each word in the output; and whether each was one more than the one before.
async fn committed_output(running: &RunningStreams, app: &App) -> Result<BTreeMap<String, i64>> {
    let config =
        ConsumerConfig { isolation_level: IsolationLevel::ReadCommitted, ..ConsumerConfig::default() };
    let failed = |error: anabranch_client::ClientError| Error::fatal("reading the output").with_source(error);
    let mut consumer = Consumer::new(running.client(), config).map_err(failed)?;
    let topic = app.counts();
    let partitions: Vec<_> = (0..3).map(|partition| TopicPartition::new(topic.name(), partition)).collect();
    consumer.assign(&partitions).map_err(failed)?;
    for partition in &partitions {
        consumer.seek_to_beginning(partition).map_err(failed)?;
    }
    let mut newest = BTreeMap::new();
    let store = counted(running).await?;
    while newest != store {
        for record in consumer.poll(millis(1000)).await.map_err(failed)?.records {
            let (Some(key), Some(value)) = (record.key, record.value) else {
                panic!("a row without key or value")
            };
            let word = String::from_utf8(key.to_vec()).expect("a word");
            let count = i64::from_be_bytes(value[..].try_into().expect("a count"));
            let before = newest.insert(word.clone(), count);
            assert!(before.is_none_or(|before| before < count), "{word}: {count} after {before:?}");
        }
    }
    Ok(newest)
}

#[tokio::test]
async fn crashes_and_restarts_leave_no_trace() -> Result<()> {
    let (outside, app) = (Outside::start().await, App::new("exact"));
    let directory = tempfile::tempdir().expect("a directory");
    for round in 1..=4 {
        // Where the state is kept, the instance that comes back is the one that crashed.
        let running = streams(&outside, &app).state_dir(directory.path()).start().await?;
        let lines = running.producer(app.lines())?;
        for n in 0..200 {
            lines.send(None, format!("again w{} again", n % 10)).await?;
        }
        lines.flush().await?;
        if round < 4 {
            running.crash().await;
            continue;
        }
        running.drain().await?;
        let counts = counted(&running).await?;
        assert_eq!(counts["again"], 1600);
        assert!((0..10).all(|n| counts[&format!("w{n}")] == 80), "{counts:?}");
        assert_eq!(committed_output(&running, &app).await?, counts);
        // What was undone is not in the changelog either: each count is higher than the one before.
        let mut logged = BTreeMap::new();
        for record in running.changelog(COUNTS).await? {
            let word = String::from_utf8(record.key.expect("a key").to_vec()).expect("a word");
            let count = i64::from_be_bytes(record.value.expect("a value")[..].try_into().expect("a count"));
            let before = logged.insert(word.clone(), count);
            assert!(before.is_none_or(|before| before < count), "{word}: {count} after {before:?}");
        }
        assert_eq!(logged, counts);
        running.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_crashed_instance_leaves_its_tasks_to_another() -> Result<()> {
    let (outside, app) = (Outside::start().await, App::new("shared"));
    let first = streams(&outside, &app).start().await?;
    let lines = first.producer(app.lines())?;
    let send = async |from: i64, to: i64| -> Result<()> {
        for n in from..to {
            lines.send(None, format!("w{}", n % 20)).await?;
        }
        lines.flush().await
    };
    send(0, 400).await?;
    let second = streams(&outside, &app).start().await?;
    send(400, 800).await?;
    // It may have processed some and committed less.
    second.crash().await;
    send(800, 1200).await?;
    first.drain().await?;
    let counts = counted(&first).await?;
    assert!(counts.values().all(|count| *count == 60), "{counts:?}");
    assert_eq!(counts.len(), 20);
    first.close().await
}

#[tokio::test]
async fn a_closure_that_fails_undoes_its_transaction() -> Result<()> {
    let (outside, app) = (Outside::start().await, App::new("undone"));
    let builder = StreamsBuilder::new();
    builder
        .stream(app.lines())
        .map_values(|line| if line == "poison" { panic!("poisoned") } else { line })
        .group_by(|_, line| line.clone())
        .count_with(COUNTS)
        .updates()
        .to(app.counts());
    let start = |topology: Topology| {
        let streams = streams_of(&outside, &app, topology).config("commit.interval.ms", 600_000);
        streams.config("producer.transaction.timeout.ms", 900_000)
    };
    let running = start(builder.build()?).start().await?;
    let lines = running.producer(app.lines())?;
    for line in ["a", "a", "b", "poison"] {
        lines.send(None, line.to_string()).await?;
    }
    lines.flush().await?;
    let failed = running.drain().await.expect_err("it has failed");
    assert!(failed.to_string().contains("poisoned"), "{failed}");
    assert!(running.close().await.is_err());

    let running = start(app.word_count()).config("commit.interval.ms", 20).start().await?;
    running.drain().await?;
    let counts = counted(&running).await?;
    assert_eq!(counts, super::expected(&[("a", 2), ("b", 1), ("poison", 1)]));
    running.close().await
}
