//! Fetch: whole batches, limits, offsets, waiting.

use std::time::Duration;

use anabranch_broker::EmbeddedBroker;
use anabranch_host::Host;
use anabranch_protocol::messages::delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
use anabranch_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData, ReplicaState,
};
use anabranch_protocol::records::{Batch, Compression};
use anabranch_protocol::{ApiKey, ErrorCode, Uuid};

use super::topics::create;
use super::transactional::{end, in_transaction, init, send};
use super::{Raw, batch, fetch_request, produce, produce_request, values, with_broker};

/// Fetches partition 0 at once and gives what it answered.
async fn fetch(raw: &mut Raw, version: i16, request: &FetchRequest<'_>) -> PartitionData {
    let answer = raw.call(version, request).await;
    let response: FetchResponse<'_> = answer.decode();
    assert_eq!(response.error_code, ErrorCode::NONE);
    response.responses[0].partitions[0].clone()
}

#[test]
fn every_version_reads_and_tells_the_offsets() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let topic_id = create(&mut raw, "t", 1, &[]).await;
        produce(&mut raw, "t", batch(Compression::None, &["a", "b"])).await;
        for version in 4..=18 {
            for isolation_level in [0, 1] {
                let mut request = FetchRequest { isolation_level, ..fetch_request("t", 0) };
                request.topics[0].topic_id = topic_id;
                let answer = raw.call(version, &request).await;
                let response: FetchResponse<'_> = answer.decode();
                let topic = &response.responses[0];
                let named = if version >= 13 { ("", topic_id) } else { ("t", Uuid::ZERO) };
                assert_eq!((topic.topic, topic.topic_id), named);
                let partition = &topic.partitions[0];
                assert_eq!(partition.error_code, ErrorCode::NONE);
                assert_eq!((partition.high_watermark, partition.last_stable_offset), (2, 2));
                assert_eq!(partition.log_start_offset, if version >= 5 { 0 } else { -1 });
                assert_eq!(partition.preferred_read_replica, -1, "a wrong order of fields shows here first");
                assert_eq!(partition.aborted_transactions.is_some(), isolation_level == 1);
                assert_eq!(values(partition.records.as_ref()), ["a", "b"]);
            }
        }
    });
}

#[test]
fn a_fetch_inside_a_batch_returns_the_whole_batch() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        produce(&mut raw, "t", batch(Compression::Gzip, &["a", "b", "c"])).await;
        produce(&mut raw, "t", batch(Compression::None, &["d", "e"])).await;
        for (offset, expected) in [
            (0, vec!["a", "b", "c", "d", "e"]),
            (2, vec!["a", "b", "c", "d", "e"]),
            (3, vec!["d", "e"]),
            (4, vec!["d", "e"]),
            (5, vec![]),
        ] {
            let partition = fetch(&mut raw, 11, &fetch_request("t", offset)).await;
            assert_eq!(values(partition.records.as_ref()), expected, "from {offset}");
            assert_eq!(partition.error_code, ErrorCode::NONE);
        }
    });
}

#[test]
fn an_offset_that_is_not_there_is_out_of_range() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        produce(&mut raw, "t", batch(Compression::None, &["a"])).await;
        for offset in [2, 100, -1, i64::MAX, i64::MIN] {
            let partition = fetch(&mut raw, 11, &fetch_request("t", offset)).await;
            assert_eq!(partition.error_code, ErrorCode::OFFSET_OUT_OF_RANGE, "{offset}");
            assert_eq!(
                (partition.high_watermark, partition.log_start_offset),
                (-1, -1),
                "an error tells no offsets"
            );
        }
    });
}

#[test]
fn the_first_batch_comes_even_above_all_limits_and_the_rest_keeps_to_them() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "a", 1, &[]).await;
        create(&mut raw, "b", 1, &[]).await;
        let large = "x".repeat(1000);
        for topic in ["a", "b"] {
            for _ in 0..3 {
                produce(&mut raw, topic, batch(Compression::None, &[&large])).await;
            }
        }
        let count = async |raw: &mut Raw, max_bytes, partition_max_bytes| {
            let topic = |topic| {
                let partition = FetchPartition { partition_max_bytes, ..Default::default() };
                FetchTopic { topic, topic_id: Uuid::ZERO, partitions: vec![partition] }
            };
            let request = FetchRequest {
                max_bytes,
                min_bytes: 1,
                topics: vec![topic("a"), topic("b")],
                ..Default::default()
            };
            let answer = raw.call(11, &request).await;
            let response: FetchResponse<'_> = answer.decode();
            let records = response.responses.iter().map(|topic| topic.partitions[0].records.as_ref());
            records.map(|records| values(records).len()).collect::<Vec<_>>()
        };
        assert_eq!(count(&mut raw, 1, 1).await, [1, 0]);
        assert_eq!(count(&mut raw, 0, 0).await, [1, 0]);
        assert_eq!(count(&mut raw, 1 << 20, 1).await, [1, 0], "only the first may pass its limit");
        assert_eq!(count(&mut raw, 1 << 20, 2500).await, [2, 2]);
        assert_eq!(count(&mut raw, 3500, 1 << 20).await, [3, 0]);
        assert_eq!(count(&mut raw, 4500, 1 << 20).await, [3, 1]);
    });
}

