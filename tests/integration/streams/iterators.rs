//! Rows that are read one by one while the application goes on: those of one moment, whatever is processed meanwhile.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anabranch::prelude::*;
use futures::TryStreamExt;

use super::outside::Outside;
use super::{App, COUNTS, keep};

const ROWS: Store<KeyValue<String, i64>> = Store::named("rows");
const WINDOWS: Store<Windows<String, i64>> =
    Store::named("windows").window(minutes(1)).retention(minutes(20));
const SESSIONS: Store<Sessions<String, i64>> = Store::named("sessions").retention(minutes(20));

const KEYS: i64 = 300;
const TIMED_KEYS: i64 = 60;
/// Of windows and sessions: in two segments of ten minutes.
const TIMES: [i64; 5] = [0, 4 * MINUTE, 8 * MINUTE, 12 * MINUTE, 16 * MINUTE];
const MINUTE: i64 = 60_000;

/// Key, time and value of a row.
type Row = (String, i64, i64);

fn key(number: i64) -> String {
    format!("k{number:04}")
}

/// Rows come and go with every record.
fn is_there(number: i64, round: i64) -> bool {
    (number + round) % 3 != 0
}

/// The rows that a record leaves, by key.
fn rows_of(round: i64) -> Vec<Row> {
    (0..KEYS).filter(|n| is_there(*n, round)).map(|n| (key(n), 0, round)).collect()
}

/// The windows, or the sessions, that a record leaves: by segment, key and time.
fn timed_of(round: i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for segment in [&TIMES[..3], &TIMES[3..]] {
        for n in 0..TIMED_KEYS {
            let there = segment.iter().filter(|time| is_there(n + *time / (4 * MINUTE), round));
            rows.extend(there.map(|time| (key(n), *time, round)));
        }
    }
    rows
}

/// Writes all rows of a round.
struct Rounds {
    rows: StoreRef<KeyValue<String, i64>>,
    windows: StoreRef<Windows<String, i64>>,
    sessions: StoreRef<Sessions<String, i64>>,
    /// The last round that is written.
    written: Arc<AtomicI64>,
}

impl Processor for Rounds {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(&mut self, record: Record<String, i64>, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
        let round = record.value;
        for n in 0..KEYS {
            ctx.store(self.rows).put(&key(n), is_there(n, round).then_some(&round))?;
        }
        for n in 0..TIMED_KEYS {
            for time in TIMES {
                let value = is_there(n + time / (4 * MINUTE), round).then_some(&round);
                ctx.store(self.windows).put(&key(n), value, time)?;
                let window = SessionWindow { start_ms: time, end_ms: time };
                ctx.store(self.sessions).put(&Windowed { key: key(n), window }, value)?;
            }
        }
        self.written.store(round, Ordering::SeqCst);
        Ok(())
    }
}

/// An iterator over any of the stores.
enum Open {
    Rows(KeyValueIterator<String, i64>),
    Windows(KeyValueIterator<Windowed<String>, i64>),
    OfKey(String, KeyValueIterator<i64, i64>),
    Sessions(KeyValueIterator<Windowed<String, SessionWindow>, i64>),
}

impl Open {
    async fn next(&mut self) -> Result<Option<Row>> {
        Ok(match self {
            Open::Rows(rows) => rows.next().await?.map(|(key, value)| (key, 0, value)),
            Open::Windows(rows) => rows.next().await?.map(|(of, value)| (of.key, of.window.start_ms, value)),
            Open::OfKey(key, rows) => rows.next().await?.map(|(start, value)| (key.clone(), start, value)),
            Open::Sessions(rows) => rows.next().await?.map(|(of, value)| (of.key, of.window.end_ms, value)),
        })
    }
}

/// Which keys and times are read of which store, and from which end.
#[derive(Clone, Copy, Debug)]
struct Asked {
    store: Kind,
    keys: (Bound<i64>, Bound<i64>),
    times: (i64, i64),
    reverse: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Rows,
    Windows,
    /// Of the first key.
    WindowsOfKey,
    Sessions,
    SessionsOfKey,
}

const ALL: (Bound<i64>, Bound<i64>) = (Bound::Unbounded, Bound::Unbounded);

