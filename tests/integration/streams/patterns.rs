//! Sources by pattern: topics that match come and go while the application runs.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_client::{Client, ClientConfig, NewTopic};
use anabranch_host::{Host, RealRuntime};

use super::{App, COUNTS, counted, expected, on_kafka};

/// Topics of an application, and how it is started, on a broker that outlives it.
struct Place {
    app: App,
    host: Host,
    client: Client,
    embedded: Option<EmbeddedBroker>,
    _runtime: RealRuntime,
}

impl Place {
    async fn start(test: &str) -> Place {
        let (host, runtime) = Host::real(2).expect("threads");
        let (embedded, dialer, config) = match std::env::var("ANABRANCH_KAFKA") {
            Ok(server) => {
                let config = ClientConfig { bootstrap_servers: vec![server], ..ClientConfig::default() };
                (None, host.dialer(), config)
            }
            Err(_) => {
                let broker = EmbeddedBroker::start(host.clone(), BrokerConfig::default()).await;
                let broker = broker.expect("a broker");
                let dialer = broker.dialer();
                (Some(broker), dialer, ClientConfig::default())
            }
        };
        let client = Client::connect(&host, dialer, config).await.expect("a client");
        Place { app: App::new(test), host, client, embedded, _runtime: runtime }
    }

    fn topic(&self, name: &str) -> Topic<Option<String>, String> {
        Topic::named(format!("{}-in-{name}", self.app.id()))
    }

    async fn create(&self, name: &str, partitions: i32) {
        let topic = self.topic(name);
        let created = self.client.admin().create_topics(&[NewTopic::new(topic.name(), partitions)]).await;
        for created in created.expect("an answer").into_values() {
            created.expect("a topic");
        }
    }

    /// Counts the words of all topics that match.
    fn word_count(&self) -> Topology {
        let builder = StreamsBuilder::new();
        builder
            .stream_matching(self.topic("[a-z]+"))
            .flat_map_values(|line| line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
            .group_by(|_, word| word.clone())
            .count_with(COUNTS)
            .updates()
            .to(self.app.counts());
        builder.build().expect("a valid topology")
    }

    async fn run(&self, topology: Topology, guarantee: Guarantee) -> Result<RunningStreams> {
        let streams = self.app.streams(topology).guarantee(guarantee).config("metadata.max.age.ms", 50);
        match &self.embedded {
            Some(broker) => streams.on(self.host.clone(), broker.dialer()).start().await,
            None => streams.start().await,
        }
    }

    async fn send(&self, running: &RunningStreams, name: &str, lines: &[&str]) -> Result<()> {
        let producer = running.producer(self.topic(name))?;
        for line in lines {
            producer.send(None, (*line).to_string()).await?;
        }
        producer.flush().await
    }

    /// Waits until exactly these words are counted by these instances together.
    async fn until(&self, running: &[&RunningStreams], pairs: &[(&str, i64)]) -> Result<()> {
        let mut last = BTreeMap::new();
        let done = async {
            loop {
                let mut all = BTreeMap::new();
                for running in running {
                    all.extend(counted(running).await?);
                }
                if all == expected(pairs) {
                    return Ok(());
                }
                last = all;
                self.host.sleep(Duration::from_millis(20)).await;
            }
        };
        match self.host.timeout(Duration::from_secs(60), done).await {
            Ok(done) => done,
            Err(_) => panic!("{last:?} is not {pairs:?}"),
        }
    }

    async fn end(self) {
        if let Some(broker) = self.embedded {
            broker.shutdown().await;
        }
    }
}

async fn check_new_topics(guarantee: Guarantee) -> Result<()> {
    let place = Place::start("patterns").await;
    place.create("a", 1).await;
    place.create("b", 1).await;
    // It does not match.
    place.create("1", 1).await;
    let running = place.run(place.word_count(), guarantee).await?;
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
    let running = place.run(place.word_count(), guarantee).await?;
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
    let first = place.run(place.word_count(), AtLeastOnce).await?;
    assert_eq!(first.state(), State::Running);
    let second = place.run(place.word_count(), AtLeastOnce).await?;
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

#[tokio::test]
async fn a_topic_that_goes_leaves_the_others_alone() -> Result<()> {
    if on_kafka() {
        // Which deletes topics some time after it has said so.
        return Ok(());
    }
    let place = Place::start("patterns-gone").await;
    place.create("a", 1).await;
    place.create("b", 1).await;
    let running = place.run(place.word_count(), AtLeastOnce).await?;
    place.send(&running, "a", &["a"]).await?;
    place.send(&running, "b", &["b"]).await?;
    running.drain().await?;
    let gone = place.topic("b");
    let deleted = place.client.admin().delete_topics(&[gone.name()]).await.expect("an answer");
    deleted.into_values().for_each(|topic| topic.expect("deleted"));
    place.send(&running, "a", &["a"]).await?;
    place.until(&[&running], &[("a", 2), ("b", 1)]).await?;
    // A new topic of the old name is another topic.
    place.create("b", 1).await;
    place.send(&running, "b", &["b"]).await?;
    place.send(&running, "a", &["a"]).await?;
    place.until(&[&running], &[("a", 3), ("b", 2)]).await?;
    running.close().await?;
    place.end().await;
    Ok(())
}