#[test]
fn a_partition_named_twice_is_answered_once() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "a", 2, &[]).await;
        create(&mut raw, "b", 1, &[]).await;
        produce(&mut raw, "a", batch(Compression::None, &["x", "y"])).await;
        produce(&mut raw, "a", batch(Compression::None, &["z"])).await;
        let topic = |topic, partitions: &[(i32, i64)]| {
            let partition = |(partition, fetch_offset): &(i32, i64)| FetchPartition {
                partition: *partition,
                fetch_offset: *fetch_offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            };
            FetchTopic { topic, topic_id: Uuid::ZERO, partitions: partitions.iter().map(partition).collect() }
        };
        // The last one counts, at the place of the first; also of what is not there.
        let topics = vec![
            topic("a", &[(0, 0), (1, 0), (0, 0), (9, 0)]),
            topic("b", &[(0, 0)]),
            topic("a", &[(9, 0), (0, 2)]),
        ];
        let request = FetchRequest { max_bytes: 1 << 20, topics, ..Default::default() };
        let answer = raw.call(11, &request).await;
        let response: FetchResponse<'_> = answer.decode();
        let found = response.responses.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|found| (topic.topic, found.partition_index, values(found.records.as_ref())))
        });
        let expected =
            [("a", 0, vec!["z".to_string()]), ("a", 1, vec![]), ("a", 9, vec![]), ("b", 0, vec![])];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    });
}

#[test]
fn a_reader_behind_its_limit_does_not_wait() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 2, &[]).await;
        let one = batch(Compression::None, &["a"]);
        for _ in 0..10 {
            produce(&mut raw, "t", one.clone()).await;
        }
        // Three and a half batches are wanted, of which three are whole.
        let limit = 7 * one.len() as i32 / 2;
        let mut request = FetchRequest {
            max_wait_ms: 600_000,
            min_bytes: limit,
            max_bytes: limit,
            ..fetch_request("t", 0)
        };
        for partition_max_bytes in [limit, 1 << 20] {
            request.topics[0].partitions[0].partition_max_bytes = partition_max_bytes;
            let partition = fetch(&mut raw, 11, &request).await;
            assert_eq!(values(partition.records.as_ref()), ["a"; 3]);
        }
        // A partition gives no more than its own limit, however much lies there.
        request.max_bytes = 1 << 20;
        request.topics[0].partitions[0].partition_max_bytes = limit / 2;
        request.max_wait_ms = 100;
        let before = host.now();
        let partition = fetch(&mut raw, 11, &request).await;
        assert_eq!(values(partition.records.as_ref()), ["a"; 1]);
        assert!(host.now().saturating_duration_since(before) >= Duration::from_millis(100));
    });
}

#[test]
fn unknown_and_fenced_partitions_have_their_errors() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let topic_id = create(&mut raw, "t", 1, &[]).await;
        let error = async |raw: &mut Raw, version, change: &dyn Fn(&mut FetchRequest<'_>)| {
            let mut request = fetch_request("t", 0);
            request.topics[0].topic_id = topic_id;
            change(&mut request);
            fetch(raw, version, &request).await.error_code
        };
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(error(&mut raw, 12, &|request| request.topics[0].topic = "missing").await, unknown);
        assert_eq!(
            error(&mut raw, 12, &|request| request.topics[0].partitions[0].partition = 1).await,
            unknown
        );
        let id = error(&mut raw, 13, &|request| request.topics[0].topic_id = Uuid([3; 16])).await;
        assert_eq!(id, ErrorCode::UNKNOWN_TOPIC_ID);
        let zero = error(&mut raw, 13, &|request| request.topics[0].topic_id = Uuid::ZERO).await;
        assert_eq!(zero, ErrorCode::UNKNOWN_TOPIC_ID);
        let epoch = |epoch| {
            move |request: &mut FetchRequest<'_>| request.topics[0].partitions[0].current_leader_epoch = epoch
        };
        assert_eq!(error(&mut raw, 12, &epoch(0)).await, ErrorCode::NONE);
        assert_eq!(error(&mut raw, 12, &epoch(-1)).await, ErrorCode::NONE);
        assert_eq!(error(&mut raw, 12, &epoch(1)).await, ErrorCode::UNKNOWN_LEADER_EPOCH);
        // Whoever calls himself a follower would read what is not committed (CVE-2018-1288).
        let follower = ErrorCode::NOT_LEADER_OR_FOLLOWER;
        assert_eq!(error(&mut raw, 12, &|request| request.replica_id = 2).await, follower);
        let state = ReplicaState { replica_id: 2, replica_epoch: 1 };
        assert_eq!(error(&mut raw, 15, &|request| request.replica_state = state.clone()).await, follower);
    });
}

