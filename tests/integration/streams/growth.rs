//! A source topic gets more partitions while the application runs: new tasks where there is no state, an error that says
//! what to do where state and repartition topics no longer fit.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{IsolationLevel, OffsetSpec, TopicPartition};

use super::place::Place;
use super::{COUNTS, expected};

async fn check_new_tasks(guarantee: Guarantee) -> Result<()> {
    let place = Place::start("growth").await;
    place.create("a", 1).await;
    let out = Topic::<Option<String>, String>::named(format!("{}-out", place.app.id()));
    let builder = StreamsBuilder::new();
    builder.stream(place.topic("a")).map_values(|line| line.to_uppercase()).to(out.clone());
    let topology = builder.build()?;
    let running = place.run(topology.clone(), guarantee).await?;
    let mut written = running.consumer(out.clone()).await?;
    place.write("a", 0, "a0").await;
    assert_eq!(written.next().await?.value, "A0");

    place.grow("a", 3).await;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (partition, value) in [(0, "b0"), (1, "b1"), (2, "b2")] {
        place.write("a", partition, value).await;
    }
    while seen.len() < 3 {
        *seen.entry(written.next().await?.value).or_default() += 1;
    }
    running.close().await?;

    // Each partition goes on where it ended.
    for (partition, value) in [(0, "c0"), (1, "c1"), (2, "c2")] {
        place.write("a", partition, value).await;
    }
    let running = place.run(topology, guarantee).await?;
    let mut written = running.consumer(out).await?.from_the_start()?;
    seen.clear();
    while seen.len() < 7 {
        *seen.entry(written.next().await?.value).or_default() += 1;
    }
    let all = ["A0", "B0", "B1", "B2", "C0", "C1", "C2"];
    assert_eq!(seen, all.map(|value| (value.to_string(), 1)).into());
    running.close().await?;
    place.end().await;
    Ok(())
}

#[tokio::test]
async fn a_source_without_state_may_grow() -> Result<()> {
    check_new_tasks(AtLeastOnce).await
}

#[tokio::test]
async fn so_it_may_under_exactly_once() -> Result<()> {
    check_new_tasks(ExactlyOnce).await
}

/// Waits until an application has failed with this error.
async fn fails(place: &Place, running: RunningStreams, expected: &str) {
    let failed = async {
        while running.state() != State::Error {
            place.host.sleep(Duration::from_millis(20)).await;
        }
        running.drain().await.expect_err("it has failed").to_string()
    };
    let error = place.host.timeout(Duration::from_secs(60), failed).await.expect("it fails");
    assert!(error.contains(expected), "{error}\nlacks\n{expected}");
    assert!(running.close().await.is_err());
}

/// Lets the topic `a` grow under a topology, which must end with this error on every instance: while they run, and when one
/// starts again.
async fn check_refused(test: &str, build: impl Fn(&Place, &StreamsBuilder), expected: &str) -> Result<()> {
    let place = Place::start(test).await;
    place.create("a", 1).await;
    let builder = StreamsBuilder::new();
    build(&place, &builder);
    let topology = builder.build()?;
    let running = place.run(topology.clone(), AtLeastOnce).await?;
    let beside = place.run(topology.clone(), AtLeastOnce).await?;
    place.send(&running, "a", &["to be"]).await?;
    running.drain().await?;
    place.grow("a", 2).await;
    let expected = expected.replace("APP", place.app.id());
    fails(&place, running, &expected).await;
    fails(&place, beside, &expected).await;
    let Err(error) = place.streams(topology, AtLeastOnce).start().await else { panic!("it starts") };
    let error = error.to_string();
    assert!(error.contains(&expected), "{error}\nlacks\n{expected}");
    place.end().await;
    Ok(())
}

#[tokio::test]
async fn a_changelog_that_no_longer_fits_is_told() -> Result<()> {
    let counted = |place: &Place, builder: &StreamsBuilder| {
        let lines = builder.stream(place.topic("a"));
        lines.group_by_key().count_with(COUNTS).updates().to(place.app.counts());
    };
    let told = "the internal topic `APP-word-counts-changelog` has 1 partitions, the topology needs 2: reset the application, \
                or give it another application id";
    check_refused("growth-changelog", counted, told).await
}

