//! `perf consume`, by Kafka's name `consumer-perf-test`: how fast records are read.

use std::time::Duration;

use anabranch_client::{AutoOffsetReset, Client, Consumer, ConsumerConfig, RebalanceEvent};
use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::{MIB, speed};
use crate::connect::Connection;
use crate::datetime::format_datetime;
use crate::progress::Progress;

/// What perf consume takes.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArguments {
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
        self.connection.run(async |client| {
            let read = self.measure(&client).await?;
            match self.json {
                true => println!("{}", read.json()),
                false => read.print(self.hide_header),
            }
            Ok(())
        })
    }

    async fn measure(&self, client: &Client) -> Result<Read> {
        let host = client.host();
        let group = self.group.clone();
        let group = group.unwrap_or_else(|| format!("perf-consumer-{}", host.random_below(100_000)));
        let config = ConsumerConfig {
            group_id: Some(group),
            auto_offset_reset: AutoOffsetReset::Earliest,
            max_poll_records: 100_000,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(client, config)?;
        consumer.subscribe([&self.topic])?;
        let (began, began_ms) = (host.now(), host.wall_clock_ms());
        let is_assigned = |event: &RebalanceEvent| matches!(event, RebalanceEvent::Assigned { .. });
        let mut assigned = None;
        let (mut count, mut bytes, mut last) = (0u64, 0u64, host.now());
        let progress = Progress::new(self.messages, self.json);
        while count < self.messages {
            let polled = consumer.poll(Duration::from_millis(100)).await?;
            if assigned.is_none() && polled.events.iter().any(is_assigned) {
                assigned = Some(host.now());
                last = host.now();
            }
            let length = |field: &Option<Bytes>| field.as_ref().map_or(0, |field| field.len() as u64);
            count += polled.records.len() as u64;
            bytes +=
                polled.records.iter().map(|record| length(&record.key) + length(&record.value)).sum::<u64>();
            progress.advance(polled.records.len() as u64);
            let now = host.now();
            if !polled.records.is_empty() {
                last = now;
            }
            if now.saturating_duration_since(last) > Duration::from_millis(self.timeout) {
                eprintln!(
                    "WARNING: Exiting before consuming the expected number of messages: timeout ({} ms) exceeded.",
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

    fn print(&self, hide_header: bool) {
        if !hide_header {
            println!(
                "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                 rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
            );
        }
        let (records, mib) = speed(self.count, self.bytes, self.elapsed);
        let (fetched_records, fetched_mib) = speed(self.count, self.bytes, self.fetching());
        let end_ms = self.began_ms + self.elapsed.as_millis() as i64;
        println!(
            "{}, {}, {:.4}, {mib:.4}, {}, {records:.4}, {}, {}, {fetched_mib:.4}, {fetched_records:.4}",
            format_datetime(self.began_ms),
            format_datetime(end_ms),
            self.bytes as f64 / MIB,
            self.count,
            self.rebalance.as_millis(),
            self.fetching().as_millis()
        );
    }
}
