//! `anabranch producer-perf-test` and `consumer-perf-test`: how fast, with the flags and lines of Kafka's tools.

use std::collections::VecDeque;
use std::time::Duration;

use anabranch_client::{
    AutoOffsetReset, Consumer, ConsumerConfig, Delivery, Producer, ProducerConfig, ProducerRecord,
    RebalanceEvent,
};
use anabranch_host::{Host, Instant};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use crate::connect::{Connection, parse_pair};
use crate::datetime::format_datetime;

/// Records on the way before the oldest is waited for.
const MAX_ON_THE_WAY: usize = 100_000;
/// Between two lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// What producer-perf-test takes.
#[derive(Debug, Args)]
pub(crate) struct ProducerPerfArguments {
    #[command(flatten)]
    connection: Connection,
    /// The topic.
    #[arg(long, value_name = "NAME")]
    topic: String,
    /// How many records.
    #[arg(long, value_name = "N")]
    num_records: u64,
    /// Bytes of each.
    #[arg(long, value_name = "N", default_value_t = 100)]
    record_size: usize,
    /// Records a second at most; -1: as many as go.
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    throughput: i64,
    /// Settings of the producer, among them bootstrap.servers.
    #[arg(long = "producer-props", alias = "command-property", value_name = "KEY=VALUE", num_args = 1..)]
    producer_props: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What consumer-perf-test takes.
#[derive(Debug, Args)]
pub(crate) struct ConsumerPerfArguments {
    #[command(flatten)]
    connection: Connection,
    /// The topic.
    #[arg(long, value_name = "NAME")]
    topic: String,
    /// How many records.
    #[arg(long, alias = "num-records", value_name = "N")]
    messages: u64,
    /// The group.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// End when no record has come for so long.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    timeout: u64,
    /// Print no header.
    #[arg(long)]
    hide_header: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Times from sending to acknowledgement, in milliseconds.
#[derive(Debug, Default)]
struct Latencies {
    all_ms: Vec<f64>,
}

impl Latencies {
    fn average(&self) -> f64 {
        if self.all_ms.is_empty() { 0.0 } else { self.all_ms.iter().sum::<f64>() / self.all_ms.len() as f64 }
    }

    fn max(&self) -> f64 {
        self.all_ms.iter().copied().fold(0.0, f64::max)
    }

    /// These shares of all are not slower.
    fn percentiles<const N: usize>(&mut self, shares: [f64; N]) -> [f64; N] {
        self.all_ms.sort_unstable_by(f64::total_cmp);
        let last = self.all_ms.len().saturating_sub(1);
        shares.map(|share| {
            let at = ((self.all_ms.len() as f64 * share) as usize).min(last);
            self.all_ms.get(at).copied().unwrap_or(0.0)
        })
    }
}

const MIB: f64 = 1024.0 * 1024.0;

fn speed(count: u64, bytes: u64, elapsed: Duration) -> (f64, f64) {
    let seconds = elapsed.as_secs_f64().max(0.001);
    (count as f64 / seconds, bytes as f64 / seconds / MIB)
}

pub(crate) fn produce(arguments: ProducerPerfArguments) -> Result<()> {
    let mut config = ProducerConfig::default();
    for text in &arguments.producer_props {
        let (key, value) = parse_pair(text)?;
        if key != "bootstrap.servers" && !config.set(&key, &value)? {
            bail!("--producer-props: {key} is no setting of a producer");
        }
    }
    config.validate()?;
    arguments.connection.run(async |client| {
        let host = client.host().clone();
        let producer = Producer::new(&client, config)?;
        let payload: Vec<u8> =
            (0..arguments.record_size).map(|_| b'A' + host.random_below(26) as u8).collect();
        let mut run = Run {
            host: host.clone(),
            began: host.now(),
            all: Latencies::default(),
            window: Window::new(&host),
        };
        let mut on_the_way: VecDeque<(Instant, Delivery)> = VecDeque::new();
        for number in 0..arguments.num_records {
            if let Ok(throughput) = u32::try_from(arguments.throughput)
                && throughput > 0
            {
                let due = run.began + Duration::from_secs_f64(number as f64 / f64::from(throughput));
                host.sleep_until(due).await;
            }
            let sent = host.now();
            let record = ProducerRecord { value: Some(&payload), ..ProducerRecord::new(&arguments.topic) };
            on_the_way.push_back((sent, producer.send(record).await?));
            while on_the_way.len() >= MAX_ON_THE_WAY
                && let Some((sent, delivery)) = on_the_way.pop_front()
            {
                delivery.await?;
                run.acknowledged(sent, arguments.record_size, arguments.json);
            }
        }
        producer.flush().await?;
        for (sent, delivery) in on_the_way {
            delivery.await?;
            run.acknowledged(sent, arguments.record_size, arguments.json);
        }
        producer.close().await?;
        run.finish(&arguments);
        Ok(())
    })
}

/// What came since the last line.
#[derive(Debug)]
struct Window {
    began: Instant,
    latencies: Latencies,
    bytes: u64,
}

impl Window {
    fn new(host: &Host) -> Window {
        Window { began: host.now(), latencies: Latencies::default(), bytes: 0 }
    }
}

struct Run {
    host: Host,
    began: Instant,
    all: Latencies,
    window: Window,
}

impl Run {
    fn acknowledged(&mut self, sent: Instant, bytes: usize, is_silent: bool) {
        let now = self.host.now();
        let latency_ms = now.saturating_duration_since(sent).as_secs_f64() * 1000.0;
        self.all.all_ms.push(latency_ms);
        self.window.latencies.all_ms.push(latency_ms);
        self.window.bytes += bytes as u64;
        let elapsed = now.saturating_duration_since(self.window.began);
        if elapsed < REPORT_INTERVAL {
            return;
        }
        let count = self.window.latencies.all_ms.len() as u64;
        let (records, mib) = speed(count, self.window.bytes, elapsed);
        if !is_silent {
            println!(
                "{count} records sent, {records:.1} records/sec ({mib:.2} MB/sec), {:.1} ms avg latency, {:.1} ms max latency.",
                self.window.latencies.average(),
                self.window.latencies.max()
            );
        }
        self.window = Window::new(&self.host);
    }

