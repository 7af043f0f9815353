//! `perf produce`, by Kafka's name `producer-perf-test`: how fast records are sent.

use std::collections::VecDeque;
use std::time::Duration;

use anabranch_client::{Delivery, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Instant};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::latencies::Latencies;
use super::speed;
use crate::connect::{Connection, parse_pair};
use crate::progress::Progress;

/// Records on the way before the oldest is waited for.
const MAX_ON_THE_WAY: usize = 100_000;
/// Between two lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// What perf produce takes.
#[derive(Debug, Args)]
pub(crate) struct ProduceArguments {
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

impl ProduceArguments {
    pub(crate) fn run(self) -> Result<()> {
        let arguments = self;
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
                progress: Progress::new(arguments.num_records, arguments.json),
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
                let record =
                    ProducerRecord { value: Some(&payload), ..ProducerRecord::new(&arguments.topic) };
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
    progress: Progress,
}

impl Run {
    fn acknowledged(&mut self, sent: Instant, bytes: usize, is_silent: bool) {
        let now = self.host.now();
        let latency_ms = now.saturating_duration_since(sent).as_secs_f64() * 1000.0;
        self.all.all_ms.push(latency_ms);
        self.window.latencies.all_ms.push(latency_ms);
        self.window.bytes += bytes as u64;
        self.progress.advance(1);
        let elapsed = now.saturating_duration_since(self.window.began);
        if elapsed < REPORT_INTERVAL {
            return;
        }
        let count = self.window.latencies.all_ms.len() as u64;
        let (records, mib) = speed(count, self.window.bytes, elapsed);
        if !is_silent {
            self.progress.print(&format!(
                "{count} records sent, {records:.1} records/sec ({mib:.2} MB/sec), {:.1} ms avg latency, {:.1} ms max latency.",
                self.window.latencies.average(),
                self.window.latencies.max()
            ));
        }
        self.window = Window::new(&self.host);
    }

    fn finish(mut self, arguments: &ProduceArguments) {
        self.progress.end();
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
