//! What was sent in a stretch of time, and the lines of Kafka's tool that tell it.

use std::time::Duration;

use anabranch_host::Instant;
use serde_json::{Value, json};

use super::latencies::Latencies;
use super::speed;

/// Records that were acknowledged since a moment.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) began: Instant,
    /// What it is called in front of `records`: ` steady state`, or nothing.
    label: &'static str,
    latencies: Latencies,
    bytes: u64,
}

impl Stretch {
    pub(super) fn new(began: Instant, label: &'static str) -> Stretch {
        Stretch { began, label, latencies: Latencies::default(), bytes: 0 }
    }

    pub(super) fn add(&mut self, latency: Duration, bytes: u64) {
        self.latencies.all_ms.push(latency.as_secs_f64() * 1000.0);
        self.bytes += bytes;
    }

    fn count(&self) -> u64 {
        self.latencies.all_ms.len() as u64
    }

    fn speed(&self, now: Instant) -> (f64, f64) {
        speed(self.count(), self.bytes, now.saturating_duration_since(self.began))
    }

    /// The line on the way.
    pub(super) fn line(&self, now: Instant) -> String {
        let (records, mib) = self.speed(now);
        format!(
            "{}{} records sent, {records:.1} records/sec ({mib:.2} MB/sec), {:.1} ms avg latency, {:.1} ms max latency.",
            self.count(),
            self.label,
            self.latencies.average(),
            self.latencies.max()
        )
    }

    /// The line at the end.
    pub(super) fn total(&mut self, now: Instant) -> String {
        let (records, mib) = self.speed(now);
        let (average, max) = (self.latencies.average(), self.latencies.max());
        let [p50, p95, p99, p999] = self.latencies.percentiles([0.5, 0.95, 0.99, 0.999]);
        format!(
            "{}{} records sent, {records:.6} records/sec ({mib:.2} MB/sec), {average:.2} ms avg latency, {max:.2} ms \
             max latency, {p50:.0} ms 50th, {p95:.0} ms 95th, {p99:.0} ms 99th, {p999:.0} ms 99.9th.",
            self.count(),
            self.label
        )
    }

    /// The same for programs.
    pub(super) fn json(&mut self, now: Instant) -> Value {
        let (records, mib) = self.speed(now);
        let (average, max) = (self.latencies.average(), self.latencies.max());
        let [p50, p95, p99, p999] = self.latencies.percentiles([0.5, 0.95, 0.99, 0.999]);
        json!({
            "records": self.count(), "records_per_second": records, "mb_per_second": mib,
            "average_latency_ms": average, "max_latency_ms": max, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
            "p999_ms": p999,
        })
    }
}
