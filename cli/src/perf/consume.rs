//! `perf consume`, by Kafka's name `consumer-perf-test`: how fast records are read.

use std::time::Duration;

use anabranch_client::{Client, Consumer, ConsumerConfig, RebalanceEvent};
use anabranch_host::Instant;
use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::{MIB, NO_METRICS, speed};
use crate::connect::{Connection, Pattern, ignored};
use crate::date_format::DateFormat;
use crate::progress::Progress;

/// What perf consume takes.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArguments {
    #[command(flatten)]
    connection: Connection,
    /// The topic.
    #[arg(long, value_name = "NAME", conflicts_with = "include", required_unless_present = "include")]
    topic: Option<String>,
    /// A regular expression for topics.
    #[arg(long, value_name = "REGEX")]
    include: Option<String>,
    /// How many records.
    #[arg(long, alias = "messages", value_name = "N")]
    num_records: u64,
    /// The group.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Begin at the end, if the group has no offset.
    #[arg(long)]
    from_latest: bool,
    /// End when no record has come for so long.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    timeout: u64,
    /// Bytes of one partition in one answer, about.
    #[arg(long, value_name = "BYTES")]
    fetch_size: Option<String>,
    /// Ignored: the operating system chooses.
    #[arg(long, value_name = "BYTES")]
    socket_buffer_size: Option<String>,
    /// A setting of the consumer; may be given many times.
    #[arg(long = "command-property", value_name = "KEY=VALUE")]
    properties: Vec<String>,
    /// Print a line at each interval, and none at the end.
    #[arg(long)]
    show_detailed_stats: bool,
    /// That interval.
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..))]
    reporting_interval: u64,
    /// How times are written, as Java's SimpleDateFormat has it.
    #[arg(long, value_name = "PATTERN", default_value = "yyyy-MM-dd HH:mm:ss:SSS")]
    date_format: String,
    /// Print no header.
    #[arg(long)]
    hide_header: bool,
    /// Ignored: the client counts nothing; what the broker counts is at its /metrics.
    #[arg(long)]
    print_metrics: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was read, and in which time.
struct Read {
    count: u64,
    bytes: u64,
    began_ms: i64,
    elapsed: Duration,
    /// Until partitions were assigned.
    rebalance: Duration,
}

impl ConsumeArguments {
    pub(crate) fn run(self) -> Result<()> {
        ignored("--print-metrics", &self.print_metrics.then_some(()), NO_METRICS);
        ignored("--socket-buffer-size", &self.socket_buffer_size, "the operating system chooses");
        let dates = DateFormat::parse(&self.date_format).context("--date-format")?;
        let mut config = ConsumerConfig { max_poll_records: 100_000, ..ConsumerConfig::default() };
        let reset = if self.from_latest { "latest" } else { "earliest" };
        let settings = [
            ("group.id", self.group.clone()),
            ("max.partition.fetch.bytes", self.fetch_size.clone()),
            ("auto.offset.reset", Some(reset.to_string())),
        ];
        let properties = ("--command-property", &self.properties[..]);
        let mut connection = self.connection.clone();
        connection.configure(&settings, properties, |key, value| config.set(key, value))?;
        config.validate()?;
        connection.run(async |client| {
            if !self.hide_header && !self.json {
                println!("{}", header(self.show_detailed_stats));
            }
            let read = self.measure(&client, config, &dates).await?;
            match (self.json, self.show_detailed_stats) {
                (true, _) => println!("{}", read.json()),
                (false, true) => {}
                (false, false) => println!("{}", read.line(&dates)),
            }
            Ok(())
        })
    }

