//! `perf produce`, by Kafka's name `producer-perf-test`: how fast records are sent.

use std::time::Duration;

use anabranch_client::{Client, Delivery, Producer, ProducerConfig, ProducerRecord, Uuid};
use anabranch_host::{Host, Instant};
use anyhow::Result;
use clap::Args;
use tokio::sync::mpsc;

use super::NO_METRICS;
use super::payload::{Payload, PayloadArguments};
use super::stretch::Stretch;
use crate::connect::{Connection, ignored};
use crate::progress::Progress;

/// Records on the way before the oldest is waited for.
const MAX_ON_THE_WAY: usize = 100_000;
/// A record that is due sooner is sent now.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);
/// Nobody waits for longer.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long a transaction lasts, if nothing is said.
const DEFAULT_TRANSACTION_MS: u64 = 3000;

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
    #[command(flatten)]
    payload: PayloadArguments,
    /// Records a second at most; -1: as many as go.
    #[arg(long, value_name = "N", default_value_t = -1.0, allow_negative_numbers = true, value_parser = per_second)]
    throughput: f64,
    /// Settings of the producer, among them bootstrap.servers.
    #[arg(long = "command-property", alias = "producer-props", value_name = "KEY=VALUE", num_args = 1..)]
    properties: Vec<String>,
    /// Write in transactions, under this id.
    #[arg(long, value_name = "ID")]
    transactional_id: Option<String>,
    /// Write in transactions, each so long [default, if there is an id: 3000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    transaction_duration_ms: Option<u64>,
    /// So many records are sent first; those after them are also told by themselves.
    #[arg(long, value_name = "N", default_value_t = 0)]
    warmup_records: u64,
    /// How long between two lines.
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..))]
    reporting_interval: u64,
    /// Ignored: the client counts nothing; what the broker counts is at its /metrics.
    #[arg(long)]
    print_metrics: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl ProduceArguments {
    pub(crate) fn run(self) -> Result<()> {
        ignored("--print-metrics", &self.print_metrics.then_some(()), NO_METRICS);
        let mut config = ProducerConfig::default();
        let mut connection = self.connection.clone();
        let settings = [("transactional.id", self.transactional_id.clone())];
        let properties = ("--command-property", &self.properties[..]);
        connection.configure(&settings, properties, |key, value| config.set(key, value))?;
        config.validate()?;
        connection.run(async |client| self.measure(&client, config).await)
    }

    /// How long each transaction lasts; none if there are none. Names the producer, if it has to have a name.
    fn transaction(&self, config: &mut ProducerConfig, host: &Host) -> Option<Duration> {
        if config.transactional_id.is_none() {
            self.transaction_duration_ms?;
            config.transactional_id = Some(format!("performance-producer-{}", Uuid(host.random_uuid())));
        }
        Some(Duration::from_millis(self.transaction_duration_ms.unwrap_or(DEFAULT_TRANSACTION_MS)))
    }

    async fn measure(&self, client: &Client, mut config: ProducerConfig) -> Result<()> {
        let host = client.host().clone();
        let payload = self.payload.payload(&host)?;
        let transaction = self.transaction(&mut config, &host);
        let producer = Producer::new(client, config)?;
        if transaction.is_some() {
            producer.init_transactions().await?;
        }
        if self.warmup_records > 0 && !self.json {
            println!(
                "Warmup first {} records. Steady state results will print after the complete test summary.",
                self.warmup_records
            );
        }
        // Whoever hears of the acknowledgements does so while others are sent, or latencies would be those of the loop.
        let (on_the_way, acknowledged) = mpsc::channel(MAX_ON_THE_WAY);
        let run = Run::new(&host, self);
        let run = host.spawn(run.acknowledgements(acknowledged));
        self.send(&host, &producer, &payload, transaction, on_the_way).await?;
        let run = run.await??;
        producer.close().await?;
        run.finish(self.json);
        Ok(())
    }

    async fn send(
        &self,
        host: &Host,
        producer: &Producer,
        payload: &Payload,
        transaction: Option<Duration>,
        on_the_way: mpsc::Sender<Sent>,
    ) -> Result<()> {
        let mut pace = Pace { host: host.clone(), began: host.now(), per_second: self.throughput };
        let mut open_since: Option<Instant> = None;
        for number in 0..self.num_records {
            pace.wait_for(number).await;
            let at = host.now();
            if transaction.is_some() && open_since.is_none() {
                producer.begin_transaction()?;
                open_since = Some(at);
            }
            let value = payload.value(host, number);
            let record = ProducerRecord { value: Some(&value), ..ProducerRecord::new(&self.topic) };
            let delivery = producer.send(record).await?;
            if on_the_way.send(Sent { at, bytes: value.len() as u64, delivery }).await.is_err() {
                break;
            }
            let is_over = |since: Instant| {
                transaction.is_some_and(|long| host.now().saturating_duration_since(since) >= long)
            };
            if open_since.is_some_and(is_over) {
                producer.commit_transaction().await?;
                open_since = None;
            }
        }
        match open_since {
            Some(_) => producer.commit_transaction().await?,
            None => producer.flush().await?,
        }
        Ok(())
    }
}

