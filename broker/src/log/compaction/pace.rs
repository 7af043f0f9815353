//! How fast the cleaner may go, and whether it is to stop.

use std::time::Duration;

use anabranch_host::{Host, Instant};
use tokio::sync::watch;

/// Bytes after which others get their turn.
const TURN_BYTES: u64 = 256 << 10;

/// The cleaner is to end, or the log has changed under it: what was begun is given up, and nothing is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interrupted;

/// Counts the bytes read and written, and waits when they are more than allowed.
#[derive(Debug)]
pub struct Pace {
    host: Host,
    stopping: watch::Receiver<bool>,
    max_bytes_per_second: f64,
    since: Instant,
    bytes: u64,
    turn: u64,
}

impl Pace {
    /// At most `max_bytes_per_second` from now on, until `stopping` says true.
    #[must_use]
    pub fn new(host: &Host, stopping: watch::Receiver<bool>, max_bytes_per_second: f64) -> Pace {
        Pace { host: host.clone(), stopping, max_bytes_per_second, since: host.now(), bytes: 0, turn: 0 }
    }

    /// Bytes have been read or written.
    pub(super) async fn spent(&mut self, bytes: usize) -> Result<(), Interrupted> {
        self.bytes += bytes as u64;
        self.turn += bytes as u64;
        if self.turn < TURN_BYTES {
            return Ok(());
        }
        self.turn = 0;
        let due = Duration::try_from_secs_f64(self.bytes as f64 / self.max_bytes_per_second.max(1.0))
            .unwrap_or(Duration::MAX);
        let wait = due.saturating_sub(self.host.now().saturating_duration_since(self.since));
        let mut stopping = self.stopping.clone();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => Err(Interrupted),
            // Also when there is nothing to wait for: it gives the thread away.
            () = self.host.sleep(wait) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::sim::{Sim, SimOptions};

    use super::*;

    #[test]
    fn it_keeps_to_the_bytes_a_second_and_ends_when_told() {
        let sim = Sim::new(1, SimOptions::default());
        sim.block_on(async {
            let host = sim.node("a");
            let (stop, stopping) = watch::channel(false);
            let mut pace = Pace::new(&host, stopping, 1_000_000.0);
            let began = host.now();
            for _ in 0..100 {
                pace.spent(100_000).await.unwrap();
            }
            let took = host.now().saturating_duration_since(began).as_secs_f64();
            assert!((9.0..10.5).contains(&took), "{took} s for 10 MB");
            stop.send(true).unwrap();
            assert_eq!(pace.spent(1 << 20).await, Err(Interrupted));
        });
    }

    #[test]
    fn without_a_bound_it_never_waits() {
        let sim = Sim::new(1, SimOptions::default());
        sim.block_on(async {
            let host = sim.node("a");
            let (_stop, stopping) = watch::channel(false);
            let mut pace = Pace::new(&host, stopping, f64::MAX);
            let began = host.now();
            for _ in 0..100 {
                pace.spent(1 << 30).await.unwrap();
            }
            assert!(host.now().saturating_duration_since(began) < Duration::from_secs(1));
        });
    }
}
