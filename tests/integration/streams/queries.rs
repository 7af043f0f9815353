//! Stores of every kind, asked while the application runs.

use anabranch::prelude::*;

use super::outside::Outside;
use super::{App, COUNTS, keep};

const PER_WINDOW: Store<Windows<String, i64>> = Store::named("per-window");
const PER_SESSION: Store<Sessions<String, i64>> = Store::named("per-session");
const LATEST: Store<Versioned<String, i64>> = Store::named("latest");

struct Topics {
    /// Of a user, at the time that is the value.
    clicks: Topic<String, i64>,
    prices: Topic<String, i64>,
}

impl Topics {
    fn of(app: &App) -> Topics {
        let name = |topic: &str| format!("{}-{topic}", app.id());
        Topics { clicks: Topic::named(name("clicks")), prices: Topic::named(name("prices")) }
    }

    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let timed = |topic: &Topic<String, i64>| topic.clone().consumed().timestamps(|event, _| event.value);
        let by_user = builder.stream(timed(&self.clicks)).group_by_key();
        by_user.windowed_by(Tumbling::of(seconds(10))).count_with(PER_WINDOW.retention(minutes(10)));
        by_user.windowed_by(Session::gap(seconds(5))).count_with(PER_SESSION.retention(minutes(10)));
        builder.table_with(timed(&self.prices), LATEST.history(minutes(1)));
        builder.build().expect("a valid topology")
    }
}

async fn send(running: &RunningStreams, topic: &Topic<String, i64>, records: &[(&str, i64)]) -> Result<()> {
    let producer = running.producer(topic.clone())?;
    for (key, time) in records {
        producer.send((*key).to_string(), *time).await?;
    }
    producer.flush().await
}

fn window(key: &str, start_ms: i64) -> Windowed<String> {
    Windowed { key: key.to_string(), window: TimeWindow { start_ms, end_ms: start_ms + 10_000 } }
}

fn session(key: &str, start_ms: i64, end_ms: i64) -> Windowed<String, SessionWindow> {
    Windowed { key: key.to_string(), window: SessionWindow { start_ms, end_ms } }
}

/// Text between quotes, on topics that begin as the application does.
struct Quoted {
    application: String,
}

impl Serde<String> for Quoted {
    fn serialize(
        &self,
        context: &SerdeContext<'_>,
        text: &String,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        if !context.topic.starts_with(&self.application) {
            return Err(SerdeError::new(format_args!("no topic of the application: {}", context.topic)));
        }
        out.extend_from_slice(format!("'{text}'").as_bytes());
        Ok(())
    }

    fn deserialize(&self, _: &SerdeContext<'_>, bytes: &[u8]) -> Result<String, SerdeError> {
        let text = String::from_utf8_lossy(bytes);
        let between = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        between.map(str::to_owned).ok_or_else(|| SerdeError::new("no quotes"))
    }
}

#[tokio::test]
async fn a_store_is_read_with_what_it_is_written_with() -> Result<()> {
    let app = App::new("quoted");
    let quoted = || Quoted { application: app.id().to_string() };
    let lines = Topic::with_serdes(format!("{}-lines", app.id()), quoted(), quoted());
    let builder = StreamsBuilder::new();
    builder.stream(lines.clone()).group_by_key().count_with(COUNTS);
    builder
        .stream(lines.clone())
        .group_by_key()
        .windowed_by(Tumbling::of(hours(10_000_000)))
        .count_with(PER_WINDOW);
    let running = app.streams(builder.build()?).start().await?;
    let producer = running.producer(lines)?;
    for _ in 0..2 {
        producer.send("ada".to_string(), "x".to_string()).await?;
    }
    producer.flush().await?;
    running.drain().await?;
    let ada = "ada".to_string();
    assert_eq!(running.store(COUNTS)?.get(&ada).await?, Some(2));
    assert_eq!(running.store(COUNTS)?.all().await?, [("ada".to_string(), 2)]);
    assert_eq!(running.store(COUNTS)?.range(..=ada.clone()).await?, [("ada".to_string(), 2)]);
    assert_eq!(running.store(PER_WINDOW)?.fetch(&ada, 0).await?, Some(2));
    running.close().await
}

