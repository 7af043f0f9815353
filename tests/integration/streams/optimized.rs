//! A table whose source topic serves as its changelog comes back over that topic.

use std::path::Path;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{ErrorCode, NewTopic, ProducerRecord};

use super::place::Place;

const PAGES: Store<KeyValue<String, String>> = Store::named("pages");

type Rows = Topic<String, Option<String>>;

fn rows(place: &Place, name: &str) -> Rows {
    Topic::named(format!("{}-{name}", place.app.id()))
}

async fn write(running: &RunningStreams, topic: &Rows, pairs: &[(&str, Option<&str>)]) -> Result<()> {
    let producer = running.producer(topic.clone())?;
    for (key, value) in pairs {
        producer.send((*key).to_string(), value.map(str::to_string)).await?;
    }
    producer.flush().await
}

async fn stored(running: &RunningStreams) -> Result<String> {
    let mut all = running.store(PAGES)?.all().await?;
    all.sort();
    Ok(all.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" "))
}

/// Runs three times, each with its state in the directory, if there is one.
async fn check(test: &str, guarantee: Guarantee, directory: Option<&Path>) -> Result<()> {
    let place = Place::start(test).await;
    let (pages, out) = (rows(&place, "pages"), rows(&place, "out"));
    let builder = StreamsBuilder::new();
    builder.table_with(pages.clone(), PAGES).to_stream().to(out.clone());
    let topology = builder.build_with(Optimization::ALL)?;
    let start = async || {
        // Without a cache every update is written on.
        let streams = place.streams(topology.clone(), guarantee).config("statestore.cache.max.bytes", 0);
        match directory {
            Some(directory) => streams.state_dir(directory).start().await,
            None => streams.start().await,
        }
    };

    let running = start().await?;
    write(&running, &pages, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]).await?;
    write(&running, &pages, &[("a", Some("2")), ("b", None)]).await?;
    running.drain().await?;
    assert_eq!(stored(&running).await?, "a=2 c=1");
    let changelog = format!("{}-pages-changelog", place.app.id());
    let described = place.client.admin().describe_topics(&[&changelog]).await.expect("an answer");
    let error = described.into_values().next().expect("it is asked for").expect_err("there is no changelog");
    assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    running.close().await?;

    // Nothing new: all of it is back before the first record.
    let running = start().await?;
    assert_eq!(stored(&running).await?, "a=2 c=1");
    running.close().await?;

    // What comes while nobody runs is restored by nobody: it is processed, and written on.
    place.write_record(ProducerRecord::new(pages.name()).key("c")).await;
    place.write_record(ProducerRecord::new(pages.name()).key("d").value("1")).await;
    let running = start().await?;
    write(&running, &pages, &[("a", Some("3"))]).await?;
    running.drain().await?;
    assert_eq!(stored(&running).await?, "a=3 d=1");
    let mut written = running.consumer(out).await?.from_the_start()?;
    let mut lines = Vec::new();
    while lines.len() < 8 {
        let row = written.next().await?;
        lines.push(format!("{}={}", row.key, row.value.unwrap_or_default()));
    }
    lines.sort();
    assert_eq!(lines.join(" "), "a=1 a=2 a=3 b= b=1 c= c=1 d=1");
    running.close().await?;
    place.end().await;
    Ok(())
}

#[tokio::test]
async fn a_table_comes_back_over_its_source_topic() -> Result<()> {
    check("optimized", AtLeastOnce, None).await
}

#[tokio::test]
async fn so_it_does_under_exactly_once() -> Result<()> {
    check("optimized-exact", ExactlyOnce, None).await
}

#[tokio::test]
async fn what_is_on_disk_is_followed_up() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    check("optimized-disk", AtLeastOnce, Some(directory.path())).await
}

/// Copies of its state come as far as is committed; what is still to be processed does not keep a task from moving to them.
#[tokio::test]
async fn a_table_with_a_backlog_moves_to_another_instance() -> Result<()> {
    let place = Place::start("optimized-moves").await;
    let pages = rows(&place, "pages");
    place.client.admin().create_topics(&[NewTopic::new(pages.name(), 2)]).await.expect("an answer");
    let builder = StreamsBuilder::new();
    builder.table_with(pages.clone(), PAGES);
    let topology = builder.build_with(Optimization::ALL)?;
    let start = async || {
        let streams = place.streams(topology.clone(), AtLeastOnce).config("acceptable.recovery.lag", 0);
        streams.config("consumer.heartbeat.interval.ms", 100).start().await
    };
    let first = start().await?;
    let all: Vec<String> = (0..40).map(|number| format!("page-{number}")).collect();
    let old: Vec<(&str, Option<&str>)> = all.iter().map(|key| (key.as_str(), Some("old"))).collect();
    write(&first, &pages, &old).await?;
    first.drain().await?;
    first.pause();
    let new: Vec<(&str, Option<&str>)> = all.iter().map(|key| (key.as_str(), Some("new"))).collect();
    write(&first, &pages, &new).await?;
    let second = start().await?;
    let runs = |running: &RunningStreams| running.tasks().iter().filter(|task| task.is_running).count();
    let moved = place.host.timeout(Duration::from_secs(60), async {
        while runs(&second) == 0 {
            place.host.sleep(Duration::from_millis(20)).await;
        }
    });
    moved.await.unwrap_or_else(|_| panic!("nothing moves: {:?} {:?}", first.tasks(), second.tasks()));
    first.resume();
    second.drain().await?;
    first.close().await?;
    second.close().await?;
    place.end().await;
    Ok(())
}
