//! Windows, sessions and joins on a broker: their rows are on disk, and a second run goes on with them.

use std::collections::BTreeMap;

use anabranch::prelude::*;

use super::{App, keep};

const RESULTS: Store<KeyValue<String, i64>> = Store::named("results");

struct Topics {
    /// Of a user, at the time that is the value.
    clicks: Topic<String, i64>,
    views: Topic<String, i64>,
    results: Topic<String, i64>,
}

impl Topics {
    fn of(app: &App) -> Topics {
        let name = |topic: &str| format!("{}-{topic}", app.id());
        Topics {
            clicks: Topic::named(name("clicks")),
            views: Topic::named(name("views")),
            results: Topic::named(name("results")),
        }
    }

    /// Clicks by window and by session, and clicks less than a second after a view.
    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let events = |topic: &Topic<String, i64>| {
            builder.stream(topic.clone().consumed().timestamps(|event, _| event.value))
        };
        let (clicks, views) = (events(&self.clicks), events(&self.views));
        let by_user = clicks.group_by_key();
        by_user
            .windowed_by(Tumbling::of(seconds(10)))
            .count()
            .updates()
            .map(|user, n| (format!("{} in {}", user.key, user.window.start_ms), n))
            .to(&self.results);
        by_user
            .windowed_by(Session::gap(seconds(5)))
            .count()
            .updates()
            .map(|user, n| (format!("{} until {}", user.key, user.window.end_ms), n))
            .to(&self.results);
        clicks
            .join(&views, JoinWindows::of(seconds(1)), |click, view| click - view)
            .map(|user, after| (format!("{user} after"), after))
            .to(&self.results);
        builder.table_with(&self.results, RESULTS);
        builder.build().expect("a valid topology")
    }
}

async fn tell(running: &RunningStreams, topic: &Topic<String, i64>, times: &[i64]) -> Result<()> {
    let producer = running.producer(topic.clone())?;
    for time in times {
        producer.send("ada".to_string(), *time).await?;
    }
    producer.flush().await?;
    running.drain().await
}

async fn check(running: &RunningStreams, expected: &[(&str, i64)]) -> Result<()> {
    let results: BTreeMap<String, i64> = running.store(RESULTS)?.all().await?.into_iter().collect();
    let expected = expected.iter().map(|(result, n)| ((*result).to_string(), *n)).collect();
    assert_eq!(results, expected);
    Ok(())
}

#[tokio::test]
async fn a_second_run_goes_on_with_windows_sessions_and_joins() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let app = App::new("windows");
    let topics = Topics::of(&app);
    let start = || {
        let streams = app.streams(topics.topology());
        keep(streams, directory.path()).start()
    };

    let running = start().await?;
    tell(&running, &topics.views, &[60_000]).await?;
    tell(&running, &topics.clicks, &[58_000, 60_400, 61_500]).await?;
    check(&running, &[("ada in 50000", 1), ("ada in 60000", 2), ("ada until 61500", 3), ("ada after", 400)])
        .await?;
    running.close().await?;

    // The window and the session go on, and the view of the first run is met once more.
    let running = start().await?;
    tell(&running, &topics.clicks, &[60_900]).await?;
    check(&running, &[("ada in 50000", 1), ("ada in 60000", 3), ("ada until 61500", 4), ("ada after", 900)])
        .await?;
    // Far ahead: what was before has expired, on disk too, and the next run finds what is left.
    tell(&running, &topics.clicks, &[900_000_000]).await?;
    tell(&running, &topics.views, &[900_000_100]).await?;
    running.close().await?;

    let running = start().await?;
    tell(&running, &topics.clicks, &[900_000_300]).await?;
    let results: BTreeMap<String, i64> = running.store(RESULTS)?.all().await?.into_iter().collect();
    assert_eq!((results["ada in 900000000"], results["ada until 900000300"]), (2, 2));
    assert_eq!(results["ada after"], 200);
    running.close().await
}
