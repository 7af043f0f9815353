//! The test of determinism: a seed run twice shows the same.

use std::ops::Range;

use super::Sim;
use super::options::SimOptions;
use super::trace::TraceEvent;

/// Runs `run` twice under a seed and compares the traces.
///
/// # Panics
/// If they differ; the message names the first event that does.
pub fn assert_same_trace(seed: u64, options: &SimOptions, run: impl Fn(&Sim)) {
    let trace = |record: Range<u64>| {
        let sim = Sim::recording(seed, options.clone(), record);
        run(&sim);
        sim.shared.state().trace.clone()
    };
    let (first, second) = (trace(0..0), trace(0..0));
    let Some(window) = first.differs_within(&second) else { return };
    let (first, second) = (trace(window.clone()), trace(window.clone()));
    match first.first_difference(&second) {
        Some((ours, theirs)) => {
            let show =
                |event: Option<TraceEvent>| event.map_or("the end".to_string(), |event| event.to_string());
            panic!("two runs of seed {seed} differ: first {}; then {}", show(ours), show(theirs));
        }
        None => panic!("two runs of seed {seed} differ within events {window:?}, two more there do not"),
    }
}
