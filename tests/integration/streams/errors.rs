//! Records that fail, closures that panic.

use std::sync::atomic::{AtomicBool, Ordering};

use anabranch::prelude::*;

use super::App;

/// A record that is no number goes to the topic `letters`, which `configure` may have named.
async fn check_letters(app: App, letters: String, configure: impl FnOnce(Streams) -> Streams) -> Result<()> {
    let builder = StreamsBuilder::new();
    let doubled: Topic<Option<String>, i64> = Topic::named(format!("{}-doubled", app.id()));
    builder
        .stream(app.lines())
        .try_map_values(|text| text.parse::<i64>())
        .map_values(|n| n * 2)
        .to(doubled.clone());
    let running = configure(app.streams(builder.build()?)).start().await?;
    let letters: Topic<Option<String>, String> = Topic::named(letters);
    let lines = running.producer(app.lines())?;
    let mut output = running.consumer(doubled).await?;
    for line in ["1", "two", "3"] {
        // One partition, one order.
        lines.send(Some("key".to_string()), line.to_string()).await?;
    }
    lines.flush().await?;
    running.drain().await?;
    assert_eq!(output.next().await?.value, 2);
    assert_eq!(output.next().await?.value, 6);
    let letter = running.consumer(letters).await?.from_the_start()?.next().await?;
    assert_eq!(letter.value, "two");
    let topic = letter.headers.last("__streams.errors.topic").flatten().map(<[u8]>::to_vec);
    assert_eq!(topic.as_deref(), Some(app.lines().name().as_bytes()));
    running.close().await
}

#[tokio::test]
async fn a_poison_record_goes_to_the_dead_letter_topic() -> Result<()> {
    let app = App::new("poison");
    let letters = format!("{}-dead-letter", app.id());
    check_letters(app, letters, |streams| streams).await
}

#[tokio::test]
async fn the_dead_letter_topic_may_be_named() -> Result<()> {
    let app = App::new("named-poison");
    let letters = format!("{}-letters", app.id());
    let key = "errors.dead.letter.queue.topic.name";
    check_letters(app, letters.clone(), |streams| streams.config(key, letters)).await
}

#[tokio::test]
async fn a_policy_that_fails_stops_the_application() -> Result<()> {
    let app = App::new("fails");
    let builder = StreamsBuilder::new();
    builder.stream(app.lines()).try_map_values(|text| text.parse::<i64>()).for_each(|_, _| {});
    let running = app.streams(builder.build()?).on_processing_error(fail()).start().await?;
    let lines = running.producer(app.lines())?;
    lines.send(None, "no number".to_string()).await?;
    lines.flush().await?;
    let error = running.drain().await.expect_err("the application has stopped");
    assert!(error.to_string().contains("invalid digit"), "{error}");
    assert_eq!(running.state(), State::Error);
    assert!(running.close().await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_panic_in_a_closure_stops_the_application_not_the_process() -> Result<()> {
    let app = App::new("panics");
    let builder = StreamsBuilder::new();
    builder
        .stream(app.lines())
        .for_each(|_, line| assert!(line != "bad", "the closure says no"))
        .named("judge");
    let running = app.streams(builder.build()?).start().await?;
    let lines = running.producer(app.lines())?;
    lines.send(None, "bad".to_string()).await?;
    lines.flush().await?;
    let error = running.drain().await.expect_err("the application has stopped");
    for part in ["the closure says no", "node `judge`", &format!("{}-", app.lines().name()), "@0"] {
        assert!(error.to_string().contains(part), "`{error}` does not say `{part}`");
    }
    assert!(running.close().await.is_err());
    Ok(())
}

/// The topic of dead letters is there before the first of them, if one may go there.
#[tokio::test]
async fn the_dead_letter_topic_is_made_at_the_start() -> Result<()> {
    let check = async |name: &str, prepare: fn(Streams) -> Streams, expected: bool| {
        let app = App::new(name);
        let builder = StreamsBuilder::new();
        builder.stream(app.lines()).for_each(|_, _| {});
        let running = prepare(app.streams(builder.build()?)).start().await?;
        let listed = running.client().admin().list_topics().await.expect("topics");
        let letters = format!("{}-dead-letter", app.id());
        assert_eq!(listed.iter().any(|topic| *topic.name == *letters), expected, "{name}");
        running.close().await
    };
    check("letters", |streams| streams, true).await?;
    check("some-letters", |streams| streams.on_processing_error(fail()), true).await?;
    let none = |streams: Streams| {
        streams.on_deserialization_error(fail()).on_processing_error(skip()).on_production_error(fail())
    };
    check("no-letters", none, false).await
}

struct Judge;

impl Processor for Judge {
    type KeyIn = Option<String>;
    type ValueIn = String;
    type KeyOut = ();
    type ValueOut = ();

    fn process(
        &mut self,
        _: Record<Option<String>, String>,
        _: &mut ProcessorContext<'_, Self>,
    ) -> Result<()> {
        Ok(())
    }
}

/// A node's supplier runs when its task is made, on no worker.
#[tokio::test]
async fn a_panic_of_a_supplier_is_an_error_of_the_start() -> Result<()> {
    let app = App::new("supplier");
    let builder = StreamsBuilder::new();
    let asked = AtomicBool::new(false);
    // It is asked once when the topology is built, for the stores that it names.
    let judge = move |_: &mut InitContext<'_, Judge>| {
        assert!(!asked.swap(true, Ordering::Relaxed), "no judge is to be had");
        Judge
    };
    builder.stream(app.lines()).process(judge).named("judge");
    let error = app.streams(builder.build()?).start().await.expect_err("it does not start");
    for part in ["no judge is to be had", "node `judge`"] {
        assert!(error.to_string().contains(part), "`{error}` does not say `{part}`");
    }
    Ok(())
}

/// A state listener only watches: what it watches goes on. A handler that panics has not answered.
#[tokio::test]
async fn a_panic_of_a_listener_or_a_handler_leaves_nobody_waiting() -> Result<()> {
    let app = App::new("listens");
    let builder = StreamsBuilder::new();
    builder.stream(app.lines()).for_each(|_, line| assert!(line != "bad", "the closure says no"));
    let streams = app.streams(builder.build()?).on_state_change(|_, _| panic!("no listener"));
    let running = streams.on_uncaught_error(|_| panic!("no handler")).start().await?;
    let lines = running.producer(app.lines())?;
    lines.send(None, "good".to_string()).await?;
    lines.flush().await?;
    running.drain().await?;
    lines.send(None, "bad".to_string()).await?;
    lines.flush().await?;
    let error = running.drain().await.expect_err("the application has stopped");
    assert!(error.to_string().contains("the closure says no"), "{error}");
    assert_eq!(running.state(), State::Error);
    assert!(running.close().await.is_err());
    Ok(())
}
