//! Topics that are chosen per record: nobody has asked for them before the first one comes.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use anabranch::prelude::*;
use anabranch_client::{ClientError, NewTopic, Producer, ProducerConfig};
use tokio::sync::mpsc::unbounded_channel;

use super::App;
use super::outside::Outside;

/// A worker has a record for a topic that it does not know, then another one of the same key; in between somebody else has asked
/// for the topic.
#[tokio::test]
async fn records_keep_their_order_in_a_topic_that_comes_to_be_known_in_between() -> Result<()> {
    let (outside, app) = (Outside::start().await, App::new("chosen"));
    let failed = |error: ClientError| Error::fatal("the topic").with_source(error);
    let chosen = app.counts().name().to_owned();
    // By a client of its own, so that the application's has not heard of it.
    let made = outside.client().await.admin().create_topics(&[NewTopic::new(&*chosen, 1)]).await;
    made.map_err(failed)?.into_values().collect::<Result<Vec<_>, _>>().map_err(failed)?;

    let (reach, mut reached) = unbounded_channel();
    let (go_on, may_go_on) = channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let topic = Arc::<str>::from(&*chosen);
    let builder = StreamsBuilder::new();
    builder
        .stream(app.lines())
        .flat_map_values(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .peek(move |_, word| {
            if word == "second" {
                // Whoever waits for it may have ended.
                let _ = reach.send(());
                let _ = may_go_on.lock().expect("not poisoned").recv();
            }
        })
        .to_topic_by(move |_, _, _| Arc::clone(&topic));
    let streams = app.streams(builder.build()?).config("commit.interval.ms", 600_000);
    let running = outside.run(streams).start().await?;
    let lines = running.producer(app.lines())?;
    lines.send(None, "first second third".to_owned()).await?;
    lines.flush().await?;
    reached.recv().await;
    let producer = Producer::new(running.client(), ProducerConfig::default()).map_err(failed)?;
    assert_eq!(producer.partition_count(&chosen).await.map_err(failed)?, 1);
    let mut words = running.consumer(Topic::<Option<String>, String>::named(&*chosen)).await?;
    drop(go_on);
    let mut read = Vec::new();
    while read.len() < 3 {
        read.push(words.next().await?.value);
    }
    assert_eq!(read, ["first", "second", "third"]);
    running.close().await?;
    outside.end().await;
    Ok(())
}
