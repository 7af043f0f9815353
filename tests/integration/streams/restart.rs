//! A second run goes on where the first ended.

use std::collections::BTreeMap;

use anabranch::prelude::*;

use super::{App, COUNTS, count, counted, expected, keep, on_kafka};

/// Runs twice; the second run finds what the first counted, and counts on.
async fn check(app: &App, prepare: impl Fn(Streams) -> Streams) -> Result<()> {
    let running = prepare(app.streams(app.word_count())).start().await?;
    count(&running, app.lines(), &["to be or not to be"]).await?;
    running.close().await?;
    let running = prepare(app.streams(app.word_count())).start().await?;
    assert_eq!(counted(&running).await?, expected(&[("be", 2), ("not", 1), ("or", 1), ("to", 2)]));
    count(&running, app.lines(), &["to see"]).await?;
    assert_eq!(
        counted(&running).await?,
        expected(&[("be", 2), ("not", 1), ("or", 1), ("see", 1), ("to", 3)])
    );
    running.close().await
}

#[tokio::test]
async fn broker_and_state_in_a_directory() -> Result<()> {
    if on_kafka() {
        return Ok(());
    }
    let directory = tempfile::tempdir().expect("a directory");
    check(&App::new("directory"), |streams| streams.data_dir(directory.path())).await
}

#[tokio::test]
async fn state_in_a_directory_of_its_own() -> Result<()> {
    if !on_kafka() {
        // Without a broker that outlives the application there is nothing to come back to.
        return Ok(());
    }
    let directory = tempfile::tempdir().expect("a directory");
    check(&App::new("state"), |streams| streams.state_dir(directory.path())).await
}

#[tokio::test]
async fn state_from_the_changelog_alone() -> Result<()> {
    if !on_kafka() {
        return Ok(());
    }
    check(&App::new("changelog"), |streams| streams).await
}

#[tokio::test]
async fn a_store_is_what_its_changelog_says() -> Result<()> {
    let app = App::new("rebuilt");
    let topology = app.word_count();
    let running = app.streams(topology.clone()).start().await?;
    count(&running, app.lines(), &["to be or not to be", "to see", "a b c d e f"]).await?;
    let counts = counted(&running).await?;
    let changelog = running.changelog(COUNTS).await?;
    running.close().await?;

    let driver = TestDriver::with(&topology, TestConfig::new().application_id(app.id()))?;
    driver.restore(COUNTS, changelog)?;
    // Each word once more: one more than the application had counted.
    let lines = driver.input(app.lines());
    counts.keys().for_each(|word| lines.pipe(None, word.as_str()));
    let more: BTreeMap<String, i64> = driver.output(app.counts()).read_key_values().into_iter().collect();
    assert_eq!(more, counts.into_iter().map(|(word, count)| (word, count + 1)).collect());
    Ok(())
}

#[tokio::test]
async fn state_may_be_larger_than_its_memory() -> Result<()> {
    let app = App::new("large");
    let directory = tempfile::tempdir().expect("a directory");
    let streams = || {
        let streams = app.streams(app.word_count()).config("statestore.memory.max.bytes", 20_000);
        keep(streams.config("commit.interval.ms", 20), directory.path())
    };
    let lines: Vec<String> = (0..20)
        .map(|line| (0..100).map(|word| format!("word-{}", line * 100 + word)).collect::<Vec<_>>().join(" "))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for round in 1..=3 {
        let running = streams().start().await?;
        count(&running, app.lines(), &lines).await?;
        let counts = counted(&running).await?;
        assert_eq!((counts.len(), counts.values().all(|count| *count == round)), (2_000, true), "{round}");
        running.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_crashed_application_loses_no_word() -> Result<()> {
    if on_kafka() {
        // Without a broker that crashes with it, the old member keeps its place in the group until its session ends.
        return Ok(());
    }
    let app = App::new("crashed");
    let directory = tempfile::tempdir().expect("a directory");
    let streams =
        || app.streams(app.word_count()).data_dir(directory.path()).config("commit.interval.ms", 20);
    for round in 1..=3 {
        let running = streams().start().await?;
        let lines = running.producer(app.lines())?;
        for _ in 0..50 {
            lines.send(None, "again and again".to_string()).await?;
        }
        lines.flush().await?;
        if round < 3 {
            // In the middle of it, as a crash would; at least once: some words may be counted twice.
            running.crash().await;
            continue;
        }
        running.drain().await?;
        let counts = counted(&running).await?;
        assert!(counts["and"] >= 150 && counts["again"] >= 300, "{counts:?}");
        running.close().await?;
    }
    Ok(())
}