/// Sends a fetch that must wait and gives its correlation id once the broker has it parked.
async fn park(raw: &mut Raw, request: &FetchRequest<'_>) -> i32 {
    raw.send(11, request).await
}

async fn records_of(raw: &mut Raw, correlation_id: i32) -> PartitionData {
    let answer = raw.receive(ApiKey::Fetch, 11, correlation_id).await;
    let response: FetchResponse<'_> = answer.decode();
    response.responses[0].partitions[0].clone()
}

#[test]
fn a_fetch_at_the_end_waits_for_the_next_record() {
    with_broker("", async |host, broker| {
        let (mut reader, mut writer) = (Raw::connect(host, broker).await, Raw::connect(host, broker).await);
        create(&mut writer, "t", 1, &[]).await;
        for round in 0..20 {
            let request = FetchRequest { max_wait_ms: 20_000, ..fetch_request("t", round) };
            let correlation_id = park(&mut reader, &request).await;
            let text = round.to_string();
            produce(&mut writer, "t", batch(Compression::None, &[&text])).await;
            let partition = records_of(&mut reader, correlation_id).await;
            assert_eq!(values(partition.records.as_ref()), [text]);
            assert_eq!(partition.high_watermark, round + 1);
        }
    });
}

#[test]
fn a_fetch_waits_for_min_bytes_and_no_longer_than_max_wait() {
    with_broker("", async |host, broker| {
        let (mut reader, mut writer) = (Raw::connect(host, broker).await, Raw::connect(host, broker).await);
        create(&mut writer, "t", 1, &[]).await;
        let one = batch(Compression::None, &["a"]);
        let min_bytes = 3 * one.len() as i32;
        let request = FetchRequest { max_wait_ms: 20_000, min_bytes, ..fetch_request("t", 0) };
        let correlation_id = park(&mut reader, &request).await;
        for _ in 0..3 {
            produce(&mut writer, "t", one.clone()).await;
        }
        assert_eq!(values(records_of(&mut reader, correlation_id).await.records.as_ref()).len(), 3);

        let before = host.now();
        let request = FetchRequest { max_wait_ms: 100, min_bytes: 1 << 20, ..fetch_request("t", 0) };
        let correlation_id = park(&mut reader, &request).await;
        let partition = records_of(&mut reader, correlation_id).await;
        assert_eq!(values(partition.records.as_ref()).len(), 3, "what there is comes when the time is up");
        assert!(host.now() - before >= Duration::from_millis(100));
    });
}

/// The records are appended already when the fetch comes, and cannot be given before they are synced.
#[test]
fn a_fetch_that_comes_before_the_sync_is_answered_by_it() {
    // A sync takes its time there.
    let directory = tempfile::tempdir().unwrap();
    let properties = format!("log.dirs={}", directory.path().display());
    with_broker(&properties, async |host, broker| {
        let (mut reader, mut writer) = (Raw::connect(host, broker).await, Raw::connect(host, broker).await);
        create(&mut writer, "t", 1, &[]).await;
        for round in 0..200 {
            let records = batch(Compression::None, &["a"]).freeze();
            let written = writer.send(11, &produce_request("t", -1, records)).await;
            let request = FetchRequest { max_wait_ms: 120_000, ..fetch_request("t", round) };
            let correlation_id = park(&mut reader, &request).await;
            let read = host.timeout(Duration::from_secs(60), records_of(&mut reader, correlation_id)).await;
            let read = read.unwrap_or_else(|_| panic!("round {round}: nobody answers"));
            assert_eq!(values(read.records.as_ref()), ["a"]);
            writer.receive(ApiKey::Produce, 11, written).await;
        }
    });
}

