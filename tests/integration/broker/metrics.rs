//! What an operator is told: `/metrics` and `/health` over HTTP.

use std::time::Duration;

use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_host::Host;
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::fetch::FetchResponse;
use anabranch_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use anabranch_protocol::records::Compression;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::topics::create;
use super::{Raw, batch, fetch_request, produce, with_broker};

/// Sends `request` as it is, and reads until the end: head and body.
async fn ask(host: &Host, address: &str, request: &str) -> (String, String) {
    let mut stream = host.connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = host.timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await;
    read.expect("an answer in time").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_string(), body.to_string())
}

async fn get(host: &Host, address: &str, path: &str) -> (String, String) {
    ask(host, address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")).await
}

/// The value of a sample.
fn value(page: &str, sample: &str) -> f64 {
    let line = page.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == sample));
    let line = line.unwrap_or_else(|| panic!("no {sample} in\n{page}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn what_clients_do_is_counted() {
    with_broker("metrics.listener=127.0.0.1:0", async |host, broker| {
        let address = broker.broker().listen_for_metrics().await.unwrap().unwrap();
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 2, &[]).await;
        let records = batch(Compression::None, &["a", "b", "c"]);
        let bytes = records.len() as f64;
        produce(&mut raw, "t", records).await;
        let refused = produce(&mut raw, "t", batch(Compression::None, &[]));
        assert_eq!(refused.await.error_code, ErrorCode::INVALID_RECORD);
        let answer = raw.call(11, &fetch_request("t", 0)).await;
        assert!(!answer.decode::<FetchResponse<'_>>().responses.is_empty());
        let heartbeat = HeartbeatRequest { group_id: "g", ..Default::default() };
        raw.call(4, &heartbeat).await.decode::<HeartbeatResponse>();
        let mut wrong = Raw::connect(host, broker).await;
        wrong.send_bytes(b"GET / HTTP/1.1\r\n\r\n").await;
        assert!(wrong.is_closed().await);

        let (head, page) = get(host, &address, "/metrics").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", page.len())), "{head}");
        let topic_metrics = "kafka_server_broker_topic_metrics";
        let close = "kafka_server_socket_server_metrics_connection_close_total";
        let times = "kafka_network_request_metrics_total_time_seconds";
        for (sample, expected) in [
            (format!("{topic_metrics}_messages_in_total"), 3.0),
            (format!("{topic_metrics}_bytes_in_total"), bytes),
            (format!("{topic_metrics}_bytes_out_total"), bytes),
            (format!("{topic_metrics}_failed_produce_requests_total"), 1.0),
            (format!("{times}_count{{request=\"Produce\"}}"), 2.0),
            (format!("{times}_bucket{{request=\"Fetch\",le=\"+Inf\"}}"), 1.0),
            (format!("{times}_count{{request=\"Heartbeat\"}}"), 1.0),
            (format!("{times}_count{{request=\"JoinGroup\"}}"), 0.0),
            ("kafka_server_socket_server_metrics_connection_count".to_string(), 1.0),
            (format!("{close}{{reason=\"protocol\"}}"), 1.0),
            ("kafka_server_replica_manager_under_replicated_partitions".to_string(), 0.0),
            ("kafka_log_log_size{topic=\"t\",partition=\"0\"}".to_string(), bytes),
            ("kafka_log_log_log_end_offset{topic=\"t\",partition=\"0\"}".to_string(), 3.0),
            ("kafka_log_log_log_end_offset{topic=\"t\",partition=\"1\"}".to_string(), 0.0),
            ("kafka_coordinator_group_group_metadata_manager_num_groups{state=\"Stable\"}".to_string(), 0.0),
            ("anabranch_log_directory_offline".to_string(), 0.0),
        ] {
            assert_eq!(value(&page, &sample), expected, "{sample}");
        }
        let mut names = std::collections::BTreeSet::new();
        for line in page.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(family) => assert!(names.insert(family.split(' ').next().unwrap()), "twice: {line}"),
                None => assert!(line.starts_with("# HELP ") || line.contains(' '), "{line}"),
            }
        }
    });
}

#[test]
fn syncs_are_timed() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("metrics.listener=127.0.0.1:0\nlog.dirs={}", directory.path().display());
    let (host, runtime) = Host::real(2).unwrap();
    runtime.block_on(async {
        let config = BrokerConfig::from_properties(&text).unwrap();
        let broker = EmbeddedBroker::start(host.clone(), config).await.unwrap();
        let address = broker.broker().listen_for_metrics().await.unwrap().unwrap();
        let mut raw = Raw::connect(&host, &broker).await;
        create(&mut raw, "t", 1, &[]).await;
        produce(&mut raw, "t", batch(Compression::None, &["a"])).await;
        let (_, page) = get(&host, &address, "/metrics").await;
        // The topic's records and the batch, if nothing else.
        assert!(value(&page, "anabranch_journal_sync_seconds_count") >= 2.0);
        assert!(value(&page, "anabranch_journal_sync_seconds_sum") > 0.0);
        broker.shutdown().await;
    });
}

#[test]
fn whether_it_serves_is_told_and_nothing_else_is_answered() {
    with_broker("metrics.listener=127.0.0.1:0", async |host, broker| {
        let address = broker.broker().listen_for_metrics().await.unwrap().unwrap();
        let (head, body) = get(host, &address, "/health").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json"), "{head}");
        assert_eq!(body, "{\"status\":\"ok\",\"offline_partitions\":0}\n");
        let (head, body) = ask(host, &address, "HEAD /health HTTP/1.1\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK") && body.is_empty(), "{head} {body}");
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
            ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\n", "405 Method Not Allowed"),
            ("\0\0\0\x0a\0\x12\0\0\0\0\0\x01\u{ff}\r\n\r\n", "400 Bad Request"),
            (&"x".repeat(9000), "431 Request Header Fields Too Large"),
        ] {
            let (head, _) = ask(host, &address, request).await;
            assert_eq!(head.lines().next(), Some(&*format!("HTTP/1.1 {status}")));
        }
    });
}
