//! `perf latency`, by Kafka's name `end-to-end-latency`: a record is sent and read back before the next one is.

use std::time::Duration;

use anabranch_client::{
    Client, Consumer, ConsumerConfig, ConsumerRecord, NewTopic, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use super::latencies::Latencies;
use crate::connect::Connection;
use crate::progress::Progress;

/// How long a record may take.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);
/// A line is printed for each so many.
const REPORT_EVERY: u64 = 1000;

/// What perf latency takes.
#[derive(Debug, Args)]
pub(crate) struct LatencyArguments {
    #[command(flatten)]
    connection: Connection,
    /// The topic; it is made if it is not there.
    #[arg(long, value_name = "NAME")]
    topic: String,
    /// How many records.
    #[arg(long, value_name = "N")]
    num_records: u64,
    /// Who must have a record before it counts as sent: all.
    #[arg(long, value_name = "ACKS", default_value = "all", allow_hyphen_values = true)]
    producer_acks: String,
    /// Bytes of each value.
    #[arg(long, value_name = "N", default_value_t = 100)]
    record_size: usize,
    /// Bytes of each key; 0: no key.
    #[arg(long, value_name = "N", default_value_t = 0)]
    record_key_size: usize,
    /// Headers of each.
    #[arg(long, value_name = "N", default_value_t = 0)]
    num_headers: usize,
    /// Bytes of the key of a header.
    #[arg(long, value_name = "N", default_value_t = 0)]
    record_header_key_size: usize,
    /// Bytes of the value of a header; -1: none.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    record_header_size: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl LatencyArguments {
    pub(crate) fn run(self) -> Result<()> {
        let mut config = ProducerConfig { linger_ms: 0, ..ProducerConfig::default() };
        config.set("acks", &self.producer_acks).context("--producer-acks")?;
        config.validate()?;
        self.connection.run(async |client| {
            let mut latencies = self.measure(&client, config).await?;
            let average = latencies.average();
            let [p50, p99, p999] = latencies.percentiles([0.5, 0.99, 0.999]);
            if self.json {
                let count = latencies.all_ms.len();
                let line = json!({
                    "records": count, "average_latency_ms": average, "max_latency_ms": latencies.max(),
                    "p50_ms": p50, "p99_ms": p99, "p999_ms": p999,
                });
                println!("{line}");
            } else {
                println!("Avg latency: {average:.4} ms");
                // Whole milliseconds, as in Kafka: what lies below one is 0.
                let [p50, p99, p999] = [p50, p99, p999].map(f64::trunc);
                println!("Percentiles: 50th = {p50}, 99th = {p99}, 99.9th = {p999}");
            }
            Ok(())
        })
    }

    async fn measure(&self, client: &Client, config: ProducerConfig) -> Result<Latencies> {
        let host = client.host().clone();
        let mut consumer = self.consumer_at_the_end(client).await?;
        let producer = Producer::new(client, config)?;
        let mut random =
            |bytes: usize| -> Vec<u8> { (0..bytes).map(|_| b'A' + host.random_below(26) as u8).collect() };
        let mut latencies = Latencies::default();
        let progress = Progress::new(self.num_records, self.json);
        for number in 0..self.num_records {
            let (key, value) = (random(self.record_key_size), random(self.record_size));
            let header_key = String::from_utf8(random(self.record_header_key_size))?;
            let header_value = usize::try_from(self.record_header_size).ok().map(&mut random);
            let headers = vec![(header_key.as_str(), header_value.as_deref()); self.num_headers];
            let record = ProducerRecord {
                key: (!key.is_empty()).then_some(&*key),
                value: Some(&value),
                headers: &headers,
                ..ProducerRecord::new(&self.topic)
            };
            let began = host.now();
            producer.send(record).await?.await?;
            let read = consumer.poll(POLL_TIMEOUT).await?.records;
            let elapsed = host.now().saturating_duration_since(began);
            check_read(&record, &read)?;
            latencies.all_ms.push(elapsed.as_secs_f64() * 1000.0);
            progress.advance(1);
            if number % REPORT_EVERY == 0 && !self.json {
                progress.print(&format!("{number}\t{:.4}", elapsed.as_secs_f64() * 1000.0));
            }
        }
        progress.end();
        producer.close().await?;
        consumer.close().await?;
        Ok(latencies)
    }

    /// A consumer of all partitions that sees what is written from now on.
    async fn consumer_at_the_end(&self, client: &Client) -> Result<Consumer> {
        let admin = client.admin();
        let described = match admin.describe_topics(&[&self.topic]).await?.remove(self.topic.as_str()) {
            Some(Ok(topic)) => topic,
            _ => {
                eprintln!(
                    "Topic \"{}\" does not exist. Will create topic with 1 partition(s) and replication factor = 1",
                    self.topic
                );
                for created in admin.create_topics(&[NewTopic::new(&self.topic, 1)]).await?.into_values() {
                    created?;
                }
                let mut described = admin.describe_topics(&[&self.topic]).await?;
                described.remove(self.topic.as_str()).context("the broker says nothing of the topic")??
            }
        };
        let names: Vec<TopicPartition> = (0..described.partitions.len())
            .map(|number| TopicPartition::new(self.topic.as_str(), number as i32))
            .collect();
        let mut consumer =
            Consumer::new(client, ConsumerConfig { fetch_max_wait_ms: 0, ..ConsumerConfig::default() })?;
        consumer.assign(&names)?;
        for name in &names {
            consumer.seek_to_end(name)?;
        }
        let host = client.host();
        let deadline = host.now() + POLL_TIMEOUT;
        while names.iter().any(|name| consumer.position(name).is_none()) {
            if host.now() > deadline {
                bail!("the broker does not say where {} ends", self.topic);
            }
            consumer.poll(Duration::from_millis(10)).await?;
        }
        Ok(consumer)
    }
}

/// What was read must be what was sent, and nothing else.
fn check_read(sent: &ProducerRecord<'_>, read: &[ConsumerRecord]) -> Result<()> {
    let record = match read {
        [] => bail!("the record was not there within {} seconds", POLL_TIMEOUT.as_secs()),
        [record] => record,
        more => bail!("{} records came for one: is somebody else writing to the topic?", more.len()),
    };
    if record.value.as_deref() != sent.value || record.key.as_deref() != sent.key {
        bail!("another record came than was sent: is somebody else writing to the topic?");
    }
    Ok(())
}
