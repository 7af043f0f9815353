//! Sources by pattern: topics that match come and go while the application runs.

use std::time::Duration;

use anabranch::prelude::*;

use super::place::Place;
use super::{COUNTS, counted, expected, on_kafka};

/// Counts the words of all topics that match.
fn word_count(place: &Place) -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream_matching(place.topic("[a-z]+"))
        .flat_map_values(|line| line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count_with(COUNTS)
        .updates()
        .to(place.app.counts());
    builder.build().expect("a valid topology")
}

async fn check_new_topics(guarantee: Guarantee) -> Result<()> {
    let place = Place::start("patterns").await;
    place.create("a", 1).await;
    place.create("b", 1).await;
    // It does not match.
    place.create("1", 1).await;
    let running = place.run(word_count(&place), guarantee).await?;
    place.send(&running, "1", &["nothing of it"]).await?;
    place.send(&running, "a", &["to be"]).await?;
    place.send(&running, "b", &["or not"]).await?;
    running.drain().await?;
    assert_eq!(counted(&running).await?, expected(&[("be", 1), ("not", 1), ("or", 1), ("to", 1)]));

    // It comes while others are being read.
    place.create("c", 1).await;
    for _ in 0..20 {
        place.send(&running, "a", &["to"]).await?;
        place.send(&running, "c", &["c"]).await?;
    }
    let counts = [("be", 1), ("c", 20), ("not", 1), ("or", 1), ("to", 21)];
    place.until(&[&running], &counts).await?;
    running.close().await?;

    // What was read is not read again, and what came meanwhile is.
    let running = place.run(word_count(&place), guarantee).await?;
    place.send(&running, "b", &["be"]).await?;
    place.send(&running, "c", &["c"]).await?;
    running.drain().await?;
    let counts = [("be", 2), ("c", 21), ("not", 1), ("or", 1), ("to", 21)];
    assert_eq!(counted(&running).await?, expected(&counts));
    running.close().await?;
    place.end().await;
    Ok(())
}

#[tokio::test]
async fn a_topic_that_comes_later_is_read_too() -> Result<()> {
    check_new_topics(AtLeastOnce).await
}

#[tokio::test]
async fn so_it_is_under_exactly_once() -> Result<()> {
    check_new_topics(ExactlyOnce).await
}

#[tokio::test]
async fn the_first_topic_may_come_later_too() -> Result<()> {
    let place = Place::start("patterns-none").await;
    // Nothing matches: there is no task, and the repartition topic is not made yet.
    // Whoever follows a task follows its topics too.
    let start = || place.streams(word_count(&place), AtLeastOnce).config("num.standby.replicas", 1).start();
    let first = start().await?;
    assert_eq!(first.state(), State::Running);
    let second = start().await?;
    place.create("a", 2).await;
    place.send(&first, "a", &["to be", "or not", "to be"]).await?;
    place.until(&[&first, &second], &[("be", 2), ("not", 1), ("or", 1), ("to", 2)]).await?;
    place.create("b", 2).await;
    place.send(&first, "b", &["be", "be"]).await?;
    place.until(&[&first, &second], &[("be", 4), ("not", 1), ("or", 1), ("to", 2)]).await?;
    second.close().await?;
    place.send(&first, "b", &["to", "to"]).await?;
    place.until(&[&first], &[("be", 4), ("not", 1), ("or", 1), ("to", 4)]).await?;
    first.close().await?;
    place.end().await;
    Ok(())
}

async fn check_topic_that_goes(guarantee: Guarantee) -> Result<()> {
    if on_kafka() {
        // Which deletes topics some time after it has said so.
        return Ok(());
    }
    let place = Place::start("patterns-gone").await;
    place.create("a", 1).await;
    place.create("b", 1).await;
    let running = place.run(word_count(&place), guarantee).await?;
    place.send(&running, "a", &["a"]).await?;
    place.send(&running, "b", &["b"]).await?;
    running.drain().await?;
    place.delete("b").await;
    place.send(&running, "a", &["a"]).await?;
    place.until(&[&running], &[("a", 2), ("b", 1)]).await?;
    // A new topic of the old name is another topic.
    place.create("b", 1).await;
    place.send(&running, "b", &["b"]).await?;
    place.send(&running, "a", &["a"]).await?;
    place.until(&[&running], &[("a", 3), ("b", 2)]).await?;
    // In the middle of it: what of it is read may be counted, and holds up nothing.
    for _ in 0..11 {
        place.send(&running, "b", &["b b b b"]).await?;
        place.send(&running, "a", &["a"]).await?;
    }
    place.delete("b").await;
    place.send(&running, "a", &["a"]).await?;
    place.until_all(&[&running], "a is 15", |words| words.get("a") == Some(&15)).await?;
    running.close().await?;
    place.end().await;
    Ok(())
}

#[tokio::test]
async fn a_topic_that_goes_leaves_the_others_alone() -> Result<()> {
    check_topic_that_goes(AtLeastOnce).await
}

#[tokio::test]
async fn so_it_does_under_exactly_once() -> Result<()> {
    check_topic_that_goes(ExactlyOnce).await
}

#[tokio::test]
async fn a_topic_that_goes_holds_up_no_drain() -> Result<()> {
    if on_kafka() {
        // Which deletes topics some time after it has said so.
        return Ok(());
    }
    let place = Place::start("patterns-drain").await;
    place.create("a", 1).await;
    place.create("b", 1).await;
    let running = place.run(word_count(&place), AtLeastOnce).await?;
    running.pause();
    place.send(&running, "a", &["a"]).await?;
    place.send(&running, "b", &["b"]).await?;
    let drained = async { place.host.timeout(Duration::from_secs(30), running.drain()).await };
    let goes = async {
        place.host.sleep(Duration::from_millis(50)).await;
        place.delete("b").await;
        running.resume();
    };
    let (drained, ()) = tokio::join!(drained, goes);
    drained.expect("in time")?;
    assert_eq!(counted(&running).await?.get("a"), Some(&1));
    // What is gone before it is asked for does neither.
    place.send(&running, "a", &["a"]).await?;
    place.create("c", 1).await;
    place.send(&running, "c", &["c"]).await?;
    place.until_all(&[&running], "c is 1", |words| words.get("c") == Some(&1)).await?;
    running.pause();
    place.send(&running, "c", &["c"]).await?;
    place.delete("c").await;
    running.resume();
    let drained = place.host.timeout(Duration::from_secs(30), running.drain()).await;
    drained.expect("in time")?;
    running.close().await?;
    place.end().await;
    Ok(())
}
