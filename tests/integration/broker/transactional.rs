//! What a transactional producer sends, and what it and its readers are answered.

use std::time::Duration;

use anabranch_host::Host;
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic,
};
use anabranch_protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use anabranch_protocol::messages::fetch::{FetchRequest, FetchResponse};
use anabranch_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use anabranch_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use anabranch_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use anabranch_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use anabranch_protocol::messages::produce::{ProduceRequest, ProduceResponse};
use anabranch_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
};
use anabranch_protocol::records::{Compression, batches, seal, set_producer, set_transactional};
use bytes::BytesMut;

use super::{Raw, batch, fetch_request, produce_request};

pub(super) type Identity = (i64, i16);

/// Finds the coordinator, which makes its topic, and asks for an identity.
pub(super) async fn init(raw: &mut Raw, transactional_id: &str) -> Identity {
    find_coordinator(raw, transactional_id).await;
    try_init(raw, 5, transactional_id, 60_000, (-1, -1)).await.unwrap()
}

pub(super) async fn find_coordinator(raw: &mut Raw, transactional_id: &str) {
    let request = FindCoordinatorRequest {
        key_type: 1,
        coordinator_keys: vec![transactional_id],
        ..Default::default()
    };
    let answer = raw.call(4, &request).await;
    let response: FindCoordinatorResponse<'_> = answer.decode();
    assert_eq!(response.coordinators[0].error_code, ErrorCode::NONE);
}

pub(super) async fn try_init(
    raw: &mut Raw,
    version: i16,
    transactional_id: &str,
    timeout_ms: i32,
    (producer_id, producer_epoch): Identity,
) -> Result<Identity, ErrorCode> {
    let request = InitProducerIdRequest {
        transactional_id: Some(transactional_id),
        transaction_timeout_ms: timeout_ms,
        producer_id,
        producer_epoch,
    };
    let answer = raw.call(version, &request).await;
    let response: InitProducerIdResponse = answer.decode();
    match response.error_code {
        ErrorCode::NONE => Ok((response.producer_id, response.producer_epoch)),
        error_code => Err(error_code),
    }
}

/// Asks again for as long as a transaction is in the way.
pub(super) async fn init_again(raw: &mut Raw, host: &Host, transactional_id: &str) -> Identity {
    loop {
        match try_init(raw, 5, transactional_id, 60_000, (-1, -1)).await {
            Err(ErrorCode::CONCURRENT_TRANSACTIONS) => host.sleep(Duration::from_millis(5)).await,
            other => return other.unwrap(),
        }
    }
}

pub(super) fn in_transaction((producer_id, epoch): Identity, sequence: i32, values: &[&str]) -> BytesMut {
    let mut bytes = batch(Compression::None, values);
    set_producer(&mut bytes, producer_id, epoch, sequence);
    set_transactional(&mut bytes);
    seal(&mut bytes);
    bytes
}

/// Produces to partition 0 of a topic, by id from version 13 on.
pub(super) async fn send(
    raw: &mut Raw,
    version: i16,
    transactional_id: Option<&str>,
    topic: &str,
    records: BytesMut,
) -> ErrorCode {
    let request = ProduceRequest { transactional_id, ..produce_request(topic, -1, records.freeze()) };
    let answer = raw.call(version, &request).await;
    let response: ProduceResponse<'_> = answer.decode();
    response.responses[0].partition_responses[0].error_code
}

pub(super) async fn add(
    raw: &mut Raw,
    version: i16,
    id: &str,
    identity: Identity,
    topic: &str,
) -> Vec<ErrorCode> {
    let topics = vec![AddPartitionsToTxnTopic { name: topic, partitions: vec![0] }];
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: id,
        v3_and_below_producer_id: identity.0,
        v3_and_below_producer_epoch: identity.1,
        v3_and_below_topics: topics,
        ..Default::default()
    };
    let answer = raw.call(version, &request).await;
    let response: AddPartitionsToTxnResponse<'_> = answer.decode();
    let results = response.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
    results.map(|result| result.partition_error_code).collect()
}

