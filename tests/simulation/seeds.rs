//! Which seeds a run covers, and how a failing one is told.
//!
//! `ANABRANCH_SEED=7` replays one; `ANABRANCH_SEEDS=200` runs the first 200, `ANABRANCH_SEEDS=1000..1200` those. With
//! `RUST_LOG=debug` the parts say what they do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// As many as a plain `cargo test` has time for.
const DEFAULT_SEEDS: Range<u64> = 0..20;

/// So many meet all that a test is for; fewer may not.
const ENOUGH_SEEDS: u64 = 100;

/// Of so many seeds one is also run twice, to see that both runs are the same.
const SEEDS_PER_DOUBLE_RUN: u64 = 10;

/// Runs `run` under each seed. One that panics is told with the command that replays it.
pub(crate) fn for_each_seed(test: &str, run: impl FnMut(u64)) {
    for_each(test, 1, run);
}

/// As [`for_each_seed`], but only for some of the seeds: for what takes as long as several runs.
pub(crate) fn for_some_seeds(test: &str, run: impl FnMut(u64)) {
    for_each(test, SEEDS_PER_DOUBLE_RUN, run);
}

/// What must have happened at least once in a run of enough seeds: that a test meets what it is for.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    seen: BTreeMap<&'static str, u64>,
    seeds: u64,
}

impl Witness {
    /// Another seed begins.
    pub(crate) fn begin_seed(&mut self) {
        self.seeds += 1;
    }

    /// It has happened.
    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Fails if something has never happened, unless there were too few seeds to tell.
    pub(crate) fn must_have_seen(&self, wanted: impl IntoIterator<Item = &'static str>) {
        println!("in {} seeds: {:?}", self.seeds, self.seen);
        if self.seeds >= ENOUGH_SEEDS {
            let missing: Vec<_> = wanted.into_iter().filter(|what| !self.seen.contains_key(what)).collect();
            assert!(missing.is_empty(), "never seen: {missing:?}");
        }
    }
}

fn for_each(test: &str, step: u64, mut run: impl FnMut(u64)) {
    let variable = |name| std::env::var(name).ok();
    if let Some(filter) = variable("RUST_LOG") {
        // A test before this one may have done so.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).without_time().try_init();
    }
    let seeds = seeds(variable("ANABRANCH_SEED").as_deref(), variable("ANABRANCH_SEEDS").as_deref());
    let seeds =
        seeds.expect("seeds as numbers: ANABRANCH_SEED=7, ANABRANCH_SEEDS=200 or ANABRANCH_SEEDS=100..200");
    for seed in seeds.step_by(step as usize) {
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
