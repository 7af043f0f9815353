//! Failures that belong to no worker: the uncaught error handler hears of them as well, and where it lets the instance go on,
//! that goes on as soon as it can.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::ProducerRecord;
use anabranch_host::Host;

use super::place::Place;

type Said = Arc<Mutex<Vec<String>>>;

/// Notes what the handler is asked of, whose answer is always this one.
fn noting(streams: Streams, answer: UncaughtErrorAnswer) -> (Streams, Said) {
    let said = Said::default();
    let noted = Arc::clone(&said);
    let handler = move |error: &Error| {
        noted.lock().expect("not poisoned").push(error.to_string());
        answer
    };
    (streams.on_uncaught_error(handler), said)
}

/// Waits until something is so.
async fn until(host: &Host, what: &str, is_so: impl Fn() -> bool) {
    let waited = host.timeout(Duration::from_secs(60), async {
        while !is_so() {
            host.sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: not within a minute"));
}

fn has_said(said: &Said, text: &str) -> bool {
    said.lock().expect("not poisoned").iter().any(|said| said.contains(text))
}

fn copies(place: &Place) -> Result<(Topology, Topic<Option<String>, String>)> {
    let copies = Topic::named(format!("{}-copies", place.app.id()));
    let builder = StreamsBuilder::new();
    builder.stream(place.topic("a")).to(copies.clone());
    Ok((builder.build()?, copies))
}

#[tokio::test]
async fn of_a_placement_that_cannot_be_followed() -> Result<()> {
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let place = Place::start("refused").await;
        place.create("a", 2).await;
        let (topology, copies) = copies(&place)?;
        let (streams, said) = noting(place.streams(topology, guarantee), ReplaceThread);
        let running = streams.start().await?;
        place.write("a", 0, "before").await;
        running.drain().await?;
        place.delete("a").await;
        until(&place.host, "the handler is asked", || has_said(&said, "does not exist")).await;
        place.create("a", 2).await;
        place.write("a", 1, "after").await;
        let mut written = running.consumer(copies).await?.from_the_start()?;
        assert_eq!(written.next().await?.value, "before");
        assert_eq!(written.next().await?.value, "after");
        running.close().await?;
        place.end().await;
    }
    Ok(())
}

#[tokio::test]
async fn of_a_member_that_is_fenced() -> Result<()> {
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let place = Place::start("fenced").await;
        place.create("a", 2).await;
        let (topology, copies) = copies(&place)?;
        let streams = || {
            let streams = place.streams(topology.clone(), guarantee);
            let streams = streams.config("main.consumer.group.instance.id", "the one");
            streams.config("consumer.heartbeat.interval.ms", 100)
        };
        let (first, said) = noting(streams(), ReplaceThread);
        let first = first.start().await?;
        // It takes the name of the first one, which takes it back.
        let (second, said_to_second) = noting(streams(), ShutdownClient);
        let second = second.start().await?;
        until(&place.host, "the first one is fenced", || has_said(&said, "FENCED_INSTANCE_ID")).await;
        until(&place.host, "the second one ends", || second.state() == State::Error).await;
        assert!(has_said(&said_to_second, "FENCED_INSTANCE_ID"), "{said_to_second:?}");
        place.write("a", 0, "after").await;
        let mut written = first.consumer(copies).await?.from_the_start()?;
        assert_eq!(written.next().await?.value, "after");
        assert!(second.close().await.is_err());
        first.close().await?;
        place.end().await;
    }
    Ok(())
}

/// It has no thread that could be replaced, in Kafka Streams neither.
#[tokio::test]
async fn of_the_reader_of_a_global_table_which_ends_the_instance() -> Result<()> {
    for answer in [ReplaceThread, ShutdownClient] {
        let place = Place::start("global-reader").await;
        place.create("a", 1).await;
        place.create("names", 1).await;
        let builder = StreamsBuilder::new();
        let names = builder.global_table(Topic::<String, i64>::named(place.topic("names").name()));
        let lines = builder.stream(place.topic("a"));
        let named = lines.join_global(&names, |_, line| line.clone(), |line, name| format!("{line} {name}"));
        named.to(Topic::<Option<String>, String>::named(format!("{}-named", place.app.id())));
        let streams = place.streams(builder.build()?, AtLeastOnce).on_deserialization_error(fail());
        let (streams, said) = noting(streams, answer);
        let running = streams.start().await?;
        let topic = place.topic("names");
        place.write_record(ProducerRecord::new(topic.name()).key("seven").value("no eight bytes")).await;
        until(&place.host, "the handler is asked", || has_said(&said, topic.name())).await;
        until(&place.host, "the instance ends", || running.state() == State::Error).await;
        assert_eq!(said.lock().expect("not poisoned").len(), 1, "{said:?}");
        let error = running.close().await.expect_err("it has failed").to_string();
        assert!(error.contains(topic.name()), "{error}");
        place.end().await;
    }
    Ok(())
}