/// A number of records a second.
fn per_second(text: &str) -> Result<f64> {
    let number: f64 = text.parse()?;
    anyhow::ensure!(!number.is_nan(), "it must be a number");
    Ok(number)
}

/// A record on the way.
struct Sent {
    at: Instant,
    bytes: u64,
    delivery: Delivery,
}

/// Holds back records that come before their time.
struct Pace {
    host: Host,
    began: Instant,
    /// Not above zero: no bound.
    per_second: f64,
}

impl Pace {
    async fn wait_for(&mut self, number: u64) {
        if self.per_second <= 0.0 {
            return;
        }
        // Of what is too far to tell nobody waits for the end.
        let after = Duration::try_from_secs_f64(number as f64 / self.per_second).unwrap_or(FAR);
        let due = self.began + after.min(FAR);
        // Timers tick in milliseconds: who waited for each record of a fast stream would send one a tick.
        if due.saturating_duration_since(self.host.now()) >= SHORTEST_WAIT {
            self.host.sleep_until(due).await;
        }
    }
}

/// What is known of the records that were acknowledged.
struct Run {
    host: Host,
    is_silent: bool,
    interval: Duration,
    all: Stretch,
    /// Since the last line.
    window: Stretch,
    /// How many records are left of those that warm up.
    warming: u64,
    /// Those after the warm-up, if there is one.
    steady: Option<Stretch>,
    progress: Progress,
}

impl Run {
    fn new(host: &Host, arguments: &ProduceArguments) -> Run {
        let now = host.now();
        Run {
            host: host.clone(),
            is_silent: arguments.json,
            interval: Duration::from_millis(arguments.reporting_interval),
            all: Stretch::new(now, ""),
            window: Stretch::new(now, ""),
            warming: arguments.warmup_records,
            steady: None,
            progress: Progress::new(arguments.num_records, arguments.json),
        }
    }

    /// Hears of each record's acknowledgement until nothing more is sent.
    async fn acknowledgements(mut self, mut sent: mpsc::Receiver<Sent>) -> Result<Run> {
        let has_warm_up = self.warming > 0;
        while let Some(Sent { at, bytes, delivery }) = sent.recv().await {
            delivery.await?;
            if has_warm_up && self.warming == 0 && self.steady.is_none() {
                self.steady = Some(Stretch::new(at, " steady state"));
                self.window = Stretch::new(at, " steady state");
            }
            self.warming = self.warming.saturating_sub(1);
            self.acknowledged(at, bytes);
        }
        Ok(self)
    }

    fn acknowledged(&mut self, sent: Instant, bytes: u64) {
        let now = self.host.now();
        let latency = now.saturating_duration_since(sent);
        for stretch in [&mut self.all, &mut self.window].into_iter().chain(&mut self.steady) {
            stretch.add(latency, bytes);
        }
        self.progress.advance(1);
        if now.saturating_duration_since(self.window.began) < self.interval {
            return;
        }
        if !self.is_silent {
            self.progress.print(&self.window.line(now));
        }
        self.window = Stretch::new(now, if self.steady.is_some() { " steady state" } else { "" });
    }

    fn finish(mut self, as_json: bool) {
        self.progress.end();
        let now = self.host.now();
        if as_json {
            let mut line = self.all.json(now);
            if let Some(steady) = &mut self.steady {
                line["steady"] = steady.json(now);
            }
            println!("{line}");
            return;
        }
        println!("{}", self.all.total(now));
        if let Some(steady) = &mut self.steady {
            println!("{}", steady.total(now));
        }
    }
}
