//! Which seeds a run covers, and how a failing one is told.
//!
//! `ANABRANCH_SEED=7` replays one; `ANABRANCH_SEEDS=200` runs the first 200, `ANABRANCH_SEEDS=1000..1200` those.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// As many as a plain `cargo test` has time for.
const DEFAULT_SEEDS: Range<u64> = 0..20;

/// Runs `run` under each seed. One that panics is told with the command that replays it.
pub(crate) fn for_each_seed(test: &str, mut run: impl FnMut(u64)) {
    let variable = |name| std::env::var(name).ok();
    let seeds = seeds(variable("ANABRANCH_SEED").as_deref(), variable("ANABRANCH_SEEDS").as_deref());
    for seed in
        seeds.expect("seeds as numbers: ANABRANCH_SEED=7, ANABRANCH_SEEDS=200 or ANABRANCH_SEEDS=100..200")
    {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!(
                "replay: ANABRANCH_SEED={seed} cargo test -p anabranch-tests --test simulation -- {test}"
            );
            resume_unwind(payload);
        }
    }
}

fn seeds(one: Option<&str>, many: Option<&str>) -> Option<Range<u64>> {
    match (one, many) {
        (Some(seed), _) => seed.parse().ok().map(|seed: u64| seed..seed + 1),
        (None, Some(many)) => match many.split_once("..") {
            Some((first, end)) => Some(first.parse().ok()?..end.parse().ok()?),
            None => Some(0..many.parse().ok()?),
        },
        (None, None) => Some(DEFAULT_SEEDS),
    }
}

#[test]
fn seeds_from_the_environment() {
    assert_eq!(seeds(None, None), Some(DEFAULT_SEEDS));
    assert_eq!(seeds(Some("7"), Some("200")), Some(7..8));
    assert_eq!(seeds(None, Some("200")), Some(0..200));
    assert_eq!(seeds(None, Some("100..200")), Some(100..200));
    assert_eq!(seeds(None, Some("many")), None);
    assert_eq!(seeds(Some("-1"), None), None);
}
