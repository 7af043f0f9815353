//! What is asked while records are processed is as of one commit, whatever the kind of the store: a record that has written
//! many rows is seen whole or not at all.

use std::cell::Cell;

use anabranch::prelude::*;

use super::{App, keep};

const ROWS: Store<KeyValue<i64, i64>> = Store::named("rows");
const CACHED: Store<KeyValue<i64, i64>> = Store::named("cached").caching(true);
const IN_MEMORY: Store<KeyValue<i64, i64>> = Store::named("in-memory").in_memory();
const WINDOWS: Store<Windows<i64, i64>> =
    Store::named("windows").window(Duration::from_secs(1)).retention(Duration::from_secs(3600));
const SESSIONS: Store<Sessions<i64, i64>> = Store::named("sessions").retention(Duration::from_secs(3600));
const VERSIONS: Store<Versioned<i64, i64>> = Store::named("versions").history(Duration::from_secs(3600));

/// Rows that every record writes.
const KEYS: i64 = 40;

/// Writes its number into all rows of all stores.
struct Everywhere {
    key_values: [StoreRef<KeyValue<i64, i64>>; 3],
    windows: StoreRef<Windows<i64, i64>>,
    sessions: StoreRef<Sessions<i64, i64>>,
    versions: StoreRef<Versioned<i64, i64>>,
}

impl Everywhere {
    fn new(ctx: &mut InitContext<'_, Self>) -> Self {
        Everywhere {
            key_values: [ctx.store(ROWS), ctx.store(CACHED), ctx.store(IN_MEMORY)],
            windows: ctx.store(WINDOWS),
            sessions: ctx.store(SESSIONS),
            versions: ctx.store(VERSIONS),
        }
    }
}

impl Processor for Everywhere {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(&mut self, record: Record<String, i64>, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
        let number = record.value;
        for key in 0..KEYS {
            for store in self.key_values {
                // Rows come and go: one of them is never there.
                ctx.store(store).put(&key, (key != number % KEYS).then_some(&number))?;
            }
            ctx.store(self.windows).put(&key, &number, key)?;
            let window = SessionWindow { start_ms: key, end_ms: key + 1 };
            ctx.store(self.sessions).put(&Windowed { key, window }, &number)?;
            ctx.store(self.versions).put(&key, &number, number)?;
        }
        Ok(())
    }
}

/// The one number that all rows have; 0 if there are none.
fn the_number(what: &str, rows: impl IntoIterator<Item = i64>, expected: i64) -> i64 {
    let rows: Vec<i64> = rows.into_iter().collect();
    let Some(&number) = rows.first() else { return 0 };
    assert!(rows.iter().all(|row| *row == number), "{what}: {rows:?}");
    assert_eq!(i64::try_from(rows.len()), Ok(expected), "{what} of {number}");
    number
}

/// What the stores show, each as of some commit: the record that all its rows are of, which is the answer's position.
async fn seen(running: &RunningStreams, topic: &str) -> Result<[i64; 6]> {
    let at = |position: Position, number: i64, what: &str| {
        // The numbers are the offsets, plus one.
        assert_eq!(position.offset(topic, 0).unwrap_or(-1), number - 1, "{what}: {position}");
        number
    };
    let mut numbers = [0; 6];
    for (place, store) in [ROWS, CACHED, IN_MEMORY].into_iter().enumerate() {
        let (name, rows) = (store.name().to_string(), running.store(store)?);
        let number = the_number(&name, rows.all().await?.into_iter().map(|(_, n)| n), KEYS - 1);
        numbers[place] = at(rows.position(), number, &name);
    }
    let windows = running.store(WINDOWS)?;
    let number = the_number("windows", windows.all().await?.into_iter().map(|(_, n)| n), KEYS);
    numbers[3] = at(windows.position(), number, "windows");
    let sessions = running.store(SESSIONS)?;
    let number = the_number("sessions", sessions.fetch_keys(..).await?.into_iter().map(|(_, n)| n), KEYS);
    numbers[4] = at(sessions.position(), number, "sessions");
    let versions = running.store(VERSIONS)?;
    let all: Vec<i64> = versions.versions(&7, ..).await?.into_iter().map(|version| version.value).collect();
    let number = i64::try_from(all.len()).expect("few");
    assert_eq!(all, (1..=number).collect::<Vec<_>>(), "every version up to the last one");
    numbers[5] = at(versions.position(), number, "versions");
    Ok(numbers)
}

#[tokio::test]
async fn answers_are_whole_while_records_are_processed() -> Result<()> {
    const RECORDS: i64 = 1500;
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let directory = tempfile::tempdir().expect("a directory");
        let app = App::new("consistent");
        let topic: Topic<String, i64> = Topic::named(format!("{}-numbers", app.id()));
        let builder = StreamsBuilder::new();
        builder.stream(topic.clone()).process(Everywhere::new);
        let streams = app.streams(builder.build()?).create_topics(1).guarantee(guarantee);
        // With so little memory rows are read from disk, too.
        let streams = streams.config("statestore.memory.max.bytes", 4096).config("commit.interval.ms", 10);
        let running = keep(streams, directory.path()).start().await?;
        // Who writes does not run away from who asks.
        let answered = Cell::new(0);
        let write = async {
            let producer = running.producer(topic.clone())?;
            for number in 1..=RECORDS {
                producer.send("k".to_string(), number).await?;
                if number % 20 == 0 {
                    producer.flush().await?;
                    while answered.get() < number - RECORDS / 5 {
                        tokio::task::yield_now().await;
                    }
                }
            }
            producer.flush().await
        };
        let ask = async {
            let (mut last, mut steps) = ([0; 6], 0);
            while last != [RECORDS; 6] {
                let now = seen(&running, topic.name()).await?;
                assert!(now.iter().zip(last).all(|(now, last)| *now >= last), "{now:?} after {last:?}");
                steps += usize::from(now != last && now[0] < RECORDS);
                last = now;
                answered.set(now[0]);
            }
            assert!(steps > 2, "asked while it was at work: {steps}");
            Ok(())
        };
        tokio::try_join!(write, ask)?;
        running.close().await?;
    }
    Ok(())
}