async fn windows_are(running: &RunningStreams) -> Result<()> {
    let windows = running.store(PER_WINDOW)?;
    let ada = "ada".to_string();
    assert_eq!(windows.fetch(&ada, 60_000).await?, Some(2));
    assert_eq!(windows.fetch(&ada, 50_000).await?, None);
    assert_eq!(windows.fetch(&"nobody".to_string(), 60_000).await?, None);
    assert_eq!(windows.fetch_range(&ada, ..).await?, [(60_000, 2), (70_000, 1)]);
    assert_eq!(windows.fetch_range(&ada, 60_001..).await?, [(70_000, 1)]);
    assert_eq!(windows.fetch_range(&ada, ..70_000).await?, [(60_000, 2)]);
    let all = [(window("ada", 60_000), 2), (window("ada1", 60_000), 1), (window("ada", 70_000), 1)];
    assert_eq!(windows.all().await?, all);
    assert_eq!(windows.fetch_all(70_000..=70_000).await?, all[2..]);
    assert_eq!(windows.fetch_keys("ada1".to_string().., ..).await?, all[1..2]);
    assert_eq!(windows.fetch_keys(..="ada".to_string(), ..).await?, [all[0].clone(), all[2].clone()]);
    Ok(())
}

async fn sessions_are(running: &RunningStreams) -> Result<()> {
    let sessions = running.store(PER_SESSION)?;
    let ada = "ada".to_string();
    let of_ada = [(session("ada", 60_000, 61_000), 2), (session("ada", 70_000, 70_000), 1)];
    assert_eq!(sessions.fetch(&ada).await?, of_ada);
    assert_eq!(sessions.find_sessions(&ada, 61_000..=69_999).await?, of_ada[..1]);
    assert_eq!(sessions.find_sessions(&ada, 61_001..).await?, of_ada[1..]);
    assert_eq!(sessions.fetch_session(&ada, 60_000, 61_000).await?, Some(2));
    assert_eq!(sessions.fetch_session(&ada, 60_001, 61_000).await?, None);
    assert_eq!(sessions.fetch_keys("ada1".to_string()..).await?, [(session("ada1", 62_000, 62_000), 1)]);
    assert_eq!(sessions.fetch_keys(..).await?.len(), 3);
    Ok(())
}

async fn versions_are(running: &RunningStreams) -> Result<()> {
    let prices = running.store(LATEST)?;
    let version = |value, valid_to_ms| VersionedRecord { value, valid_from_ms: value, valid_to_ms };
    let tea = "tea".to_string();
    let all = [version(1_000, Some(2_000)), version(2_000, Some(5_000)), version(5_000, None)];
    assert_eq!(prices.get(&tea).await?, Some(version(5_000, None)));
    assert_eq!(prices.get_as_of(&tea, 1_999).await?, Some(all[0]));
    assert_eq!(prices.get_as_of(&tea, 2_000).await?, Some(all[1]));
    assert_eq!(prices.get_as_of(&tea, 999).await?, None);
    assert_eq!(prices.versions(&tea, ..).await?, all);
    assert_eq!(prices.versions(&tea, 2_000..5_000).await?, all[1..2]);
    assert_eq!(prices.get(&"tea leaves".to_string()).await?, Some(version(3_000, None)));
    assert_eq!(prices.get(&"coffee".to_string()).await?, None);
    Ok(())
}