/// What a transaction has written is there already when the fetch comes, and is given once it is decided.
#[test]
fn a_fetch_of_committed_records_is_answered_by_the_commit() {
    with_broker("", async |host, broker| {
        let (mut reader, mut writer) = (Raw::connect(host, broker).await, Raw::connect(host, broker).await);
        // The records are old, and the marker is not.
        create(&mut writer, "t", 1, &[("segment.ms", &i64::MAX.to_string())]).await;
        let identity = init(&mut writer, "tx").await;
        let large = "a".repeat(10_000);
        let records = in_transaction(identity, 0, &[&large]);
        assert_eq!(send(&mut writer, 12, Some("tx"), "t", records).await, ErrorCode::NONE);
        let (max_wait_ms, min_bytes, isolation_level) = (120_000, 1000, 1);
        let request = FetchRequest { max_wait_ms, min_bytes, isolation_level, ..fetch_request("t", 0) };
        let correlation_id = park(&mut reader, &request).await;
        // So that it is parked by then.
        host.sleep(Duration::from_millis(100)).await;
        end(&mut writer, 5, "tx", identity, true).await.unwrap();
        let read = host.timeout(Duration::from_secs(60), records_of(&mut reader, correlation_id)).await;
        assert_eq!(values(read.expect("nobody answers").records.as_ref())[0], large);
    });
}

#[test]
fn a_fetch_within_an_older_segment_does_not_wait_for_more() {
    with_broker("", async |host, broker| {
        let (mut reader, mut writer) = (Raw::connect(host, broker).await, Raw::connect(host, broker).await);
        create(&mut writer, "t", 1, &[("segment.bytes", "1048576")]).await;
        for _ in 0..2 {
            produce(&mut writer, "t", batch(Compression::None, &[&"a".repeat(700_000)])).await;
        }
        let before = host.now();
        let waits = FetchRequest { max_wait_ms: 20_000, min_bytes: 1_300_000, ..fetch_request("t", 0) };
        let correlation_id = park(&mut reader, &waits).await;
        assert_eq!(values(records_of(&mut reader, correlation_id).await.records.as_ref()).len(), 1);
        assert!(host.now() - before < Duration::from_secs(20));
    });
}

#[test]
fn a_parked_fetch_learns_at_once_that_its_topic_is_deleted() {
    with_broker("", async |host, broker| {
        let (mut reader, mut admin) = (Raw::connect(host, broker).await, Raw::connect(host, broker).await);
        create(&mut admin, "t", 1, &[]).await;
        let request = FetchRequest { max_wait_ms: 20_000, ..fetch_request("t", 0) };
        let correlation_id = park(&mut reader, &request).await;
        let answer =
            admin.call(5, &DeleteTopicsRequest { topic_names: vec!["t"], ..Default::default() }).await;
        assert_eq!(answer.decode::<DeleteTopicsResponse<'_>>().responses[0].error_code, ErrorCode::NONE);
        let partition = records_of(&mut reader, correlation_id).await;
        assert_eq!(partition.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        // The same name again is another topic.
        create(&mut admin, "t", 1, &[]).await;
        assert_eq!(produce(&mut admin, "t", batch(Compression::None, &["new"])).await.base_offset, 0);
        let partition = fetch(&mut reader, 11, &fetch_request("t", 0)).await;
        assert_eq!(values(partition.records.as_ref()), ["new"]);
    });
}

#[test]
fn a_parked_fetch_delays_no_other_connection_and_ends_with_its_own() {
    with_broker("", async |host: &Host, broker: &EmbeddedBroker| {
        let mut writer = Raw::connect(host, broker).await;
        create(&mut writer, "t", 1, &[]).await;
        for _ in 0..100 {
            let mut reader = Raw::connect(host, broker).await;
            park(&mut reader, &FetchRequest { max_wait_ms: i32::MAX, ..fetch_request("t", 0) }).await;
        }
        assert_eq!(
            produce(&mut writer, "t", batch(Compression::None, &["a"])).await.error_code,
            ErrorCode::NONE
        );
        // The broker stops within its grace although a hundred fetches would have waited for weeks.
    });
}

#[test]
fn batches_carry_the_leader_epoch_and_their_offsets() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        produce(&mut raw, "t", batch(Compression::None, &["a", "b"])).await;
        produce(&mut raw, "t", batch(Compression::None, &["c"])).await;
        let partition = fetch(&mut raw, 11, &fetch_request("t", 2)).await;
        let batch = Batch::parse(&partition.records.unwrap()).unwrap();
        assert_eq!((batch.header.base_offset, batch.header.partition_leader_epoch), (2, 0));
    });
}
