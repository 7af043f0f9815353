//! Stores of processors: each record asks another question.

use anabranch::prelude::*;

use super::{Build, IN};

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] = &[
    ("store_key_value", store_key_value),
    ("store_session", store_session),
    ("store_versioned", store_versioned),
    ("store_window", store_window),
];

type Input = Record<Option<String>, Option<String>>;
type Answers = Vec<(String, String)>;

/// A processor that answers each record with what `$ask` reads from its store.
macro_rules! asking {
    ($name:ident, $kind:ident, $store:expr, $ask:ident) => {
        struct $name(StoreRef<$kind<String, String>>);

        impl $name {
            fn new(ctx: &mut InitContext<'_, Self>) -> Self {
                $name(ctx.store($store))
            }
        }

        impl Processor for $name {
            type KeyIn = Option<String>;
            type ValueIn = Option<String>;
            type KeyOut = String;
            type ValueOut = String;

            fn process(&mut self, record: Input, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
                let Record { key: Some(key), value, timestamp, .. } = record else { return Ok(()) };
                // How many records came before: an abort, which makes processors anew, does not change it.
                let n = ctx.record_metadata().map_or(0, |record| record.offset);
                for (question, answer) in $ask(ctx.store(self.0), n, key, value.as_ref(), timestamp)? {
                    ctx.forward(Record::new(question, answer, timestamp));
                }
                Ok(())
            }
        }
    };
}

asking!(KeyValues, KeyValue, Store::named("p"), ask_key_values);
asking!(WindowedValues, Windows, Store::named("p").retention(millis(100)).window(millis(10)), ask_windows);
asking!(SessionValues, Sessions, Store::named("p").retention(millis(200)), ask_sessions);

asking!(VersionedValues, Versioned, Store::named("p").history(millis(100)), ask_versions);

fn store_key_value(b: &StreamsBuilder) {
    b.stream(IN).process(KeyValues::new).to("out");
}

fn store_window(b: &StreamsBuilder) {
    b.stream(IN).process(WindowedValues::new).to("out");
}

fn store_session(b: &StreamsBuilder) {
    b.stream(IN).process(SessionValues::new).to("out");
}

fn store_versioned(b: &StreamsBuilder) {
    b.stream(IN).process(VersionedValues::new).to("out");
}

fn ask_key_values(
    mut store: KeyValueStore<'_, String, String>,
    n: i64,
    key: String,
    value: Option<&String>,
    _: i64,
) -> Result<Answers> {
    let (a, b, c, d) = ("a".to_string(), "b".to_string(), "c".to_string(), "d".to_string());
    let one = |value: Option<String>| vec![(key.clone(), value.unwrap_or_else(|| "null".to_string()))];
    let (question, answers) = match n % 7 {
        0 => ("all", store.all()?.collect()),
        1 => ("reverse_all", store.reverse_all()?.collect()),
        2 => ("range", store.range(a..=c)?.collect()),
        3 => ("reverse_range", store.reverse_range(b..=d)?.collect()),
        4 => ("prefix", store.prefix_scan(&key[..1].to_string())?.collect()),
        5 => ("delete", one(store.delete(&key)?)),
        _ => ("put_if_absent", one(store.put_if_absent(&key, value)?)),
    };
    if n % 7 < 5 {
        store.put(&key, value)?;
    }
    Ok(answers.into_iter().map(|(key, value)| (format!("{question}:{key}"), value)).collect())
}

fn ask_windows(
    mut store: WindowStore<'_, String, String>,
    n: i64,
    key: String,
    value: Option<&String>,
    now: i64,
) -> Result<Answers> {
    store.put(&key, value, now)?;
    let at = |(start, value): (i64, String)| (format!("{key}@{start}"), value);
    let within = |(Windowed { key, window }, value): (Windowed<String>, String)| {
        (format!("{key}@{}/{}", window.start_ms, window.end_ms), value)
    };
    let (question, answers): (_, Answers) = match n % 6 {
        0 => ("fetch", store.fetch_range(&key, now - 30..=now)?.map(at).collect()),
        1 => ("backward_fetch", store.backward_fetch_range(&key, now - 30..=now)?.map(at).collect()),
        2 => {
            let (a, c) = ("a".to_string(), "c".to_string());
            ("fetch_range", store.fetch_keys(a..=c, now - 20..=now + 5)?.map(within).collect())
        }
        3 => ("fetch_all", store.fetch_all(now - 15..=now)?.map(within).collect()),
        4 => ("all", store.all()?.map(within).collect()),
        _ => {
            let value = store.fetch(&key, now)?.unwrap_or_else(|| "null".to_string());
            ("fetch_one", vec![at((now, value))])
        }
    };
    Ok(answers.into_iter().map(|(key, value)| (format!("{question}:{key}"), value)).collect())
}

fn ask_sessions(
    mut store: SessionStore<'_, String, String>,
    n: i64,
    key: String,
    value: Option<&String>,
    now: i64,
) -> Result<Answers> {
    let start_ms = now - 3 * (n % 4);
    let session = Windowed { key: key.clone(), window: SessionWindow { start_ms, end_ms: now } };
    store.put(&session, value)?;
    let (question, answers): (_, Vec<(Windowed<String, SessionWindow>, String)>) = match n % 5 {
        0 => ("find", store.find_sessions(&key, now - 30..=now + 10)?.collect()),
        1 => ("fetch", store.fetch(&key)?.collect()),
        2 => ("fetch_range", store.fetch_keys("a".to_string()..="c".to_string())?.collect()),
        3 => ("backward_find", store.backward_find_sessions(&key, now - 30..=now + 10)?.collect()),
        _ => {
            let value = store.fetch_session(&key, start_ms, now)?;
            ("fetch_session", vec![(session, value.unwrap_or_else(|| "null".to_string()))])
        }
    };
    let told = |(Windowed { key, window }, value): (Windowed<String, SessionWindow>, String)| {
        (format!("{question}:{key}@{}/{}", window.start_ms, window.end_ms), value)
    };
    Ok(answers.into_iter().map(told).collect())
}

fn ask_versions(
    mut store: VersionedStore<'_, String, String>,
    n: i64,
    key: String,
    value: Option<&String>,
    now: i64,
) -> Result<Answers> {
    let put = match store.put(&key, value, now)? {
        PutOutcome::Latest => -1,
        PutOutcome::ValidTo(time) => time,
        PutOutcome::TooOld => i64::MIN,
    };
    let (question, found) = match n % 3 {
        0 => ("get", store.get(&key)?),
        1 => ("get_as_of", store.get_as_of(&key, (now - 20).max(0))?),
        _ => ("delete", store.delete(&key, (now - 5).max(0))?),
    };
    let found = found.map(|version| format!("{}@{}", version.value, version.valid_from_ms));
    Ok(vec![
        (format!("put:{key}"), put.to_string()),
        (format!("{question}:{key}"), found.unwrap_or_else(|| "none".to_string())),
    ])
}
