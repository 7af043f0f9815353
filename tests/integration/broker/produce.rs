//! Produce: what is taken, what is refused and how, and in which order.

use anabranch_protocol::messages::api_versions::ApiVersionsRequest;
use anabranch_protocol::messages::fetch::FetchResponse;
use anabranch_protocol::messages::produce::{PartitionProduceData, ProduceResponse, TopicProduceData};
use anabranch_protocol::records::{
    BatchBuilder, Compression, end_transaction_marker, seal, set_log_append_time, set_transactional,
};
use anabranch_protocol::{ApiKey, ErrorCode, Uuid};
use bytes::{Bytes, BytesMut};

use super::topics::create;
use super::{Produced, Raw, batch, fetch_request, idempotent, produce, produce_request, values, with_broker};

fn good() -> BytesMut {
    batch(Compression::None, &["a"])
}

#[test]
fn every_version_appends_and_tells_the_offset() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let id = create(&mut raw, "t", 1, &[]).await;
        for version in 3..=13 {
            let mut request = produce_request("t", if version % 2 == 0 { 1 } else { -1 }, good().freeze());
            request.topic_data[0].topic_id = id;
            let answer = raw.call(version, &request).await;
            let response: ProduceResponse<'_> = answer.decode();
            let topic = &response.responses[0];
            let partition = &topic.partition_responses[0];
            assert_eq!(
                (partition.error_code, partition.base_offset),
                (ErrorCode::NONE, i64::from(version - 3))
            );
            assert_eq!(partition.log_append_time_ms, -1);
            assert_eq!(partition.log_start_offset, if version >= 5 { 0 } else { -1 });
            if version >= 13 {
                assert_eq!((topic.name, topic.topic_id), ("", id));
            } else {
                assert_eq!((topic.name, topic.topic_id), ("t", Uuid::ZERO));
            }
        }
    });
}

#[test]
fn acks_0_has_no_answer_and_an_error_closes_the_connection() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        raw.send(9, &produce_request("t", 0, good().freeze())).await;
        let request = ApiVersionsRequest { client_software_name: "raw", client_software_version: "1" };
        let correlation_id = raw.send(3, &request).await;
        raw.receive(ApiKey::ApiVersions, 3, correlation_id).await;
        assert_eq!(produce(&mut raw, "t", good()).await.base_offset, 1, "it was appended");
        raw.send(9, &produce_request("missing", 0, good().freeze())).await;
        assert!(raw.is_closed().await);
    });
}

/// The last batch that is one is appended; one that is none is what the answer tells.
#[test]
fn a_partition_that_is_named_again_is_answered_once() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 2, &[]).await;
        create(&mut raw, "u", 1, &[]).await;
        let of = |value: &str| batch(Compression::None, &[value]).freeze();
        let none = Bytes::from([&of("x")[..], &of("x")[..]].concat());
        for (version, end) in [(3, 0), (9, 1), (12, 2)] {
            let mut request = produce_request("t", -1, of("not appended"));
            let topic = |name, batches: &[(i32, Bytes)]| {
                let data = |(index, records): &(i32, Bytes)| PartitionProduceData {
                    index: *index,
                    records: Some(records.clone()),
                };
                let partition_data = batches.iter().map(data).collect();
                TopicProduceData { name, topic_id: Uuid::ZERO, partition_data }
            };
            request.topic_data.extend([
                topic("u", &[(0, none.clone()), (0, of("appended"))]),
                topic("missing", &[(0, of("x")), (0, of("x"))]),
                topic("t", &[(1, of("b")), (0, of("nor this")), (0, of("a"))]),
                topic("u", &[]),
                topic("v", &[]),
            ]);
            let answer = raw.call(version, &request).await;
            let response: ProduceResponse<'_> = answer.decode();
            let told = response.responses.iter().map(|topic| {
                let partitions = topic.partition_responses.iter();
                let told = partitions.map(|told| (told.index, told.error_code, told.base_offset));
                (topic.name, told.collect::<Vec<_>>())
            });
            let expected = [
                ("t", vec![(0, ErrorCode::NONE, end), (1, ErrorCode::NONE, end)]),
                ("u", vec![(0, ErrorCode::INVALID_RECORD, -1)]),
                ("missing", vec![(0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1)]),
            ];
            assert_eq!(told.collect::<Vec<_>>(), expected, "version {version}");
        }
        for (topic, value) in [("t", "a"), ("u", "appended")] {
            let answer = raw.call(11, &fetch_request(topic, 0)).await;
            let response: FetchResponse<'_> = answer.decode();
            let found = values(response.responses[0].partitions[0].records.as_ref());
            assert_eq!(found, [value; 3], "{topic}");
        }
    });
}

