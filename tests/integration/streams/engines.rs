//! Stores that are kept by another engine than the default.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch::prelude::*;

use super::{App, COUNTS, count, counted, expected, keep};

const BY_TIME: Store<Windows<String, i64>> = Store::named("by-time");

/// Word count, in total with one engine, and by window with the other.
fn topology(app: &App, total: StoreEngine, by_time: StoreEngine) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let words = builder
        .stream(app.lines())
        .flat_map_values(|line| line.split_whitespace().map(str::to_string).collect::<Vec<_>>())
        .group_by(|_, word| word.clone());
    words.count_with(COUNTS.persistent_in(total));
    let by_time = BY_TIME.retention(hours(24)).persistent_in(by_time);
    words.windowed_by(Tumbling::of(hours(1))).count_with(by_time);
    builder.build()
}

#[tokio::test]
async fn each_store_is_kept_as_it_says() -> Result<()> {
    use StoreEngine::{Fjall, Sled};
    let directory = tempfile::tempdir().expect("a directory");
    let (app, restored) = (App::new("engines"), Arc::new(AtomicU64::new(0)));
    let start = async |total, by_time, directory: &Path| {
        let restored = Arc::clone(&restored);
        restored.store(0, Ordering::Relaxed);
        let streams = keep(app.streams(topology(&app, total, by_time)?), directory);
        let streams = streams.config("statestore.memory.max.bytes", 0).on_restore(move |event| {
            if let RestoreEvent::Batch { records, .. } = event {
                restored.fetch_add(*records, Ordering::Relaxed);
            }
        });
        streams.start().await
    };
    // The second engine goes on with what it has; a store that changes engines comes back from its changelog; so does one
    // that goes back, although the first engine had it once.
    let rounds = [(Sled, Fjall, 0), (Sled, Fjall, 0), (Sled, Sled, 1), (Fjall, Sled, 1), (Sled, Sled, 1)];
    for (round, (total, by_time, stores)) in (1..).zip(rounds) {
        let running = start(total, by_time, directory.path()).await?;
        // Four words a round.
        assert_eq!(restored.load(Ordering::Relaxed), stores * 4 * (round - 1), "{round}");
        count(&running, app.lines(), &["a b", "c d"]).await?;
        let n = i64::try_from(round).expect("few");
        assert_eq!(counted(&running).await?, expected(&[("a", n), ("b", n), ("c", n), ("d", n)]));
        let by_time: i64 = running.store(BY_TIME)?.all().await?.iter().map(|(_, n)| *n).sum();
        assert_eq!(by_time, 4 * n);
        running.close().await?;
    }
    Ok(())
}
