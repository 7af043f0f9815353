//! A run: what it is like is drawn, and it must come to rest.

use std::future::Future;
use std::time::Duration;

use anabranch_host::{Host, Sim, SimOptions};

use crate::seeds::for_each_seed;

/// Runs `run` under each seed, in a world where anything may fail.
pub(crate) fn for_each_chaos(test: &str, mut run: impl FnMut(&Sim, &SimOptions)) {
    for_each_seed(test, |seed| {
        let options = SimOptions::chaos(seed);
        let sim = Sim::new(seed, options.clone());
        run(&sim, &options);
        println!("seed {seed}: {} steps, {:?}", sim.steps(), sim.now().since_start());
    });
}

/// One of several numbers.
pub(crate) fn one_of<T: Copy>(host: &Host, choices: &[T]) -> T {
    choices[host.random_below(choices.len() as u64) as usize]
}

/// Does all of it, and fails if that does not end in time, or if something panics meanwhile.
pub(crate) fn come_to_rest<T>(sim: &Sim, within: Duration, work: impl Future<Output = T>) -> T {
    let clock = sim.node("clock");
    // On the heap: a whole run does not fit a stack twice.
    let in_time = clock.timeout(within, Box::pin(work));
    let Ok(done) = sim.block_on(in_time) else {
        panic!("seed {}: no rest within {within:?}", sim.seed());
    };
    assert_eq!(sim.panics(), [], "seed {}", sim.seed());
    done
}
