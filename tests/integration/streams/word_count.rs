//! Word count: the store, the output, the questions.

use anabranch::prelude::*;

use super::{App, COUNTS, count, counted, expected, keep};

#[tokio::test]
async fn counts_stand_in_the_store_and_in_the_output() -> Result<()> {
    let app = App::new("counts");
    let running = app.streams(app.word_count()).start().await?;
    assert_eq!(running.state(), State::Running);
    let mut output = running.consumer(app.counts()).await?;
    count(&running, app.lines(), &["to be or not", "to be"]).await?;
    assert_eq!(counted(&running).await?, expected(&[("be", 2), ("not", 1), ("or", 1), ("to", 2)]));

    let mut newest = std::collections::BTreeMap::new();
    while newest != expected(&[("be", 2), ("not", 1), ("or", 1), ("to", 2)]) {
        let record = output.next().await?;
        let before = newest.insert(record.key.clone(), record.value);
        assert!(
            before.is_none_or(|before| before < record.value),
            "{} went from {before:?} to {}",
            record.key,
            record.value
        );
    }
    running.close().await
}

#[tokio::test]
async fn a_key_and_a_range_can_be_asked() -> Result<()> {
    let app = App::new("asked");
    let running = app.streams(app.word_count()).start().await?;
    count(&running, app.lines(), &["d a c b a", "a"]).await?;
    let store = running.store(COUNTS)?;
    assert_eq!(store.get(&"a".to_string()).await?, Some(3));
    assert_eq!(store.get(&"z".to_string()).await?, None);
    let range = store.range("b".to_string().."d".to_string()).await?;
    assert_eq!(range, [("b".to_string(), 1), ("c".to_string(), 1)]);
    let unknown =
        running.store(Store::<KeyValue<String, i64>>::named("no-such-store")).err().expect("refused");
    assert!(unknown.to_string().contains("no-such-store"), "{unknown}");
    running.close().await
}

#[tokio::test]
async fn without_a_cache_every_update_is_written() -> Result<()> {
    let app = App::new("uncached");
    let running = app.streams(app.word_count()).config("statestore.cache.max.bytes", 0).start().await?;
    let mut output = running.consumer(app.counts()).await?;
    count(&running, app.lines(), &["a a a a a"]).await?;
    for expected in 1..=5 {
        let record = output.next().await?;
        assert_eq!((record.key.as_str(), record.value), ("a", expected));
    }
    running.close().await
}

#[tokio::test]
async fn many_words_on_two_workers() -> Result<()> {
    let app = App::new("many");
    let running = app.streams(app.word_count()).threads(2).start().await?;
    let lines = running.producer(app.lines())?;
    for n in 0..2000 {
        lines.send(None, format!("w{} w{} w{}", n % 7, n % 11, n % 13)).await?;
    }
    lines.flush().await?;
    running.drain().await?;
    let counts = counted(&running).await?;
    assert_eq!(counts.values().sum::<i64>(), 6000);
    for word in 0..13 {
        let of = |modulus: i64| (0..2000).filter(|n| n % modulus == word).count() as i64;
        let expected = [7, 11, 13].into_iter().filter(|modulus| word < *modulus).map(of).sum::<i64>();
        assert_eq!(counts.get(&format!("w{word}")), Some(&expected), "w{word}");
    }
    running.close().await
}

#[tokio::test]
async fn draining_an_application_without_input_ends() -> Result<()> {
    let app = App::new("empty");
    let running = app.streams(app.word_count()).start().await?;
    running.drain().await?;
    assert_eq!(counted(&running).await?, expected(&[]));
    running.close().await
}

/// Settings of clients go by their own names to those that take them, as in Kafka Streams.
#[tokio::test]
async fn client_settings_need_no_prefix() -> Result<()> {
    let app = App::new("plain-settings");
    let settings =
        [("request.timeout.ms", 20_000), ("linger.ms", 0), ("max.poll.interval.ms", 60_000), ("poll.ms", 10)];
    let streams = app.streams(app.word_count());
    let streams = settings.into_iter().fold(streams, |streams, (key, value)| streams.config(key, value));
    let running = streams.start().await?;
    count(&running, app.lines(), &["a b a"]).await?;
    assert_eq!(counted(&running).await?, expected(&[("a", 2), ("b", 1)]));
    running.close().await
}

/// A task has as many stores as its topology wants: what is committed beside its offsets has room in the broker.
#[tokio::test]
async fn a_task_may_have_many_stores() -> Result<()> {
    const STORES: i64 = 60;
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let app = App::new("many-stores-of-an-application-with-a-long-name");
        let directory = tempfile::tempdir().expect("a directory");
        let keyed: Topic<String, String> = Topic::named(format!("{}-keyed", app.id()));
        let builder = StreamsBuilder::new();
        let groups = builder.stream(keyed.clone()).group_by_key();
        let out: Topic<String, i64> = Topic::named(format!("{}-out", app.id()));
        for _ in 0..STORES {
            groups.count().updates().to(out.clone());
        }
        let topology = builder.build()?;
        for round in 1..=2 {
            let streams = keep(app.streams(topology.clone()), directory.path()).create_topics(1);
            let running = streams.guarantee(guarantee).start().await?;
            let producer = running.producer(keyed.clone())?;
            producer.send("a".to_string(), String::new()).await?;
            producer.flush().await?;
            running.drain().await?;
            let mut outputs = running.consumer(out.clone()).await?.from_the_start()?;
            for number in 0..STORES * round {
                assert_eq!(outputs.next().await?.value, 1 + number / STORES, "{guarantee:?}");
            }
            running.close().await?;
        }
    }
    Ok(())
}