#[tokio::test]
async fn a_repartition_topic_that_no_longer_fits_is_told() -> Result<()> {
    let counted = |place: &Place, builder: &StreamsBuilder| {
        let lines = builder.stream(place.topic("a"));
        lines.group_by(|_, line| line.clone()).count_with(COUNTS).updates().to(place.app.counts());
    };
    let told = "the internal topic `APP-word-counts-repartition` has 1 partitions, the topology needs 2: reset the application, \
                or give it another application id";
    check_refused("growth-repartition", counted, told).await
}

#[tokio::test]
async fn a_source_may_grow_in_front_of_a_repartition_topic_of_a_settled_number() -> Result<()> {
    let place = Place::start("growth-settled").await;
    place.create("a", 1).await;
    let builder = StreamsBuilder::new();
    builder
        .stream(place.topic("a"))
        .select_key(|_, line| line.clone())
        .repartition_with(Repartitioned::named("words").partitions(2))
        .group_by_key()
        .count_with(COUNTS)
        .updates()
        .to(place.app.counts());
    let running = place.run(builder.build()?, AtLeastOnce).await?;
    place.write("a", 0, "x").await;
    place.grow("a", 2).await;
    for (partition, word) in [(1, "x"), (0, "y"), (1, "z")] {
        place.write("a", partition, word).await;
    }
    place.until(&[&running], &[("x", 2), ("y", 1), ("z", 1)]).await?;
    assert_eq!(super::counted(&running).await?, expected(&[("x", 2), ("y", 1), ("z", 1)]));
    running.close().await?;
    place.end().await;
    Ok(())
}

#[tokio::test]
async fn topics_read_together_may_be_of_different_widths() -> Result<()> {
    let place = Place::start("growth-widths").await;
    place.create("a", 1).await;
    place.create("b", 2).await;
    let out = Topic::<Option<String>, String>::named(format!("{}-out", place.app.id()));
    let builder = StreamsBuilder::new();
    builder.stream(place.topic("a")).merge(&builder.stream(place.topic("b"))).to(out.clone());
    let running = place.run(builder.build()?, AtLeastOnce).await?;
    let mut written = running.consumer(out).await?;
    // Nothing is waited for where there is nothing to come.
    place.write("b", 1, "b1").await;
    assert_eq!(written.next().await?.value, "b1");
    place.grow("a", 2).await;
    place.write("a", 1, "a1").await;
    assert_eq!(written.next().await?.value, "a1");
    place.write("b", 1, "b1 again").await;
    assert_eq!(written.next().await?.value, "b1 again");
    running.close().await?;
    place.end().await;
    Ok(())
}

#[tokio::test]
async fn what_is_written_goes_to_all_partitions_that_a_sink_has_got() -> Result<()> {
    let place = Place::start("growth-sink").await;
    place.create("a", 1).await;
    place.create("out", 1).await;
    let builder = StreamsBuilder::new();
    let lines = builder.stream(place.topic("a"));
    lines.select_key(|_, line| Some(line.clone())).to(place.topic("out"));
    let running = place.run(builder.build()?, AtLeastOnce).await?;
    place.write("a", 0, "a").await;
    running.drain().await?;
    place.grow("out", 4).await;
    let name = place.topic("out").name().to_owned();
    let ends = async || {
        let wanted = (0..4).map(|n| (TopicPartition::new(&*name, n), OffsetSpec::Latest)).collect();
        let listed = place.client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        listed.into_values().map(|end| end.expect("an offset").offset).collect::<Vec<_>>()
    };
    let spread = async {
        while ends().await[1..].iter().all(|end| *end == 0) {
            for word in ["a", "b", "c", "d", "e", "f"] {
                place.write("a", 0, word).await;
            }
            running.drain().await?;
        }
        Ok::<(), Error>(())
    };
    place.host.timeout(Duration::from_secs(60), spread).await.expect("some words go elsewhere")?;
    running.close().await?;
    place.end().await;
    Ok(())
}

#[tokio::test]
async fn a_source_that_is_deleted_is_told() -> Result<()> {
    let place = Place::start("growth-deleted").await;
    place.create("a", 1).await;
    let builder = StreamsBuilder::new();
    builder.stream(place.topic("a")).for_each(|_, _| {});
    let running = place.run(builder.build()?, AtLeastOnce).await?;
    let topic = place.topic("a");
    place.delete("a").await;
    fails(&place, running, &format!("the source topic `{}` does not exist", topic.name())).await;
    place.end().await;
    Ok(())
}
