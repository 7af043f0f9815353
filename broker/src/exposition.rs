//! A broker's state in numbers: Prometheus' text format, and the few words of `/health`.
//!
//! Names are those of Kafka's JMX beans in snake case: `kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec`
//! is `kafka_server_broker_topic_metrics_messages_in_total`. What Kafka has not begins with `anabranch_`.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Arc;

use crate::handlers::SERVED;
use crate::metrics::{CloseReason, Histogram};
use crate::node::Node;
use crate::partition::Partition;
use crate::topics::Topic;

/// The text that Prometheus reads.
pub(crate) fn expose(node: &Node) -> String {
    let mut page = Page { text: String::new() };
    traffic(&mut page, node);
    requests(&mut page, node);
    connections(&mut page, node);
    let topics = node.topics.all();
    partitions(&mut page, &topics);
    logs(&mut page, &topics);
    groups(&mut page, node);
    broker(&mut page, node);
    page.text
}

/// Whether the broker serves, and a line of JSON that says so.
pub(crate) fn health(node: &Node) -> (bool, String) {
    let is_stopping = *node.stopping.borrow();
    let is_offline = node.topics.directory().is_offline();
    let offline_partitions: usize = node.topics.all().iter().map(|topic| offline_count(topic)).sum();
    let status = match () {
        () if is_stopping => "stopping",
        () if is_offline => "log directory offline",
        () if offline_partitions > 0 => "degraded",
        () => "ok",
    };
    let text = format!("{{\"status\":\"{status}\",\"offline_partitions\":{offline_partitions}}}\n");
    (!is_stopping && !is_offline, text)
}

fn offline_count(topic: &Topic) -> usize {
    topic.partitions().iter().filter(|partition| partition.check().is_err()).count()
}

fn traffic(page: &mut Page, node: &Node) {
    let metrics = &node.metrics;
    for (name, what, counter) in [
        ("messages_in", "Records appended by producers.", &metrics.messages_in),
        ("bytes_in", "Bytes of record batches appended by producers.", &metrics.bytes_in),
        ("bytes_out", "Bytes of record batches given to consumers.", &metrics.bytes_out),
        ("failed_produce_requests", "Batches of producers that were refused.", &metrics.failed_appends),
    ] {
        let name = format!("kafka_server_broker_topic_metrics_{name}_total");
        page.family(&name, "counter", what);
        page.sample(&name, &[], counter.value());
    }
}

fn requests(page: &mut Page, node: &Node) {
    let name = "kafka_network_request_metrics_total_time_seconds";
    page.family(name, "histogram", "From a request's arrival until its answer could be written.");
    for api_key in SERVED {
        page.histogram(name, &[("request", api_key.name())], node.metrics.request_times(*api_key));
    }
    let name = "anabranch_request_memory_bytes";
    page.family(name, "gauge", "Bytes of requests that arrive or wait for their answers.");
    page.sample(name, &[], node.memory.request_bytes());
    let name = "anabranch_answer_memory_bytes";
    page.family(name, "gauge", "Bytes of answers that wait for their readers.");
    page.sample(name, &[], node.memory.answer_bytes());
}

fn connections(page: &mut Page, node: &Node) {
    let metrics = &node.metrics;
    let opened = metrics.connections_opened.value();
    let closed: u64 = CloseReason::ALL.iter().map(|reason| metrics.closed(*reason)).sum();
    let name = "kafka_server_socket_server_metrics_connection_count";
    page.family(name, "gauge", "Open connections.");
    page.sample(name, &[], opened.saturating_sub(closed));
    let name = "kafka_server_socket_server_metrics_connection_creation_total";
    page.family(name, "counter", "Connections accepted.");
    page.sample(name, &[], opened);
    let name = "kafka_server_socket_server_metrics_connection_close_total";
    page.family(name, "counter", "Connections ended, by reason.");
    for reason in CloseReason::ALL {
        page.sample(name, &[("reason", reason.name())], metrics.closed(reason));
    }
    let name = "anabranch_connections_refused_total";
    page.family(name, "counter", "Connections closed at once by max.connections or max.connections.per.ip.");
    page.sample(name, &[], metrics.connections_refused.value());
}

