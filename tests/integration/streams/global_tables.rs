//! Global tables: every instance has all rows, before it processes the first record.

use anabranch::prelude::*;

use super::{App, keep};

const NAMES: Store<KeyValue<String, String>> = Store::named("names");

/// The topics of an application that names the countries of visits.
struct Topics {
    countries: Topic<String, Option<String>>,
    visits: Topic<String, String>,
    named: Topic<String, String>,
}

impl Topics {
    fn of(app: &App) -> Topics {
        let name = |topic: &str| format!("{}-{topic}", app.id());
        Topics {
            countries: Topic::named(name("countries")),
            visits: Topic::named(name("visits")),
            named: Topic::named(name("named")),
        }
    }

    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let countries = builder.global_table_with(&self.countries, NAMES);
        let visits = builder.stream(&self.visits);
        visits
            .left_join_global(&countries, |_, code| code.clone(), |code, name| format!("{code} {name:?}"))
            .to(&self.named);
        builder.build().expect("a valid topology")
    }
}

/// Writes rows and waits until this instance shows them.
async fn tell(running: &RunningStreams, topics: &Topics, rows: &[(&str, Option<&str>)]) -> Result<()> {
    let countries = running.producer(topics.countries.clone())?;
    for (code, name) in rows {
        countries.send((*code).to_string(), name.map(str::to_string)).await?;
    }
    countries.flush().await?;
    running.drain().await
}

/// Sends visits and gives what comes out, sorted.
async fn visit(running: &RunningStreams, topics: &Topics, codes: &[&str]) -> Result<Vec<String>> {
    let mut named = running.consumer(topics.named.clone()).await?;
    let visits = running.producer(topics.visits.clone())?;
    for (number, code) in codes.iter().enumerate() {
        visits.send(number.to_string(), (*code).to_string()).await?;
    }
    visits.flush().await?;
    let mut seen = Vec::new();
    while seen.len() < codes.len() {
        seen.push(named.next().await?.value);
    }
    seen.sort();
    Ok(seen)
}

#[tokio::test]
async fn every_worker_sees_all_rows() -> Result<()> {
    let app = App::new("global");
    let topics = Topics::of(&app);
    let running = app.streams(topics.topology()).threads(2).start().await?;
    tell(&running, &topics, &[("no", Some("Norway")), ("se", Some("Sweden")), ("fi", Some("Finland"))])
        .await?;
    let codes = ["no", "se", "fi", "xx", "no", "se"];
    let named = visit(&running, &topics, &codes).await?;
    let expected = [
        "fi Some(\"Finland\")",
        "no Some(\"Norway\")",
        "no Some(\"Norway\")",
        "se Some(\"Sweden\")",
        "se Some(\"Sweden\")",
        "xx None",
    ];
    assert_eq!(named, expected);
    tell(&running, &topics, &[("se", None)]).await?;
    assert_eq!(visit(&running, &topics, &["se"]).await?, ["se None"]);
    let all = running.store(NAMES)?.all().await?;
    assert_eq!(all, [("fi".to_string(), "Finland".to_string()), ("no".to_string(), "Norway".to_string())]);
    running.close().await
}

/// Runs twice: the second run has the rows before it processes anything.
async fn check_restart(app: &App, prepare: impl Fn(Streams) -> Streams) -> Result<()> {
    let topics = Topics::of(app);
    let running = prepare(app.streams(topics.topology())).start().await?;
    tell(&running, &topics, &[("no", Some("Norway")), ("se", Some("Sweden")), ("no", Some("Norge"))]).await?;
    running.close().await?;
    let running = prepare(app.streams(topics.topology())).start().await?;
    let all = running.store(NAMES)?.all().await?;
    assert_eq!(all, [("no".to_string(), "Norge".to_string()), ("se".to_string(), "Sweden".to_string())]);
    tell(&running, &topics, &[("se", Some("Sverige"))]).await?;
    assert_eq!(visit(&running, &topics, &["se"]).await?, ["se Some(\"Sverige\")"]);
    running.close().await
}

#[tokio::test]
async fn rows_are_there_at_the_start() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let app = App::new("global-again");
    check_restart(&app, |streams| keep(streams, directory.path())).await
}

/// Whoever is asked where a row is names an instance: each has all of them.
#[tokio::test]
async fn a_row_is_on_every_instance() -> Result<()> {
    let app = App::new("global-where");
    let topics = Topics::of(&app);
    let running = app.streams(topics.topology()).config("application.server", "one:1").start().await?;
    let found = running.metadata_for_key(NAMES, &"no".to_string())?;
    assert_eq!((found.active_host.as_deref(), found.partition), (Some("one:1"), -1));
    assert!(found.standby_hosts.is_empty(), "{found:?}");
    let hosts: Vec<String> = running.metadata_for_store(NAMES)?.into_iter().map(|one| one.host).collect();
    assert_eq!(hosts, ["one:1"]);
    running.close().await
}