#[test]
fn what_is_wrong_has_its_own_error() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[("max.message.bytes", "300")]).await;
        create(&mut raw, "compacted", 1, &[("cleanup.policy", "compact")]).await;
        create(&mut raw, "careful", 1, &[("min.insync.replicas", "2")]).await;

        let twice = [&good()[..], &good()[..]].concat();
        let mut torn = good();
        torn.truncate(65);
        let mut flipped = good();
        flipped[66] ^= 1;
        let mut old_format = good();
        old_format[16] = 1;
        let mut marked = good();
        set_log_append_time(&mut marked, 5);
        seal(&mut marked);
        let mut nameless = idempotent(5, 0, 0, &["a"]).to_vec();
        set_transactional(&mut nameless);
        seal(&mut nameless);
        let nameless = Bytes::from(nameless);
        let far = i64::MAX / 2;
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(far, None, Some(b"x"), []).unwrap();
        let future = builder.finish();
        let large = batch(Compression::None, &[&"x".repeat(300)]);
        let marker = end_transaction_marker(7, 0, 0, true, 1000);
        let no_sequence = idempotent(5, 0, -1, &["a"]);
        let mut wrong_count = good();
        wrong_count[60] = 2;
        seal(&mut wrong_count);
        let mut placed = good();
        placed[7] = 5;
        let mut placed_and_large = large.clone();
        placed_and_large[7] = 5;
        let mut placed_and_flipped = flipped.clone();
        placed_and_flipped[7] = 5;

        let cases: Vec<(&str, &str, i16, Bytes, ErrorCode)> = vec![
            ("an unknown topic", "missing", -1, good().freeze(), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (
                "acks of 2, and an unknown topic",
                "missing",
                2,
                good().freeze(),
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ),
            ("acks of 2", "t", 2, good().freeze(), ErrorCode::INVALID_REQUIRED_ACKS),
            ("acks of -2", "t", -2, good().freeze(), ErrorCode::INVALID_REQUIRED_ACKS),
            // Kafka, too, asks for no more replicas in sync than there are (KIP-966).
            ("more than one replica asked for", "careful", -1, good().freeze(), ErrorCode::NONE),
            ("no batch", "t", -1, Bytes::new(), ErrorCode::INVALID_RECORD),
            ("two batches", "t", -1, Bytes::from(twice), ErrorCode::INVALID_RECORD),
            ("half a batch", "t", -1, torn.freeze(), ErrorCode::INVALID_RECORD),
            ("a flipped bit", "t", -1, flipped.freeze(), ErrorCode::CORRUPT_MESSAGE),
            ("an old format", "t", -1, old_format.freeze(), ErrorCode::INVALID_RECORD),
            // The topic says what the timestamps are.
            ("append time set by the client", "careful", -1, marked.freeze(), ErrorCode::NONE),
            (
                "a transaction without a name",
                "t",
                -1,
                nameless,
                ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            ),
            ("a time far in the future", "t", -1, future.freeze(), ErrorCode::INVALID_TIMESTAMP),
            ("over max.message.bytes", "t", -1, large.freeze(), ErrorCode::MESSAGE_TOO_LARGE),
            ("a control batch", "t", -1, marker.freeze(), ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
            ("a producer without a sequence", "t", -1, no_sequence.freeze(), ErrorCode::INVALID_RECORD),
            ("a count that is not true", "t", -1, wrong_count.freeze(), ErrorCode::INVALID_RECORD),
            ("a base offset", "t", -1, placed.freeze(), ErrorCode::INVALID_RECORD),
            ("a base offset, and large", "t", -1, placed_and_large.freeze(), ErrorCode::INVALID_RECORD),
            (
                "a base offset, and a flipped bit",
                "t",
                -1,
                placed_and_flipped.freeze(),
                ErrorCode::INVALID_RECORD,
            ),
            ("no key in a compacted topic", "compacted", -1, good().freeze(), ErrorCode::INVALID_RECORD),
        ];
        for (name, topic, acks, records, error_code) in cases {
            let answer = raw.call(9, &produce_request(topic, acks, records)).await;
            let response: ProduceResponse<'_> = answer.decode();
            let partition = &response.responses[0].partition_responses[0];
            assert_eq!(partition.error_code, error_code, "{name}: {partition:?}");
            assert_eq!(partition.base_offset >= 0, error_code.is_none(), "{name}");
            if name.starts_with("no key") {
                assert_eq!(partition.record_errors[0].batch_index, 0);
                assert!(partition.error_message.is_some());
            }
        }
        assert_eq!(produce(&mut raw, "t", good()).await.base_offset, 0, "nothing of all that was appended");
    });
}

