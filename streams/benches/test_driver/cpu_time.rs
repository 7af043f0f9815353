//! CPU time of the measuring thread: time in which others use the core does not count.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a sample is at least; shorter ones are mostly the clock.
const SAMPLE: Duration = Duration::from_millis(20);
const SAMPLES: usize = 25;

/// CPU time of this thread so far.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn sample(rounds: u32, run: &mut impl FnMut()) -> Duration {
    let start = now();
    (0..rounds).for_each(|_| run());
    now() - start
}

/// What a call of `run` takes: a low sample (of ten one is lower) and the median.
pub(crate) fn measure(mut run: impl FnMut()) -> (Duration, Duration) {
    let mut rounds = 1;
    while sample(rounds, &mut run) < SAMPLE {
        rounds *= 2;
    }
    let mut samples: Vec<Duration> = (0..SAMPLES).map(|_| sample(rounds, &mut run) / rounds).collect();
    samples.sort_unstable();
    (samples[SAMPLES / 10], samples[SAMPLES / 2])
}
