//! Records that cannot be written: they have no bytes, are too large for the producer, or are refused by the broker. Each
//! is for `on_production_error`, and what goes on beside it counts.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::ConfigResource;

use super::{App, count};

/// How many lines there were of each length.
const LENGTHS: Store<KeyValue<i64, i64>> = Store::named("lengths");

/// Why long lines cannot be written.
struct Cause {
    name: &'static str,
    /// Settings of the application.
    settings: &'static [(&'static str, &'static str)],
    /// Settings that the topic of outputs gets.
    topic: &'static [(&'static str, &'static str)],
    /// What a dead letter has left of its line.
    kept: fn(&str) -> Option<String>,
}

const CAUSES: [Cause; 4] = [
    Cause { name: "no-bytes", settings: &[], topic: &[], kept: whole },
    Cause {
        name: "too-large",
        settings: &[("producer.max.request.size", "5000")],
        topic: &[],
        // The letter would be too large too.
        kept: |_| None,
    },
    Cause { name: "refused-size", settings: &[], topic: &[("max.message.bytes", "5000")], kept: whole },
    Cause { name: "refused-key", settings: &[], topic: &[("cleanup.policy", "compact")], kept: whole },
];

fn whole(line: &str) -> Option<String> {
    Some(line.to_string())
}

fn is_long(line: &str) -> bool {
    line.len() > 8_000
}

/// Short lines and some long ones, no two the same.
fn lines() -> Vec<String> {
    let line = |number: usize| match number % 9 {
        4 => "x".repeat(9_000 + number),
        _ => format!("{number:03}"),
    };
    (0..60).map(line).collect()
}

/// Text that must be short.
struct Short;

impl Serde<String> for Short {
    fn serialize(&self, at: &SerdeContext<'_>, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        match is_long(value) {
            true => Err(SerdeError::new("it is too long")),
            false => Text.serialize(at, value, out),
        }
    }

    fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<String, SerdeError> {
        Text.deserialize(at, bytes)
    }
}

/// Copies lines, and counts them by their length. The long ones lose their key.
fn copying(app: &App, cause: &Cause, out: &str) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let lines = builder.stream(app.lines());
    lines.map_values(|line| line.len() as i64).group_by(|_, length| *length).count_with(LENGTHS);
    let keyed = lines.select_key(|_, line| (!is_long(line)).then(|| line.clone()));
    let out: Topic<Option<String>, String> = match cause.name {
        "no-bytes" => Topic::with_serdes(out, nullable(text()), Short),
        _ => Topic::named(out),
    };
    keyed.to(out);
    builder.build()
}

async fn check(cause: &Cause, guarantee: Guarantee, answer: Option<OnError>) -> Result<()> {
    let app = App::new(&format!("production-{}", cause.name));
    let out = format!("{}-out", app.id());
    let letters = format!("{}-letters", app.id());
    let mut streams = app.streams(copying(&app, cause, &out)?).create_topics(1).guarantee(guarantee);
    streams = streams.config("errors.dead.letter.queue.topic.name", &letters);
    for (key, value) in cause.settings {
        streams = streams.config(*key, value);
    }
    if let Some(answer) = answer.clone() {
        streams = streams.on_production_error(answer);
    }
    let running = streams.start().await?;
    let changes: Vec<_> = cause.topic.iter().map(|(key, value)| (*key, Some(*value))).collect();
    if !changes.is_empty() {
        let (topic, admin) = (ConfigResource::Topic(out.clone()), running.client().admin());
        admin.alter_configs(&topic, &changes).await.expect("a setting of the topic");
        // Apache Kafka answers before its log knows.
        let holds = async || {
            let entries = admin.describe_configs(&topic).await.expect("the settings of the topic");
            let is_set = |key: &str| entries.iter().any(|entry| entry.name == key && !entry.is_default);
            changes.iter().all(|(key, _)| is_set(key))
        };
        while !holds().await {
            running.client().host().sleep(Duration::from_millis(10)).await;
        }
    }
    let lines = lines();
    let text: Vec<&str> = lines.iter().map(String::as_str).collect();
    let counted = count(&running, app.lines(), &text).await;
    if answer == Some(fail()) {
        let error = counted.expect_err("the application has stopped").to_string();
        assert!(error.contains(app.lines().name()), "{}: `{error}` names the record", cause.name);
        assert!(running.close().await.is_err());
        return Ok(());
    }
    counted?;
    let (long, short): (Vec<&String>, Vec<&String>) = lines.iter().partition(|line| is_long(line));
    let mut outputs =
        running.consumer(Topic::<Option<String>, String>::named(out)).await?.from_the_start()?;
    let mut copied = BTreeMap::<String, usize>::new();
    while copied.len() < short.len() {
        *copied.entry(outputs.next().await?.value).or_default() += 1;
    }
    let mut counts = BTreeMap::new();
    lines.iter().for_each(|line| *counts.entry(line.len() as i64).or_insert(0) += 1);
    let stored: BTreeMap<i64, i64> = running.store(LENGTHS)?.all().await?.into_iter().collect();
    assert!(short.iter().all(|line| copied.contains_key(*line)), "{}: {copied:?}", cause.name);
    if guarantee == ExactlyOnce {
        assert!(copied.values().all(|times| *times == 1), "{}: {copied:?}", cause.name);
        assert_eq!(stored, counts, "{}", cause.name);
    }
    // What the repartition topic got twice is counted twice.
    assert!(stored.keys().eq(counts.keys()), "{}: {stored:?}", cause.name);
    if answer.is_none() {
        let letters: Topic<Option<String>, Option<String>> = Topic::named(letters);
        let mut letters = running.consumer(letters).await?.from_the_start()?;
        let mut kept = Vec::new();
        while kept.len() < long.len() {
            let letter = letters.next().await?;
            let place = letter.headers.last("__streams.errors.offset").flatten().map(<[u8]>::to_vec);
            assert!(place.is_some(), "{}", cause.name);
            if guarantee == ExactlyOnce || !kept.contains(&letter.value) || letter.value.is_none() {
                kept.push(letter.value);
            }
        }
        let expected: Vec<_> = long.iter().map(|line| (cause.kept)(line)).collect();
        assert_eq!(kept, expected, "{}", cause.name);
    }
    running.close().await
}

#[tokio::test]
async fn they_go_to_the_dead_letter_topic() -> Result<()> {
    for cause in &CAUSES {
        check(cause, AtLeastOnce, None).await?;
        check(cause, ExactlyOnce, None).await?;
    }
    Ok(())
}

#[tokio::test]
async fn they_are_skipped_if_a_policy_says_so() -> Result<()> {
    for cause in &CAUSES {
        check(cause, AtLeastOnce, Some(skip())).await?;
        check(cause, ExactlyOnce, Some(skip())).await?;
    }
    Ok(())
}

#[tokio::test]
async fn they_stop_the_application_if_a_policy_says_so() -> Result<()> {
    for cause in &CAUSES {
        check(cause, AtLeastOnce, Some(fail())).await?;
        check(cause, ExactlyOnce, Some(fail())).await?;
    }
    Ok(())
}