    async fn measure(&self, client: &Client, mut config: ConsumerConfig, dates: &DateFormat) -> Result<Read> {
        let host = client.host();
        let by_chance = || format!("perf-consumer-{}", host.random_below(100_000));
        config.group_id.get_or_insert_with(by_chance);
        let mut consumer = Consumer::new(client, config)?;
        match (&self.topic, &self.include) {
            (Some(topic), _) => consumer.subscribe([topic])?,
            (None, include) => {
                let pattern = Pattern::new(include.as_deref().unwrap_or_default())?;
                consumer.subscribe_matching(move |name| pattern.matches(name))?;
            }
        }
        let (began, began_ms) = (host.now(), host.wall_clock_ms());
        let is_assigned = |event: &RebalanceEvent| matches!(event, RebalanceEvent::Assigned { .. });
        let mut assigned = None;
        let (mut count, mut bytes, mut last) = (0u64, 0u64, host.now());
        let mut interval = Interval { at: began, count: 0, bytes: 0, rebalance: Duration::ZERO };
        let progress = Progress::new(self.num_records, self.json);
        while count < self.num_records {
            let polled = consumer.poll(Duration::from_millis(100)).await?;
            if assigned.is_none() && polled.events.iter().any(is_assigned) {
                assigned = Some(host.now());
                last = host.now();
                interval.rebalance = last.saturating_duration_since(began);
            }
            let length = |field: &Option<Bytes>| field.as_ref().map_or(0, |field| field.len() as u64);
            count += polled.records.len() as u64;
            bytes +=
                polled.records.iter().map(|record| length(&record.key) + length(&record.value)).sum::<u64>();
            progress.advance(polled.records.len() as u64);
            let now = host.now();
            if !polled.records.is_empty() {
                last = now;
                let since = now.saturating_duration_since(interval.at);
                if self.show_detailed_stats && since >= Duration::from_millis(self.reporting_interval) {
                    if !self.json {
                        progress.print(&interval.line(
                            &dates.format(host.wall_clock_ms()),
                            (count, bytes),
                            since,
                        ));
                    }
                    interval = Interval { at: now, count, bytes, rebalance: Duration::ZERO };
                }
            }
            if now.saturating_duration_since(last) > Duration::from_millis(self.timeout) {
                eprintln!(
                    "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) exceeded. You can \
                     use the --timeout option to increase the timeout.",
                    self.timeout
                );
                break;
            }
        }
        progress.end();
        consumer.close().await?;
        let elapsed = last.saturating_duration_since(began);
        let rebalance = assigned.unwrap_or(last).saturating_duration_since(began);
        Ok(Read { count, bytes, began_ms, elapsed, rebalance })
    }
}

/// The names of what a line tells.
fn header(is_detailed: bool) -> String {
    let first = if is_detailed { "time, threadId" } else { "start.time, end.time" };
    format!(
        "{first}, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, \
         fetch.MB.sec, fetch.nMsg.sec"
    )
}

/// How far it was at the last line of an interval.
struct Interval {
    at: Instant,
    count: u64,
    bytes: u64,
    /// How much of the interval goes to the group.
    rebalance: Duration,
}

impl Interval {
    /// The line of an interval that ends at so many records and bytes.
    fn line(&self, time: &str, (count, bytes): (u64, u64), elapsed: Duration) -> String {
        let (new, new_bytes) = (count - self.count, bytes - self.bytes);
        let (records, mib) = speed(new, new_bytes, elapsed);
        let fetching = elapsed.saturating_sub(self.rebalance);
        let (fetched_records, fetched_mib) = speed(new, new_bytes, fetching);
        format!(
            "{time}, 0, {:.4}, {mib:.4}, {count}, {records:.4}, {}, {}, {fetched_mib:.4}, {fetched_records:.4}",
            bytes as f64 / MIB,
            self.rebalance.as_millis(),
            fetching.as_millis()
        )
    }
}

impl Read {
    /// The time that was not spent on the group.
    fn fetching(&self) -> Duration {
        self.elapsed.saturating_sub(self.rebalance)
    }

    fn json(&self) -> serde_json::Value {
        let (records, mib) = speed(self.count, self.bytes, self.elapsed);
        json!({
            "messages": self.count,
            "mb": self.bytes as f64 / MIB,
            "messages_per_second": records,
            "mb_per_second": mib,
            "rebalance_ms": self.rebalance.as_millis() as u64,
            "fetch_ms": self.fetching().as_millis() as u64,
        })
    }

    fn line(&self, dates: &DateFormat) -> String {
        let (records, mib) = speed(self.count, self.bytes, self.elapsed);
        let (fetched_records, fetched_mib) = speed(self.count, self.bytes, self.fetching());
        let end_ms = self.began_ms + self.elapsed.as_millis() as i64;
        format!(
            "{}, {}, {:.4}, {mib:.4}, {}, {records:.4}, {}, {}, {fetched_mib:.4}, {fetched_records:.4}",
            dates.format(self.began_ms),
            dates.format(end_ms),
            self.bytes as f64 / MIB,
            self.count,
            self.rebalance.as_millis(),
            self.fetching().as_millis()
        )
    }
}
