//! A task that reads several topics takes records in the order of their times, also of a backlog that comes in any order.

use anabranch::prelude::*;
use anabranch_client::NewTopic;

use super::outside::Outside;
use super::{App, keep};

struct Topics {
    left: Topic<String, i64>,
    right: Topic<String, i64>,
    merged: Topic<String, i64>,
}

impl Topics {
    fn of(app: &App) -> Topics {
        let name = |topic: &str| format!("{}-{topic}", app.id());
        Topics {
            left: Topic::named(name("left")),
            right: Topic::named(name("right")),
            merged: Topic::named(name("merged")),
        }
    }

    /// Makes them, each of one partition.
    async fn make(&self, running: &RunningStreams) {
        for topic in [&self.left, &self.right, &self.merged] {
            let new = NewTopic::new(topic.name(), 1);
            // It may be there already.
            let _ = running.client().admin().create_topics(&[new]).await;
        }
    }

    /// Both, each record at the time that is its value.
    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let timed = |topic: &Topic<String, i64>| {
            builder.stream(topic.clone().consumed().timestamps(|event, _| event.value))
        };
        timed(&self.left).merge(&timed(&self.right)).to(&self.merged);
        builder.build().expect("a valid topology")
    }
}

async fn send(
    to: &RunningStreams,
    topic: &Topic<String, i64>,
    times: impl Iterator<Item = i64>,
) -> Result<()> {
    let producer = to.producer(topic.clone())?;
    for time in times {
        producer.send("key".to_string(), time).await?;
    }
    producer.flush().await
}

/// A backlog is written while the application rests, much more of one topic than a fetch brings. All must come out in the
/// order of its times.
#[tokio::test]
async fn a_backlog_is_processed_in_the_order_of_time() -> Result<()> {
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let directory = tempfile::tempdir().expect("a directory");
        let app = App::new("backlog");
        let topics = Topics::of(&app);
        let start = || {
            let streams = keep(app.streams(topics.topology()), directory.path()).create_topics(1);
            // A fetch brings little of a partition, so that the sides come in turns that have nothing to do with time.
            streams.guarantee(guarantee).config("max.partition.fetch.bytes", 3000).start()
        };
        let running = start().await?;
        topics.make(&running).await;
        running.pause();
        send(&running, &topics.right, (0..4000).map(|n| 2 * n + 1)).await?;
        send(&running, &topics.left, (0..4000).map(|n| 2 * n)).await?;
        running.close().await?;

        let running = start().await?;
        running.drain().await?;
        let mut merged = running.consumer(topics.merged.clone()).await?.from_the_start()?;
        for expected in 0..8000 {
            assert_eq!(merged.next().await?.value, expected, "{guarantee:?}");
        }
        running.close().await?;
    }
    Ok(())
}

/// A side that is empty on the broker too is waited for, so long as it may be; then the others go on without it.
#[tokio::test]
async fn an_empty_side_is_waited_for() -> Result<()> {
    let app = App::new("waited-for");
    let topics = Topics::of(&app);
    let outside = Outside::start().await;
    let start = async |idle_ms: i64| {
        let streams = outside.run(app.streams(topics.topology()).create_topics(1));
        streams.config("max.task.idle.ms", idle_ms).start().await
    };
    let running = start(600_000).await?;
    topics.make(&running).await;
    let mut merged = running.consumer(topics.merged.clone()).await?.from_the_start()?;
    send(&running, &topics.left, [10, 30].into_iter()).await?;
    // It would be processed by now.
    running.client().host().sleep(millis(300)).await;
    send(&running, &topics.right, [5, 20].into_iter()).await?;
    for expected in [5, 10, 20] {
        assert_eq!(merged.next().await?.value, expected);
    }
    running.close().await?;
    let running = start(100).await?;
    running.drain().await?;
    let mut merged = running.consumer(topics.merged.clone()).await?.from_the_start()?;
    for expected in [5, 10, 20, 30] {
        assert_eq!(merged.next().await?.value, expected, "nothing came in time");
    }
    running.close().await?;
    outside.end().await;
    Ok(())
}
