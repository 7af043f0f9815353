//! The state directory: one instance at a time, of this version, and without what nobody uses any more.

use std::collections::BTreeSet;
use std::path::Path;

use anabranch::prelude::*;
use anabranch_client::ConfigResource;
use anabranch_host::{Host, OpenOptions};
use anabranch_state_store::{Engine, FjallEngine, FjallOptions};

use super::outside::Outside;
use super::{App, count, counted, expected, keep, told};

#[tokio::test]
async fn a_directory_has_one_instance_and_one_version() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let app = App::new("directory");
    let streams = || app.streams(app.word_count());
    let running = keep(streams(), directory.path()).start().await?;
    count(&running, app.lines(), &["a b", "a"]).await?;
    // Another application in the same place has a directory of its own; another instance of the same one is refused.
    let state =
        if super::on_kafka() { directory.path().to_path_buf() } else { directory.path().join("state") };
    let refused = streams().state_dir(&state).start().await.expect_err("in use").to_string();
    let place = state.join(app.id());
    assert!(
        refused.contains("is in use by another instance") && refused.contains(&*place.to_string_lossy()),
        "{refused}"
    );
    assert_eq!(counted(&running).await?, expected(&[("a", 2), ("b", 1)]));
    running.close().await?;

    // What another version of the engine has written is left as it is, and said.
    let version = place.join("stores").join("rows").join("version");
    let (host, _runtime) = Host::real(1).expect("threads");
    let mut bytes = host.disk().read(&version).expect("there");
    let ours = std::mem::replace(&mut bytes[3], 2);
    let write = |bytes: &[u8]| {
        let file = host.disk().open(&version, OpenOptions::create_empty()).expect("there");
        file.write_all_at(bytes, 0).expect("written");
    };
    write(&bytes);
    let refused = keep(streams(), directory.path()).start().await.expect_err("another version").to_string();
    assert!(refused.contains("has format version") && refused.contains("this program knows"), "{refused}");
    bytes[3] = ours;
    write(&bytes);
    let running = keep(streams(), directory.path()).start().await?;
    assert_eq!(counted(&running).await?, expected(&[("a", 2), ("b", 1)]));
    running.close().await
}

/// The tasks that a closed instance has state of on disk.
fn stored_tasks(host: &Host, state: &Path, app: &App) -> BTreeSet<String> {
    let engine =
        FjallEngine::open(&host.disk(), &state.join(app.id()).join("stores"), FjallOptions::default());
    let names = engine.and_then(|engine| engine.store_names()).expect("closed by now");
    names.iter().filter_map(|name| Some(name.split_once('-')?.0.to_string())).collect()
}

#[tokio::test]
async fn state_that_nobody_uses_is_removed_in_the_end() -> Result<()> {
    told::collect();
    let outside = Outside::start().await;
    let app = App::new("unused");
    let directories = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let start = async |at: usize, delay_ms: u64| {
        let streams = outside.run(app.streams(app.word_count()));
        let streams = streams.config("state.cleanup.delay.ms", delay_ms).config("acceptable.recovery.lag", 0);
        streams.state_dir(directories[at].path()).start().await
    };
    let first = start(0, 100).await?;
    count(&first, app.lines(), &["a b c d e f g h i j k l"]).await?;
    // It takes over a part, which the first has on disk until the delay is over.
    let second = start(1, 600_000).await?;
    let running = |of: &RunningStreams| -> BTreeSet<String> {
        let tasks = of.tasks().into_iter().filter(|task| task.is_running && task.task.subtopology == 1);
        tasks.map(|task| task.task.to_string()).collect()
    };
    let removed = || -> BTreeSet<String> {
        let lines = told::lines(&["nobody has used its state for long"]);
        lines.iter().filter_map(|line| Some(line.split_once("task=")?.1.trim().to_string())).collect()
    };
    let host = &outside.host;
    let waited = host.timeout(seconds(60), async {
        while running(&second).is_empty() || !running(&second).is_subset(&removed()) {
            host.sleep(millis(20)).await;
        }
    });
    let waited = waited.await;
    assert!(waited.is_ok(), "{:?} {:?} {:?}", running(&first), running(&second), removed());
    let (of_first, of_second) = (running(&first), running(&second));
    first.close().await?;
    assert_eq!(stored_tasks(host, directories[0].path(), &app), of_first);
    second.close().await?;
    assert!(stored_tasks(host, directories[1].path(), &app).is_superset(&of_second), "within its delay");
    Ok(())
}

#[tokio::test]
async fn a_changelog_that_forgets_state_is_refused() -> Result<()> {
    let app = App::new("forgetful");
    let directory = tempfile::tempdir().expect("a directory");
    let start = || keep(app.streams(app.word_count()), directory.path());
    let running = start().start().await?;
    let changelog = ConfigResource::Topic(format!("{}-{}-changelog", app.id(), super::COUNTS.name()));
    let change = [("cleanup.policy", Some("delete"))];
    running.client().admin().alter_configs(&changelog, &change).await.expect("a setting of the topic");
    running.close().await?;
    let refused = start().start().await.expect_err("it forgets").to_string();
    assert!(refused.contains("cleanup.policy=delete, and must have compact"), "{refused}");
    // Who asks for it gets it.
    start().config("topic.cleanup.policy", "delete").start().await?.close().await
}