pub(super) async fn end(
    raw: &mut Raw,
    version: i16,
    transactional_id: &str,
    (producer_id, producer_epoch): Identity,
    committed: bool,
) -> Result<Identity, ErrorCode> {
    let request = EndTxnRequest { transactional_id, producer_id, producer_epoch, committed };
    let answer = raw.call(version, &request).await;
    let response: EndTxnResponse = answer.decode();
    match response.error_code {
        ErrorCode::NONE => Ok((response.producer_id, response.producer_epoch)),
        error_code => Err(error_code),
    }
}

/// What a reader of committed records makes of partition 0: values, last stable offset and high watermark.
pub(super) async fn committed(raw: &mut Raw, topic: &str) -> (Vec<String>, i64, i64) {
    let (mut values, mut offset) = (Vec::new(), 0);
    // Producers whose batches are left out, until their marker.
    let mut aborting = std::collections::BTreeSet::new();
    loop {
        let request = FetchRequest { isolation_level: 1, ..fetch_request(topic, offset) };
        let answer = raw.call(12, &request).await;
        let response: FetchResponse<'_> = answer.decode();
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.error_code, ErrorCode::NONE);
        let mut aborted = partition.aborted_transactions.clone().expect("never null for such a reader");
        assert!(aborted.is_sorted_by_key(|transaction| transaction.first_offset));
        let before = offset;
        for batch in batches(partition.records.as_ref().unwrap()) {
            let batch = batch.unwrap();
            let header = batch.header;
            offset = header.next_offset();
            while aborted.first().is_some_and(|transaction| transaction.first_offset < offset) {
                aborting.insert(aborted.remove(0).producer_id);
            }
            if header.is_control() {
                aborting.remove(&header.producer_id);
            } else if !header.is_transactional() || !aborting.contains(&header.producer_id) {
                for record in batch.records(&mut Vec::new()).unwrap() {
                    values.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
                }
            }
        }
        if offset == before {
            return (values, partition.last_stable_offset, partition.high_watermark);
        }
    }
}

pub(super) async fn latest(raw: &mut Raw, topic: &str, isolation_level: i8) -> i64 {
    let partitions =
        vec![ListOffsetsPartition { partition_index: 0, current_leader_epoch: -1, timestamp: -1 }];
    let topics = vec![ListOffsetsTopic { name: topic, partitions }];
    let request = ListOffsetsRequest { replica_id: -1, isolation_level, topics, ..Default::default() };
    let answer = raw.call(5, &request).await;
    let response: ListOffsetsResponse<'_> = answer.decode();
    response.topics[0].partitions[0].offset
}

pub(super) async fn commit_offset(
    raw: &mut Raw,
    version: i16,
    identity: Identity,
    generation_id: i32,
    offset: i64,
) -> ErrorCode {
    commit_offset_as(raw, version, "x", identity, generation_id, offset).await
}

pub(super) async fn commit_offset_as(
    raw: &mut Raw,
    version: i16,
    transactional_id: &str,
    identity: Identity,
    generation_id: i32,
    offset: i64,
) -> ErrorCode {
    let partition = TxnOffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_metadata: Some("kept"),
        ..Default::default()
    };
    let request = TxnOffsetCommitRequest {
        transactional_id,
        group_id: "g",
        producer_id: identity.0,
        producer_epoch: identity.1,
        generation_id,
        topics: vec![TxnOffsetCommitRequestTopic { name: "t", partitions: vec![partition] }],
        ..Default::default()
    };
    let answer = raw.call(version, &request).await;
    answer.decode::<TxnOffsetCommitResponse<'_>>().topics[0].partitions[0].error_code
}

pub(super) async fn offset(raw: &mut Raw, require_stable: bool) -> Result<i64, ErrorCode> {
    let topics =
        vec![OffsetFetchRequestTopics { name: "t", partition_indexes: vec![0], ..Default::default() }];
    let group = OffsetFetchRequestGroup { group_id: "g", topics: Some(topics), ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], require_stable, ..Default::default() };
    let answer = raw.call(8, &request).await;
    let response: OffsetFetchResponse<'_> = answer.decode();
    let partition = &response.groups[0].topics[0].partitions[0];
    match partition.error_code {
        ErrorCode::NONE => Ok(partition.committed_offset),
        error_code => Err(error_code),
    }
}
