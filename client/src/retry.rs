//! How long to wait before the next attempt: Kafka's exponential backoff with a fifth of jitter either way.

use std::future::Future;
use std::time::Duration;

use anabranch_host::{Host, Instant};

use crate::error::{ClientError, Result};

/// The wait for something that passes within moments.
const SOON_MS: u64 = 20;

/// The waiting times between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    first_ms: u64,
    max_ms: u64,
}

impl Backoff {
    pub(crate) fn new(first_ms: u64, max_ms: u64) -> Self {
        Backoff { first_ms, max_ms: max_ms.max(first_ms) }
    }

    /// The waiting time for what passes within moments: always the same.
    pub(crate) fn soon(&self) -> Self {
        Backoff::new(SOON_MS.min(self.first_ms), 0)
    }

    /// The wait after `failures` failures in a row, within 80 to 120 percent as `random` says.
    pub(crate) fn delay(&self, failures: u32, random: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(32);
        let nominal_ms = self.first_ms.saturating_mul(1 << doublings).min(self.max_ms);
        let nominal_us = u128::from(nominal_ms) * 1000;
        let percent_of_jitter = 800 + ((u128::from(random) * 401) >> 64);
        Duration::from_micros(u64::try_from(nominal_us * percent_of_jitter / 1000).unwrap_or(u64::MAX))
    }
}

/// A loop of attempts that ends at a deadline.
pub(crate) struct Retry<'h> {
    host: &'h Host,
    backoff: Backoff,
    started: Instant,
    deadline: Instant,
    failures: u32,
}

impl<'h> Retry<'h> {
    pub(crate) fn new(host: &'h Host, backoff: Backoff, time: Duration) -> Self {
        let started = host.now();
        Retry { host, backoff, started, deadline: started + time, failures: 0 }
    }

    /// The time that is left for the next attempt.
    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(self.host.now())
    }

    /// An attempt, for as long as time is left.
    pub(crate) async fn attempt<T>(&self, attempt: impl Future<Output = Result<T>>) -> Result<T> {
        let left = self.time_left();
        let outcome = self.host.timeout(left, attempt).await;
        outcome.unwrap_or_else(|_| Err(ClientError::timed_out("waiting for an answer", left)))
    }

    /// After a failed attempt: waits for the next one, or gives the error back if there is no point in one.
    pub(crate) async fn after(&mut self, error: ClientError) -> Result<()> {
        self.failures += 1;
        self.wait(self.backoff, self.failures, error).await
    }

    /// The same where the reason passes within moments, whatever failed before.
    pub(crate) async fn soon_after(&mut self, error: ClientError) -> Result<()> {
        self.wait(self.backoff.soon(), 1, error).await
    }

    async fn wait(&self, backoff: Backoff, failures: u32, error: ClientError) -> Result<()> {
        if !error.is_retriable() {
            return Err(error);
        }
        let delay = backoff.delay(failures, self.host.random_u64());
        let left = self.time_left();
        if delay >= left {
            let tried_for = self.deadline.saturating_duration_since(self.started);
            return Err(error.context(&format!("given up after {} ms", tried_for.as_millis())));
        }
        self.host.sleep(delay).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_with_a_fifth_of_jitter() {
        let check = |failures, random, expected_us| {
            let backoff = Backoff::new(100, 1000);
            assert_eq!(backoff.delay(failures, random).as_micros(), expected_us, "{failures} {random}");
        };
        check(1, 0, 80_000);
        check(1, u64::MAX / 2, 100_000);
        check(1, u64::MAX, 120_000);
        check(2, 0, 160_000);
        check(4, 0, 640_000);
        check(5, 0, 800_000);
        check(u32::MAX, 0, 800_000);
        assert_eq!(Backoff::new(50, 10).delay(9, 0).as_millis(), 40, "the most is at least the first");
        assert_eq!(Backoff::new(0, 0).delay(3, u64::MAX), Duration::ZERO);
    }
}