fn all_cases() -> Vec<Asked> {
    use Bound::{Excluded, Included, Unbounded};
    let mut cases = Vec::new();
    let narrow = (Included(10), Excluded(20));
    let keys =
        [ALL, narrow, (Excluded(9), Unbounded), (Included(40), Included(40)), (Included(20), Included(10))];
    for reverse in [false, true] {
        let case = |store, keys, times| Asked { store, keys, times, reverse };
        cases.extend(keys.map(|keys| case(Kind::Rows, keys, (0, 0))));
        for times in [(i64::MIN, i64::MAX), (4 * MINUTE, 12 * MINUTE), (5 * MINUTE, 7 * MINUTE), (9, 8)] {
            cases.extend(keys.map(|keys| case(Kind::Windows, keys, times)));
            cases.extend(keys.map(|keys| case(Kind::Sessions, keys, times)));
            for n in [0, 7, TIMED_KEYS - 1, TIMED_KEYS] {
                cases.push(case(Kind::WindowsOfKey, (Included(n), Included(n)), times));
                cases.push(case(Kind::SessionsOfKey, (Included(n), Included(n)), times));
            }
        }
    }
    cases
}

impl Asked {
    /// What is to be read once a round is committed.
    fn expected(&self, round: i64) -> Vec<Row> {
        let all = if self.store == Kind::Rows { rows_of(round) } else { timed_of(round) };
        let keys = (self.keys.0.map(key), self.keys.1.map(key));
        let is_asked = |(key, time, _): &Row| {
            std::ops::RangeBounds::contains(&keys, key) && (self.times.0..=self.times.1).contains(time)
        };
        let mut rows: Vec<Row> = all.into_iter().filter(is_asked).collect();
        if self.reverse {
            rows.reverse();
        }
        rows
    }

    /// The iterator, and the round that it shows.
    async fn open(&self, running: &RunningStreams, topic: &str) -> Result<(Open, i64)> {
        let (keys, times) = ((self.keys.0.map(key), self.keys.1.map(key)), self.times.0..=self.times.1);
        let of = match self.keys.0 {
            Bound::Included(n) => key(n),
            _ => String::new(),
        };
        let (rows, windows, sessions) =
            (running.store(ROWS)?, running.store(WINDOWS)?, running.store(SESSIONS)?);
        let opened = match (self.store, self.reverse) {
            (Kind::Rows, false) => Open::Rows(rows.range(keys).iter().await?),
            (Kind::Rows, true) => Open::Rows(rows.reverse_range(keys).iter().await?),
            (Kind::Windows, false) => Open::Windows(windows.fetch_keys(keys, times).iter().await?),
            (Kind::Windows, true) => Open::Windows(windows.backward_fetch_keys(keys, times).iter().await?),
            (Kind::WindowsOfKey, false) => {
                let of_key = windows.fetch_range(&of, times).iter().await?;
                Open::OfKey(of, of_key)
            }
            (Kind::WindowsOfKey, true) => {
                let of_key = windows.backward_fetch_range(&of, times).iter().await?;
                Open::OfKey(of, of_key)
            }
            (Kind::Sessions, false) if times == (i64::MIN..=i64::MAX) => {
                Open::Sessions(sessions.fetch_keys(keys).iter().await?)
            }
            (Kind::Sessions, true) if times == (i64::MIN..=i64::MAX) => {
                Open::Sessions(sessions.backward_fetch_keys(keys).iter().await?)
            }
            (Kind::Sessions, false) => {
                Open::Sessions(sessions.find_sessions_of_keys(keys, times).iter().await?)
            }
            (Kind::Sessions, true) => {
                Open::Sessions(sessions.backward_find_sessions_of_keys(keys, times).iter().await?)
            }
            (Kind::SessionsOfKey, false) => Open::Sessions(sessions.find_sessions(&of, times).iter().await?),
            (Kind::SessionsOfKey, true) => {
                Open::Sessions(sessions.backward_find_sessions(&of, times).iter().await?)
            }
        };
        let mut position = rows.position();
        position.merge(&windows.position());
        position.merge(&sessions.position());
        // The rounds are the offsets, plus one.
        Ok((opened, position.offset(topic, 0).map_or(0, |offset| offset + 1)))
    }
}

