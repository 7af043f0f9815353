//! `anabranch streams reset` on an application that has run.

use std::collections::BTreeMap;
use std::path::Path;

use anabranch::prelude::*;

use super::Server;

const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");

fn word_count(server: &Server, state: &Path) -> Streams {
    let builder = StreamsBuilder::new();
    builder
        .stream("lines")
        .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count_with(COUNTS)
        .updates()
        .to("words");
    let streams = Streams::new("app", builder.build().unwrap()).bootstrap_server(&server.address);
    streams.create_topics(2).state_dir(state)
}

/// Counts what is there, and `lines`.
async fn run(streams: Streams, lines: &[&str]) -> BTreeMap<String, i64> {
    let running = streams.start().await.unwrap();
    let producer = running.producer(Topic::<Option<String>, String>::named("lines")).unwrap();
    for line in lines {
        producer.send(None, (*line).to_string()).await.unwrap();
    }
    producer.flush().await.unwrap();
    running.drain().await.unwrap();
    let counts = running.store(COUNTS).unwrap().all().await.unwrap();
    running.close().await.unwrap();
    counts.into_iter().collect()
}

#[tokio::test]
async fn a_reset_application_counts_anew() {
    let server = Server::start();
    let state = tempfile::tempdir().unwrap();
    let counts = run(word_count(&server, state.path()), &["to be or not to be", "to see"]).await;
    assert_eq!(counts["to"], 3);

    let reset = ["streams", "reset", "--application-id", "app", "--input-topics"];
    let dry = server.tool(&[&reset[..], &["lines", "--dry-run", "--force"]].concat());
    assert!(dry.starts_with("----Dry run displays"), "{dry}");
    assert!(server.tool(&["topics", "--list"]).contains("app-counts-changelog\n"), "nothing is done");
    let refused = server.refusal(&[&reset[..], &["lines"]].concat());
    assert!(refused.contains("still has members") && refused.contains("--force"), "{refused}");

    let done = server.tool(&[&reset[..], &["lines", "--force"]].concat());
    let expected = [
        "Force deleting all active members in the group: app",
        "Reset-offsets for input topics [lines]",
        "Following input topics offsets will be reset to (for consumer group app)",
        "Topic: lines Partition: 0 Offset: 0",
        "Topic: lines Partition: 1 Offset: 0",
        "Done.",
        "Deleting inferred internal topics [app-counts-changelog, app-counts-repartition]",
        "Done.",
    ];
    assert_eq!(done.lines().collect::<Vec<_>>(), expected);
    assert!(!server.tool(&["topics", "--list"]).contains("app-counts-"));

    let again = run(word_count(&server, state.path()).clean_up(), &[]).await;
    assert_eq!(again, counts);

    let missing = server.tool_with("", &[&reset[..], &["lines,nowhere", "--force", "--to-latest"]].concat());
    assert!(!missing.status.success());
    assert_eq!(
        String::from_utf8_lossy(&missing.stderr).trim_end(),
        "anabranch: topics that do not exist were left out: nowhere"
    );
    let stranger = [&reset[..4], &["--internal-topics", "words", "--force"]].concat();
    assert!(
        server.refusal(&stranger).contains("not internal topics of this application, so not deleted: words")
    );
    let after = run(word_count(&server, state.path()).clean_up(), &["be"]).await;
    assert_eq!(after, BTreeMap::from([("be".to_string(), 1)]), "it goes on from the end");
}
