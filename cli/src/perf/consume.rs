//! `perf consume`, by Kafka's name `consumer-perf-test`: how fast records are read.

use std::time::Duration;

use anabranch_client::{AutoOffsetReset, Consumer, ConsumerConfig, RebalanceEvent};
use anyhow::Result;
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

impl ConsumeArguments {
    pub(crate) fn run(self) -> Result<()> {
        let arguments = self;
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
        let progress = Progress::new(arguments.messages, arguments.json);
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
            progress.advance(polled.records.len() as u64);
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
        progress.end();
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
}