fn partitions(page: &mut Page, topics: &[Arc<Topic>]) {
    let count: usize = topics.iter().map(|topic| topic.partitions().len()).sum();
    let offline: usize = topics.iter().map(|topic| offline_count(topic)).sum();
    for (name, what, value) in [
        ("kafka_server_replica_manager_partition_count", "Partitions of this broker.", count),
        ("kafka_server_replica_manager_leader_count", "Partitions this broker leads.", count - offline),
        ("kafka_server_replica_manager_offline_replica_count", "Partitions that are offline.", offline),
        ("kafka_server_replica_manager_under_replicated_partitions", "There is one replica of each.", 0),
        ("kafka_server_replica_manager_under_min_isr_partition_count", "There is one replica of each.", 0),
        ("kafka_controller_kafka_controller_active_controller_count", "This broker is the controller.", 1),
        ("kafka_controller_kafka_controller_offline_partitions_count", "Without a leader.", offline),
        ("kafka_controller_kafka_controller_global_topic_count", "Topics.", topics.len()),
        ("kafka_controller_kafka_controller_global_partition_count", "Partitions.", count),
    ] {
        page.family(name, "gauge", what);
        page.sample(name, &[], value);
    }
}

fn logs(page: &mut Page, topics: &[Arc<Topic>]) {
    type Look = fn(&Partition) -> i64;
    let read: [(&str, &str, Look); 3] = [
        ("kafka_log_log_size", "Bytes of records.", |log| {
            i64::try_from(log.size_bytes()).unwrap_or(i64::MAX)
        }),
        ("kafka_log_log_log_start_offset", "The first offset.", |log| log.log_start_offset()),
        ("kafka_log_log_log_end_offset", "The offset of the next record.", |log| log.log_end_offset()),
    ];
    for (name, what, value) in read {
        page.family(name, "gauge", what);
        for topic in topics {
            for (index, partition) in topic.partitions().iter().enumerate() {
                let labels = [("topic", &*topic.name), ("partition", &*index.to_string())];
                page.sample(name, &labels, value(partition));
            }
        }
    }
}

fn groups(page: &mut Page, node: &Node) {
    let name = "kafka_coordinator_group_group_metadata_manager_num_groups";
    page.family(name, "gauge", "Groups, by state.");
    let mut by_state: BTreeMap<&str, u64> = BTreeMap::new();
    for state in ["PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty"] {
        by_state.insert(state, 0);
    }
    // While coordinators load nobody knows; then all are 0.
    if let Ok((listed, _)) = node.groups.look(|coordinator| coordinator.list_groups()) {
        for group in listed.iter().flatten() {
            *by_state.entry(group.state.name()).or_default() += 1;
        }
    }
    for (state, count) in by_state {
        page.sample(name, &[("state", state)], count);
    }
}

fn broker(page: &mut Page, node: &Node) {
    let name = "anabranch_journal_sync_seconds";
    page.family(name, "histogram", "How long the syncs took that make appends durable, one for many.");
    page.histogram(name, &[], node.topics.directory().sync_times());
    let name = "anabranch_log_directory_offline";
    page.family(name, "gauge", "1 after a write or a sync has failed: nothing is taken any more.");
    page.sample(name, &[], u8::from(node.topics.directory().is_offline()));
    let name = "process_start_time_seconds";
    page.family(name, "gauge", "When the broker was opened, in seconds since 1970.");
    page.sample(name, &[], node.metrics.started_ms as f64 / 1000.0);
    let name = "anabranch_build_info";
    page.family(name, "gauge", "The version.");
    page.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
}

/// The text as it grows.
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, what: &str) {
        self.line(format_args!("# HELP {name} {what}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.line(format_args!("{name}{} {value}\n", Labels(labels)));
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let counted = histogram.counted();
        let bucket = format!("{name}_bucket");
        let bounds = counted.up_to.iter().map(|(bound, count)| (bound.to_string(), *count));
        for (bound, count) in bounds.chain([("+Inf".to_string(), counted.count)]) {
            let labels = [labels, &[("le", bound.as_str())]].concat();
            self.sample(&bucket, &labels, count);
        }
        self.sample(&format!("{name}_sum"), labels, counted.sum);
        self.sample(&format!("{name}_count"), labels, counted.count);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.text.write_fmt(line).expect("a String takes all");
    }
}

/// `{name="value",...}`; nothing if there are none.
struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = '{';
        for (name, value) in self.0 {
            write!(f, "{separator}{name}=\"")?;
            for character in value.chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    _ => f.write_char(character)?,
                }
            }
            f.write_char('"')?;
            separator = ',';
        }
        if self.0.is_empty() { Ok(()) } else { f.write_char('}') }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_quoted() {
        assert_eq!(Labels(&[]).to_string(), "");
        assert_eq!(
            Labels(&[("topic", "a\"b\\c\nd"), ("partition", "0")]).to_string(),
            r#"{topic="a\"b\\c\nd",partition="0"}"#
        );
    }
}