    fn finish(mut self, arguments: &ProducerPerfArguments) {
        let count = self.all.all_ms.len() as u64;
        let elapsed = self.host.now().saturating_duration_since(self.began);
        let (records, mib) = speed(count, count * arguments.record_size as u64, elapsed);
        let (average, max) = (self.all.average(), self.all.max());
        let [p50, p95, p99, p999] = self.all.percentiles([0.5, 0.95, 0.99, 0.999]);
        if arguments.json {
            let line = json!({
                "records": count, "records_per_second": records, "mb_per_second": mib, "average_latency_ms": average,
                "max_latency_ms": max, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "p999_ms": p999,
            });
            println!("{line}");
        } else {
            println!(
                "{count} records sent, {records:.6} records/sec ({mib:.2} MB/sec), {average:.2} ms avg latency, {max:.2} ms \
                 max latency, {p50:.0} ms 50th, {p95:.0} ms 95th, {p99:.0} ms 99th, {p999:.0} ms 99.9th."
            );
        }
    }
}

pub(crate) fn consume(arguments: ConsumerPerfArguments) -> Result<()> {
    arguments.connection.run(async |client| {
        let host = client.host().clone();
        let group = arguments.group.clone().unwrap_or_else(|| format!("perf-consumer-{}", host.random_below(100_000)));
        let config = ConsumerConfig {
            group_id: Some(group),
            auto_offset_reset: AutoOffsetReset::Earliest,
            max_poll_records: 100_000,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(&client, config)?;
        consumer.subscribe([&arguments.topic])?;
        let (began, began_ms) = (host.now(), host.wall_clock_ms());
        let mut assigned = None;
        let (mut count, mut bytes, mut last) = (0u64, 0u64, host.now());
        while count < arguments.messages {
            let polled = consumer.poll(Duration::from_millis(100)).await?;
            if assigned.is_none() && polled.events.iter().any(|event| matches!(event, RebalanceEvent::Assigned { .. })) {
                assigned = Some(host.now());
                last = host.now();
            }
            for record in &polled.records {
                count += 1;
                bytes += record.key.as_ref().map_or(0, |key| key.len() as u64)
                    + record.value.as_ref().map_or(0, |value| value.len() as u64);
            }
            let now = host.now();
            if !polled.records.is_empty() {
                last = now;
            }
            if now.saturating_duration_since(last) > Duration::from_millis(arguments.timeout) {
                eprintln!(
                    "WARNING: Exiting before consuming the expected number of messages: timeout ({} ms) exceeded.",
                    arguments.timeout
                );
                break;
            }
        }
        let elapsed = last.saturating_duration_since(began);
        consumer.close().await?;
        let rebalance = assigned.unwrap_or(last).saturating_duration_since(began);
        let fetching = elapsed.saturating_sub(rebalance);
        let (records, mib) = speed(count, bytes, elapsed);
        let (fetched_records, fetched_mib) = speed(count, bytes, fetching);
        let total_mib = bytes as f64 / MIB;
        let (start, end) = (format_datetime(began_ms), format_datetime(began_ms + elapsed.as_millis() as i64));
        if arguments.json {
            let line = json!({
                "messages": count, "mb": total_mib, "messages_per_second": records, "mb_per_second": mib,
                "rebalance_ms": rebalance.as_millis() as u64, "fetch_ms": fetching.as_millis() as u64,
            });
            println!("{line}");
            return Ok(());
        }
        if !arguments.hide_header {
            println!(
                "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, \
                 fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
            );
        }
        println!(
            "{start}, {end}, {total_mib:.4}, {mib:.4}, {count}, {records:.4}, {}, {}, {fetched_mib:.4}, {fetched_records:.4}",
            rebalance.as_millis(),
            fetching.as_millis()
        );
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut latencies = Latencies { all_ms: (1..=100).rev().map(f64::from).collect() };
        assert_eq!((latencies.average(), latencies.max()), (50.5, 100.0));
        assert_eq!(latencies.percentiles([0.0, 0.5, 0.99, 1.0]), [1.0, 51.0, 100.0, 100.0]);
        assert_eq!(Latencies::default().percentiles([0.5]), [0.0]);
    }
}
