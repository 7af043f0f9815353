//! Offsets by time, by epoch, and the start that moves.

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use anabranch_protocol::messages::fetch::FetchResponse;
use anabranch_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use anabranch_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use anabranch_protocol::records::{BatchBuilder, Compression};

use super::topics::create;
use super::{Raw, batch, fetch_request, produce, values, with_broker};

async fn list(raw: &mut Raw, version: i16, topic: &str, timestamp: i64) -> Result<(i64, i64), ErrorCode> {
    let partitions = vec![ListOffsetsPartition { partition_index: 0, current_leader_epoch: -1, timestamp }];
    let topics = vec![ListOffsetsTopic { name: topic, partitions }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
    let answer = raw.call(version, &request).await;
    let response: ListOffsetsResponse<'_> = answer.decode();
    let found = &response.topics[0].partitions[0];
    if found.error_code.is_none() { Ok((found.offset, found.timestamp)) } else { Err(found.error_code) }
}

#[test]
fn offsets_by_time_are_those_of_records_inside_batches_in_any_order_of_time() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        for codec in [Compression::None, Compression::Zstd] {
            let topic = format!("t-{codec}");
            create(&mut raw, &topic, 1, &[]).await;
            for times in [&[100, 300, 200][..], &[50, 400], &[400, 10]] {
                let mut builder = BatchBuilder::new(codec);
                for timestamp_ms in times {
                    builder.append(*timestamp_ms, None, Some(b"v"), []).unwrap();
                }
                produce(&mut raw, &topic, builder.finish()).await;
            }
            for (timestamp, expected) in [
                (0, (0, 100)),
                (100, (0, 100)),
                (101, (1, 300)),
                (201, (1, 300)),
                (301, (4, 400)),
                (400, (4, 400)),
                (401, (-1, -1)),
                (i64::MAX, (-1, -1)),
            ] {
                assert_eq!(
                    list(&mut raw, 7, &topic, timestamp).await,
                    Ok(expected),
                    "{codec} at {timestamp}"
                );
            }
            assert_eq!(
                list(&mut raw, 7, &topic, -3).await,
                Ok((4, 400)),
                "the first with the largest timestamp"
            );
        }
    });
}

#[test]
fn the_special_timestamps_each_since_its_version() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        assert_eq!(list(&mut raw, 7, "t", -3).await, Ok((-1, -1)), "an empty log has no largest timestamp");
        produce(&mut raw, "t", batch(Compression::None, &["a", "b"])).await;
        let unsupported = Err(ErrorCode::UNSUPPORTED_VERSION);
        for version in 1..=11 {
            let since = |first, expected| if version >= first { Ok(expected) } else { unsupported };
            assert_eq!(list(&mut raw, version, "t", -1).await, Ok((2, -1)));
            assert_eq!(list(&mut raw, version, "t", -2).await, Ok((0, -1)));
            assert_eq!(list(&mut raw, version, "t", -3).await, since(7, (1, 1001)));
            assert_eq!(list(&mut raw, version, "t", -4).await, since(8, (0, -1)));
            assert_eq!(list(&mut raw, version, "t", -5).await, since(9, (-1, -1)));
            assert_eq!(list(&mut raw, version, "t", -6).await, since(11, (-1, -1)));
            assert_eq!(list(&mut raw, version, "t", -7).await, unsupported);
        }
        assert_eq!(list(&mut raw, 7, "missing", -1).await, Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    });
}

#[test]
fn an_epoch_ends_where_the_log_does() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        produce(&mut raw, "t", batch(Compression::None, &["a", "b"])).await;
        let mut ask = async |current_leader_epoch, leader_epoch| {
            let partitions =
                vec![OffsetForLeaderPartition { partition: 0, current_leader_epoch, leader_epoch }];
            let topics = vec![OffsetForLeaderTopic { topic: "t", partitions }];
            let answer = raw.call(4, &OffsetForLeaderEpochRequest { replica_id: -1, topics }).await;
            let response: OffsetForLeaderEpochResponse<'_> = answer.decode();
            let found = &response.topics[0].partitions[0];
            (found.error_code, found.leader_epoch, found.end_offset)
        };
        assert_eq!(ask(-1, 0).await, (ErrorCode::NONE, 0, 2));
        assert_eq!(ask(0, 0).await, (ErrorCode::NONE, 0, 2));
        assert_eq!(ask(9, 0).await, (ErrorCode::UNKNOWN_LEADER_EPOCH, -1, -1));
    });
}

#[test]
fn deleted_records_are_gone_and_the_start_is_told() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        create(&mut raw, "table", 1, &[("cleanup.policy", "compact")]).await;
        for value in ["a", "b", "c"] {
            produce(&mut raw, "t", batch(Compression::None, &[value])).await;
        }
        let delete = async |raw: &mut Raw, name, offset| {
            let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset }];
            let request = DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic { name, partitions }],
                timeout_ms: 1000,
            };
            let answer = raw.call(2, &request).await;
            let response: DeleteRecordsResponse<'_> = answer.decode();
            let found = &response.topics[0].partitions[0];
            (found.error_code, found.low_watermark)
        };
        assert_eq!(delete(&mut raw, "t", 2).await, (ErrorCode::NONE, 2));
        assert_eq!(delete(&mut raw, "t", 1).await, (ErrorCode::NONE, 2), "it never moves back");
        assert_eq!(delete(&mut raw, "t", 4).await, (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
        assert_eq!(delete(&mut raw, "t", -2).await, (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
        assert_eq!(delete(&mut raw, "table", 0).await, (ErrorCode::POLICY_VIOLATION, -1));
        assert_eq!(delete(&mut raw, "missing", 0).await, (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1));
        assert_eq!(list(&mut raw, 7, "t", -2).await, Ok((2, -1)));
        for (offset, error_code) in [(1, ErrorCode::OFFSET_OUT_OF_RANGE), (2, ErrorCode::NONE)] {
            let answer = raw.call(11, &fetch_request("t", offset)).await;
            let response: FetchResponse<'_> = answer.decode();
            let partition = &response.responses[0].partitions[0];
            let start = if error_code.is_none() { 2 } else { -1 };
            assert_eq!((partition.error_code, partition.log_start_offset), (error_code, start));
            let expected: &[&str] = if offset == 2 { &["c"] } else { &[] };
            assert_eq!(values(partition.records.as_ref()), expected);
        }
        assert_eq!(delete(&mut raw, "t", -1).await, (ErrorCode::NONE, 3), "-1 is the high watermark");
    });
}
