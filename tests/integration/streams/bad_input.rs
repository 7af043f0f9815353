//! What cannot be started says so in one line, and nothing hangs or panics.

use anabranch::prelude::*;

use super::{App, on_kafka};

async fn check(streams: Streams, parts: &[&str]) {
    let error = streams.start().await.expect_err("refused").to_string();
    for part in parts {
        assert!(error.contains(part), "`{error}` does not say `{part}`");
    }
    assert!(!error.contains('\n'), "one line: `{error}`");
}

#[tokio::test]
async fn settings() {
    let app = App::new("settings");
    let streams = || Streams::new(app.id(), app.word_count());
    check(streams().config("comit.interval.ms", 1), &["comit.interval.ms", "commit.interval.ms"]).await;
    check(streams().threads(0), &["num.stream.threads", "from 1"]).await;
    check(streams().config("processing.guarantee", "exactly_once"), &["exactly_once_v2", "at_least_once"])
        .await;
    check(streams().config("consumer.fetch.max.bytes", "many"), &["fetch.max.bytes", "many"]).await;
}

#[tokio::test]
async fn a_broker_that_is_not_there() {
    let app = App::new("nowhere");
    let streams = Streams::new(app.id(), app.word_count())
        .bootstrap_server("127.0.0.1:1")
        .config("admin.socket.connection.setup.timeout.ms", 300);
    check(streams, &["127.0.0.1:1"]).await;
}

#[tokio::test]
async fn a_source_topic_that_is_missing() {
    if on_kafka() {
        return;
    }
    let (host, runtime) = anabranch_host::Host::real(1).expect("threads");
    let config = anabranch_broker::BrokerConfig::from_pairs([("auto.create.topics.enable", "false")])
        .expect("a config");
    let broker = anabranch_broker::EmbeddedBroker::start(host.clone(), config).await.expect("a broker");
    let app = App::new("missing");
    let streams = Streams::new(app.id(), app.word_count()).on(host, broker.dialer());
    check(streams, &[app.lines().name(), "does not exist"]).await;
    broker.shutdown().await;
    drop(runtime);
}

#[tokio::test]
async fn a_directory_in_use() {
    if on_kafka() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let app = App::new("locked");
    let start = || app.streams(app.word_count()).data_dir(directory.path());
    let running = start().start().await.expect("the first");
    check(start(), &["in use"]).await;
    running.close().await.expect("a clean stop");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made() {
    if on_kafka() {
        return;
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    let app = App::new("no-directory");
    check(app.streams(app.word_count()).data_dir(file.path()), &[&file.path().display().to_string()]).await;
}

#[test]
fn a_topology_without_a_source() {
    let error = StreamsBuilder::new().build().err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("no node")), "refused by `build`");
}
