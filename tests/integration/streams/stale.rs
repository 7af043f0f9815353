//! State that lay on disk for so long that deletions behind it may be gone from its changelog.

use std::sync::{Arc, Mutex};

use anabranch::prelude::*;

use super::outside::Outside;
use super::{App, count, counted, expected};

/// An instance writes and ends; another one writes behind it if so; the first one starts again and reads on from where it
/// was, or from the start.
async fn check(guarantee: Guarantee, retention_ms: &str, writes_behind: bool, reads_on: bool) -> Result<()> {
    let outside = Outside::start().await;
    let app = App::new("stale");
    let directories = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let froms = Arc::new(Mutex::new(Vec::new()));
    let start = async |at: usize| {
        froms.lock().expect("nobody panics").clear();
        let froms = Arc::clone(&froms);
        let streams = outside.run(app.streams(app.word_count()).create_topics(1));
        let streams = streams.guarantee(guarantee).config("topic.delete.retention.ms", retention_ms);
        // Nobody waits for a member that has a name to come back.
        let streams = streams.config("consumer.group.instance.id", "");
        let streams = streams.on_restore(move |event| {
            if let RestoreEvent::Start { from, .. } = event {
                froms.lock().expect("nobody panics").push(*from);
            }
        });
        streams.state_dir(directories[at].path()).start().await
    };
    let running = start(0).await?;
    count(&running, app.lines(), &["a b c"]).await?;
    running.close().await?;
    let mut counts = expected(&[("a", 1), ("b", 1), ("c", 1)]);
    if writes_behind {
        let running = start(1).await?;
        count(&running, app.lines(), &["a"]).await?;
        counts.insert("a".to_string(), 2);
        running.close().await?;
    }
    let running = start(0).await?;
    assert_eq!(counted(&running).await?, counts);
    running.close().await?;
    let froms = std::mem::take(&mut *froms.lock().expect("nobody panics"));
    let what = format!("{guarantee:?} {retention_ms} {writes_behind}");
    assert_eq!(froms.iter().map(|from| *from > 0).collect::<Vec<_>>(), [reads_on], "{what}: {froms:?}");
    outside.end().await;
    Ok(())
}

#[tokio::test]
async fn state_is_read_on_from_while_no_deletion_can_be_missed() -> Result<()> {
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        check(guarantee, "86400000", true, true).await?;
        // However old it is, nothing is behind it.
        check(guarantee, "0", false, true).await?;
        check(guarantee, "0", true, false).await?;
    }
    Ok(())
}
