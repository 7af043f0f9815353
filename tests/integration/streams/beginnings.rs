//! Each source begins where its policy says, once.

use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Client, NewTopic, Producer, ProducerConfig, ProducerRecord};

use super::outside::Outside;
use super::{App, COUNTS, counted, expected};

type Lines = Topic<Option<String>, String>;

/// Writes words, each with its age in seconds.
async fn write(client: &Client, topic: &Lines, words: &[(&str, i64)]) {
    let producer = Producer::new(client, ProducerConfig::default()).expect("a producer");
    for (word, age) in words {
        let timestamp = client.host().wall_clock_ms() - age * 1000;
        let record = ProducerRecord::new(topic.name()).value(*word).timestamp(timestamp).partition(0);
        drop(producer.send(record).await.expect("it is taken"));
    }
    producer.close().await.expect("all is written");
}

#[tokio::test]
async fn each_source_begins_where_its_policy_says() -> Result<()> {
    let outside = Outside::start().await;
    let client = outside.client().await;

    let app = App::new("beginnings");
    let [all, young, new] = ["all", "young", "new"].map(|name| Lines::named(format!("{}-{name}", app.id())));
    let topics = [&all, &young, &new].map(|topic| NewTopic::new(topic.name(), 1));
    client.admin().create_topics(&topics).await.expect("topics");
    write(&client, &all, &[("all-old", 7200)]).await;
    write(&client, &young, &[("young-old", 7200), ("young-young", 60)]).await;
    write(&client, &new, &[("new-old", 7200), ("new-young", 60)]).await;

    let builder = StreamsBuilder::new();
    let half_an_hour = Duration::from_secs(1800);
    builder
        .stream(&all)
        .merge(&builder.stream(young.consumed().offset_reset(AutoOffsetReset::ByDuration(half_an_hour))))
        .merge(&builder.stream(new.clone().consumed().offset_reset(AutoOffsetReset::Latest)))
        .group_by(|_, word| word.clone())
        .count_with(COUNTS)
        .updates()
        .to(app.counts());
    let topology = builder.build()?;
    let start = || outside.run(app.streams(topology.clone())).start();
    let running = start().await?;
    // What was not read and never will be does not keep it from being drained.
    running.drain().await?;
    assert_eq!(counted(&running).await?, expected(&[("all-old", 1), ("young-young", 1)]));
    running.close().await?;

    // It has begun: what comes while it is away is its own, whatever the policy.
    write(&client, &new, &[("new-new", 0)]).await;
    let running = start().await?;
    running.drain().await?;
    let counts = expected(&[("all-old", 1), ("new-new", 1), ("young-young", 1)]);
    assert_eq!(counted(&running).await?, counts);
    running.close().await?;
    outside.end().await;
    Ok(())
}
