//! Each source begins where its policy says, once.

use std::time::Duration;

use anabranch::prelude::*;
use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_client::{Client, ClientConfig, NewTopic, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::Host;

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
    let (host, runtime) = Host::real(2).expect("threads");
    let broker = EmbeddedBroker::start(host.clone(), BrokerConfig::default()).await.expect("a broker");
    let server = std::env::var("ANABRANCH_KAFKA");
    let dialer = if server.is_ok() { host.dialer() } else { broker.dialer() };
    let pairs = [("bootstrap.servers", server.as_deref().unwrap_or(""))];
    let config = ClientConfig::from_pairs(pairs).expect("good keys");
    let client = Client::connect(&host, dialer.clone(), config).await.expect("a broker");

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
    let start = || {
        let streams = app.streams(topology.clone());
        match &server {
            Ok(_) => streams.start(),
            Err(_) => streams.on(host.clone(), dialer.clone()).start(),
        }
    };
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
    broker.shutdown().await;
    drop(runtime);
    Ok(())
}