/// Opens an iterator for each case, reads a part, lets `go_on` happen, and reads the rest. The first of these rounds is
/// committed, the last is written.
async fn check(
    running: &RunningStreams,
    topic: &str,
    rounds: (i64, i64),
    go_on: impl Future<Output = Result<()>>,
) -> Result<()> {
    let mut open = Vec::new();
    for (place, asked) in all_cases().into_iter().enumerate() {
        let (mut rows, round) = asked.open(running, topic).await?;
        assert!((rounds.0..=rounds.1).contains(&round), "{asked:?} shows round {round}");
        let mut expected = asked.expected(round).into_iter();
        // Some are not read before.
        for _ in 0..expected.len() * (place % 3) / 3 {
            assert_eq!(rows.next().await?, expected.next(), "{asked:?} of round {round}");
        }
        open.push((asked, round, rows, expected));
    }
    go_on.await?;
    for (asked, round, mut rows, mut expected) in open {
        loop {
            let (row, expected) = (rows.next().await?, expected.next());
            assert_eq!(row, expected, "{asked:?} of round {round}, later");
            if row.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// How many iterators are open over the rows' store.
fn num_open(running: &RunningStreams) -> Option<u32> {
    let sample = "kafka_streams_state_num_open_iterators{task_id=\"0_0\",store=\"rows\"} ";
    running.metrics().lines().find_map(|line| line.strip_prefix(sample)?.parse().ok())
}

#[tokio::test]
async fn an_iterator_shows_one_moment() -> Result<()> {
    for (guarantee, on_disk) in
        [(AtLeastOnce, false), (ExactlyOnce, false), (AtLeastOnce, true), (ExactlyOnce, true)]
    {
        let directory = tempfile::tempdir().expect("a directory");
        let (app, written) = (App::new("iterators"), Arc::new(AtomicI64::new(0)));
        let topic: Topic<String, i64> = Topic::named(format!("{}-rounds", app.id()));
        let start = async || {
            let (builder, written) = (StreamsBuilder::new(), Arc::clone(&written));
            builder.stream(topic.clone()).process(move |ctx: &mut InitContext<'_, Rounds>| Rounds {
                rows: ctx.store(ROWS),
                windows: ctx.store(WINDOWS),
                sessions: ctx.store(SESSIONS),
                written: Arc::clone(&written),
            });
            // Nothing is committed unless it is drained.
            let streams = app.streams(builder.build()?).create_topics(1).guarantee(guarantee);
            let streams = streams.config("commit.interval.ms", 300_000);
            let streams = streams.config("producer.transaction.timeout.ms", 600_000);
            // With so little memory rows are read from disk.
            let streams = streams.config("statestore.memory.max.bytes", 4096);
            if on_disk { keep(streams, directory.path()).start().await } else { streams.start().await }
        };
        let running = start().await?;
        let producer = running.producer(topic.clone())?;
        let write = async |round: i64| -> Result<()> {
            producer.write("k".to_string(), round).await?;
            while written.load(Ordering::SeqCst) < round {
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        let round = async |round: i64| {
            write(round).await?;
            running.drain().await
        };
        round(1).await?;
        let name = topic.name();
        check(&running, name, (1, 1), round(2)).await?;
        // What is written and not committed is not seen; nor when it is. (The last `drain` may have asked for one commit
        // too many.)
        for number in 3..6 {
            write(number).await?;
        }
        check(&running, name, (2, 5), running.drain()).await?;
        let go_on = async {
            round(6).await?;
            round(7).await
        };
        check(&running, name, (5, 5), go_on).await?;
        assert_eq!(num_open(&running), Some(0));
        let mut kept = running.store(ROWS)?.all().iter().await?;
        assert_eq!(kept.next().await?, rows_of(7).first().map(|(key, _, value)| (key.clone(), *value)));
        assert_eq!(num_open(&running), Some(1));
        let rest: Vec<_> = running.store(ROWS)?.reverse_all().iter().await?.try_collect().await?;
        assert_eq!(rest.len(), rows_of(7).len(), "it is a stream");
        // It holds nothing of an application that has ended.
        running.close().await?;
        assert_eq!(kept.next().await.expect_err("it has ended").kind(), ErrorKind::Migrated);
        if on_disk {
            let running = start().await?;
            check(&running, name, (7, 7), async { Ok(()) }).await?;
            running.close().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn tasks_that_move_are_read_to_the_end() -> Result<()> {
    let outside = Outside::start().await;
    let app = App::new("moving-iterators");
    let start = async || outside.run(app.streams(app.word_count())).start().await;
    let first = start().await?;
    let mut words: Vec<String> = (0..500).map(key).collect();
    super::count(&first, app.lines(), &[&words.join(" ")]).await?;
    let mut rows = first.store(COUNTS)?.all().iter().await?;
    let mut found = Vec::new();
    for _ in 0..10 {
        found.extend(rows.next().await?);
    }
    let second = start().await?;
    while second.store(COUNTS)?.all().await?.is_empty() {
        outside.host.sleep(millis(20)).await;
    }
    super::count(&second, app.lines(), &[&words.join(" ")]).await?;
    while let Some(row) = rows.next().await? {
        found.push(row);
    }
    found.sort();
    words.sort();
    assert_eq!(found, words.into_iter().map(|word| (word, 1)).collect::<Vec<_>>());
    first.close().await?;
    second.close().await
}