#[tokio::test]
async fn windows_sessions_and_versions_can_be_asked() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let app = App::new("queries");
    let topics = Topics::of(&app);
    let start = || keep(app.streams(topics.topology()), directory.path()).start();

    let running = start().await?;
    let clicks = [("ada", 60_000), ("ada", 61_000), ("ada1", 62_000), ("ada", 70_000)];
    send(&running, &topics.clicks, &clicks).await?;
    let prices = [("tea", 1_000), ("tea", 5_000), ("tea leaves", 3_000), ("tea", 2_000)];
    send(&running, &topics.prices, &prices).await?;
    running.drain().await?;
    windows_are(&running).await?;
    sessions_are(&running).await?;
    versions_are(&running).await?;
    let other = Store::<Windows<String, String>>::named("per-window");
    let refused = running.store(other)?.all().await.expect_err("of other types").to_string();
    assert!(refused.contains("`per-window`") && refused.contains("of other types"), "{refused}");
    running.close().await?;

    let running = start().await?;
    windows_are(&running).await?;
    sessions_are(&running).await?;
    versions_are(&running).await?;
    // What the retention has left behind is not seen any more, although its segment is still there.
    send(&running, &topics.clicks, &[("ada", 665_000)]).await?;
    send(&running, &topics.prices, &[("tea", 65_000)]).await?;
    running.drain().await?;
    let (ada, tea) = ("ada".to_string(), "tea".to_string());
    assert_eq!(running.store(PER_WINDOW)?.fetch_range(&ada, ..).await?, [(70_000, 1), (660_000, 1)]);
    assert_eq!(running.store(PER_SESSION)?.fetch(&ada).await?.len(), 2);
    assert_eq!(running.store(LATEST)?.get_as_of(&tea, 4_999).await?, None);
    running.close().await
}

#[tokio::test]
async fn a_standby_answers_who_takes_stale_rows() -> Result<()> {
    let outside = Outside::start().await;
    let app = App::new("stale");
    let start = async |server: &str| {
        let streams = outside.run(app.streams(app.word_count()));
        let streams = streams.config("num.standby.replicas", 1).config("commit.interval.ms", 20);
        streams.config("application.server", server).start().await
    };
    let (first, second) = (start("one:1").await?, start("two:2").await?);
    let words: Vec<String> = (0..20).map(|n| format!("w{n}")).collect();
    super::count(&first, app.lines(), &[&words.join(" "), "w7"]).await?;
    second.drain().await?;
    // Each runs some tasks and follows the other's.
    let is_settled = |task: &TaskStatus| task.is_standby != task.is_running;
    for running in [&first, &second] {
        let stale = running.store(COUNTS)?.with_stale();
        while stale.all().await?.len() < words.len() || !running.tasks().iter().all(is_settled) {
            outside.host.sleep(millis(20)).await;
        }
        assert_eq!(stale.get(&"w7".to_string()).await?, Some(2));
        assert!(running.store(COUNTS)?.all().await?.len() < words.len(), "its own are fewer");
        let standbys: Vec<_> = running.tasks().into_iter().filter(|task| task.is_standby).collect();
        assert!(
            !standbys.is_empty() && standbys.iter().all(|task| task.records_behind.is_some()),
            "{standbys:?}"
        );
    }
    // Each says where a key is, and both say the same.
    let here = first.store(COUNTS)?.all().await?.into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    for word in &words {
        let (active, standby) = if here.contains(word) { ("one:1", "two:2") } else { ("two:2", "one:1") };
        let found = first.metadata_for_key(COUNTS, word)?;
        assert_eq!(found.active_host.as_deref(), Some(active), "{word}");
        assert_eq!(found.standby_hosts, [standby], "{word}");
        assert_eq!(second.metadata_for_key(COUNTS, word)?, found);
    }
    let all = second.metadata_for_store(COUNTS)?;
    assert_eq!(all.iter().map(|one| one.host.as_str()).collect::<Vec<_>>(), ["one:1", "two:2"]);
    assert_eq!((&all[0].active, &all[0].standby), (&all[1].standby, &all[1].active));
    first.close().await?;
    second.close().await
}
