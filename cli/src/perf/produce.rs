//! `perf produce`, by Kafka's name `producer-perf-test`: how fast records are sent.

use std::time::Duration;

use anabranch_client::{Delivery, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Instant};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;

use super::latencies::Latencies;
use super::speed;
use crate::connect::{Connection, parse_pair};
use crate::progress::Progress;

/// Records on the way before the oldest is waited for.
const MAX_ON_THE_WAY: usize = 100_000;
/// A record that is due sooner is sent now.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);
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
        let (mut config, mut servers) = (ProducerConfig::default(), None);
        for text in &arguments.producer_props {
            match parse_pair(text)? {
                (key, value) if key == "bootstrap.servers" => servers = Some(value),
                (key, value) if !config.set(&key, &value)? => {
                    bail!("--producer-props: {key} is no setting of a producer");
                }
                _ => {}
            }
        }
        config.validate()?;
        let connection = arguments.connection.clone().or_servers(servers);
        connection.run(async |client| {
            let host = client.host().clone();
            let producer = Producer::new(&client, config)?;
            let payload: Vec<u8> =
                (0..arguments.record_size).map(|_| b'A' + host.random_below(26) as u8).collect();
            let run = Run {
                host: host.clone(),
                began: host.now(),
                record_size: arguments.record_size,
                is_silent: arguments.json,
                all: Latencies::default(),
                window: Window::new(&host),
                progress: Progress::new(arguments.num_records, arguments.json),
            };
            let mut pace = Pace { host: host.clone(), began: run.began, per_second: arguments.throughput };
            // Whoever hears of the acknowledgements does so while others are sent, or latencies would be those of the loop.
            let (on_the_way, acknowledged) = mpsc::channel(MAX_ON_THE_WAY);
            let run = host.spawn(run.acknowledgements(acknowledged));
            for number in 0..arguments.num_records {
                pace.wait_for(number).await;
                let sent = host.now();
                let record =
                    ProducerRecord { value: Some(&payload), ..ProducerRecord::new(&arguments.topic) };
                if on_the_way.send((sent, producer.send(record).await?)).await.is_err() {
                    break;
                }
            }
            producer.flush().await?;
            drop(on_the_way);
            let run = run.await??;
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

/// Holds back records that come before their time.
struct Pace {
    host: Host,
    began: Instant,
    /// None if not above zero.
    per_second: i64,
}

impl Pace {
    async fn wait_for(&mut self, number: u64) {
        let Some(per_second) = u32::try_from(self.per_second).ok().filter(|rate| *rate > 0) else { return };
        let due = self.began + Duration::from_secs_f64(number as f64 / f64::from(per_second));
        // Timers tick in milliseconds: who waited for each record of a fast stream would send one a tick.
        if due.saturating_duration_since(self.host.now()) >= SHORTEST_WAIT {
            self.host.sleep_until(due).await;
        }
    }
}

struct Run {
    host: Host,
    began: Instant,
    record_size: usize,
    is_silent: bool,
    all: Latencies,
    window: Window,
    progress: Progress,
}

impl Run {
    /// Hears of each record's acknowledgement until nothing more is sent.
    async fn acknowledgements(mut self, mut sent: mpsc::Receiver<(Instant, Delivery)>) -> Result<Run> {
        while let Some((sent, delivery)) = sent.recv().await {
            delivery.await?;
            self.acknowledged(sent);
        }
        Ok(self)
    }

    fn acknowledged(&mut self, sent: Instant) {
        let now = self.host.now();
        let latency_ms = now.saturating_duration_since(sent).as_secs_f64() * 1000.0;
        self.all.all_ms.push(latency_ms);
        self.window.latencies.all_ms.push(latency_ms);
        self.window.bytes += self.record_size as u64;
        self.progress.advance(1);
        let elapsed = now.saturating_duration_since(self.window.began);
        if elapsed < REPORT_INTERVAL {
            return;
        }
        let count = self.window.latencies.all_ms.len() as u64;
        let (records, mib) = speed(count, self.window.bytes, elapsed);
        if !self.is_silent {
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