#[test]
fn zstd_below_version_7_is_refused() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let zstd = batch(Compression::Zstd, &["a"]).freeze();
        for (version, error_code) in [(6, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE), (7, ErrorCode::NONE)] {
            let answer = raw.call(version, &produce_request("t", -1, zstd.clone())).await;
            let response: ProduceResponse<'_> = answer.decode();
            assert_eq!(response.responses[0].partition_responses[0].error_code, error_code);
        }
    });
}

#[test]
fn an_unknown_id_and_that_of_a_deleted_topic_are_unknown_topic_ids() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        for id in [Uuid::ZERO, Uuid([1; 16])] {
            let mut request = produce_request("", -1, good().freeze());
            request.topic_data[0].topic_id = id;
            let answer = raw.call(13, &request).await;
            let response: ProduceResponse<'_> = answer.decode();
            assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
        }
    });
}

#[test]
fn a_repeated_batch_is_answered_as_the_first_time_and_a_gap_is_refused() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let ok = |base_offset| Produced { error_code: ErrorCode::NONE, base_offset };
        let refused = |error_code| Produced { error_code, base_offset: -1 };
        assert_eq!(produce(&mut raw, "t", idempotent(5, 1, 0, &["a", "b"])).await, ok(0));
        assert_eq!(produce(&mut raw, "t", idempotent(5, 1, 2, &["c"])).await, ok(2));
        assert_eq!(produce(&mut raw, "t", idempotent(5, 1, 0, &["a", "b"])).await, ok(0));
        let gap = produce(&mut raw, "t", idempotent(5, 1, 4, &["e"])).await;
        assert_eq!(gap, refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        let old = produce(&mut raw, "t", idempotent(5, 0, 0, &["z"])).await;
        assert_eq!(old, refused(ErrorCode::INVALID_PRODUCER_EPOCH));
        let bumped = produce(&mut raw, "t", idempotent(5, 2, 1, &["z"])).await;
        assert_eq!(bumped, refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), "a new epoch begins at 0");
        assert_eq!(produce(&mut raw, "t", idempotent(5, 2, 0, &["d"])).await, ok(3));
        let unknown = produce(&mut raw, "t", idempotent(6, 0, 77, &["e"])).await;
        assert_eq!(unknown, ok(4), "an unknown producer may begin anywhere: its state may have expired");
    });
}

#[test]
fn batches_sent_in_one_go_are_appended_in_their_order() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let mut sent = Vec::new();
        for sequence in 0..100 {
            let records = idempotent(5, 0, sequence, &[&sequence.to_string()]);
            sent.push(raw.send(9, &produce_request("t", -1, records.freeze())).await);
        }
        for (correlation_id, offset) in sent.into_iter().zip(0..) {
            let answer = raw.receive(ApiKey::Produce, 9, correlation_id).await;
            let response: ProduceResponse<'_> = answer.decode();
            assert_eq!(response.responses[0].partition_responses[0].base_offset, offset);
        }
    });
}

#[test]
fn every_codec_comes_back_as_it_was_sent() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        for codec in
            [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
        {
            let name = format!("t-{codec}");
            create(&mut raw, &name, 1, &[]).await;
            let sent = batch(codec, &["one", "two", "three"]);
            assert_eq!(produce(&mut raw, &name, sent.clone()).await.base_offset, 0);
            let answer = raw.call(11, &fetch_request(&name, 0)).await;
            let response: anabranch_protocol::messages::fetch::FetchResponse<'_> = answer.decode();
            let records = response.responses[0].partitions[0].records.clone();
            assert_eq!(values(records.as_ref()), ["one", "two", "three"]);
            let stored = records.unwrap();
            assert_eq!(stored[16..], sent[16..], "all but offset, length and leader epoch is the producer's");
        }
    });
}

#[test]
fn log_append_time_replaces_the_producers_time() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
        let mut claimed = good();
        set_log_append_time(&mut claimed, 5);
        seal(&mut claimed);
        let refused = produce(&mut raw, "t", claimed).await;
        assert_eq!(refused.error_code, ErrorCode::INVALID_TIMESTAMP, "it is the broker's to give");
        let before_ms = host.wall_clock_ms();
        let answer = raw.call(9, &produce_request("t", -1, good().freeze())).await;
        let response: ProduceResponse<'_> = answer.decode();
        let partition = &response.responses[0].partition_responses[0];
        assert!(partition.log_append_time_ms >= before_ms, "{partition:?}");
    });
}
