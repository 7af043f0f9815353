//! Crashes at random moments of compaction: whatever the disk kept, the log means what it meant.

use parking_lot::RwLock;
use tokio::sync::watch;

use super::compaction::{LIMITS, Story, compacting, told_from};
use super::*;

/// A log, cleaned again and again while copies of its disk lose power.
fn run(seed: u64) {
    simulate(seed, async |sim| {
        let host = sim.node("a");
        let config = compacting(|config| config.file_delete_delay_ms = 3);
        let (directory, log) = open_log(&host, &config).await;
        let log = RwLock::new(log);
        let mut story = Story::new(seed ^ 0x5eed);
        let mut clean_end = None;
        for chapter in 0..4 {
            for _ in 0..10 + story.chance(40) {
                story.go_on(&mut log.write(), NOW_MS);
            }
            let settled = log.read().settled();
            settled.await.unwrap();
            if story.chance(4) > 0 {
                directory.checkpoint().await.unwrap();
            }
            let (_stop, stopping) = watch::channel(false);
            let mut pace = Pace::new(&host, stopping, f64::MAX);
            let now_ms = NOW_MS + 9000 * chapter;
            let high_watermark = log.read().durable_end_offset();
            let cleanable = log.read().cleanable(&directory, clean_end, high_watermark, now_ms).unwrap();
            let before = told_from(&log.read(), 0).0;
            let round = clean(&log, &directory, &cleanable, &LIMITS, &mut pace, now_ms);
            tokio::pin!(round);
            let cleaned = loop {
                let delay = Duration::from_micros(story.chance(4000));
                tokio::select! {
                    biased;
                    cleaned = &mut round => break cleaned.unwrap(),
                    () = sim.sleep(delay) => crash_copy(sim, &mut story, &config, &before, seed).await,
                }
            };
            clean_end = cleaned.map(|cleaned| cleaned.clean_end).or(clean_end);
            crash_copy(sim, &mut story, &config, &before, seed).await;
            story.check(&log.read(), &format!("seed {seed}, chapter {chapter}"));
        }
    });
}

/// Ends a copy of the disk as it is right now, perhaps in the midst of recovery once more, and holds what is left against
/// the story.
async fn crash_copy(
    sim: &Sim,
    story: &mut Story,
    config: &Arc<TopicConfig>,
    before: &[super::compaction::Told],
    seed: u64,
) {
    sim.copy_disk("a", "copy");
    let tries = 1 + story.chance(3);
    for last in (0..tries).rev() {
        if story.chance(3) == 0 {
            sim.kill("copy")
        } else {
            sim.crash("copy")
        }
        let host = sim.node("copy");
        if last > 0 {
            let config = config.clone();
            let recovering = host.spawn({
                let host = host.clone();
                async move { open(&host, &config).await.1.len() }
            });
            sim.sleep(Duration::from_micros(story.chance(8000))).await;
            drop(recovering);
            continue;
        }
        let (directory, log) = open_log(&host, config).await;
        story.check(&log, &format!("seed {seed}, a copy"));
        let mut known = before.iter().map(|told| told.offset);
        let (found, _) = told_from(&log, 0);
        assert!(found.iter().all(|told| known.any(|offset| offset == told.offset)), "seed {seed}: in order");
        let names = host.disk().read_dir(log.path()).unwrap();
        let leftover =
            names.iter().find(|entry| [".swap", ".cleaned"].iter().any(|end| entry.name.ends_with(end)));
        assert_eq!(leftover, None, "seed {seed}");
        drop(directory);
    }
}

/// More: `SEEDS=1000..2000 cargo test -p anabranch-broker --release whenever_compaction`.
#[test]
fn whenever_compaction_is_cut_off_the_log_means_the_same() {
    match std::env::var("SEEDS") {
        Err(_) => (0..25).for_each(run),
        Ok(seeds) => {
            let (first, last) = seeds.split_once("..").expect("SEEDS=first..last");
            (first.parse().unwrap()..last.parse().unwrap()).for_each(run);
        }
    }
}
